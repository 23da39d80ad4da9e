"""The folder of the output: Parquet files that are there whole or not at all, each person in one of them."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional

import numpy as np
import numpy.typing as npt

from .. import errors
from .chunks import Chunk, Item
from .job import Job, Summary

_RUN, _MODEL, _OPTIONS = ".run", ".model", "_job.json"


@dataclass(frozen=True)
class Row:
    """One person of the output."""

    person: str
    tokens: Optional[npt.NDArray[Any]]
    """`[queries, token width]`, float16 or float32; None for a person who failed."""
    fingerprint: str
    """Of the model. Tokens of different models do not go together."""
    photos: int
    """Photos that the person has."""
    used: int
    """Photos that went into the identity."""
    error: Optional[str]
    """Why there is no identity."""
    report: list[dict[str, Any]]
    """For each photo `photo` (where it lies) and `used`; besides `reason`, `message`, `similarity` and `rotation` where
    there is something to say."""


def read(out: str) -> Iterator[Row]:
    """All people of a folder that a job wrote, file by file. Raises IoError, FormatError."""
    for path in _files(Path(out)):
        table = _read(path)
        number_type = (table.schema.metadata or {}).get(b"omniid.tokens", b"float16").decode()
        for row in table.to_pylist():
            tokens = None
            if row["tokens"] is not None:
                tokens = np.frombuffer(row["tokens"], number_type).reshape(row["shape"])
            yield Row(
                row["person"], tokens, row["fingerprint"], row["photos"], row["used"], row["error"],
                json.loads(row["report"]),
            )  # fmt: skip


def schema(job: Job, fingerprint: str) -> Any:
    """Columns of the files. Tokens are bytes, little-endian, because not every reader of Parquet has 16-bit floats."""
    import pyarrow

    return pyarrow.schema(
        [
            ("person", pyarrow.string()), ("tokens", pyarrow.binary()), ("shape", pyarrow.list_(pyarrow.int32())),
            ("fingerprint", pyarrow.string()), ("photos", pyarrow.int32()), ("used", pyarrow.int32()),
            ("unread", pyarrow.int32()), ("error", pyarrow.string()), ("reason", pyarrow.string()),
            ("report", pyarrow.string()), ("digest", pyarrow.string()),
        ],
        {"omniid.tokens": job.tokens, "omniid.model": fingerprint},
    )  # fmt: skip


def write_chunk(job: Job, chunk: Chunk, rows: Sequence[dict[str, Any]], fingerprint: str) -> None:
    """Writes the file of a chunk beside its place and renames it. Raises IoError; CancelledError when another run has
    begun in the folder since."""
    import pyarrow

    table = pyarrow.Table.from_pylist(list(rows), schema(job, fingerprint))
    run = Path(job.out) / _RUN
    if job.run and (not run.exists() or run.read_text() != job.run):
        raise errors.CancelledError(f"{job.out}: another run has begun in the folder")
    _write(job.path(chunk), table)


def claim(job: Job, fingerprint: str) -> None:
    """Keeps the model's fingerprint in the folder. Raises MismatchError when the folder is another model's."""
    path = Path(job.out) / _MODEL
    if not path.exists():
        _replace(path, fingerprint)
    if path.read_text() != fingerprint:
        raise errors.MismatchError(
            f"{job.out} holds people of the model {path.read_text()}; this one is {fingerprint}: take another folder"
        )


@contextlib.contextmanager
def opened(job: Job, items: Sequence[Item], retry: bool = False) -> Iterator[tuple[Job, list[Item]]]:
    """The job with its run, and the people who are to be done: those who are not in the folder, whose photos are others
    than then, and with `retry` those who failed or of whom a photo could not be read. The folder is this process' alone
    until the end of the block. Raises IoError, FormatError, MismatchError, InvalidArgumentError."""
    import pyarrow  # noqa: F401  before workers find out that it is not there

    job.check()
    job = replace(job.absolute(), run=uuid.uuid4().hex)
    out = Path(job.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.IoError(f"{out}: {error.strerror}") from error
    with _locked(out):
        _check_options(job)
        _replace(out / _RUN, job.run)
        for path in (*out.glob(".people-*"), *out.glob(".attempts-*"), *out.glob(".starting-*")):
            path.unlink(missing_ok=True)  # of workers that were killed
        done = _keep(out, {item.person: item.digest for item in items}, retry)
        yield job, [item for item in items if item.person not in done]


def _keep(out: Path, wanted: dict[str, str], retry: bool) -> set[str]:
    """The people who are done. Rows that are to be done again are taken out of their files."""
    done: set[str] = set()
    for path in _files(out):
        rows = _read(path, ["person", "digest", "error", "unread"]).to_pylist()
        keep = []
        for row in rows:
            person = row["person"]
            stale = wanted.get(person, row["digest"]) != row["digest"] or person in done
            again = retry and person in wanted and (row["error"] is not None or row["unread"] > 0)
            keep.append(not (stale or again))
            if keep[-1]:
                done.add(person)
        if not any(keep):
            path.unlink()
        elif not all(keep):
            _write(path, _read(path).filter(keep))
    return done


def summarise(out: str, items: Iterable[Item]) -> Summary:
    """The counts of these people, from the files. Raises InternalError when one of them is not there exactly once."""
    wanted = {item.person for item in items}
    total, rows = Summary(), 0
    seen: set[str] = set()
    for path in _files(Path(out)):
        for row in _read(path, ["person", "used", "reason", "report"]).to_pylist():
            if row["person"] in wanted:
                rows += 1
                seen.add(row["person"])
                total.add(summary_of(row))
    if rows != len(wanted) or len(seen) != rows:
        raise errors.InternalError(
            f"{out}: {len(wanted) - len(seen)} people are not there, {rows - len(seen)} twice; run the job again"
        )
    return total


def summary_of(row: dict[str, Any]) -> Summary:
    """The counts of a row with `used`, `reason` and `report`."""
    left: dict[str, int] = {}
    for photo in json.loads(row["report"]):
        if not photo["used"]:
            left[photo["reason"]] = left.get(photo["reason"], 0) + 1
    reason = row["reason"]
    failed = int(reason is not None)
    return Summary(1 - failed, failed, row["used"], left, {reason: 1} if failed else {})


def chunk_summary(path: Path) -> Summary:
    """The counts of a file."""
    total = Summary()
    for row in _read(path, ["used", "reason", "report"]).to_pylist():
        total.add(summary_of(row))
    return total


def _files(out: Path) -> list[Path]:
    return sorted(out.glob("people-*.parquet"))


def _read(path: Path, columns: Optional[list[str]] = None) -> Any:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            return file.read(columns)
    except (OSError, pyarrow.ArrowException) as error:
        raise errors.FormatError(f"{path}: {error}; delete it, and its people are done again") from error


def _write(path: Path, table: Any) -> None:
    import pyarrow.parquet

    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        pyarrow.parquet.write_table(table, temporary)
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise errors.IoError(f"{path}: {error.strerror or error}") from error


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        temporary.write_text(text)
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise errors.IoError(f"{path}: {error.strerror or error}") from error


def _check_options(job: Job) -> None:
    """Rows of one folder are made alike."""
    path = Path(job.out) / _OPTIONS
    here = {"most_photos": job.most_photos, "tokens": job.tokens, "encode": job.encode,
            "engine": {name: value for name, value in job.engine.items() if name != "device"}}  # fmt: skip
    text = json.dumps(here, indent=1, default=str)
    if not path.exists():
        _replace(path, text)
        return
    try:
        there = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise errors.FormatError(f"{path}: {error}") from error
    for name, value in json.loads(text).items():
        if there.get(name) != value:
            raise errors.MismatchError(
                f"{job.out} was begun with {name} {there.get(name)}, not {value}; go on with the same, or take another "
                "folder"
            )


@contextlib.contextmanager
def _locked(out: Path) -> Iterator[None]:
    path = out / ".lock"
    try:
        file = open(path, "a")
    except OSError as error:
        raise errors.IoError(f"{path}: {error.strerror}") from error
    with file:
        try:
            if sys.platform == "win32":
                import msvcrt

                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            raise errors.IoError(f"{out}: another process is at work in the folder") from error
        except OSError:
            pass  # a network file system without locks
        yield
