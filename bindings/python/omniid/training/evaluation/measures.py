"""The measures, on their own.

- *Similarity* of what is drawn from 1, 3, 5 or 7 photos to held-out photos of the person, beside that to other people.
- *Copy-paste* of MultiID-Bench: (θ_gt − θ_gr) / θ_tr, with θ the angle between face embeddings, gt generated and
  target, gr generated and reference, tr target and reference. Above 0 the picture is nearer to the photos that were
  given than to the one that was to be drawn.
- Similarity by the angle of the target's head.
- *Margin* in pixels: how much nearer to the true picture the person's own tokens bring the host than another person's,
  from the same noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float32]

ANGLES = (15, 35, 180)
"""Upper ends of the ranges of yaw that results are given for, degrees."""

Interval = tuple[float, float]
"""A mean, and the half width of its 95 % interval."""

_NOTHING = (math.nan, math.nan)


@dataclass
class Row:
    """The measures for one number of photos. Means over people, with the half width of a 95 % interval."""

    inputs: int
    people: int = 0
    similarity: Interval = _NOTHING
    """Generated to the person's held-out photos."""
    others: Interval = _NOTHING
    """Generated to other people's."""
    reference: Interval = _NOTHING
    """Generated to the photos that were given."""
    copy_paste: Interval = _NOTHING
    real: Interval = _NOTHING
    """The ceiling: held-out photos to the photos that were given."""
    first: float = math.nan
    """Share of people whose pictures are nearest to themselves among all that were drawn for."""
    by_angle: dict[str, Interval] = field(default_factory=dict)
    """`similarity` by the target's yaw."""
    without_face: int = 0
    """Generated pictures in which no face was found; they count as 0 in `similarity`."""
    pictures: int = 0
    error: Interval = _NOTHING
    """Mean distance of a pixel to the true picture, 0 to 1, with the person's tokens."""
    margin: Interval = _NOTHING
    """The same with another person's tokens from the same noise, less `error`."""
    margins_by_seed: list[float] = field(default_factory=list)
    """`margin` for each seed of the noise."""


def copy_paste(generated: Vector, target: Vector, reference: Vector) -> float:
    """(θ_gt − θ_gr) / θ_tr of unit vectors; not a number when target and reference are the same."""
    distance = _angle(target, reference)
    if distance < 1e-6:
        return math.nan
    return (_angle(generated, target) - _angle(generated, reference)) / distance


def _angle(a: Vector, b: Vector) -> float:
    return math.acos(float(np.clip(np.dot(a, b), -1.0, 1.0)))


# Student's t for 95 %, by degrees of freedom; beyond the table the next lower entry, which is a little wider.
_STUDENT = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 10: 2.228,
            12: 2.179, 15: 2.131, 20: 2.086, 30: 2.042, 60: 2.0, 120: 1.98}  # fmt: skip


def interval(values: Sequence[float]) -> Interval:
    """Mean and half width of its 95 % interval (Student's t). Values that are not finite are left out."""
    found = np.array([value for value in values if math.isfinite(value)])
    if not len(found):
        return _NOTHING
    if len(found) == 1:
        return float(found[0]), math.nan
    student = _STUDENT[max(freedom for freedom in _STUDENT if freedom <= len(found) - 1)]
    return float(found.mean()), student * float(found.std(ddof=1)) / math.sqrt(len(found))


def angle_range(yaw: float) -> str:
    """The name of the range that a yaw in degrees is in."""
    low = 0
    for high in ANGLES:
        if abs(yaw) <= high:
            return f"{low}-{high}"
        low = high
    return f"{low}-"


def unit(vector: Any) -> Vector:
    """The vector of length 1."""
    found: Vector = (vector / max(float(np.linalg.norm(vector)), 1e-9)).astype(np.float32)
    return found


def between(
    drawn: Sequence[Sequence[Optional[Vector]]], centres: Sequence[Optional[Vector]]
) -> tuple[list[float], list[float]]:
    """For each person the mean likeness of what was drawn to other people, and whether it is nearest to its own."""
    others, firsts = [], []
    for person, pictures in enumerate(drawn):
        scores = []
        for centre in centres:
            values = [0.0 if v is None or centre is None else float(v @ centre) for v in pictures]
            scores.append(float(np.mean(values)))
        rest = [score for other, score in enumerate(scores) if other != person and centres[other] is not None]
        if rest and centres[person] is not None:
            others.append(float(np.mean(rest)))
            firsts.append(float(scores[person] > max(rest)))
    return others, firsts
