"""The LoRA that belongs to some identity models."""

from __future__ import annotations

from ._handle import Handle
from ._library import c_path, check, choice, lib
from .enums import LoraFormat
from .types import PathLike


class Lora:
    """The LoRA of an identity model: small additions to the linear layers of the attention of its host.

    IP-Adapter FaceID, FaceID-Plus and PlusV2 were trained together with one; it is part of the model, and the host has
    to apply it. `omniid.diffusers.attach` does so; other hosts load the file that `save` writes, at strength 1.
    `Engine.lora` and `Conditioning.lora` have it. May be used from any number of threads at once, and keeps the
    engine in memory.
    """

    __slots__ = ("_handle", "model", "__weakref__")

    model: str
    """Fingerprint of the identity model that it belongs to."""

    def __init__(self, handle: Handle, model: str) -> None:
        self._handle = handle
        self.model = model

    def save(self, path: PathLike, format: LoraFormat | str = LoraFormat.KOHYA) -> None:
        """Writes it as a safetensors file, in the number types of the checkpoint. `format` is whose names the tensors
        get: "kohya", which ComfyUI, WebUI and most programs read, or "diffusers", which `load_lora_weights` reads. The
        file appears complete or not at all."""
        handle = self._handle
        check(lib.omniid_engine_save_lora(handle.pointer, c_path(path, "path"), choice(LoraFormat, format, "format")))

    def __repr__(self) -> str:
        return f"Lora(of {self.model[:16]})"
