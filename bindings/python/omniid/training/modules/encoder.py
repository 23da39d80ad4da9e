"""The Omni-ID encoder (arXiv 2412.09694, section "Omni-ID encoder"): the PyTorch twin of the library's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Optional

import torch
from torch import nn
from torch.nn import functional as F

from ... import errors
from .places import anchor_codes, grid


@dataclass(frozen=True)
class OmniIdConfig:
    """Sizes, with the names of a native checkpoint's metadata.

    The default reads CLIP ViT-H/14 and gives 256 tokens of width 1280, as the paper states. The paper leaves depth and
    heads open; depth 4 and 20 heads of 64 are those of IP-Adapter Plus, the nearest public precedent.
    """

    queries: int = 256
    """Learned queries, which is the number of tokens of an identity."""
    width: int = 1280
    """Width inside the encoder."""
    depth: int = 4
    heads: int = 20
    head_width: int = 64
    feed_forward_multiplier: int = 4
    """Width inside the feed-forward part, in multiples of `width`."""
    feature_width: int = 1280
    """Width of a feature token."""
    feature_tokens: int = 257
    """Feature tokens of one photo as the image encoder gives them, class token included."""
    token_width: int = 1280
    """Width of an identity token. `proj_out` exists exactly if it differs from `width`."""
    key_position: bool = True
    """Whether keys carry a position code, the same for every photo."""
    include_class_token: bool = True
    """Whether the first token is read besides the others."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not isinstance(value, bool) and not (isinstance(value, int) and 1 <= value <= 1 << 20):
                raise errors.InvalidArgumentError(f"{name} of the Omni-ID encoder is {value!r}; it must be 1 to 2^20")
        if self.key_tokens < 1:
            raise errors.InvalidArgumentError(
                "the Omni-ID encoder leaves out the class token of features that have no other token"
            )

    @property
    def key_tokens(self) -> int:
        """Feature tokens of one photo that take part in attention."""
        return self.feature_tokens - (not self.include_class_token)

    @property
    def inner_width(self) -> int:
        """Width of queries, keys and values."""
        return self.heads * self.head_width


class Attention(nn.Module):
    """Multi-head attention without biases, added to the stream; keys and values may come from different tensors."""

    def __init__(self, config: OmniIdConfig, context: int) -> None:
        super().__init__()
        inner = config.inner_width
        self.heads = config.heads
        self.to_q = nn.Linear(config.width, inner, bias=False)
        self.to_k = nn.Linear(context, inner, bias=False)
        self.to_v = nn.Linear(context, inner, bias=False)
        self.to_out = nn.Linear(inner, config.width, bias=False)

    def read(
        self, stream: torch.Tensor, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
    ) -> torch.Tensor:
        """`stream`, `queries` `[persons, queries, width]`; `keys`, `values` `[persons, keys, context]`."""
        heads = (self.heads, -1)
        q, k, v = (
            layer(source).unflatten(-1, heads).transpose(1, 2)
            for layer, source in ((self.to_q, queries), (self.to_k, keys), (self.to_v, values))
        )
        found = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        result: torch.Tensor = stream + self.to_out(found)
        return result


class CrossAttention(Attention):
    """The queries read the features of all photos."""

    def __init__(self, config: OmniIdConfig) -> None:
        super().__init__(config, config.feature_width)
        self.norm_queries = nn.LayerNorm(config.width)
        self.norm_features = nn.LayerNorm(config.feature_width)

    def forward(self, x: torch.Tensor, features: torch.Tensor, position: Optional[torch.Tensor]) -> torch.Tensor:
        values = self.norm_features(features)
        keys = values if position is None else values + position
        return self.read(x, self.norm_queries(x), keys, values)


