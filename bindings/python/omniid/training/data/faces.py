"""Faces of photos in folders, found by the plugin and kept beside the run."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Optional

from ... import errors
from ...engine import Engine
from .people import Dropped, Face, Person, Picture

SMALLEST = 24.0
"""Shorter side of the smallest face that is used, in pixels."""


def faces_of(engine: Engine, path: str) -> tuple[Optional[Face], str]:
    """The face of a photo, or why there is none to be used."""
    try:
        found = engine.detect_faces(path)
    except errors.OmniIdError as error:
        return None, f"unreadable: {error}"
    if not found:
        return None, "no face"
    first = found[0]
    left, top, right, bottom = first.bounds
    if len(found) > 1 and _area(found[1].bounds) > 0.5 * _area(first.bounds):
        return None, "several faces"
    if min(right - left, bottom - top) < SMALLEST:
        return None, f"small face: {min(right - left, bottom - top):.0f} pixels"
    return Face(first.bounds, first.landmarks), ""


def _area(bounds: tuple[float, float, float, float]) -> float:
    return (bounds[2] - bounds[0]) * (bounds[3] - bounds[1])


def with_faces(
    people: Sequence[Person], kept: Path, dropped: Dropped, report: Optional[Callable[[str], None]]
) -> list[Person]:
    """The people with the faces of their photos; photos without a usable one, and copies of a photo, are left out and
    reported. Results are kept in the file `kept` and not computed again for a photo that has not changed."""
    known = _read(kept)
    total = sum(len(person.pictures) for person in people)
    done, result = 0, []
    seen: dict[str, str] = {}
    engine: Optional[Engine] = None
    with open(kept, "a", encoding="utf-8") as file:
        for person in people:
            pictures = []
            for picture in person.pictures:
                done += 1
                stamp = _stamp(picture)
                entry = known.get(picture.path)
                if entry is None or entry["stamp"] != stamp:
                    engine = engine or Engine.open()
                    face, why = faces_of(engine, picture.path)
                    digest = hashlib.sha256(picture.read()).hexdigest() if face else ""
                    entry = {"path": picture.path, "stamp": stamp, "face": face and face.to_json(), "why": why,
                             "digest": digest}  # fmt: skip
                    file.write(json.dumps(entry) + "\n")
                if report is not None and (done % 200 == 0 or done == total):
                    report(f"faces: {done} of {total} photos")
                if entry["face"] is None:
                    dropped.add(picture.path, entry["why"])
                elif entry["digest"] in seen:
                    other = seen[entry["digest"]]
                    same = f"{person.name}/"
                    why = "copy of another photo" if other.startswith(same) else "the same photo under two people"
                    dropped.add(picture.path, f"{why}: {other}")
                else:
                    seen[entry["digest"]] = f"{person.name}/{os.path.basename(picture.path)}"
                    pictures.append(replace(picture, face=Face.from_json(entry["face"])))
            if pictures:
                result.append(Person(person.name, tuple(pictures)))
    return result


def _stamp(picture: Picture) -> list[int]:
    try:
        found = os.stat(picture.path)
    except OSError as error:
        raise errors.IoError(f"{picture.path}: {error.strerror}") from error
    return [found.st_mtime_ns, found.st_size]


def _read(path: Path) -> dict[str, Any]:
    """What is kept. A line that breaks off, as of a process that was killed, counts as nothing."""
    found: dict[str, Any] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
                found[entry["path"]] = entry
            except (ValueError, KeyError, TypeError):
                continue
    return found
