"""Codes of places in a photo, from which positions and anchored queries start. Equal to those of `omniid train`."""

from __future__ import annotations

import math

import torch

_POSITION_BASE = 100.0
"""Base of the wavelengths of position codes: small pictures have few patches."""


def square_codes(side: int, width: int) -> torch.Tensor:
    """Codes `[side · side, width]` of a square grid, row by row: sines and cosines of the column in the first half, of
    the row in the second (Dosovitskiy et al. 2021, appendix; MAE), with wavelengths up to 100 patches. Columns that do
    not fill a quarter of the width are 0."""
    quarter = width // 4
    frequencies = _POSITION_BASE ** (-torch.arange(quarter, dtype=torch.float64) / max(quarter, 1))
    angles = torch.arange(side, dtype=torch.float64)[:, None] * frequencies
    code = torch.cat([angles.sin(), angles.cos()], dim=1)
    grid = torch.zeros(side, side, width)
    grid[..., : 2 * quarter] = code[None, :, :]
    grid[..., 2 * quarter : 4 * quarter] = code[:, None, :]
    return grid.reshape(side * side, width)


def grid(count: int) -> list[tuple[float, float]]:
    """`count` places (x, y) of a grid as square as possible, in rows, with coordinates between 0 and 1."""
    columns = max(math.isqrt(count), 1)
    if columns * columns < count:
        columns += 1
    rows = max(-(-count // columns), 1)
    return [((i % columns + 0.5) / columns, (i // columns + 0.5) / rows) for i in range(count)]


def anchor_codes(places: list[tuple[float, float]], width: int, frequencies: int, key_side: int) -> torch.Tensor:
    """Sines and cosines of both coordinates, `[places, width]`, mean square 1 over the columns used.

    Frequencies rise geometrically from half a period over the photo to one period over two of `key_side` patches, so
    that codes of distant places are unlike.
    """
    highest = max(key_side, 2) / 2.0
    steps = torch.arange(frequencies, dtype=torch.float64) / (max(frequencies, 2) - 1)
    waves = 0.5 * (highest / 0.5) ** steps
    points = torch.tensor(places, dtype=torch.float64).reshape(-1, 2)
    angles = 2 * math.pi * points[:, None, :] * waves[None, :, None]
    code = torch.stack([angles.sin(), angles.cos()], dim=-1) * math.sqrt(2)
    code = code.reshape(len(places), -1)[:, :width].float()
    return torch.nn.functional.pad(code, (0, width - code.shape[1]))
