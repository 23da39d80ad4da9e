"""Pictures of people by an encoder, an adapter and a host: for sample grids and evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import torch

from .data.steps import StepPictures
from .hosts import Prompt, View
from .hosts.sampling import draw
from .objectives.host import HostObjective


@torch.no_grad()
def paint(
    objective: HostObjective,
    step: StepPictures,
    shape: Sequence[int],
    prompt: Prompt,
    device: torch.device,
    *,
    turn: int = 0,
    seed: int = 0,
    steps: int = 8,
    guidance: float = 1.0,
    nothing: Optional[Prompt] = None,
) -> torch.Tensor:
    """Latents `[people · targets, *shape]` in the poses of a step's targets. The k-th target of everybody starts from
    the same noise. With `turn` n person i is drawn with the tokens of person i − n. `guidance` above 1 pushes away from
    the mean identity and the prompt `nothing`."""
    identity = objective.identity
    tokens = identity(identity.backbone.pixels.prepare(step.photos.to(device)))
    each = len(step.pose) // len(tokens)
    mean = getattr(getattr(identity, "encoder", None), "token_mean", None)
    nobody = tokens.mean(dim=0, keepdim=True) if mean is None else mean[None].to(tokens)
    shown = {True: tokens.roll(turn, dims=0), False: nobody.expand_as(tokens)}
    try:
        view = View.of(step, device)
        seeds = [seed * 1_000_003 + place for _ in range(len(tokens)) for place in range(each)]
        found: torch.Tensor = draw(
            objective.host, shape, prompt, view, seeds, lambda own: objective.show(shown[own], each), steps=steps,
            guidance=guidance, nothing=nothing,
        )  # fmt: skip
        return found
    finally:
        objective.release()
