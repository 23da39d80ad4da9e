"""What a file of weights holds, by the names of its tensors: adapters of FLUX and SD3.5 are published under names that
say nothing, `ip_adapter.safetensors` and `ip-adapter.bin`."""

from __future__ import annotations

import struct
import zipfile

_LARGEST = 64 << 20
"""Most bytes of names that are read: those of the largest models are a few megabytes."""


def tensor_names(path: str) -> bytes:
    """The part of a file of safetensors or PyTorch that holds the names, as it stands there; empty for other files."""
    try:
        with open(path, "rb") as file:
            start = file.read(8)
            if start.startswith(b"PK"):
                return _pickled(path)
            size = struct.unpack("<Q", start)[0]
            return file.read(size) if size <= _LARGEST else b""
    except (OSError, struct.error, zipfile.BadZipFile):
        return b""


def _pickled(path: str) -> bytes:
    """The pickle of a PyTorch file, which is read and not executed: names stand in it as text."""
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.filename.endswith("data.pkl") and entry.file_size <= _LARGEST:
                return archive.read(entry)
    return b""
