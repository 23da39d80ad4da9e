"""The LoRA of an identity model in a diffusers UNet: hooks on its linear layers, and nothing else.

Weights stay as they are, and no other module takes their place. So there is nothing to undo with rounding, PEFT is not
needed, and a LoRA that PEFT has put into the model acts beside this one.
"""

from __future__ import annotations

import tempfile
import threading
import weakref
from pathlib import Path
from typing import Any, Callable

import safetensors.torch
import torch

from .. import errors
from ..lora import Lora

_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"

Pair = tuple[torch.Tensor, torch.Tensor]
"""The two matrices of a linear layer: `[rank, input]` and `[output, rank]`."""


class Matrices:
    """The matrices of a LoRA by the names of the linear layers, on any device and in any type. Copies are made when
    they are first needed; there is no copy where device and type are already right."""

    def __init__(self, lora: Lora) -> None:
        with tempfile.TemporaryDirectory(prefix="omniid-") as folder:
            path = Path(folder) / "lora.safetensors"
            lora.save(path, "diffusers")
            # The file goes away: copies, where the loader would map it.
            tensors = safetensors.torch.load(path.read_bytes())
        self.pairs: dict[str, Pair] = {}
        for name, down in tensors.items():
            if name.endswith(_DOWN):
                module = name.removesuffix(_DOWN)
                self.pairs[module.removeprefix("unet.")] = (down, tensors[module + _UP])
        self._copies: dict[tuple[str, torch.device, torch.dtype], Pair] = {}
        self._lock = threading.Lock()

    def on(self, name: str, like: torch.Tensor) -> Pair:
        """Those of one layer, on the device of a tensor and of its type."""
        down, up = self.pairs[name]
        if (down.device, down.dtype) == (like.device, like.dtype):
            return down, up
        key = (name, like.device, like.dtype)
        with self._lock:
            if key not in self._copies:
                # Of one device and type only: a model that was moved has left the others for good.
                self._copies = {other: pair for other, pair in self._copies.items() if other[1:] == key[1:]}
                self._copies[key] = (down.to(like.device, like.dtype), up.to(like.device, like.dtype))
            return self._copies[key]


_matrices: weakref.WeakKeyDictionary[Lora, Matrices] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def matrices_of(lora: Lora) -> Matrices:
    """The matrices of a LoRA, read once."""
    with _lock:
        found = _matrices.get(lora)
        if found is None:
            found = _matrices[lora] = Matrices(lora)
        return found


def hook(model: torch.nn.Module, lora: Lora, scale: Callable[[], float]) -> list[Any]:
    """Puts a LoRA into a model: each of its linear layers gives up(down(input)) times `scale()` more. Gives what has to
    be removed to take it out again."""
    matrices = matrices_of(lora)
    layers = {name: _linear(model, name, pair) for name, pair in matrices.pairs.items()}
    return [layer.register_forward_hook(_added(matrices, name, scale)) for name, layer in layers.items()]


def _added(matrices: Matrices, name: str, scale: Callable[[], float]) -> Callable[..., torch.Tensor | None]:
    def add(_: object, inputs: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor | None:
        factor = scale()
        if factor == 0:
            return None
        down, up = matrices.on(name, output)
        addition = torch.nn.functional.linear(torch.nn.functional.linear(inputs[0].to(down.dtype), down), up)
        return output + (addition if factor == 1 else addition * factor)

    return add


def _linear(model: torch.nn.Module, name: str, pair: Pair) -> torch.nn.Module:
    """The linear layer of that name, which must fit."""
    attention = name.rsplit(".to_", 1)[0]
    try:
        layer: Any = model.get_submodule(name)
        # The module says that it was fused ever; its processor, whether it is.
        fused = "Fused" in type(getattr(model.get_submodule(attention), "processor", None)).__name__
    except AttributeError:
        raise errors.MismatchError(
            f"the model's LoRA changes a layer {name!r}; {type(model).__name__} has none. Attach to the UNet that the "
            "checkpoint is for, or pass lora_scale=0 to leave the LoRA out"
        ) from None
    if fused:
        raise errors.UnsupportedError(
            f"{attention}: its projections are fused, so that the LoRA's layers are never called; call "
            "unfuse_qkv_projections() before attaching"
        )
    expected, found = (int(pair[0].shape[1]), int(pair[1].shape[0])), (layer.in_features, layer.out_features)
    if expected != found:
        raise errors.MismatchError(
            f"{name}: the LoRA maps width {expected[0]} to {expected[1]}, the layer {found[0]} to {found[1]}"
        )
    return layer
