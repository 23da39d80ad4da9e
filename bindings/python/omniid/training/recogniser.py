"""Face recognisers that the user names. Their licences are the user's affair."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Optional

import numpy as np
import numpy.typing as npt
from PIL import Image

from .. import errors
from ..engine import Engine
from ..photos import Photo

Vector = npt.NDArray[np.float32]

# Where the five points of an upright face are in the middle of a picture, as shares of its side.
_POINTS = (0.35, 0.4, 0.65, 0.4, 0.5, 0.55, 0.38, 0.7, 0.62, 0.7)


class Recogniser:
    """Embeddings of length 1, by a face recognition network or by the comparison vectors of an identity model."""

    dimension: int
    """Numbers of an embedding."""

    def __init__(self, engine: Engine, network: bool, crop: str) -> None:
        self._engine, self._network, self._crop = engine, network, crop
        self.dimension = len(self._embed(Image.new("RGB", (128, 128), (127, 127, 127)), True))

    def __call__(self, image: Image.Image) -> Optional[Vector]:
        """The embedding of the face in a picture; None when there is none."""
        try:
            found = self._embed(image, False)
        except errors.NoFaceError:
            return None
        if len(found) != self.dimension:
            raise errors.MismatchError(f"an embedding of {len(found)} numbers; those before had {self.dimension}")
        vector: Vector = found / max(float(np.linalg.norm(found)), 1e-9)
        return vector

    def _embed(self, image: Image.Image, anywhere: bool) -> Vector:
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        points = [share * side for share, side in zip(_POINTS, image.size * 5)]
        photo = Photo(buffer.getvalue(), face=points) if anywhere else Photo(buffer.getvalue())
        if self._network:
            return self._engine.face_embedding(photo)
        identity = self._engine.encode([photo], crop=self._crop, strangers="ignore").identity
        return np.array(self._engine.comparison_vector(identity).numpy())


def embed_by(recogniser: str, detector: Optional[str] = None, crop: str = "default") -> Recogniser:
    """The recogniser of a file: a face recognition network that the library opens (`.onnx`, `.safetensors`, `.pth`; see
    `Engine.open`), or an identity model, whose comparison vectors are taken: a native checkpoint, or "built-in". `crop`
    is that of an identity model's photos; "none" for pictures that are faces cut out already. Raises the library's
    errors."""
    if recogniser == "built-in":
        return Recogniser(Engine.open(), False, crop)
    if not Path(recogniser).is_file():
        raise errors.IoError(f"recogniser {recogniser}: no such file")
    if _is_identity_model(recogniser):
        return Recogniser(Engine.open(recogniser, detector=detector), False, crop)
    return Recogniser(Engine.open(face_recogniser=recogniser, detector=detector), True, crop)


def _is_identity_model(path: str) -> bool:
    if not path.endswith(".safetensors"):
        return False
    import safetensors

    try:
        with safetensors.safe_open(path, "np") as file:
            return "omniid.format" in (file.metadata() or {})
    except safetensors.SafetensorError:
        return False
