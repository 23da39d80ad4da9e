"""Exact views of rendered people, as `omniid render` writes them into truth.jsonl."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ... import errors

VIEW = 46
"""Numbers that describe a view: three angles, five points, twelve of expression, two of gaze, twelve of light, six of
background, glasses. Their order is that of our small generator (`View` in Rust's minihost)."""

POSE = 13
"""The first of them, angles and points: what a decoder is told with the condition "pose"."""

_EYES_AND_MOUTH = (1, 0, 2, 4, 3)
_EXPRESSION, _GAZE, _LIGHT = 13, 25, 27
_MOUTH_LEFT, _MOUTH_RIGHT = _EXPRESSION + 10, _EXPRESSION + 11
_COLOURS = range(_LIGHT, _LIGHT + 18, 3)
_GREY = (0.299, 0.587, 0.114)


def views_of(folder: Path) -> dict[str, tuple[float, ...]]:
    """The views by the pictures' paths below `folder`; none where there is no truth.jsonl. Raises FormatError for a
    file that is not one of `omniid render`."""
    path = folder / "truth.jsonl"
    if not path.is_file():
        return {}
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            about = json.loads(line)
            found[str(Path(about["path"]))] = _numbers(about["view"])
        except (ValueError, KeyError, TypeError) as error:
            raise errors.FormatError(
                f"{path}: line {number} is not the truth of a rendered picture: {error}"
            ) from error
    return found


def _numbers(view: Mapping[str, Any]) -> tuple[float, ...]:
    rows = [*view["points"], view["expression"], view["gaze"], *view["light"], *view["background"]]
    numbers = [view["yaw"], view["pitch"], view["roll"], *(value for row in rows for value in row), view["glasses"]]
    values = tuple(float(number) for number in numbers)
    if len(values) != VIEW or not all(map(math.isfinite, values)):
        raise ValueError(f"a view of {len(values)} numbers; {VIEW} finite ones are expected")
    return values


def mirrored(view: tuple[float, ...]) -> tuple[float, ...]:
    """The view of the picture mirrored left to right."""
    found = list(view)
    found[0], found[2] = -view[0], -view[2]
    for place, source in enumerate(_EYES_AND_MOUTH):
        found[3 + 2 * place] = -view[3 + 2 * source]
        found[4 + 2 * place] = view[4 + 2 * source]
    found[_MOUTH_LEFT], found[_MOUTH_RIGHT] = view[_MOUTH_RIGHT], view[_MOUTH_LEFT]
    found[_GAZE] = -view[_GAZE]
    # The second of four rows of light is that from the side.
    for channel in range(_LIGHT + 3, _LIGHT + 6):
        found[channel] = -view[channel]
    return tuple(found)


def grey(view: tuple[float, ...]) -> tuple[float, ...]:
    """The view of the picture without colours: light and background are grey too."""
    found = list(view)
    for first in _COLOURS:
        found[first : first + 3] = [sum(map(operator.mul, _GREY, view[first : first + 3]))] * 3
    return tuple(found)
