"""The attention layers of diffusers models that an identity is injected into."""

from __future__ import annotations

from typing import Any, Literal, Optional, Protocol, Union

import torch

from .. import errors
from ..conditioning import Conditioning, HostLayer


class UNetPipeline(Protocol):
    """A pipeline with a UNet: Stable Diffusion 1.x and SDXL."""

    @property
    def unet(self) -> torch.nn.Module: ...


class TransformerPipeline(Protocol):
    """A pipeline with a transformer: FLUX, SD3.5."""

    @property
    def transformer(self) -> torch.nn.Module: ...


Pipeline = Union[UNetPipeline, TransformerPipeline]

Target = Union[torch.nn.Module, Pipeline]
"""What an identity is attached to: a pipeline, or a UNet or transformer by itself."""


def model_of(target: Target) -> tuple[torch.nn.Module, Optional[Pipeline]]:
    """The UNet or transformer that `target` is or has, and the pipeline, if it is one."""
    if isinstance(target, torch.nn.Module):
        return target, None
    for name in ("unet", "transformer"):
        model = getattr(target, name, None)
        if isinstance(model, torch.nn.Module):
            return model, target
    raise errors.InvalidArgumentError(
        f"a {type(target).__name__} is neither a model nor a pipeline with a unet or a transformer"
    )


def is_unet(model: torch.nn.Module) -> bool:
    """Whether identities go into cross-attention layers; otherwise into the blocks of a transformer."""
    return not hasattr(model, "transformer_blocks")


def is_sd3(model: torch.nn.Module) -> bool:
    """Whether it is a transformer of the SD3 kind: text and image meet in joint blocks, without rotary positions."""
    return hasattr(model, "transformer_blocks") and hasattr(getattr(model, "config", None), "caption_projection_dim")


