"""The identity inputs of a graph, from a conditioning. Needs NumPy only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional, Union

import numpy as np

from .. import errors
from .._library import choice
from .._masks import mask_values
from ..conditioning import Conditioning, ConditioningInput, Identities, Step, listed
from ..engine import Engine
from ..enums import DeviceType, Injection, Role
from ._manifest import GraphLayer, Manifest

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

Roles = Sequence[Union[Role, str]]
GUIDANCE: Roles = ("unconditional", "conditional")
"""The rows of a batch with guidance, in the order of diffusers."""


def fill(
    conditioning: Conditioning,
    manifest: Manifest,
    *,
    roles: Roles = GUIDANCE,
    scale: float = 1.0,
    step: Optional[Step] = None,
) -> dict[str, Array]:
    """The identity inputs of a graph: arrays by name, in the graph's number type (bfloat16 as its bits, uint16).

    `roles` is the side of guidance of each row of the batch; by default an unconditional and a conditional one. `scale`
    multiplies every identity's own, and `step` is needed by identities that are limited to a range of steps. From one
    step to the next only scale and mask can change: `fill_step` makes them alone.

    Several people stand one after the other, their scales in their values, and need a graph with a mask. People with
    fewer tokens have theirs repeated, which changes nothing in a softmax of their own. Raises MismatchError, which
    names the layer and both shapes, for a conditioning that does not belong to the graph.
    """
    layers = _match(conditioning, manifest)
    sides = _roles(roles, manifest)
    people, joint = conditioning.identity_count, bool(conditioning.timesteps)
    arrays: dict[str, Array] = {}
    for layer, index in layers:
        keys, values = [], []
        for person in range(people):
            pair = [_side(conditioning, layer, index, person, role) for role in sides]
            keys.append([key for key, _ in pair])
            factor = 1.0 if people == 1 or joint else conditioning.factor(index, person)
            values.append([value * np.float32(factor) for _, value in pair])
        assert layer.key is not None and layer.value is not None
        arrays[layer.key] = _number(_joined(keys, layer, manifest), manifest)
        arrays[layer.value] = _number(_joined(values, layer, manifest), manifest)
    arrays.update(fill_step(conditioning, manifest, roles=roles, scale=scale, step=step))
    manifest.check_arrays(arrays)
    return arrays


def fill_step(
    conditioning: Conditioning,
    manifest: Manifest,
    *,
    roles: Roles = GUIDANCE,
    scale: float = 1.0,
    step: Optional[Step] = None,
) -> dict[str, Array]:
    """The identity inputs that depend on the step: the scale of each layer, and the masks, which are 0 for people who
    are not injected at this step. Arguments as for `fill`."""
    layers = _match(conditioning, manifest)
    sides = _roles(roles, manifest)
    people = conditioning.identity_count
    weights = np.array([conditioning.is_active(person, step or Step()) for person in range(people)], dtype=np.float32)
    arrays: dict[str, Array] = {}
    factors = np.ones(len(layers), dtype=np.float32)
    if people == 1:
        factors = weights[0] * np.array([conditioning.factor(index, 0) for _, index in layers], dtype=np.float32)
    elif conditioning.timesteps:
        shares, factors = _shares(conditioning, layers)
        weights *= shares
    if manifest.scale is not None:
        arrays[manifest.scale] = factors * np.float32(scale)
    if manifest.mask is not None:
        masks = _masks(conditioning)
        if people > 1:
            masks *= weights[:, None, None]
        whole = np.ascontiguousarray(np.broadcast_to(masks, (len(sides), *masks.shape)))
        arrays[manifest.mask] = _number(whole, manifest)
    return arrays


def fill_tokens(
    engine: Engine,
    identities: Identities,
    manifest: Manifest,
    *,
    roles: Roles = GUIDANCE,
    scale: float = 1.0,
    layer_scales: Optional[Sequence[float]] = None,
    step: Optional[Step] = None,
) -> dict[str, Array]:
    """The identity inputs of a graph that has the adapter inside (form "tokens"): tokens, scales and masks.

    `engine` is that of the checkpoint in the graph, `identities` an Identity, a ConditioningInput or a list of them; of
    several people the scales are in the mask. `layer_scales` is one factor for each layer. The other arguments are
    those of `fill`. Raises MismatchError for identities of another model or another width than the graph's."""
    if manifest.form != "tokens" or manifest.tokens_input is None:
        raise errors.MismatchError(f"{manifest.graph} takes keys and values; use fill")
    fingerprint = engine.info.fingerprint
    if manifest.fingerprint is not None and manifest.fingerprint != fingerprint:
        raise errors.MismatchError(
            f"{manifest.graph} has the adapter of model {manifest.fingerprint}, the engine is {fingerprint}"
        )
    sides = _roles(roles, manifest)
    people = listed(identities)
    if len(people) > 1 and manifest.mask is None:
        raise errors.MismatchError(
            f"{len(people)} people, but {manifest.graph} has no mask, which tells their tokens apart; export "
            "it with a mask"
        )
    tokens = []
    for person in people:
        if person.negative is not None or person.composition is not None or person.unconditional:
            raise errors.UnsupportedError(
                "negative, composition and unconditional identities need the keys and values of a conditioning: export "
                "the graph with form 'keys_values'"
            )
        # [unconditional, conditional]
        both = engine.context_tokens(person.identity).numpy().astype(np.float32)
        if manifest.width != both.shape[2]:
            raise errors.MismatchError(
                f"input {manifest.tokens_input!r}: the identity is {list(both.shape[1:])}, the graph takes "
                f"{[manifest.tokens, manifest.width]}"
            )
        tokens.append([both[0 if role == Role.UNCONDITIONAL else 1][None] for role in sides])
    head = GraphLayer(manifest.tokens_input, 1, manifest.width or 0, None, None)
    joined = _joined(tokens, head, manifest)[:, 0]
    weights = np.array([person.scale * _is_active(person, step or Step()) for person in people], dtype=np.float32)
    arrays = {manifest.tokens_input: _number(joined, manifest)}
    if manifest.scale is not None:
        factors = np.ones(len(manifest.layers)) if layer_scales is None else np.asarray(layer_scales, dtype=np.float32)
        factors = factors * scale * (weights[0] if len(people) == 1 else 1.0)
        arrays[manifest.scale] = factors.astype(np.float32)
    if manifest.mask is not None:
        masks = _stacked([None if person.mask is None else mask_values(person.mask, "mask") for person in people])
        if len(people) > 1:
            masks *= weights[:, None, None]
        arrays[manifest.mask] = _number(np.broadcast_to(masks, (len(sides), *masks.shape)), manifest)
    manifest.check_arrays(arrays)
    return arrays


