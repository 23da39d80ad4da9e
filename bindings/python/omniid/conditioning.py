"""Conditionings: identities projected to the keys and values of a host's layers, and their injection."""

from __future__ import annotations

import ctypes
import functools
import operator
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Union

import numpy as np

from . import _abi, errors
from ._handle import Owner
from ._library import c_text, check, choice, failure, lib, natural, text
from ._masks import mask_values
from .enums import Injection, Layout, Role, StepUnit, Unconditional
from .identity import Identity, handle_of
from .lora import Lora
from .tensors import Slot, Tensor, torch_stream
from .types import ArrayLike, TensorLike

if TYPE_CHECKING:
    import numpy.typing as npt


class Step(NamedTuple):
    """The current step of sampling. Needed by identities that are limited to a range of steps."""

    fraction: float | None = None
    """Share of sampling that is done: 0 at the first step, 1 at the last."""
    sigma: float | None = None
    """Noise level of the step."""


@dataclass(frozen=True)
class HostLayer:
    """One attention layer of a host."""

    name: str
    """The host's own name of the layer; must be unique."""
    heads: int
    """Number of attention heads."""
    head_dim: int
    """Width of one head."""
    context: int
    """Width of the tokens that keys and values are projected from: 768 in SD1.5, 2048 in SDXL, 4096 in FLUX."""
    hidden: int = 0
    """Width of the image's hidden state, for a layer that adds to the residual stream (`inject_residual`); 0 for a
    layer inside an attention, and in a table that is handed in also for a width that the checkpoint says."""


@dataclass(frozen=True)
class ConditioningInput:
    """One identity to condition on."""

    identity: Identity
    """The identity."""
    scale: float = 1.0
    """Weight of the identity; 0 leaves it out."""
    mask: ArrayLike | None = None
    """Where in the picture it is injected: an array `[height, width]` of values from 0 to 1, or a Pillow image.
    Default: everywhere."""
    fraction: tuple[float, float] | None = None
    """First and last share of sampling, both within 0 to 1, at which it is injected. Default: always."""
    sigma: tuple[float, float] | None = None
    """Largest and smallest noise level at which it is injected, instead of `fraction`."""
    unconditional: Unconditional | str = Unconditional.DEFAULT
    """What unconditional rows see instead. Default: as the checkpoint's reference code."""
    negative: Identity | None = None
    """An identity that unconditional rows see instead; overrides `unconditional`."""
    composition: Identity | None = None
    """A second identity for the composition layers of the weight types "style and composition"."""


Identities = Union[Identity, ConditioningInput, Iterable[Union[Identity, ConditioningInput]]]
"""One identity to condition on, or several."""