def built_in_name(model: Any) -> Optional[str]:
    """`sd15`, `sdxl` or `flux`, if the layers are those of such a host of the usual size."""
    if not is_unet(model):
        counts = tuple(len(getattr(model, name, ())) for name in ("transformer_blocks", "single_transformer_blocks"))
        return "flux" if counts == (19, 38) and int(model.config.joint_attention_dim) == 4096 else None
    layers = [(attn.heads, attn.inner_dim, attn.cross_attention_dim) for attn in attention_layers(model).values()]
    contexts = {context for _, _, context in layers}
    if len(layers) == 16 and contexts == {768} and {heads for heads, _, _ in layers} == {8}:
        return "sd15"
    if len(layers) == 70 and contexts == {2048} and {inner // heads for heads, inner, _ in layers} == {64}:
        return "sdxl"
    return None


def attention_layers(model: Any) -> dict[str, Any]:
    """The layers by their names, in the order of adapter checkpoints: module registration order."""
    if is_unet(model):
        # Motion modules attend to other frames, not to a prompt.
        found = {
            name: module
            for name, module in model.named_modules()
            if name.endswith(".attn2") and "motion_modules" not in name
        }
    else:
        found = {
            f"transformer_blocks.{i}.attn": block.attn
            for i, block in enumerate(model.transformer_blocks)
            if hasattr(block, "attn") and hasattr(block.attn, "norm_q")
        }
    if not found:
        raise errors.UnsupportedError(
            f"{type(model).__name__} has no attention layers that OmniID knows: cross-attention `attn2` of a UNet, or "
            "double blocks `transformer_blocks.{i}.attn` of a FLUX or SD3 transformer"
        )
    return found


def single_layers(model: Any) -> dict[str, Any]:
    """The attention layers of the single blocks of a FLUX transformer, by their names."""
    return {
        f"single_transformer_blocks.{i}.attn": block.attn
        for i, block in enumerate(getattr(model, "single_transformer_blocks", ()))
        if hasattr(block, "attn") and hasattr(block.attn, "norm_q")
    }


def blocks(model: Any) -> dict[str, Any]:
    """The blocks of a transformer, by their names: the places of its residual stream are behind them."""
    return {
        f"{group}.{i}": block
        for group in ("transformer_blocks", "single_transformer_blocks")
        for i, block in enumerate(getattr(model, group, ()))
    }


Adapter = Literal["ip-adapter", "xlabs", "instantx", "pulid", "with_anyone"]
"""Whose adapter a table is for; see `host_layers`."""


def host_layers(
    target: Target,
    adapter: Adapter | None = None,
    *,
    heads: int | None = None,
    head_dim: int | None = None,
    context: int | None = None,
) -> list[HostLayer]:
    """The table of a model's layers, for `Engine.open(host_layers=...)` when the model is not a built-in host.

    `target` is a pipeline or its UNet or transformer. `adapter` says which of the adapters of FLUX the table is for:
    "xlabs" has the double blocks (default), "instantx" all blocks, "pulid" the places after every second double and
    every fourth single block, "with_anyone" the place after each block. The last two have heads of their own, whose
    number and width and the width of whose tokens the model does not tell: `heads`, `head_dim` and `context`, by
    default those of the published checkpoints. UNets have one table, "ip-adapter", and SD3 has one, "instantx".
    """
    model: Any = model_of(target)[0]
    unet = is_unet(model)
    known: tuple[str, ...] = ("ip-adapter",) if unet else ("xlabs", "instantx", "pulid", "with_anyone")
    if is_sd3(model):
        known = ("instantx",)
    if adapter is not None and adapter not in known:
        raise errors.InvalidArgumentError(f"adapter is {adapter!r}; for a {type(model).__name__} it is {known}")
    if adapter in ("pulid", "with_anyone"):
        hidden = int(model.config.num_attention_heads * model.config.attention_head_dim)
        published = (16, 128, 2048) if adapter == "pulid" else (24, 64, hidden)
        sizes = [own or value for own, value in zip((heads, head_dim, context), published)]
        names = [name for name in blocks(model) if adapter == "with_anyone" or _is_pulid_place(name)]
        return [HostLayer(name, sizes[0], sizes[1], sizes[2], hidden) for name in names]
    if not (heads is None and head_dim is None and context is None):
        raise errors.InvalidArgumentError("heads, head_dim and context are for adapter 'pulid' or 'with_anyone' only")
    if is_sd3(model):
        modules = attention_layers(model)
        return [
            HostLayer(name, attn.heads, attn.inner_dim // attn.heads, attn.inner_dim) for name, attn in modules.items()
        ]
    if adapter == "instantx":
        modules = attention_layers(model) | single_layers(model)
        joint = int(model.config.joint_attention_dim)
        return [HostLayer(name, attn.heads, attn.inner_dim // attn.heads, joint) for name, attn in modules.items()]
    layers = []
    for name, attn in attention_layers(model).items():
        context = int(attn.cross_attention_dim if unet else model.config.joint_attention_dim)
        layers.append(HostLayer(name, attn.heads, attn.inner_dim // attn.heads, context))
    return layers


def _is_pulid_place(name: str) -> bool:
    group, _, number = name.rpartition(".")
    return int(number) % (4 if group.startswith("single") else 2) == 0


def has_single_blocks(conditioning: Conditioning) -> bool:
    """Whether identities go into single blocks, as with InstantX' adapter for FLUX."""
    return any(layer.name.startswith("single_") for layer in conditioning.layers) and not conditioning.is_residual


def match(model: torch.nn.Module, conditioning: Conditioning) -> list[tuple[int, str]]:
    """The number of each layer of the conditioning, with the name of the model's layer or block that it belongs to."""
    if conditioning.timesteps and not is_sd3(model):
        raise errors.MismatchError(f"the conditioning is for an SD3 transformer; the model is a {type(model).__name__}")
    if conditioning.is_residual:
        if is_sd3(model):
            raise errors.MismatchError(
                f"the conditioning is for a FLUX transformer; the model is a {type(model).__name__}"
            )
        return _match_blocks(model, conditioning)
    modules = attention_layers(model)
    if has_single_blocks(conditioning):
        modules |= single_layers(model)
    pairs = []
    for index, layer in enumerate(conditioning.layers):
        name = next((n for n in modules if _same(n, layer.name)), None)
        if name is None:
            raise errors.MismatchError(
                f"the conditioning is for a host with a layer {layer.name!r}; {type(model).__name__} has none. Its "
                f"{len(modules)} layers begin with {next(iter(modules))!r}"
            )
        attn = modules.pop(name)
        if (attn.heads, attn.inner_dim) != (layer.heads, layer.heads * layer.head_dim):
            raise errors.MismatchError(
                f"{name}: the conditioning is for {layer.heads} heads of {layer.head_dim}, the model has {attn.heads} "
                f"of {attn.inner_dim // attn.heads}"
            )
        pairs.append((index, name))
    if modules:
        raise errors.MismatchError(
            f"the conditioning has {conditioning.layer_count} layers; the model has {len(modules)} more, such as "
            f"{next(iter(modules))!r}"
        )
    return pairs


def _match_blocks(model: Any, conditioning: Conditioning) -> list[tuple[int, str]]:
    names = blocks(model)
    config = getattr(model, "config", None)
    hidden = int(getattr(config, "num_attention_heads", 0) * getattr(config, "attention_head_dim", 0))
    pairs = []
    for index, layer in enumerate(conditioning.layers):
        name = next((n for n in names if _same(n, layer.name)), None)
        if name is None:
            raise errors.MismatchError(
                f"the conditioning is for a host with a block {layer.name!r}; {type(model).__name__} has none. Its "
                f"{len(names)} blocks begin with {next(iter(names), None)!r}"
            )
        if hidden != layer.hidden:
            raise errors.MismatchError(
                f"{name}: the conditioning is for a hidden state of width {layer.hidden}, the model's is {hidden} wide"
            )
        pairs.append((index, name))
    return pairs


def _same(name: str, other: str) -> bool:
    for ending in (".processor", ".attn2", ".attn"):
        name, other = name.removesuffix(ending), other.removesuffix(ending)
    return name == other
