"""Tensors that cross between the library and NumPy, PyTorch and everything else that speaks DLPack."""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING, Any, Callable, Optional, cast

import numpy as np

from . import _abi, errors
from ._handle import Handle
from ._library import lib
from .types import SupportsDLPack, TensorLike

if TYPE_CHECKING:
    import numpy.typing as npt

    TensorSource = Callable[[int], ctypes._Pointer[_abi.omniid_managed_tensor]]
    TensorPointer = ctypes._Pointer[_abi.omniid_tensor]

MAX_DIMENSIONS = 4

_NAMES = {
    (_abi.OMNIID_TYPE_CODE_FLOAT, 32): "float32",
    (_abi.OMNIID_TYPE_CODE_FLOAT, 16): "float16",
    (_abi.OMNIID_TYPE_CODE_BFLOAT, 16): "bfloat16",
}
_CODES = {name: code for code, name in _NAMES.items()}
_READ_ONLY = 1


class Tensor:
    """Numbers that the library hands out: read-only, without a copy, valid as long as this object lives or anything
    that shares its memory.

    `numpy.asarray(tensor)` and `torch.from_dlpack(tensor)` share the memory; so does every other library that takes
    read-only tensors of DLPack 1. PyTorch does not enforce that they are read-only: do not write to them.
    """

    __slots__ = ("_handle", "_source", "shape", "strides", "dtype", "device")

    _handle: Handle
    _source: TensorSource
    shape: tuple[int, ...]
    """Sizes of the dimensions."""
    strides: tuple[int, ...]
    """Distance between neighbours in each dimension, in numbers."""
    dtype: str
    """`float32`, `float16` or `bfloat16`."""
    device: tuple[int, int]
    """Type and number of the device, as DLPack numbers them: (1, 0) is the CPU, (2, n) is CUDA device n."""

    def __init__(self) -> None:
        raise TypeError("Tensor objects are handed out by identities and conditionings")

    @classmethod
    def _of(cls, source: TensorSource, stream: int = 1) -> Tensor | None:
        """Takes the tensor that `source(stream)` hands out; None for a NULL."""
        pointer = source(stream)
        if not pointer:
            return None
        self = cls.__new__(cls)
        self._handle = Handle(pointer, lib.omniid_managed_tensor_free)
        self._source = source
        inner = pointer.contents.dl_tensor
        self.shape = tuple(inner.shape[: inner.ndim]) if inner.shape else ()
        self.strides = tuple(inner.strides[: inner.ndim]) if inner.strides else _row_major(self.shape)
        self.dtype = _NAMES[(inner.dtype.code, inner.dtype.bits)]
        self.device = (inner.device.device_type, inner.device.device_id)
        return self

    @property
    def _address(self) -> int:
        inner = self._handle.pointer.contents.dl_tensor
        return int(inner.data or 0) + int(inner.byte_offset)

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """NumPy's view of the memory. Missing for bfloat16, which NumPy does not have, and on a GPU."""
        if self.device[0] != _abi.OMNIID_DEVICE_TYPE_CPU:
            raise AttributeError("the tensor is in the memory of a GPU; use torch.from_dlpack")
        if self.dtype == "bfloat16":
            raise AttributeError("NumPy has no bfloat16; use numpy(), which converts, or torch.from_dlpack")
        kind = np.dtype(self.dtype)
        return {
            "version": 3,
            "shape": self.shape,
            "typestr": kind.str,
            "data": (self._address, True),
            "strides": tuple(step * kind.itemsize for step in self.strides),
        }

    def numpy(self) -> npt.NDArray[Any]:
        """The tensor as a NumPy array: the same memory, read-only; for bfloat16 a float32 copy."""
        if self.device[0] != _abi.OMNIID_DEVICE_TYPE_CPU:
            raise errors.UnsupportedError("the tensor is in the memory of a GPU; use torch.from_dlpack(tensor).cpu()")
        if self.dtype != "bfloat16":
            return np.asarray(self)
        bits = np.asarray(_Bits(self))
        return (bits.astype(np.uint32) << 16).view(np.float32)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device

    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> object:
        """A DLPack capsule. On a GPU, `stream` is where the consumer is going to read the tensor."""
        if max_version is None or max_version[0] < 1:
            raise BufferError(
                "the tensor is read-only, which DLPack can express since version 1.0; the consumer asked for an older "
                "one. numpy.array(tensor) makes a copy that it can take"
            )
        if dl_device is not None and tuple(dl_device) != self.device:
            raise BufferError(f"the tensor is on device {self.device}, not on {tuple(dl_device)}, and is not moved")
        if copy:
            raise BufferError("the tensor is shared, not copied; numpy.array(tensor) makes a copy")
        # The consumer gets a managed tensor of its own, freed by the library's deleter. No Python is involved, so it
        # may be freed on any thread.
        pointer = self._source(1 if stream is None else stream)
        address = ctypes.cast(pointer, ctypes.c_void_p).value
        return _new_capsule(address, _CAPSULE, _release_capsule)

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"Tensor(shape={self.shape}, dtype={self.dtype!r}, device={self.device})"


