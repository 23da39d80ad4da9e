"""Weights of adapters that become part of a graph, from their files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from .. import errors
from ..types import PathLike
from ._attention import Norms
from ._manifest import GraphLayer


def read(path: PathLike) -> dict[str, torch.Tensor]:
    """All tensors of a file of safetensors or PyTorch, by their names joined with dots."""
    place = Path(path)
    try:
        if place.suffix == ".safetensors":
            from safetensors.torch import load_file

            found: Any = load_file(place)
        else:
            found = torch.load(place, map_location="cpu", weights_only=True)
    except OSError as error:
        raise errors.IoError(f"{place}: {error.strerror or error}") from error
    except Exception as error:
        # Both libraries raise errors of many kinds for files that are none of theirs.
        raise errors.FormatError(f"{place}: neither safetensors nor a PyTorch file: {error}") from error
    return dict(_flat("", found))


def _flat(prefix: str, value: Any) -> list[tuple[str, torch.Tensor]]:
    if isinstance(value, torch.Tensor):
        return [(prefix, value)]
    if not isinstance(value, dict):
        return []
    return [item for name, part in value.items() for item in _flat(f"{prefix}.{name}" if prefix else str(name), part)]


_PLACES = (
    r"^adapter\.layers\.(\d+)\.to_(k|v)\.(weight|bias)$",
    r"(?:^|\.)(\d+)\.to_(k|v)_ip\.(weight|bias)$",
    r"double_blocks\.(\d+)\.processor\.ip_adapter_double_stream_(k|v)_proj\.(weight|bias)$",
)
"""Layers of an adapter: native, IP-Adapter, XLabs."""


class Projections(torch.nn.Module):  # type: ignore[misc, unused-ignore]
    """An adapter as part of a graph: identity tokens to the keys and values of each layer."""

    def __init__(self, path: PathLike, layers: Sequence[GraphLayer], contexts: Sequence[int]) -> None:
        super().__init__()
        tensors = read(path)
        found = _places(tensors)
        if len(found) != len(layers):
            raise errors.MismatchError(f"{path}: the adapter has {len(found)} layers, the host {len(layers)}")
        self.names = [layer.name for layer in layers]
        self.sides = torch.nn.ModuleList()
        for number, layer, context in zip(sorted(found), layers, contexts):
            shape = (layer.heads * layer.head_dim, context)
            for side in "kv":
                weight, bias = found[number].get((side, "weight")), found[number].get((side, "bias"))
                if weight is None or weight.shape != shape:
                    given = "missing" if weight is None else list(weight.shape)
                    raise errors.MismatchError(
                        f"{path}: layer {layer.name!r}: the weight of to_{side} is {given}; the host takes "
                        f"{list(shape)}"
                    )
                self.sides.append(_linear(weight, bias))
        self.heads = [layer.heads for layer in layers]
        self.projection = torch.nn.Sequential()
        self.width = contexts[0]
        if "adapter.proj.0.weight" in tensors:
            first, second = (
                _linear(tensors[f"adapter.proj.{i}.weight"], tensors[f"adapter.proj.{i}.bias"]) for i in (0, 2)
            )
            norm = torch.nn.LayerNorm(second.out_features)
            norm.load_state_dict({part: tensors[f"adapter.proj.3.{part}"].float() for part in ("weight", "bias")})
            self.projection = torch.nn.Sequential(first, torch.nn.GELU(), second, norm)
            self.width = first.in_features
        self.eval()

    def forward(self, tokens: torch.Tensor) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Keys and values by layer, `[rows, heads, tokens, head_dim]`, of tokens `[rows, tokens, width]`."""
        context = self.projection(tokens)
        sides = [side(context) for side in self.sides]
        pairs: list[dict[str, torch.Tensor]] = [{}, {}]
        for place, side in enumerate(sides):
            heads = self.heads[place // 2]
            rows, count, inner = side.shape
            pairs[place % 2][self.names[place // 2]] = side.reshape(rows, count, heads, inner // heads).transpose(1, 2)
        return pairs[0], pairs[1]


def _places(tensors: dict[str, torch.Tensor]) -> dict[int, dict[tuple[str, str], torch.Tensor]]:
    for pattern in _PLACES:
        found: dict[int, dict[tuple[str, str], torch.Tensor]] = {}
        for name, tensor in tensors.items():
            match = re.search(pattern, name)
            if match:
                found.setdefault(int(match[1]), {})[match[2], match[3]] = tensor.float()
        if found:
            return found
    return {}


def _linear(weight: torch.Tensor, bias: torch.Tensor | None) -> torch.nn.Linear:
    made = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    made.load_state_dict({"weight": weight.float()} | ({} if bias is None else {"bias": bias.float()}))
    return made


def norms(path: PathLike, layers: Sequence[GraphLayer]) -> Norms:
    """The norms of queries and image keys in InstantX' adapter for SD3.5, for the layers in their order."""
    by_place: dict[tuple[int, str], torch.Tensor] = {}
    for name, tensor in read(path).items():
        match = re.search(r"(?:^|\.)(\d+)\.(norm_q|norm_k)\.weight$", name)
        if match:
            by_place[int(match[1]), match[2]] = tensor.float()
    found: Norms = {}
    for place, layer in enumerate(layers):
        pair = [by_place.get((place, name)) for name in ("norm_q", "norm_k")]
        for name, weight in zip(("norm_q", "norm_k"), pair):
            if weight is None or weight.shape != (layer.head_dim,):
                shape = "missing" if weight is None else list(weight.shape)
                raise errors.MismatchError(
                    f"{path}: layer {layer.name!r}: {place}.{name}.weight is {shape}; the host takes [{layer.head_dim}]"
                )
        assert pair[0] is not None and pair[1] is not None
        found[layer.name] = (pair[0], pair[1])
    return found
