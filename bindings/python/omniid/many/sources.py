"""Where photos lie: folders with one folder per person, and WebDataset shards. Needs nothing but Python."""

from __future__ import annotations

import glob
import os
import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Callable, NamedTuple
from urllib.parse import unquote

from .. import errors

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
"""Endings of files that are taken for photos."""

Problem = Callable[[str, str], None]
"""Called with what is left out, a path or a person, and why."""


class Member(NamedTuple):
    """A file inside a shard."""

    person: str
    number: str
    """Which photo of the person it belongs to."""
    kind: str
    """Ending, lower case, without the dot."""
    offset: int
    size: int
    name: str
    """Its name in the shard."""


def people_of(root: Path) -> Iterator[tuple[str, list[Path]]]:
    """The people of a folder with one folder per person, by name, and their photos, in folders below it, too; none for
    an empty folder. Hidden files and folders are not looked at. Raises IoError."""
    try:
        places = sorted(place for place in root.iterdir() if not place.name.startswith("."))
        for place in places:
            if place.is_dir():
                photos = (path for path in sorted(place.rglob("*")) if path.suffix.lower() in SUFFIXES)
                yield place.name, [path for path in photos if not path.name.startswith(".") and path.is_file()]
    except OSError as error:
        raise errors.IoError(f"{error.filename or root}: {error.strerror}") from error


def expand(patterns: Iterable[str]) -> list[str]:
    """Names of shards: braces as WebDataset has them (`train-{000..015}.tar`), and wildcards. Raises IoError where a
    wildcard matches nothing, InvalidArgumentError for millions of names."""
    found: list[str] = []
    for pattern in patterns:
        for name in _braces(pattern):
            matches = sorted(glob.glob(name)) if glob.has_magic(name) and not os.path.exists(name) else [name]
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


def members_of(path: str, problem: Problem) -> Iterator[Member]:
    """The files of a shard; only its headers are read. A shard that breaks off gives what is whole, and is reported.

    A sample is a person, as the command `shards` writes it: `anna.0001.jpg`, `anna.0001.json`. Where a sample is a
    photo, its folder is the person: `anna/0001.jpg`; without a folder every photo is a person of its own. In names of
    people `%2E` stands for a dot, as in addresses. Raises IoError, FormatError for what is no shard.
    """
    seen = False
    try:
        size = os.stat(path).st_size
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                if member.isfile():
                    if member.offset_data + member.size > size:
                        problem(path, f"the shard breaks off within {member.name}")
                        return
                    seen = True
                    yield _member(member)
            end = archive.offset
        # A damaged header ends the loop as the end mark does, which is blocks of zeros.
        with open(path, "rb") as file:
            file.seek(end)
            if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                problem(path, f"the shard breaks off at byte {end}")
    except tarfile.TarError as error:
        if not seen:
            what = "not a shard, which is a tar file without compression"
            raise errors.FormatError(f"{path}: {what}: {error}") from error
        problem(path, f"the shard breaks off: {error}")
    except OSError as error:
        raise errors.IoError(f"{path}: {error.strerror or error}") from error


def _member(member: tarfile.TarInfo) -> Member:
    folder, _, name = member.name.rpartition("/")
    key, _, rest = name.partition(".")
    number, _, kind = rest.rpartition(".")
    if not number and folder.strip("./"):
        key, number = folder.rpartition("/")[2], key
    return Member(unquote(key), number, kind.lower(), member.offset_data, member.size, member.name)
