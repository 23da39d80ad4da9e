"""What is put into a model while identities are attached to it: PyTorch hooks, and nothing else.

The hooks sit on the attention layers, around whatever attention processor a layer has. So processors stay as they are:
an IP-Adapter, a LoRA, fused or sliced attention may come before the identity or after it, and their own switches keep
working. While a layer runs, two more hooks capture its query and add to its output:

- UNet: query from `to_q`, LoRA included; the identity's attention is added to the input of `to_out`.
- FLUX: query from `norm_q`, before the rotary embedding. XLabs: the identity's attention becomes the layer's third
  result, which the block adds to the image tokens after its feed-forward. InstantX: it is added to the input of
  `to_out` in double blocks, and to the attention's result, which `proj_out` follows, in single blocks.
- FLUX, PuLID and WithAnyone: a hook behind a block adds to the image's hidden state.
- SD3.5: query, keys and values of the image from `to_q`, `to_k` and `to_v`, before their norms; the identity's
  attention is added to the input of `to_out`. InstantX' adapter takes all three; others the query, after its norm.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import torch

from . import _layers
from ._sampling import Timestep

# By id of the model. A watch is kept alive by its hooks in the model and by nothing else: dropping the model drops
# both.
_watches: weakref.WeakValueDictionary[int, Watch] = weakref.WeakValueDictionary()
_lock = threading.RLock()


class Pass(NamedTuple):
    """One forward pass of a model on one thread."""

    timestep: Timestep
    batch: int
    latent_size: tuple[int, int] | None
    context: str | None
    """What the pipeline has called this pass with `cache_context`."""
    conditional: bool = False
    """Whether all rows are conditional, whatever the pipeline's guidance: SD3's pass with layers left out."""


ImagePair = tuple[torch.Tensor, torch.Tensor]
"""What a layer of SD3 makes of the image: keys and values, `[batch, rows, width]` each."""


class Watcher(Protocol):
    """What is attached to a model, as the hooks see it."""

    @property
    def needs_latent_size(self) -> bool:
        """Whether the size of the latent picture matters to it."""

    def begin(self, now: Pass) -> None:
        """A forward pass of the model begins."""

    @property
    def before_projection(self) -> bool:
        """Whether, in double blocks of FLUX, it adds to the attention before its output projection."""

    def wants(self, name: str) -> bool:
        """Whether it adds to the layer or behind the block of that name."""

    def add(self, name: str, query: torch.Tensor, output: torch.Tensor, image: ImagePair | None = None) -> torch.Tensor:
        """Adds to the output of a layer: to `output` itself, or to a copy that is returned. `image` is there in SD3."""

    def add_hidden(self, name: str, hidden: torch.Tensor) -> torch.Tensor:
        """Adds to the image's hidden state behind a block: to `hidden` itself, or to a copy that is returned."""


class _ThreadState(threading.local):
    def __init__(self) -> None:
        self.current: Pass | None = None
        self.context: str | None = None
        self.query: torch.Tensor | None = None
        self.projected: dict[str, torch.Tensor] = {}
        self.handles: list[Any] = []


