"""Folders of photos to WebDataset shards: photos cut to the face's surroundings, with the faces that the plugin
found."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Optional

from PIL import Image

from ... import errors
from ...engine import Engine
from ...photos import Photo
from ..config import DataConfig
from .faces import ahead, with_faces
from .people import Dropped, Face, Person, Picture, people_of_folder, split, usable
from .pictures import decode, face_square

PARTS = ("train", "validation", "test")
"""Beginnings of the shards' names."""

_JPEG_QUALITY = 92

_MOST_COMPARED = 512
"""Photos of a person that are compared with each other."""


@dataclass(frozen=True)
class ShardConfig:
    """How shards are written."""

    size: int = 768
    """Longest side of a stored photo, in pixels."""
    margin: Optional[float] = 1.0
    """What is kept around a face's box on either side, in multiples of its longer side; None: the whole photo. Targets
    of stage 2 need 0.9."""
    shard_bytes: int = 500_000_000
    fewest: int = 2
    """Photos that a person must have."""
    strangers: str = "note"
    """What becomes of photos that look like somebody else than the person's others: "note" keeps them, with their
    similarity; "leave_out" drops them; "ignore" does not compare."""
    validation: float = DataConfig.validation
    test: float = DataConfig.test
    split_seed: int = DataConfig.split_seed
    """Of the split, as in a run's `[data]`; with the same values a run that reads all shards makes the same one."""

    def check(self) -> None:
        """Raises InvalidArgumentError."""
        _need(self.size >= 64, "size", self.size, "at least 64")
        _need(self.margin is None or 0 <= self.margin <= 4, "margin", self.margin, "0 to 4")
        _need(self.shard_bytes >= 1, "shard_bytes", self.shard_bytes, "at least 1")
        _need(self.fewest >= 1, "fewest", self.fewest, "at least 1")
        known = ("note", "leave_out", "ignore")
        _need(self.strangers in known, "strangers", self.strangers, f"one of {', '.join(known)}")
        for name in ("validation", "test"):
            _need(0 <= getattr(self, name) < 1, name, getattr(self, name), "0 to 1")
        _need(self.validation + self.test < 1, "validation + test", self.validation + self.test, "below 1")


def _need(holds: bool, name: str, value: object, what: str) -> None:
    if not holds:
        raise errors.InvalidArgumentError(f"{name} is {value}; it must be {what}")


