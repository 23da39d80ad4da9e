"""Handles of the library: freed exactly once, and never while a call uses them."""

from __future__ import annotations

import ctypes
from typing import Any, Callable, NoReturn, TypeVar

from . import errors

O = TypeVar("O", bound="Owner")  # noqa: E741


class Handle:
    """Owns one handle.

    A call keeps a reference to this object while it runs. Closing or collecting the object that the user sees only
    drops a reference, so the handle is freed when the last call on any thread has ended.
    """

    __slots__ = ("pointer", "_free")

    pointer: ctypes._Pointer[Any]

    def __init__(self, pointer: ctypes._Pointer[Any], free: Callable[[ctypes._Pointer[Any]], None]) -> None:
        self.pointer = pointer
        self._free = free

    def __del__(self) -> None:
        # The attribute is missing when __init__ was interrupted.
        pointer = getattr(self, "pointer", None)
        if pointer is not None:
            del self.pointer
            self._free(pointer)


class Owner:
    """Base of the objects that own a handle. They can be closed, by hand, by `with` or by the garbage collector, any
    number of times."""

    __slots__ = ("_handle", "__weakref__")

    _handle: Handle | None

    def __init__(self) -> None:
        raise TypeError(f"{type(self).__name__} objects are not made directly; see help({type(self).__name__})")

    @classmethod
    def _adopt(cls: type[O], pointer: ctypes._Pointer[Any], free: Callable[[ctypes._Pointer[Any]], None]) -> O:
        value = cls.__new__(cls)
        value._handle = Handle(pointer, free)
        return value

    def _held(self) -> Handle:
        """The handle, to be kept in a local variable for the duration of a call."""
        handle = self._handle
        if handle is None:
            name = type(self).__name__
            raise errors.ClosedError(f"this {name} is closed; use it before its close() or inside its with statement")
        return handle

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._handle is None

    def close(self) -> None:
        """Frees it; if calls on other threads still use it, as soon as they end. May be called again."""
        self._handle = None

    def __enter__(self: O) -> O:
        self._held()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __copy__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} cannot be copied; it never changes, so share it")

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} cannot be pickled")
