"""People in the attention of FLUX and SD3.5, put into ComfyUI's `transformer_options["patches_replace"]["dit"]`.

ComfyUI calls the replacement of a block with the block's inputs and the block itself, and does not show its query. So
the replacement puts hooks into the block's own modules while it runs, which catch the query and add to the attention:

- FLUX: the query from `img_attn.norm` or `norm`, before the rotary embedding. XLabs: the identity's attention is added
  to the image behind a double block. InstantX: it is added before `img_attn.proj` in double blocks, and to the
  attention's part of what `linear2` reads in single blocks.
- SD3.5: query, keys and values from `x_block.attn.qkv`, before their norms; added before `x_block.attn.proj`.

A block that another node skips has no query; then nothing is added.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from omniid import Conditioning, Step, UnsupportedError

from .dit_pass import Pass, current
from .hook import Injection, batch_roles, first_sigma
from .watch import KEY as WATCH
from .watch import Watch


class Injections(threading.local):
    """What the hooks of one conditioning share, on each thread by itself."""

    def __init__(self, injection: Injection, before_projection: bool) -> None:
        self.injection, self.before_projection = injection, before_projection
        self.positional = injection.conditioning.has_masks or any(f and f.masks is not None for f in injection.frames)
        self.text_tokens = 0


class _Hooked:
    """Hooks in modules, for as long as a block runs on this thread."""

    def __init__(self) -> None:
        self._stack, self._thread = ExitStack(), threading.get_ident()

    def __enter__(self) -> _Hooked:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def after(self, module: torch.nn.Module, take: Callable[[Any], None]) -> None:
        """`take` sees what a module gives."""

        def hook(_: object, __: object, output: Any) -> None:
            if threading.get_ident() == self._thread:
                take(output)

        self._stack.callback(module.register_forward_hook(hook).remove)

    def before(self, module: torch.nn.Module, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """`change` gives what a module reads instead of its input."""

        def hook(_: object, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
            if threading.get_ident() != self._thread:
                return None
            return (change(inputs[0]), *inputs[1:])

        self._stack.callback(module.register_forward_pre_hook(hook).remove)


def _run(arguments: dict[str, Any], extra: dict[str, Any], previous: Any) -> dict[str, Any]:
    """The block, or another node's replacement of it."""
    found: dict[str, Any]
    found = extra["original_block"](arguments) if previous is None else previous(arguments, extra)
    return found


