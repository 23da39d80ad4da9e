"""What is put into a model while identities are attached to it: PyTorch hooks, and nothing else.

The hooks sit on the attention layers, around whatever attention processor a layer has. So processors stay as they are:
an IP-Adapter, a LoRA, fused or sliced attention may come before the identity or after it, and their own switches keep
working. While a layer runs, two more hooks take its query and add to its output:

- UNet: query from `to_q`, LoRA included; the identity's attention is added to the input of `to_out`.
- FLUX: query from `norm_q`, before the rotary embedding; the identity's attention becomes the layer's third result,
  which the block adds to the image tokens after its feed-forward.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

import torch

from . import _layers

if TYPE_CHECKING:
    from ._attachment import Attachment

# By id of the model. A watch is kept alive by its hooks in the model and by nothing else: dropping the model drops both.
_watches: weakref.WeakValueDictionary[int, Watch] = weakref.WeakValueDictionary()
_lock = threading.RLock()


class Pass:
    """One forward pass of a model on one thread."""

    __slots__ = ("timestep", "batch", "latent_size", "context")

    def __init__(self, timestep: Any, batch: int, latent_size: tuple[int, int] | None, context: str | None) -> None:
        self.timestep, self.batch, self.latent_size, self.context = timestep, batch, latent_size, context


class _ThreadState(threading.local):
    def __init__(self) -> None:
        self.current: Pass | None = None
        self.context: str | None = None
        self.query: torch.Tensor | None = None
        self.handles: list[Any] = []


class Watch:
    """The hooks in one model, for all identities that are attached to it."""

    def __init__(self, model: Any) -> None:
        self.model = weakref.ref(model)
        self._unet = _layers.is_unet(model)
        self._attachments: tuple[Attachment, ...] = ()
        self._state = _ThreadState()
        self._handles = [
            model.register_forward_pre_hook(self._begin, with_kwargs=True),
            model.register_forward_hook(self._end, always_call=True),
        ]
        for name, attn in _layers.attention_layers(model).items():
            self._handles += self._watch_layer(name, attn)
        if callable(getattr(model, "cache_context", None)):
            self._listen(model)

    def add(self, attachment: Attachment) -> None:
        self._attachments += (attachment,)

    def remove(self, attachment: Attachment) -> None:
        self._attachments = tuple(other for other in self._attachments if other is not attachment)
        if not self._attachments:
            self._unhook()

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        return self._attachments

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
        """Hears from pipelines with two passes per step which side of guidance a pass is."""
        from contextlib import contextmanager

        original, state = model.cache_context, self._state

        @contextmanager
        def cache_context(name: str, *arguments: Any, **keywords: Any) -> Any:
            before, state.context = state.context, name
            try:
                with original(name, *arguments, **keywords) as value:
                    yield value
            finally:
                state.context = before

        vars(model)["cache_context"] = cache_context

    def _begin(self, model: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        sample = _argument(arguments, keywords, 0, "sample" if self._unet else "hidden_states")
        timestep = _argument(arguments, keywords, 1 if self._unet else 3, "timestep")
        latent_size: tuple[int, int] | None
        if self._unet:
            latent_size = (sample.shape[-2], sample.shape[-1])
        else:
            latent_size = self._packed_size(sample, _argument(arguments, keywords, 4, "img_ids"))
        self._state.current = Pass(timestep, sample.shape[0], latent_size, self._state.context)
        for attachment in self._attachments:
            attachment._begin(self._state.current)

    def _packed_size(self, sample: Any, img_ids: Any) -> tuple[int, int] | None:
        """Height and width of a FLUX picture in tokens, from the tokens' positions."""
        if img_ids is None or not any(attachment.conditioning.has_masks for attachment in self._attachments):
            return None
        ids = img_ids[0] if img_ids.dim() == 3 else img_ids
        height, width = (int(ids[:, axis].max()) + 1 for axis in (1, 2))
        return (height, width) if height * width == sample.shape[1] else None

    def _end(self, model: Any, arguments: Any, result: Any) -> None:
        self._release()

    def _release(self) -> None:
        """Takes the hooks of the layer in progress out and forgets its query."""
        state = self._state
        for handle in state.handles:
            handle.remove()
        state.handles = []
        state.query = None

    def _watch_layer(self, name: str, attn: Any) -> list[Any]:
        state = self._state

        def enter(attn: Any, _: Any) -> None:
            self._release()
            if not any(attachment._wants(name) for attachment in self._attachments):
                return
            thread = threading.get_ident()
            if self._unet:
                state.handles = [
                    attn.to_q.register_forward_hook(lambda _, __, query: take(thread, query)),
                    attn.to_out[0].register_forward_pre_hook(lambda _, inputs: add(thread, inputs)),
                ]
            else:
                state.handles = [attn.norm_q.register_forward_hook(lambda _, __, query: take(thread, query))]

        def take(thread: int, query: torch.Tensor) -> None:
            if threading.get_ident() == thread:
                state.query = query

        def add(thread: int, inputs: tuple[Any, ...]) -> Any:
            if threading.get_ident() != thread or state.query is None:
                return None
            output = inputs[0]
            for attachment in self._attachments:
                output = attachment._add(name, state.query, output)
            return None if output is inputs[0] else (output, *inputs[1:])

        def leave_unet(attn: Any, inputs: Any, result: Any) -> None:
            self._release()

        def leave_flux(attn: Any, inputs: Any, result: Any) -> Any:
            query = state.query
            self._release()
            if query is None or not isinstance(result, tuple):
                return None
            identity = result[2] if len(result) == 3 else torch.zeros_like(result[0])
            query = query.flatten(2)
            for attachment in self._attachments:
                identity = attachment._add(name, query, identity)
            return (*result[:2], identity)

        return [
            attn.register_forward_pre_hook(enter),
            attn.register_forward_hook(leave_unet if self._unet else leave_flux, always_call=True),
        ]


def watch(model: Any) -> Watch:
    """The model's watch, made if it has none."""
    with _lock:
        found = _find(model)
        if found is None:
            found = _watches[id(model)] = Watch(model)
        return found


def _find(model: Any) -> Watch | None:
    found = _watches.get(id(model))
    # An id may be that of a model that is gone.
    return found if found is not None and found.model() is model else None


def watched(model: Any) -> tuple[Attachment, ...]:
    """What is attached to a model."""
    with _lock:
        found = _find(model)
        return () if found is None else found.attachments


def _argument(arguments: tuple[Any, ...], keywords: dict[str, Any], place: int, name: str) -> Any:
    if name in keywords:
        return keywords[name]
    return arguments[place] if len(arguments) > place else None
