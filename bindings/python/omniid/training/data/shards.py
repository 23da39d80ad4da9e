"""Folders of photos to WebDataset shards: smaller photos, with the faces that the plugin found."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Optional

from PIL import Image

from ... import errors
from .faces import with_faces
from .people import Dropped, Face, Person, people_of_folder, usable
from .pictures import decode

_QUALITY = 92
"""Of JPEG."""


def write_shards(
    folders: Sequence[str],
    out: Path,
    *,
    size: int = 768,
    shard_bytes: int = 500_000_000,
    fewest: int = 2,
    report: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """Writes `people-000000.tar` and so on into `out`, and `dropped.txt`, `people.json`. A sample is a person, with
    `NUMBER.jpg`, `NUMBER.json` (`face`: bounds, landmarks; `width`, `height`, `source`) and `NUMBER.txt` where there is
    a caption. A shard is written beside its place and renamed; one that is there already is made anew.

    Raises InvalidArgumentError when nobody is left.
    """
    out.mkdir(parents=True, exist_ok=True)
    dropped = Dropped()
    people = [person for folder in folders for person in people_of_folder(folder, dropped)]
    people = _apart(people, folders)
    people = usable(with_faces(people, out / "faces.jsonl", dropped, report), fewest, dropped)
    if not people:
        dropped.write(out / "dropped.txt")
        raise errors.InvalidArgumentError(f"nobody has {fewest} usable photos; {out / 'dropped.txt'} says why")
    paths: list[Path] = []
    counts: dict[str, int] = {}
    archive: Optional[tarfile.TarFile] = None
    temporary = out / ".people.tar.tmp"

    def finish() -> None:
        nonlocal archive
        if archive is not None:
            archive.close()
            archive = None
            place = out / f"people-{len(paths):06d}.tar"
            os.replace(temporary, place)
            paths.append(place)
            report(f"{place}")

    try:
        for person in people:
            if archive is not None and archive.offset >= shard_bytes:
                finish()
            if archive is None:
                archive = tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT)
            counts[person.name] = _write_person(archive, person, size, dropped)
        finish()
    except OSError as error:
        raise errors.IoError(f"{temporary}: {error.strerror or error}") from error
    finally:
        if archive is not None:
            archive.close()
        temporary.unlink(missing_ok=True)
    dropped.write(out / "dropped.txt")
    (out / "people.json").write_text(json.dumps(counts, indent=1), encoding="utf-8")
    for reason, count in dropped.counts().items():
        report(f"left out {count}: {reason}")
    report(f"{len(counts)} people with {sum(counts.values())} photos in {len(paths)} shards")
    return paths


def _apart(people: Sequence[Person], folders: Sequence[str]) -> list[Person]:
    """Names that may stand in a shard: no dot, nothing twice."""
    seen: dict[str, int] = {}
    result = []
    for person in people:
        name = person.name.replace(".", "_").replace("/", "_")
        seen[name] = seen.get(name, 0) + 1
        result.append(replace(person, name=name if seen[name] == 1 else f"{name}-{seen[name]}"))
    return result


def _write_person(archive: tarfile.TarFile, person: Person, size: int, dropped: Dropped) -> int:
    written = 0
    for number, picture in enumerate(person.pictures):
        try:
            image = decode(picture)
        except errors.OmniIdError as error:
            dropped.add(picture.path, f"unreadable: {error}")
            continue
        assert picture.face is not None
        scale = min(size / max(image.size), 1.0)
        small = image.resize((max(round(image.width * scale), 1), max(round(image.height * scale), 1)),
                             Image.Resampling.LANCZOS) if scale < 1.0 else image  # fmt: skip
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=_QUALITY)
        across, down = small.width / image.width, small.height / image.height
        left, top, right, bottom = picture.face.bounds
        face = Face(
            (left * across, top * down, right * across, bottom * down),
            tuple((x * across, y * down) for x, y in picture.face.landmarks),
        )
        about: dict[str, Any] = {
            "face": face.to_json(), "width": small.width, "height": small.height,
            "source": os.path.basename(picture.path),
        }  # fmt: skip
        _add(archive, f"{person.name}.{number:04d}.jpg", buffer.getvalue())
        _add(archive, f"{person.name}.{number:04d}.json", json.dumps(about).encode())
        if picture.caption:
            _add(archive, f"{person.name}.{number:04d}.txt", picture.caption.encode())
        written += 1
    return written


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))
