"""What every worker needs to know, and what has become of a job."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Callable, Optional

from .. import errors
from ..engine import Engine
from .chunks import Chunk


@dataclass(frozen=True)
class Job:
    """What every worker needs to know. Plain data, so that it travels."""

    out: str
    """Folder of the output, one that all workers see."""
    checkpoint: Optional[str] = None
    """Identity model; None: the small model inside the library."""
    engine: dict[str, Any] = field(default_factory=dict)
    """Further arguments of `Engine.open`: `image_encoder`, `detector`, `precision`, `device`, ..."""
    encode: dict[str, Any] = field(default_factory=dict)
    """Further arguments of `Engine.encode`: `crop`, `strangers`, ..."""
    most_photos: int = 16
    """Photos of a person that are used; the rest is counted."""
    tokens: str = "float16"
    """Number type of the tokens in the files: "float16" or "float32"."""
    omniid_files: bool = False
    """Whether each person's identity is written as `_identities/PERSON.omniid` besides."""
    timeout: float = 30.0
    """Seconds to wait for the server of a photo behind a URL."""
    readers: int = 4
    """Threads of each worker that read photos ahead; more for photos behind URLs."""
    threads: int = 0
    """Threads of each worker's engine; 0: the machine's processors divided by its workers."""
    run: str = ""
    """Which run of the job it is. A worker of an earlier one, whose program was killed, writes nothing any more."""

    def check(self) -> None:
        """Raises InvalidArgumentError."""
        if self.tokens not in ("float16", "float32"):
            raise errors.InvalidArgumentError(f"tokens is {self.tokens!r}; it must be 'float16' or 'float32'")
        for name in ("most_photos", "readers"):
            if getattr(self, name) < 1:
                raise errors.InvalidArgumentError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not self.timeout > 0:
            raise errors.InvalidArgumentError(f"timeout is {self.timeout}; it must be above 0")

    def absolute(self) -> Job:
        """The same with absolute paths, as workers of a cluster run in other folders."""

        def place(value: Any) -> Any:
            return os.path.abspath(value) if isinstance(value, (str, os.PathLike)) else value

        files = ("image_encoder", "detector", "face_recogniser", "face_parser")
        engine = {name: place(value) if name in files else value for name, value in self.engine.items()}
        return replace(self, out=os.path.abspath(self.out), checkpoint=place(self.checkpoint), engine=engine)

    def path(self, chunk: Chunk) -> Path:
        """The file of a chunk."""
        return Path(self.out) / chunk.name

    def open_engine(self, threads: int) -> Engine:
        """The engine of a worker, with so many threads unless `threads` of the job or OMNIID_THREADS says otherwise."""
        # Before the library makes its threads.
        os.environ.setdefault("OMNIID_THREADS", str(self.threads or threads))
        return Engine.open(self.checkpoint, **self.engine)


@dataclass
class Summary:
    """Counts of a job."""

    people: int = 0
    """People with an identity."""
    failed: int = 0
    """People without one."""
    photos: int = 0
    """Photos that went into an identity."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Photos that did not, by reason: a status of the library ("io", "format", "no face") or "more than
    most_photos"."""
    failures: dict[str, int] = field(default_factory=dict)
    """People without an identity, by reason."""
    seconds: float = 0.0
    """Of this run; 0 when nothing was left to do."""

    def add(self, other: Summary) -> None:
        """Takes the counts of another part of the job."""
        self.people += other.people
        self.failed += other.failed
        self.photos += other.photos
        for mine, theirs in ((self.left_out, other.left_out), (self.failures, other.failures)):
            for reason, count in theirs.items():
                mine[reason] = mine.get(reason, 0) + count

    def __str__(self) -> str:
        text = f"{self.people} people with {self.photos} photos, {self.failed} people failed"
        for what, counts in ((": ", self.failures), ("; photos left out: ", self.left_out)):
            if counts:
                text += what + ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
        return text

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


Progress = Callable[[int, int, Summary], None]
"""Called with people done, people in all, and the counts of this run so far."""
