"""Weights and masks that differ from picture to picture of a batch: for AnimateDiff and other videos."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from omniid import InvalidArgumentError


@dataclass(frozen=True)
class Frames:
    """What one person has for each picture of the batch. Of lists that are too short the last entry is repeated."""

    weights: tuple[float, ...] | None = None
    """A weight for each picture; None: 1."""
    masks: torch.Tensor | None = None
    """Where in each picture: `[pictures, height, width]`, 0 to 1; None: everywhere."""
    _kept: dict[Any, torch.Tensor] = field(default_factory=dict, compare=False)

    def factors(
        self, numbers: list[int], tokens: int, size: tuple[int, int] | None, like: torch.Tensor
    ) -> torch.Tensor:
        """What multiplies the person's part of each row: `[batch, 1 or tokens, 1]`, on the device of `like` and of its
        type. `numbers` has the picture of each row; `size` is the latent picture's height and width."""
        factors = torch.ones(len(numbers), 1, 1, device=like.device, dtype=like.dtype)
        if self.weights is not None:
            chosen = [self.weights[min(number, len(self.weights) - 1)] for number in numbers]
            factors = torch.tensor(chosen, device=like.device, dtype=like.dtype).reshape(-1, 1, 1)
        if self.masks is not None:
            if size is None:
                raise InvalidArgumentError("masks need the latent picture's size, which this version of ComfyUI hides")
            key = (tokens, size, like.device, like.dtype)
            if key not in self._kept:
                self._kept[key] = token_factors(self.masks, tokens, size).to(like.device, like.dtype)
            masks = self._kept[key]
            factors = factors * masks[[min(number, len(masks) - 1) for number in numbers]][:, :, None]
        return factors


def picture_numbers(batch: int, options: dict[str, Any]) -> list[int]:
    """Which picture of the whole batch each row belongs to. AnimateDiff samples long videos in windows and says which
    pictures a window holds."""
    chunks = options.get("cond_or_uncond") or [0]
    pictures = batch // len(chunks)
    window = (options.get("ad_params") or {}).get("sub_idxs")
    numbers = list(range(pictures)) if window is None else [int(number) for number in window][:pictures]
    return numbers * len(chunks)


def token_factors(masks: torch.Tensor, tokens: int, size: tuple[int, int]) -> torch.Tensor:
    """Masks `[pictures, height, width]` as one factor for each image token, `[pictures, tokens]`, by the rules of the
    library's mask mode "comfyui": the grid follows from the latent picture's size, resampling is bilinear, and a grid
    that does not fill the tokens is padded with zeros at both ends."""
    height = min(max(int(size[0] / math.sqrt(size[0] * size[1] / tokens)), 1), tokens)
    height += tokens % height != 0
    grid = (height, tokens // height)
    found = F.interpolate(masks[:, None].float(), size=grid, mode="bilinear", align_corners=False).flatten(1)
    missing = tokens - found.shape[1]
    return F.pad(found, (missing // 2, missing - missing // 2))


def weight_schedule(text: str, pictures: int, between: str) -> list[float]:
    """Weights from key frames such as `0:0, 8:1, 16:0`: `pictures` of them, or up to the last key frame for 0."""
    keys: dict[int, float] = {}
    for part in text.replace("\n", ",").split(","):
        if not part.strip():
            continue
        number, colon, weight = part.partition(":")
        try:
            place, value = int(number), float(weight)
            if not colon or place < 0 or not math.isfinite(value):
                raise ValueError
        except ValueError:
            raise InvalidArgumentError(
                f"key frames: {part.strip()!r} must be the number of a picture, from 0, and a weight, such as 8:0.5"
            ) from None
        keys[place] = value
    if not keys:
        raise InvalidArgumentError("key frames: there are none; give at least one, such as 0:1")
    return [_weight_at(place, sorted(keys.items()), between) for place in range(pictures or max(keys) + 1)]


def _weight_at(place: int, keys: list[tuple[int, float]], between: str) -> float:
    before = max((key for key in keys if key[0] <= place), default=keys[0])
    after = min((key for key in keys if key[0] >= place), default=keys[-1])
    if after[0] <= before[0] or between == "hold":
        return before[1]
    share = (place - before[0]) / (after[0] - before[0])
    if between == "smooth":
        share = share * share * (3 - 2 * share)
    return before[1] + (after[1] - before[1]) * share
