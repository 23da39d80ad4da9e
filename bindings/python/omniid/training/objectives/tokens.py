"""Whose tokens a decoder sees."""

from __future__ import annotations

import torch


def of_whom(tokens: torch.Tensor, whose: str) -> torch.Tensor:
    """`[people, queries, width]`: each person's "own", those of the next person ("other"), or the "mean" of all."""
    if whose == "other":
        return tokens.roll(1, dims=0)
    if whose == "mean":
        return tokens.mean(dim=0, keepdim=True).expand_as(tokens)
    return tokens
