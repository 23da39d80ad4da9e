"""Identity attention by PyTorch's own operators, from the keys and values of a conditioning: for tensors that the
library cannot reach, and for gradients. Needs PyTorch."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, Callable

import torch
import torch.nn.functional as F
from torch.utils.dlpack import from_dlpack

from .conditioning import Conditioning, Step
from .enums import DeviceType, Injection, Role
from .errors import InvalidArgumentError
from .tensors import Tensor, torch_stream

Pair = tuple[torch.Tensor, torch.Tensor]
"""Keys and values of one identity in one layer: `[1, heads, tokens, head_dim]` each."""

_ATTENTION_TOKENS = 5
"""Tokens whose attention counts in the injection "orthogonal_v2": those that PuLID makes of the face embedding."""


class KeyStore:
    """The keys, values and masks of a conditioning as torch tensors, on any device and in any type.

    Copies are made when they are first needed, and kept; there is no copy where device and type are already right. May
    be used from any number of threads at once.
    """

    device_type: str
    """Where the conditioning's own keys and values are: `cpu`, `cuda`, or an empty string if there are none."""

    def __init__(self, conditioning: Conditioning) -> None:
        self.device_type = device_type(conditioning)
        self._conditioning = conditioning
        # The last two entries of each key are the device and the number type.
        self._pairs: dict[tuple[Any, ...], Pair | None] = {}
        self._masks: dict[tuple[Any, ...], torch.Tensor] = {}
        self._lock = threading.Lock()

    def can_inject(self, query: torch.Tensor, output: torch.Tensor) -> bool:
        """Whether `Conditioning.inject` can add to `output` in place: the query is on the device of the keys and
        values and of a type that the library has, and no gradients are recorded."""
        gradients = torch.is_grad_enabled() and (query.requires_grad or output.requires_grad)
        return query.device.type == self.device_type and query.dtype in _TYPES and not gradients

    def release_other(self, device: torch.device) -> None:
        """Drops the copies on all other devices. They are made again when they are needed."""
        with self._lock:
            self._pairs = {key: pair for key, pair in self._pairs.items() if key[-2] == device}
            self._masks = {key: mask for key, mask in self._masks.items() if key[-2] == device}

    def delta(
        self,
        layer: int,
        query: torch.Tensor,
        roles: tuple[Role, ...],
        scale: float,
        step: Step | None,
        latent_size: tuple[int, int] | None,
        output: torch.Tensor | None = None,
    ) -> torch.Tensor | None:
        """What the identities add to a layer's output, `[batch, rows, width]` like the query; None if nothing.

        `roles` has one entry for each batch row; `scale` multiplies every identity's own. `step` and `latent_size`,
        height and width of the latent picture, are needed where `Conditioning.inject` needs them. `output` is the
        layer's output without the identities, `[batch, rows, width]`; the orthogonal injections need it.
        """
        total = None
        for _, part in self.contributions(layer, query, roles, scale, step, latent_size, output):
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
        output: torch.Tensor | None = None,
        weigh: Callable[[int, torch.Tensor], torch.Tensor] | None = None,
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """As `delta`, for each identity by itself: its number and what it adds. Leaves out those that add nothing.

        `weigh` changes what an identity adds, from its number and its part, before the next one sees it.
        """
        conditioning = self._conditioning
        orthogonal = conditioning.injection != Injection.ADD
        if orthogonal and output is None:
            raise InvalidArgumentError(f"injection {conditioning.injection.name.lower()!r} needs the layer's output")
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
                part = _rows(query, places)
                heads = part.reshape(len(places), rows, host.heads, host.head_dim).transpose(1, 2)
                keys, values = (side.expand(len(places), -1, -1, -1) for side in pair)
                found = F.scaled_dot_product_attention(heads, keys, values).transpose(1, 2).reshape(part.shape)
                if orthogonal and output is not None:
                    share = None
                    if conditioning.injection == Injection.ORTHOGONAL_V2:
                        share = _leading_share(heads, keys)
                    found = _orthogonal(found, _rows(output, places), share).to(query.dtype)
                found = found * factor if mask is None else found * (factor * mask)
                if len(places) < batch:
                    full = query.new_zeros(query.shape)
                    index = torch.tensor(places, device=query.device)
                    found = full.index_copy(0, index, found)
                total = found if total is None else total + found
            if total is not None:
                if weigh is not None:
                    total = weigh(identity, total)
                if orthogonal and output is not None:
                    output = output + total
                yield identity, total

    def _pair(self, layer: int, identity: int, role: Role, query: torch.Tensor) -> Pair | None:
        """Keys and values on the device of the query and of its type; None where nothing is injected."""
        key = (layer, identity, role, query.device, query.dtype)
        with self._lock:
            if key not in self._pairs:
                stream = torch_stream(query)
                keys = self._conditioning.keys(layer, identity, role, stream)
                values = self._conditioning.values(layer, identity, role, stream)
                self._pairs[key] = None
                if keys is not None and values is not None:
                    zeros = self._conditioning.zero_tokens
                    self._pairs[key] = (_by_heads(keys, query, zeros), _by_heads(values, query, zeros))
            return self._pairs[key]

    def _mask(self, identity: int, rows: int, latent_size: tuple[int, int] | None, query: torch.Tensor) -> torch.Tensor:
        """One factor for each image token: `[rows, 1]`."""
        key = (identity, rows, latent_size, query.device, query.dtype)
        with self._lock:
            if key not in self._masks:
                factors = self._conditioning.mask_factors(identity, rows, latent_size or (0, 0))
                self._masks[key] = torch.from_numpy(factors)[:, None].to(query.device, query.dtype)
            return self._masks[key]


