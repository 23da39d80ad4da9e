"""Masks of pictures: arrays, tensors and Pillow images as the library takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from . import errors
from .types import ArrayLike

if TYPE_CHECKING:
    import numpy.typing as npt


def mask_values(source: ArrayLike, what: str) -> npt.NDArray[np.float32]:
    """A mask as float32 `[height, width]`; 8-bit values are taken as 0 to 255."""
    value = cast(Any, source)
    if hasattr(value, "convert") and hasattr(value, "mode"):  # a Pillow image
        value = value.convert("L")
    if hasattr(value, "detach"):  # a torch tensor
        value = value.detach().cpu().float().numpy()
    array = np.asarray(value)
    if array.dtype == np.uint8:
        array = array.astype(np.float32) / 255
    array = np.squeeze(array, axis=tuple(i for i in range(array.ndim - 2) if array.shape[i] == 1))
    if array.ndim != 2 or array.dtype.kind not in "fb":
        raise errors.InvalidArgumentError(
            f"{what}: the mask is an array of {array.dtype} with shape {np.shape(value)}; it must be [height, width], "
            "floating point from 0 to 1, uint8 or bool"
        )
    return np.ascontiguousarray(array, dtype=np.float32)
