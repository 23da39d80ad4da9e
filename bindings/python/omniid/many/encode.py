"""Encoding one chunk into its file."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional
from urllib.parse import quote

from .. import errors
from ..engine import Engine
from ..photos import Photo as EnginePhoto
from ..photos import PhotoReport
from .chunks import Chunk, Item
from .job import Job, Summary
from .output import chunk_summary, summary_of, write_chunk
from .reading import Read, read_ahead

_DEATHS = 3
"""How many workers may die at a person before the person is left out."""

_FATAL = (errors.DeviceError, errors.CancelledError, errors.AbiMismatchError, errors.ClosedError)
"""What does not lie at a person: the worker ends."""


def encode_chunk(engine: Engine, job: Job, chunk: Chunk) -> Summary:
    """Encodes the people of a chunk and writes their file, unless it is there already. What fails is a row with its
    reason. A person at whom workers die again and again, as of a picture that takes all memory, is left out in the end.

    Raises IoError when the output cannot be written, DeviceError, CancelledError.
    """
    path = job.path(chunk)
    if path.exists():
        return chunk_summary(path)
    fingerprint = engine.info.fingerprint
    attempts = _Attempts(Path(job.out) / f".attempts-{chunk.name}")
    rows, summary = [], Summary()
    people = read_ahead(chunk.items, job.most_photos, job.timeout, job.readers)
    for place, (item, photos) in enumerate(people):
        row: dict[str, Any] = {
            "person": item.person, "tokens": None, "shape": None, "fingerprint": fingerprint, "digest": item.digest,
            "photos": len(item.photos), "used": 0, "unread": 0, "error": None, "reason": None,
        }  # fmt: skip
        reports: list[dict[str, Any]] = []
        if attempts.deaths(place) < _DEATHS:
            attempts.begin(place)
            _encode(engine, job, item, photos, row, reports)
        else:
            row |= {"error": f"{_DEATHS} workers died at this person", "reason": "worker died"}
            reports += [_left(photo.place, "worker died", "") for photo in item.photos]
        row["report"] = json.dumps(reports)
        rows.append(row)
        summary.add(summary_of(row))
    write_chunk(job, chunk, rows, fingerprint)
    attempts.end()
    return summary


def _encode(
    engine: Engine, job: Job, item: Item, read: Sequence[Read], row: dict[str, Any], reports: list[dict[str, Any]]
) -> None:
    photos: list[EnginePhoto] = []
    for photo, data in zip(item.photos, read):
        if isinstance(data, bytes):
            # Names of files need not be Unicode.
            photos.append(EnginePhoto(data, name=photo.place.encode("utf-8", "replace").decode()))
        else:
            row["unread"] += 1
            reports.append(_left(photo.place, _kind(data), str(data)))
    for photo in item.photos[job.most_photos :]:
        reports.append(_left(photo.place, "more than most_photos", ""))
    try:
        if not photos:
            first = next((data for data in read if isinstance(data, errors.OmniIdError)), None)
            raise first or errors.NoFaceError("no photo")
        encoded = engine.encode(photos, label=item.person, **job.encode)
    except _FATAL:
        raise
    except (errors.OmniIdError, MemoryError) as error:
        row |= {"error": str(error) or type(error).__name__, "reason": _kind(error)}
        reports += [_why(engine, job, photo, error, len(photos)) for photo in photos]
        return
    reports += [_report(photo, report) for photo, report in zip(photos, encoded.photos)]
    tokens = encoded.identity.tokens()
    if tokens is None:
        row |= {"error": "the model gives no tokens", "reason": "unsupported"}
        return
    values = tokens.numpy()
    row |= {
        "tokens": values.astype(f"<{'f2' if job.tokens == 'float16' else 'f4'}").tobytes(), "shape": list(values.shape),
        "used": sum(report.used for report in encoded.photos),
    }  # fmt: skip
    if job.omniid_files:
        folder = Path(job.out) / "_identities"
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise errors.IoError(f"{folder}: {error.strerror}") from error
        encoded.identity.save(folder / f"{file_name(item.person)}.omniid")


def _report(photo: EnginePhoto, report: PhotoReport) -> dict[str, Any]:
    found: dict[str, Any] = {"photo": photo.name, "used": report.used}
    if not report.used:
        found["reason"] = str(getattr(report.status, "name", report.status)).lower().replace("_", " ")
    if report.reason:
        found["message"] = report.reason
    if report.similarity is not None:
        found["similarity"] = round(report.similarity, 4)
    if report.rotation:
        found["rotation"] = report.rotation
    return found


def _why(engine: Engine, job: Job, photo: EnginePhoto, error: BaseException, count: int) -> dict[str, Any]:
    """Why a photo of a person who failed was of no use; the error of several is the first one's."""
    if count > 1 and not isinstance(error, MemoryError):
        try:
            engine.encode([photo], **job.encode)
        except _FATAL:
            raise
        except (errors.OmniIdError, MemoryError) as own:
            error = own
    return _left(photo.name or "", _kind(error), str(error))


def _left(place: str, reason: str, message: str) -> dict[str, Any]:
    found = {"photo": place, "used": False, "reason": reason}
    return {**found, "message": message} if message else found


def _kind(error: BaseException) -> str:
    if isinstance(error, errors.OmniIdError):
        return error.status.name.lower().replace("_", " ")
    return "out of memory"


def file_name(person: str) -> str:
    """Without ending. Different for different people, and one that systems take."""
    # Letters of all scripts stay as they are.
    name = "".join(letter if letter.isalnum() or letter in " -_" else quote(letter, safe="._") for letter in person)
    name = f"%2E{name[1:]}" if name.startswith(".") else name
    if len(name.encode()) > 200:
        digest = hashlib.sha256(person.encode()).hexdigest()[:16]
        name = f"{name.encode()[:150].decode('utf-8', 'ignore')}-{digest}"
    return name


class _Attempts:
    """Who a chunk's worker was at when it died, kept beside the output with the worker's process id: a worker that
    begins the chunk anew learns of it whatever machine it runs on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: Optional[io.FileIO] = None
        self._length = 0
        self._deaths: dict[str, int] = {}
        try:
            found = json.loads(path.read_text())
            self._deaths = {str(place): int(count) for place, count in found["deaths"].items()}
            self._deaths[str(found["at"])] = self._deaths.get(str(found["at"]), 0) + 1
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass  # a first attempt, or one that died while it wrote this

    def deaths(self, place: int) -> int:
        """How many died at the person of this place."""
        return self._deaths.get(str(place), 0)

    def begin(self, place: int) -> None:
        """The person of this place is next. Raises IoError."""
        text = json.dumps({"at": place, "deaths": self._deaths, "pid": os.getpid()}).encode()
        self._length = max(self._length, len(text))
        try:
            if self._file is None:
                self._file = io.FileIO(self._path, "wb")
            # Written over in place: a file that is made anew for every person waits for the disk on some file systems
            # (ext4 flushes what was cut off), which takes a tenth of the time of small photos.
            self._file.seek(0)
            self._file.write(text.ljust(self._length))
        except OSError as error:
            raise errors.IoError(f"{self._path}: {error.strerror}") from error

    def end(self) -> None:
        """The chunk is done."""
        if self._file is not None:
            self._file.close()
        self._path.unlink(missing_ok=True)