class AttentionHook:
    """The replacement of one block of FLUX."""

    def __init__(self, shared: Injections, layer: int | None, block: Any, double: bool, previous: Any) -> None:
        self.shared, self.layer, self.block, self.double, self.previous = shared, layer, block, double, previous

    def __call__(self, arguments: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
        if self.double:
            self.shared.text_tokens = arguments["txt"].shape[1]
        if self.layer is None:
            return _run(arguments, extra, self.previous)
        now = _required(arguments)
        queries: list[torch.Tensor] = []
        with _Hooked() as hooked:
            norm = self.block.img_attn.norm if self.double else self.block.norm
            # `[batch, heads, rows, head_dim]` as `[batch, rows, width]`.
            hooked.after(norm, lambda output: queries.append(output[0].transpose(1, 2).flatten(2)))
            if self.shared.before_projection:
                module = self.block.img_attn.proj if self.double else self.block.linear2
                hooked.before(module, lambda output: self._add(queries, output, False, now))
            found = _run(arguments, extra, self.previous)
        if not self.shared.before_projection:
            found["img"] = self._add(queries, found["img"], self.previous is None, now)
        return found

    def __deepcopy__(self, memo: dict[int, Any]) -> AttentionHook:
        # ComfyUI copies the hooks of a model that is cloned; modules and conditioning stay the same.
        previous = copy.deepcopy(self.previous, memo)
        return AttentionHook(self.shared, self.layer, self.block, self.double, previous)

    def _add(self, queries: list[torch.Tensor], output: torch.Tensor, own: bool, now: Pass) -> torch.Tensor:
        """Adds to `[batch, rows, width or more]`: what lies beyond the width of the query is the feed-forward part of a
        single block."""
        if not queries or self.layer is None:
            return output
        query, options = queries[0], now.described()
        first = 0 if self.double else self.shared.text_tokens
        if first and not self.shared.positional:
            # InstantX' code adds to the text tokens of single blocks as well. They are nowhere in the picture.
            unwatched = {name: value for name, value in options.items() if name != WATCH}
            output, own = self._add_rows(query, output, slice(0, first), own, unwatched, None), True
        return self._add_rows(query, output, slice(first, first + now.tokens), own, options, now.grid)

    def _add_rows(
        self,
        query: torch.Tensor,
        output: torch.Tensor,
        rows: slice,
        own: bool,
        options: dict[str, Any],
        grid: tuple[int, int] | None,
    ) -> torch.Tensor:
        width = query.shape[2]
        part = output[:, rows, :width]
        added = self.shared.injection.add(self.layer or 0, query[:, rows], part, own, options, grid)
        if added is part:
            return output
        if added.shape == output.shape:
            return added
        output = output if own else output.clone()
        output[:, rows, :width] = added
        return output


class JointInjection:
    """People in SD3.5, whose keys and values depend on the step: a conditioning is made when a step begins, and the
    last two are kept."""

    def __init__(self, condition: Callable[[float], Conditioning]) -> None:
        """`condition` makes the keys and values of a timestep, 0 to 1000."""
        self._condition = condition
        self._kept: list[tuple[float, Conditioning]] = []
        self._lock = threading.Lock()

    def at(self, timestep: float) -> Conditioning:
        with self._lock:
            found = next((made for known, made in self._kept if known == timestep), None)
            if found is None:
                found = self._condition(timestep)
                self._kept = [(timestep, found), *self._kept[:1]]
            return found


class JointHook:
    """The replacement of one block of SD3.5."""

    def __init__(self, injection: JointInjection, layer: int, block: Any, previous: Any) -> None:
        self.injection, self.layer, self.block, self.previous = injection, layer, block, previous

    def __call__(self, arguments: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
        now = _required(arguments)
        attention = self.block.x_block.attn
        projected: list[torch.Tensor] = []
        with _Hooked() as hooked:
            hooked.after(attention.qkv, projected.append)
            hooked.before(attention.proj, lambda output: self._add(projected, output, now))
            return _run(arguments, extra, self.previous)

    def __deepcopy__(self, memo: dict[int, Any]) -> JointHook:
        return JointHook(self.injection, self.layer, self.block, copy.deepcopy(self.previous, memo))

    def _add(self, projected: list[torch.Tensor], output: torch.Tensor, now: Pass) -> torch.Tensor:
        if not projected:
            return output
        sigma = first_sigma(now.options)
        conditioning = self.injection.at(min(max(sigma, 0.0), 1.0) * 1000.0)
        roles = batch_roles(now.options.get("cond_or_uncond"), output.shape[0])
        parts = [part.detach().to("cpu", torch.float32).contiguous() for part in projected[0].chunk(3, dim=-1)]
        delta = torch.zeros_like(parts[0])
        conditioning.inject(
            self.layer, parts[0], delta, roles=roles, step=Step(sigma=sigma), latent_size=now.grid,
            image_keys=parts[1], image_values=parts[2],
        )  # fmt: skip
        delta = delta.reshape(output.shape).to(output.device, output.dtype)
        watch = now.options.get(WATCH)
        if isinstance(watch, Watch):
            watch.begin(sigma)
            # The library adds up the people of one node.
            watch.note(self.injection, 0, output, delta, roles, now.latent)
        return output + delta


def _required(arguments: dict[str, Any]) -> Pass:
    now = current(arguments)
    if now is None:
        raise UnsupportedError(
            "ComfyUI has not called the wrapper around the model; people in the attention of FLUX and SD3.5 need a "
            "version with wrappers (0.3.8, December 2024, or later)"
        )
    return now
