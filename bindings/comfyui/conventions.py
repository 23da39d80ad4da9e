"""The files of public adapters, by the names under which they are published."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from omniid import UnsupportedError

from . import dit, folders, headers, host
from .engines import AUTO, Faces

VIT_H, VIT_BIG_G, EVA, VIT_L = "ViT-H", "ViT-bigG", "EVA02-CLIP-L/14-336", "CLIP ViT-L/14"
SIGLIP, SIGLIP_BASE = "SigLIP so400m", "SigLIP base"


@dataclass(frozen=True)
class Published:
    """An adapter: what its file is called, and what it needs besides."""

    names: tuple[str, ...]
    """Names of its file without the ending, the preferred one first."""
    image_encoder: str | None
    face_recogniser: str | None = None
    """The name of the face network's file without the ending."""
    face_parser: bool = False
    """Whether a face parser is used if there is one."""
    variant: str = AUTO
    folder: str = "ipadapter"
    """Where its file is expected. A name in `_ANYBODYS` counts only there."""
    tensors: bytes | None = None
    """What the names of its tensors have, as a regular expression, where the file's name says nothing. A file of one of
    `names` is taken first."""


def _of_images(name: str, image_encoder: str = VIT_H, *older: str) -> Published:
    return Published((name, *older), image_encoder)


def _of_faces(*names: str, plus: bool = False, variant: str = AUTO) -> Published:
    names = tuple(f"ip-adapter-faceid-{name}" for name in names)
    return Published(names, VIT_H if plus else None, _W600K, variant=variant)


def _pulid(*names: str) -> Published:
    return Published(names, EVA, _GLINTR, True, folder="pulid")


def _by_tensors(tensors: bytes, image_encoder: str, *names: str, recogniser: str | None = None) -> Published:
    return Published(names, image_encoder, recogniser, tensors=tensors)


_W600K, _GLINTR = "w600k_r50", "glintr100"

KINDS: dict[str, dict[str, Published]] = {
    "plus face": {
        "sd15": _of_images("ip-adapter-plus-face_sd15"),
        "sdxl": _of_images("ip-adapter-plus-face_sdxl_vit-h"),
    },
    "plus": {"sd15": _of_images("ip-adapter-plus_sd15"), "sdxl": _of_images("ip-adapter-plus_sdxl_vit-h")},
    "standard": {"sd15": _of_images("ip-adapter_sd15"), "sdxl": _of_images("ip-adapter_sdxl_vit-h")},
    "full face": {"sd15": _of_images("ip-adapter-full-face_sd15")},
    "light": {"sd15": _of_images("ip-adapter_sd15_light_v11", VIT_H, "ip-adapter_sd15_light")},
    "ViT-bigG": {
        "sd15": _of_images("ip-adapter_sd15_vit-G", VIT_BIG_G),
        "sdxl": _of_images("ip-adapter_sdxl", VIT_BIG_G),
    },
    "FaceID": {
        "sd15": Published(("ip-adapter-faceid_sd15",), None, _W600K),
        "sdxl": Published(("ip-adapter-faceid_sdxl",), None, _W600K),
    },
    "FaceID Plus": {"sd15": _of_faces("plus_sd15", plus=True, variant="faceid-plus")},
    "FaceID Plus V2": {
        "sd15": _of_faces("plusv2_sd15", plus=True),
        "sdxl": _of_faces("plusv2_sdxl", plus=True),
    },
    "FaceID Portrait": {
        "sd15": _of_faces("portrait-v11_sd15", "portrait_sd15"),
        "sdxl": _of_faces("portrait_sdxl"),
    },
    "FaceID Portrait unnorm": {"sdxl": _of_faces("portrait_sdxl_unnorm", variant="faceid-portrait-unnorm")},
    "InstantID": {
        "sdxl": Published(
            ("ip-adapter_instant_id_sdxl", "ip-adapter-instantid", "instantid-ip-adapter", "ip-adapter"),
            None,
            _GLINTR,
            variant="instantid",
            folder="instantid",
        )
    },
    "PuLID": {
        "sdxl": _pulid("pulid_v1.1", "pulid_v1", "ip-adapter_pulid_sdxl_fp16"),
        "flux": _pulid("pulid_flux_v0.9.1", "pulid_flux_v0.9.0"),
    },
    "XLabs": {
        "flux": _by_tensors(rb"double_stream_k_proj", VIT_L, "flux-ip-adapter-v2", "flux-ip-adapter", "ip_adapter")
    },
    "InstantX": {
        # FLUX.1 has 57 blocks, numbered from 0.
        "flux": _by_tensors(rb"(?<!\d)56\.to_k_ip", SIGLIP, "flux.1-dev-ip-adapter", "ip-adapter"),
        "sd35": _by_tensors(rb"time_embedding\.linear_1", SIGLIP, "sd3.5-large-ip-adapter", "ip-adapter"),
    },
    "WithAnyone": {"flux": _by_tensors(rb"ipa_arc\.|arcface_in_arc", SIGLIP_BASE, "withanyone", recogniser=_GLINTR)},
}
"""The adapter for each kind and family of models."""

_ANYBODYS = {"ip-adapter"}
"""Names that adapters of several kinds are published under."""

