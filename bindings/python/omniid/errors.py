"""Errors: one exception for each status of the C ABI, all derived from OmniIdError.

Where Python has an exception with the same meaning, ours derives from it too: a missing file is an OSError, a wrong
value a ValueError.
"""

from __future__ import annotations

from .enums import Status


class OmniIdError(Exception):
    """Something failed. The text names what, the value seen and what would be right."""

    status: Status = Status.INTERNAL


class InvalidArgumentError(OmniIdError, ValueError):
    """A value that is never valid: no photos, an absurd size, an unknown choice."""

    status = Status.INVALID_ARGUMENT


class ClosedError(InvalidArgumentError):
    """The object was closed before it was used."""


class IoError(OmniIdError, OSError):
    """The operating system refused: no such file, no permission, disk full."""

    status = Status.IO


class FormatError(OmniIdError, ValueError):
    """A file or a buffer does not hold what its format promises."""

    status = Status.FORMAT


class UnsupportedError(OmniIdError):
    """Well-formed, but not something this build can do."""

    status = Status.UNSUPPORTED


class MismatchError(OmniIdError, ValueError):
    """Two things that do not belong together: identity and model, adapter and host, tensor and layer."""

    status = Status.MISMATCH


class NoFaceError(OmniIdError):
    """No usable face in any of the photos."""

    status = Status.NO_FACE


class LimitExceededError(OmniIdError):
    """A limit set by the caller was reached: pixels, decoded bytes, file size."""

    status = Status.LIMIT_EXCEEDED


class CancelledError(OmniIdError):
    """The call was asked to stop, by its progress function, its cancel event, or because the program ends."""

    status = Status.CANCELLED


class DeviceError(OmniIdError, RuntimeError):
    """The GPU, its driver or its libraries failed."""

    status = Status.DEVICE


class AbiMismatchError(OmniIdError, ImportError):
    """The library found is of another version than this package was made for."""

    status = Status.ABI_MISMATCH


class InternalError(OmniIdError, RuntimeError):
    """A defect in OmniID itself. Please report it with the text."""

    status = Status.INTERNAL


_BY_STATUS: dict[int, type[OmniIdError]] = {
    int(kind.status): kind
    for kind in (
        InvalidArgumentError,
        IoError,
        FormatError,
        UnsupportedError,
        MismatchError,
        NoFaceError,
        LimitExceededError,
        CancelledError,
        DeviceError,
        AbiMismatchError,
        InternalError,
    )
}


def kind_of(status: int) -> type[OmniIdError]:
    """The exception for a status; OmniIdError for one that this package does not know."""
    return _BY_STATUS.get(status, OmniIdError)