class SelfAttention(Attention):
    """The queries read each other."""

    def __init__(self, config: OmniIdConfig) -> None:
        super().__init__(config, config.width)
        self.norm = nn.LayerNorm(config.width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        normal = self.norm(x)
        return self.read(x, normal, normal, normal)


class FeedForward(nn.Module):
    """LayerNorm, linear, GELU (erf), linear, without biases; added to the stream."""

    def __init__(self, config: OmniIdConfig) -> None:
        super().__init__()
        inner = config.feed_forward_multiplier * config.width
        self.norm = nn.LayerNorm(config.width)
        self.up = nn.Linear(config.width, inner, bias=False)
        self.down = nn.Linear(inner, config.width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = x + self.down(F.gelu(self.up(self.norm(x))))
        return result


class Block(nn.Module):
    def __init__(self, config: OmniIdConfig) -> None:
        super().__init__()
        self.cross_attention = CrossAttention(config)
        self.self_attention = SelfAttention(config)
        self.feed_forward = FeedForward(config)

    def forward(self, x: torch.Tensor, features: torch.Tensor, position: Optional[torch.Tensor]) -> torch.Tensor:
        x = self.cross_attention(x, features, position)
        result: torch.Tensor = self.feed_forward(self.self_attention(x))
        return result


class OmniIdEncoder(nn.Module):
    """Learned queries read the image features of all photos of one person at once.

    The result has a fixed size and does not depend on the order of the photos. Parameters have the names of a native
    checkpoint without the prefix `encoder.`. `token_mean` is a buffer, or None before training has ended: "no
    identity"."""

    token_mean: Optional[torch.Tensor]

    def __init__(self, config: OmniIdConfig) -> None:
        super().__init__()
        self.config = config
        self.queries = nn.Parameter(torch.empty(config.queries, config.width))
        position = torch.empty(config.key_tokens, config.feature_width)
        self.key_position = nn.Parameter(position) if config.key_position else None
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm_out = nn.LayerNorm(config.width)
        self.proj_out = nn.Linear(config.width, config.token_width) if config.token_width != config.width else None
        self.register_buffer("token_mean", None)
        self.gradient_checkpointing = False
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Queries start with standard deviation 1: smaller ones stay one and the same vector in training. With
        `key_position`, queries start at places of a regular grid instead: both carry the same code of the place, and
        `to_q` and `to_k` of cross-attention start equal on it, so each query first looks around its own place."""
        config = self.config
        for module in self.modules():
            if isinstance(module, nn.Linear):
                std = 1.0 / math.sqrt(module.in_features)
                nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if self.key_position is None:
            nn.init.normal_(self.queries)
            return
        frequencies = max(min(config.width, config.feature_width) // 4, 1)
        side = math.isqrt(max(config.feature_tokens - 1, 1))
        self.queries.copy_(anchor_codes(grid(config.queries), config.width, frequencies, side))
        codes = anchor_codes(grid(config.feature_tokens - 1), config.feature_width, frequencies, side)
        self.key_position.zero_()  # the class token has no place
        self.key_position[config.include_class_token :].copy_(codes)
        common = min(config.width, config.feature_width)
        for block in self.blocks:
            attention = block.cross_attention
            attention.to_k.weight[:, :common].copy_(attention.to_q.weight[:, :common])

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Tokens `[persons, queries, token width]` of features `[persons, photos, feature tokens, feature width]`,
        class token first."""
        config = self.config
        if features.ndim != 4 or features.shape[1] < 1 or features.shape[3] != config.feature_width or (
            features.shape[2] != config.feature_tokens
        ):  # fmt: skip
            raise errors.MismatchError(
                f"the Omni-ID encoder takes features [persons, photos, {config.feature_tokens}, "
                f"{config.feature_width}], got {list(features.shape)}"
            )
        photos = features.shape[1]
        features = features[:, :, features.shape[2] - config.key_tokens :].flatten(1, 2)
        position = None if self.key_position is None else self.key_position.repeat(photos, 1)
        x = self.queries.expand(features.shape[0], -1, -1)
        for block in self.blocks:
            if self.gradient_checkpointing and torch.is_grad_enabled():
                x = torch.utils.checkpoint.checkpoint(block, x, features, position, use_reentrant=False)
            else:
                x = block(x, features, position)
        x = self.norm_out(x)
        return x if self.proj_out is None else self.proj_out(x)
