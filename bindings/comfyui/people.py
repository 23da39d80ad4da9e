"""People to inject, as nodes pass them on, and applying them to a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from omniid import ConditioningInput, EncoderKind, Engine, Identity, InvalidArgumentError, UnsupportedError, pulid

from . import dit, embeds, host, lora
from .dit_attention import JointInjection
from .frames import Frames
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

METHODS = ["fidelity", "style", "neutral"]
"""PuLID's ways of joining an identity's attention with the layer's output, by the names in its node."""

NEUTRAL = METHODS[-1]

INJECT, SKIP = "inject", "skip, as IPAdapter_plus does"

OWN_RULES, IPADAPTER_PLUS = "OmniID", "like IPAdapter_plus"
"""Whose rules decide what a workflow leaves open: the middle block and the side of the negative prompt."""


@dataclass(frozen=True)
class Person:
    """One person to inject."""

    identity: Identity
    weight: float | Sequence[float] = 1.0
    """Several: one for each picture of the batch."""
    start_at: float = 0.0
    end_at: float = 1.0
    mask: Any = None
    """`[height, width]` or `[pictures, height, width]`: one for all pictures of the batch, or one for each."""
    unconditional: str = "default"
    negative: Identity | None = None
    composition: Identity | None = None


@dataclass(frozen=True)
class Options:
    """Options that few workflows change."""

    embeds_scaling: str = "V only"
    composition_weight: float = 1.0
    """Weight of the composition layers under the types style and composition, times the person's own. So are the
    boosts, so that 1 is as if nothing had been said."""
    style_boost: float = 1.0
    composition_boost: float = 1.0
    layer_weights: dict[int, float] | None = None
    """A factor for each transformer in execution order; those left out get 0. None: 1 for all."""
    middle_block: str = INJECT
    precision: str = "f32"
    rules: str = OWN_RULES
    method: str = NEUTRAL
    """PuLID's."""
    lora_strength: float = 1.0
    """Of the LoRA that belongs to a FaceID model."""


def apply(model: Any, engine: Engine, people: Sequence[Person], weight_type: str, options: Options) -> Any:
    """A clone of a ModelPatcher with the people in it, and with the LoRA of their model if it has one."""
    if dit.is_transformer(model):
        return _apply_transformer(model, engine, people, weight_type, options)
    found = host.places(model)
    host.check(engine, found)
    patched = model.clone()
    lora.put(patched, engine, options.lora_strength)
    factors = (options.composition_weight, options.style_boost, options.composition_boost)
    groups = [list(people)]
    if any(factor != 1 for factor in factors):
        # The library takes these weights for all people together, not relative to each: people of one weight at a time.
        weights = list(dict.fromkeys(_scale(person) for person in people))
        groups = [[person for person in people if _scale(person) == weight] for weight in weights]
    for group in groups:
        _put(patched, model, engine, found, group, weight_type, options)
    return patched


def _apply_transformer(model: Any, engine: Engine, people: Sequence[Person], weight_type: str, options: Options) -> Any:
    """The same for FLUX and SD3.5, which have no composition layers, no middle block and no LoRA of a FaceID model."""
    dit.check(model, engine)
    frames = [_frames(person, options) for person in people]
    in_library = dit.is_sd3(model) or any(layer.hidden for layer in engine.host_layers)
    if in_library and any(frames):
        raise UnsupportedError(
            "weights or masks for each picture of a batch do not work with PuLID-FLUX, WithAnyone and SD3.5; give one "
            "weight and one mask for each person"
        )
    sampling = model.get_model_object("model_sampling")
    inputs = [_input(_seen(person, engine, options), sampling) for person in people]
    scales = None
    if options.layer_weights is not None:
        scales = _scales(options.layer_weights, list(range(engine.info.host_layer_count)))
    keywords: dict[str, Any] = {
        "weight_type": weight_type,
        "embeds_scaling": EMBEDS_SCALING[options.embeds_scaling],
        "precision": options.precision,
        "layer_scales": scales,
        **pulid(options.method),
    }
    patched = model.clone()
    if dit.is_sd3(model):
        if all(item.scale == 0 for item in inputs):
            return patched

        def at(timestep: float) -> Any:
            return engine.condition(inputs, timesteps=[timestep], **keywords)

        dit.put_joint(patched, engine.host_layers, JointInjection(at))
    else:
        dit.put(patched, engine.condition(inputs, progress=reporter(), **keywords), frames)
    return patched


