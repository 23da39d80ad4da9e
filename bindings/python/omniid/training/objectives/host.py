"""Stage 2: encoder and adapter are trained against a frozen host, by the host's own loss (paper, flow matching)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
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


_MEAN_RATE = 0.02
"""How much of the running mean of tokens each step's people are."""


@dataclass(frozen=True)
class Chance:
    """What a step draws at random."""

    noised: noise.Noised
    """Its targets at random times."""
    kept: Optional[torch.Tensor]
    """`[people, 1, 1]`: whether each person's own tokens are shown; None: everybody's are."""


class HostObjective(nn.Module):
    """Identity model and adapter, and the loss of a step. The host is no part of the module: it is not trained,
    averaged, wrapped or stored."""

    mean_tokens: torch.Tensor
    """`[1, tokens, token width]`: the running mean of everybody's tokens, for identity dropout; NaN before the first
    step."""

    def __init__(
        self, config: HostConfig, identity: IdentityModel, adapter: IdentityAdapter, host: Host, mean: Mean
    ) -> None:
        super().__init__()
        self.identity, self.adapter = identity, adapter
        self.config, self._mean = config, mean
        self.register_buffer("mean_tokens", torch.full((1, identity.tokens, identity.token_width), math.nan))
        self._outside = (host, Injection(host.model, config.scale))

    @property
    def host(self) -> Host:
        """The frozen host."""
        return self._outside[0]

    @property
    def injection(self) -> Injection:
        """Its hooks."""
        return self._outside[1]

    def chance(self, step: StepPictures, latents: torch.Tensor) -> Chance:
        """What `forward` draws at random for a step. Drawn before it, no generator or hash is in the way of
        torch.compile."""
        each, device = len(latents) // len(step.draws), latents.device
        randoms = noise.Randoms([draw.seed + place for draw in step.draws for place in range(each)], device)
        return Chance(self.host.noise.noise(latents, randoms), self._kept(step.draws, device))

    def _kept(self, draws: Sequence[Draw], device: torch.device) -> Optional[torch.Tensor]:
        share = self.config.identity_dropout
        if share == 0.0 or not self.training:
            return None
        rows = [torch.rand((), generator=noise.generator_for(draw.seed, "identity")) for draw in draws]
        return (torch.stack(rows) >= share).to(device).view(-1, 1, 1)

    def forward(
        self,
        step: StepPictures,
        latents: torch.Tensor,
        prompt: Prompt,
        whose: str = "own",
        chance: Optional[Chance] = None,
    ) -> dict[str, torch.Tensor]:
        """The loss of a step: `latents` are those of its targets, `prompt` has a row for each. The host goes on seeing
        the identities until `release`, because a backward pass may run parts of it again. `whose`: the tokens of the
        person ("own"), of the next person of the step ("other"), or the mean of the step's ("mean"). `chance`: what
        `chance` drew; None draws now."""
        chance = chance or self.chance(step, latents)
        device = latents.device
        each = len(latents) // len(step.draws)
        tokens = self.identity(self.identity.backbone.pixels.prepare(step.photos.to(device)))
        self.show(of_whom(self._dropped(tokens, chance.kept), whose), each)
        view, noised = View.of(step, device), chance.noised
        prediction = self.host.predict(noised.sample, noised.time, prompt, view)
        weights = self.host.place_weights(view, prediction, self.config.background_weight)
        return {"loss": noise.loss(prediction, noised, weights)}

    def _dropped(self, tokens: torch.Tensor, kept: Optional[torch.Tensor]) -> torch.Tensor:
        """As in use, where pictures without identity get the mean identity: here the running mean of all steps stands
        for it, because the mean of a step of few people is half of each of them. It is a constant, so that nobody's
        tokens are pulled towards what suits the others."""
        if kept is None:
            return tokens
        mean = self._mean(tokens.detach().float().mean(dim=0, keepdim=True))
        self.mean_tokens = torch.where(self.mean_tokens.isnan(), mean, self.mean_tokens.lerp(mean, _MEAN_RATE))
        return torch.where(kept, tokens, self.mean_tokens.to(tokens.dtype).expand_as(tokens))

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