IMAGE_ENCODERS = {
    VIT_H: ("CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors", r"vith14|clipvisionh|^(?!.*sdxl).*imageencoder"),
    VIT_BIG_G: ("CLIP-ViT-bigG-14-laion2B-39B-b160k.safetensors", r"vitbigg14|clipvisiong|sdxl.*imageencoder"),
    EVA: ("EVA02_CLIP_L_336_psz14_s6B.pt", r"eva02clipl(14)?336"),
    VIT_L: ("clip-vit-large-patch14.safetensors", r"vitl(arge)?(patch)?14(?!336)|clipvisionl"),
    SIGLIP: ("siglip-so400m-patch14-384.safetensors", r"so400mpatch14384|sigclipvisionpatch14384"),
    SIGLIP_BASE: ("siglip-base-patch16-256-i18n.safetensors", r"siglipbasepatch16256"),
}
"""The file, and by what its path, letters and digits only, is known: the encoders lie under many names."""


@dataclass(frozen=True)
class Files:
    """What was found, by the names that `folders` lists."""

    checkpoint: str
    image_encoder: str
    faces: Faces

    def __str__(self) -> str:
        names = (self.checkpoint, self.image_encoder, self.faces.recogniser, self.faces.parser)
        return ", ".join(name for name in names if name != folders.NONE)


def family(model: Any) -> str:
    """The family of a ModelPatcher's model: that of UNets with so many cross-attention layers, or a transformer's."""
    if dit.is_flux(model):
        return "flux"
    if dit.is_sd3(model):
        return "sd35"
    layers = len(host.places(model))
    families = {16: "sd15", 70: "sdxl"}
    if layers not in families:
        raise UnsupportedError(
            f"the UNet has {layers} cross-attention layers; IP-Adapters are found by name for SD1.5 (16) and SDXL "
            "(70). Choose the files in Load Model"
        )
    return families[layers]


def find(kind: str, family: str) -> Files:
    """The files of a kind of adapter, for a family of models."""
    if family not in KINDS[kind]:
        known = ", ".join(name for name, files in KINDS.items() if family in files)
        raise UnsupportedError(f"there is no IP-Adapter of the kind {kind!r} for {family}; there are: {known}")
    published = KINDS[kind][family]
    encoder = folders.NONE if published.image_encoder is None else _image_encoder(published.image_encoder)
    recogniser = folders.NONE if published.face_recogniser is None else _face_recogniser(published.face_recogniser)
    parsers = [name for name in folders.face_parsers() if "bisenet" in _plain(name)] if published.face_parser else []
    parser = parsers[0] if parsers else folders.NONE
    return Files(_checkpoint(published), encoder, Faces(recogniser, parser, published.variant))


def _checkpoint(published: Published) -> str:
    if published.tensors is not None:
        return _by_content(published, published.tensors)
    for wanted in published.names:
        for name in folders.checkpoints():
            if _stem(name) != _plain(wanted):
                continue
            if wanted not in _ANYBODYS or published.folder in _plain(_last_folders(name)):
                return name
    raise FileNotFoundError(
        f"there is no {published.names[0]} (.safetensors or .bin) in models/{published.folder}; "
        "docs/hosts/comfyui.md says where it is"
    )


def _by_content(published: Published, tensors: bytes) -> str:
    """The file with such tensors, one under a known name first."""
    known = [_plain(name) for name in published.names]

    def rank(name: str) -> int:
        return known.index(_stem(name)) if _stem(name) in known else len(known)

    for name in sorted(folders.checkpoints(), key=rank):
        if re.search(tensors, headers.tensor_names(folders.find(name, folders.ADAPTERS))):
            return name
    raise FileNotFoundError(
        f"no file in models/{published.folder} has the tensors of this adapter, whatever its name; "
        "docs/hosts/comfyui.md says where it is"
    )


def _last_folders(name: str) -> str:
    """The names of the two folders that a checkpoint is in."""
    return "/".join(PurePosixPath(folders.find(name, folders.ADAPTERS).replace("\\", "/")).parts[-3:-1])


def _image_encoder(which: str) -> str:
    file, pattern = IMAGE_ENCODERS[which]
    for name in folders.image_encoders():
        if re.search(pattern, _plain(name)):
            return name
    raise FileNotFoundError(
        f"there is no {file} in models/clip_vision, the image encoder {which} of this IP-Adapter; "
        "docs/hosts/comfyui.md says where it is"
    )


def _face_recogniser(which: str) -> str:
    for name in folders.face_recognisers():
        if _stem(name) == _plain(which):
            return name
    pack = {_W600K: "buffalo_l", _GLINTR: "antelopev2"}[which]
    raise FileNotFoundError(
        f"there is no {which}.onnx in models/insightface/models/{pack}, the face network of this adapter; "
        "docs/hosts/comfyui.md says where it is"
    )


def _stem(name: str) -> str:
    return _plain(PurePosixPath(name.replace("\\", "/")).stem)


def _plain(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


def state() -> str:
    """A text that changes when the lists of files do."""
    lists = (folders.checkpoints(), folders.image_encoders(), folders.face_recognisers(), folders.face_parsers())
    return hashlib.sha256("\0".join(name for names in lists for name in names).encode()).hexdigest()
