"""Photos: paths, encoded bytes, Pillow images and arrays, and which face in them is meant."""

from __future__ import annotations

import ctypes
import math
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union, cast

import numpy as np

from . import _abi, errors
from ._library import c_path, c_text, choice, text
from ._masks import mask_values
from .enums import ChannelOrder, FaceHint, PixelType, Status
from .faces import FaceEmbedding, fill_embedding
from .types import ArrayLike, PhotoSource

if TYPE_CHECKING:
    import numpy.typing as npt

FaceSpec = Union[str, int, Sequence[float], Sequence[Sequence[float]]]
"""Which face of a photo is meant; see `Photo.face`."""


@dataclass(frozen=True)
class Photo:
    """One photo, with what the picture itself does not tell."""

    source: PhotoSource | None
    """A path, the bytes of an image file (JPEG, PNG, WebP, BMP, TIFF), a Pillow image, or an array
    `[height, width, channels]` or `[height, width]`, uint8 from 0 to 255 or floating point from 0 to 1. None:
    only the embedding is there."""

    face: FaceSpec = "detect"
    """Which face is meant.

    - `"detect"`: the largest.
    - A whole number: the n-th largest; 0 is the largest.
    - Four numbers: the box left, top, right, bottom.
    - Five points, or ten numbers: the eye at the image's left, the eye at its right, the nose tip, the mouth corner at
      its left and the one at its right.

    In pixels of the upright photo."""

    channel_order: ChannelOrder | str | None = None
    """Order of an array's channels. Default: red, green, blue, and alpha where there are four."""

    name: str | None = None
    """What to call it in messages and reports. Default: its path, or "photo in memory"."""

    embedding: FaceEmbedding | None = None
    """What a face recognition network makes of the face, if the program has it: then no network runs on the photo."""

    face_mask: ArrayLike | None = None
    """Which pixels of the upright photo are the person's face, hair included, if the program knows: `[height, width]`,
    floating point from 0 to 1, uint8 from 0 to 255 or bool; the face is from the middle on. PuLID takes this instead of
    a face parser and sees the other pixels white. Refused for other models, and with a crop other than theirs."""


@dataclass(frozen=True)
class Face:
    """A face in a photo, in pixels of the upright photo."""

    score: float
    """Confidence, 0 to 1."""
    bounds: tuple[float, float, float, float]
    """Left, top, right, bottom."""
    landmarks: tuple[tuple[float, float], ...]
    """The eye at the image's left, the eye at its right, the nose tip, the mouth corner at its left and the one at its
    right: five times (x, y)."""


@dataclass(frozen=True)
class PhotoReport:
    """What became of one photo."""

    status: Status | int
    """OK if the photo went into the identity; otherwise why it was left out."""
    name: str
    """The photo's path, or a description of a photo in memory."""
    reason: str
    """Why it was left out, or what should be known although it was used. May be empty."""
    face: Face | None
    """The face that the photo was cut around, if it was."""
    rotation: int = 0
    """Degrees clockwise by which the photo had to be turned for the face to be upright: 0, 90, 180 or 270."""
    similarity: float | None = None
    """How alike the photo is to the others of its set, -1 to 1; None if there was nothing to compare it with."""

    @property
    def used(self) -> bool:
        """Whether the photo went into the identity."""
        return self.status == Status.OK


def face_of(score: float, bounds: Sequence[float], landmarks: Sequence[float]) -> Face:
    points = tuple((float(landmarks[2 * i]), float(landmarks[2 * i + 1])) for i in range(5))
    return Face(float(score), (float(bounds[0]), float(bounds[1]), float(bounds[2]), float(bounds[3])), points)


def report_of(native: _abi.omniid_photo_report) -> PhotoReport:
    face = None
    if native.has_bounds:
        score = native.face_score if native.has_landmarks else float("nan")
        points = list(native.face_landmarks) if native.has_landmarks else [float("nan")] * 10
        face = face_of(score, list(native.face_bounds), points)
    status: Status | int = native.status
    try:
        status = Status(native.status)
    except ValueError:
        pass  # of a later release
    similarity = None if math.isnan(native.similarity) else float(native.similarity)
    return PhotoReport(status, text(native.name), text(native.reason), face, int(native.rotation), similarity)


Photos = Union[PhotoSource, Photo, FaceEmbedding, Iterable[Union[PhotoSource, Photo, FaceEmbedding]]]
"""One photo or several; an embedding is a photo without a picture."""


def native_photos(photos: Photos) -> tuple[ctypes.Array[_abi.omniid_photo], list[object]]:
    """The photos as the library takes them, and what has to live as long as they are used."""
    several = [photos] if _is_source(photos) else list(cast("Iterable[PhotoSource | Photo | FaceEmbedding]", photos))
    array = (_abi.omniid_photo * len(several))()
    keep: list[object] = []
    for i, photo in enumerate(several):
        array[i] = _abi.omniid_photo.new()
        what = f"photo {i}" if len(several) > 1 else "the photo"
        if not isinstance(photo, Photo):
            photo = (
                Photo(None, embedding=photo) if isinstance(photo, FaceEmbedding) else Photo(cast(PhotoSource, photo))
            )
        if photo.embedding is not None:
            fill_embedding(array[i], photo.embedding, what, keep)
        if photo.face_mask is not None:
            mask = mask_values(photo.face_mask, f"{what}: face_mask")
            keep.append(mask)
            array[i].face_mask = mask.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
            array[i].face_mask_height, array[i].face_mask_width = mask.shape
        if photo.source is not None or photo.embedding is None:
            _fill_source(array[i], photo, what, keep)
        _fill_face(array[i], photo.face, what)
        array[i].name = c_text(photo.name, f"{what}: name")
    return array, keep


