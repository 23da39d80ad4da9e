"""FaceID, InstantID and PuLID, each in one node, with the names of the packs that people know."""

from __future__ import annotations

from typing import Any

from omniid import Engine

from .. import dit, embeds
from ..people import METHODS, NEUTRAL, WEIGHT_TYPES, Options, Person, apply
from .apply import steps
from .control import conditioned, control_picture, tokens_of
from .photos import encode_faces, photos_of, reported

_MODEL = ("OMNIID_MODEL", {"tooltip": "From Load Model or Load IP-Adapter, with a face recogniser."})
_IMAGE = ("IMAGE", {"tooltip": "Photos of one person: an image, or a batch."})
_MASK = ("MASK", {"tooltip": "Where in the picture; without a mask, everywhere."})


def _number(default: float, low: float, high: float, tooltip: str) -> Any:
    return ("FLOAT", {"default": default, "min": low, "max": high, "step": 0.05, "tooltip": tooltip})


def combine_input(default: str) -> Any:
    tooltip = "How several photos become one identity: concat puts their tokens side by side, the others make one face."
    return (embeds.METHODS, {"default": default, "tooltip": tooltip})


class _FaceNode:
    CATEGORY = "OmniID"
    FUNCTION = "apply"


class ApplyFaceID(_FaceNode):
    """IP-Adapter FaceID, Plus, PlusV2 and Portrait."""

    DESCRIPTION = (
        "Puts a person into a model by IP-Adapter FaceID, Plus, PlusV2 or Portrait, with the LoRA that is part of it. "
        "For saved identities, several people and masks for each picture: Encode Photos and Apply Identity."
    )
    SEARCH_ALIASES = ["ipadapter faceid", "faceid plus v2", "ip-adapter faceid"]
    RETURN_TYPES = ("MODEL", "OMNIID_IDENTITY", "STRING")
    RETURN_NAMES = ("model", "identity", "report")
    OUTPUT_TOOLTIPS = ("The model with the person in it.", "The person.", "What became of each photo.")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": ("MODEL", {"tooltip": "A UNet of SD1.5 or SDXL, without FaceID's LoRA."}),
                "omniid": _MODEL,
                "image": _IMAGE,
                "weight": _number(1.0, -1.0, 3.0, "Weight of the identity."),
                "weight_faceidv2": _number(
                    1.0, -1.0, 5.0, "PlusV2: weight of the picture of the face beside its identity. Others: leave at 1."
                ),
                "weight_type": (WEIGHT_TYPES, {"default": "linear", "tooltip": "How the weight is spread."}),
                "combine_embeds": combine_input("concat"),
                **steps(),
                "lora_strength": _number(
                    1.0, 0.0, 2.0, "Strength of the LoRA; 0 leaves it out, for a model that has it."
                ),
            },
            "optional": {"attn_mask": _MASK},
        }

    def apply(
        self,
        model: Any,
        omniid: Engine,
        image: Any,
        weight: float,
        weight_faceidv2: float,
        weight_type: str,
        combine_embeds: str,
        start_at: float,
        end_at: float,
        lora_strength: float,
        attn_mask: Any = None,
    ) -> dict[str, Any]:
        encoded = encode_faces(omniid, photos_of(image, ""), combine_embeds, weight_faceidv2)
        person = Person(encoded.identity, weight, start_at, end_at, attn_mask)
        patched = apply(model, omniid, [person], weight_type, Options(lora_strength=lora_strength))
        text, shown = reported(encoded.photos)
        return {"ui": shown, "result": (patched, encoded.identity, text)}


