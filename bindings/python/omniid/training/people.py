"""Whom a run is about: the people of its folders and shards, apart by split."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

from .. import errors
from .config import RunConfig
from .data.faces import with_faces
from .data.people import Dropped, Person, people_of_folder, people_of_shards, split, usable
from .data.pictures import readable

INPUT_MARGIN = 0.25
"""What is added on either side of a face's box in a photo that the encoder reads, in multiples of its longer side."""

TARGET_MARGIN = 0.9
"""What is added on either side of a face's box in a target of stage 2, in multiples of its longer side."""

Report = Callable[[str], None]


def people_of(config: RunConfig, out: Path, report: Report, main: bool) -> tuple[list[Person], list[Person]]:
    """Training and validation people, with their faces. What was dropped is in `dropped.txt`. Raises
    InvalidArgumentError when nobody is left to train on."""
    train, validation, _ = _split(config, out, report, main)
    if config.data.most_people:
        train = train[: config.data.most_people]
    if main:
        photos = sum(len(person.pictures) for person in train)
        report(f"{len(train)} people with {photos} photos to train on, {len(validation)} to be judged on")
    if not train:
        raise errors.InvalidArgumentError(
            "nobody to train on: [data] photos or shards must have people with two usable photos or more; "
            f"{out / 'dropped.txt'} says what was left out"
        )
    return train, validation


def judged_people(config: RunConfig, out: Path, which: str, report: Report) -> list[Person]:
    """The people of the split "validation", "test" or "train". Raises InvalidArgumentError when it is empty."""
    found = dict(zip(("train", "validation", "test"), _split(config, out, report, True)))[which]
    if not found:
        raise errors.InvalidArgumentError(
            f"nobody is in the split {which!r}: [data] {which} says how large a part of the people is; "
            f"{out / 'dropped.txt'} says who was left out"
        )
    return found


def _split(config: RunConfig, out: Path, report: Report, main: bool) -> tuple[list[Person], list[Person], list[Person]]:
    data, dropped = config.data, Dropped()
    people = [person for folder in data.photos for person in people_of_folder(folder, dropped)]
    if data.crop == "face" and people:
        people = with_faces(people, out / "faces.jsonl", dropped, report if main else None)
    else:
        people = [readable(person, dropped) for person in people]
    people += people_of_shards(data.shards, dropped)
    people = usable(people, 2 if config.sampler.pairing == "disjoint" else 1, dropped)
    if main:
        dropped.write(out / "dropped.txt")
        for reason, count in dropped.counts().items():
            report(f"left out {count}: {reason}")
    return split(people, data.validation, data.test, data.split_seed)
