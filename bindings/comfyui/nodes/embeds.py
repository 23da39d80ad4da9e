"""Photo Embeds, Combine Embeds and Identity from Embeds: what comes between photos and an identity."""

from __future__ import annotations

from typing import Any

import torch
from omniid import Engine, Identity, InvalidArgumentError

from .. import embeds
from .photos import PhotoNode, bad_photo_input, crop_input, features_of, photo_inputs


class PhotoEmbeds(PhotoNode):
    """What the image encoder makes of photos."""

    DESCRIPTION = (
        "What the image encoder makes of photos, each with a weight: for Combine Embeds and Identity from Embeds. They "
        "are the embeds of IPAdapter_plus, whose nodes take them too."
    )
    SEARCH_ALIASES = ["ipadapter encoder", "image weight"]
    FUNCTION = "encode"
    RETURN_TYPES = ("EMBEDS", "STRING")
    RETURN_NAMES = ("embeds", "report")
    OUTPUT_TOOLTIPS = ("For Combine Embeds and Identity from Embeds.", "What became of each photo.")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "omniid": ("OMNIID_MODEL", {"tooltip": "The identity model."}),
                "crop": crop_input(),
                "bad_photo": bad_photo_input(),
                "photo_weights": (
                    "STRING",
                    {"default": "1", "tooltip": "A weight for each photo, such as 1, 0.5; one number serves for all."},
                ),
            },
            "optional": photo_inputs(),
        }

    @classmethod
    def VALIDATE_INPUTS(cls, folder: str = "", photo_weights: str = "1") -> bool | str:
        try:
            embeds.parse_weights(photo_weights or "")
        except ValueError as error:
            return str(error)
        return super().VALIDATE_INPUTS(folder)

    def encode(
        self, omniid: Engine, crop: str, bad_photo: str, photo_weights: str, images: Any = None, folder: str = ""
    ) -> dict[str, Any]:
        features, (text, shown) = features_of(omniid, crop, bad_photo, images, folder)
        features = embeds.weighted(features, embeds.parse_weights(photo_weights))
        return {"ui": shown, "result": (features[:, 0] if embeds.takes_embedding(omniid) else features, text)}


class CombineEmbeds:
    """Several embeds as one."""

    DESCRIPTION = (
        "Several embeds as one. concat keeps them apart, so that an identity has the tokens of each; average and norm "
        "average make one that lies between them; subtract takes the mean of the others from the first."
    )
    CATEGORY = "OmniID"
    SEARCH_ALIASES = ["ipadapter combine embeds", "average", "norm average"]
    FUNCTION = "combine"
    RETURN_TYPES = ("EMBEDS",)
    RETURN_NAMES = ("embeds",)
    OUTPUT_TOOLTIPS = ("For Identity from Embeds.",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        more = {f"embeds_{number}": ("EMBEDS", {"tooltip": "More embeds."}) for number in range(2, 6)}
        return {
            "required": {
                "embeds_1": ("EMBEDS", {"tooltip": "Embeds of one photo or several."}),
                "method": (embeds.METHODS, {"default": "average", "tooltip": "How photos become one."}),
            },
            "optional": more,
        }

    def combine(self, embeds_1: torch.Tensor, method: str, **more: torch.Tensor) -> tuple[torch.Tensor]:
        parts = [embeds_1, *(more[name] for name in sorted(more) if more[name] is not None)]
        if len({part.shape[1:] for part in parts}) > 1:
            shapes = ", ".join(str(list(part.shape)) for part in parts)
            raise InvalidArgumentError(f"embeds of different models cannot be combined: their shapes are {shapes}")
        return (embeds.combine(torch.cat([part.float().cpu() for part in parts]), method),)


class IdentityFromEmbeds:
    """An identity of embeds."""

    DESCRIPTION = "An identity of embeds: those of Photo Embeds, combined perhaps, or those of IPAdapter_plus."
    CATEGORY = "OmniID"
    SEARCH_ALIASES = ["ipadapter embeds"]
    FUNCTION = "make"
    RETURN_TYPES = ("OMNIID_IDENTITY",)
    RETURN_NAMES = ("identity",)
    OUTPUT_TOOLTIPS = ("The person.",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "omniid": ("OMNIID_MODEL", {"tooltip": "The identity model."}),
                "embeds": ("EMBEDS", {"tooltip": "Embeds of one photo or several."}),
                "label": ("STRING", {"default": "", "tooltip": "A name to show, stored with the identity."}),
            }
        }

    def make(self, omniid: Engine, embeds: torch.Tensor, label: str) -> tuple[Identity]:
        return (_identity(omniid, embeds, label),)


_identity = embeds.identity
