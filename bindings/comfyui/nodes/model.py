"""Load Model, and Load IP-Adapter, which finds the files by itself."""

from __future__ import annotations

from typing import Any

from omniid import Engine

from .. import conventions, engines, folders

VARIANTS = ["faceid-plus", "faceid-plus-v2", "instantid", "faceid-portrait-unnorm"]
"""Models that are not told apart by their tensors."""


def _precision() -> Any:
    return (
        ["f32", "bf16", "f16", "int8"],
        {
            "tooltip": "Number type of the weights. bf16 and f16 need half the memory. int8 needs a quarter, runs on "
            "the processor only and rounds most.",
            "advanced": True,
        },
    )


def _device() -> Any:
    return (
        [engines.AUTO, engines.CPU, engines.CUDA],
        {
            "tooltip": "Where photos are encoded. auto: ComfyUI's GPU if the library was built for it.",
            "advanced": True,
        },
    )


def _clip_vision() -> Any:
    return (
        "CLIP_VISION",
        {
            "tooltip": "From Load CLIP Vision with the same file as image_encoder, if other nodes need it too: "
            "connected images are then seen by that model, which is not loaded twice. Files in folders and crops "
            "around faces need the library's own."
        },
    )


class LoadModel:
    """Opens an identity model."""

    DESCRIPTION = (
        "Opens an identity model: a native Omni-ID checkpoint, an IP-Adapter (base, Plus, full-face, FaceID family), "
        "InstantID or PuLID, with the image encoder and the face recogniser that it was trained with."
    )
    CATEGORY = "OmniID"
    FUNCTION = "load"
    RETURN_TYPES = ("OMNIID_MODEL",)
    RETURN_NAMES = ("omniid",)
    OUTPUT_TOOLTIPS = ("The identity model.",)
    SEARCH_ALIASES = ["ipadapter model loader", "ip-adapter", "face", "identity"]

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
                    {
                        "tooltip": "The face detector for photos that are cropped around the face: the one in the "
                        "checkpoint or in the library, or a file with weights of YuNet."
                    },
                ),
                "host": (
                    [engines.AUTO, "sd15", "sdxl", "flux", "flux_all", "pulid_flux", "with_anyone", "sd35_large"],
                    {
                        "tooltip": "The model that identities are for; auto: what the checkpoint is for.",
                        "advanced": True,
                    },
                ),
                "precision": _precision(),
                "device": _device(),
            },
            "optional": {
                "clip_vision": _clip_vision(),
                "faces": (
                    "OMNIID_FACES",
                    {"tooltip": "From Face Networks: what FaceID, InstantID and PuLID need besides."},
                ),
            },
        }

    @classmethod
    def IS_CHANGED(cls, checkpoint: str, image_encoder: str, detector: str, **_: Any) -> str:
        return folders.state(path for path in engines.paths(checkpoint, image_encoder, detector) if path)

    @classmethod
    def VALIDATE_INPUTS(cls, detector: str = folders.BUILT_IN) -> bool | str:
        # Instead of ComfyUI's own check against the list: workflows may hold the "none" of earlier versions.
        try:
            engines.detector_path(detector)
        except OSError as error:
            return str(error)
        return True

    def load(
        self,
        checkpoint: str,
        image_encoder: str,
        detector: str,
        host: str,
        precision: str,
        device: str,
        clip_vision: Any = None,
        faces: engines.Faces = engines.Faces(),
    ) -> tuple[Engine]:
        return (engines.open_engine(checkpoint, image_encoder, detector, host, precision, device, clip_vision, faces),)


class FaceNetworks:
    """The files that models of faces need besides."""

    DESCRIPTION = (
        "The face recogniser that FaceID, InstantID and PuLID need, and PuLID's face parser; for Load Model. They are "
        "read and run by OmniID: no need to install insightface."
    )
    CATEGORY = "OmniID"
    FUNCTION = "choose"
    RETURN_TYPES = ("OMNIID_FACES",)
    RETURN_NAMES = ("faces",)
    OUTPUT_TOOLTIPS = ("For Load Model.",)
    SEARCH_ALIASES = [
        "insightface",
        "faceid",
        "instantid face analysis",
        "pulid insightface",
        "buffalo_l",
        "antelopev2",
    ]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "face_recogniser": (
                    folders.face_recognisers(),
                    {
                        "default": folders.NONE,
                        "tooltip": "The face network that FaceID (w600k_r50 of buffalo_l), InstantID and PuLID "
                        "(glintr100 of antelopev2) need; in models/insightface/models. No need to install insightface.",
                    },
                ),
                "face_parser": (
                    folders.face_parsers(),
                    {
                        "default": folders.NONE,
                        "tooltip": "PuLID: parsing_bisenet.pth in models/facexlib, which makes what is no face grey.",
                    },
                ),
                "variant": (
                    [engines.AUTO, *VARIANTS],
                    {
                        "tooltip": "Which model the file is, where two have the same tensors; auto: faceid-plus-v2, "
                        "and instantid unless the face recogniser is w600k_r50.",
                        "advanced": True,
                    },
                ),
            }
        }

    @classmethod
    def IS_CHANGED(cls, face_recogniser: str, face_parser: str, **_: Any) -> str:
        return folders.state(path for path in engines.face_paths(engines.Faces(face_recogniser, face_parser)) if path)

    def choose(self, face_recogniser: str, face_parser: str, variant: str) -> tuple[engines.Faces]:
        return (engines.Faces(face_recogniser, face_parser, variant),)


class LoadIPAdapter:
    """Opens an adapter that is found by its usual file name."""

    DESCRIPTION = (
        "Opens the adapter of a kind that fits the model, and the image encoder and face networks that go with it, by "
        "the names under which they are published, or by their content. Load Model takes any other files."
    )
    CATEGORY = "OmniID"
    FUNCTION = "load"
    RETURN_TYPES = ("OMNIID_MODEL", "STRING")
    RETURN_NAMES = ("omniid", "files")
    OUTPUT_TOOLTIPS = ("The identity model.", "The files that were found.")
    SEARCH_ALIASES = [
        "ipadapter unified loader",
        "ipadapter",
        "plus face",
        "ipadapter unified loader faceid",
        "load instantid model",
        "load pulid model",
    ]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": ("MODEL", {"tooltip": "The model that identities are for: SD1.5, SDXL, FLUX.1 or SD3.5."}),
                "kind": (
                    list(conventions.KINDS),
                    {
                        "default": "plus face",
                        "tooltip": "Which adapter. plus face is for portraits; FaceID, InstantID, PuLID and "
                        "WithAnyone also read the face by a recognition network. FLUX.1 has PuLID, XLabs, InstantX and "
                        "WithAnyone, SD3.5 InstantX.",
                    },
                ),
                "precision": _precision(),
                "device": _device(),
            },
            "optional": {"clip_vision": _clip_vision()},
        }

    @classmethod
    def IS_CHANGED(cls, kind: str, **_: Any) -> str:
        return conventions.state()

    def load(self, model: Any, kind: str, precision: str, device: str, clip_vision: Any = None) -> dict[str, Any]:
        files = conventions.find(kind, conventions.family(model))
        engine = engines.open_engine(
            files.checkpoint,
            files.image_encoder,
            folders.BUILT_IN,
            engines.AUTO,
            precision,
            device,
            clip_vision,
            files.faces,
        )
        text = str(files)
        return {"ui": {"text": [text]}, "result": (engine, text)}
