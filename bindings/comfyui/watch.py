"""Watching identities: how much each adds to the picture, and where."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from omniid import Role

KEY = "omniid_watch"
"""Where a watch is in a model's `transformer_options`."""


class Watch:
    """Collects, over all layers and steps of one sampling, the share of each identity in the output of attention: its
    length relative to the length of the attention to the text, for each place of the picture."""

    def __init__(self) -> None:
        self._sums: dict[tuple[int, int], list[Any]] = {}
        self._sigma = 0.0

    def __deepcopy__(self, memo: Any) -> Watch:
        return self  # the model that samples is a clone; it must report to this watch

    def begin(self, sigma: float) -> None:
        """A layer is at a noise level. A higher one than before means that another sampling has begun."""
        if sigma > self._sigma:
            self._sums.clear()
        self._sigma = sigma

    def note(
        self,
        injection: Any,
        identity: int,
        output: torch.Tensor,
        part: torch.Tensor,
        roles: tuple[Role, ...],
        size: tuple[int, int] | None,
    ) -> None:
        """Notes one identity in one layer: `output` and `part` are `[batch, rows, width]`."""
        rows = [i for i, role in enumerate(roles) if role == Role.CONDITIONAL]
        grid = None if size is None else token_grid(part.shape[1], size)
        if not rows or grid is None:
            return
        lengths = [side[rows].float().norm(dim=2) for side in (part, output)]
        share = (lengths[0] / lengths[1].clamp_min(1e-12)).mean(dim=0).reshape(1, 1, *grid)
        share = F.interpolate(share, size=size, mode="bilinear", align_corners=False)[0, 0].cpu()
        entry = self._sums.setdefault((id(injection), identity), [injection, torch.zeros(size), 0])
        if entry[1].shape == share.shape:
            entry[1] += share
            entry[2] += 1

    def maps(self) -> list[torch.Tensor]:
        """One map for each identity, `[latent height, latent width]`: its mean share. In the order of their nodes."""
        return [total / count for _, total, count in self._sums.values() if count]


def token_grid(tokens: int, size: tuple[int, int]) -> tuple[int, int] | None:
    """Height and width of a layer's image tokens for a latent picture of height and width `size`: each level of a UNet
    halves both, rounding up. None if the number of tokens is that of no level."""
    height, width = size
    while height * width > tokens and max(height, width) > 1:
        height, width = math.ceil(height / 2), math.ceil(width / 2)
    return (height, width) if height * width == tokens else None


def picture(maps: list[torch.Tensor], scale: int) -> torch.Tensor:
    """The maps as ComfyUI images `[identities, height, width, 3]` from 0 to 1, `scale` times as large: black where an
    identity does nothing, over red and yellow to white where it does most. All on one scale."""
    top = max(float(each.max()) for each in maps)
    heat = torch.stack(maps) / top if top > 0 else torch.stack(maps)
    heat = F.interpolate(heat[:, None], scale_factor=scale, mode="bilinear", align_corners=False)[:, 0]
    return torch.stack([(heat * 3 - channel).clamp(0, 1) for channel in range(3)], dim=-1)
