"""The Masked Transformer Decoder of stage 1: the twin of that of `omniid train`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

import torch
from torch import nn
from torch.nn import functional as F

CONDITION_LENGTH = {"none": 0, "pose": 13, "view": 46}
"""Numbers that a decoder is told about a target: nothing; three angles and five points; everything about a rendered
picture."""


@dataclass(frozen=True)
class MaskedDecoderConfig:
    """Sizes, with the names of a run's section `[masked]`."""

    width: int
    depth: int
    heads: int
    condition: str
    """"none", "pose" or "view"."""
    token_width: int
    patch_size: int

    @property
    def pixels(self) -> int:
        """Numbers of a patch."""
        return 3 * self.patch_size * self.patch_size


@dataclass(frozen=True)
class MaskedTargets:
    """What the decoder is given about the targets of a step. `all` is people · targets."""

    visible: Optional[torch.Tensor]
    """Visible patches `[all, visible, 3 · patch²]`, −1 to 1; None when nothing is visible."""
    visible_places: Optional[torch.Tensor]
    """Codes of their places `[all, visible, width]`."""
    places: torch.Tensor
    """Codes of the places to decode `[all, decoded, width]`."""
    condition: Optional[torch.Tensor]
    """Conditions `[all, condition length]`."""


class ConditionToken(nn.Module):
    """From the numbers of a view to one token."""

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.up = nn.Linear(length, width)
        self.down = nn.Linear(width, width)

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.down(F.silu(self.up(numbers)))
        return result


class DecoderBlock(nn.Module):
    """Cross-attention and feed-forward. Hidden patches do not attend to each other."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_queries, self.norm_context, self.norm_inner = (nn.LayerNorm(width) for _ in range(3))
        self.to_q, self.to_k, self.to_v, self.to_out = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor, identity: torch.Tensor, local: Optional[torch.Tensor]) -> torch.Tensor:
        """`x` `[people · each, decoded, width]`, `identity` `[people, tokens, width]`, `local`
        `[people · each, local tokens, width]`."""
        each = x.shape[0] // identity.shape[0]
        identity = self.norm_context(identity)
        local = None if local is None else self.norm_context(local)

        def project(layer: nn.Linear) -> torch.Tensor:
            # Identity tokens are projected once per person and serve all of the person's targets.
            shared = layer(identity).repeat_interleave(each, dim=0)
            return shared if local is None else torch.cat([shared, layer(local)], dim=1)

        def split(tensor: torch.Tensor) -> torch.Tensor:
            return tensor.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        found = F.scaled_dot_product_attention(
            split(self.to_q(self.norm_queries(x))), split(project(self.to_k)), split(project(self.to_v))
        )
        x = x + self.to_out(found.transpose(1, 2).flatten(2))
        result: torch.Tensor = x + self.down(F.gelu(self.up(self.norm_inner(x))))
        return result


class MaskedDecoder(nn.Module):
    """Rebuilds hidden patches of a target from the person's identity tokens, few visible patches and the condition.

    A hidden patch is a query: one learned vector plus the code of its place (CrossMAE, Fu et al. 2024), so any subset
    of them can be decoded. Keys and values are the identity tokens, the visible patches and one condition token, each
    kind with a vector of its own added."""

    def __init__(self, config: MaskedDecoderConfig) -> None:
        super().__init__()
        width = config.width
        self.config = config
        self.token_projection = nn.Linear(config.token_width, width)
        self.patch_projection = nn.Linear(config.pixels, width)
        self.token_kind, self.patch_kind, self.hidden_patch = (nn.Parameter(torch.empty(width)) for _ in range(3))
        length = CONDITION_LENGTH[config.condition]
        self.condition = ConditionToken(length, width) if length else None
        self.condition_kind = nn.Parameter(torch.empty(width)) if length else None
        self.blocks = nn.ModuleList(DecoderBlock(width, config.heads) for _ in range(config.depth))
        self.norm_out = nn.LayerNorm(width)
        self.out = nn.Linear(width, config.pixels)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Matrices by their input width, vectors of kinds small, biases 0."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                std = module.in_features**-0.5
                nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for vector in (self.token_kind, self.patch_kind, self.hidden_patch, self.condition_kind):
            if vector is not None:
                nn.init.trunc_normal_(vector, std=0.02, a=-0.04, b=0.04)

    def forward(self, tokens: torch.Tensor, targets: MaskedTargets) -> torch.Tensor:
        """Decoded patches `[people · targets, decoded, 3 · patch²]`, −1 to 1, from tokens `[people, kept, token
        width]`, which may be any subset of a person's tokens."""
        identity = self.token_projection(tokens) + self.token_kind
        local = []
        if targets.visible is not None and targets.visible_places is not None:
            local.append(self.patch_projection(targets.visible) + targets.visible_places + self.patch_kind)
        if targets.condition is not None and self.condition is not None:
            local.append((self.condition(targets.condition) + self.condition_kind).unsqueeze(1))
        seen = torch.cat(local, dim=1) if local else None
        x = targets.places + self.hidden_patch
        for block in self.blocks:
            x = block(x, identity, seen)
        result: torch.Tensor = self.out(self.norm_out(x))
        return result
