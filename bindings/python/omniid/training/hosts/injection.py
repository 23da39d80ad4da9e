"""Identity attention inside a frozen diffusers model, with gradients.

Hooks read the query of each attention layer and add the identity's attention where IP-Adapter adds it, beside whatever
attention processor the host has: decoupled cross-attention (Ye et al. 2023, section 3.2.2). The host's own modules and
weights stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

import torch
from torch import nn
from torch.nn import functional as F

from ... import errors
from ...diffusers import _layers

Pair = tuple[torch.Tensor, torch.Tensor]
"""Keys and values `[rows, heads, tokens, head_dim]` of one layer."""


class Injection:
    """The hooks on one model. `scale` multiplies what is added."""

    scale: float

    def __init__(self, model: Any, scale: float = 1.0) -> None:
        self.scale = scale
        self._pairs: Optional[Sequence[Pair]] = None
        self._queries: dict[int, torch.Tensor] = {}
        self._hooks: list[Any] = []
        self._names = list(_layers.attention_layers(model))
        unet, sd3 = _layers.is_unet(model), _layers.is_sd3(model)
        for place, (name, attn) in enumerate(_layers.attention_layers(model).items()):
            if unet:
                self._on(attn.to_q, lambda _m, _a, out, place=place: self._keep(place, out))
                self._before(attn.to_out[0], lambda _m, args, place=place: self._add_first(place, args))
                continue
            # The query as the layer's norm leaves it, before positions turn it.
            self._on(attn.to_q, lambda _m, _a, out, place=place, attn=attn: self._keep_normal(place, out, attn))
            if sd3:
                self._before(attn.to_out[0], lambda _m, args, place=place: self._add_first(place, args))
            else:
                block = model.get_submodule(name.removesuffix(".attn"))
                self._on(block, lambda _m, _a, out, place=place: self._add_to_image(place, out))

    def _on(self, module: nn.Module, hook: Any) -> None:
        self._hooks.append(module.register_forward_hook(hook))

    def _before(self, module: nn.Module, hook: Any) -> None:
        self._hooks.append(module.register_forward_pre_hook(hook))

    def remove(self) -> None:
        """Takes the hooks off. The model is as it was."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def set(self, pairs: Optional[Sequence[Pair]]) -> None:
        """From now on passes of the model see these keys and values, one pair per layer in the table's order; None:
        nobody's. A backward pass that computes parts of the model again (gradient checkpointing) needs them still."""
        if pairs is not None and len(pairs) != len(self._names):
            raise errors.MismatchError(f"keys and values of {len(pairs)} layers for a host with {len(self._names)}")
        self._pairs = pairs
        self._queries.clear()

    def _keep(self, place: int, query: torch.Tensor) -> None:
        if self._pairs is not None:
            self._queries[place] = query

    def _keep_normal(self, place: int, query: torch.Tensor, attn: Any) -> None:
        # The layer's own norm is applied again: in which layout diffusers hands it the heads depends on the version.
        if self._pairs is None:
            return
        if attn.norm_q is not None:
            query = attn.norm_q(query.unflatten(-1, (attn.heads, -1))).flatten(2)
        self._queries[place] = query

    def _attention(self, place: int) -> Optional[torch.Tensor]:
        query = self._queries.pop(place, None)
        if self._pairs is None or query is None:
            return None
        keys, values = self._pairs[place]
        rows, tokens, _ = query.shape
        if keys.shape[0] != rows:
            raise errors.MismatchError(f"{self._names[place]}: keys of {keys.shape[0]} rows for a batch of {rows} rows")
        heads = query.reshape(rows, tokens, keys.shape[1], -1).transpose(1, 2)
        found = F.scaled_dot_product_attention(heads, keys.to(query.dtype), values.to(query.dtype))
        return found.transpose(1, 2).reshape(rows, tokens, -1) * self.scale

    def _add_first(self, place: int, arguments: tuple[Any, ...]) -> Optional[tuple[Any, ...]]:
        found = self._attention(place)
        return None if found is None else (arguments[0] + found.to(arguments[0].dtype), *arguments[1:])

    def _add_to_image(self, place: int, output: Any) -> Any:
        found = self._attention(place)
        if found is None:
            return None
        text, image = output  # of a double block of FLUX
        return text, image + found.to(image.dtype)
