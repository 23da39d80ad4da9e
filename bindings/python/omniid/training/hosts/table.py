"""A host's layer table, as a native checkpoint has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import errors
from ...conditioning import HostLayer
from ...diffusers import _layers, host_layers
from ..checkpoint import HostTable

_KINDS = {"down_blocks": "input", "mid_block": "middle", "up_blocks": "output", "transformer_blocks": "double_block"}
_RUN = {"down_blocks": 0, "mid_block": 1, "up_blocks": 2}


def host_table(model: Any, name: str = "host") -> HostTable:
    """The attention layers of a diffusers model that an identity enters. SD1.5, SDXL and FLUX of the usual sizes are
    named, so that checkpoints for them fit all of their fine-tuned versions; other hosts are written out."""
    layers = tuple(host_layers(model))
    known = _layers.built_in_name(model)
    if known is not None:
        return HostTable(layers, known)
    # The numbers of IP-Adapter's keys count all attention layers of a UNet; those of FLUX count the double blocks.
    processors = list(getattr(model, "attn_processors", {}))
    keys = [
        processors.index(f"{layer.name}.processor") if _layers.is_unet(model) else place
        for place, layer in enumerate(layers)
    ]
    order = sorted(range(len(layers)), key=lambda place: (_RUN.get(layers[place].name.split(".")[0], 0), place))
    rank = {place: number for number, place in enumerate(order)}
    table = [
        {
            "name": layer.name,
            "kind": _KINDS.get(layer.name.split(".")[0], "other"),
            "key": keys[place],
            "heads": layer.heads,
            "head_dim": layer.head_dim,
            "context": layer.context,
            "execution": rank[place],
        }
        for place, layer in enumerate(layers)
    ]
    return HostTable(layers, {"name": name, "family": "other", "layers": table})


def check_table(adapter: Sequence[HostLayer], host: Sequence[HostLayer], where: str) -> None:
    """Raises MismatchError, which names the first layer that differs, when an adapter was made for another host."""
    for place, (theirs, own) in enumerate(zip(adapter, host)):
        if (theirs.name, theirs.heads, theirs.head_dim, theirs.context) != (
            own.name, own.heads, own.head_dim, own.context
        ):  # fmt: skip
            raise errors.MismatchError(
                f"{where}: layer {place} of its adapter is {_said(theirs)}, of the host {_said(own)}"
            )
    if len(adapter) != len(host):
        raise errors.MismatchError(f"{where}: its adapter has {len(adapter)} layers, the host {len(host)}")


def _said(layer: HostLayer) -> str:
    return f"{layer.name!r} with {layer.heads} heads of {layer.head_dim} and a context of {layer.context}"
