"""Faces of photos in folders, found by the plugin and kept beside the run."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Optional, TypeVar

from ... import errors
from ...engine import Engine
from ...photos import Face as FoundFace
from .people import Dropped, Face, Person, Picture, Quality

SMALLEST = 24.0
"""Shorter side of the smallest face that is used, in pixels."""

T = TypeVar("T")
R = TypeVar("R")


def ahead(function: Callable[[T], R], values: Iterable[T]) -> Iterator[R]:
    """The results in the order of the values, computed by a thread for each processor, a few ahead of the caller."""
    threads = os.cpu_count() or 1
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for value in values:
                waiting.append(pool.submit(function, value))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def face_in(engine: Engine, path: str) -> tuple[Optional[FoundFace], str]:
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
    if abs(_tilt(first.landmarks)) > 45:
        return None, f"lies on its side: turned by {_tilt(first.landmarks):.0f} degrees"
    return first, ""


def _area(bounds: tuple[float, float, float, float]) -> float:
    return (bounds[2] - bounds[0]) * (bounds[3] - bounds[1])


def _tilt(landmarks: Sequence[tuple[float, float]]) -> float:
    """Degrees clockwise by which a face is turned: from the middle of its eyes to that of its mouth, 0 is down."""
    eyes, mouth = landmarks[:2], landmarks[3:]
    across = sum(x for x, _ in mouth) / 2 - sum(x for x, _ in eyes) / 2
    down = sum(y for _, y in mouth) / 2 - sum(y for _, y in eyes) / 2
    return math.degrees(math.atan2(-across, down))


def with_faces(
    people: Sequence[Person], kept: Path, dropped: Dropped, report: Optional[Callable[[str], None]]
) -> list[Person]:
    """The people with the faces of their photos; photos without a usable one, and copies of a photo, are left out and
    reported. Results are kept in the file `kept` and not computed again for a photo that has not changed."""
    known = _read(kept)
    pictures = [(place, picture) for place, person in enumerate(people) for picture in person.pictures]
    found: dict[int, list[Picture]] = {}
    seen: dict[str, tuple[int, str]] = {}
    with open(kept, "a", encoding="utf-8") as file:
        for done, (place, picture, entry) in enumerate(_entries(pictures, known), 1):
            if entry is not known.get(picture.path):
                file.write(json.dumps(entry) + "\n")
            if report is not None and (done % 200 == 0 or done == len(pictures)):
                report(f"faces: {done} of {len(pictures)} photos")
            if entry["face"] is None:
                dropped.add(picture.path, entry["why"])
            elif entry["digest"] in seen:
                other, photo = seen[entry["digest"]]
                why = "copy of another photo" if other == place else "the same photo under two people"
                dropped.add(picture.path, f"{why}: {people[other].name}/{photo}")
            else:
                seen[entry["digest"]] = place, os.path.basename(picture.path)
                face = Face.from_json(entry["face"])
                left, top, right, bottom = face.bounds
                quality = Quality(entry["score"], min(right - left, bottom - top))
                found.setdefault(place, []).append(replace(picture, face=face, quality=quality))
    return [Person(people[place].name, tuple(pictures)) for place, pictures in found.items()]


def _entries(
    pictures: Sequence[tuple[int, Picture]], known: dict[str, Any]
) -> Iterator[tuple[int, Picture, dict[str, Any]]]:
    """What is known of each photo, or found out now, with its person's place."""
    stamps = [_stamp(picture) for _, picture in pictures]
    new = any(known.get(p.path, {}).get("stamp") != stamp for (_, p), stamp in zip(pictures, stamps))
    # All threads share it; it is not opened for nothing.
    engine = Engine.open() if new else None

    def find(number: int) -> tuple[int, Picture, dict[str, Any]]:
        (place, picture), stamp = pictures[number], stamps[number]
        entry = known.get(picture.path)
        if entry is None or entry.get("stamp") != stamp:
            assert engine is not None
            face, why = face_in(engine, picture.path)
            about = None if face is None else Face(face.bounds, face.landmarks).to_json()
            digest = hashlib.sha256(picture.read()).hexdigest() if face else ""
            entry = {"path": picture.path, "stamp": stamp, "face": about, "score": face.score if face else None,
                     "why": why, "digest": digest}  # fmt: skip
        return place, picture, entry

    try:
        yield from ahead(find, range(len(pictures)))
    finally:
        if engine is not None:
            engine.close()


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
                if {"stamp", "face", "score", "why", "digest"} <= set(entry):
                    found[entry["path"]] = entry
            except (ValueError, KeyError, TypeError):
                continue
    return found