def _put(
    patched: Any,
    model: Any,
    engine: Engine,
    found: list[host.Place],
    people: list[Person],
    weight_type: str,
    options: Options,
) -> None:
    sampling = model.get_model_object("model_sampling")
    keywords: dict[str, Any] = {
        "weight_type": weight_type,
        "embeds_scaling": EMBEDS_SCALING[options.embeds_scaling],
        "precision": options.precision,
        "progress": reporter(),
        **pulid(options.method),
    }
    for name, factor in (
        ("composition_scale", options.composition_weight),
        ("style_boost", options.style_boost),
        ("composition_boost", options.composition_boost),
    ):
        keywords[name] = None if factor == 1 else factor * _scale(people[0])
    inputs = [_input(_seen(person, engine, options), sampling) for person in people]
    conditioning = engine.condition(inputs, **keywords)
    pairs = host.match(conditioning, found)
    if options.layer_weights is not None:
        # The library numbers layers as the adapter does; only now is it known which is which.
        conditioning = engine.condition(inputs, layer_scales=_layer_scales(options.layer_weights, pairs), **keywords)
    injection = Injection(conditioning, [_frames(person, options) for person in people])
    replaced = patched.model_options["transformer_options"].get("patches_replace", {}).get("attn2", {})
    skip_middle = options.middle_block == SKIP or options.rules == IPADAPTER_PLUS
    for place, layer in pairs:
        if place.block == "middle" and skip_middle:
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


def _scale(person: Person) -> float:
    """The weight that the library is told. A schedule's weights are applied to each picture by itself."""
    return 1.0 if isinstance(person.weight, Sequence) else float(person.weight)


def _frames(person: Person, options: Options) -> Frames | None:
    """What differs from picture to picture; None if nothing does."""
    weights = tuple(float(weight) for weight in person.weight) if isinstance(person.weight, Sequence) else None
    if weights is not None and not weights:
        raise InvalidArgumentError("the schedule of weights is empty; it needs a weight for at least one picture")
    if weights is not None and options.embeds_scaling != "V only":
        raise InvalidArgumentError(
            f"embeds scaling {options.embeds_scaling!r} puts one weight into the keys of all pictures; a schedule of "
            "weights needs 'V only'"
        )
    masks = person.mask if person.mask is not None and person.mask.dim() == 3 and len(person.mask) > 1 else None
    return None if weights is None and masks is None else Frames(weights, masks)


def _seen(person: Person, engine: Engine, options: Options) -> Person:
    """The person, with the pictures that unconditional rows see made by ComfyUI's CLIP vision model where that sees the
    photos."""
    person = replace(person, unconditional=_unconditional(person, engine, options))
    clip_vision = embeds.clip_vision_of(engine)
    black = person.unconditional == "black image"
    by_default = [] if embeds.takes_embedding(engine) else ["default"]
    mean = person.unconditional in ["zero pixels", *by_default]
    if clip_vision is None or person.negative is not None or not (black or mean):
        return person
    return replace(person, negative=embeds.of_one_colour(engine, clip_vision, black))


def _unconditional(person: Person, engine: Engine, options: Options) -> str:
    """IPAdapter_plus encodes a black picture for the side of the negative prompt where the checkpoint's own code takes
    one of the mean colour."""
    takes_pictures = engine.info.encoder in (EncoderKind.RESAMPLER, EncoderKind.FULL_FACE)
    if options.rules == IPADAPTER_PLUS and person.unconditional == "default" and takes_pictures:
        return "black image"
    return person.unconditional


def _input(person: Person, sampling: Any) -> ConditioningInput:
    if not person.start_at < person.end_at:
        raise InvalidArgumentError(f"start_at {person.start_at} must be less than end_at {person.end_at}")
    sigma = None
    if person.start_at > 0 or person.end_at < 1:
        sigma = (float(sampling.percent_to_sigma(person.start_at)), float(sampling.percent_to_sigma(person.end_at)))
    return ConditioningInput(
        person.identity,
        scale=_scale(person),
        mask=_mask(person.mask),
        sigma=sigma,
        unconditional=person.unconditional,
        negative=person.negative,
        composition=person.composition,
    )


def _mask(mask: Any) -> Any:
    """A ComfyUI mask `[height, width]` or `[1, height, width]` as the library takes it; None for a mask for each
    picture."""
    if mask is None or (mask.dim() == 3 and mask.shape[0] > 1):
        return None
    if mask.dim() not in (2, 3):
        raise InvalidArgumentError(f"the mask has the shape {list(mask.shape)}; it must be [pictures, height, width]")
    return mask.reshape(mask.shape[-2:])


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
    """One factor for each of the adapter's layers of a UNet."""
    transformers = [0] * len(pairs)
    for place, layer in pairs:
        transformers[layer] = place.transformer
    return _scales(factors, transformers)


def _scales(factors: dict[int, float], transformers: list[int]) -> list[float]:
    """One factor for each of the adapter's layers, from the number of the transformer that it is in."""
    count = max(transformers) + 1
    unknown = sorted(set(factors) - set(range(count)))
    if unknown:
        raise InvalidArgumentError(
            f"layer weights: there is no transformer {unknown[0]}; the model has {count}, 0 to {count - 1}"
        )
    return [factors.get(number, 0.0) for number in transformers]
