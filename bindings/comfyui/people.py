"""People to inject, as nodes pass them on, and applying them to a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from omniid import ConditioningInput, Engine, Identity, InvalidArgumentError

from . import host
from .hook import AttentionHook, Injection
from .progress import reporter

WEIGHT_TYPES = [
    "linear",
    "ease in",
    "ease out",
    "ease in-out",
    "reverse in-out",
    "weak input",
    "weak output",
    "weak middle",
    "strong middle",
    "style transfer",
    "composition",
    "strong style transfer",
    "style and composition",
    "strong style and composition",
    "style transfer precise",
    "composition precise",
]
"""The names that IPAdapter_plus has given them."""

EMBEDS_SCALING = {
    "V only": "values",
    "K+V": "keys_and_values",
    "K+V w/ C penalty": "keys_and_values_penalty",
    "K+mean(V) w/ C penalty": "keys_and_mean_values_penalty",
}

UNCONDITIONAL = [
    "default",
    "none",
    "zero embedding",
    "zero pixels",
    "black image",
    "zero features",
    "zero tokens",
    "mean tokens",
]

INJECT, SKIP = "inject", "skip, as IPAdapter_plus does"


@dataclass(frozen=True)
class Person:
    """One person to inject."""

    identity: Identity
    weight: float = 1.0
    start_at: float = 0.0
    end_at: float = 1.0
    mask: Any = None
    unconditional: str = "default"
    negative: Identity | None = None
    composition: Identity | None = None


@dataclass(frozen=True)
class Options:
    """Options that few workflows change."""

    embeds_scaling: str = "V only"
    composition_weight: float | None = None
    style_boost: float | None = None
    composition_boost: float | None = None
    layer_weights: dict[int, float] | None = None
    """A factor for each transformer in execution order; those left out get 0. None: 1 for all."""
    middle_block: str = INJECT
    precision: str = "f32"


def apply(model: Any, engine: Engine, people: Sequence[Person], weight_type: str, options: Options) -> Any:
    """A clone of a ModelPatcher with the people in it."""
    found = host.places(model)
    host.check(engine, found)
    patched = model.clone()
    sampling = model.get_model_object("model_sampling")
    keywords: dict[str, Any] = {
        "weight_type": weight_type,
        "embeds_scaling": EMBEDS_SCALING[options.embeds_scaling],
        "precision": options.precision,
        "composition_scale": options.composition_weight,
        "style_boost": options.style_boost,
        "composition_boost": options.composition_boost,
        "progress": reporter(),
    }
    inputs = [_input(person, sampling) for person in people]
    conditioning = engine.condition(inputs, **keywords)
    pairs = host.match(conditioning, found)
    if options.layer_weights is not None:
        # The library numbers layers as the adapter does; only now is it known which is which.
        conditioning = engine.condition(inputs, layer_scales=_layer_scales(options.layer_weights, pairs), **keywords)
    injection = Injection(conditioning)
    replaced = patched.model_options["transformer_options"].get("patches_replace", {}).get("attn2", {})
    for place, layer in pairs:
        if place.block == "middle" and options.middle_block == SKIP:
            continue
        # A layer where nothing is injected stays ComfyUI's own.
        if all(conditioning.factor(layer, i) == 0 for i in range(conditioning.identity_count)):
            continue
        # ComfyUI looks for the key with the index first. A transformer of one block gets the short key, where
        # IPAdapter_plus looks for a replacement to add to.
        short, full = (place.block, place.number), (place.block, place.number, place.index)
        hook = AttentionHook(injection, layer, replaced.get(full, replaced.get(short)))
        index = place.index if place.depth > 1 or full in replaced else None
        patched.set_model_attn2_replace(hook, place.block, place.number, index)
    return patched


def _input(person: Person, sampling: Any) -> ConditioningInput:
    if not person.start_at < person.end_at:
        raise InvalidArgumentError(f"start_at {person.start_at} must be less than end_at {person.end_at}")
    sigma = None
    if person.start_at > 0 or person.end_at < 1:
        sigma = (float(sampling.percent_to_sigma(person.start_at)), float(sampling.percent_to_sigma(person.end_at)))
    return ConditioningInput(
        person.identity,
        scale=person.weight,
        mask=_mask(person.mask),
        sigma=sigma,
        unconditional=person.unconditional,
        negative=person.negative,
        composition=person.composition,
    )


def _mask(mask: Any) -> Any:
    """A ComfyUI mask `[height, width]` or `[1, height, width]`."""
    if mask is None:
        return None
    if mask.dim() == 3 and mask.shape[0] == 1:
        mask = mask[0]
    if mask.dim() != 2:
        raise InvalidArgumentError(f"the mask holds {mask.shape[0]} masks; one for each person is needed")
    return mask


def parse_layer_weights(text: str) -> dict[int, float] | None:
    """`0:1, 4:0.5` as a dictionary; None for an empty text."""
    factors: dict[int, float] = {}
    for part in text.replace("\n", ",").split(","):
        if not part.strip():
            continue
        number, colon, factor = part.partition(":")
        try:
            if not colon or int(number) < 0:
                raise ValueError
            factors[int(number)] = float(factor)
        except ValueError:
            raise InvalidArgumentError(
                f"layer weights: {part.strip()!r} must be the number of a transformer and a factor, such as 3:0.5"
            ) from None
    return factors or None


def _layer_scales(factors: dict[int, float], pairs: list[tuple[host.Place, int]]) -> list[float]:
    """One factor for each of the adapter's layers."""
    count = max(place.transformer for place, _ in pairs) + 1
    unknown = sorted(set(factors) - set(range(count)))
    if unknown:
        raise InvalidArgumentError(
            f"layer weights: there is no transformer {unknown[0]}; the UNet has {count}, 0 to {count - 1}"
        )
    scales = [0.0] * len(pairs)
    for place, layer in pairs:
        scales[layer] = factors.get(place.transformer, 0.0)
    return scales