class Conditioning(Owner):
    """Keys and values of identities for every layer of a host. Never changes; may be used from any number of threads
    at once.

    Made by `Engine.condition`. It no longer needs the identities, and the engine only for its `lora`.
    """

    __slots__ = (
        "layers", "identity_count", "masks", "has_step_ranges", "injection", "zero_tokens", "timesteps", "lora",
    )  # fmt: skip

    layers: tuple[HostLayer, ...]
    """The host's layers, in the order of the adapter."""
    identity_count: int
    """Number of identities."""
    masks: tuple[npt.NDArray[np.float32] | None, ...]
    """The mask of each identity as it was given, `[height, width]`; None where it has none."""
    has_step_ranges: bool
    """Whether an identity is limited to a range of steps, so that `inject` needs the step."""
    injection: Injection
    """How an identity's attention joins the layer's output."""
    zero_tokens: int
    """Number of further tokens with zero keys and values in each softmax; `keys` and `values` leave them out."""
    timesteps: tuple[float, ...]
    """The denoising timesteps that keys and values were computed for, where they depend on it: SD3.5. There `inject`
    needs the image's keys and values and, with several timesteps, the step's sigma. Else empty."""
    lora: Lora | None
    """The LoRA that the host has to apply beside it, if the model has one. Keeps the engine in memory."""

    @classmethod
    def _of(
        cls,
        pointer: ctypes._Pointer[Any],
        inputs: Sequence[ConditioningInput],
        injection: Injection,
        zero_tokens: int,
        timesteps: Sequence[float],
        lora: Lora | None,
    ) -> Conditioning:
        self = cls._adopt(pointer, lib.omniid_conditioning_free)
        self.layers = _layers(pointer)
        self.identity_count = len(inputs)
        self.masks = tuple(
            None if item.mask is None else mask_values(item.mask, f"identity {i}") for i, item in enumerate(inputs)
        )
        self.has_step_ranges = any(item.fraction is not None or item.sigma is not None for item in inputs)
        self.injection, self.zero_tokens = injection, zero_tokens
        self.timesteps = tuple(map(float, timesteps))
        self.lora = lora
        return self

    def close(self) -> None:
        """Frees it; if calls on other threads still use it, as soon as they end. May be called again."""
        super().close()
        self.lora = None

    @property
    def has_masks(self) -> bool:
        """Whether an identity has a mask, so that `inject` needs the latent picture's size."""
        return any(mask is not None for mask in self.masks)

    @property
    def layer_count(self) -> int:
        """Number of layers of the host."""
        return len(self.layers)

    @property
    def layer_names(self) -> tuple[str, ...]:
        """The host's own names of the layers."""
        return tuple(layer.name for layer in self.layers)

    @property
    def byte_size(self) -> int:
        """Bytes that all keys and values occupy."""
        handle = self._held()
        out = ctypes.c_size_t()
        check(lib.omniid_conditioning_byte_size(handle.pointer, ctypes.byref(out)))
        return out.value

    def find_layer(self, name: str) -> int:
        """Index of the layer with a name. diffusers and LDM spellings are known for the built-in hosts, with or
        without a trailing `.attn2`, `.attn` or `.processor`; so are ComfyUI addresses such as `output,1,3`."""
        handle = self._held()
        out = ctypes.c_size_t()
        check(lib.omniid_conditioning_find_layer(handle.pointer, c_text(name, "name"), ctypes.byref(out)))
        return out.value

    def keys(
        self, layer: int | str, identity: int = 0, role: Role | str = Role.CONDITIONAL, stream: int = 1
    ) -> Tensor | None:
        """The keys of one identity in one layer, `[tokens, heads, head_dim]`, without a copy; None where nothing is
        injected.

        On a GPU they may be read on `stream`, in DLPack's numbering. A host that runs its own attention adds
        factor x mask x softmax(q Kt / sqrt(head_dim)) V for each identity that is active at the step; see `factor`,
        `mask_factors` and `is_active`.
        """
        return self._handed_out(lib.omniid_conditioning_keys, layer, identity, role, stream)

    def values(
        self, layer: int | str, identity: int = 0, role: Role | str = Role.CONDITIONAL, stream: int = 1
    ) -> Tensor | None:
        """The values of one identity in one layer; see `keys`."""
        return self._handed_out(lib.omniid_conditioning_values, layer, identity, role, stream)

    def _handed_out(
        self, function: Callable[..., int], layer: int | str, identity: int, role: Role | str, stream: int
    ) -> Tensor | None:
        handle = self._held()
        index, identity = self._index(layer), natural(identity, "identity")
        role = choice(Role, role, "role")

        def source(stream: int) -> ctypes._Pointer[_abi.omniid_managed_tensor]:
            out = ctypes.POINTER(_abi.omniid_managed_tensor)()
            check(function(handle.pointer, index, identity, role, stream, ctypes.byref(out)))
            return out

        return Tensor._of(source, stream)

    def factor(self, layer: int | str, identity: int = 0) -> float:
        """Factor of one identity's attention output in one layer; 0 where nothing is injected."""
        handle = self._held()
        out = ctypes.c_float()
        index, identity = self._index(layer), natural(identity, "identity")
        check(lib.omniid_conditioning_factor(handle.pointer, index, identity, ctypes.byref(out)))
        return out.value

    def is_active(self, identity: int = 0, step: Step = Step()) -> bool:
        """Whether one identity is injected at a step."""
        handle = self._held()
        sigma = None if step.sigma is None else ctypes.byref(ctypes.c_double(step.sigma))
        fraction = None if step.fraction is None else ctypes.byref(ctypes.c_double(step.fraction))
        out = ctypes.c_int32()
        identity = natural(identity, "identity")
        check(lib.omniid_conditioning_is_active(handle.pointer, identity, sigma, fraction, ctypes.byref(out)))
        return bool(out.value)

    def mask_factors(
        self, identity: int, token_count: int, latent_size: tuple[int, int] = (0, 0)
    ) -> npt.NDArray[np.float32]:
        """One identity's mask as one factor for each of a layer's image tokens; 1 everywhere when it has no mask.
        `latent_size` is the latent picture's height and width."""
        handle = self._held()
        # The library writes the number of tokens asked for.
        out = np.empty(natural(token_count, "token_count"), dtype=np.float32)
        check(
            lib.omniid_conditioning_mask_factors(
                handle.pointer,
                natural(identity, "identity"),
                out.size,
                *_size(latent_size),
                out.ctypes.data_as(ctypes.POINTER(ctypes.c_float)),
            )
        )
        return out

    def inject(
        self,
        layer: int | str,
        query: TensorLike,
        output: TensorLike,
        *,
        scale: float = 1.0,
        roles: Sequence[Role | str | int] | None = None,
        step: Step | None = None,
        latent_size: tuple[int, int] | None = None,
        stream: int | None = None,
        layout: Layout | str = Layout.ROWS_FIRST,
        unchecked: bool = False,
        image_keys: TensorLike | None = None,
        image_values: TensorLike | None = None,
    ) -> None:
        """Adds the identities' attention to a layer's output, in the output's own memory:
        output += sum over identities of scale x mask x softmax(query Kt / sqrt(head_dim)) V.

        `query` and `output` are NumPy arrays, torch tensors or other DLPack tensors of float32, float16 or bfloat16,
        `[batch, rows, heads * head_dim]` or `[batch, rows, heads, head_dim]`, or, with `layout="heads_first"`,
        `[batch, heads, rows, head_dim]`; any strides that do not run backwards. They must not overlap, and no other
        thread may write them during the call.

        `scale` multiplies every identity's own. `roles` is the side of guidance of each batch row; default: all rows
        are conditional. `step` is needed by identities that are limited to a range of steps, `latent_size`, height
        and width of the latent picture, by those with a mask. `stream` is the CUDA stream of the tensors in DLPack's
        numbering; default: torch's current one for torch tensors, else the legacy default stream. `unchecked` skips
        the search for values in the query that are not finite.

        `image_keys` and `image_values` are for SD3.5, whose layers attend to the image and the identity together: what
        the layer makes of the image, in the layout of the query; keys and query before the layer normalises them.
        """
        handle = self._held()
        scratch = _scratch()
        call = scratch.call
        call.layer = layer if type(layer) is int and 0 <= layer else self._index(layer)
        if stream is None:
            stream = torch_stream(query)
        call.query, keep_query = scratch.query.describe(query, "query", False, stream)
        call.output, keep_output = scratch.output.describe(output, "output", True, stream)
        call.image_keys, keep_keys = scratch.image_keys.optional(image_keys, "image_keys", stream)
        call.image_values, keep_values = scratch.image_values.optional(image_values, "image_values", stream)
        call.scale = scale
        call.stream = stream
        call.layout = layout if type(layout) is Layout else choice(Layout, layout, "layout")
        if roles is None:
            call.roles, call.role_count = None, 0
        else:
            call.roles, call.role_count = _native_roles(tuple(roles))
        call.flags = _flags(call, step, unchecked)
        call.latent_height, call.latent_width = (0, 0) if latent_size is None else _size(latent_size)
        status = lib.omniid_inject(handle.pointer, scratch.pointer)
        if status:
            raise failure(status)
        del keep_query, keep_output, keep_keys, keep_values

    @property
    def needs_image_keys(self) -> bool:
        """Whether the image's own keys and values take part in each softmax (SD3.5), so that `inject` needs them."""
        found = ctypes.c_int32()
        check(lib.omniid_conditioning_needs_image_keys(self._held().pointer, ctypes.byref(found)))
        return bool(found.value)

    @property
    def is_residual(self) -> bool:
        """Whether the layers add to the residual stream, by `inject_residual`, and not to an attention, by `inject`."""
        return bool(self.layers) and self.layers[0].hidden > 0

    def inject_residual(
        self,
        layer: int | str,
        output: TensorLike,
        *,
        hidden: TensorLike | None = None,
        scale: float = 1.0,
        roles: Sequence[Role | str | int] | None = None,
        step: Step | None = None,
        latent_size: tuple[int, int] | None = None,
        stream: int | None = None,
        unchecked: bool = False,
    ) -> None:
        """Adds the identities to the image's hidden state between two blocks of a transformer, in its own memory:
        output += sum over identities of scale x mask x to_out(softmax(q Kt / sqrt(head_dim)) V),
        q = to_q(norm(hidden)).

        For adapters of the residual stream (`is_residual`), PuLID-FLUX and WithAnyone. `output` is the hidden state
        `[batch, image tokens, hidden]` after the block, without text tokens; it is read, too, unless `hidden` is given:
        another tensor of the same shape and type that does not overlap it. The other arguments are those of `inject`.
        """
        handle = self._held()
        scratch = _scratch()
        call = scratch.residual
        call.layer = layer if type(layer) is int and 0 <= layer else self._index(layer)
        if stream is None:
            stream = torch_stream(output)
        keep_hidden = None
        call.hidden = None
        if hidden is not None:
            call.hidden, keep_hidden = scratch.query.describe(hidden, "hidden", False, stream)
        call.output, keep_output = scratch.output.describe(output, "output", True, stream)
        call.scale = scale
        call.stream = stream
        if roles is None:
            call.roles, call.role_count = None, 0
        else:
            call.roles, call.role_count = _native_roles(tuple(roles))
        call.flags = _flags(call, step, unchecked)
        call.latent_height, call.latent_width = (0, 0) if latent_size is None else _size(latent_size)
        status = lib.omniid_inject_residual(handle.pointer, scratch.residual_pointer)
        if status:
            raise failure(status)
        del keep_hidden, keep_output

    def _index(self, layer: int | str) -> int:
        if isinstance(layer, str):
            return self.find_layer(layer)
        return natural(layer, "layer")

    def __repr__(self) -> str:
        if self.closed:
            return "Conditioning(closed)"
        return f"Conditioning({self.identity_count} identities, {self.layer_count} layers, {self.byte_size} bytes)"


