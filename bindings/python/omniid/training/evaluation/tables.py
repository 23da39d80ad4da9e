"""Results as Markdown and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from .. import checkpoint
from .measures import Interval, Row

_NOTHING = (math.nan, math.nan)


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table. Columns without a number are left out."""
    names = sorted({name for row in rows for name in row.by_angle}, key=lambda name: int(name.split("-")[0]))
    columns = {
        "photos": [str(row.inputs) for row in rows],
        "people": [str(row.people) for row in rows],
        "to the person": [_number(row.similarity) for row in rows],
        "to others": [_number(row.others) for row in rows],
        "nearest is right": ["" if math.isnan(row.first) else f"{row.first:.2f}" for row in rows],
        "to the photos given": [_number(row.reference) for row in rows],
        "photos to photos": [_number(row.real) for row in rows],
        "copy-paste": [_number(row.copy_paste) for row in rows],
        **{f"yaw {name}°": [_number(row.by_angle.get(name, _NOTHING)) for row in rows] for name in names},
        "no face": [f"{row.without_face} of {row.pictures}" for row in rows],
        "pixel error": [_number(row.error, 4) for row in rows],
        "more with another's tokens": [_number(row.margin, 4) for row in rows],
        "by seed": [", ".join(f"{value:.4f}" for value in row.margins_by_seed) for row in rows],
    }
    shown = {head: cells for head, cells in columns.items() if any(cells)}
    lines = ["| " + " | ".join(shown) + " |", "|" + "---|" * len(shown)]
    lines += ["| " + " | ".join(cells) + " |" for cells in zip(*shown.values())]
    return "\n".join(lines) + "\n"


def _number(value: Interval, digits: int = 3) -> str:
    if math.isnan(value[0]):
        return ""
    half = "" if math.isnan(value[1]) else f" ± {value[1]:.{digits}f}"
    return f"{value[0]:.{digits}f}{half}"


def write(rows: Sequence[Row], out: Path) -> None:
    """`evaluation.md` and `evaluation.json` in a folder. Numbers that there are none of are null. Raises IoError."""
    out.mkdir(parents=True, exist_ok=True)
    checkpoint.write_file(out / "evaluation.md", table(rows).encode())
    text = json.dumps([_plain(vars(row)) for row in rows], indent=1)
    checkpoint.write_file(out / "evaluation.json", text.encode())


def _plain(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value
