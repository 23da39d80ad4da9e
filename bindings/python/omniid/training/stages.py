"""The two stages in the loop of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Optional

import numpy as np
import torch
from accelerate import Accelerator
from PIL import Image
from torch import nn

from .. import errors
from .checkpoint import Crop
from .config import RunConfig, SamplerConfig
from .data.cache import Cache, picture_key, prompt_rows
from .data.people import Person
from .data.pictures import cut, decode, to_tensor
from .data.sampler import Sampler
from .data.steps import PictureSizes, StepDataset, StepPictures, loader
from .hosts import Prompt
from .modules import MaskedTargets
from .objectives.host import HostObjective
from .objectives.masked import MaskedObjective, patches
from .objectives.noise import generator_for
from .painting import paint
from .people import TARGET_MARGIN


class _Stage:
    """What both have in common: pictures of steps, and people to be judged on."""

    def __init__(
        self,
        config: RunConfig,
        accelerator: Accelerator,
        train: Sequence[Person],
        validation: Sequence[Person],
        sizes: PictureSizes,
        read_targets: bool,
    ) -> None:
        self.config, self.accelerator, self.sizes = config, accelerator, sizes
        self.train, self.validation = train, validation
        self._read_targets = read_targets
        self.sampler = Sampler([len(person.pictures) for person in train], config.sampler, config.seed)
        parts = config.optimiser.accumulate * accelerator.num_processes
        people = self.sampler.people_per_step
        if people % parts:
            raise errors.InvalidArgumentError(
                f"a step has {people} people; they must divide into {config.optimiser.accumulate} parts of "
                f"{accelerator.num_processes} processes"
            )

    def batches(self, first: int, last: int) -> Iterable[StepPictures]:
        """Parts of steps, of this process."""
        accumulate = self.config.optimiser.accumulate
        dataset = StepDataset(
            self.train, self.sampler, self.sizes, process=self.accelerator.process_index,
            processes=self.accelerator.num_processes, accumulate=accumulate, read_targets=self._read_targets,
        )  # fmt: skip
        pin = self.accelerator.device.type == "cuda"
        return loader(dataset, first * accumulate, last * accumulate, self.config.data.workers, pin)

    def pictures(self) -> int:
        """Pictures of a step."""
        sampler = self.config.sampler
        inputs = (sampler.fewest_inputs + sampler.most_inputs) / 2
        return round(self.sampler.people_per_step * (inputs + sampler.targets))

    def judged(self, most: int) -> Iterator[StepPictures]:
        """Validation people, always the same pictures, a few at a time."""
        config = self.config.evaluation
        people = [person for person in self.validation if len(person.pictures) >= 2][:most]
        for first in range(0, len(people) - 1, 8):
            part = people[first : first + 8]
            if len(part) < 2:
                continue
            sampler = SamplerConfig(
                people=len(part), fewest_inputs=config.inputs, most_inputs=config.inputs, targets=config.targets,
                grey_fraction=0.0, gain_std=0.0, offset_std=0.0, mirror=False,
            )  # fmt: skip
            counts = [len(person.pictures) for person in part]
            yield StepDataset(part, Sampler(counts, sampler, 1), self.sizes)[0]

    @property
    def judged_people(self) -> int:
        """How many people are judged on."""
        return self.config.evaluation.people


@torch.no_grad()
def _mean_losses(parts: Iterable[tuple[int, dict[str, float]]]) -> dict[str, float]:
    total: dict[str, float] = {}
    weight = 0
    for people, losses in parts:
        weight += people
        for name, value in losses.items():
            total[name] = total.get(name, 0.0) + people * value
    return {name: value / weight for name, value in total.items()} if weight else {}


class MaskedStage(_Stage):
    """Stage 1."""

    module: MaskedObjective

    def __init__(
        self, config: RunConfig, accelerator: Accelerator, objective: MaskedObjective, crop: Crop,
        train: Sequence[Person], validation: Sequence[Person],
    ) -> None:  # fmt: skip
        size = int(objective.identity.backbone.config["image_size"])
        sizes = PictureSizes(size, crop.margin, size, crop.margin)
        super().__init__(config, accelerator, train, validation, sizes, True)
        self.module = objective

    def loss(self, module: nn.Module, batch: StepPictures) -> torch.Tensor:
        """Through the wrapped module."""
        found: torch.Tensor = module(batch, "own", self.module.chance(batch))["loss"]
        return found

    def release(self) -> None:
        """Nothing is kept."""

    @torch.no_grad()
    def evaluate(self, module: nn.Module) -> Mapping[str, float]:
        """L1 with the person's tokens, with another person's and with mean tokens."""

        def parts() -> Iterator[tuple[int, dict[str, float]]]:
            for step in self.judged(self.judged_people):
                losses = {whose: float(module(step, whose)["loss"]) for whose in ("own", "other", "mean")}
                yield len(step.draws), losses

        return _mean_losses(parts())

    @torch.no_grad()
    def preview(self, path: Path) -> None:
        """Inputs, a target, and what comes out with every patch decoded but those that are seen."""
        for step in self.judged(4):
            rows = []
            for person in range(len(step.draws)):
                decoded = self._whole(step, person)
                rows.append(torch.cat([*step.photos[person].cpu(), decoded], dim=2))
            save_grid(rows, path)

    def _whole(self, step: StepPictures, person: int) -> torch.Tensor:
        objective, device = self.module, self.accelerator.device
        each = len(step.pose) // len(step.draws)
        assert step.targets is not None
        target = step.targets[person * each][None].to(device)
        photos = objective.identity.backbone.pixels.prepare(step.photos[person][None].to(device))
        told = objective.condition(step)
        told = None if told is None else told[person * each][None]
        found = objective.decoder(objective.identity(photos), MaskedTargets(None, None, objective.codes[None], told))
        size, patch = target.shape[-1], int(objective.identity.backbone.config["patch_size"])
        side = size // patch
        picture = found[0].reshape(side, side, patch, patch, 3).permute(4, 0, 2, 1, 3).reshape(3, size, size)
        assert patches(picture[None], patch).shape == found.shape
        return torch.cat([target[0].cpu(), picture.float().cpu()], dim=2) / 2 + 0.5


class HostStage(_Stage):
    """Stage 2."""

    module: HostObjective

    def __init__(
        self, config: RunConfig, accelerator: Accelerator, objective: HostObjective, crop: Crop, cache: Cache,
        train: Sequence[Person], validation: Sequence[Person],
    ) -> None:  # fmt: skip
        size = int(objective.identity.backbone.config["image_size"])
        sizes = PictureSizes(size, crop.margin, objective.host.size, TARGET_MARGIN)
        super().__init__(config, accelerator, train, validation, sizes, False)
        self.module, self._cache = objective, cache

    def loss(self, module: nn.Module, batch: StepPictures) -> torch.Tensor:
        """Through the wrapped module."""
        latents, prompt = self.targets(batch, self.train)
        chance = self.module.chance(batch, latents)
        found: torch.Tensor = module(batch, latents, prompt, "own", chance)["loss"]
        return found

    def release(self) -> None:
        """The backward pass is over."""
        self.module.release()

    def targets(self, step: StepPictures, people: Sequence[Person], drop: bool = True) -> tuple[torch.Tensor, Prompt]:
        """Latents and prompts of a step's targets, from the cache."""
        device, config = self.accelerator.device, self.config.host
        assert config is not None
        latents, prompts = [], []
        each = len(step.pose) // len(step.draws)
        for row, draw_ in enumerate(step.draws):
            person = people[draw_.person]
            for place, picture in enumerate(draw_.targets):
                key = picture_key(person.pictures[picture], self.sizes, draw_.grey, draw_.mirrored)
                found = self._cache.get(key)
                if found is None:
                    latents.append(self._encode(person, picture, draw_.grey, draw_.mirrored, key))
                else:
                    latents.append(found["latent"])
                seed = generator_for(draw_.seed + place, "prompt")
                dropped = drop and float(torch.rand((), generator=seed)) < config.prompt_dropout
                prompts.append("" if dropped else prompt_of(self.config, person, step.captions[row * each + place]))
        rows = prompt_rows(self._cache, prompts)
        return torch.stack(latents).to(device), {name: value.to(device) for name, value in rows.items()}

    def _encode(self, person: Person, picture: int, grey: bool, mirrored: bool, key: str) -> torch.Tensor:
        source = person.pictures[picture]
        image, _ = cut(decode(source), source.face, self.sizes.target_margin, self.sizes.target_size)
        latent = self.module.host.encode_pictures(to_tensor(image, grey, mirrored)[None] * 2 - 1)[0].float().cpu()
        self._cache.put(key, {"latent": latent})
        return latent

    @torch.no_grad()
    def evaluate(self, module: nn.Module) -> Mapping[str, float]:
        """The host's loss with the person's tokens, with another person's and with mean tokens."""

        def parts() -> Iterator[tuple[int, dict[str, float]]]:
            people = [person for person in self.validation if len(person.pictures) >= 2]
            for number, step in enumerate(self.judged(self.judged_people)):
                latents, prompt = self.targets(step, people[8 * number :], drop=False)
                losses = {}
                with self.accelerator.autocast() if self.config.precision == "bf16" else nullcontext():
                    for whose in ("own", "other", "mean"):
                        losses[whose] = float(module(step, latents, prompt, whose)["loss"])
                self.module.release()
                yield len(step.draws), losses

        return _mean_losses(parts())

    @torch.no_grad()
    def preview(self, path: Path) -> None:
        """Inputs, a target, and what is drawn of the person in the target's pose."""
        people = [person for person in self.validation if len(person.pictures) >= 2]
        for step in self.judged(4):
            latents, prompt = self.targets(step, people, drop=False)
            drawn = paint(self.module, step, latents.shape[1:], prompt, self.accelerator.device)
            each = len(step.pose) // len(step.draws)
            rows = []
            for person in range(len(step.draws)):
                place = person * each
                pictures = self.module.host.decode(torch.stack([latents[place], drawn[place].to(latents)]))
                shown = [*step.photos[person].cpu(), *(picture.float().cpu() for picture in pictures)]
                side = pictures.shape[-1]
                shown = [nn.functional.interpolate(one[None], (side, side), mode="bilinear")[0] for one in shown]
                rows.append(torch.cat(shown, dim=2))
            save_grid(rows, path)


def prompt_of(config: RunConfig, person: Person, caption: Optional[str]) -> str:
    """The prompt of a picture."""
    host = config.host
    assert host is not None
    if host.captions and caption:
        return caption
    return host.caption.replace("{name}", person.name)


def save_grid(rows: Sequence[torch.Tensor], path: Path) -> None:
    """Rows of pictures `[3, height, width]`, 0 to 1, one below the other, as PNG."""
    grid: Any = torch.cat(list(rows), dim=1).clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(np.ascontiguousarray(grid)).save(path)
