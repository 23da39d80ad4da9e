"""Graph files: the weights are written straight from the model, beside the graph where they are large."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Optional

import numpy as np
import onnx
import torch
from onnx import TensorProto

from .. import errors

_EXTERNAL_FROM = 1_500_000_000
"""Bytes of weights from which they get a file of their own; a protocol buffer holds 2 GB."""

_ALIGNMENT = 4096
"""Of large weights in their file, so that runtimes can map them."""

_TYPES = {
    torch.float32: TensorProto.FLOAT,
    torch.float16: TensorProto.FLOAT16,
    torch.bfloat16: TensorProto.BFLOAT16,
    torch.float64: TensorProto.DOUBLE,
    torch.int64: TensorProto.INT64,
    torch.int32: TensorProto.INT32,
    torch.bool: TensorProto.BOOL,
}


def take_weights(graph: Any, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Turns the inputs of a graph that are weights into initialisers, and computes what depends on weights alone:
    transposed and unsqueezed ones. Gives the initialisers' numbers; the graph does not have them yet."""
    known = {item.name: weights[item.name].detach() for item in graph.input if item.name in weights}
    constants = {
        node.output[0]: onnx.numpy_helper.to_array(node.attribute[0].t)
        for node in graph.node
        if node.op_type == "Constant" and node.attribute[0].name == "value"
    }
    kept = []
    for node in graph.node:
        made = _fold(node, known, constants)
        if made is None:
            kept.append(node)
        else:
            known[node.output[0]] = made
    used = {name for node in kept for name in node.input} | {item.name for item in graph.output}
    # Constants of what was folded have no user any more.
    kept = [node for node in kept if node.op_type != "Constant" or node.output[0] in used]
    inputs = [item for item in graph.input if item.name not in weights]
    del graph.node[:], graph.input[:]
    graph.node.extend(kept)
    graph.input.extend(inputs)
    return {name: tensor for name, tensor in known.items() if name in used}


def _fold(node: Any, known: dict[str, torch.Tensor], constants: dict[str, Any]) -> Optional[torch.Tensor]:
    source = known.get(node.input[0]) if node.input else None
    if source is None:
        return None
    if node.op_type == "Identity":
        return source
    if node.op_type == "Transpose" and node.attribute:
        return source.permute(*node.attribute[0].ints)
    if node.op_type == "Unsqueeze" and len(node.input) == 2 and node.input[1] in constants:
        axes = constants[node.input[1]].reshape(-1)
        for axis in sorted(int(axis) for axis in axes):
            source = source.unsqueeze(axis)
        return source
    return None


def save(
    model: Any,
    weights: Mapping[str, torch.Tensor],
    path: Path,
    external: Optional[bool],
    progress: Callable[[str, float], None],
) -> None:
    """Writes a graph with its weights. `external`: whether the weights get a file of their own, `<graph>.data`; None:
    where they are large. The files appear complete or not at all."""
    total = sum(tensor.numel() * tensor.element_size() for tensor in weights.values())
    if external is None:
        external = total >= _EXTERNAL_FROM
    if not external and total >= 2**31 - 2**24:
        raise errors.UnsupportedError(
            f"the weights are {total / 1e9:.1f} GB, and a graph file holds 2 GB; leave external out, or set it"
        )
    data = path.with_name(path.name + ".data")
    scratch = [path.with_name(path.name + ".part"), data.with_name(data.name + ".part")]
    try:
        if external:
            with open(scratch[1], "wb") as file:
                _write_external(model.graph, weights, file, data.name, total, progress)
        else:
            for name, tensor in weights.items():
                item = TensorProto(name=name, data_type=_kind(name, tensor), dims=tensor.shape)
                item.raw_data = _bytes(tensor).tobytes()
                model.graph.initializer.append(item)
        with open(scratch[0], "wb") as file:
            file.write(model.SerializeToString())
        if external:
            os.replace(scratch[1], data)
        os.replace(scratch[0], path)
    finally:
        for place in scratch:
            place.unlink(missing_ok=True)


def _write_external(
    graph: Any,
    weights: Mapping[str, torch.Tensor],
    file: Any,
    location: str,
    total: int,
    progress: Callable[[str, float], None],
) -> None:
    done = 0
    for name, tensor in weights.items():
        numbers = _bytes(tensor)
        item = TensorProto(name=name, data_type=_kind(name, tensor), dims=tensor.shape)
        if numbers.size < 1024:
            # Shapes are inferred from small tensors, which have to be in the graph for that.
            item.raw_data = numbers.tobytes()
        else:
            place = file.tell()
            if numbers.size >= 2**20:
                place += -place % _ALIGNMENT
                file.seek(place)
            file.write(numbers.data)
            item.data_location = TensorProto.EXTERNAL
            for key, value in (("location", location), ("offset", place), ("length", numbers.size)):
                item.external_data.add(key=key, value=str(value))
        graph.initializer.append(item)
        done += numbers.size
        progress("writing weights", done / max(total, 1))


def _kind(name: str, tensor: torch.Tensor) -> int:
    kind = _TYPES.get(tensor.dtype)
    if kind is None:
        raise errors.UnsupportedError(f"weight {name!r} is of {tensor.dtype}, which graphs do not have")
    return int(kind)


def _bytes(tensor: torch.Tensor) -> Any:
    return (
        np.frombuffer(tensor.detach().cpu().contiguous().view(torch.uint8).numpy(), dtype=np.uint8)
        if (tensor.dim())
        else _bytes(tensor[None])
    )


def name_sizes(graph: Any, free: Mapping[str, Mapping[int, str]]) -> None:
    """Writes the names of free sizes into the graph's inputs and outputs."""
    for item in [*graph.input, *graph.output]:
        for place, name in free.get(item.name, {}).items():
            item.type.tensor_type.shape.dim[place].dim_param = name
