"""What is put into ComfyUI's `transformer_options["patches_replace"]["attn2"]`: the attention to the text, and the
identities'.

ComfyUI calls the hook with the projected queries, keys and values of a cross-attention layer, and projects the result.
It calls `to` when it loads or unloads the model, and copies its dictionaries when a model is cloned; hooks do not
change, so clones may share them.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Sequence
from typing import Any, Callable

import torch
from comfy.ldm.modules import attention as comfy_attention
from omniid import Conditioning, MismatchError, Role, Step
from omniid.torch_attention import KeyStore

from .frames import Frames, picture_numbers
from .watch import KEY as WATCH
from .watch import Watch

Function = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, dict[str, Any]], torch.Tensor]

_ALWAYS = 999999999.9
"""The noise level that stands for the beginning in ComfyUI; for calls without a noise level."""


class Injection:
    """One conditioning in one model: what the hooks of all layers share."""

    def __init__(self, conditioning: Conditioning, frames: Sequence[Frames | None] = ()) -> None:
        """`frames`: for each identity, what differs from picture to picture of the batch."""
        self.conditioning = conditioning
        self.frames = frames if any(frames) else ()
        self.store = KeyStore(conditioning)
        self._sigmas: Any = None
        self._step: Step | None = None

    def add(
        self,
        layer: int,
        query: torch.Tensor,
        output: torch.Tensor,
        own: bool,
        options: dict[str, Any],
        grid: tuple[int, int] | None = None,
    ) -> torch.Tensor:
        """Adds the identities' attention to a layer's output: to `output` itself, or to a copy that is returned.

        `own`: nothing else uses `output`, so that it may be overwritten. `grid`: height and width of the picture in
        tokens, where it does not follow from the latent picture's as in a UNet.
        """
        roles = batch_roles(options.get("cond_or_uncond"), query.shape[0])
        step = self._now(options) if self.conditioning.has_step_ranges else None
        size = grid or _latent_size(options)
        watch = options.get(WATCH)
        if self.frames or isinstance(watch, Watch):
            return self._one_by_one(layer, query, output, roles, step, size, options)
        same = output.dtype == query.dtype and output.shape == query.shape
        if same and self.store.can_inject(query, output):
            output = output if own else output.clone()
            self.conditioning.inject(layer, query, output, roles=roles, step=step, latent_size=size)
            return output
        delta = self.store.delta(layer, query, roles, 1.0, step, size, output)
        return output if delta is None else output + delta.to(output.dtype)

    def _one_by_one(
        self,
        layer: int,
        query: torch.Tensor,
        output: torch.Tensor,
        roles: tuple[Role, ...],
        step: Step | None,
        size: tuple[int, int] | None,
        options: dict[str, Any],
    ) -> torch.Tensor:
        """The same, with what differs from picture to picture, and notes the share of each identity."""
        watch = options.get(WATCH)
        if isinstance(watch, Watch):
            watch.begin(first_sigma(options))
        total = output

        def weigh(identity: int, part: torch.Tensor) -> torch.Tensor:
            frames = self.frames[identity] if self.frames else None
            if frames is None:
                return part
            return part * frames.factors(picture_numbers(query.shape[0], options), query.shape[1], size, part)

        for identity, part in self.store.contributions(layer, query, roles, 1.0, step, size, output, weigh):
            if isinstance(watch, Watch):
                watch.note(self, identity, output, part, roles, _latent_size(options))
            total = total + part.to(output.dtype)
        return total

    def move(self, device: torch.device) -> None:
        """ComfyUI has loaded the model to a device, or unloaded it: copies on other devices are no longer needed."""
        self.store.release_other(device)

    def _now(self, options: dict[str, Any]) -> Step:
        """The step. All layers of a pass get the same tensor. Reading it from a GPU waits, so it is read once."""
        sigmas = options.get("sigmas")
        if self._step is None or sigmas is None or sigmas is not self._sigmas:
            self._sigmas, self._step = sigmas, Step(sigma=first_sigma(options))
        return self._step


class AttentionHook:
    """The replacement of one cross-attention layer.

    `previous` is the replacement of another node; without it ComfyUI's own attention to the text comes first.
    """

    def __init__(self, injection: Injection, layer: int, previous: Function | None) -> None:
        self.injection = injection
        self.layer = layer
        self.previous = previous
        self._added: list[tuple[Callable[..., torch.Tensor], dict[str, Any]]] = []

    def __call__(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, options: dict[str, Any]
    ) -> torch.Tensor:
        attention = text_attention if self.previous is None else self.previous
        output = attention(query, key, value, options)
        output = self.injection.add(self.layer, query, output, self.previous is None, options)
        if self._added:
            sigma = first_sigma(options)
            for callback, settings in self._added:
                if settings.get("sigma_end", 0.0) <= sigma <= settings.get("sigma_start", _ALWAYS):
                    output = output + callback(output, query, key, value, options, **settings)
            output = output.to(query.dtype)
        return output

    def add(self, callback: Callable[..., torch.Tensor], **settings: Any) -> None:
        """The method by which IPAdapter_plus adds its attention to an existing replacement."""
        self._added.append((callback, settings))

    def to(self, target: Any) -> AttentionHook:
        """ComfyUI calls this with a device when it loads or unloads the model, and with a number type."""
        if isinstance(target, (str, torch.device)):
            self.injection.move(torch.device(target))
        previous: Any = self.previous
        if hasattr(previous, "to"):
            self.previous = previous.to(target)
        return self

    def models(self) -> list[Any]:
        """Models that ComfyUI has to load for this hook: those of the previous replacement."""
        previous: Any = self.previous
        return list(previous.models()) if hasattr(previous, "models") else []

    def __deepcopy__(self, memo: dict[int, Any]) -> AttentionHook:
        other = AttentionHook(self.injection, self.layer, copy.deepcopy(self.previous, memo))
        other._added = list(self._added)
        return other


def text_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, options: dict[str, Any]
) -> torch.Tensor:
    """What ComfyUI computes where no node has replaced the layer: `[batch, rows, width]`."""
    function = comfy_attention.optimized_attention
    keywords = {"attn_precision": options.get("attn_precision"), "transformer_options": options}
    keywords = {name: setting for name, setting in keywords.items() if _accepts(function, name)}
    return function(query, key, value, options["n_heads"], **keywords)


@functools.lru_cache(maxsize=64)
def _accepts(function: Callable[..., Any], name: str) -> bool:
    """Whether a function takes an argument: older versions of ComfyUI's attention lack some."""
    known = inspect.signature(function).parameters
    return name in known or any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())


def batch_roles(chunks: Any, rows: int) -> tuple[Role, ...]:
    """The side of guidance of each batch row. `chunks` is ComfyUI's `cond_or_uncond`: one number for each of the equal
    parts of the batch, 0 where it follows the prompt, in any order and of any length."""
    chunks = [0] if chunks is None else list(chunks)
    if not chunks or rows % len(chunks):
        raise MismatchError(f"a batch of {rows} rows cannot consist of {len(chunks)} equal parts: {chunks}")
    return tuple(
        Role.CONDITIONAL if chunk == 0 else Role.UNCONDITIONAL for chunk in chunks for _ in range(rows // len(chunks))
    )


def _latent_size(options: dict[str, Any]) -> tuple[int, int] | None:
    shape = options.get("original_shape")
    return None if shape is None else (int(shape[-2]), int(shape[-1]))


def first_sigma(options: dict[str, Any]) -> float:
    sigmas = options.get("sigmas")
    return _ALWAYS if sigmas is None else float(sigmas.detach().flatten()[0])