class _Bits:
    """The 16-bit patterns of a bfloat16 tensor."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor
        self.__array_interface__ = {
            "version": 3,
            "shape": tensor.shape,
            "typestr": np.dtype(np.uint16).str,
            "data": (tensor._address, True),
            "strides": tuple(step * 2 for step in tensor.strides),
        }


_CAPSULE = b"dltensor_versioned"
_USED_CAPSULE = b"used_dltensor_versioned"
_LEGACY_CAPSULE = b"dltensor"

_capsule_destructor = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)
_new_capsule = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, _capsule_destructor)(
    ("PyCapsule_New", ctypes.pythonapi)
)
_is_capsule = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_IsValid", ctypes.pythonapi)
)
_capsule_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
# The same by address: a capsule that is being destroyed must not be referred to again.
_is_dying_capsule = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_IsValid", ctypes.pythonapi)
)
_dying_capsule_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


def _release(capsule: int) -> None:
    """Frees the tensor of a capsule that nobody has consumed."""
    if _is_dying_capsule(capsule, _CAPSULE):
        pointer = _dying_capsule_pointer(capsule, _CAPSULE)
        lib.omniid_managed_tensor_free(ctypes.cast(pointer, ctypes.POINTER(_abi.omniid_managed_tensor)))


_release_capsule = _capsule_destructor(_release)
# Capsules may be destroyed after this module was.
ctypes.pythonapi.Py_IncRef(ctypes.py_object(_release_capsule))


class Slot:
    """Room for the description of one tensor that is lent to a call; reused for the next call."""

    __slots__ = ("tensor", "shape", "strides", "pointer", "dtype", "device")

    def __init__(self) -> None:
        self.shape = (ctypes.c_int64 * MAX_DIMENSIONS)()
        self.strides = (ctypes.c_int64 * MAX_DIMENSIONS)()
        self.tensor = _abi.omniid_tensor()
        self.tensor.shape = self.shape
        self.tensor.strides = self.strides
        self.pointer = ctypes.pointer(self.tensor)
        # Views of the parts: reaching for them in every call would cost more than filling them.
        self.dtype, self.device = self.tensor.dtype, self.tensor.device
        self.dtype.lanes = 1

    def describe(self, value: TensorLike, what: str, writable: bool, stream: int) -> tuple[TensorPointer, object]:
        """Describes a tensor of the caller. Returns a pointer to the description and what has to live as long as it is
        used."""
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(value, torch.Tensor):
            return self.pointer, self._torch(torch, value, what)
        if isinstance(value, np.ndarray):
            return self.pointer, self._numpy(value, what, writable)
        if hasattr(value, "__dlpack__"):
            return _borrow(cast(SupportsDLPack, value), what, writable, stream)
        raise errors.InvalidArgumentError(
            f"{what} is of type {type(value).__name__}; it must be a NumPy array, a torch tensor or another DLPack "
            "tensor"
        )

    def optional(self, value: TensorLike | None, what: str, stream: int) -> tuple[TensorPointer | None, object]:
        """As `describe`, for a tensor to read that may be missing."""
        return (None, None) if value is None else self.describe(value, what, False, stream)

    def _torch(self, torch: Any, value: Any, what: str) -> object:
        tensor = self.tensor
        kind = _torch_code(torch, value.dtype)
        if kind is None or value.dim() > MAX_DIMENSIONS or value.layout is not torch.strided:
            raise errors.UnsupportedError(_describe_refusal(what, value.dtype, tuple(value.shape), value.layout))
        self.dtype.code, self.dtype.bits = kind
        device = value.device
        if device.type == "cpu":
            self.device.device_type, self.device.device_id = _abi.OMNIID_DEVICE_TYPE_CPU, 0
        elif device.type == "cuda":
            self.device.device_type, self.device.device_id = _abi.OMNIID_DEVICE_TYPE_CUDA, device.index or 0
        else:
            raise errors.UnsupportedError(f"{what} is on {device}; it must be on the CPU or a CUDA device")
        count = value.dim()
        self.shape[:count] = value.shape
        self.strides[:count] = value.stride()
        tensor.ndim = count
        tensor.data = value.data_ptr()
        return value

    def _numpy(self, value: npt.NDArray[Any], what: str, writable: bool) -> object:
        tensor = self.tensor
        kind = _numpy_code(value.dtype)
        if kind is None or value.ndim > MAX_DIMENSIONS:
            raise errors.UnsupportedError(_describe_refusal(what, value.dtype, value.shape, "NumPy"))
        if writable and not value.flags.writeable:
            raise errors.InvalidArgumentError(f"{what} is a read-only array; it must be writable")
        self.dtype.code, self.dtype.bits = kind
        self.device.device_type, self.device.device_id = _abi.OMNIID_DEVICE_TYPE_CPU, 0
        count, size, strides = value.ndim, value.itemsize, value.strides
        for step in strides:
            if step % size:
                raise errors.UnsupportedError(f"{what} has strides {strides}, which are not multiples of {size} bytes")
        self.shape[:count] = list(value.shape)
        self.strides[:count] = [step // size for step in strides]
        tensor.ndim = count
        tensor.data = _address(value)
        return value


class _ArrayInterface(ctypes.Structure):
    """What NumPy's `__array_struct__` points to."""

    _fields_ = [
        ("two", ctypes.c_int),
        ("nd", ctypes.c_int),
        ("typekind", ctypes.c_char),
        ("itemsize", ctypes.c_int),
        ("flags", ctypes.c_int),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("data", ctypes.c_void_p),
    ]


