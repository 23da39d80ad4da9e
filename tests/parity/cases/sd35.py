"""InstantX' IP-Adapter for SD3.5: tokens at several timesteps, and what diffusers' own processor adds to each layer.

A small SD3 transformer gets a random adapter in the public layout through diffusers' own loader. Each of its attention
layers runs twice, with the adapter's scale and with scale 0; the difference before the output projection is what a
plugin has to add. Row 0 is the unconditional one: features of zeros.
"""

import math
import pathlib

import torch
from diffusers import SD3Transformer2DModel

from .common import save, start

NAME = "sd35"

# Two heads of 32, two joint blocks, a Resampler of width 32.
_HEADS, _WIDTH, _BLOCKS = 2, 32, 2
_INNER = _HEADS * _WIDTH
_TOKENS, _RESAMPLER, _FEATURES, _TIME = 5, 32, 20, 16
_SCALE = 0.5


def add_options(group):
    group.add_argument("--sd35-timesteps", default="1000,737.5,21", help="denoising timesteps")


def generate(folder, options):
    """Writes the adapter and its golden tensors into `folder`."""
    out = pathlib.Path(folder)
    start(NAME, "large", options)
    timesteps = [float(timestep) for timestep in options.sd35_timesteps.split(",")]
    with torch.no_grad():
        _case(out / "large", timesteps)


def _random(*shape, scale=None):
    return torch.randn(*shape) * (scale or 1 / math.sqrt(shape[-1]))


def _projection():
    """The Resampler, by the names of the published file."""
    width, inner = _RESAMPLER, 64
    tensors = {
        "latents": _random(1, _TOKENS, width, scale=0.5),
        "time_embedding.linear_1.weight": _random(width, _TIME),
        "time_embedding.linear_1.bias": _random(width, scale=0.1),
        "time_embedding.linear_2.weight": _random(width, width),
        "time_embedding.linear_2.bias": _random(width, scale=0.1),
        "proj_in.weight": _random(width, _FEATURES),
        "proj_in.bias": _random(width, scale=0.1),
        "proj_out.weight": _random(_INNER, width),
        "proj_out.bias": _random(_INNER, scale=0.1),
        "norm_out.weight": 1 + _random(_INNER, scale=0.1),
        "norm_out.bias": _random(_INNER, scale=0.1),
    }
    for depth in range(4):
        layer = f"layers.{depth}"
        for norm in ("0.norm1", "0.norm2", "1.0"):
            tensors[f"{layer}.{norm}.weight"] = 1 + _random(width, scale=0.1)
            tensors[f"{layer}.{norm}.bias"] = _random(width, scale=0.1)
        tensors[f"{layer}.0.to_q.weight"] = _random(inner, width)
        tensors[f"{layer}.0.to_kv.weight"] = _random(2 * inner, width)
        tensors[f"{layer}.0.to_out.weight"] = _random(width, inner)
        tensors[f"{layer}.1.1.weight"] = _random(4 * width, width)
        tensors[f"{layer}.1.3.weight"] = _random(width, 4 * width)
        tensors[f"{layer}.2.1.weight"] = _random(4 * width, width, scale=0.5 / math.sqrt(width))
        tensors[f"{layer}.2.1.bias"] = _random(4 * width, scale=0.1)
    return tensors


def _layers():
    """The layers, by the names of the published file."""
    tensors = {}
    for block in range(_BLOCKS):
        tensors[f"{block}.norm_ip.linear.weight"] = _random(2 * _INNER, _RESAMPLER, scale=0.5 / math.sqrt(_RESAMPLER))
        tensors[f"{block}.norm_ip.linear.bias"] = _random(2 * _INNER, scale=0.1)
        for side in ("k", "v"):
            tensors[f"{block}.to_{side}_ip.weight"] = _random(_INNER, _INNER)
        for norm in ("norm_q", "norm_k", "norm_ip_k"):
            tensors[f"{block}.{norm}.weight"] = 1 + _random(_WIDTH, scale=0.2)
    return tensors


class _Twice:
    """Runs a layer's processor with its scale and without the adapter, and keeps the difference."""

    def __init__(self, processor, name, store):
        self.processor, self.name, self.store = processor, name, store

    def __call__(
        self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, ip_hidden_states=None, temb=None
    ):
        found = {}

        def keep(name):
            return lambda _, __, output: found.setdefault(name, output.clone())

        sums = []
        hooks = [getattr(attn, f"to_{name[0]}").register_forward_hook(keep(name)) for name in ("query", "key", "value")]
        hooks.append(attn.to_out[0].register_forward_pre_hook(lambda _, inputs: sums.append(inputs[0].clone())))
        run = lambda: self.processor(
            attn, hidden_states, encoder_hidden_states, ip_hidden_states=ip_hidden_states, temb=temb
        )
        result = run()
        self.processor.scale = 0.0
        run()
        self.processor.scale = _SCALE
        for hook in hooks:
            hook.remove()
        for name, value in found.items():
            self.store[f"{name}.{self.name}"] = value
        self.store[f"delta.{self.name}"] = sums[0] - sums[1]
        return result


def _case(path, timesteps):
    model = SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        num_layers=_BLOCKS,
        attention_head_dim=_WIDTH,
        num_attention_heads=_HEADS,
        joint_attention_dim=12,
        caption_projection_dim=_INNER,
        pooled_projection_dim=8,
        out_channels=4,
        pos_embed_max_size=8,
        qk_norm="rms_norm",
    ).eval()
    for parameter in model.parameters():
        parameter.copy_(_random(*parameter.shape))
    adapter = {"image_proj": _projection(), "ip_adapter": _layers()}
    flat = {f"{part}.{key}": value for part, entries in adapter.items() for key, value in entries.items()}
    save(path / "ip-adapter.safetensors", flat)
    model._load_ip_adapter_weights(adapter, low_cpu_mem_usage=False)
    features = torch.randn(7, _FEATURES)
    both = torch.stack([torch.zeros_like(features), features])
    golden = {"features": features, "timesteps": torch.tensor(timesteps), "scale": torch.tensor([_SCALE])}
    latent, prompt, pooled = torch.randn(2, 4, 8, 12), torch.randn(2, 6, 12), torch.randn(2, 8)
    processors = [block.attn.processor for block in model.transformer_blocks]
    for number, timestep in enumerate(timesteps):
        store = {}
        for index, block in enumerate(model.transformer_blocks):
            twice = _Twice(processors[index], f"{number}.transformer_blocks.{index}.attn", store)
            processors[index].scale = _SCALE
            block.attn.set_processor(twice)
        golden[f"tokens.{number}"], _ = model.image_proj(both, torch.full((2,), timestep))
        model(
            latent,
            encoder_hidden_states=prompt,
            pooled_projections=pooled,
            timestep=torch.full((2,), timestep),
            joint_attention_kwargs={"ip_adapter_image_embeds": both},
        )
        golden |= store
    save(path / "golden.safetensors", golden)
