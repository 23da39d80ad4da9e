"""What brings identity tokens into a host: keys and values of their own in every attention layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import torch
from torch import nn

from ... import errors
from ...conditioning import HostLayer


class TokenProjection(nn.Module):
    """Identity tokens to context tokens, each by itself: linear, GELU, linear, LayerNorm, as in IP-Adapter's full-face
    file. Parameters have the names of a native checkpoint without the prefix `adapter.`."""

    def __init__(self, token_width: int, context: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(
            nn.Linear(token_width, token_width), nn.GELU(), nn.Linear(token_width, context), nn.LayerNorm(context)
        )

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """`[rows, tokens, token width]` to `[rows, tokens, context]`."""
        result: torch.Tensor = self.proj(tokens)
        return result


class LayerProjections(nn.Module):
    """Keys and values of one layer."""

    def __init__(self, layer: HostLayer) -> None:
        super().__init__()
        self.heads, self.head_dim = layer.heads, layer.head_dim
        inner = layer.heads * layer.head_dim
        self.to_k = nn.Linear(layer.context, inner, bias=False)
        self.to_v = nn.Linear(layer.context, inner, bias=False)

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values `[rows, heads, tokens, head_dim]` of context tokens `[rows, tokens, context]`."""
        shape = (self.heads, self.head_dim)
        keys, values = self.to_k(tokens), self.to_v(tokens)
        return keys.unflatten(-1, shape).transpose(1, 2), values.unflatten(-1, shape).transpose(1, 2)


class IdentityAdapter(nn.Module):
    """A projection per token, and keys and values per layer of the host, in the host's order of layers.

    Parameters have the names of a native checkpoint without the prefix `adapter.`; layer i is `layers.{i}`.
    """

    def __init__(self, layers: Sequence[HostLayer], token_width: int, projection: bool = True) -> None:
        """`projection` False: identity tokens are context tokens already, and must have their width."""
        super().__init__()
        if not layers:
            raise errors.InvalidArgumentError("an adapter for a host without attention layers")
        contexts = {layer.context for layer in layers}
        if len(contexts) != 1:
            raise errors.UnsupportedError(f"the host's layers take context tokens of different widths {contexts}")
        context = contexts.pop()
        if not projection and context != token_width:
            raise errors.MismatchError(
                f"identity tokens of width {token_width} without a projection, for a host with context tokens of width "
                f"{context}"
            )
        self.host_layers = tuple(layers)
        self.projection: Optional[TokenProjection] = TokenProjection(token_width, context) if projection else None
        self.layers = nn.ModuleList(LayerProjections(layer) for layer in layers)

    def forward(self, tokens: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Keys and values of every layer from identity tokens `[rows, tokens, token width]`."""
        if self.projection is not None:
            tokens = self.projection(tokens)
        return [layer(tokens) for layer in self.layers]

    @torch.no_grad()
    def start_from_host(self, weights: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
        """Starts keys and values as copies of the host's own for text, `[inner, context]` each, as IP-Adapter does."""
        for layer, (key, value) in zip(self.layers, weights):
            layer.to_k.weight.copy_(key)
            layer.to_v.weight.copy_(value)

    def native_state(self) -> dict[str, torch.Tensor]:
        """The weights by their native names, without the prefix `adapter.`."""
        return {name.removeprefix("projection."): tensor for name, tensor in self.state_dict().items()}

    def load_native_state(self, state: dict[str, torch.Tensor]) -> None:
        """Takes the weights from a native checkpoint, names without the prefix `adapter.`."""
        renamed = {f"projection.{name}" if name.startswith("proj.") else name: value for name, value in state.items()}
        try:
            self.load_state_dict(renamed)
        except RuntimeError as error:
            raise errors.MismatchError(f"adapter: {error}") from error