def _flags(call: _abi.omniid_inject_call | _abi.omniid_residual_call, step: Step | None, unchecked: bool) -> int:
    """The flags of a call, whose step is filled in."""
    flags = _abi.OMNIID_INJECT_FLAG_UNCHECKED if unchecked else 0
    if step is not None:
        if step.fraction is not None:
            flags |= _abi.OMNIID_INJECT_FLAG_FRACTION
            call.fraction = step.fraction
        if step.sigma is not None:
            flags |= _abi.OMNIID_INJECT_FLAG_SIGMA
            call.sigma = step.sigma
    return flags


class _Scratch(threading.local):
    """The structs of an inject call, one set for each thread, filled anew for each call."""

    def __init__(self) -> None:
        self.call = _abi.omniid_inject_call.new()
        self.pointer = ctypes.pointer(self.call)
        self.residual = _abi.omniid_residual_call.new()
        self.residual_pointer = ctypes.pointer(self.residual)
        self.query, self.output = Slot(), Slot()
        self.image_keys, self.image_values = Slot(), Slot()


_local = _Scratch()


def _scratch() -> _Scratch:
    return _local


@functools.lru_cache(maxsize=256)
def _native_roles(roles: tuple[Role | str | int, ...]) -> tuple[ctypes._Pointer[ctypes.c_int32], int]:
    numbers = [int(choice(Role, role, f"roles[{i}]")) for i, role in enumerate(roles)]
    # The pointer keeps the array.
    return ctypes.cast((ctypes.c_int32 * len(numbers))(*numbers), ctypes.POINTER(ctypes.c_int32)), len(numbers)


