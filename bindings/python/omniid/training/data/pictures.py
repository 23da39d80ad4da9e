"""Pixels of pictures: decoding, crops, and what the decoder is told about them."""

from __future__ import annotations

import io
import math
from typing import Optional

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps

from ... import errors
from .people import Dropped, Face, Person, Picture

_MOST_PIXELS = 1 << 28


def decode(picture: Picture) -> Image.Image:
    """The upright photo in RGB. Raises IoError, FormatError."""
    data = picture.read()
    where = picture.path if picture.size < 0 else f"{picture.path} at byte {picture.offset}"
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise errors.LimitExceededError(f"{where}: {image.width} x {image.height} pixels are too many")
            upright: Image.Image = ImageOps.exif_transpose(image)
            return upright.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise errors.FormatError(f"{where}: {error}") from error


def readable(person: Person, dropped: Dropped) -> Person:
    """The person without the pictures that are none; those are reported. Of each only the beginning is read."""
    kept = []
    for picture in person.pictures:
        try:
            with Image.open(picture.path):
                kept.append(picture)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            dropped.add(picture.path, f"unreadable: {error}")
    return Person(person.name, tuple(kept))


def square(image: Image.Image, left: int, top: int, side: int, size: int) -> Image.Image:
    """A square of the photo, resized. Where it reaches out of the photo, the photo's border is repeated."""
    before = max(-left, 0), max(-top, 0)
    after = max(left + side - image.width, 0), max(top + side - image.height, 0)
    if any(before) or any(after):
        pixels = np.pad(np.asarray(image), ((before[1], after[1]), (before[0], after[0]), (0, 0)), "edge")
        image = Image.fromarray(pixels)
        left, top = left + before[0], top + before[1]
    return image.resize((size, size), Image.Resampling.BICUBIC, (left, top, left + side, top + side))


def face_square(width: int, height: int, face: Face, margin: float) -> tuple[int, int, int]:
    """Left, top and side of the square around a face, as the library cuts it (`crop="face"`): the box's longer side,
    and `margin` times that on either side, but not more than the photo's longer side."""
    left, top, right, bottom = face.bounds
    left, top, right, bottom = max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height)
    side = max(right - left, bottom - top) * (1.0 + 2.0 * margin)
    side = _round(min(max(side, 1.0), max(width, height)))
    return _round((left + right) / 2 - side / 2), _round((top + bottom) / 2 - side / 2), side


def _round(value: float) -> int:
    """Halves away from zero, as Rust rounds."""
    return int(math.floor(abs(value) + 0.5) * (1 if value >= 0 else -1))


def centre_square(width: int, height: int) -> tuple[int, int, int]:
    """The largest square in the middle."""
    side = min(width, height)
    return (width - side) // 2, (height - side) // 2, side


def cut(image: Image.Image, face: Optional[Face], margin: float, size: int) -> tuple[Image.Image, Optional[Face]]:
    """The square around the face, or the middle of a photo whose face is not known, and the face in it."""
    place = (
        centre_square(image.width, image.height)
        if face is None
        else face_square(image.width, image.height, face, margin)
    )
    left, top, side = place
    moved = None
    if face is not None:
        scale = size / side
        bounds = [(value - shift) * scale for value, shift in zip(face.bounds, (left, top, left, top))]
        points = tuple(((x - left) * scale, (y - top) * scale) for x, y in face.landmarks)
        moved = Face((bounds[0], bounds[1], bounds[2], bounds[3]), points)
    return square(image, left, top, side, size), moved


def to_tensor(image: Image.Image, grey: bool = False, mirrored: bool = False) -> torch.Tensor:
    """`[3, height, width]`, 0 to 1."""
    pixels: npt.NDArray[np.float32] = np.asarray(image, dtype=np.float32) / 255.0
    if grey:
        pixels = np.repeat((pixels @ np.array([0.299, 0.587, 0.114], np.float32))[..., None], 3, axis=2)
    if mirrored:
        pixels = pixels[:, ::-1]
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


_HEAD = np.array(
    [[-0.5, 0.0, 0.0], [0.5, 0.0, 0.0], [0.0, -0.571, 0.591], [-0.414, -1.155, 0.148], [0.414, -1.155, 0.148]]
)
"""Points of an average head in distances between its eyes: right, up, to the viewer."""


def _project(pose: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The five points `[5, 2]` of the average head: pose is yaw, pitch, roll, logarithm of the scale, x, y."""
    yaw, pitch, roll, scale, x0, y0 = pose
    x, y, z = _HEAD.T
    y, z = y * math.cos(pitch) + z * math.sin(pitch), z * math.cos(pitch) - y * math.sin(pitch)
    x = x * math.cos(yaw) + z * math.sin(yaw)
    x, y = x * math.cos(roll) + y * math.sin(roll), x * math.sin(roll) - y * math.cos(roll)
    return np.stack([x0 + math.exp(scale) * x, y0 + math.exp(scale) * y], axis=1)


def head_pose(landmarks: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Yaw, pitch and roll in radians, logarithm of the pixels per distance between the eyes, and the middle of the
    eyes, of the average head whose points are nearest (weak perspective, damped least squares). Positive yaw turns the
    nose to the right of the picture, positive pitch raises the chin, positive roll tilts the head clockwise."""
    eyes, mouth = landmarks[:2].mean(axis=0), landmarks[3:].mean(axis=0)
    down = mouth - eyes
    scale = math.log(max(float(np.hypot(*down)) / 1.155, 1e-6))
    best, least = None, math.inf
    for yaw in (-0.6, 0.0, 0.6):
        pose = np.array([yaw, 0.0, math.atan2(-down[0], down[1]), scale, *eyes])
        pose, error = _fit(pose, landmarks)
        if error < least:
            best, least = pose, error
    assert best is not None
    best[:2] = np.clip(best[:2], -1.4, 1.4)
    return best


def _fit(pose: npt.NDArray[np.float64], landmarks: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], float]:
    damping = 1e-3
    size = math.exp(pose[3])

    def residuals(pose: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return ((_project(pose) - landmarks) / size).ravel()

    now = residuals(pose)
    for _ in range(60):
        steps = np.array([1e-5, 1e-5, 1e-5, 1e-5, 1e-5 * size, 1e-5 * size])
        jacobian = np.stack([(residuals(pose + step) - now) / step.sum() for step in np.diag(steps)], axis=1)
        normal = jacobian.T @ jacobian
        change = np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-9), -jacobian.T @ now)
        after = residuals(pose + change)
        if after @ after < now @ now:
            pose, now, damping = pose + change, after, damping / 3
        else:
            damping *= 4
            if damping > 1e9:
                break
    return pose, float(now @ now)


def pose_numbers(face: Face, size: int, mirrored: bool = False) -> torch.Tensor:
    """What a decoder is told about a target with the condition "pose": three angles and the five points of an average
    head, −1 to 1 over the picture. The points of an average head tell the crop without giving the face's shape away."""
    pose = head_pose(np.array(face.landmarks, dtype=np.float64))
    points = _project(pose) / size * 2 - 1
    angles = pose[:3].copy()
    if mirrored:
        angles *= (-1, 1, -1)
        points = points[[1, 0, 2, 4, 3]] * (-1, 1)
    return torch.from_numpy(np.concatenate([angles, points.ravel()]).astype(np.float32))