class Watch:
    """The hooks in one model, for everything that is attached to it."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = weakref.ref(model)
        self._unet = _layers.is_unet(model)
        self._watchers: tuple[Watcher, ...] = ()
        self._state = _ThreadState()
        self._handles = [
            model.register_forward_pre_hook(self._begin, with_kwargs=True),
            model.register_forward_hook(self._end, always_call=True),
        ]
        self._sd3 = _layers.is_sd3(model)
        watch_layer = self._watch_joint if self._sd3 else self._watch_layer
        for name, attn in _layers.attention_layers(model).items():
            self._handles += watch_layer(name, attn)
        if not self._unet and not self._sd3:
            for name, attn in _layers.single_layers(model).items():
                self._handles += self._watch_single(name, attn)
            for name, block in _layers.blocks(model).items():
                self._handles.append(self._watch_block(name, block))
        if callable(getattr(model, "cache_context", None)):
            self._listen(model)

    def add(self, watcher: Watcher) -> None:
        self._watchers += (watcher,)

    def remove(self, watcher: Watcher) -> None:
        self._watchers = tuple(other for other in self._watchers if other is not watcher)
        if not self._watchers:
            self._unhook()

    @property
    def watchers(self) -> tuple[Watcher, ...]:
        return self._watchers

    def _unhook(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        model = self.model()
        if model is not None:
            vars(model).pop("cache_context", None)
            with _lock:
                _watches.pop(id(model), None)

    def _listen(self, model: Any) -> None:
        """Learns from pipelines with two passes per step which side of guidance a pass is."""
        original, state = model.cache_context, self._state

        @contextmanager
        def cache_context(name: str, *arguments: object, **keywords: object) -> Iterator[object]:
            before, state.context = state.context, name
            try:
                with original(name, *arguments, **keywords) as value:
                    yield value
            finally:
                state.context = before

        vars(model)["cache_context"] = cache_context

    def _begin(self, model: torch.nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        sample = _argument(arguments, keywords, 0, "sample" if self._unet else "hidden_states")
        timestep = _argument(arguments, keywords, 1 if self._unet else 3, "timestep")
        latent_size: tuple[int, int] | None
        if self._unet:
            latent_size = (sample.shape[-2], sample.shape[-1])
        elif self._sd3:
            patch = int(getattr(model.config, "patch_size", 2))
            latent_size = (sample.shape[-2] // patch, sample.shape[-1] // patch)
        else:
            latent_size = self._packed_size(sample, _argument(arguments, keywords, 4, "img_ids"))
        leaves_out = keywords.get("skip_layers") is not None
        self._state.current = Pass(timestep, sample.shape[0], latent_size, self._state.context, leaves_out)
        for watcher in self._watchers:
            watcher.begin(self._state.current)

    def _packed_size(self, sample: Any, img_ids: Any) -> tuple[int, int] | None:
        """Height and width of a FLUX picture in tokens, from the tokens' positions."""
        if img_ids is None or not any(watcher.needs_latent_size for watcher in self._watchers):
            return None
        ids = img_ids[0] if img_ids.dim() == 3 else img_ids
        height, width = (int(ids[:, axis].max()) + 1 for axis in (1, 2))
        return (height, width) if height * width == sample.shape[1] else None

    def _end(self, model: torch.nn.Module, arguments: object, result: object) -> None:
        self._release()

    def _release(self) -> None:
        """Removes the hooks of the layer in progress and forgets its query."""
        state = self._state
        for handle in state.handles:
            handle.remove()
        state.handles = []
        state.query = None
        state.projected = {}

    def _watch_layer(self, name: str, attn: Any) -> list[Any]:
        state = self._state

        def enter(attn: Any, _: object) -> None:
            self._release()
            if not any(watcher.wants(name) for watcher in self._watchers):
                return
            thread = threading.get_ident()
            if self._unet:
                state.handles = [
                    attn.to_q.register_forward_hook(lambda _, __, query: take(thread, query)),
                    attn.to_out[0].register_forward_pre_hook(lambda _, inputs: add(thread, inputs)),
                ]
            else:
                state.handles = [
                    attn.norm_q.register_forward_hook(lambda _, __, query: take(thread, query.flatten(2))),
                    attn.to_out[0].register_forward_pre_hook(lambda _, inputs: add(thread, inputs)),
                ]

        def take(thread: int, query: torch.Tensor) -> None:
            if threading.get_ident() == thread:
                state.query = query

        def add(thread: int, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
            if threading.get_ident() != thread or state.query is None:
                return None
            output = inputs[0]
            for watcher in self._watchers:
                if self._unet or watcher.before_projection:
                    output = watcher.add(name, state.query, output)
            return None if output is inputs[0] else (output, *inputs[1:])

        def leave_unet(attn: object, inputs: object, result: object) -> None:
            self._release()

        def leave_flux(attn: object, inputs: object, result: Any) -> tuple[torch.Tensor, ...] | None:
            query = state.query
            self._release()
            later = [watcher for watcher in self._watchers if not watcher.before_projection and watcher.wants(name)]
            if query is None or not later or not isinstance(result, tuple):
                return None
            identity = result[2] if len(result) == 3 else torch.zeros_like(result[0])
            for watcher in later:
                identity = watcher.add(name, query, identity)
            return (*result[:2], identity)

        return [
            attn.register_forward_pre_hook(enter),
            attn.register_forward_hook(leave_unet if self._unet else leave_flux, always_call=True),
        ]

    def _watch_joint(self, name: str, attn: Any) -> list[Any]:
        """The attention of an SD3 block: the identity's attention sees the image's keys and values, too."""
        state = self._state

        def enter(attn: Any, _: object) -> None:
            self._release()
            if not any(watcher.wants(name) for watcher in self._watchers):
                return
            thread = threading.get_ident()

            def take(part: str) -> Any:
                def hook(_: object, __: object, projected: torch.Tensor) -> None:
                    # The first call is the image's; an IP-Adapter of diffusers does not call them again.
                    if threading.get_ident() == thread:
                        state.projected.setdefault(part, projected)

                return hook

            fused = getattr(attn, "fused_projections", False)
            parts = ("to_qkv",) if fused else ("to_q", "to_k", "to_v")
            state.handles = [getattr(attn, part).register_forward_hook(take(part)) for part in parts]
            state.handles.append(attn.to_out[0].register_forward_pre_hook(lambda _, inputs: add(thread, inputs)))

        def add(thread: int, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
            if threading.get_ident() != thread or not state.projected:
                return None
            parts = tuple(state.projected.values())
            query, keys, values = parts if len(parts) == 3 else parts[0].chunk(3, dim=-1)
            output = inputs[0]
            for watcher in self._watchers:
                output = watcher.add(name, query, output, (keys, values))
            return None if output is inputs[0] else (output, *inputs[1:])

        def leave(attn: object, inputs: object, result: object) -> None:
            self._release()

        return [attn.register_forward_pre_hook(enter), attn.register_forward_hook(leave, always_call=True)]

    def _watch_single(self, name: str, attn: Any) -> list[Any]:
        """A single block's attention: its result is the whole sequence of text and image tokens."""
        state = self._state

        def enter(attn: Any, _: object) -> None:
            self._release()
            if any(watcher.wants(name) for watcher in self._watchers):
                thread = threading.get_ident()
                state.handles = [attn.norm_q.register_forward_hook(lambda _, __, query: take(thread, query))]

        def take(thread: int, query: torch.Tensor) -> None:
            if threading.get_ident() == thread:
                state.query = query.flatten(2)

        def leave(attn: object, inputs: object, result: Any) -> torch.Tensor | None:
            query = state.query
            self._release()
            if query is None or not isinstance(result, torch.Tensor):
                return None
            output = result
            for watcher in self._watchers:
                output = watcher.add(name, query, output)
            return output

        return [attn.register_forward_pre_hook(enter), attn.register_forward_hook(leave, always_call=True)]

    def _watch_block(self, name: str, block: Any) -> Any:
        """A block's results are the hidden states of text and image."""

        def leave(block: object, inputs: object, result: Any) -> tuple[torch.Tensor, torch.Tensor] | None:
            if not any(watcher.wants(name) for watcher in self._watchers):
                return None
            text, image = result
            for watcher in self._watchers:
                image = watcher.add_hidden(name, image)
            return text, image

        return block.register_forward_hook(leave)


def watch(model: torch.nn.Module) -> Watch:
    """The watch of a model, which is made if it has none."""
    with _lock:
        found = _find(model)
        if found is None:
            found = _watches[id(model)] = Watch(model)
        return found


def _find(model: torch.nn.Module) -> Watch | None:
    found = _watches.get(id(model))
    # An id may be that of a model that is gone.
    return found if found is not None and found.model() is model else None


def watchers(model: torch.nn.Module) -> tuple[Watcher, ...]:
    """What is attached to a model."""
    with _lock:
        found = _find(model)
        return () if found is None else found.watchers


def _argument(arguments: tuple[Any, ...], keywords: dict[str, Any], place: int, name: str) -> Any:
    if name in keywords:
        return keywords[name]
    return arguments[place] if len(arguments) > place else None
