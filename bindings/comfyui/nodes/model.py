"""Load Model."""

from __future__ import annotations

from typing import Any

from omniid import Engine

from .. import engines, folders


class LoadModel:
    """Opens an identity model."""

    DESCRIPTION = (
        "Opens an identity model: a native Omni-ID checkpoint, or an IP-Adapter (base, Plus, Plus-Face, full-face) "
        "with the image encoder that it was trained with."
    )
    CATEGORY = "OmniID"
    FUNCTION = "load"
    RETURN_TYPES = ("OMNIID_MODEL",)
    RETURN_NAMES = ("omniid",)
    OUTPUT_TOOLTIPS = ("The identity model.",)
    SEARCH_ALIASES = ["ipadapter", "ip-adapter", "face", "identity"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "checkpoint": (
                    folders.checkpoints(),
                    {"tooltip": "A file in models/omniid or models/ipadapter, recognised by its content."},
                ),
                "image_encoder": (
                    folders.image_encoders(),
                    {"tooltip": "The CLIP vision model that an IP-Adapter needs. A native checkpoint has its own."},
                ),
                "detector": (
                    folders.detectors(),
                    {"tooltip": "Weights of a face detector, YuNet. none: the one in the checkpoint or in the library."},
                ),
                "host": (
                    [engines.AUTO, "sd15", "sdxl"],
                    {
                        "tooltip": "The model that identities are for; auto: what the checkpoint is for.",
                        "advanced": True,
                    },
                ),
                "precision": (
                    ["f32", "bf16", "f16"],
                    {"tooltip": "Number type of the weights. bf16 and f16 need half the memory."},
                ),
                "device": (
                    [engines.AUTO, engines.CPU, engines.CUDA],
                    {"tooltip": "Where photos are encoded. auto: ComfyUI's GPU if the library was built for it."},
                ),
            }
        }

    @classmethod
    def IS_CHANGED(cls, checkpoint: str, image_encoder: str, detector: str, **_: Any) -> str:
        return folders.state(path for path in engines.paths(checkpoint, image_encoder, detector) if path)

    def load(
        self, checkpoint: str, image_encoder: str, detector: str, host: str, precision: str, device: str
    ) -> tuple[Engine]:
        return (engines.open_engine(checkpoint, image_encoder, detector, host, precision, device),)
