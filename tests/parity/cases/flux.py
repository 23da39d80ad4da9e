"""Adapters of FLUX beside XLabs': InstantX, PuLID-FLUX and WithAnyone, in the public key layout at small sizes.

The reference modules are written here from the published facts. InstantX runs inside a FLUX transformer of diffusers: the
query is what `norm_q` gives, before the rotary embedding. PuLID and WithAnyone are cross-attentions on the image's
hidden state.
"""

import math
import pathlib

import torch
import torch.nn.functional as F
from diffusers import FluxTransformer2DModel

from . import common

NAME = "flux"

_HEADS, _WIDTH, _JOINT = 2, 16, 24
_DOUBLE, _SINGLE = 2, 3
_HIDDEN, _TOKENS = 40, 20
_ROWS, _COLUMNS = 6, 8


def add_options(group):
    group.add_argument("--flux-hidden", type=int, default=_HIDDEN, help="width of the hidden state of PuLID's case")


def generate(folder, options):
    """Writes all golden files of this area into `folder`."""
    out = pathlib.Path(folder)
    with torch.no_grad():
        common.start(NAME, "instantx", options)
        _instantx(out / "instantx")
        common.start(NAME, "pulid", options)
        _pulid(out / "pulid", options.flux_hidden)
        common.start(NAME, "with_anyone", options)
        _with_anyone(out / "with_anyone", options.flux_hidden)


def _heads(x, heads):
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _merge(x):
    return x.transpose(1, 2).flatten(2)


def _rms(x, epsilon=1e-5):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + epsilon)


def _instantx(path):
    model = FluxTransformer2DModel(
        patch_size=1,
        in_channels=4,
        num_layers=_DOUBLE,
        num_single_layers=_SINGLE,
        attention_head_dim=_WIDTH,
        num_attention_heads=_HEADS,
        joint_attention_dim=_JOINT,
        pooled_projection_dim=8,
        axes_dims_rope=(4, 4, 8),
    )
    common.randomise(model)
    inner = _HEADS * _WIDTH
    tokens = torch.randn(1, 5, _JOINT)
    adapter, store = {}, {"tokens": tokens[0]}
    names = [f"transformer_blocks.{i}.attn" for i in range(_DOUBLE)]
    names += [f"single_transformer_blocks.{i}.attn" for i in range(_SINGLE)]
    for i, name in enumerate(names):
        # Keys of unequal size: without their normalisation the softmax is another one.
        to_k = torch.randn(inner, _JOINT) * (1 + i) / math.sqrt(_JOINT)
        to_v = torch.randn(inner, _JOINT) * 0.4 / math.sqrt(_JOINT)
        adapter[f"ip_adapter.{i}.to_k_ip.weight"], adapter[f"ip_adapter.{i}.to_v_ip.weight"] = to_k, to_v

        def record(_, __, query, name=name, to_k=to_k, to_v=to_v):
            heads = query.transpose(1, 2)
            keys, values = _rms(_heads(tokens @ to_k.T, _HEADS)), _heads(tokens @ to_v.T, _HEADS)
            store[f"query.{name}"] = query.flatten(2)
            store[f"delta.{name}"] = _merge(F.scaled_dot_product_attention(heads, keys, values))
            # Normalised values have size one; the limits of the half types are absolute.
            store[f"delta_v_norm.{name}"] = 0.4 * _merge(F.scaled_dot_product_attention(heads, keys, _rms(values)))

        model.get_submodule(name).norm_q.register_forward_hook(record)
    ids = torch.zeros(_ROWS * _COLUMNS, 3)
    ids[:, 1] = torch.arange(_ROWS * _COLUMNS) // _COLUMNS
    ids[:, 2] = torch.arange(_ROWS * _COLUMNS) % _COLUMNS
    model(
        torch.randn(1, _ROWS * _COLUMNS, 4),
        encoder_hidden_states=torch.randn(1, 5, _JOINT),
        pooled_projections=torch.randn(1, 8),
        timestep=torch.tensor([0.5]),
        img_ids=ids,
        txt_ids=torch.zeros(5, 3),
    )
    common.save(path / "ip-adapter.safetensors", adapter)
    common.save(path / "golden.safetensors", store)