_TYPES = (torch.float32, torch.float16, torch.bfloat16)


def device_type(conditioning: Conditioning) -> str:
    """Where a conditioning's keys and values are: `cpu`, `cuda`, or an empty string if there are none."""
    if len(conditioning.timesteps) > 1:
        return "cpu"  # they are not handed out, and SD3.5 runs there
    for layer in range(conditioning.layer_count):
        for identity in range(conditioning.identity_count):
            keys = conditioning.keys(layer, identity)
            if keys is not None:
                return "cuda" if keys.device[0] == DeviceType.CUDA else "cpu"
    return ""


def _by_heads(side: Tensor, query: torch.Tensor, zero_tokens: int) -> torch.Tensor:
    """Keys or values `[tokens, heads, head_dim]` as `[1, heads, tokens, head_dim]`, like the query, with as many
    tokens of zeros behind them."""
    heads = from_dlpack(side).to(query.device, query.dtype).transpose(0, 1)[None]
    return F.pad(heads, (0, 0, 0, zero_tokens)) if zero_tokens else heads


def _rows(tensor: torch.Tensor, places: list[int]) -> torch.Tensor:
    return tensor[places[0] : places[-1] + 1] if _consecutive(places) else tensor[places]


def _leading_share(query: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """How much each image token looks at the identity's first tokens: `[batch, rows, 1]`, from query and keys `[batch,
    heads, rows or tokens, head_dim]`. Without the factor 1/sqrt(head_dim), as PuLID's code has it."""
    shares = (query.float() @ keys.float().transpose(-1, -2)).softmax(dim=-1)
    return shares.mean(dim=1)[..., :_ATTENTION_TOKENS].sum(dim=-1, keepdim=True)


def _orthogonal(found: torch.Tensor, output: torch.Tensor, share: torch.Tensor | None) -> torch.Tensor:
    """What PuLID's injections make of an identity's attention, `[batch, rows, width]`, in float32: without its part
    along the layer's own output, or with that part times `share`."""
    found, output = found.float(), output.float()
    length = (output * output).sum(dim=1, keepdim=True)
    along = (output * found).sum(dim=1, keepdim=True) / torch.where(length == 0, torch.ones_like(length), length)
    return found + (-1.0 if share is None else share - 1.0) * along * output


def _consecutive(places: list[int]) -> bool:
    return places[-1] - places[0] + 1 == len(places)
