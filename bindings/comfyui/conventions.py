"""The files of public IP-Adapters, by the names under which they are published."""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath

from omniid import UnsupportedError

from . import folders

VIT_H, VIT_BIG_G = "ViT-H", "ViT-bigG"

KINDS: dict[str, dict[str, tuple[str, str]]] = {
    "plus face": {"sd15": ("ip-adapter-plus-face_sd15", VIT_H), "sdxl": ("ip-adapter-plus-face_sdxl_vit-h", VIT_H)},
    "plus": {"sd15": ("ip-adapter-plus_sd15", VIT_H), "sdxl": ("ip-adapter-plus_sdxl_vit-h", VIT_H)},
    "standard": {"sd15": ("ip-adapter_sd15", VIT_H), "sdxl": ("ip-adapter_sdxl_vit-h", VIT_H)},
    "full face": {"sd15": ("ip-adapter-full-face_sd15", VIT_H)},
    "light": {"sd15": ("ip-adapter_sd15_light_v11", VIT_H)},
    "ViT-bigG": {"sd15": ("ip-adapter_sd15_vit-G", VIT_BIG_G), "sdxl": ("ip-adapter_sdxl", VIT_BIG_G)},
}
"""The file and its image encoder, for each kind and family of UNets."""

_OLDER = {"ip-adapter_sd15_light_v11": "ip-adapter_sd15_light"}

IMAGE_ENCODERS = {
    VIT_H: ("CLIP-ViT-H-14-laion2B-s32B-b79K", r"vith14|clipvisionh|^(?!.*sdxl).*imageencoder"),
    VIT_BIG_G: ("CLIP-ViT-bigG-14-laion2B-39B-b160k", r"vitbigg14|clipvisiong|sdxl.*imageencoder"),
}
"""The file, and by what its path, letters and digits only, is known: the encoders lie under many names."""


def family(layers: int) -> str:
    """The family of UNets with so many cross-attention layers."""
    families = {16: "sd15", 70: "sdxl"}
    if layers not in families:
        raise UnsupportedError(
            f"the UNet has {layers} cross-attention layers; IP-Adapters are found by name for SD1.5 (16) and SDXL "
            "(70). Choose the files in Load Model"
        )
    return families[layers]


def find(kind: str, family: str) -> tuple[str, str]:
    """The names of checkpoint and image encoder as `folders` lists them."""
    if family not in KINDS[kind]:
        known = ", ".join(name for name, files in KINDS.items() if family in files)
        raise UnsupportedError(f"there is no IP-Adapter of the kind {kind!r} for {family}; there are: {known}")
    checkpoint, encoder = KINDS[kind][family]
    return _checkpoint(checkpoint), _image_encoder(encoder)


def _checkpoint(wanted: str) -> str:
    names = folders.checkpoints()
    for candidate in (wanted, _OLDER.get(wanted, wanted)):
        for name in names:
            if _plain(PurePosixPath(name.replace("\\", "/")).stem) == _plain(candidate):
                return name
    raise FileNotFoundError(
        f"there is no {wanted}.safetensors in models/ipadapter; docs/hosts/comfyui.md says where it is"
    )


def _image_encoder(which: str) -> str:
    file, pattern = IMAGE_ENCODERS[which]
    for name in folders.image_encoders():
        if re.search(pattern, _plain(name)):
            return name
    raise FileNotFoundError(
        f"there is no {file}.safetensors in models/clip_vision, the image encoder {which} of this IP-Adapter; "
        "docs/hosts/comfyui.md says where it is"
    )


def _plain(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


def state() -> str:
    """A text that changes when the lists of files do."""
    return hashlib.sha256("\0".join([*folders.checkpoints(), *folders.image_encoders()]).encode()).hexdigest()
