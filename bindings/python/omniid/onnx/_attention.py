"""The identity's attention inside a graph, as PyTorch operators that the exporter writes down."""

from __future__ import annotations

from typing import Any, Optional

import torch

from ..diffusers import _layers
from ._manifest import GraphLayer

Size = tuple[Any, Any]
"""Height and width of a layer's picture in tokens: numbers, or what the exporter makes of them."""

Pair = tuple[torch.Tensor, torch.Tensor]
Norms = dict[str, Pair]
"""By layer: the weights of the normalisation of queries and of image keys, `[head_dim]` each."""

_EPSILON = 1e-6
_CUBIC = -0.75
"""The parameter of PyTorch's bicubic interpolation."""


class GraphIdentity:
    """The identity's attention in a model, by hooks, for as long as its graph is written. The identity consists of
    tensors that are inputs of the graph.

    Keys and values are `[rows, heads, tokens, head_dim]`. With masks `[rows, people, height, width]` the tokens are
    those of several people, one after the other and as many of each, and each person has a softmax of their own.

    - UNet: the query from `to_q`; the attention is added to the input of `to_out`.
    - FLUX: the query from `norm_q`, before the rotary embedding. XLabs: the attention is the layer's third result,
      which the block adds to the image tokens after its feed-forward. InstantX: it is added to the input of `to_out` in
      double blocks, and to the attention's result in single blocks.
    - SD3: query, keys and values from `to_q`, `to_k` and `to_v`, before the layer's norms; they get those of the
      adapter (`norms`), and one softmax goes over the image and the identity. It is added to the input of `to_out`.
    """

    def __init__(
        self, model: Any, layers: tuple[GraphLayer, ...], adapter: Optional[str], norms: Optional[Norms] = None
    ) -> None:
        self._index = {layer.name: i for i, layer in enumerate(layers)}
        self._layers = layers
        self._unet, self._norms = _layers.is_unet(model), norms
        self.keys: dict[str, torch.Tensor] = {}
        self.values: dict[str, torch.Tensor] = {}
        self.scale: Optional[torch.Tensor] = None
        self.mask: Optional[torch.Tensor] = None
        self.image_size: Optional[Size] = None
        """Of transformers, whose layers all see the same picture."""
        self._size: Optional[Size] = None
        self._query: Optional[torch.Tensor] = None
        self._image: dict[str, torch.Tensor] = {}
        self._factors: dict[tuple[int, int], torch.Tensor] = {}
        self._hooks: list[Any] = []
        for layer in layers:
            attn = model.get_submodule(layer.name)
            if self._unet:
                self._hook_unet(layer.name, attn)
            elif norms is not None:
                self._hook_sd3(layer.name, attn)
            else:
                self._hook_flux(layer.name, attn, adapter == "instantx")
        if self._unet:
            # The modules that hold the layers see the picture's height and width; the layers do not.
            for name in sorted({layer.name.split(".transformer_blocks.")[0] for layer in layers}):
                self._hooks.append(model.get_submodule(name).register_forward_pre_hook(self._see, with_kwargs=True))

    def remove(self) -> None:
        """Takes the hooks out of the model."""
        for hook in self._hooks:
            hook.remove()

    def begin(self, keys: dict[str, torch.Tensor], values: dict[str, torch.Tensor], scale: Optional[torch.Tensor],
              mask: Optional[torch.Tensor], image_size: Optional[Size]) -> None:  # fmt: skip
        """A pass of the model begins, with these inputs."""
        self.keys, self.values, self.scale, self.mask, self.image_size = keys, values, scale, mask, image_size
        self._factors.clear()

    def _see(self, _: object, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        hidden = arguments[0] if arguments else keywords["hidden_states"]
        self._size = (hidden.shape[-2], hidden.shape[-1])

    def _take(self, module: object, inputs: object, query: torch.Tensor) -> None:
        self._query = query

    def _add_before(self, name: str, attn: Any) -> None:
        """Adds to what the output projection reads."""

        def add(module: object, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
            return (inputs[0] + self.attention(name), *inputs[1:])

        self._hooks.append(attn.to_out[0].register_forward_pre_hook(add))

    def _hook_unet(self, name: str, attn: Any) -> None:
        heads = attn.heads

        def take(module: object, inputs: object, query: torch.Tensor) -> None:
            rows, count, inner = query.shape
            self._query = query.reshape(rows, count, heads, inner // heads)

        self._hooks.append(attn.to_q.register_forward_hook(take))
        self._add_before(name, attn)

    def _hook_sd3(self, name: str, attn: Any) -> None:
        self._hook_unet(name, attn)
        heads = attn.heads

        def take(side: str) -> Any:
            def hook(module: object, inputs: object, result: torch.Tensor) -> None:
                rows, count, inner = result.shape
                self._image[side] = result.reshape(rows, count, heads, inner // heads).transpose(1, 2)

            return hook

        for side in ("to_k", "to_v"):
            self._hooks.append(getattr(attn, side).register_forward_hook(take(side)))

    def _hook_flux(self, name: str, attn: Any, instantx: bool) -> None:
        self._hooks.append(attn.norm_q.register_forward_hook(self._take))
        single = name.startswith("single_")
        if instantx and not single:
            self._add_before(name, attn)
            return

        def leave(module: object, inputs: object, result: Any) -> Any:
            if not single:
                found = self.attention(name)
                return (*result[:2], result[2] + found if len(result) == 3 else found)
            text = None
            if self.mask is not None:
                assert self.image_size is not None
                # Not from the query, whose size the exporter takes for a constant.
                text = result.shape[1] - self.image_size[0] * self.image_size[1]
            return result + self.attention(name, text)

        self._hooks.append(attn.register_forward_hook(leave))

    def attention(self, name: str, text: Optional[Any] = None) -> torch.Tensor:
        """The attention of one layer to the identity, times the layer's scale: `[rows, image tokens, width]`. `text`:
        how many tokens of the text come before those of the image."""
        assert self._query is not None
        # [rows, heads, image tokens, head_dim]
        query, self._query = self._query.transpose(1, 2), None
        layer = self._layers[self._index[name]]
        heads, width = layer.heads, layer.head_dim
        keys, values = self.keys[name], self.values[name]
        image = None
        if self._norms is not None:
            weights = self._norms[name]
            query, image = _normed(query, weights[0]), (_normed(self._image["to_k"], weights[1]), self._image["to_v"])
        query = query * width**-0.5
        if self.mask is None:
            found = _attend(query, keys, values, image)
        else:
            people = self.mask.shape[1]
            # [rows, heads, people, tokens, head_dim]
            keys, values = (x.reshape(x.shape[0], heads, people, -1, width) for x in (keys, values))
            if image is not None:
                # Each person has a softmax of their own, in which the image takes part.
                once = torch.zeros_like(keys[..., :1, :1])
                image = (image[0].unsqueeze(2) + once, image[1].unsqueeze(2) + once)
            found = _attend(query.unsqueeze(2), keys, values, image)
            factors = self.factors()
            if text is not None:
                factors = torch.cat([self._text_factors(text), factors], dim=2)
            found = (found * factors.unsqueeze(1).unsqueeze(-1)).sum(dim=2)
        return self._scaled(name, found.transpose(1, 2).flatten(2))

    def _scaled(self, name: str, found: torch.Tensor) -> torch.Tensor:
        if self.scale is None:
            return found
        index = self._index[name]
        return found * self.scale[index : index + 1].to(found.dtype)

    def _text_factors(self, tokens: Any) -> torch.Tensor:
        """One factor for each text token: a text token is nowhere in the picture, so that it is 0 but for people
        without a mask, whose mask has one pixel."""
        assert self.mask is not None
        height, width = (torch.as_tensor(x, dtype=torch.float32) for x in self.mask.shape[2:])
        without = torch.clamp(2 - height * width, min=0.0).to(self.mask.dtype)
        return self.mask[:, :, :1, 0] * without * torch.ones(tokens, dtype=self.mask.dtype)

    def factors(self) -> torch.Tensor:
        """The masks as one factor for each of the present layer's image tokens: `[rows, people, image tokens]`."""
        size = self._size if self._unet else self.image_size
        assert size is not None and self.mask is not None
        key = (int(size[0]), int(size[1]))
        if key not in self._factors:
            mask = self.mask
            down = resampling(mask.shape[2], size[0]).to(mask.dtype)
            across = resampling(mask.shape[3], size[1]).to(mask.dtype)
            self._factors[key] = (down @ mask @ across.transpose(0, 1)).flatten(2)
        return self._factors[key]


def _attend(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, image: Optional[Pair]) -> torch.Tensor:
    """softmax(query keysᵀ) values, with the image's keys and values before those of the identity, if there are any."""
    if image is not None:
        keys, values = (torch.cat(pair, dim=-2) for pair in zip(image, (keys, values)))
    return torch.softmax(query @ keys.transpose(-1, -2), dim=-1) @ values


def _normed(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """RMS normalisation over the last dimension, as InstantX' adapter has it."""
    wide = x.float()
    normed = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + _EPSILON) * weight
    return normed.to(x.dtype)


def resampling(size: Any, wanted: Any) -> torch.Tensor:
    """The matrix `[wanted, size]` that resamples like PyTorch's bicubic interpolation without aligned corners.

    A matrix, because runtimes differ in which modes their operator Resize has, and size and scale stay free.
    """
    size, wanted = (torch.as_tensor(x, dtype=torch.float32) for x in (size, wanted))
    place = (torch.arange(wanted, dtype=torch.float32) + 0.5) * (size / wanted) - 0.5
    first = torch.floor(place)
    share = place - first
    columns = torch.arange(size, dtype=torch.float32).unsqueeze(0)
    weights = (_outer(share + 1), _inner(share), _inner(1 - share), _outer(2 - share))
    matrix = None
    for offset, weight in enumerate(weights, -1):
        column = torch.minimum(torch.clamp(first + offset, min=0.0), size - 1).unsqueeze(1)
        # 1 where the column is meant, else 0: both are whole numbers.
        meant = torch.clamp(1 - torch.abs(column - columns), min=0.0)
        part = weight.unsqueeze(1) * meant
        matrix = part if matrix is None else matrix + part
    assert matrix is not None
    return matrix


def _inner(x: torch.Tensor) -> torch.Tensor:
    return ((_CUBIC + 2) * x - (_CUBIC + 3)) * x * x + 1


def _outer(x: torch.Tensor) -> torch.Tensor:
    return ((_CUBIC * x - 5 * _CUBIC) * x + 8 * _CUBIC) * x - 4 * _CUBIC
