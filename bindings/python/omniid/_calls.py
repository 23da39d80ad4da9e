"""Long calls: progress, cancellation, exceptions inside callbacks, and the end of the program.

ctypes releases the interpreter's lock for the duration of each call and takes it again inside callbacks. A program
that ends while another thread is inside such a call would take that thread down in the middle of the library. So the
end of the program waits: calls in flight are cancelled at their next report, new ones are refused.
"""

from __future__ import annotations

import atexit
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Callable, Optional, Protocol, cast

from . import _abi, errors
from ._library import check, choice, lib
from .enums import LogLevel, Stage

if TYPE_CHECKING:
    from _ctypes import CFuncPtr

Progress = Callable[[Stage, int, int], Optional[bool]]
"""Called with `(stage, done, total)` on the thread of the call. To return False cancels the call; so does an
exception, which the call then raises."""


class CancelEvent(Protocol):
    """What can tell a call to stop: a threading.Event or anything like it."""

    def is_set(self) -> bool: ...


class _Gate:
    """Counts calls in flight, so that the end of the program can wait for them."""

    def __init__(self) -> None:
        self.condition = threading.Condition()
        self.running = 0
        self.ending = False

    def enter(self) -> None:
        with self.condition:
            if self.ending:
                raise errors.CancelledError("the program is ending; no call can begin any more")
            self.running += 1

    def leave(self) -> None:
        with self.condition:
            self.running -= 1
            self.condition.notify_all()

    def end(self) -> None:
        with self.condition:
            self.ending = True
            self.condition.wait_for(lambda: self.running == 0)


_gate = _Gate()


class _Interrupts:
    """Holds Ctrl-C back until the end of a call on the main thread.

    Python delivers it at the beginning of the next function, which is the callback, outside whatever `try` it has:
    there it would be printed and lost. So the program's own handler is called later, by `deliver`.
    """

    def __init__(self) -> None:
        self.pending: tuple[int, FrameType | None] | None = None
        self.handler: Callable[[int, FrameType | None], object] | None = None
        if threading.current_thread() is threading.main_thread():
            handler = signal.getsignal(signal.SIGINT)
            if callable(handler):
                self.handler = handler
                try:
                    signal.signal(signal.SIGINT, self._keep)
                except ValueError:  # not the main interpreter
                    self.handler = None

    def _keep(self, number: int, frame: FrameType | None) -> None:
        self.pending = (number, frame)

    def deliver(self) -> None:
        """Calls the program's handler, which usually raises KeyboardInterrupt."""
        if self.pending is not None and self.handler is not None:
            pending, self.pending = self.pending, None
            self.handler(*pending)

    def restore(self) -> None:
        if self.handler is not None and signal.getsignal(signal.SIGINT) == self._keep:
            signal.signal(signal.SIGINT, self.handler)


@contextmanager
def long_call(
    progress: Progress | None, cancel: CancelEvent | None
) -> Iterator[tuple[CFuncPtr, Callable[[int], None]]]:
    """Gives the callback for a call's options, and a function that checks the call's status.

    There is always a callback: it also stops the call on Ctrl-C and at the end of the program.
    """
    if progress is not None and not callable(progress):
        raise errors.InvalidArgumentError(f"progress is {progress!r}; it must be a function")
    if cancel is not None and not callable(getattr(cancel, "is_set", None)):
        raise errors.InvalidArgumentError(f"cancel is {cancel!r}; it must be a threading.Event or have is_set()")
    raised: list[BaseException] = []

    def report(_: int | None, stage: int, done: int, total: int) -> int:
        try:
            if _gate.ending or interrupts.pending or (cancel is not None and cancel.is_set()):
                return 1
            if progress is None:
                return 0
            return 1 if progress(_stage(stage), done, total) is False else 0
        except BaseException as error:  # KeyboardInterrupt, too, must not unwind through the library
            raised.append(error)
            return 1

    callback = _abi.omniid_progress_fn(report)

    def checked(status: int) -> None:
        if raised:
            raise raised[0]
        if status:
            interrupts.deliver()
        check(status)

    # Ctrl-C is held back from before the gate is entered until it is left: in between, a KeyboardInterrupt would leave
    # a call counted that has ended, and the end of the program would wait for it for ever. The handlers of other
    # signals must not raise here.
    interrupts = _Interrupts()
    try:
        _gate.enter()
        try:
            if cancel is not None and cancel.is_set():
                raise errors.CancelledError("cancelled before it began")
            yield callback, checked
        finally:
            _gate.leave()
            # The exception refers to this frame's caller; do not keep both alive through each other.
            raised.clear()
    finally:
        interrupts.restore()
        interrupts.deliver()


def _stage(stage: int) -> Stage:
    try:
        return Stage(stage)
    except ValueError:
        return cast(Stage, stage)  # of a later release


_log_callback: CFuncPtr | None = None
_log_lock = threading.Lock()


def set_log(callback: Callable[[LogLevel, str, str], None] | None, level: LogLevel | str = LogLevel.INFO) -> None:
    """Installs the process's log function, or removes it with None.

    It is called with `(level, target, message)` on whatever thread a message arises, possibly several at once. What it
    raises is printed and dropped. `level` is the most detailed level wanted.
    """
    global _log_callback
    level = choice(LogLevel, level, "level")
    native = None
    if callback is not None:

        def forward(_: int | None, number: int, target: bytes, message: bytes) -> None:
            callback(LogLevel(number), target.decode("utf-8", "replace"), message.decode("utf-8", "replace"))

        native = _abi.omniid_log_fn(forward)
    with _log_lock:
        check(lib.omniid_log_set(native or _abi.omniid_log_fn(), None, int(level)))
        _log_callback = native  # the previous one is kept until the library has let go of it


def _end() -> None:
    _gate.end()
    if _log_callback is not None:
        lib.omniid_log_set(_abi.omniid_log_fn(), None, int(LogLevel.ERROR))


atexit.register(_end)
