"""The types of arguments that can be several things: files, photos, masks, tensors."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Protocol, Union

if TYPE_CHECKING:
    import numpy.typing as npt


class SupportsArray(Protocol):
    """What NumPy can turn into an array: arrays, torch tensors on the CPU."""

    def __array__(self) -> npt.NDArray[Any]: ...


class SupportsArrayInterface(Protocol):
    """What NumPy can read without a copy: arrays, Pillow images."""

    @property
    def __array_interface__(self) -> dict[str, Any]: ...


class SupportsDLPack(Protocol):
    """A tensor of a library that speaks DLPack: NumPy, PyTorch, JAX, CuPy, TensorFlow and others."""

    def __dlpack__(self) -> object: ...


PathLike = Union[str, "os.PathLike[str]"]
"""The path of a file."""

Buffer = Union[bytes, bytearray, memoryview]
"""The bytes of a file."""

FileSource = Union[PathLike, Buffer]
"""A file: its path or its bytes."""

ArrayLike = Union[SupportsArray, SupportsArrayInterface, SupportsDLPack]
"""Numbers in memory: an array, a tensor, a Pillow image."""

PhotoSource = Union[FileSource, ArrayLike]
"""A path, the bytes of an image file, a Pillow image, or an array `[height, width, channels]` of uint8 or float32."""

TensorLike = Union[SupportsDLPack, SupportsArray]
"""A tensor whose memory is shared: a NumPy array, a torch tensor or another DLPack tensor."""