class _CrossAttention(torch.nn.Module):
    """hidden -> to_out(attention(to_q(norm2(hidden)), to_kv(norm1(tokens))))."""

    def __init__(self, hidden, context, heads, width):
        super().__init__()
        self.heads = heads
        self.norm1 = torch.nn.LayerNorm(context)
        self.norm2 = torch.nn.LayerNorm(hidden)
        self.to_q = torch.nn.Linear(hidden, heads * width, bias=False)
        self.to_kv = torch.nn.Linear(context, 2 * heads * width, bias=False)
        self.to_out = torch.nn.Linear(heads * width, hidden, bias=False)

    def forward(self, tokens, hidden, allowed=None):
        """`allowed` `[image tokens, tokens]`: which tokens an image token may see; one that sees none gets nothing."""
        query = _heads(self.to_q(self.norm2(hidden)), self.heads)
        keys, values = (_heads(side, self.heads) for side in self.to_kv(self.norm1(tokens)).chunk(2, dim=-1))
        scores = query @ keys.transpose(-1, -2) / math.sqrt(query.shape[-1])
        if allowed is not None:
            scores = scores.masked_fill(~allowed, -torch.inf)
        weights = torch.nan_to_num(scores.softmax(dim=-1))
        return self.to_out(_merge(weights @ values))


def _layers(prefix, count, hidden, context, heads, width):
    layers = [common.randomise(_CrossAttention(hidden, context, heads, width)) for _ in range(count)]
    for layer in layers:
        # The limits of the half types are absolute, so what is added stays below one.
        layer.to_out.weight *= 0.4
    tensors = {f"{prefix}.{i}.{k}": v for i, layer in enumerate(layers) for k, v in layer.state_dict().items()}
    return layers, tensors


def _pulid(path, hidden):
    layers, tensors = _layers("pulid_ca", 2, hidden, _TOKENS, 3, 8)
    image, own, none = torch.randn(2, 300, hidden), torch.randn(1, 7, _TOKENS), torch.randn(1, 7, _TOKENS)
    store = {"hidden": image, "tokens": own[0], "unconditional": none[0]}
    for i, layer in enumerate(layers):
        # Row 0 does not follow the prompt.
        store[f"after.{i}"] = image + 0.8 * layer(torch.cat([none, own]), image)
    common.save(path / "pulid_flux.safetensors", tensors)
    common.save(path / "golden.safetensors", store)


def _with_anyone(path, hidden):
    face, siglip = 2, 4
    arc, tensors = _layers("ipa_arc", 2, hidden, hidden, 3, 8)
    sig, more = _layers("ipa_sig", 2, hidden, hidden, 3, 8)
    tensors |= more
    people = 2
    arc_tokens = torch.randn(people, face, hidden)
    sig_tokens = torch.randn(people, siglip + face, hidden)
    image = torch.randn(1, _ROWS * _COLUMNS, hidden)
    # Boxes in tokens, left, top, right, bottom; they do not touch each other and leave a part of the picture free.
    boxes = [(0, 1, 3, 5), (4, 0, 8, 4)]
    masks = torch.zeros(people, _ROWS, _COLUMNS)
    for mask, (left, top, right, bottom) in zip(masks, boxes):
        mask[top:bottom, left:right] = 1
    store = {"hidden": image, "masks": masks}
    for person in range(people):
        store[f"tokens.{person}"] = torch.cat([arc_tokens[person], sig_tokens[person]])
    everyone = [side.flatten(0, 1)[None] for side in (arc_tokens, sig_tokens)]
    seen = [masks.flatten(1).T.repeat_interleave(side.shape[1], dim=1) > 0 for side in (arc_tokens, sig_tokens)]
    for i in range(2):
        for weight in (0.25, 1.0):
            parts = [arc[i](everyone[0], image), sig[i](everyone[1], image)]
            store[f"joint.{i}.{weight}"] = image + (1 - weight) * parts[0] + weight * parts[1]
            parts = [arc[i](everyone[0], image, seen[0]), sig[i](everyone[1], image, seen[1])]
            store[f"masked.{i}.{weight}"] = image + (1 - weight) * parts[0] + weight * parts[1]
    common.save(path / "withanyone.safetensors", tensors)
    common.save(path / "golden.safetensors", store)
