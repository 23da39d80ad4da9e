"""Photos' features, which IPAdapter_plus calls embeds: combining them, and making them with ComfyUI's own CLIP vision
model.

Features are `[photos, tokens, width]`; those of models that take an image embedding are `[photos, width]` in nodes, as
IPAdapter_plus has them.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import torch
from comfy import clip_vision as comfy_clip_vision
from comfy import model_management
from omniid import EncoderKind, Engine, Identity, InvalidArgumentError, MismatchError

METHODS = ["concat", "average", "norm average", "add", "subtract", "max", "min"]

COMBINE = {method: method.replace(" ", "_") for method in METHODS} | {"concat": "concatenate"}
"""What the library calls them."""

_clip_vision: weakref.WeakKeyDictionary[Engine, Any] = weakref.WeakKeyDictionary()
_of_one_colour: weakref.WeakKeyDictionary[Engine, dict[bool, Identity]] = weakref.WeakKeyDictionary()
"""What `of_one_colour` has made: each costs a pass through the image encoder."""


def use_clip_vision(engine: Engine, clip_vision: Any) -> None:
    """Photos of this engine are seen by ComfyUI's CLIP vision model from now on; None: by the engine's own."""
    if clip_vision is not _clip_vision.get(engine):
        _of_one_colour.pop(engine, None)
    if clip_vision is None:
        _clip_vision.pop(engine, None)
    else:
        _clip_vision[engine] = clip_vision


def clip_vision_of(engine: Engine) -> Any:
    """ComfyUI's CLIP vision model that sees the photos of this engine, if one does."""
    return _clip_vision.get(engine)


def reads_faces(engine: Engine) -> bool:
    """Whether the engine's model reads face embeddings; what several photos are combined by, then."""
    return engine.info.face_dimension > 0


def takes_embedding(engine: Engine) -> bool:
    """Whether a photo is one image embedding for the engine, not hidden states."""
    return engine.info.encoder in (EncoderKind.PROJECTION, EncoderKind.INSTANT_X_FLUX)


def by_clip_vision(engine: Engine, clip_vision: Any, images: torch.Tensor) -> torch.Tensor:
    """The features of ComfyUI images `[photos, height, width, 3]`, one after the other, so that Cancel is heard."""
    features = []
    for image in images:
        model_management.throw_exception_if_processing_interrupted()
        size = clip_vision.image_size
        pixels = comfy_clip_vision.clip_preprocess(
            image[None, :, :, :3].to(clip_vision.load_device),
            size=size,
            mean=clip_vision.image_mean,
            std=clip_vision.image_std,
            crop=True,
        )
        features.append(_output(engine, clip_vision, pixels))
    return torch.cat(features)


def of_one_colour(engine: Engine, clip_vision: Any, black: bool) -> Identity:
    """The identity of a black picture, or of one whose values are zero after normalisation: the mean colour."""
    known = _of_one_colour.setdefault(engine, {})
    if black not in known:
        size = clip_vision.image_size
        if black:
            features = by_clip_vision(engine, clip_vision, torch.zeros(1, size, size, 3))
        else:
            features = _output(engine, clip_vision, torch.zeros(1, 3, size, size, device=clip_vision.load_device))
        known[black] = identity(engine, features)
    return known[black]


def _output(engine: Engine, clip_vision: Any, pixels: torch.Tensor) -> torch.Tensor:
    model_management.load_model_gpu(clip_vision.patcher)
    output = clip_vision.model(pixel_values=pixels.float(), intermediate_output=-2)
    return (output[2] if takes_embedding(engine) else output[1]).float().cpu()


def identity(engine: Engine, features: torch.Tensor, label: str = "") -> Identity:
    """The identity of features as nodes have them."""
    tokens = features[:, None] if features.dim() == 2 else features
    try:
        return engine.identity_from_features(tokens.detach().float().cpu().contiguous(), label=label)
    except MismatchError as error:
        raise MismatchError(
            f"{error}. Embeds and CLIP vision must be of the image encoder that was chosen in Load Model"
        ) from None


def combine(features: torch.Tensor, method: str) -> torch.Tensor:
    """Features of several photos as those of one, `[1, ...]`; "concat" keeps them apart.

    The methods and their names are those of IPAdapter_plus: "subtract" takes the mean of the others from the first,
    "norm average" divides each number by its length over the photos before it takes the mean.
    """
    if method == "concat" or len(features) == 1:
        return features
    if method == "add":
        return features.sum(dim=0, keepdim=True)
    if method == "subtract":
        return features[:1] - features[1:].mean(dim=0, keepdim=True)
    if method == "average":
        return features.mean(dim=0, keepdim=True)
    if method == "norm average":
        return (features / features.norm(dim=0, keepdim=True).clamp_min(1e-12)).mean(dim=0, keepdim=True)
    if method in ("max", "min"):
        return getattr(features, f"a{method}")(dim=0, keepdim=True)
    raise InvalidArgumentError(f"method is {method!r}; it must be one of {', '.join(METHODS)}")


def weighted(features: torch.Tensor, weights: Sequence[float]) -> torch.Tensor:
    """Each photo's features times its weight; one weight serves for all."""
    if len(weights) not in (1, len(features)):
        raise InvalidArgumentError(
            f"{len(weights)} weights for {len(features)} photos that could be used; give one for each, or one for all"
        )
    return features * torch.tensor(list(weights)).reshape(-1, *[1] * (features.dim() - 1))


def parse_weights(text: str) -> list[float]:
    """`1, 0.5` as a list; 1 for an empty text."""
    try:
        return [float(part) for part in text.replace("\n", ",").split(",") if part.strip()] or [1.0]
    except ValueError:
        raise InvalidArgumentError(
            f"photo weights: {text!r} must be numbers with commas between, such as 1, 0.5"
        ) from None
