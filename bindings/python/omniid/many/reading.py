"""Reading photos from disks, shards and the network, ahead of the engine."""

from __future__ import annotations

import os
import stat
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Union

from .. import errors
from .chunks import Item, Photo

MOST_BYTES = 256 << 20
"""Of an encoded photo; the library's own limit."""

_TRIES = 3
"""How often a photo is asked for over the network."""

_LATER = (408, 429, 500, 502, 503, 504)
"""Answers of servers that may be another one a moment later."""


def read_photo(photo: Photo, timeout: float = 30.0) -> bytes:
    """The bytes of a photo. Raises IoError, LimitExceededError."""
    if "://" in photo.place:
        return _fetch(photo.place, timeout)
    try:
        with open(photo.place, "rb", opener=_open_without_waiting) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise errors.IoError(f"{photo.place}: not a file")
            size = photo.size if photo.size >= 0 else found.st_size - photo.offset
            _check_size(photo.place, size)
            file.seek(photo.offset)
            data = file.read(size)
    except (OSError, ValueError) as error:
        if isinstance(error, errors.OmniIdError):
            raise
        raise errors.IoError(f"{photo.place}: {getattr(error, 'strerror', None) or error}") from error
    if len(data) != size:
        raise errors.IoError(f"{photo.place}: ends at byte {photo.offset + len(data)} within a photo")
    return data


def _open_without_waiting(path: str, flags: int) -> int:
    # A pipe would wait for somebody who writes into it.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_size(place: str, size: int) -> None:
    if size > MOST_BYTES:
        raise errors.LimitExceededError(f"{place}: larger than {MOST_BYTES} bytes")


def _fetch(place: str, timeout: float) -> bytes:
    scheme = place.partition("://")[0].lower()
    if scheme not in ("http", "https"):
        return _fetch_by_arrow(place)
    for attempt in range(1, _TRIES + 1):
        try:
            request = urllib.request.Request(place, headers={"User-Agent": "omniid"})
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                data: bytes = answer.read(MOST_BYTES + 1)
                missing = getattr(answer, "length", None)
            _check_size(place, len(data))
            if missing:
                raise ConnectionError(f"the answer breaks off, {missing} bytes before its end")
            return data
        except errors.OmniIdError:
            raise
        except urllib.error.HTTPError as error:
            if error.code not in _LATER or attempt == _TRIES:
                raise errors.IoError(f"{place}: the server answers {error.code} {error.reason}") from error
        except (OSError, ValueError) as error:
            # A bad address is a ValueError, and stays one.
            if isinstance(error, ValueError) or attempt == _TRIES:
                raise errors.IoError(f"{place}: {getattr(error, 'reason', None) or error}") from error
        except Exception as error:  # http.client has errors of its own for answers that break off
            if attempt == _TRIES:
                raise errors.IoError(f"{place}: {type(error).__name__}: {error}") from error
        time.sleep(0.2 * 4 ** (attempt - 1))
    raise AssertionError("unreachable")


def _fetch_by_arrow(place: str) -> bytes:
    """s3://, gs://, hdfs:// and file://."""
    import pyarrow
    import pyarrow.fs

    try:
        system, path = pyarrow.fs.FileSystem.from_uri(place)
        with system.open_input_file(path) as file:
            _check_size(place, file.size())
            data: bytes = file.read()
            return data
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        if isinstance(error, errors.OmniIdError):
            raise
        raise errors.IoError(f"{place}: {error}") from error


Read = Union[bytes, errors.OmniIdError]
"""A photo, or why it could not be read."""


def read_ahead(
    items: Sequence[Item], most_photos: int, timeout: float, readers: int
) -> Iterator[tuple[Item, list[Read]]]:
    """Each person with the first `most_photos` photos. `readers` threads read while the caller works; what is read and
    not yet taken is bounded to twice as many photos, or to one person."""
    waiting: deque[tuple[Item, list[Future[bytes]]]] = deque()
    ahead, place = 0, 0
    with ThreadPoolExecutor(readers) as pool:
        try:
            while waiting or place < len(items):
                while place < len(items) and (not waiting or ahead < 2 * readers):
                    item = items[place]
                    futures = [pool.submit(read_photo, photo, timeout) for photo in item.photos[:most_photos]]
                    waiting.append((item, futures))
                    ahead, place = ahead + len(futures), place + 1
                item, futures = waiting.popleft()
                ahead -= len(futures)
                yield item, [_outcome(future) for future in futures]
        finally:
            for _, futures in waiting:
                for future in futures:
                    future.cancel()


def _outcome(future: Future[bytes]) -> Any:
    try:
        return future.result()
    except errors.OmniIdError as error:
        return error
    except MemoryError:
        return errors.LimitExceededError("out of memory")