_DATA_OFFSET = _ArrayInterface.data.offset


def _address(array: npt.NDArray[Any]) -> int | None:
    """The address of an array's numbers. `__array_interface__` and `ctypes.data` take ten times as long to tell."""
    capsule = array.__array_struct__
    return ctypes.c_void_p.from_address(_capsule_pointer(capsule, None) + _DATA_OFFSET).value


_numpy_codes: dict[np.dtype[Any], Optional[tuple[int, int]]] = {}


def _numpy_code(dtype: np.dtype[Any]) -> tuple[int, int] | None:
    """DLPack's code and bits of a NumPy type; None for types that the library does not have and for foreign byte
    orders. Cached, because NumPy computes the name anew each time."""
    try:
        return _numpy_codes[dtype]
    except KeyError:
        code = _numpy_codes[dtype] = _CODES.get(dtype.name) if dtype.isnative else None
        return code


_torch_codes: dict[Any, tuple[int, int]] = {}


def _torch_code(torch: Any, dtype: Any) -> tuple[int, int] | None:
    if not _torch_codes:
        _torch_codes.update({getattr(torch, name): code for name, code in _CODES.items()})
    return _torch_codes.get(dtype)


def _describe_refusal(what: str, dtype: Any, shape: tuple[int, ...], layout: Any) -> str:
    return (
        f"{what} has dtype {dtype}, shape {tuple(shape)} and layout {layout}; it must be a dense tensor of float32, "
        f"float16 or bfloat16 with at most {MAX_DIMENSIONS} dimensions"
    )


def _borrow(value: SupportsDLPack, what: str, writable: bool, stream: int) -> tuple[TensorPointer, object]:
    """The description inside a producer's capsule. The capsule is not consumed and frees it when it is dropped."""
    arguments: dict[str, Any] = {"max_version": (1, 0)}
    device = getattr(value, "__dlpack_device__", lambda: (_abi.OMNIID_DEVICE_TYPE_CPU, 0))()
    if int(device[0]) == _abi.OMNIID_DEVICE_TYPE_CUDA:
        arguments["stream"] = stream
    try:
        capsule = value.__dlpack__(**arguments)
    except TypeError:  # a producer from before version 1
        arguments.pop("max_version")
        capsule = value.__dlpack__(**arguments)
    if _is_capsule(capsule, _CAPSULE):
        managed = ctypes.cast(_capsule_pointer(capsule, _CAPSULE), ctypes.POINTER(_abi.omniid_managed_tensor))
        if managed.contents.version.major != 1:
            raise errors.UnsupportedError(f"{what} is a tensor of DLPack {managed.contents.version.major}; 1 is known")
        if writable and managed.contents.flags & _READ_ONLY:
            raise errors.InvalidArgumentError(f"{what} is a read-only tensor; it must be writable")
        return ctypes.pointer(managed.contents.dl_tensor), (capsule, value)
    if _is_capsule(capsule, _LEGACY_CAPSULE):
        tensor = ctypes.cast(_capsule_pointer(capsule, _LEGACY_CAPSULE), ctypes.POINTER(_abi.omniid_tensor))
        return tensor, (capsule, value)
    raise errors.InvalidArgumentError(f"{what}: {type(value).__name__}.__dlpack__ gave no DLPack capsule")


def _row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides, step = [], 1
    for extent in reversed(shape):
        strides.append(step)
        step *= extent
    return tuple(reversed(strides))


def torch_stream(value: object) -> int:
    """The stream that PyTorch uses for a tensor, in DLPack's numbering; 1 on the CPU and for other tensors."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(value, torch.Tensor) or value.device.type != "cuda":
        return 1
    return int(torch.cuda.current_stream(value.device).cuda_stream) or 1