def _size(value: tuple[int, int]) -> tuple[int, int]:
    try:
        height, width = map(operator.index, value)
    except (TypeError, ValueError):
        raise errors.InvalidArgumentError(f"latent_size is {value!r}; it must be (height, width)") from None
    if not (0 <= height < 2**32 and 0 <= width < 2**32):
        raise errors.InvalidArgumentError(f"latent_size is {value!r}; it must be two numbers of 0 or more")
    return height, width


def _layers(pointer: ctypes._Pointer[Any]) -> tuple[HostLayer, ...]:
    count = ctypes.c_size_t()
    check(lib.omniid_conditioning_layer_count(pointer, ctypes.byref(count)))
    layers = []
    for i in range(count.value):
        native = _abi.omniid_host_layer.new()
        check(lib.omniid_conditioning_layer(pointer, i, ctypes.byref(native)))
        layers.append(layer_of(native))
    return tuple(layers)


def layer_of(native: _abi.omniid_host_layer) -> HostLayer:
    return HostLayer(text(native.name), native.heads, native.head_dim, native.context, native.hidden)


def native_inputs(
    identities: Identities,
) -> tuple[ctypes.Array[_abi.omniid_conditioning_input], list[ConditioningInput], list[object]]:
    """The identities as the library takes them, as they were given, and what has to live as long as they are used."""
    if isinstance(identities, (Identity, ConditioningInput)) or not isinstance(identities, Iterable):
        identities = [identities]
    inputs = [item if isinstance(item, ConditioningInput) else ConditioningInput(item) for item in identities]
    array = (_abi.omniid_conditioning_input * len(inputs))()
    keep: list[object] = []
    for i, item in enumerate(inputs):
        what = f"identity {i}"
        array[i] = _abi.omniid_conditioning_input.new()
        native = array[i]
        native.scale = item.scale
        for name in ("identity", "negative", "composition"):
            value = getattr(item, name)
            if value is not None or name == "identity":
                handle = handle_of(value, what if name == "identity" else f"{what}: {name}")
                keep.append(handle)
                setattr(native, name, handle.pointer)
        native.unconditional = choice(Unconditional, item.unconditional, f"{what}: unconditional")
        if item.fraction is not None and item.sigma is not None:
            raise errors.InvalidArgumentError(f"{what} has a range of fraction and one of sigma; give only one of them")
        if item.fraction is not None:
            native.step_range = StepUnit.FRACTION
            native.step_start, native.step_end = _pair(item.fraction, f"{what}: fraction")
        elif item.sigma is not None:
            native.step_range = StepUnit.SIGMA
            native.step_start, native.step_end = _pair(item.sigma, f"{what}: sigma")
        if item.mask is not None:
            mask = mask_values(item.mask, what)
            keep.append(mask)
            native.mask = mask.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
            native.mask_height, native.mask_width = mask.shape
    return array, inputs, keep


def _pair(value: tuple[float, float], what: str) -> tuple[float, float]:
    try:
        first, last = value
        return float(first), float(last)
    except (TypeError, ValueError):
        raise errors.InvalidArgumentError(f"{what} is {value!r}; it must be two numbers") from None
