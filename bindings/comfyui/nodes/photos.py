"""Encode Photos and Extend Identity."""

from __future__ import annotations

from typing import Any

from omniid import Encoded, Engine, Identity, InvalidArgumentError

from .. import folders
from ..progress import reporter

_CROPS = ["default", "none", "center", "face", "aligned"]


def _photo_inputs() -> dict[str, Any]:
    return {
        "images": ("IMAGE", {"tooltip": "Photos of one person: an image, or a batch."}),
        "folder": (
            "STRING",
            {
                "default": "",
                "tooltip": "A folder with more photos of this person; a relative one is below ComfyUI's input folder.",
            },
        ),
    }


def _crop_input() -> Any:
    tooltip = "How photos are cropped. default: as the model was trained. face and aligned need a detector."
    return (_CROPS, {"default": "default", "tooltip": tooltip})


def _bad_photo_input() -> Any:
    return (["skip", "fail"], {"default": "skip", "tooltip": "What to do with a photo that cannot be used."})


def _photos(images: Any, folder: str) -> list[Any]:
    photos: list[Any] = [] if images is None else [image.detach().cpu().float().numpy() for image in images]
    if folder.strip():
        photos += folders.photos_in(folder.strip())
    if not photos:
        raise InvalidArgumentError("no photos: connect images, or name a folder")
    return photos


def _answer(encoded: Encoded) -> tuple[Identity, str]:
    lines = [f"{report.name}: {'used' if report.used else 'left out'}{report.reason and ', ' + report.reason}"
             for report in encoded.photos]  # fmt: skip
    return encoded.identity, "\n".join(lines)


class _Photos:
    """What both nodes have in common."""

    CATEGORY = "OmniID"
    RETURN_TYPES = ("OMNIID_IDENTITY", "STRING")
    RETURN_NAMES = ("identity", "report")
    OUTPUT_TOOLTIPS = ("The person.", "What became of each photo.")

    @classmethod
    def IS_CHANGED(cls, folder: str = "", **_: Any) -> str:
        return folders.state(folders.photos_in(folder.strip())) if folder.strip() else ""

    @classmethod
    def VALIDATE_INPUTS(cls, folder: str = "") -> bool | str:
        try:
            if folder and folder.strip():
                folders.photos_in(folder.strip())
        except OSError as error:
            return str(error)
        return True


class EncodePhotos(_Photos):
    """Makes an identity of photos."""

    DESCRIPTION = "Makes one identity of one or many photos of the same person."
    FUNCTION = "encode"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "omniid": ("OMNIID_MODEL", {"tooltip": "The identity model."}),
                "crop": _crop_input(),
                "bad_photo": _bad_photo_input(),
                "label": ("STRING", {"default": "", "tooltip": "A name to show, stored with the identity."}),
            },
            "optional": _photo_inputs(),
        }

    def encode(
        self, omniid: Engine, crop: str, bad_photo: str, label: str, images: Any = None, folder: str = ""
    ) -> tuple[Identity, str]:
        photos = _photos(images, folder)
        return _answer(omniid.encode(photos, crop=crop, bad_photo=bad_photo, label=label, progress=reporter()))


class ExtendIdentity(_Photos):
    """Adds photos to an identity."""

    DESCRIPTION = "Makes a new identity of an identity and more photos, at the price of the new ones."
    FUNCTION = "extend"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "omniid": ("OMNIID_MODEL", {"tooltip": "The identity model that made the identity."}),
                "identity": ("OMNIID_IDENTITY", {"tooltip": "The identity to extend."}),
                "crop": _crop_input(),
                "bad_photo": _bad_photo_input(),
            },
            "optional": _photo_inputs(),
        }

    def extend(
        self, omniid: Engine, identity: Identity, crop: str, bad_photo: str, images: Any = None, folder: str = ""
    ) -> tuple[Identity, str]:
        photos = _photos(images, folder)
        return _answer(omniid.extend(identity, photos, crop=crop, bad_photo=bad_photo, progress=reporter()))