def write_shards(
    folders: Sequence[str],
    out: Path,
    config: Optional[ShardConfig] = None,
    report: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """Writes `train-000000.tar` and so on, `validation-…` and `test-…` into `out`: people by a hash of their name. A
    sample is a person, with `PERSON.NUMBER.jpg`, `.json` (`face`: bounds, landmarks; `quality`: score, size,
    similarity; `crop`: what was cut out of the upright photo; `width`, `height`, `source`) and `.txt` where there is a
    caption.

    `dropped.txt` says what was left out and why, `report.json` counts it. Faces are kept in `faces.jsonl`, so a command
    that is given again finds only those of new photos. Shards are put in place when all are written, and take the place
    of older ones. Raises InvalidArgumentError when nobody is left, IoError.
    """
    config = config or ShardConfig()
    config.check()
    dropped = Dropped()
    try:
        out.mkdir(parents=True, exist_ok=True)
        people = _apart([person for folder in folders for person in people_of_folder(folder, dropped)])
        people = with_faces(people, out / "faces.jsonl", dropped, report)
        people = list(_compared(people, config, dropped, report))
        people = usable(people, config.fewest, dropped)
        if not people:
            dropped.write(out / "dropped.txt")
            why = f"{out / 'dropped.txt'} says why"
            raise errors.InvalidArgumentError(f"nobody has {config.fewest} usable photos; {why}")
        counts = {}
        with _Shards(out, config.shard_bytes) as shards:
            for name, part in zip(PARTS, split(people, config.validation, config.test, config.split_seed)):
                counts[name] = _write_part(shards, name, part, config, dropped, report)
            paths = shards.finish()
        dropped.write(out / "dropped.txt")
        _write_report(out / "report.json", paths, counts, dropped)
    except OSError as error:
        if isinstance(error, errors.OmniIdError):
            raise
        raise errors.IoError(f"{error.filename or out}: {error.strerror or error}") from error
    for reason, count in dropped.counts().items():
        report(f"left out {count}: {reason}")
    for name, photos in counts.items():
        report(f"{name}: {len(photos)} people with {sum(photos.values())} photos")
    return paths


def _write_report(path: Path, paths: Sequence[Path], counts: dict[str, dict[str, int]], dropped: Dropped) -> None:
    about = {
        "shards": [path.name for path in paths],
        "parts": {name: {"people": len(c), "photos": sum(c.values())} for name, c in counts.items()},
        "left_out": dropped.counts(),
        "photos_of": counts,
    }
    path.write_text(json.dumps(about, indent=1), encoding="utf-8")


def _apart(people: Sequence[Person]) -> list[Person]:
    """People of one name in two folders are two people."""
    # A new name is nobody's own either: `anna-2` may be a folder beside `anna`.
    taken = {person.name for person in people}
    seen: set[str] = set()
    result = []
    for person in people:
        name, number = person.name, 1
        while name in seen or (number > 1 and name in taken):
            number += 1
            name = f"{person.name}-{number}"
        seen.add(name)
        result.append(replace(person, name=name))
    return result


def _compared(
    people: Sequence[Person], config: ShardConfig, dropped: Dropped, report: Callable[[str], None]
) -> Iterator[Person]:
    """The people with how alike each photo is to the person's others, by the built-in model."""
    if config.strangers == "ignore":
        yield from people
        return
    with Engine.open() as engine:
        for done, (person, strangers) in enumerate(ahead(lambda person: _compare(engine, person, config), people), 1):
            for path, why in strangers:
                dropped.add(path, why)
            if done % 100 == 0 or done == len(people):
                report(f"compared: {done} of {len(people)} people")
            yield person


def _compare(engine: Engine, person: Person, config: ShardConfig) -> tuple[Person, list[tuple[str, str]]]:
    pictures = person.pictures
    if not 2 <= len(pictures) <= _MOST_COMPARED:
        return person, []
    photos = [Photo(picture.path, face=picture.face.bounds) for picture in pictures if picture.face is not None]
    try:
        reports = engine.encode(photos, strangers=config.strangers, drop_features=True).photos
    except errors.OmniIdError:
        return person, []  # whoever reads the photos next says why
    kept, strangers = [], []
    for picture, found in zip(pictures, reports):
        if found.used or config.strangers == "note":
            assert picture.quality is not None
            kept.append(replace(picture, quality=replace(picture.quality, similarity=found.similarity)))
        else:
            strangers.append((picture.path, f"looks like somebody else: {found.reason}"))
    return Person(person.name, tuple(kept)), strangers


class _Shards:
    """Shards that are written beside their places and put there together."""

    def __init__(self, out: Path, shard_bytes: int) -> None:
        self._out, self._bytes = out, shard_bytes
        self._archive: Optional[tarfile.TarFile] = None
        self._written: list[tuple[Path, Path]] = []
        self._numbers: dict[str, int] = {}

    def __enter__(self) -> _Shards:
        for part in PARTS:
            for path in self._out.glob(f".{part}-*.tar.*.tmp"):
                path.unlink()  # of a command that was killed
        return self

    def __exit__(self, *_: object) -> None:
        if self._archive is not None:
            with contextlib.suppress(OSError):
                self._archive.close()
        for temporary, _path in self._written:
            temporary.unlink(missing_ok=True)

    def add(self, part: str, files: Sequence[tuple[str, bytes]]) -> None:
        """A person's files, all in one shard."""
        if self._archive is None or self._archive.offset >= self._bytes:
            self.close_part()
            number = self._numbers.get(part, 0)
            self._numbers[part] = number + 1
            path = self._out / f"{part}-{number:06d}.tar"
            temporary = self._out / f".{path.name}.{os.getpid()}.tmp"
            self._written.append((temporary, path))
            self._archive = tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT)
        for name, data in files:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            self._archive.addfile(member, io.BytesIO(data))

    def close_part(self) -> None:
        """What comes next begins a shard."""
        if self._archive is not None:
            archive, self._archive = self._archive, None
            archive.close()

    def finish(self) -> list[Path]:
        """Puts all in place and removes what an earlier command wrote."""
        self.close_part()
        paths = [path for _, path in self._written]
        for temporary, path in self._written:
            os.replace(temporary, path)
        for part in PARTS:
            for path in self._out.glob(f"{part}-[0-9][0-9][0-9][0-9][0-9][0-9].tar"):
                if path not in paths:
                    path.unlink()
        return paths


