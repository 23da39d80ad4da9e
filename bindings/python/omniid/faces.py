"""Face embeddings of a host's own, and the control picture of a face."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Union

import numpy as np

from . import _abi, errors
from ._library import c_text, check, choice, lib
from .enums import EmbeddingForm

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True)
class FaceEmbedding:
    """What a face recognition network makes of a face, for hosts that have it already: `Photo.embedding`."""

    values: npt.NDArray[np.float32] | Sequence[float]
    """`[dimension]`, 512 for the published networks."""
    network: str
    """The network that made it: its file's name without ending ("w600k_r50", "glintr100") or the pack that it comes in
    ("buffalo_l", "antelopev2"). An embedding of another network than the model's is refused."""
    form: EmbeddingForm | str = EmbeddingForm.RAW
    """"raw", as the network gives it (insightface: `face.embedding`), or "normalised" to length 1
    (`face.normed_embedding`). InstantID, PuLID and Portrait-unnorm need the raw one."""


Landmarks = Union[Sequence[Sequence[float]], "npt.NDArray[np.floating]"]
"""Five points of a face, (x, y) each; those of `Face.landmarks`."""


def draw_keypoints(landmarks: Landmarks, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """The control picture of InstantID's ControlNet: five points of a face on black, uint8 `[height, width, 3]` in red,
    green, blue; equal to what InstantID draws with OpenCV.

    `landmarks` are in pixels of the picture that is drawn: scale those of a photo to the size that is generated. `size`
    is its height and width, 8192 at most.
    """
    points = np.ascontiguousarray(landmarks, dtype=np.float32).reshape(-1)
    height, width = (int(side) for side in size)
    if points.size != 10:
        raise errors.InvalidArgumentError(f"landmarks have {points.size} numbers; five points have 10")
    if not (0 < height <= 8192 and 0 < width <= 8192):
        raise errors.InvalidArgumentError(f"size is {size!r}; it must be (height, width), 1 to 8192 each")
    picture = np.zeros((height, width, 3), dtype=np.uint8)
    check(
        lib.omniid_draw_keypoints(
            points.ctypes.data_as(ctypes.POINTER(ctypes.c_float)),
            width,
            height,
            0,
            picture.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8)),
        )
    )
    return picture


def fill_embedding(native: _abi.omniid_photo, embedding: FaceEmbedding, what: str, keep: list[object]) -> None:
    """Puts an embedding into a photo of the library; `keep` lives as long as that is used."""
    values = np.ascontiguousarray(embedding.values, dtype=np.float32).reshape(-1)
    keep.append(values)
    native.embedding = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    native.embedding_size = values.size
    native.embedding_network = c_text(embedding.network, f"{what}: network of the embedding")
    native.embedding_form = choice(EmbeddingForm, embedding.form, f"{what}: form of the embedding")