class ApplyInstantID(_FaceNode):
    """InstantID: the adapter, and what its ControlNet needs."""

    DESCRIPTION = (
        "Puts a person into SDXL by InstantID: keys and values into the UNet, and the identity's tokens and the points "
        "of the face to InstantID's ControlNet."
    )
    SEARCH_ALIASES = ["instantid", "apply instantid", "face keypoints"]
    RETURN_TYPES = ("MODEL", "CONDITIONING", "CONDITIONING", "IMAGE", "OMNIID_IDENTITY", "STRING")
    RETURN_NAMES = ("model", "positive", "negative", "control_picture", "identity", "report")
    OUTPUT_TOOLTIPS = (
        "The model with the person in it.",
        "For the sampler.",
        "For the sampler.",
        "The five points of the face on black, as the ControlNet sees them.",
        "The person.",
        "What became of each photo.",
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": ("MODEL", {"tooltip": "A UNet of SDXL."}),
                "omniid": _MODEL,
                "control_net": ("CONTROL_NET", {"tooltip": "InstantID's ControlNet, from Load ControlNet Model."}),
                "image": _IMAGE,
                "positive": ("CONDITIONING", {"tooltip": "The prompt."}),
                "negative": ("CONDITIONING", {"tooltip": "The negative prompt."}),
                "ip_weight": _number(0.8, 0.0, 3.0, "Weight of the identity in the UNet."),
                "cn_strength": _number(0.8, 0.0, 10.0, "Strength of the ControlNet."),
                "combine_embeds": combine_input("average"),
                **steps(),
            },
            "optional": {
                "image_kps": (
                    "IMAGE",
                    {"tooltip": "A picture whose face says where the points are; without it, the first photo."},
                ),
                "mask": _MASK,
            },
        }

    def apply(
        self,
        model: Any,
        omniid: Engine,
        control_net: Any,
        image: Any,
        positive: Any,
        negative: Any,
        ip_weight: float,
        cn_strength: float,
        combine_embeds: str,
        start_at: float,
        end_at: float,
        image_kps: Any = None,
        mask: Any = None,
    ) -> dict[str, Any]:
        encoded = encode_faces(omniid, photos_of(image, ""), combine_embeds)
        patched = model
        if ip_weight != 0:
            person = Person(encoded.identity, ip_weight, start_at, end_at, mask)
            patched = apply(model, omniid, [person], "linear", Options())
        picture = control_picture(omniid, image[:1] if image_kps is None else image_kps[:1])
        if cn_strength != 0:
            against, tokens = tokens_of(omniid, encoded.identity)
            positive, negative = conditioned(
                positive, negative, tokens, against, control_net, picture, cn_strength, (start_at, end_at), mask
            )
        text, shown = reported(encoded.photos)
        return {"ui": shown, "result": (patched, positive, negative, picture, encoded.identity, text)}


class ApplyPuLID(_FaceNode):
    """PuLID for SDXL and FLUX."""

    DESCRIPTION = "Puts a person into SDXL or FLUX.1 by PuLID."
    SEARCH_ALIASES = ["pulid", "apply pulid", "pulid flux", "fidelity"]
    RETURN_TYPES = ("MODEL", "OMNIID_IDENTITY", "STRING")
    RETURN_NAMES = ("model", "identity", "report")
    OUTPUT_TOOLTIPS = ("The model with the person in it.", "The person.", "What became of each photo.")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": ("MODEL", {"tooltip": "A UNet of SDXL, or FLUX.1 for PuLID's FLUX files."}),
                "omniid": _MODEL,
                "image": _IMAGE,
                "method": (
                    METHODS,
                    {
                        "default": METHODS[0],
                        "tooltip": "fidelity: most like the person; style: most like the picture without the person; "
                        "neutral: added as it is. FLUX knows neutral only, whatever is chosen.",
                    },
                ),
                "weight": _number(0.8, -1.0, 5.0, "Weight of the identity."),
                **steps(),
            },
            "optional": {"attn_mask": _MASK},
        }

    def apply(
        self,
        model: Any,
        omniid: Engine,
        image: Any,
        method: str,
        weight: float,
        start_at: float,
        end_at: float,
        attn_mask: Any = None,
    ) -> dict[str, Any]:
        encoded = encode_faces(omniid, photos_of(image, ""), "concat")
        person = Person(encoded.identity, weight, start_at, end_at, attn_mask)
        method = NEUTRAL if dit.is_flux(model) else method
        patched = apply(model, omniid, [person], "linear", Options(method=method))
        text, shown = reported(encoded.photos)
        return {"ui": shown, "result": (patched, encoded.identity, text)}
