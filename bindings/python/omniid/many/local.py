"""A job by processes on one machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import wait
from typing import Any, Optional

from .. import errors
from .chunks import Chunk, Item, chunks_of
from .encode import encode_chunk
from .job import Job, Progress, Summary
from .output import claim, opened, summarise

_STARTS = 3
"""How many workers in a row may die before they have opened their engine."""

_DEATHS_PER_PERSON = 4
"""How many workers may die at a chunk, for each of its people: one more than `encode_chunk` allows a person."""


def _serve(connection: Any, job: Job, threads: int) -> None:
    """A worker: takes chunks until the connection ends, as it does when the program that started it is killed."""
    # Ctrl-C reaches all processes of a terminal; the program decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    failure: errors.OmniIdError
    try:
        engine = job.open_engine(threads)
        claim(job, engine.info.fingerprint)
        answer: Optional[Summary] = None
        while True:
            connection.send(answer)
            answer = encode_chunk(engine, job, connection.recv())
    except (EOFError, ConnectionError):
        return
    except errors.OmniIdError as error:
        failure = error
    except OSError as error:
        failure = errors.IoError(str(error))
    except Exception as error:
        failure = errors.InternalError(f"{type(error).__name__}: {error}")
    with contextlib.suppress(OSError):
        connection.send(failure)


class _Worker:
    def __init__(self, job: Job, threads: int) -> None:
        # Forked threads do not live on.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, job, threads), daemon=True)
        self.process.start()
        theirs.close()
        self.ready = False
        self.chunk: Optional[Chunk] = None

    def give(self, chunk: Chunk) -> None:
        self.chunk = chunk
        # One that died is noticed when its answer is read.
        with contextlib.suppress(OSError):
            self.connection.send(chunk)

    def end(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def encode_many(
    job: Job,
    items: Sequence[Item],
    workers: int = 0,
    people: int = 64,
    retry: bool = False,
    progress: Optional[Progress] = None,
) -> Summary:
    """Encodes all people who are not in the output yet, and gives the counts of all. `workers` 0 takes one per
    processor; at most `people` are put into a file; `retry` does people again who failed or of whom a photo could not
    be read.

    Each worker is a process with an engine of its own and has one chunk of people at a time; it reads a few photos
    ahead and no more, so memory does not grow with the job. A worker that is killed costs the chunk that it was at,
    which is done again. Workers are started by "spawn": a program that calls this needs the usual `if __name__ ==
    "__main__":`.

    Raises IoError when the output cannot be written or another process is at work in it, MismatchError when the output
    was made with another model or other options, the engine's errors when it cannot be opened, InternalError when
    workers die while they open it.
    """
    workers = workers or os.cpu_count() or 1
    if workers < 1:
        raise errors.InvalidArgumentError(f"workers are {workers}; it must be at least 1")
    begun = time.monotonic()
    with opened(job, items, retry) as (job, remaining):
        chunks = chunks_of(remaining, people, workers)
        done, total = len(items) - len(remaining), Summary()
        threads = max((os.cpu_count() or 1) // workers, 1)
        for chunk, counts in _run(job, chunks, min(workers, len(chunks)), threads):
            done += len(chunk.items)
            total.add(counts)
            total.seconds = time.monotonic() - begun
            if progress is not None:
                progress(done, len(items), total)
        found = summarise(job.out, items)
    found.seconds = total.seconds
    return found


def _run(job: Job, chunks: Sequence[Chunk], count: int, threads: int) -> Iterator[tuple[Chunk, Summary]]:
    """Each chunk with its counts, as it is done."""
    waiting, deaths, dead_starts, left = deque(chunks), dict.fromkeys(chunks, 0), 0, len(chunks)
    workers: list[_Worker] = []
    try:
        while left:
            while len(workers) < min(count, left):
                workers.append(_Worker(job, threads))
            for worker in workers:
                if waiting and worker.ready and worker.chunk is None:
                    worker.give(waiting.popleft())
            answered = wait([worker.connection for worker in workers])
            for worker in [worker for worker in workers if worker.connection in answered]:
                try:
                    answer = worker.connection.recv()
                except (EOFError, OSError):
                    workers.remove(worker)
                    worker.process.join(5)  # what it died of is known when it is gone
                    worker.end()
                    if not worker.ready:
                        dead_starts += 1
                        _check_starts(dead_starts, worker, count)
                    elif worker.chunk is not None:
                        deaths[worker.chunk] += 1
                        if deaths[worker.chunk] > _DEATHS_PER_PERSON * len(worker.chunk.items):
                            raise errors.InternalError(
                                f"{deaths[worker.chunk]} workers died at {worker.chunk.name}, the last one "
                                f"{cause_of_death(worker.process.exitcode)}"
                            ) from None
                        waiting.appendleft(worker.chunk)
                    continue
                if isinstance(answer, errors.OmniIdError):
                    raise answer
                worker.ready, dead_starts = True, 0
                if answer is not None:
                    chunk, worker.chunk = worker.chunk, None
                    assert chunk is not None
                    left -= 1
                    yield chunk, answer
    finally:
        for worker in workers:
            worker.end()


def _check_starts(dead: int, worker: _Worker, count: int) -> None:
    if dead >= _STARTS:
        raise errors.InternalError(
            f"{dead} workers in a row, of {count} at once, died before their engine was open, the last one "
            f"{cause_of_death(worker.process.exitcode)}"
        ) from None


def cause_of_death(code: Optional[int]) -> str:
    """What is known of a process that ended with an exit code of `multiprocessing`."""
    if code is None:
        return "of an unknown cause"
    if code >= 0:
        return (
            f"with exit code {code}; what it wrote to standard error says why. A script that calls this needs "
            '`if __name__ == "__main__":`'
        )
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if name == "SIGKILL":
        return "by SIGKILL, as when memory runs out: fewer workers need less"
    return f"by {name}, which is a crash or was sent by somebody"
