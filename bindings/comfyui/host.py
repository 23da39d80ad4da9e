"""The cross-attention layers of a ComfyUI UNet, and which layer of a conditioning each of them is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from omniid import Conditioning, Engine, MismatchError, OmniIdError, UnsupportedError


@dataclass(frozen=True)
class Place:
    """Where a cross-attention layer is: what ComfyUI calls it in `transformer_options`."""

    block: str
    """`input`, `middle` or `output`."""
    number: int
    """Number of the block; the middle block is number 0."""
    index: int
    """Index of the transformer block inside the block's transformer."""
    depth: int
    """How many transformer blocks that transformer has."""
    transformer: int
    """Number of the transformer in execution order, by which weight types and layer weights count."""
    attention: Any
    """The module."""

    def __str__(self) -> str:
        return f"{self.block},{self.number},{self.index}"


def places(model: Any) -> list[Place]:
    """The layers of a ModelPatcher's UNet, in execution order."""
    unet: Any = getattr(getattr(model, "model", None), "diffusion_model", None)
    if not all(hasattr(unet, name) for name in ("input_blocks", "middle_block", "output_blocks")):
        raise UnsupportedError(
            f"the model is a {type(unet).__name__}; OmniID's nodes need a UNet of Stable Diffusion 1.x or "
            "SDXL, FLUX.1 or SD3.5"
        )
    blocks = [("input", number, block) for number, block in enumerate(unet.input_blocks)]
    if unet.middle_block is not None:
        blocks.append(("middle", 0, unet.middle_block))
    blocks += [("output", number, block) for number, block in enumerate(unet.output_blocks)]
    found: list[Place] = []
    transformers = 0
    for name, number, block in blocks:
        for part in block:
            layers = getattr(part, "transformer_blocks", None)
            if layers is None:
                continue
            for index, layer in enumerate(layers):
                if getattr(layer, "attn2", None) is not None:
                    found.append(Place(name, number, index, len(layers), transformers, layer.attn2))
            transformers += 1
    return found


def check(engine: Engine, found: list[Place]) -> None:
    """Raises if an engine is for another host; cheap, to be asked before keys and values are projected."""
    info = engine.info
    if not info.has_adapter:
        raise UnsupportedError(f"the model {info.name!r} holds no adapter: its identities cannot be injected anywhere")
    if info.host_layer_count != len(found):
        raise MismatchError(
            f"the adapter is for {info.host or 'a host'} with {info.host_layer_count} cross-attention layers; this "
            f"UNet has {len(found)}. SD1.5 has 16, SDXL has 70"
        )


def match(conditioning: Conditioning, found: list[Place]) -> list[tuple[Place, int]]:
    """Each layer of the UNet with its number in the conditioning."""
    pairs = []
    for place in found:
        try:
            layer = conditioning.find_layer(str(place))
        except OmniIdError as error:
            raise MismatchError(
                f"the UNet has a cross-attention layer {place}; the adapter has none: {error}"
            ) from None
        host = conditioning.layers[layer]
        shape = (getattr(place.attention, "heads", host.heads), getattr(place.attention, "dim_head", host.head_dim))
        if shape != (host.heads, host.head_dim):
            raise MismatchError(
                f"layer {place}: the adapter is for {host.heads} heads of {host.head_dim}, the UNet has {shape[0]} of "
                f"{shape[1]}"
            )
        pairs.append((place, layer))
    return pairs
