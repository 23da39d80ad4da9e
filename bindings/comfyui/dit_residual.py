"""People behind the blocks of FLUX: PuLID-FLUX and WithAnyone add to what a block has made, and need nothing else."""

from __future__ import annotations

import copy
import threading
from typing import Any

import torch
from omniid import Conditioning, Step, UnsupportedError
from omniid.torch_attention import device_type

from .dit_pass import current, options_of
from .hook import batch_roles, first_sigma
from .watch import KEY as WATCH
from .watch import Watch


class Shared(threading.local):
    """What the hooks of one conditioning share, on each thread by itself."""

    def __init__(self, conditioning: Conditioning) -> None:
        self.conditioning = conditioning
        self.device_type = device_type(conditioning)
        self.text_tokens = 0


class ResidualHook:
    """The replacement of one block: the block, or another node's replacement of it, and then the identities."""

    def __init__(self, shared: Shared, layer: int | None, double: bool, previous: Any) -> None:
        self.shared, self.layer, self.double, self.previous = shared, layer, double, previous

    def __call__(self, arguments: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any]
        found = extra["original_block"](arguments) if self.previous is None else self.previous(arguments, extra)
        if self.double:
            self.shared.text_tokens = arguments["txt"].shape[1]
        if self.layer is not None:
            image = found["img"] if self.double else found["img"][:, self.shared.text_tokens :]
            now = current(arguments)
            # Reference pictures follow the picture that is made; nobody is put into them.
            image = image if now is None else image[:, : now.tokens]
            self._add(self.layer, image, arguments)
        return found

    def __deepcopy__(self, memo: dict[int, Any]) -> ResidualHook:
        # ComfyUI copies the hooks of a model that is cloned.
        return ResidualHook(self.shared, self.layer, self.double, copy.deepcopy(self.previous, memo))

    def _add(self, layer: int, image: torch.Tensor, arguments: dict[str, Any]) -> None:
        conditioning, options, now = self.shared.conditioning, options_of(arguments), current(arguments)
        step = Step(sigma=first_sigma(options)) if conditioning.has_step_ranges else None
        roles = batch_roles(options.get("cond_or_uncond"), image.shape[0])
        settings: Any = {"roles": roles, "step": step}
        if conditioning.has_masks:
            grid = None if now is None else now.grid
            settings["latent_size"] = grid or _packed(options.get("original_shape"), image.shape[1])
        watch = options.get(WATCH)
        before = image.clone() if isinstance(watch, Watch) else image
        if image.device.type == self.shared.device_type and image.dtype in _TYPES:
            conditioning.inject_residual(layer, image, **settings)
        else:
            # Elsewhere: there and back. The block's own matrices are in the library.
            target = image.detach().to("cpu", torch.float32)
            conditioning.inject_residual(layer, target, **settings)
            image.copy_(target)
        if isinstance(watch, Watch) and now is not None:
            watch.begin(first_sigma(options))
            # The library adds up the people of one node.
            watch.note(self.shared, 0, before, image - before, roles, now.latent)


_TYPES = (torch.float32, torch.float16, torch.bfloat16)


def _packed(shape: Any, tokens: int) -> tuple[int, int]:
    """Height and width of the picture in tokens, two by two latent pixels each."""
    if shape is not None:
        height, width = (int(shape[-2]) + 1) // 2, (int(shape[-1]) + 1) // 2
        if height * width == tokens:
            return height, width
    raise UnsupportedError(
        "a mask needs the picture's shape, which this version of ComfyUI does not show in FLUX; leave the mask out"
    )