def _is_active(person: ConditioningInput, step: Step) -> bool:
    """Whether a person is injected at a step, as `Conditioning.is_active` says it."""
    for name, limits in (("fraction", person.fraction), ("sigma", person.sigma)):
        if limits is not None:
            now = getattr(step, name)
            if now is None:
                raise errors.InvalidArgumentError(f"an identity is limited to a range of {name}, and the step has none")
            return bool(min(limits) <= now <= max(limits))
    return True


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


def _roles(roles: Roles, manifest: Manifest) -> list[Role]:
    sides = [choice(Role, role, f"roles[{i}]") for i, role in enumerate(roles)]
    if not sides:
        raise errors.InvalidArgumentError("roles is empty; it must have an entry for each row of the batch")
    if manifest.rows is not None and manifest.rows != len(sides):
        raise errors.MismatchError(f"roles has {len(sides)} rows; the graph was made for {manifest.rows}")
    return sides


def _match(conditioning: Conditioning, manifest: Manifest) -> list[tuple[GraphLayer, int]]:
    """The layers of the graph, in its order, with their numbers in the conditioning."""
    if manifest.form != "keys_values":
        raise errors.MismatchError(
            f"{manifest.graph} takes tokens, not the keys and values of a conditioning; use fill_tokens"
        )
    if conditioning.injection != Injection.ADD:
        raise errors.UnsupportedError(
            f"injection {conditioning.injection.name.lower()!r} needs the layer's output, which graphs do not hand "
            "out; condition with injection='add'"
        )
    if conditioning.is_residual:
        raise errors.UnsupportedError(
            "PuLID-FLUX and WithAnyone act on the residual stream with weights of their own; graphs have keys and "
            "values for attention layers only"
        )
    if bool(conditioning.timesteps) != (manifest.host == "sd3"):
        wanted = "is" if manifest.host == "sd3" else "is not"
        raise errors.MismatchError(
            f"{manifest.graph} {wanted} SD3, whose identities depend on the timestep; the conditioning has "
            f"{len(conditioning.timesteps)} timesteps"
        )
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
    known = {_plain(layer.name): i for i, layer in enumerate(conditioning.layers)}
    pairs = []
    for layer in manifest.layers:
        index = known.pop(_plain(layer.name), None)
        if index is None:
            raise errors.MismatchError(
                f"layer {layer.name!r} [{layer.heads}, {layer.head_dim}] of {manifest.graph} (host {manifest.host!r}) "
                f"is not in the conditioning, whose {conditioning.layer_count} layers begin with "
                f"{conditioning.layers[0].name!r} [{conditioning.layers[0].heads}, {conditioning.layers[0].head_dim}]"
            )
        other = conditioning.layers[index]
        if (other.heads, other.head_dim) != (layer.heads, layer.head_dim):
            raise errors.MismatchError(
                f"layer {layer.name!r}: the conditioning has [heads, head_dim] = [{other.heads}, {other.head_dim}], "
                f"the graph takes [{layer.heads}, {layer.head_dim}]"
            )
        pairs.append((layer, index))
    if known:
        name = conditioning.layers[next(iter(known.values()))]
        raise errors.MismatchError(
            f"the conditioning has {len(known)} layers more than {manifest.graph}, such as {name.name!r} "
            f"[{name.heads}, {name.head_dim}]: it is for another host than {manifest.host!r}"
        )
    return pairs


