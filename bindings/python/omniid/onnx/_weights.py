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
