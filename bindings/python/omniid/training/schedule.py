"""Learning rate, moving average and optimiser groups of a run: the formulas of `omniid train`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from .config import OptimiserConfig, ScheduleConfig


def rate(config: ScheduleConfig, step: int, steps: int) -> float:
    """The factor of the learning rate in step `step`, from 0: linear warm-up, then half a cosine to the final
    fraction."""
    if step < config.warm_up:
        return (step + 1) / config.warm_up
    length = config.length or steps
    progress = min((step - config.warm_up) / max(length - config.warm_up, 1), 1.0)
    cosine = 0.5 * (1.0 + math.cos(math.pi * progress))
    return config.final_fraction + (1.0 - config.final_fraction) * cosine


def decay_after(decay: float, updates: int) -> float:
    """The decay of the average after `updates` updates, so that it soon forgets the start."""
    return min(decay, (1.0 + updates) / (10.0 + updates))


def own_part(parameter: torch.Tensor) -> torch.Tensor:
    """This process's part of a parameter that several share (FSDP); else all of it. Changing it changes the
    parameter."""
    part = parameter.detach()
    return part.to_local() if hasattr(part, "to_local") else part


class Average:
    """The exponential moving average of trained weights, on their device, in f32: of each process's own part."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float) -> None:
        self._decay = decay
        self.values = {name: own_part(parameter).float().clone() for name, parameter in parameters.items()}

    @torch.no_grad()
    def update(self, parameters: Mapping[str, nn.Parameter], updates: int) -> None:
        """Takes the weights after `updates` updates before this one."""
        part = 1.0 - decay_after(self._decay, updates)
        for name, value in self.values.items():
            value.lerp_(own_part(parameters[name]).float(), part)

    @torch.no_grad()
    def swap(self, parameters: Mapping[str, nn.Parameter]) -> None:
        """Exchanges the weights with the averages; called twice, nothing has changed."""
        for name, value in self.values.items():
            parameter = own_part(parameters[name])
            kept = parameter.float().clone()
            parameter.copy_(value)
            value.copy_(kept)


def groups(parameters: Iterable[tuple[str, nn.Parameter]], config: OptimiserConfig) -> list[dict[str, Any]]:
    """Groups of AdamW: matrices decay, vectors, norms, positions and queries do not; image encoder and identity encoder
    have a rate of their own, as a factor under `factor`."""
    found: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in parameters:
        matrix = parameter.ndim >= 2 and name.endswith(".weight") and "position_embedding" not in name
        key = (config.encoder_rate if "identity." in name else 1.0, config.weight_decay if matrix else 0.0)
        found.setdefault(key, []).append(parameter)
    return [
        {"params": members, "factor": factor, "lr": config.learning_rate * factor, "weight_decay": decay}
        for (factor, decay), members in found.items()
    ]
