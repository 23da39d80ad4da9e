"""The identity inputs of a graph, from a conditioning: arrays that the library fills. Needs NumPy only."""

from __future__ import annotations

import ctypes
import functools
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional, Union

import numpy as np

from .. import _abi, errors
from .._handle import Handle
from .._library import c_text, check, choice, lib, text
from ..conditioning import Conditioning, Step
from ..enums import Precision, Role
from ._manifest import Manifest

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

Roles = Sequence[Union[Role, str]]
GUIDANCE: Roles = ("unconditional", "conditional")
"""The rows of a batch with guidance, in the order of diffusers."""

# NumPy has no bfloat16: its bits.
_TYPES = {Precision.F32: np.float32, Precision.F16: np.float16, Precision.BF16: np.uint16}


def fill(
    conditioning: Conditioning,
    manifest: Manifest,
    *,
    roles: Roles = GUIDANCE,
    scale: float = 1.0,
    step: Optional[Step] = None,
    concatenate: bool = False,
) -> dict[str, Array]:
    """The identity inputs of a graph: arrays by name, in the graph's number type (bfloat16 as its bits, uint16).

    `roles` is the side of guidance of each row of the batch; by default an unconditional and a conditional one. `scale`
    multiplies every identity's own, and `step` is needed by identities that are limited to a range of steps. From one
    step to the next only scale and mask can change: `fill_step` makes them alone.

    Several people stand one after the other, their scales in their values, and need a graph with a mask; without one,
    `concatenate` lets them share one softmax. People with fewer tokens have theirs repeated, which changes nothing in a
    softmax of their own. Masks are resampled in the graph, as diffusers does: condition with `mask_mode="diffusers"`.

    In SD3.5 keys and values depend on the timestep: make a conditioning for one and fill at each step, or make one for
    all of them and say the step's sigma. People's scales are in the masks there.

    Raises MismatchError, which names the layer and both shapes, for a conditioning that does not belong to the graph.
    """
    return _fill(conditioning, manifest, list(manifest.inputs), roles, scale, step, concatenate)


def fill_step(
    conditioning: Conditioning,
    manifest: Manifest,
    *,
    roles: Roles = GUIDANCE,
    scale: float = 1.0,
    step: Optional[Step] = None,
    concatenate: bool = False,
) -> dict[str, Array]:
    """The identity inputs that depend on the step: the scale of each layer, and the masks, which are 0 for people who
    are not injected at this step. Arguments as for `fill`.

    Keys and values depend on the step as well where they were made for several timesteps (SD3.5), where people with
    step ranges are concatenated, and in a graph without an input for the scale: take `fill` at each step there."""
    names = [name for name in (manifest.scale, manifest.mask) if name is not None]
    return _fill(conditioning, manifest, names, roles, scale, step, concatenate)


def _fill(
    conditioning: Conditioning,
    manifest: Manifest,
    names: list[str],
    roles: Roles,
    scale: float,
    step: Optional[Step],
    concatenate: bool,
) -> dict[str, Array]:
    sides = [choice(Role, role, f"roles[{i}]") for i, role in enumerate(roles)]
    if not sides:
        raise errors.InvalidArgumentError("roles is empty; it must have an entry for each row of the batch")
    held, graph = conditioning._held(), _graph(manifest)
    call = _call(sides, scale, step, concatenate)
    places = _places(graph, len(manifest.inputs))
    arrays: dict[str, Array] = {}
    buffers = (_abi.omniid_graph_buffer * len(names))()
    keep: list[object] = []
    for buffer, name in zip(buffers, names):
        shape = _abi.omniid_graph_shape.new()
        check(
            lib.omniid_graph_input_shape(
                graph.pointer, held.pointer, ctypes.byref(call), places[name], ctypes.byref(shape)
            )
        )
        array = np.empty(tuple(shape.shape[: shape.rank]), dtype=_TYPES[Precision(shape.precision)])
        arrays[name] = array
        buffer.struct_size, buffer.precision = ctypes.sizeof(_abi.omniid_graph_buffer), shape.precision
        buffer.name = c_text(name, "the name of an input")
        buffer.data, buffer.byte_size = array.ctypes.data, array.nbytes
        sizes = (ctypes.c_int64 * shape.rank)(*array.shape)
        keep.append(sizes)
        buffer.shape, buffer.rank = sizes, shape.rank
    check(lib.omniid_graph_fill(graph.pointer, held.pointer, ctypes.byref(call), buffers, len(buffers)))
    del keep
    return arrays


@functools.lru_cache(maxsize=32)
def _graph(manifest: Manifest) -> Handle:
    """The library's own view of a manifest."""
    data = json.dumps(manifest.to_json()).encode()
    out = ctypes.POINTER(_abi.omniid_graph)()
    check(lib.omniid_graph_parse(data, len(data), ctypes.byref(out)))
    return Handle(out, lib.omniid_graph_free)


def _places(graph: Handle, count: int) -> dict[str, int]:
    """The numbers of a graph's inputs by their names."""
    places = {}
    for place in range(count):
        native = _abi.omniid_graph_input.new()
        check(lib.omniid_graph_describe_input(graph.pointer, place, ctypes.byref(native)))
        places[text(native.name)] = place
    return places


def _call(sides: list[Role], scale: float, step: Optional[Step], concatenate: bool) -> _abi.omniid_graph_call:
    call = _abi.omniid_graph_call.new()
    # The struct keeps the array.
    call.roles = (ctypes.c_int32 * len(sides))(*map(int, sides))
    call.role_count, call.scale, call.concatenate = len(sides), scale, bool(concatenate)
    if step is not None and step.fraction is not None:
        call.flags |= _abi.OMNIID_INJECT_FLAG_FRACTION
        call.fraction = step.fraction
    if step is not None and step.sigma is not None:
        call.flags |= _abi.OMNIID_INJECT_FLAG_SIGMA
        call.sigma = step.sigma
    return call


def ort_values(
    arrays: Mapping[str, Array], manifest: Manifest, device: str = "cpu", device_id: int = 0
) -> dict[str, Any]:
    """Arrays of `fill` as values of ONNX Runtime, for `run_with_ort_values` or for an IOBinding: on a GPU they are
    copied once and not at every step. Needs onnxruntime."""
    import onnxruntime

    values = {}
    for name, array in arrays.items():
        if array.dtype == np.uint16:
            make = onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type
            values[name] = make(array, 16)  # TensorProto.BFLOAT16
        else:
            values[name] = onnxruntime.OrtValue.ortvalue_from_numpy(array, device, device_id)
    return values
