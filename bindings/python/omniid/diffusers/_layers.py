"""The attention layers of diffusers models that an identity is injected into."""

from __future__ import annotations

from typing import Any

import torch

from .. import errors
from ..conditioning import Conditioning, HostLayer


def model_of(target: Any) -> tuple[Any, Any]:
    """The UNet or transformer of a pipeline or of itself, and the pipeline or None."""
    if isinstance(target, torch.nn.Module):
        return target, None
    for name in ("unet", "transformer"):
        model = getattr(target, name, None)
        if isinstance(model, torch.nn.Module):
            return model, target
    raise errors.InvalidArgumentError(
        f"a {type(target).__name__} is neither a model nor a pipeline with a unet or a transformer"
    )


def is_unet(model: Any) -> bool:
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


def host_layers(target: Any) -> list[HostLayer]:
    """The table of a model's layers, for `Engine.open(host_layers=...)` when the model is none of the built-in hosts.

    `target` is a pipeline or its UNet or transformer.
    """
    model, _ = model_of(target)
    unet = is_unet(model)
    context = None if unet else int(model.config.joint_attention_dim)
    layers = []
    for name, attn in attention_layers(model).items():
        width = int(attn.cross_attention_dim) if context is None else context
        layers.append(HostLayer(name, attn.heads, attn.inner_dim // attn.heads, width))
    return layers


def match(model: Any, conditioning: Conditioning) -> list[tuple[int, Any]]:
    """The conditioning's layers with the modules of the model that they belong to."""
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
