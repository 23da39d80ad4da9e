"""The few-to-many sampler: which pictures of which people make a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ... import errors
from ..config import SamplerConfig


@dataclass(frozen=True)
class Input:
    """A picture that the encoder reads: `gain` · value + `offset` on the scale −1 to 1."""

    picture: int
    gain: float
    offset: float


@dataclass(frozen=True)
class Draw:
    """One person's part in a step."""

    person: int
    inputs: tuple[Input, ...]
    targets: tuple[int, ...]
    grey: bool
    """Whether all pictures are grey."""
    mirrored: bool
    """Whether all pictures are mirrored."""
    seed: int
    """Seed of everything else that is drawn for this person in this step: noise, times, masks."""


class Sampler:
    """Draws people and pictures for every step.

    Every person comes once in an epoch, in an order drawn for the epoch. Step k depends on the seed and on k alone, so
    a run that is resumed goes on as if it had never stopped, with any number of processes."""

    def __init__(self, counts: Sequence[int], config: SamplerConfig, seed: int) -> None:
        """`counts` is the number of pictures of each person. Raises InvalidArgumentError when nobody has enough."""
        needed = 2 if config.pairing == "disjoint" else 1
        self._people = [place for place, count in enumerate(counts) if count >= needed]
        if not self._people:
            raise errors.InvalidArgumentError(
                f"none of {len(counts)} people has {needed} photos; a person with one photo cannot be trained on, "
                "because targets are other photos than the inputs"
            )
        self._counts, self.config, self._seed = counts, config, seed

    @property
    def people_per_step(self) -> int:
        """People of a step."""
        return min(self.config.people, len(self._people))

    def draw(self, step: int) -> list[Draw]:
        """The draws of a step. All have equally many inputs and equally many targets; where a person has too few
        pictures some come more than once."""
        count = self.people_per_step
        # The people who do not fill a last step sit an epoch out; the next epoch's order is another one.
        per_epoch = len(self._people) // count
        order = self._stream(0, step // per_epoch).permutation(len(self._people))
        first = step % per_epoch * count
        random = self._stream(1, step)
        inputs = int(random.integers(self.config.fewest_inputs, self.config.most_inputs + 1))
        return [self._person(self._people[place], inputs, random) for place in order[first : first + count]]

    def _person(self, person: int, count: int, random: np.random.Generator) -> Draw:
        config = self.config
        order = random.permutation(self._counts[person]).tolist()
        inputs = order[:count]
        targets = inputs
        if config.pairing == "disjoint":
            # One target is set aside first.
            inputs = order[: min(count, len(order) - 1)]
            targets = order[len(inputs) :]
        tones = random.normal(size=(count, 2)) * (config.gain_std, config.offset_std)
        return Draw(
            person,
            tuple(Input(inputs[i % len(inputs)], float(np.exp(tones[i, 0])), float(tones[i, 1])) for i in range(count)),
            tuple(targets[i % len(targets)] for i in range(config.targets)),
            bool(random.random() < config.grey_fraction),
            bool(config.mirror and random.random() < 0.5),
            int(random.integers(2**62)),
        )

    def _stream(self, purpose: int, number: int) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(key=[self._seed, purpose << 56 | number]))
