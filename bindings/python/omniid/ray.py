"""Photos of very many people to identities by Ray Data, on one machine or a cluster; see `omniid.many`.

One actor per worker holds an engine. Ray gives it chunks as it has room for them (back-pressure), starts actors that
die again and repeats their chunk. A chunk's file has a name that depends on the chunk alone and is renamed into place
when it is whole, so a chunk that is repeated is there once. Needs `pip install omniid[ray]`.
"""

from __future__ import annotations

import logging
import os
import pickle
import time
from collections.abc import Sequence
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

_MOST_BLOCKS = 10_000
"""Parts that Ray gives to workers one at a time; with more chunks, a part has several."""

_OBJECT_STORE = 256 << 20
"""Bytes of shared memory for a Ray of our own: only lists of photos and counts pass through it."""


class _Encoder:
    """An actor with an engine. Errors of ours are results: Ray would tell of them as text of its own."""

    def __init__(self, job: Job, threads: int) -> None:
        self._job = job
        self._engine: Union[Engine, errors.OmniIdError]
        try:
            self._engine = job.open_engine(threads)
            claim(job, self._engine.info.fingerprint)
        except errors.OmniIdError as error:
            self._engine = error

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
        chunks = chunks_of(remaining, people)
        done, total = len(items) - len(remaining), Summary()
        own = not ray.is_initialized()
        if own and chunks:
            options: dict[str, Any] = {}
            if address == "local":
                # Workers that ask for more processors than there are would wait for them for ever.
                processors_here = max(os.cpu_count() or 1, workers * processors)
                options = {
                    "include_dashboard": False, "num_cpus": processors_here, "object_store_memory": _OBJECT_STORE,
                }  # fmt: skip
            try:
                ray.init(address=address, log_to_driver=False, **options)
            except (ConnectionError, ValueError) as error:
                raise errors.IoError(f"no Ray cluster at {address}: {error}") from error
        try:
            if chunks:
                count = workers or max(int(ray.cluster_resources().get("CPU", 1)) // processors, 1)
                rows = [{"chunk": pickle.dumps(chunk)} for chunk in chunks]
                ray.data.DataContext.get_current().enable_progress_bars = False
                logging.getLogger("ray.data").setLevel(logging.WARNING)  # the caller has lines of its own
                data = ray.data.from_items(rows, override_num_blocks=min(len(rows), _MOST_BLOCKS)).map_batches(
                    _Encoder,
                    fn_constructor_args=(job, processors),
                    batch_size=1,
                    compute=ray.data.ActorPoolStrategy(size=min(count, len(chunks))),
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
            raise errors.InternalError(f"Ray: {error}") from error
        finally:
            if own and ray.is_initialized():
                ray.shutdown()
        found = summarise(job.out, items)
    found.seconds = total.seconds
    return found
