"""Encode Photos and Extend Identity."""

from __future__ import annotations

import logging
import os
from typing import Any

import torch
from omniid import Encoded, Engine, Identity, InvalidArgumentError, Photo, PhotoReport

from .. import embeds, folders
from ..progress import reporter

_CROPS = ["default", "none", "center", "face", "aligned"]


def photo_inputs() -> dict[str, Any]:
    return {
        "images": ("IMAGE", {"tooltip": "Photos of one person: an image, or a batch."}),
        "folder": (
            "STRING",
            {
                "default": "",
                "tooltip": "A folder with more photos of this person, below ComfyUI's input folder or one that is "
                "listed under omniid_photos in extra_model_paths.yaml.",
            },
        ),
    }


def crop_input() -> Any:
    tooltip = "How photos are cropped. default: as the model was trained. face and aligned look for the face."
    return (_CROPS, {"default": "default", "tooltip": tooltip})


def features_of(
    engine: Engine, crop: str, bad_photo: str, images: Any, folder: str
) -> tuple[torch.Tensor, tuple[str, dict[str, list[str]]]]:
    """Features `[photos, tokens, width]` of images and of a folder, and the report on them."""
    clip_vision = embeds.clip_vision_of(engine)
    if clip_vision is not None and not folder.strip() and images is not None and crop in ("default", "none"):
        features = embeds.by_clip_vision(engine, clip_vision, images)
        text = "\n".join(f"{name}: used, seen by ComfyUI's CLIP vision" for name in image_names(images))
        return features[:, None] if features.dim() == 2 else features, (text, {"text": [text]})
    found = engine.photo_features(
        photos_of(images, folder),
        crop=crop,
        bad_photo=bad_photo,
        batch_size=batch_size(engine),
        progress=reporter(),
    )
    return torch.from_numpy(found.features), reported(found.photos)


def bad_photo_input() -> Any:
    return (["skip", "fail"], {"default": "skip", "tooltip": "What to do with a photo that cannot be used."})


def photos_of(images: Any, folder: str) -> list[Any]:
    """What the inputs of `photo_inputs` mean: images by their number, then the files of a folder."""
    photos: list[Any] = []
    if images is not None:
        for image, name in zip(images, image_names(images)):
            photos.append(Photo(image.detach().cpu().float().numpy(), name=name))
    if folder.strip():
        # Reports reach whoever queued the prompt: they name the folder as it was given, not where it is on the disk.
        name = folder.strip().rstrip("/\\")
        photos += [Photo(path, name=f"{name}/{os.path.basename(path)}") for path in folders.photos_in(folder.strip())]
    if not photos:
        raise InvalidArgumentError("no photos: connect images, or name a folder")
    return photos


def image_names(images: Any) -> list[str]:
    """What the images of a batch are called in reports and messages."""
    count = len(images)
    return [f"image {number} of the batch" for number in range(1, count + 1)] if count > 1 else ["the image"]


def batch_size(engine: Engine) -> int:
    """How many photos pass the image encoder together. On the processor more are not faster, and Cancel is heard
    between two."""
    return 1 if engine.info.device == "cpu" else 0


def encode_faces(
    engine: Engine, photos: list[Any], combine: str, weight_faceidv2: float = 1.0, **options: Any
) -> Encoded:
    """The identity of photos by a model that reads face embeddings: what is combined are these."""
    return engine.encode(
        photos,
        combine=embeds.COMBINE[combine],
        shortcut_scale=None if weight_faceidv2 == 1 else weight_faceidv2,
        batch_size=batch_size(engine),
        progress=reporter(),
        **options,
    )


def reported(photos: tuple[PhotoReport, ...]) -> tuple[str, dict[str, list[str]]]:
    """What became of each photo, a line for each, and what the page shows of it."""
    lines = [
        f"{report.name}: {'used' if report.used else 'left out'}{report.reason and ', ' + report.reason}"
        for report in photos
    ]
    left_out = [line for line, report in zip(lines, photos) if not report.used]
    for line in left_out:
        logging.warning("[OmniID] %s", line)
    text = "\n".join(lines)
    return text, {"text": [text], **({"warning": left_out} if left_out else {})}


def _answer(encoded: Encoded) -> dict[str, Any]:
    text, shown = reported(encoded.photos)
    return {"ui": shown, "result": (encoded.identity, text)}


class PhotoNode:
    """What the nodes that take photos have in common."""

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


class EncodePhotos(PhotoNode):
    """Makes an identity of photos."""

    DESCRIPTION = "Makes one identity of one or many photos of the same person."
    SEARCH_ALIASES = ["ipadapter encoder", "face", "identity", "reference photos"]
    FUNCTION = "encode"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "omniid": ("OMNIID_MODEL", {"tooltip": "The identity model."}),
                "crop": crop_input(),
                "bad_photo": bad_photo_input(),
                "label": ("STRING", {"default": "", "tooltip": "A name to show, stored with the identity."}),
            },
            "optional": {
                **photo_inputs(),
                "combine": (
                    embeds.METHODS,
                    {
                        "default": "concat",
                        "tooltip": "How several photos become one identity. concat: as the model does it. The others "
                        "make one photo of them first, as in IPAdapter_plus.",
                        "advanced": True,
                    },
                ),
            },
        }

    def encode(
        self,
        omniid: Engine,
        crop: str,
        bad_photo: str,
        label: str,
        images: Any = None,
        folder: str = "",
        combine: str = "concat",
    ) -> dict[str, Any]:
        if embeds.reads_faces(omniid):
            photos = photos_of(images, folder)
            options = {"crop": crop, "bad_photo": bad_photo, "label": label}
            return _answer(encode_faces(omniid, photos, combine, 1.0, **options))
        if combine != "concat" or embeds.clip_vision_of(omniid) is not None:
            features, (text, shown) = features_of(omniid, crop, bad_photo, images, folder)
            return {"ui": shown, "result": (embeds.identity(omniid, embeds.combine(features, combine), label), text)}
        encoded = omniid.encode(
            photos_of(images, folder),
            crop=crop,
            bad_photo=bad_photo,
            label=label,
            batch_size=batch_size(omniid),
            progress=reporter(),
        )
        return _answer(encoded)


class ExtendIdentity(PhotoNode):
    """Adds photos to an identity."""

    DESCRIPTION = "Makes a new identity of an identity and more photos, at the price of the new ones."
    SEARCH_ALIASES = ["add photos"]
    FUNCTION = "extend"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "omniid": ("OMNIID_MODEL", {"tooltip": "The identity model that made the identity."}),
                "identity": ("OMNIID_IDENTITY", {"tooltip": "The identity to extend."}),
                "crop": crop_input(),
                "bad_photo": bad_photo_input(),
            },
            "optional": photo_inputs(),
        }

    def extend(
        self, omniid: Engine, identity: Identity, crop: str, bad_photo: str, images: Any = None, folder: str = ""
    ) -> dict[str, Any]:
        encoded = omniid.extend(
            identity,
            photos_of(images, folder),
            crop=crop,
            bad_photo=bad_photo,
            batch_size=batch_size(omniid),
            progress=reporter(),
        )
        return _answer(encoded)
