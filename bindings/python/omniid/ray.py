"""Photos of very many people to identities by Ray Data, on one machine or a cluster; see `omniid.many`.

One actor per worker holds an engine. Ray gives it chunks as it has room for them (back-pressure), starts actors that
die again and repeats their chunk. A chunk's file has a name that depends on the chunk alone and is renamed into place
when it is whole, so a chunk that is repeated is there once. Needs `pip install omniid[ray]`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import re
import socket
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
import ray
import ray.data

from . import errors
from .engine import Engine
from .many.chunks import Item, chunks_of
from .many.encode import encode_chunk
from .many.job import Job, Progress, Summary
from .many.output import claim, opened, summarise

_COLOURS = re.compile("\\x1b\\[[0-9;]*m")
"""Of terminals, which Ray writes into its messages."""

_MOST_BLOCKS = 10_000
"""Parts that Ray gives to workers one at a time; with more chunks, a part has several."""

_OBJECT_STORE = 256 << 20
"""Bytes of shared memory for a Ray of our own: only lists of photos and counts pass through it."""


_FRUGAL = {"RAY_enable_metrics_collection": "false", "RAY_USAGE_STATS_ENABLED": "0"}
"""Environment of a Ray of our own: nobody asks it for metrics."""

_STARTS = 3
"""How many workers may die before their engine is open, besides one for each worker that is just starting."""

_PATIENCE = 10.0
"""Seconds to wait for the port of a cluster."""

_QUIET: dict[str, Any] = {
    "enable_progress_bars": False,  # the caller has lines of its own
    "print_on_execution_start": False,
    "enable_auto_log_stats": False,
    # Reading the size of a process with a large engine every second takes longer than it is worth.
    "memory_usage_poll_interval_s": None,
}
"""Settings of Ray Data for a job, of those that its version has."""


class _Encoder:
    """An actor with an engine. Errors of ours are results: Ray would tell of them as text of its own."""

    def __init__(self, job: Job, threads: int, workers: int) -> None:
        self._job = job
        self._engine: Union[Engine, errors.OmniIdError]
        try:
            with _start(job, workers):
                self._engine = job.open_engine(threads)
            claim(job, self._engine.info.fingerprint)
        except errors.OmniIdError as error:
            self._engine = error
        except Exception as error:
            self._engine = errors.InternalError(f"{type(error).__name__}: {error}")

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        outcome: Union[Summary, errors.OmniIdError]
        done = 0
        try:
            if isinstance(self._engine, errors.OmniIdError):
                raise self._engine
            outcome = Summary()
            for packed in batch["chunk"]:
                chunk = pickle.loads(packed)  # our own, from below
                outcome.add(encode_chunk(self._engine, self._job, chunk))
                done += len(chunk.items)
        except errors.OmniIdError as error:
            outcome = error
        return {"done": np.array([done]), "outcome": np.array([pickle.dumps(outcome)], dtype=object)}


@contextlib.contextmanager
def _start(job: Job, workers: int) -> Iterator[None]:
    """Ray starts a worker that died anew for ever, and says nothing. Those that died while they opened their engine
    have left a file. Raises InternalError when they are too many."""
    out = Path(job.out)
    dead = len(list(out.glob(".starting-*")))
    if dead >= _STARTS + workers:
        raise errors.InternalError(
            f"{dead} workers died before their engine was open, as by a crash or because memory is too small for "
            f"{workers} engines; Ray's logs, in session_latest/logs of its temporary folder on their machines, say how"
        )
    mark = out / f".starting-{uuid.uuid4().hex[:12]}"
    try:
        mark.touch()
    except OSError as error:
        raise errors.IoError(f"{mark}: {error.strerror}") from error
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)


def _check_address(address: str) -> None:
    """Ray itself waits for more than a minute for a cluster that is not there. Raises IoError."""
    place = os.environ.get("RAY_ADDRESS", "") if address == "auto" else address
    host, _, port = place.rpartition("://")[2].rpartition(":")
    if not (host and port.isdigit()):
        return  # "local", or for Ray to find
    try:
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise errors.IoError(
            f"no Ray cluster at {place}: {error}; `ray status --address={place}` there says whether it runs"
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    context = ray.data.DataContext.get_current()
    before = {name: getattr(context, name) for name in _QUIET if hasattr(context, name)}
    for name in before:
        setattr(context, name, _QUIET[name])
    logger = logging.getLogger("ray.data")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
        for name, value in before.items():
            setattr(context, name, value)


def encode_on_ray(
    job: Job,
    items: Sequence[Item],
    workers: int = 0,
    people: int = 64,
    retry: bool = False,
    progress: Optional[Progress] = None,
    *,
    address: str = "local",
    processors: int = 1,
    accelerators: float = 0,
) -> Summary:
    """Encodes all people who are not in the output yet, and gives the counts of all, as `omniid.many.encode_many` does.

    `address`: "local" starts Ray on this machine, "auto" joins the cluster that this machine is in, anything else is a
    cluster's address; where Ray is running in this process already, that one is taken. `workers` 0 takes as many as the
    cluster has processors for. `processors` and `accelerators` (GPUs, also fractions) are how many each worker has.

    The output folder, the photos and the checkpoint must be where all machines see them. Raises what `encode_many`
    raises; InternalError when Ray gives up.
    """
    if processors < 1:
        raise errors.InvalidArgumentError(f"processors are {processors}; it must be at least 1")
    begun = time.monotonic()
    with opened(job, items, retry) as (job, remaining):
        done, total = len(items) - len(remaining), Summary()
        own = not ray.is_initialized()
        try:
            if remaining:
                if own:
                    _begin(address, workers * processors)
                count = workers or max(int(ray.cluster_resources().get("CPU", 1)) // processors, 1)
                chunks = chunks_of(remaining, people, count)
                count = min(count, len(chunks))
                rows = [{"chunk": pickle.dumps(chunk)} for chunk in chunks]
                with _quiet():
                    data = ray.data.from_items(rows, override_num_blocks=min(len(rows), _MOST_BLOCKS)).map_batches(
                        _Encoder,
                        fn_constructor_args=(job, processors, count),
                        batch_size=1,
                        compute=ray.data.ActorPoolStrategy(size=count),
                        num_cpus=processors,
                        num_gpus=accelerators or None,
                    )
                    for batch in data.iter_batches(batch_size=1):
                        outcome = pickle.loads(batch["outcome"][0])
                        if isinstance(outcome, errors.OmniIdError):
                            raise outcome
                        done += int(batch["done"][0])
                        total.add(outcome)
                        total.seconds = time.monotonic() - begun
                        if progress is not None:
                            progress(done, len(items), total)
        except ray.exceptions.RayError as error:
            raise errors.InternalError(f"Ray: {_COLOURS.sub('', str(error))}") from error
        finally:
            if own and ray.is_initialized():
                ray.shutdown()
        found = summarise(job.out, items)
    found.seconds = total.seconds
    return found


def _begin(address: str, processors: int) -> None:
    """Starts Ray on this machine with room for so many processors, or joins a cluster. Raises IoError."""
    _check_address(address)
    options: dict[str, Any] = {}
    if address == "local":
        # Workers that ask for more processors than there are would wait for them for ever.
        options = {
            "include_dashboard": False, "num_cpus": max(os.cpu_count() or 1, processors),
            "object_store_memory": _OBJECT_STORE,
        }  # fmt: skip
        for name, value in _FRUGAL.items():
            os.environ.setdefault(name, value)
    try:
        ray.init(address=address, log_to_driver=False, **options)
    except (ConnectionError, ValueError) as error:
        raise errors.IoError(f"no Ray cluster at {address}: {error}") from error
