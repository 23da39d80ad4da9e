"""Opening identity models, once for each way of opening them."""

from __future__ import annotations

import os
import weakref
from dataclasses import dataclass
from typing import Any

import torch
from comfy import model_management
from omniid import EncoderKind, Engine, MismatchError, UnsupportedError

from . import embeds, folders
from .progress import reporter

AUTO, CPU, CUDA = "auto", "cpu", "cuda"

_open: weakref.WeakValueDictionary[Any, Engine] = weakref.WeakValueDictionary()
_without_cuda = False
"""Whether the library has turned out to be built without CUDA."""


@dataclass(frozen=True)
class Faces:
    """What models of faces need besides: names of files as nodes have them."""

    recogniser: str = folders.NONE
    parser: str = folders.NONE
    variant: str = AUTO
    """Which published model a checkpoint is, where two have the same tensors."""


def paths(checkpoint: str, image_encoder: str, detector: str) -> list[str | None]:
    """The files of the names that a node was given; None where it was given none."""
    return [
        folders.find(checkpoint, folders.ADAPTERS),
        _optional(image_encoder, ["clip_vision", folders.MODELS]),
        detector_path(detector),
    ]


def face_paths(faces: Faces) -> list[str | None]:
    """The same for face recogniser and face parser."""
    return [
        _optional(faces.recogniser, [folders.INSIGHTFACE, folders.FACEXLIB, folders.MODELS]),
        _optional(faces.parser, [folders.FACEXLIB, folders.MODELS]),
    ]


def _optional(name: str, places: list[str]) -> str | None:
    return None if name == folders.NONE else folders.find(name, places)


def detector_path(detector: str) -> str | None:
    """The file of a face detector; None for the one in the checkpoint or in the library."""
    return None if detector in (folders.BUILT_IN, folders.NONE) else folders.find(detector, [folders.MODELS])


def open_engine(
    checkpoint: str,
    image_encoder: str,
    detector: str,
    host: str,
    precision: str,
    device: str,
    clip_vision: Any = None,
    faces: Faces = Faces(),
) -> Engine:
    """The engine of these files: the one that is already open, if nothing has changed. With ComfyUI's CLIP vision model
    its photos are seen by that."""
    files = [*paths(checkpoint, image_encoder, detector), *face_paths(faces)]
    key = (folders.state(path for path in files if path), *files, host, precision, device, id(clip_vision), faces)
    engine = _open.get(key)
    if engine is None:
        chosen = [None if name == AUTO else name for name in (host, faces.variant)]
        engine = _open[key] = _opened(files, chosen[0], chosen[1], precision, device)
    if clip_vision is not None and engine.info.encoder == EncoderKind.OMNI_ID:
        raise UnsupportedError(
            f"{checkpoint} is a native checkpoint with its own image encoder: disconnect clip_vision"
        )
    embeds.use_clip_vision(engine, clip_vision)
    if host != AUTO and engine.info.has_adapter and engine.info.host != host:
        raise MismatchError(f"host is {host!r}; the adapter in {checkpoint} is for {engine.info.host!r}: choose auto")
    return engine


def _opened(files: list[str | None], host: str | None, variant: str | None, precision: str, device: str) -> Engine:
    checkpoint, image_encoder, detector, face_recogniser, face_parser = files
    keywords: dict[str, Any] = {
        "image_encoder": image_encoder,
        # Workflows with stored identities never need it.
        "defer_image_encoder": True,
        "detector": detector,
        "face_recogniser": face_recogniser,
        "face_parser": face_parser,
        "variant": variant,
        "host": host,
        "precision": precision,
        "progress": reporter(),
    }
    target = model_management.get_torch_device()
    if device == CUDA and target.type != "cuda":
        raise UnsupportedError(f"device is 'cuda'; ComfyUI runs on {target}")
    if device == CUDA and precision == "int8":
        raise UnsupportedError("precision is 'int8', which is computed on the processor only: choose cpu or auto")
    automatic = device == AUTO and not _without_cuda and precision != "int8"
    if target.type == "cuda" and (device == CUDA or automatic):
        engine = _opened_on_gpu(checkpoint, target, sum(os.path.getsize(path) for path in files if path), keywords)
        if engine is not None:
            return engine
        if device == CUDA:
            raise UnsupportedError("device is 'cuda'; this omniid library was built without CUDA")
    return Engine.open(checkpoint, device="cpu", **keywords)


def _opened_on_gpu(checkpoint: str | None, target: torch.device, size: int, keywords: dict[str, Any]) -> Engine | None:
    """The engine on ComfyUI's GPU; None if the library has no code for it."""
    global _without_cuda
    # ComfyUI does not manage the library's memory: room must be made, and PyTorch's allocator must return it to the
    # driver.
    model_management.free_memory(size, target)
    model_management.soft_empty_cache()
    try:
        return Engine.open(checkpoint, device=f"cuda:{target.index or 0}", **keywords)
    except UnsupportedError:
        _without_cuda = True
        return None
