"""The identity inputs of graphs of SD3, in whose layers the image and the identity share a softmax."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import errors
from ..conditioning import Conditioning, Step
from ..enums import DeviceType, Role
from ._manifest import GraphLayer, Manifest

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

Layers = list[tuple[GraphLayer, int]]
"""The layers of a graph with their numbers in a conditioning."""


def fill(
    conditioning: Conditioning, manifest: Manifest, sides: Sequence[Role], scale: float, step: Step
) -> dict[str, Array]:
    """The identity inputs of an SD3 graph, for a conditioning of one timestep.

    The people's scales are in the masks: in the values they would not reach what a person's softmax takes from the
    image. Nor may tokens be repeated, since they would count more beside the image."""
    if manifest.rows is not None and manifest.rows != len(sides):
        raise errors.MismatchError(f"roles has {len(sides)} rows; the graph was made for {manifest.rows}")
    layers = _match(conditioning, manifest)
    people = range(conditioning.identity_count)
    arrays: dict[str, Array] = {}
    for layer, index in layers:
        for name, side in ((layer.key, conditioning.keys), (layer.value, conditioning.values)):
            assert name is not None
            rows = [[_numbers(side(index, person, role), layer) for person in people] for role in sides]
            counts = {part.shape[1] for row in rows for part in row}
            if len(counts) > 1 or manifest.tokens not in (None, len(people) * min(counts)):
                raise errors.MismatchError(
                    f"layer {layer.name!r}: {len(people)} people have {sorted(counts)} tokens, the graph takes "
                    f"{[len(sides), layer.heads, manifest.tokens, layer.head_dim]}, as many of each"
                )
            arrays[name] = _number(np.stack([np.concatenate(row, axis=1) for row in rows]), manifest)
    shares, factors = _shares(conditioning, layers)
    shares = shares * np.array([conditioning.is_active(person, step) for person in people], dtype=np.float32)
    if len(people) == 1:
        factors, shares = factors * shares[0], np.ones(1, dtype=np.float32)
    if manifest.scale is not None:
        arrays[manifest.scale] = (factors * scale).astype(np.float32)
    if manifest.mask is not None:
        masks = _stacked(conditioning.masks) * shares[:, None, None]
        arrays[manifest.mask] = _number(np.broadcast_to(masks, (len(sides), *masks.shape)), manifest)
    return arrays


def _match(conditioning: Conditioning, manifest: Manifest) -> Layers:
    """The layers of the graph, in its order."""
    if len(conditioning.timesteps) > 1:
        raise errors.InvalidArgumentError(
            f"the conditioning has {len(conditioning.timesteps)} timesteps, and a graph takes the keys and values of "
            "one: make one conditioning for each step"
        )
    if conditioning.identity_count > 1 and manifest.mask is None:
        raise errors.MismatchError(
            f"{conditioning.identity_count} people, but {manifest.graph} has no mask, which tells their tokens apart; "
            "export it with a mask"
        )
    known = {layer.name: i for i, layer in enumerate(conditioning.layers)}
    pairs = []
    for layer in manifest.layers:
        index = known.pop(layer.name, None)
        other = None if index is None else conditioning.layers[index]
        if index is None or other is None or (other.heads, other.head_dim) != (layer.heads, layer.head_dim):
            given = (
                "has no such layer" if other is None else f"has [heads, head_dim] = [{other.heads}, {other.head_dim}]"
            )
            raise errors.MismatchError(
                f"layer {layer.name!r}: the conditioning {given}, the graph takes [heads, head_dim] = "
                f"[{layer.heads}, {layer.head_dim}]"
            )
        pairs.append((layer, index))
    if known:
        raise errors.MismatchError(
            f"the conditioning has {len(known)} layers more than {manifest.graph}, such as {next(iter(known))!r}"
        )
    return pairs


def _numbers(tensor: Any, layer: GraphLayer) -> Array:
    """Keys or values `[heads, tokens, head_dim]`."""
    if tensor is None:
        raise errors.UnsupportedError(
            f"layer {layer.name!r}: a row without an identity cannot be written as keys and values in SD3, where the "
            "image takes part in the softmax; give every row a side that has one"
        )
    if tensor.device[0] != DeviceType.CPU:
        raise errors.UnsupportedError("the conditioning is in the memory of a GPU; fill takes one on the CPU")
    found: Array = tensor.numpy().astype(np.float32).transpose(1, 0, 2)
    return found


def _shares(conditioning: Conditioning, layers: Layers) -> tuple[Array, Array]:
    """The factors of people and layers as one for each person and one for each layer: where the image takes part in the
    softmax, they cannot be in the values."""
    people = range(conditioning.identity_count)
    table = np.array([[conditioning.factor(index, person) for person in people] for _, index in layers], np.float32)
    layer, person = np.unravel_index(np.argmax(np.abs(table)), table.shape)
    if table[layer, person] == 0:
        return table[0], table[:, 0]
    shares, factors = table[layer] / table[layer, person], table[:, person]
    wrong = np.abs(np.outer(factors, shares) - table) > 1e-6 * np.abs(table).max()
    if wrong.any():
        place = int(np.argwhere(wrong)[0][0])
        raise errors.UnsupportedError(
            f"layer {layers[place][0].name!r}: the people's scales are {table[place].tolist()}, in layer "
            f"{layers[layer][0].name!r} {table[layer].tolist()}; in SD3 they must be in the same proportion everywhere"
        )
    return shares, factors


def _stacked(masks: Sequence[Array | None]) -> Array:
    """The masks of all people, `[people, height, width]`."""
    sizes = {mask.shape for mask in masks if mask is not None}
    if len(sizes) > 1:
        raise errors.MismatchError(f"the masks of a graph have one size, not {sorted(sizes)}")
    size = sizes.pop() if sizes else (1, 1)
    return np.stack([np.ones(size, dtype=np.float32) if mask is None else mask for mask in masks])


def _number(array: Array, manifest: Manifest) -> Array:
    """Numbers of the graph's type."""
    if manifest.precision == "f16":
        return np.ascontiguousarray(array, dtype=np.float16)
    array = np.ascontiguousarray(array, dtype=np.float32)
    if manifest.precision == "bf16":
        bits = array.view(np.uint32)
        # Rounded to the nearest, ties to even.
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return array