def _plain(name: str) -> str:
    for ending in (".processor", ".attn2", ".attn"):
        name = name.removesuffix(ending)
    return name


def _side(conditioning: Conditioning, layer: GraphLayer, index: int, person: int, role: Role) -> tuple[Array, Array]:
    """Keys and values of one person in one row, `[heads, tokens, head_dim]`. Zeros where nothing is injected: their
    attention is zero."""
    pair = []
    for tensor in (conditioning.keys(index, person, role), conditioning.values(index, person, role)):
        if tensor is None:
            tokens = max(1, conditioning.zero_tokens)
            pair.append(np.zeros((layer.heads, tokens, layer.head_dim), dtype=np.float32))
            continue
        if tensor.device[0] != DeviceType.CPU:
            raise errors.UnsupportedError("the conditioning is in the memory of a GPU; fill takes one on the CPU")
        heads = tensor.numpy().astype(np.float32).transpose(1, 0, 2)
        pair.append(np.pad(heads, ((0, 0), (0, conditioning.zero_tokens), (0, 0))))
    return pair[0], pair[1]


def _joined(people: list[list[Array]], layer: GraphLayer, manifest: Manifest) -> Array:
    """The tokens of all people, as many of each, one person after the other: `[rows, heads, tokens, head_dim]`."""
    counts = [side.shape[1] for rows in people for side in rows]
    each = math.lcm(*counts)
    if manifest.host == "sd3" and each != min(counts):
        raise errors.UnsupportedError(
            f"layer {layer.name!r}: the sides and people have {sorted(set(counts))} tokens; repeated ones would count "
            "more beside the image, so they must have as many in SD3"
        )
    if manifest.tokens is not None:
        each = manifest.tokens // len(people)
        wrong = next((count for count in counts if each == 0 or each % count), None)
        if wrong is not None or each * len(people) != manifest.tokens:
            raise errors.MismatchError(
                f"layer {layer.name!r}: {len(people)} people with {wrong or counts[0]} tokens are "
                f"{[len(people[0]), layer.heads, len(people) * (wrong or counts[0]), layer.head_dim]}, the graph takes "
                f"{[len(people[0]), layer.heads, manifest.tokens, layer.head_dim]}"
            )
    return np.stack(
        [np.concatenate([np.tile(side, (1, each // side.shape[1], 1)) for side in row], axis=1) for row in zip(*people)]
    )


def _shares(conditioning: Conditioning, layers: list[tuple[GraphLayer, int]]) -> tuple[Array, Array]:
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


def _masks(conditioning: Conditioning) -> Array:
    """The masks of all people, `[people, height, width]`."""
    return _stacked(conditioning.masks)


def _stacked(masks: Sequence[Optional[Array]]) -> Array:
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
