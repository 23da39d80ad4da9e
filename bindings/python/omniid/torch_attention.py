"""Identity attention by PyTorch's own operators, from the keys and values of a conditioning: for tensors that the
library cannot reach, and for gradients. Needs PyTorch."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F

from .conditioning import Conditioning, Step
from .enums import Role


class KeyStore:
    """Keys and values as torch tensors on the device and of the type that they are needed in, and masks by size.

    Copies are made when they are first needed and kept; where device and type are already right there is no copy. May
    be used from any number of threads at once.
    """

    def __init__(self, conditioning: Conditioning) -> None:
        self._conditioning = conditioning
        self._pairs: dict[Any, Any] = {}
        self._masks: dict[Any, torch.Tensor] = {}
        self._lock = threading.Lock()

    def release_other(self, device: torch.device) -> None:
        """Forgets the copies on all other devices. They are made again when they are needed."""
        with self._lock:
            for copies in (self._pairs, self._masks):
                # The device is the last entry but one of every key.
                for key in [key for key in copies if key[-2] != device]:
                    del copies[key]

    def delta(
        self,
        layer: int,
        query: torch.Tensor,
        roles: tuple[Role, ...],
        scale: float,
        step: Step | None,
        latent_size: tuple[int, int] | None,
    ) -> torch.Tensor | None:
        """What the identities add to a layer's output: `[batch, rows, width]` like the query; None for nothing.

        `roles` has one entry for each batch row; `scale` multiplies every identity's own. `step` and `latent_size`,
        height and width of the latent picture, are needed where `Conditioning.inject` needs them.
        """
        total = None
        for _, part in self.contributions(layer, query, roles, scale, step, latent_size):
            total = part if total is None else total + part
        return total

    def contributions(
        self,
        layer: int,
        query: torch.Tensor,
        roles: tuple[Role, ...],
        scale: float,
        step: Step | None,
        latent_size: tuple[int, int] | None,
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """As `delta`, each identity by itself: its number and what it adds. Leaves out those that add nothing."""
        conditioning = self._conditioning
        host = conditioning.layers[layer]
        batch, rows, _ = query.shape
        for identity in range(conditioning.identity_count):
            factor = conditioning.factor(layer, identity) * scale
            if factor == 0 or not conditioning.is_active(identity, step or Step()):
                continue
            mask = self._mask(identity, rows, latent_size, query) if conditioning.has_masks else None
            total = None
            for role in (Role.UNCONDITIONAL, Role.CONDITIONAL):
                places = [i for i, other in enumerate(roles) if other == role]
                pair = self._pair(layer, identity, role, query) if places else None
                if pair is None:
                    continue
                part = query[places[0] : places[-1] + 1] if _consecutive(places) else query[places]
                heads = part.unflatten(2, (host.heads, host.head_dim)).transpose(1, 2)
                keys, values = (side.expand(len(places), -1, -1, -1) for side in pair)
                found = F.scaled_dot_product_attention(heads, keys, values).transpose(1, 2).reshape(part.shape)
                found = found * factor if mask is None else found * (factor * mask)
                if len(places) < batch:
                    full = query.new_zeros(query.shape)
                    index = torch.tensor(places, device=query.device)
                    found = full.index_copy(0, index, found)
                total = found if total is None else total + found
            if total is not None:
                yield identity, total

    def _pair(self, layer: int, identity: int, role: Role, query: torch.Tensor) -> Any:
        """Keys and values `[1, heads, tokens, head_dim]`, or None where nothing is injected."""
        key = (layer, identity, role, query.device, query.dtype)
        with self._lock:
            if key not in self._pairs:
                stream = 1
                if query.device.type == "cuda":
                    stream = int(torch.cuda.current_stream(query.device).cuda_stream) or 1
                sides = [
                    get(layer, identity, role, stream) for get in (self._conditioning.keys, self._conditioning.values)
                ]
                self._pairs[key] = None
                if sides[0] is not None and sides[1] is not None:
                    self._pairs[key] = [
                        # No copy where device and type are already right.
                        torch.from_dlpack(side).to(query.device, query.dtype).transpose(0, 1)[None]
                        for side in sides
                    ]
            return self._pairs[key]

    def _mask(
        self, identity: int, rows: int, latent_size: tuple[int, int] | None, query: torch.Tensor
    ) -> torch.Tensor:
        """One factor for each image token: `[rows, 1]`."""
        key = (identity, rows, latent_size, query.device, query.dtype)
        with self._lock:
            if key not in self._masks:
                factors = self._conditioning.mask_factors(identity, rows, latent_size or (0, 0))
                self._masks[key] = torch.from_numpy(factors)[:, None].to(query.device, query.dtype)
            return self._masks[key]


def _consecutive(places: list[int]) -> bool:
    return places[-1] - places[0] + 1 == len(places)
