"""The state of a pipeline's sampling: which rows of a batch are unconditional, and at which step it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable, Optional, Union

import torch

from .. import errors
from .._library import choice
from ..conditioning import Step
from ..enums import Role

Guidance = Union[None, bool, Sequence[Union[Role, str]], Callable[[int], Sequence[Union[Role, str]]]]
"""How the rows of a batch follow the prompt; see `attach`."""

Timestep = Union[torch.Tensor, float]
"""What a model is told about the step: a number, or a tensor of one for each batch row."""


def chunk_roles(
    guidance: Guidance, pipeline: object, context: str | None, batch: int, both_sides: bool
) -> tuple[Role, ...]:
    """The roles of the equal parts that a batch consists of, in order.

    `context` is what the pipeline has called this pass with `cache_context`, if it has. `both_sides`: pipelines put
    both sides of guidance into one batch, as with UNets and SD3.
    """
    if callable(guidance):
        guidance = guidance(batch)
    if guidance is None:
        if not both_sides:
            # FLUX transformers see one side of guidance at a time; pipelines that have both say which.
            return (Role.UNCONDITIONAL if context == "uncond" else Role.CONDITIONAL,)
        if pipeline is None:
            raise errors.InvalidArgumentError(
                "whether the batch holds unconditional rows cannot be seen from a model alone: attach to the pipeline, "
                "or pass guidance=True (unconditional rows first, as in diffusers) or guidance=False"
            )
        conditional = 1
        if getattr(pipeline, "do_perturbed_attention_guidance", False):
            conditional = 2
        guided = bool(getattr(pipeline, "do_classifier_free_guidance", False))
        return (Role.UNCONDITIONAL,) * guided + (Role.CONDITIONAL,) * conditional
    if isinstance(guidance, bool):
        return (Role.UNCONDITIONAL, Role.CONDITIONAL) if guidance else (Role.CONDITIONAL,)
    return tuple(choice(Role, role, "guidance") for role in guidance)


def row_roles(chunks: tuple[Role, ...], rows: int) -> tuple[Role, ...]:
    """One role for each row of a batch that consists of equal parts."""
    if not chunks or rows % len(chunks):
        raise errors.MismatchError(f"a batch of {rows} rows cannot consist of {len(chunks)} equal parts of guidance")
    each = rows // len(chunks)
    return tuple(role for role in chunks for _ in range(each))


def number_of(timestep: Timestep) -> float:
    """The step that a batch is at, from what its model is told."""
    return float(timestep.flatten()[0]) if isinstance(timestep, torch.Tensor) else float(timestep)


def pipeline_step(pipeline: object, timestep: Timestep) -> Optional[Step]:
    """The step that a pipeline's scheduler is at; None if it cannot be known."""
    scheduler = getattr(pipeline, "scheduler", None)
    timesteps = getattr(scheduler, "timesteps", None)
    if timesteps is None or len(timesteps) == 0:
        return None
    index = _index(scheduler, timesteps, float(timestep))
    if index is None:
        return None
    count = len(timesteps)
    fraction = index / (count - 1) if count > 1 else 0.0
    return Step(fraction=min(fraction, 1.0), sigma=_sigma(scheduler, timesteps, index))


def _index(scheduler: Any, timesteps: Any, timestep: float) -> int | None:
    index = getattr(scheduler, "step_index", None)
    if index is None:
        index = getattr(scheduler, "begin_index", None)
    if index is not None:
        return int(index)
    # A transformer of the FLUX kind is told the timestep as a share of the training steps.
    for scale in (1.0, float(scheduler.config.get("num_train_timesteps", 1000))):
        near = abs(timesteps.double().cpu() - timestep * scale)
        if float(near.min()) <= 1e-3 * max(1.0, abs(timestep * scale)):
            return int(near.argmin())
    return None


def _sigma(scheduler: Any, timesteps: Any, index: int) -> float | None:
    sigmas = getattr(scheduler, "sigmas", None)
    if sigmas is not None and index < len(sigmas):
        return float(sigmas[index])
    products = getattr(scheduler, "alphas_cumprod", None)
    timestep = int(timesteps[index])
    if products is None or not 0 <= timestep < len(products):
        return None
    product = float(products[timestep])
    return float(((1.0 - product) / product) ** 0.5)
