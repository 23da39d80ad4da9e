"""The attention layers of diffusers models that an identity is injected into."""

from __future__ import annotations

from typing import Any, Optional, Protocol, Union

import torch

from .. import errors
from ..conditioning import Conditioning, HostLayer


class UNetPipeline(Protocol):
    """A pipeline with a UNet: Stable Diffusion 1.x and SDXL."""

    @property
    def unet(self) -> torch.nn.Module: ...


class TransformerPipeline(Protocol):
    """A pipeline with a transformer: FLUX."""

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
    """Whether identities go into cross-attention layers; otherwise into the double blocks of a FLUX transformer."""
    return not hasattr(model, "transformer_blocks")


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
            "double blocks `transformer_blocks.{i}.attn` of a FLUX transformer"
        )
    return found


def host_layers(target: Target) -> list[HostLayer]:
    """The table of a model's layers, for `Engine.open(host_layers=...)` when the model is not a built-in host.

    `target` is a pipeline or its UNet or transformer.
    """
    model: Any = model_of(target)[0]
    unet = is_unet(model)
    layers = []
    for name, attn in attention_layers(model).items():
        context = int(attn.cross_attention_dim if unet else model.config.joint_attention_dim)
        layers.append(HostLayer(name, attn.heads, attn.inner_dim // attn.heads, context))
    return layers


def match(model: torch.nn.Module, conditioning: Conditioning) -> list[tuple[int, Any]]:
    """The number of each layer of the conditioning, with the module of the model that it belongs to."""
    modules = attention_layers(model)
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
        pairs.append((index, attn))
    if modules:
        raise errors.MismatchError(
            f"the conditioning has {conditioning.layer_count} layers; the model has {len(modules)} more, such as "
            f"{next(iter(modules))!r}"
        )
    return pairs


def _same(name: str, other: str) -> bool:
    for ending in (".processor", ".attn2", ".attn"):
        name, other = name.removesuffix(ending), other.removesuffix(ending)
    return name == other
