"""Drawing pictures with a host and an identity, for sample grids and evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable, Optional

import torch

from ..objectives.noise import Diffusion, Flow, FlowToSample, Randoms
from .base import Host, Prompt, View

Guide = Callable[[bool], None]
"""Shows the host the identity (True) or nobody's (False)."""


@torch.no_grad()
def draw(
    host: Host,
    shape: Sequence[int],
    prompt: Prompt,
    view: View,
    seeds: Sequence[int],
    guide: Guide,
    *,
    steps: int = 8,
    guidance: float = 1.0,
    nothing: Optional[Prompt] = None,
) -> torch.Tensor:
    """Latents `[rows, *shape]` from noise of one seed per row. `guidance` 1 runs the host once per step; above, the
    passes without identity and with `nothing` as prompt are pushed away from. Deterministic: Euler at the
    times of the host's scheduler, or DDIM for hosts with discrete times."""
    device = view.pose.device
    sample = Randoms(seeds, device).normal(shape)

    def predict(now: torch.Tensor, time: float) -> torch.Tensor:
        times = torch.full((len(seeds),), time, device=device)
        guide(True)
        found = host.predict(now, times, prompt, view).float()
        if guidance == 1.0:
            return found
        guide(False)
        other = host.predict(now, times, nothing or prompt, view).float()
        return other + guidance * (found - other)

    return _follow(host.noise, sample, predict, steps, host.times(steps, shape))


def _follow(
    noise: Any,
    sample: torch.Tensor,
    predict: Callable[[torch.Tensor, float], torch.Tensor],
    steps: int,
    times: Optional[list[float]],
) -> Any:
    if isinstance(noise, FlowToSample):
        for step in range(steps):
            now, after = step / steps, (step + 1) / steps
            sample = sample + (predict(sample, now) - sample) / max(1 - now, 1e-4) * (after - now)
        return sample
    if isinstance(noise, Flow):
        own = [float(noise.shifted(1 - place / steps)) for place in range(steps + 1)] if times is None else times
        for now, after in zip(own, own[1:]):
            sample = sample + predict(sample, now * noise.scale) * (after - now)
        return sample
    assert isinstance(noise, Diffusion)
    alphas = noise.alphas.to(sample.device)
    places = torch.linspace(len(alphas) - 1, 0, steps).round().long().tolist()
    for place, time in enumerate(places):
        alpha = alphas[time]
        after = alphas[places[place + 1]] if place + 1 < steps else torch.ones_like(alpha)
        found = predict(sample, float(time))
        if noise.prediction == "epsilon":
            epsilon = found
            clean = (sample - (1 - alpha).sqrt() * epsilon) / alpha.sqrt()
        else:
            clean = alpha.sqrt() * sample - (1 - alpha).sqrt() * found
            epsilon = alpha.sqrt() * found + (1 - alpha).sqrt() * sample
        sample = after.sqrt() * clean + (1 - after).sqrt() * epsilon
    return sample
