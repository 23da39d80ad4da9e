"""The native library: finding it, loading it, and turning its statuses into exceptions."""

from __future__ import annotations

import ctypes
import enum
import operator
import os
import sys
from pathlib import Path
from typing import TypeVar

from . import _abi, errors
from .types import PathLike

_PACKAGE = Path(__file__).resolve().parent

PREFIX = _PACKAGE / "prefix"
"""Where a wheel keeps the library, the header and, if it has them, the CMake and pkg-config files."""


def _names() -> list[str]:
    """Names of the library, the one that a loader asks for first."""
    major = _abi.OMNIID_ABI_MAJOR
    if sys.platform == "win32":
        return ["omniid.dll"]
    if sys.platform == "darwin":
        return [f"libomniid.{major}.dylib", "libomniid.dylib"]
    return [f"libomniid.so.{major}", "libomniid.so"]


def find() -> Path:
    """The library file: `OMNIID_LIBRARY` if set, else the one in the wheel."""
    named = os.environ.get("OMNIID_LIBRARY")
    if named:
        return Path(named)
    for folder in ("lib", "bin", "lib64"):
        for name in _names():
            path = PREFIX / folder / name
            if path.exists():
                return path
    raise ImportError(
        f"omniid: no {_names()[0]} below {PREFIX}. The wheel brings it; when the package is used from its sources, set "
        "the environment variable OMNIID_LIBRARY to the library's path"
    )


def _load(path: Path) -> tuple[ctypes.CDLL, _abi.Functions]:
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise ImportError(f"omniid: {path} cannot be loaded: {error}") from error
    library.omniid_abi_version.restype = ctypes.c_uint32
    found = library.omniid_abi_version()
    major, minor = found >> 16, found & 0xFFFF
    if major != _abi.OMNIID_ABI_MAJOR or minor < _abi.OMNIID_ABI_MINOR:
        raise errors.AbiMismatchError(
            f"{path} has ABI version {major}.{minor}; this package needs {_abi.OMNIID_ABI_MAJOR}."
            f"{_abi.OMNIID_ABI_MINOR} or a later {_abi.OMNIID_ABI_MAJOR}.x"
        )
    return library, _abi.Functions(library)


LIBRARY_PATH = find()
"""The library that is loaded."""

_cdll, lib = _load(LIBRARY_PATH)


def check(status: int) -> None:
    """Raises the exception of a status other than OK, with the library's message."""
    if status:
        raise failure(status)


def failure(status: int) -> errors.OmniIdError:
    """The exception for a status. Call it on the thread of the failed call, before that thread's next call."""
    message = lib.omniid_last_error().decode("utf-8", "replace")
    if not message:
        message = lib.omniid_status_text(status).decode("utf-8", "replace")
    return errors.kind_of(status)(message)


E = TypeVar("E", bound=enum.IntEnum)


def choice(kind: type[E], value: E | str | int, what: str) -> E:
    """A member of an enum, from itself, its name in any case, or its number."""
    try:
        if isinstance(value, str):
            return kind[value.upper().replace("-", "_").replace(" ", "_")]
        return kind(value)
    except (KeyError, ValueError):
        known = ", ".join(repr(member.name.lower()) for member in kind)
        raise errors.InvalidArgumentError(f"{what} is {value!r}; it must be one of {known}") from None


def natural(value: int, what: str) -> int:
    """A whole number, 0 or more, for the library."""
    try:
        number = operator.index(value)
    except TypeError:
        raise errors.InvalidArgumentError(f"{what} is {value!r}; it must be a whole number") from None
    if not 0 <= number < 2**63:
        raise errors.InvalidArgumentError(f"{what} is {number}; it must be 0 or more")
    return number


def text(value: bytes | None) -> str:
    """A string of the library."""
    return value.decode("utf-8", "replace") if value else ""


def c_text(value: str | None, what: str) -> bytes | None:
    """A string for the library."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise errors.InvalidArgumentError(f"{what} is of type {type(value).__name__}; it must be a string")
    if "\0" in value:
        raise errors.InvalidArgumentError(f"{what} is {value!r}; it must not contain a NUL character")
    return value.encode("utf-8")


def c_path(value: PathLike, what: str) -> bytes:
    """A path for the library: the system's own encoding on Unix, UTF-8 on Windows."""
    path = os.fspath(value)
    if not isinstance(path, str):
        raise errors.InvalidArgumentError(f"{what} is of type {type(path).__name__}; a path must be a string")
    if "\0" in path:
        raise errors.InvalidArgumentError(f"{what} is {path!r}; a path must not contain a NUL character")
    return path.encode("utf-8") if sys.platform == "win32" else os.fsencode(path)