def _is_source(value: object) -> bool:
    """Whether this is one photo, not several."""
    if isinstance(value, (str, os.PathLike, bytes, bytearray, memoryview, Photo, FaceEmbedding)) or not hasattr(
        value, "__iter__"
    ):
        return True
    return _is_pillow(value) or hasattr(value, "__array__") or hasattr(value, "__dlpack__")


def _fill_source(native: _abi.omniid_photo, photo: Photo, what: str, keep: list[object]) -> None:
    source = photo.source
    if isinstance(source, (str, os.PathLike)):
        native.path = c_path(source, what)
    elif isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
        keep.append(data)
        native.data = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value
        native.data_size = len(data)
    elif _is_pillow(source):
        _fill_array(native, _pillow_array(source), None, what, keep)
    elif hasattr(source, "__array__") or hasattr(source, "__array_interface__"):
        _fill_array(native, np.asarray(cast(Any, source)), photo.channel_order, what, keep)
    elif hasattr(source, "__dlpack__"):
        _fill_array(native, np.from_dlpack(cast(Any, source)), photo.channel_order, what, keep)
    else:
        raise errors.InvalidArgumentError(
            f"{what} is of type {type(source).__name__}; it must be a path, the bytes of an image file, a Pillow image "
            "or an array [height, width, channels]"
        )


def _is_pillow(source: object) -> bool:
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(source, module.Image)


def _pillow_array(image: Any) -> npt.NDArray[np.uint8]:
    """A Pillow image as RGB, turned upright as photos from files are."""
    from PIL import ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode != "RGB":
        image = image.convert("RGB")
    return np.asarray(image)


def _fill_array(
    native: _abi.omniid_photo,
    array: npt.NDArray[Any],
    order: ChannelOrder | str | None,
    what: str,
    keep: list[object],
) -> None:
    if array.ndim == 2:
        array = np.repeat(array[:, :, None], 3, axis=2)
    if array.ndim != 3 or array.shape[2] not in (3, 4):
        raise errors.InvalidArgumentError(
            f"{what} is an array of shape {array.shape}; it must be [height, width, 3 or 4] or [height, width]"
        )
    channels = array.shape[2]
    if order is None:
        order = ChannelOrder.RGB if channels == 3 else ChannelOrder.RGBA
    order = choice(ChannelOrder, order, f"{what}: channel_order")
    if channels != (4 if order in (ChannelOrder.RGBA, ChannelOrder.BGRA) else 3):
        raise errors.InvalidArgumentError(f"{what} has {channels} channels; {order.name} has another number")
    if array.dtype == np.uint8:
        native.pixel_type = PixelType.U8
    elif array.dtype.kind == "f":
        array = array.astype(np.float32, copy=False)
        native.pixel_type = PixelType.F32
    else:
        raise errors.InvalidArgumentError(f"{what} is an array of {array.dtype}; it must be uint8 or floating point")
    if array.shape[0] == 0 or array.shape[1] == 0:
        raise errors.InvalidArgumentError(f"{what} is an array of shape {array.shape}; it has no pixels")
    height, width, _ = array.shape
    size = array.itemsize
    inner = (channels * size, size)
    if array.strides[1:] != inner or array.strides[0] < width * channels * size or not array.dtype.isnative:
        array = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="), copy=False))
    keep.append(array)
    native.pixels = array.__array_interface__["data"][0]
    native.row_stride = array.strides[0]
    native.width, native.height = width, height
    native.channel_order = order


def _fill_face(native: _abi.omniid_photo, face: FaceSpec, what: str) -> None:
    if isinstance(face, str):
        if face != "detect":
            raise errors.InvalidArgumentError(f"{what}: face is {face!r}; the only word it may be is 'detect'")
        native.face_hint = FaceHint.DETECT
        return
    numbers = np.asarray(face, dtype=np.float64).reshape(-1)
    values: list[ctypes.c_float | float] = [float(number) for number in numbers]
    if np.ndim(face) == 0:
        index = int(numbers[0])
        if index != numbers[0] or not 0 <= index < 2**32:
            raise errors.InvalidArgumentError(f"{what}: face is {face!r}; the number of a face is whole and 0 or more")
        native.face_hint, native.face_index = FaceHint.INDEX, index
    elif numbers.size == 4:
        native.face_hint = FaceHint.BOX
        native.face_box[:] = values
    elif numbers.size == 10:
        native.face_hint = FaceHint.LANDMARKS
        native.face_landmarks[:] = values
    else:
        raise errors.InvalidArgumentError(
            f"{what}: face has {numbers.size} numbers; a box has 4, landmarks have 10 (five points)"
        )
