"""Opening identity models, once for each way of opening them."""

from __future__ import annotations

import os
import weakref
from typing import Any

from comfy import model_management
from omniid import DeviceError, Engine, UnsupportedError

from . import folders
from .progress import reporter

AUTO, CPU, CUDA = "auto", "cpu", "cuda"

_open: weakref.WeakValueDictionary[Any, Engine] = weakref.WeakValueDictionary()


def paths(checkpoint: str, image_encoder: str, detector: str) -> list[str | None]:
    """The files of the names that a node was given; None where it was given none."""
    chosen = (
        (checkpoint, [folders.MODELS, "ipadapter"]),
        (image_encoder, ["clip_vision", folders.MODELS]),
        (detector, [folders.MODELS]),
    )
    return [None if name == folders.NONE else folders.find(name, places) for name, places in chosen]


def open_engine(checkpoint: str, image_encoder: str, detector: str, host: str, precision: str, device: str) -> Engine:
    """The engine of these files; the one that is open already, if nothing has changed."""
    files = paths(checkpoint, image_encoder, detector)
    key = (folders.state(path for path in files if path), *files, host, precision, device)
    engine = _open.get(key)
    if engine is None:
        engine = _open[key] = _opened(files, None if host == AUTO else host, precision, device)
    return engine


def _opened(files: list[str | None], host: str | None, precision: str, device: str) -> Engine:
    checkpoint, image_encoder, detector = files
    keywords: dict[str, Any] = {
        "image_encoder": image_encoder,
        "detector": detector,
        "host": host,
        "precision": precision,
        "progress": reporter(),
    }
    target = model_management.get_torch_device()
    cuda = device != CPU and target.type == "cuda"
    if device == CUDA and not cuda:
        raise UnsupportedError(f"device is 'cuda'; ComfyUI runs on {target}")
    if cuda:
        # The library's memory is outside of ComfyUI's books: room has to be made, and PyTorch's allocator has to give it
        # back to the driver.
        model_management.free_memory(sum(os.path.getsize(path) for path in files if path), target)
        model_management.soft_empty_cache()
        try:
            return Engine.open(checkpoint, device=f"cuda:{target.index or 0}", **keywords)
        except (UnsupportedError, DeviceError):
            # `auto`: a library that was built without CUDA. The processor gives the same identities.
            if device == CUDA:
                raise
    return Engine.open(checkpoint, device="cpu", **keywords)
