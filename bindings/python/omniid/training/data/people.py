"""People and their pictures: folders with one folder per person, or WebDataset shards with one sample per person."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from ... import errors
from ...many.sources import SUFFIXES, Member, expand, members_of, people_of
from .views import views_of

_MOST_METADATA = 1 << 20
"""Bytes of a description or a caption in a shard."""


@dataclass(frozen=True)
class Face:
    """Where the face of a picture is, in its pixels."""

    bounds: tuple[float, float, float, float]
    """Left, top, right, bottom."""
    landmarks: tuple[tuple[float, float], ...]
    """The eye at the picture's left, the eye at its right, the nose tip, the mouth corner at its left and the one at
    its right."""

    def to_json(self) -> dict[str, Any]:
        return {"bounds": list(self.bounds), "landmarks": [list(point) for point in self.landmarks]}

    @staticmethod
    def from_json(values: dict[str, Any]) -> Face:
        left, top, right, bottom = map(float, values["bounds"])
        points = tuple((float(x), float(y)) for x, y in values["landmarks"])
        if len(points) != 5:
            raise ValueError(f"{len(points)} landmarks, not 5")
        if not all(map(math.isfinite, (left, top, right, bottom, *(value for point in points for value in point)))):
            raise ValueError("numbers of the face that are none")
        if right <= left or bottom <= top:
            raise ValueError("a face without area")
        return Face((left, top, right, bottom), points)


@dataclass(frozen=True)
class Quality:
    """How well a photo shows a face, as the plugin found it."""

    score: float
    """The detector's confidence, 0 to 1."""
    size: float
    """Shorter side of the face in the photo as it was, in pixels."""
    similarity: Optional[float] = None
    """How alike the photo is to the person's others, −1 to 1; None if it was not compared."""

    def to_json(self) -> dict[str, Any]:
        return {"score": self.score, "size": self.size, "similarity": self.similarity}


@dataclass(frozen=True)
class Picture:
    """A photo where it lies: a file, or a piece of a shard."""

    path: str
    offset: int = 0
    size: int = -1
    """Bytes; −1 for a whole file."""
    face: Optional[Face] = None
    caption: Optional[str] = None
    quality: Optional[Quality] = None
    view: Optional[tuple[float, ...]] = None
    """The exact view, of pictures that `omniid render` made."""

    def read(self) -> bytes:
        """The bytes of the image file. Raises IoError."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self.offset)
                data = file.read(self.size) if self.size >= 0 else file.read()
        except OSError as error:
            raise errors.IoError(f"{self.path}: {error.strerror}") from error
        if 0 <= self.size != len(data):
            raise errors.IoError(f"{self.path}: ends at byte {self.offset + len(data)} within a photo")
        return data


@dataclass(frozen=True)
class Person:
    """One person."""

    name: str
    pictures: tuple[Picture, ...]


@dataclass
class Dropped:
    """What was left out and why."""

    reasons: list[tuple[str, str]] = field(default_factory=list)
    """Path or person, and the reason."""

    def add(self, what: str, why: str) -> None:
        self.reasons.append((what, why))

    def counts(self) -> dict[str, int]:
        """How often each reason came, numbers in it left out."""
        found: dict[str, int] = {}
        for _, why in self.reasons:
            kind = re.sub(r"\d+(\.\d+)?", "N", why.split(":")[0])
            found[kind] = found.get(kind, 0) + 1
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def write(self, path: Path) -> None:
        """A line for each: what, tabulator, why."""
        path.write_text("".join(f"{what}\t{why}\n" for what, why in self.reasons), encoding="utf-8")


def people_of_folder(folder: str, dropped: Dropped) -> list[Person]:
    """The people of a folder with one folder per person, by name. A text file beside a photo, `1.txt` beside `1.jpg`,
    is its caption. Of people that `omniid render` made, truth.jsonl has the views. Raises IoError for a folder that
    cannot be read, FormatError for a broken truth.jsonl."""
    root = Path(folder)
    if not root.is_dir():
        raise errors.IoError(f"{folder}: no such folder; photos lie in one folder per person inside it")
    views, people = views_of(root), []
    for name, paths in people_of(root):
        pictures = []
        for path in paths:
            caption = path.with_suffix(".txt")
            text = caption.read_text(encoding="utf-8", errors="replace").strip() if caption.is_file() else None
            pictures.append(Picture(str(path), caption=text, view=views.get(str(path.relative_to(root)))))
        if pictures:
            people.append(Person(name, tuple(pictures)))
        else:
            dropped.add(str(root / name), "no photo in the folder")
    return people


def people_of_shards(patterns: Sequence[str], dropped: Dropped) -> list[Person]:
    """The people of WebDataset shards. A sample is a person: `anna.0001.jpg`, `anna.0001.json` (the face),
    `anna.0001.txt` (a caption); `anna/0001.jpg` and so on will do. Of photos only the headers are read. The end of a
    shard that breaks off, and photos with broken metadata, are left out and reported. Raises IoError for a shard that
    cannot be opened, FormatError for what is no shard."""
    people: dict[str, list[Picture]] = {}
    for path in expand(patterns):
        for name, pictures in _people_of_shard(path, dropped).items():
            people.setdefault(name, []).extend(pictures)
    return [Person(name, tuple(pictures)) for name, pictures in people.items()]


def _people_of_shard(path: str, dropped: Dropped) -> dict[str, list[Picture]]:
    parts: dict[tuple[str, str], dict[str, Member]] = {}
    for member in members_of(path, dropped.add):
        kind = "photo" if f".{member.kind}" in SUFFIXES else member.kind
        parts.setdefault((member.person, member.number), {})[kind] = member
    people: dict[str, list[Picture]] = {}
    for (name, number), members in sorted(parts.items()):
        what = f"{path}: {name}.{number}"
        if "photo" not in members:
            dropped.add(what, "metadata without a photo")
            continue
        try:
            about = json.loads(_metadata(path, members.get("json")) or b"{}")
            face = None if about.get("face") is None else Face.from_json(about["face"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            dropped.add(what, f"broken metadata: {error}")
            continue
        caption = _metadata(path, members.get("txt")).decode("utf-8", "replace").strip() or None
        photo = members["photo"]
        people.setdefault(name, []).append(Picture(path, photo.offset, photo.size, face, caption))
    return people


def _metadata(path: str, member: Optional[Member]) -> bytes:
    if member is None:
        return b""
    if member.size > _MOST_METADATA:
        raise errors.FormatError(f"{path}: {member.name} has {member.size} bytes; {_MOST_METADATA} are allowed")
    return Picture(path, member.offset, member.size).read()


def usable(people: Iterable[Person], needed: int, dropped: Dropped) -> list[Person]:
    """The people with at least `needed` pictures; the others are reported."""
    kept = []
    for person in people:
        if len(person.pictures) >= needed:
            kept.append(person)
        else:
            dropped.add(person.name, f"{len(person.pictures)} usable photos: {needed} are needed")
    return kept


def split(
    people: Sequence[Person], validation: float, test: float, seed: int
) -> tuple[list[Person], list[Person], list[Person]]:
    """Training, validation and test people, by a hash of seed and name: whoever is added later moves nobody from one to
    another. The fractions are met on average."""
    found: tuple[list[Person], list[Person], list[Person]] = ([], [], [])
    for person in people:
        digest = hashlib.sha256(f"{seed}:{person.name}".encode()).digest()
        share = int.from_bytes(digest[:8], "big") / 2**64
        found[1 if share < validation else 2 if share < validation + test else 0].append(person)
    return found
