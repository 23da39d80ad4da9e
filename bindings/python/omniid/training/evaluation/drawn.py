"""Draws people and measures them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Callable, Optional, Protocol

import numpy as np
import torch
from PIL import Image

from ... import errors
from ..config import SamplerConfig
from ..data.people import Person
from ..data.sampler import Sampler
from ..data.steps import PictureSizes, StepDataset, StepPictures
from ..modules.compared import Embed
from .measures import Row, Vector, angle_range, between, copy_paste, interval, unit


class Drawing(Protocol):
    """What draws."""

    def __call__(self, step: StepPictures, turn: int, seed: int) -> torch.Tensor:
        """Pictures `[people · targets, 3, size, size]`, 0 to 1, of the targets of a step, in their poses. With `turn` k
        person i has the tokens of person i − k. Equal seeds are equal noise."""
        ...


@dataclass
class _Found:
    """What is measured, one entry for each person."""

    drawn: list[list[Optional[Vector]]] = field(default_factory=list)
    centres: list[Optional[Vector]] = field(default_factory=list)
    own: list[float] = field(default_factory=list)
    copies: list[float] = field(default_factory=list)
    given: list[float] = field(default_factory=list)
    real: list[float] = field(default_factory=list)
    angles: dict[str, list[float]] = field(default_factory=dict)
    errors: list[float] = field(default_factory=list)
    margins: list[list[float]] = field(default_factory=list)
    without_face: int = 0
    pictures: int = 0


def evaluate(
    draw: Drawing,
    embed: Optional[Embed],
    people: Sequence[Person],
    sizes: PictureSizes,
    *,
    inputs: Sequence[int] = (1, 3, 5, 7),
    targets: int = 4,
    seeds: Sequence[int] = (0, 1, 2),
    together: int = 4,
    progress: Optional[Callable[[int, int], None]] = None,
) -> list[Row]:
    """A row for each number of photos. People with fewer photos than `inputs` + 1 are left out of its row. Always the
    same photos. `embed` None measures pixels alone; it sees what is drawn from the first of `seeds`, pixels are
    measured with all. Raises InvalidArgumentError when fewer than two people are left."""
    rows = []
    for count in inputs:
        able = [person for person in people if len(person.pictures) > count]
        if len(able) < 2:
            raise errors.InvalidArgumentError(
                f"{len(able)} of {len(people)} people have {count + 1} photos; two are needed to compare {count} "
                "photos of one with another's. --inputs takes fewer"
            )
        found = _Found()
        for first, last in _groups(len(able), together):
            part = able[first:last]
            config = SamplerConfig(
                people=len(part), fewest_inputs=count, most_inputs=count, targets=targets, grey_fraction=0.0,
                gain_std=0.0, offset_std=0.0, mirror=False,
            )  # fmt: skip
            step = StepDataset(part, Sampler([len(p.pictures) for p in part], config, 1), sizes)[0]
            _measure(found, draw, embed, step, seeds)
            if progress is not None:
                progress(last, len(able))
        rows.append(_row(count, found))
    return rows


def _groups(count: int, together: int) -> list[tuple[int, int]]:
    """Ranges of `together`; nobody is alone, for another's tokens are needed."""
    together = max(together, 2)
    firsts = [*range(0, count, together)]
    if len(firsts) > 1 and count - firsts[-1] == 1:
        firsts.pop()
    return list(zip(firsts, [*firsts[1:], count]))


def _measure(found: _Found, draw: Drawing, embed: Optional[Embed], step: StepPictures, seeds: Sequence[int]) -> None:
    assert step.targets is not None
    people = len(step.draws)
    each = len(step.targets) // people
    truth = step.targets / 2 + 0.5
    own = [draw(step, 0, seed).float().cpu() for seed in seeds]
    with_tokens = [_error(pictures, truth, people) for pictures in own]
    found.errors += np.mean(with_tokens, axis=0).tolist()
    margins = []
    for seed, errors_ in zip(seeds, with_tokens):
        others = [_error(draw(step, turn, seed).float().cpu(), truth, people) for turn in range(1, people)]
        margins.append(np.mean(others, axis=0) - errors_)
    found.margins += np.stack(margins, axis=1).tolist()
    if embed is None:
        return
    for person in range(people):
        rows = slice(person * each, (person + 1) * each)
        _embed(found, embed, step.photos[person], own[0][rows], truth[rows], step.pose[rows])


def _error(pictures: torch.Tensor, truth: torch.Tensor, people: int) -> np.ndarray:  # type: ignore[type-arg]
    if pictures.shape != truth.shape:
        raise errors.MismatchError(f"drawn pictures {list(pictures.shape)}, true ones {list(truth.shape)}")
    return (pictures - truth).abs().flatten(1).mean(dim=1).unflatten(0, (people, -1)).mean(dim=1).numpy()


def _embed(
    found: _Found, embed: Embed, photos: torch.Tensor, drawn: torch.Tensor, truth: torch.Tensor, pose: torch.Tensor
) -> None:
    """One person."""
    references = [vector for vector in (embed(to_image(photo)) for photo in photos) if vector is not None]
    reference = unit(np.mean(references, axis=0)) if references else None
    mine = [embed(to_image(picture)) for picture in drawn]
    held = [embed(to_image(picture)) for picture in truth]
    found.pictures += len(mine)
    found.without_face += sum(vector is None for vector in mine)
    copies, given, real = [], [], []
    by_angle: dict[str, list[float]] = {}
    for vector, target, angles in zip(mine, held, pose):
        if target is None:
            continue
        likeness = 0.0 if vector is None else float(vector @ target)
        yaw = math.degrees(float(angles[0]))
        # A face that is not known has no angle.
        if bool(angles.any()):
            by_angle.setdefault(angle_range(yaw), []).append(likeness)
        if reference is not None:
            real.append(float(target @ reference))
        if vector is not None and reference is not None:
            copies.append(copy_paste(vector, target, reference))
            given.append(float(vector @ reference))
    for name, own in by_angle.items():
        found.angles.setdefault(name, []).append(float(np.mean(own)))
    known = [vector for vector in held if vector is not None]
    likenesses = [0.0 if v is None else float(v @ t) for v in mine for t in known]
    for values, into in ((likenesses, found.own), (copies, found.copies), (given, found.given), (real, found.real)):
        finite = [value for value in values if math.isfinite(value)]
        into.append(float(np.mean(finite)) if finite else math.nan)
    found.drawn.append(mine)
    found.centres.append(unit(np.mean(known, axis=0)) if known else None)


def _row(count: int, found: _Found) -> Row:
    others, firsts = between(found.drawn, found.centres)
    margins = np.array(found.margins)  # people × seeds
    order = sorted(found.angles, key=lambda name: int(name.split("-")[0]))
    return Row(
        count,
        len(found.errors),
        interval(found.own),
        interval(others),
        interval(found.given),
        interval(found.copies),
        interval(found.real),
        float(np.mean(firsts)) if firsts else math.nan,
        {name: interval(found.angles[name]) for name in order},
        found.without_face,
        found.pictures,
        interval(found.errors),
        interval(margins.mean(axis=1).tolist()),
        margins.mean(axis=0).tolist(),
    )


def to_image(picture: torch.Tensor) -> Image.Image:
    """A picture `[3, height, width]`, 0 to 1."""
    values = picture.detach().float().cpu().clamp(0, 1).mul(255).round().byte()
    return Image.fromarray(values.permute(1, 2, 0).contiguous().numpy())
