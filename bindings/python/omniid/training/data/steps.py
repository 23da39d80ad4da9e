"""The pictures of every step, in tensors, for the worker processes that read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Optional

import torch
from torch.utils.data import DataLoader, Dataset
from torch.utils.data import Sampler as TorchSampler

from .people import Face, Person, Picture
from .pictures import cut, decode, pose_numbers, to_tensor
from .sampler import Draw, Sampler
from .views import POSE, grey, mirrored


@dataclass(frozen=True)
class PictureSizes:
    """How pictures are cut."""

    input_size: int
    """Side of what the encoder reads."""
    input_margin: float
    """Of the square around the face; see `Crop`."""
    target_size: int
    """Side of what the decoder draws."""
    target_margin: float


@dataclass
class StepPictures:
    """The pictures of a step, or of one process's part of it. People come one after the other."""

    step: int
    photos: torch.Tensor
    """`[people, inputs, 3, size, size]`, 0 to 1 before tones are changed."""
    targets: Optional[torch.Tensor]
    """`[people · targets, 3, target size, target size]`, −1 to 1; None where the decoder has them already."""
    pose: torch.Tensor
    """`[people · targets, 13]`: of rendered people the beginning of the exact view; zeros where nothing is known."""
    faces: list[Optional[Face]]
    """The face of each target, in its pixels."""
    captions: list[Optional[str]]
    """The caption of each target."""
    draws: list[Draw]
    views: Optional[torch.Tensor] = None
    """`[people · targets, 46]`: the exact views of rendered people; None where one is not known."""

    def pin_memory(self) -> StepPictures:
        self.photos, self.pose = self.photos.pin_memory(), self.pose.pin_memory()
        if self.targets is not None:
            self.targets = self.targets.pin_memory()
        if self.views is not None:
            self.views = self.views.pin_memory()
        return self


class StepDataset(Dataset[StepPictures]):
    """Item k has the pictures of part k mod `accumulate` of step k div `accumulate`, for one of `processes`
    processes."""

    def __init__(
        self,
        people: Sequence[Person],
        sampler: Sampler,
        sizes: PictureSizes,
        *,
        process: int = 0,
        processes: int = 1,
        accumulate: int = 1,
        read_targets: bool = True,
    ) -> None:
        self.people, self.sampler, self.sizes = people, sampler, sizes
        self._process, self._processes, self._accumulate = process, processes, accumulate
        self._read_targets = read_targets

    def draws(self, item: int) -> list[Draw]:
        """The draws of an item."""
        draws = self.sampler.draw(item // self._accumulate)
        each = len(draws) // (self._accumulate * self._processes)
        # People of one part lie side by side, so that the parts are the same for every number of processes.
        first = (item % self._accumulate * self._processes + self._process) * each
        return draws[first : first + each]

    def __getitem__(self, item: int) -> StepPictures:
        draws, sizes = self.draws(item), self.sizes
        photos, targets, pose = [], [], []
        views: list[Optional[tuple[float, ...]]] = []
        faces: list[Optional[Face]] = []
        captions: list[Optional[str]] = []
        for draw in draws:
            person = self.people[draw.person]
            for entry in draw.inputs:
                picture = person.pictures[entry.picture]
                image, _ = cut(decode(picture), picture.face, sizes.input_margin, sizes.input_size)
                tensor = to_tensor(image, draw.grey, draw.mirrored) * 2 - 1
                photos.append(((tensor * entry.gain + entry.offset).clamp(-1, 1) + 1) / 2)
            for place in draw.targets:
                picture = person.pictures[place]
                if self._read_targets:
                    image, _ = cut(decode(picture), picture.face, sizes.target_margin, sizes.target_size)
                    targets.append(to_tensor(image, draw.grey, draw.mirrored) * 2 - 1)
                face = _face_in_target(picture, sizes.target_margin, sizes.target_size)
                view = _view(picture, draw)
                pose.append(_pose_of(view, face, sizes.target_size, draw.mirrored))
                views.append(view)
                faces.append(_mirrored(face, sizes.target_size) if face is not None and draw.mirrored else face)
                captions.append(picture.caption)
        inputs = len(draws[0].inputs)
        stacked = torch.stack(photos)
        return StepPictures(
            item // self._accumulate,
            stacked.unflatten(0, (len(draws), inputs)),
            torch.stack(targets) if targets else None,
            torch.stack(pose),
            faces,
            captions,
            draws,
            _views(views),
        )


# A few numbers for each picture, which every epoch needs again.
@lru_cache(maxsize=1 << 17)
def _face_in_target(picture: Picture, margin: float, size: int) -> Optional[Face]:
    return None if picture.face is None else cut(decode(picture), picture.face, margin, size)[1]


def _view(picture: Picture, draw: Draw) -> Optional[tuple[float, ...]]:
    """The exact view of a target, which is that of a whole picture, as the draw changes it."""
    if picture.view is None or picture.face is not None:
        return None
    view = mirrored(picture.view) if draw.mirrored else picture.view
    return grey(view) if draw.grey else view


def _pose_of(view: Optional[tuple[float, ...]], face: Optional[Face], size: int, mirrored: bool) -> torch.Tensor:
    if view is not None:
        return torch.tensor(view[:POSE])
    return torch.zeros(POSE) if face is None else _pose(face, size, mirrored)


@lru_cache(maxsize=1 << 17)
def _pose(face: Face, size: int, mirrored: bool) -> torch.Tensor:
    return pose_numbers(face, size, mirrored)


def _views(views: Sequence[Optional[tuple[float, ...]]]) -> Optional[torch.Tensor]:
    known = [view for view in views if view is not None]
    return torch.tensor(known) if known and len(known) == len(views) else None


def _mirrored(face: Face, size: int) -> Face:
    left, top, right, bottom = face.bounds
    points = tuple((size - x, y) for x, y in face.landmarks)
    order = (1, 0, 2, 4, 3)
    return Face((size - right, top, size - left, bottom), tuple(points[i] for i in order))


class _Range(TorchSampler[int]):
    def __init__(self, first: int, last: int) -> None:
        self._range = range(first, last)

    def __iter__(self) -> Any:
        return iter(self._range)

    def __len__(self) -> int:
        return len(self._range)


def loader(dataset: StepDataset, first: int, last: int, workers: int, pin: bool) -> DataLoader[StepPictures]:
    """Items `first` to `last`, read ahead by worker processes."""
    return DataLoader(
        dataset,
        batch_size=None,
        sampler=_Range(first, last),
        num_workers=workers,
        pin_memory=pin,
        multiprocessing_context="spawn" if workers else None,
        persistent_workers=False,
    )