def _write_part(
    shards: _Shards, part: str, people: Sequence[Person], config: ShardConfig, dropped: Dropped,
    report: Callable[[str], None],
) -> dict[str, int]:  # fmt: skip
    counts: dict[str, int] = {}
    samples = ahead(lambda person: _sample(person, config), people)
    for done, (person, (files, lost)) in enumerate(zip(people, samples), 1):
        for path, why in lost:
            dropped.add(path, why)
        count = len(person.pictures) - len(lost)
        if count < config.fewest:
            dropped.add(person.name, f"{count} usable photos: {config.fewest} are needed")
            continue
        shards.add(part, files)
        counts[person.name] = count
        if done % 100 == 0 or done == len(people):
            report(f"{part}: {done} of {len(people)} people")
    shards.close_part()
    return counts


def _sample(person: Person, config: ShardConfig) -> tuple[list[tuple[str, bytes]], list[tuple[str, str]]]:
    """The files of a person, and the photos that could not be read."""
    # Samples are named up to the first dot.
    key = person.name.replace("%", "%25").replace(".", "%2E").replace("/", "%2F")
    files: list[tuple[str, bytes]] = []
    lost = []
    for number, picture in enumerate(person.pictures):
        try:
            image = decode(picture)
        except errors.OmniIdError as error:
            lost.append((picture.path, f"unreadable: {error}"))
            continue
        data, about = _stored(image, picture, config)
        name = f"{key}.{number:04d}"
        files += [(f"{name}.jpg", data), (f"{name}.json", json.dumps(about).encode())]
        if picture.caption:
            files.append((f"{name}.txt", picture.caption.encode()))
    return files, lost


def _stored(image: Image.Image, picture: Picture, config: ShardConfig) -> tuple[bytes, dict[str, Any]]:
    """The photo as JPEG, cut and made smaller, and what is known of it."""
    assert picture.face is not None and picture.quality is not None
    crop = (0, 0, image.width, image.height)
    if config.margin is not None:
        crop = surroundings(image.width, image.height, picture.face, config.margin)
    width, height = crop[2] - crop[0], crop[3] - crop[1]
    scale = min(config.size / max(width, height), 1.0)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    cut = image.crop(crop)
    if cut.size != size:
        cut = cut.resize(size, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    cut.save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    across, down = size[0] / width, size[1] / height
    left, top, right, bottom = picture.face.bounds
    face = Face(
        ((left - crop[0]) * across, (top - crop[1]) * down, (right - crop[0]) * across, (bottom - crop[1]) * down),
        tuple(((x - crop[0]) * across, (y - crop[1]) * down) for x, y in picture.face.landmarks),
    )
    about = {
        "face": face.to_json(), "quality": picture.quality.to_json(), "crop": list(crop), "width": size[0],
        "height": size[1], "source": os.path.basename(picture.path),
    }  # fmt: skip
    return buffer.getvalue(), about


def surroundings(width: int, height: int, face: Face, margin: float) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what is kept of a photo: the square around the face, as far as it is in the photo.
    Squares with smaller margins come out of it as they come out of the whole photo."""
    left, top, side = face_square(width, height, face, margin)
    right, bottom = min(left + side, width), min(top + side, height)
    left, top = max(left, 0), max(top, 0)
    # A square is at most as large as the photo's longer side: that must not become shorter.
    if max(right - left, bottom - top) < side:
        if width >= height:
            left = max(min(left, width - side), 0)
            right = min(left + side, width)
        else:
            top = max(min(top, height - side), 0)
            bottom = min(top + side, height)
    return left, top, right, bottom


__all__ = ["PARTS", "ShardConfig", "surroundings", "write_shards"]
