"""What is to be encoded: people and their photos, in chunks that one worker does at a time."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Union

from .. import errors
from .sources import SUFFIXES, Problem, expand, members_of, people_of

TABLES = (".parquet", ".csv", ".jsonl")
"""Endings of tables."""


class Photo(NamedTuple):
    """Where a photo lies: a path or URL, or a piece of a shard. A tuple, because a job may have millions."""

    place: str
    offset: int = 0
    size: int = -1
    """Bytes; −1 for all of it."""


@dataclass(frozen=True)
class Item:
    """One person."""

    person: str
    photos: tuple[Photo, ...]

    @property
    def digest(self) -> str:
        """Depends on who it is and where the photos lie, not on what is in them."""
        return hashlib.sha256(json.dumps([self.person, self.photos]).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Chunk:
    """People that are encoded one after the other into one file."""

    items: tuple[Item, ...]

    @property
    def name(self) -> str:
        """Of its file in the output folder. Depends on the people and their photos alone, so a chunk that is done twice
        is there once."""
        text = "".join(item.digest for item in self.items)
        return f"people-{hashlib.sha256(text.encode()).hexdigest()[:24]}.parquet"


_FEWEST = 8
"""People of the smallest chunks that are made to keep all workers busy."""


def chunks_of(items: Sequence[Item], people: int = 64, workers: int = 1) -> list[Chunk]:
    """Chunks of `people` people. For several workers the last ones are smaller, each a part of what is left, so that
    all workers have work until the end (guided self-scheduling, Polychronopoulos and Kuck 1987). Raises
    InvalidArgumentError."""
    if people < 1:
        raise errors.InvalidArgumentError(f"people of a chunk are {people}; it must be at least 1")
    found, first = [], 0
    while first < len(items):
        size = people
        if workers > 1:
            size = min(people, max((len(items) - first) // (2 * workers), _FEWEST))
        found.append(Chunk(tuple(items[first : first + size])))
        first += size
    return found


def items_of(sources: Sequence[Union[str, Path]], problem: Problem) -> list[Item]:
    """The people of folders (one folder per person), tables and shards (`.tar`, also with `{000..015}` or wildcards).

    A table (`.parquet`, `.csv`, `.jsonl`) has a row for each photo, with columns `person` and `photo`: a path, from the
    table's own folder on if it is not absolute, or a URL; in Parquet and JSON lines `photo` may be a list. Rows of one
    person need not lie together, nor the photos of one person in one shard. What is left out, such as the end of a
    broken shard, is told to `problem`. Raises InvalidArgumentError, IoError, FormatError; and InvalidArgumentError
    where a person comes from two sources, because nobody can say whether they are the same.
    """
    found: dict[str, tuple[Photo, ...]] = {}
    for people in _sources(sources, problem):
        for person, photos in people:
            if person in found:
                raise errors.InvalidArgumentError(
                    f"the person {person!r} comes from two sources; names must differ, or the sources be encoded into "
                    "different folders"
                )
            if "\0" in person or any("\ud800" <= letter <= "\udfff" for letter in person):
                problem(ascii(person), "the name of the person is no text")
                continue
            found[person] = tuple(photos)
    return [Item(person, photos) for person, photos in found.items()]


def _sources(sources: Sequence[Union[str, Path]], problem: Problem) -> Iterator[Iterable[tuple[str, Sequence[Photo]]]]:
    shards: list[str] = []
    for source in sources:
        # Workers of a cluster run in other folders.
        path = Path(os.path.abspath(source))
        if path.suffix == ".tar":
            shards += expand([str(path)])
        elif path.is_dir():
            yield _folder(path, problem)
        elif path.suffix in TABLES:
            yield _table(path, problem)
        elif not path.exists():
            raise errors.IoError(f"{source}: no such file or folder")
        else:
            raise errors.InvalidArgumentError(
                f"{source}: neither a folder with one folder per person, nor a table ({', '.join(TABLES)}), nor a "
                "shard (.tar)"
            )
    if shards:
        yield _shards(shards, problem)


def _folder(root: Path, problem: Problem) -> Iterator[tuple[str, Sequence[Photo]]]:
    found = False
    for person, photos in people_of(root):
        found = True
        if photos:
            yield person, [Photo(str(path)) for path in photos]
        else:
            problem(str(root / person), "no photo in the folder")
    if not found:
        raise errors.InvalidArgumentError(f"{root}: no folder of a person inside; photos lie in one folder per person")


def _shards(paths: Sequence[str], problem: Problem) -> Iterator[tuple[str, Sequence[Photo]]]:
    people: dict[str, dict[tuple[str, str], Photo]] = {}
    for path in paths:
        for member in members_of(path, problem):
            if f".{member.kind}" in SUFFIXES:
                place = Photo(path, member.offset, member.size)
                people.setdefault(member.person, {})[path, member.number] = place
    for person, photos in people.items():
        yield person, [photos[key] for key in sorted(photos)]


def _table(path: Path, problem: Problem) -> Iterator[tuple[str, Sequence[Photo]]]:
    people: dict[str, list[Photo]] = {}
    number = 0
    for number, (person, photo) in enumerate(_rows(path), 1):
        places = photo if isinstance(photo, list) else [photo]
        if person in (None, "") or not places or not all(isinstance(place, str) and place for place in places):
            problem(f"{path}, row {number}", "a row without a person or without a photo")
            continue
        for place in places:
            if "://" not in place:
                place = os.path.join(path.parent, place)  # as a table and its photos are moved together
            people.setdefault(str(person), []).append(Photo(place))
    if not people:
        raise errors.FormatError(f"{path}: none of its {number} rows has a person and a photo")
    yield from people.items()


def _rows(path: Path) -> Iterator[tuple[Any, Any]]:
    """Person and photo of each row, as they are read."""
    try:
        if path.suffix == ".parquet":
            yield from _parquet_rows(path)
            return
        # A spreadsheet may write a mark before the first name.
        with open(path, encoding="utf-8-sig", newline="") as file:
            if path.suffix == ".csv":
                reader = csv.DictReader(file)
                _check_columns(path, reader.fieldnames or [])
                yield from ((row["person"], row["photo"]) for row in reader)
                return
            checked = False
            for number, line in enumerate(file, 1):
                if line.strip():
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise errors.FormatError(f"{path}, line {number}: not an object with `person` and `photo`")
                    if not checked:
                        _check_columns(path, list(row))
                    checked = True
                    yield row.get("person"), row.get("photo")
    except OSError as error:
        raise errors.IoError(f"{path}: {error.strerror or error}") from error
    except (csv.Error, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise errors.FormatError(f"{path}: {error}") from error


def _parquet_rows(path: Path) -> Iterator[tuple[Any, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            _check_columns(path, file.schema_arrow.names)
            for batch in file.iter_batches(columns=["person", "photo"]):
                people, photos = batch.column("person"), batch.column("photo")
                for person, photo in zip(people, photos):
                    yield person.as_py(), photo.as_py()
    except pyarrow.ArrowException as error:
        raise errors.FormatError(f"{path}: {error}") from error


def _check_columns(path: Path, names: Sequence[str]) -> None:
    if not {"person", "photo"} <= set(names):
        there = ", ".join(names) or "none"
        raise errors.FormatError(f"{path}: columns `person` and `photo` are needed; it has {there}")
