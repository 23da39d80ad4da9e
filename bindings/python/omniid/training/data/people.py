"""People and their pictures: folders with one folder per person, or WebDataset shards with one sample per person."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from ... import errors

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
"""Files in a person's folder that are taken for photos."""


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
        return Face((left, top, right, bottom), points)


@dataclass(frozen=True)
class Picture:
    """A photo where it lies: a file, or a piece of a shard."""

    path: str
    offset: int = 0
    size: int = -1
    """Bytes; −1 for a whole file."""
    face: Optional[Face] = None
    caption: Optional[str] = None

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
    is its caption. Raises IoError for a folder that cannot be read."""
    root = Path(folder)
    if not root.is_dir():
        raise errors.IoError(f"{folder}: no such folder; photos lie in one folder per person inside it")
    people = []
    for place in sorted(root.iterdir()):
        if not place.is_dir() or place.name.startswith("."):
            continue
        pictures = []
        for path in sorted(place.rglob("*")):
            if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
                caption = path.with_suffix(".txt")
                text = caption.read_text(encoding="utf-8", errors="replace").strip() if caption.is_file() else None
                pictures.append(Picture(str(path), caption=text))
        if pictures:
            people.append(Person(place.name, tuple(pictures)))
        else:
            dropped.add(str(place), "no photo in the folder")
    return people


def expand(patterns: Iterable[str]) -> list[str]:
    """Names of shards: braces as WebDataset has them (`people-{000..015}.tar`), and wildcards."""
    found: list[str] = []
    for pattern in patterns:
        for name in _braces(pattern):
            matches = sorted(glob.glob(name)) if glob.has_magic(name) else [name]
            if not matches:
                raise errors.IoError(f"{name}: no such shard")
            found += matches
    return found


def _braces(pattern: str) -> list[str]:
    match = re.search(r"\{(\d+)\.\.(\d+)\}", pattern)
    if match is None:
        return [pattern]
    first, last = match.groups()
    if int(last) - int(first) > 1_000_000:
        raise errors.InvalidArgumentError(f"{pattern}: more than a million shards")
    numbers = (str(number).zfill(len(first)) for number in range(int(first), int(last) + 1))
    return [name for number in numbers for name in _braces(pattern[: match.start()] + number + pattern[match.end() :])]


def people_of_shards(patterns: Sequence[str], dropped: Dropped) -> list[Person]:
    """The people of WebDataset shards. A sample is a person: `anna.0001.jpg`, `anna.0001.json` (the face),
    `anna.0001.txt` (a caption). Only the headers are read. A shard that breaks off, and a sample with broken metadata,
    are left out from there and reported. Raises IoError for a shard that cannot be opened."""
    people: list[Person] = []
    for path in expand(patterns):
        people += _people_of_shard(path, dropped)
    seen: dict[str, Person] = {}
    for person in people:
        if person.name in seen:
            person = Person(person.name, seen[person.name].pictures + person.pictures)
        seen[person.name] = person
    return list(seen.values())


def _people_of_shard(path: str, dropped: Dropped) -> list[Person]:
    size = _size(path)
    parts: dict[str, dict[str, dict[str, Any]]] = {}
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                if not member.isfile():
                    continue
                if member.offset_data + member.size > size:
                    dropped.add(path, f"the shard breaks off within {member.name}")
                    break
                key, _, rest = member.name.rpartition("/")[2].partition(".")
                number, _, kind = rest.rpartition(".")
                place = parts.setdefault(key, {}).setdefault(number, {})
                if kind in ("json", "txt"):
                    source = archive.extractfile(member)
                    place[kind] = b"" if source is None else source.read()
                elif f".{kind.lower()}" in SUFFIXES:
                    place["picture"] = (member.offset_data, member.size)
    except tarfile.TarError as error:
        if not parts:
            raise errors.FormatError(f"{path}: not a shard (an uncompressed tar file): {error}") from error
        dropped.add(path, f"the shard breaks off: {error}")
    people = []
    for key, numbers in parts.items():
        pictures = []
        for number, place in sorted(numbers.items()):
            what = f"{path}: {key}.{number}"
            if "picture" not in place:
                dropped.add(what, "metadata without a photo")
                continue
            face = None
            if "json" in place:
                try:
                    face = Face.from_json(json.loads(place["json"])["face"])
                except (ValueError, KeyError, TypeError) as error:
                    dropped.add(what, f"broken metadata: {error}")
                    continue
            caption = place["txt"].decode("utf-8", "replace").strip() if "txt" in place else None
            offset, length = place["picture"]
            pictures.append(Picture(path, offset, length, face, caption))
        if pictures:
            people.append(Person(key, tuple(pictures)))
    return people


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError as error:
        raise errors.IoError(f"{path}: {error.strerror}") from error


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
