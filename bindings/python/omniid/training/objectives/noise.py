"""Noise, times and losses of the hosts that predict noise, velocity, flow or the picture itself."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional

import torch

from ... import errors


@dataclass(frozen=True)
class Noised:
    """A batch at random times."""

    sample: torch.Tensor
    """What the host sees."""
    time: torch.Tensor
    """`[rows]`: the time as the host takes it."""
    target: torch.Tensor
    """What the host should predict."""
    weight: torch.Tensor
    """`[rows]`: weights of the squared error."""


def generator_for(seed: int, purpose: str) -> torch.Generator:
    """Random numbers of a row that have nothing to do with its noise and time: those come from `seed` itself, as do the
    next rows' from the seeds after it."""
    digest = hashlib.sha256(f"{purpose}:{seed}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


class Randoms:
    """Random numbers per row, from a seed for each: the same for any number of processes, devices and rows beside
    it."""

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._device = device

    def normal(self, shape: Sequence[int]) -> torch.Tensor:
        """`[rows, *shape]`"""
        rows = [torch.randn(tuple(shape), generator=generator) for generator in self._generators]
        return torch.stack(rows).to(self._device)

    def uniform(self) -> torch.Tensor:
        """`[rows]`, 0 to 1."""
        rows = [torch.rand((), generator=generator) for generator in self._generators]
        return torch.stack(rows).to(self._device)


class Diffusion:
    """Discrete times of DDPM (Ho et al. 2020), prediction of ε or v (Salimans and Ho 2022), weights of min-SNR-γ (Hang
    et al. 2023)."""

    def __init__(self, alphas_cumprod: torch.Tensor, prediction: str, min_snr_gamma: float = 0.0) -> None:
        if prediction not in ("epsilon", "v"):
            raise errors.InvalidArgumentError(f"prediction {prediction!r} of a host with discrete times")
        self.alphas, self.prediction, self._gamma = alphas_cumprod.float(), prediction, min_snr_gamma

    def noise(self, clean: torch.Tensor, randoms: Randoms) -> Noised:
        """Noise on `clean` at times drawn evenly."""
        times = (randoms.uniform() * len(self.alphas)).long().clamp(max=len(self.alphas) - 1)
        epsilon = randoms.normal(clean.shape[1:]).to(clean.dtype)
        alphas = self.alphas.to(clean.device)[times]
        a, s = (_per_row(value, clean) for value in (alphas.sqrt(), (1 - alphas).sqrt()))
        target = epsilon if self.prediction == "epsilon" else a * epsilon - s * clean
        weight = torch.ones_like(alphas)
        if self._gamma > 0:
            ratio = alphas / (1 - alphas)  # signal to noise
            weight = ratio.clamp(max=self._gamma) / (ratio if self.prediction == "epsilon" else ratio + 1)
        return Noised(a * clean + s * epsilon, times, target, weight)


class Flow:
    """Straight paths from pictures to noise, t from 0 to 1 (SD3, FLUX): the host predicts ε − x. Times are the logistic
    of a normal distribution (Esser et al. 2024, section 3.1), moved towards noise by `shift`."""

    def __init__(self, mean: float, std: float, shift: float, time_scale: float) -> None:
        """`time_scale`: the host's time at pure noise, 1000 for SD3, 1 for FLUX."""
        self._mean, self._std, self._shift, self.scale = mean, std, shift, time_scale

    def noise(self, clean: torch.Tensor, randoms: Randoms) -> Noised:
        """Noise on `clean`."""
        t = self.shifted(torch.sigmoid(randoms.normal(()) * self._std + self._mean))
        epsilon = randoms.normal(clean.shape[1:]).to(clean.dtype)
        place = _per_row(t, clean)
        sample = (1 - place) * clean + place * epsilon
        return Noised(sample, t * self.scale, epsilon - clean, torch.ones_like(t))

    def shifted(self, t: Any) -> Any:
        """Times moved towards noise."""
        return self._shift * t / (1 + (self._shift - 1) * t)


class FlowToSample:
    """The paths of our own small generator: t from 0, noise, to 1, the picture, which the host predicts. Errors are
    divided by max(1 − t, 0.1)²."""

    nearest = 0.1

    def __init__(self, mean: float, std: float) -> None:
        self._mean, self._std = mean, std

    def noise(self, clean: torch.Tensor, randoms: Randoms) -> Noised:
        """Noise on `clean`."""
        t = torch.sigmoid(randoms.normal(()) * self._std + self._mean)
        epsilon = randoms.normal(clean.shape[1:]).to(clean.dtype)
        place = _per_row(t, clean)
        sample = place * clean + (1 - place) * epsilon
        return Noised(sample, t, clean, (1 - t).clamp(min=self.nearest) ** -2)


def _per_row(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return values.to(like.dtype).view(-1, *(1 for _ in like.shape[1:]))


def loss(prediction: torch.Tensor, noised: Noised, places: Optional[torch.Tensor] = None) -> torch.Tensor:
    """The mean of weight · (prediction − target)². `places`, broadcast over the prediction, weighs positions; each
    row's sum is divided by the sum of its weights."""
    error = (prediction.float() - noised.target.float()) ** 2
    error = error * _per_row(noised.weight, error)
    if places is None:
        return error.mean()
    places = places.to(error.dtype).expand_as(error).flatten(1)
    # Row by row: the parts of a step then make the step's mean, however many they are.
    return ((error.flatten(1) * places).sum(dim=1) / places.sum(dim=1).clamp_min(1e-8)).mean()


def of_scheduler(scheduler: Any, prediction: str, gamma: float, flow: Flow) -> Diffusion | Flow:
    """The noise that a host was trained with, by its scheduler. `prediction` other than "auto" overrides it."""
    config = scheduler.config
    if prediction == "auto":
        if hasattr(scheduler, "alphas_cumprod"):
            named = {"epsilon": "epsilon", "v_prediction": "v"}
            found = config.get("prediction_type", "epsilon")
            if found not in named:
                raise errors.UnsupportedError(
                    f"the host's scheduler has prediction_type {found!r}; epsilon and v are known"
                )
            prediction = named[found]
        else:
            prediction = "flow"
    if prediction == "flow":
        return flow
    alphas = getattr(scheduler, "alphas_cumprod", None)
    if alphas is None:
        raise errors.UnsupportedError(f"prediction {prediction!r} for a host whose scheduler has no alphas_cumprod")
    return Diffusion(alphas, prediction, gamma)
