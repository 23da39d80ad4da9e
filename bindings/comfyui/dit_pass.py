"""What a pass through a transformer of FLUX or SD3 is about: ComfyUI tells the blocks' replacements little of it, and
earlier versions nothing at all. A wrapper around the whole model remembers it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import torch


class Pass(NamedTuple):
    """One pass, on one thread."""

    options: dict[str, Any]
    """ComfyUI's `transformer_options`."""
    latent: tuple[int, int]
    """Height and width of the latent picture."""
    grid: tuple[int, int]
    """Height and width of the picture in tokens."""

    @property
    def tokens(self) -> int:
        """Tokens of the picture; those of reference pictures follow."""
        return self.grid[0] * self.grid[1]

    def described(self) -> dict[str, Any]:
        """The options, with the size of the latent picture."""
        return {**self.options, "original_shape": (1, 1, *self.latent)}


_now = threading.local()


def remember(executor: Callable[..., Any], x: torch.Tensor, *arguments: Any, **keywords: Any) -> Any:
    """Goes around the application of the model, as ComfyUI's wrappers of the kind APPLY_MODEL do."""
    transformer = getattr(getattr(executor, "class_obj", None), "diffusion_model", None)
    patch = int(getattr(transformer, "patch_size", None) or 2)
    height, width = int(x.shape[-2]), int(x.shape[-1])
    grid = (-(-height // patch), -(-width // patch))
    before = getattr(_now, "value", None)
    _now.value = Pass(_options(arguments, keywords), (height, width), grid)
    try:
        return executor(x, *arguments, **keywords)
    finally:
        _now.value = before


def _options(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> dict[str, Any]:
    """The options among the arguments."""
    named = keywords.get("transformer_options")
    found = (value for value in arguments if isinstance(value, dict) and "patches_replace" in value)
    return named if isinstance(named, dict) else next(found, {})


def current(arguments: dict[str, Any]) -> Pass | None:
    """The pass that a block's replacement is called in, with its arguments; None outside of ComfyUI's wrappers."""
    found: Pass | None = getattr(_now, "value", None)
    options = arguments.get("transformer_options")
    return found._replace(options=options) if found is not None and options else found


def options_of(arguments: dict[str, Any]) -> dict[str, Any]:
    """ComfyUI's `transformer_options`, from a block's arguments or from the pass."""
    now = current(arguments)
    return arguments.get("transformer_options") or ({} if now is None else now.options)
