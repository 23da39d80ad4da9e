"""Stage 2: encoder and adapter are trained against a frozen host, by the host's own loss (paper, flow matching)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable, Optional

import torch
from torch import nn

from ..config import HostConfig
from ..data.sampler import Draw
from ..data.steps import StepPictures
from ..hosts import Host, Injection, Prompt, View
from ..modules import IdentityAdapter, IdentityModel
from . import noise
from .tokens import of_whom

Mean = Callable[[torch.Tensor], torch.Tensor]
"""The mean of a tensor over all processes."""


class HostObjective(nn.Module):
    """Identity model and adapter, and the loss of a step. The host is no part of the module: it is not trained,
    averaged, wrapped or stored."""

    def __init__(
        self, config: HostConfig, identity: IdentityModel, adapter: IdentityAdapter, host: Host, mean: Mean
    ) -> None:
        super().__init__()
        self.identity, self.adapter = identity, adapter
        self.config, self._mean = config, mean
        self._outside = (host, Injection(host.model, config.scale))

    @property
    def host(self) -> Host:
        """The frozen host."""
        return self._outside[0]

    @property
    def injection(self) -> Injection:
        """Its hooks."""
        return self._outside[1]

    def forward(
        self, step: StepPictures, latents: torch.Tensor, prompt: Prompt, whose: str = "own"
    ) -> dict[str, torch.Tensor]:
        """The loss of a step: `latents` are those of its targets, `prompt` has a row for each. The host goes on seeing
        the identities until `release`, because a backward pass may run parts of it again. `whose`: the tokens of the
        person ("own"), of the next person of the step ("other"), or the mean of the step's ("mean")."""
        device = latents.device
        each = len(latents) // len(step.draws)
        tokens = self.identity(self.identity.backbone.pixels.prepare(step.photos.to(device)))
        self.show(of_whom(self._dropped(tokens, step.draws), whose), each)
        view = View(step.pose.to(device), step.faces, None if step.views is None else step.views.to(device))
        randoms = noise.Randoms([draw.seed + place for draw in step.draws for place in range(each)], device)
        noised = self.host.noise.noise(latents, randoms)
        prediction = self.host.predict(noised.sample, noised.time, prompt, view)
        weights = self.host.place_weights(view, prediction, self.config.background_weight)
        return {"loss": noise.loss(prediction, noised, weights)}

    def _dropped(self, tokens: torch.Tensor, draws: Sequence[Draw]) -> torch.Tensor:
        """As in use, where pictures without identity get the mean identity: here the mean of the step stands for it. It
        is a constant, so that nobody's tokens are pulled towards what suits the others."""
        share = self.config.identity_dropout
        if share == 0.0 or not self.training:
            return tokens
        mean = self._mean(tokens.detach().mean(dim=0, keepdim=True))
        rows = [torch.rand((), generator=noise.generator_for(draw.seed, "identity")) >= share for draw in draws]
        kept = torch.tensor(rows, device=tokens.device).view(-1, 1, 1)
        return torch.where(kept, tokens, mean.expand_as(tokens))

    def show(self, tokens: Optional[torch.Tensor], each: int = 1) -> None:
        """From now on the host sees these identities, `each` rows for each person; None: nobody's."""
        if tokens is None:
            self.injection.set(None)
            return
        self.injection.set(
            [
                (keys.repeat_interleave(each, dim=0), values.repeat_interleave(each, dim=0))
                for keys, values in self.adapter(tokens)
            ]
        )

    def release(self) -> None:
        """The host sees nobody any more."""
        self.injection.set(None)
