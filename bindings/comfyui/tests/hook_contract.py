"""A MODEL OF COMFYUI'S HOOK CONTRACT, written from its documented behaviour; not ComfyUI.

What custom nodes see of it: a UNet in the LDM layout that looks its replacements up in `transformer_options`, a
ModelPatcher that carries them, and a sampler that runs chunks of conditional and unconditional rows in one batch. The
UNets have the layouts of SD1.5 and SDXL in small widths. It shows that hooks stand where ComfyUI looks for them and do
with its arguments what they should; it does not show how ComfyUI loads, schedules or frees models.
"""

from __future__ import annotations

import contextlib
import copy
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

CONTEXT = 20


def optimized_attention(q, k, v, heads, mask=None, attn_precision=None, transformer_options=None):
    """ComfyUI's attention: `[batch, rows, width]` in and out."""
    q, k, v = (part.unflatten(2, (heads, -1)).transpose(1, 2) for part in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)


class CrossAttention(nn.Module):
    def __init__(self, width, context, heads):
        super().__init__()
        self.heads, self.dim_head = heads, width // heads
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(context, width, bias=False)
        self.to_v = nn.Linear(context, width, bias=False)
        self.to_out = nn.Sequential(nn.Linear(width, width), nn.Dropout(0.0))

    def forward(self, x, context, transformer_options):
        q, k, v = self.to_q(x), self.to_k(context), self.to_v(context)
        return self.to_out(optimized_attention(q, k, v, self.heads, transformer_options=transformer_options))


class BasicTransformerBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.attn1, self.attn2 = CrossAttention(width, width, heads), CrossAttention(width, CONTEXT, heads)
        self.ff = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x, context, transformer_options):
        patches = ("patches", "patches_replace")
        extra = {name: value for name, value in transformer_options.items() if name not in patches}
        extra |= {"n_heads": self.attn2.heads, "dim_head": self.attn2.dim_head, "attn_precision": None}
        block, index = transformer_options["block"], transformer_options["block_index"]
        n = self.norm1(x)
        x = x + self.attn1(n, n, transformer_options)
        replaced = transformer_options.get("patches_replace", {}).get("attn2", {})
        # The key with the index first, then the one without.
        key = (*block, index) if (*block, index) in replaced else block
        n = self.norm2(x)
        if key in replaced:
            attn = self.attn2
            n = attn.to_out(replaced[key](attn.to_q(n), attn.to_k(context), attn.to_v(context), extra))
        else:
            n = self.attn2(n, context, transformer_options)
        x = x + n
        return x + self.ff(self.norm3(x))


class SpatialTransformer(nn.Module):
    def __init__(self, width, heads, depth):
        super().__init__()
        self.norm = nn.GroupNorm(4, width)
        self.proj_in, self.proj_out = nn.Linear(width, width), nn.Linear(width, width)
        self.transformer_blocks = nn.ModuleList(BasicTransformerBlock(width, heads) for _ in range(depth))

    def forward(self, x, context, transformer_options):
        height, width = x.shape[-2:]
        n = self.proj_in(self.norm(x).flatten(2).transpose(1, 2))
        for index, block in enumerate(self.transformer_blocks):
            transformer_options["block_index"] = index
            n = block(n, context, transformer_options)
        return x + self.proj_out(n).transpose(1, 2).unflatten(2, (height, width))


class ResBlock(nn.Module):
    def __init__(self, inputs, outputs, time):
        super().__init__()
        self.inner = nn.Sequential(nn.GroupNorm(4, inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1))
        self.time = nn.Linear(time, outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x, time):
        return self.skip(x) + self.inner(x) + self.time(time)[:, :, None, None]


class Upsample(nn.Module):
    def forward(self, x, size):
        return F.interpolate(x, size=size, mode="nearest")


class UNet(nn.Module):
    """`depths`: transformer blocks per transformer on each level, 0 for none; two residual blocks on each level."""

    def __init__(self, widths, depths, middle_depth, heads, seed):
        super().__init__()
        time = 16
        self.time = nn.Sequential(nn.Linear(1, time), nn.SiLU(), nn.Linear(time, time))
        self.input_blocks = nn.ModuleList([nn.ModuleList([nn.Conv2d(4, widths[0], 3, padding=1)])])
        kept, now = [widths[0]], widths[0]
        for level, (width, depth) in enumerate(zip(widths, depths)):
            for _ in range(2):
                parts = [ResBlock(now, width, time)]
                if depth:
                    parts.append(SpatialTransformer(width, heads, depth))
                self.input_blocks.append(nn.ModuleList(parts))
                now = width
                kept.append(now)
            if level + 1 < len(widths):
                self.input_blocks.append(nn.ModuleList([nn.Conv2d(now, now, 3, stride=2, padding=1)]))
                kept.append(now)
        self.middle_block = nn.ModuleList(
            [ResBlock(now, now, time), SpatialTransformer(now, heads, middle_depth), ResBlock(now, now, time)]
        )
        self.output_blocks = nn.ModuleList()
        for level in reversed(range(len(widths))):
            for number in range(3):
                parts = [ResBlock(now + kept.pop(), widths[level], time)]
                now = widths[level]
                if depths[level]:
                    parts.append(SpatialTransformer(now, heads, depths[level]))
                if number == 2 and level:
                    parts.append(Upsample())
                self.output_blocks.append(nn.ModuleList(parts))
        self.out = nn.Conv2d(now, 4, 3, padding=1)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                fan = parameter[0].numel() if parameter.dim() > 1 else 16
                noise = torch.randn(parameter.shape, generator=generator) / math.sqrt(fan)
                parameter.copy_(noise + 1 if "norm" in name and name.endswith("weight") else noise)
        self.requires_grad_(False)

    def _run(self, parts, h, time, context, options, size=None):
        for part in parts:
            if isinstance(part, ResBlock):
                h = part(h, time)
            elif isinstance(part, SpatialTransformer):
                h = part(h, context, options)
                options["transformer_index"] += 1
            elif isinstance(part, Upsample):
                h = part(h, size)
            else:
                h = part(h)
        return h

    def forward(self, x, timesteps, context, transformer_options):
        options = dict(transformer_options)
        options |= {"original_shape": list(x.shape), "transformer_index": 0}
        time = self.time(timesteps[:, None].to(x.dtype) / 1000)
        kept, h = [], x
        for number, parts in enumerate(self.input_blocks):
            options["block"] = ("input", number)
            h = self._run(parts, h, time, context, options)
            kept.append(h)
        options["block"] = ("middle", 0)
        h = self._run(self.middle_block, h, time, context, options)
        for number, parts in enumerate(self.output_blocks):
            options["block"] = ("output", number)
            h = torch.cat([h, kept.pop()], dim=1)
            h = self._run(parts, h, time, context, options, kept[-1].shape[-2:] if kept else None)
        return self.out(h)


def sd15(seed=1):
    """16 cross-attention layers in 16 transformers, as SD1.5."""
    return UNet([8, 8, 16, 16], [1, 1, 1, 0], 1, 2, seed)


def sdxl(seed=2):
    """70 cross-attention layers in 11 transformers, as SDXL."""
    return UNet([8, 8, 16], [0, 2, 10], 10, 2, seed)


class ModelSampling:
    """The noise levels of an epsilon model: 1000 timesteps of Stable Diffusion's schedule."""

    def __init__(self):
        betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
        products = torch.cumprod(1 - betas, dim=0)
        self.sigmas = ((1 - products) / products).sqrt()

    def percent_to_sigma(self, percent):
        if percent <= 0:
            return 999999999.9
        if percent >= 1:
            return 0.0
        return float(self.sigmas[round((1 - percent) * 999)])

    def timestep(self, sigma):
        return int((self.sigmas - float(sigma)).abs().argmin())


class BaseModel(nn.Module):
    def __init__(self, unet):
        super().__init__()
        self.diffusion_model = unet
        self.model_sampling = ModelSampling()


def model_lora_keys_unet(model, key_map):
    """The weights of the UNet by the names that kohya-ss gives their LoRA."""
    for key in model.state_dict():
        if key.startswith("diffusion_model.") and key.endswith(".weight"):
            key_map["lora_unet_" + key[len("diffusion_model.") : -len(".weight")].replace(".", "_")] = key
    return key_map


def load_lora(lora, to_load):
    """Patches by the names of the weights: `up`, `down`, `alpha`."""
    names = [name for name in to_load if f"{name}.lora_up.weight" in lora]
    return {
        to_load[name]: (lora[f"{name}.lora_up.weight"], lora[f"{name}.lora_down.weight"], float(lora[f"{name}.alpha"]))
        for name in names
    }


def _copied(options: dict[str, Any]) -> dict[str, Any]:
    """Dictionaries and lists are copied, what is in them is shared."""
    copies: dict[str, Any] = {}
    for name, value in options.items():
        copies[name] = _copied(value) if isinstance(value, dict) else list(value) if isinstance(value, list) else value
    return copies


class ModelPatcher:
    def __init__(self, model):
        self.model = model
        self.model_options: dict[str, Any] = {"transformer_options": {}}
        self.patches: dict[str, list[Any]] = {}
        self.wrappers: dict[str, dict[str, list[Any]]] = {}

    def add_wrapper_with_key(self, kind, key, wrapper):
        self.wrappers.setdefault(kind, {}).setdefault(key, []).append(wrapper)

    def remove_wrappers_with_key(self, kind, key):
        self.wrappers.get(kind, {}).pop(key, None)

    def add_patches(self, patches, strength=1.0):
        """Patches of weights, which are applied when the model is loaded. Gives those that fit."""
        state = self.model.state_dict()
        found = [key for key in patches if key in state]
        for key in found:
            self.patches.setdefault(key, []).append((strength, patches[key]))
        return found

    @contextlib.contextmanager
    def loaded(self):
        """The model with its weights patched."""
        state = self.model.state_dict()
        before = {key: state[key].clone() for key in self.patches}
        for key, patches in self.patches.items():
            for strength, (up, down, alpha) in patches:
                state[key] += strength * alpha / down.shape[0] * (up @ down)
        try:
            yield self.model.diffusion_model
        finally:
            for key, weight in before.items():
                state[key].copy_(weight)

    def clone(self):
        other = ModelPatcher(self.model)
        other.patches, other.wrappers = _copied(self.patches), _copied(self.wrappers)
        other.model_options = copy.deepcopy(self.model_options)
        return other

    def get_model_object(self, name):
        return getattr(self.model, name)

    def set_model_attn2_replace(self, patch, block_name, number, transformer_index=None):
        self.set_model_patch_replace(patch, "attn2", block_name, number, transformer_index)

    def set_model_patch_replace(self, patch, name, block_name, number, transformer_index=None):
        key = (block_name, number) if transformer_index is None else (block_name, number, transformer_index)
        options = self.model_options["transformer_options"]
        options.setdefault("patches_replace", {}).setdefault(name, {})[key] = patch

    @property
    def attn2(self):
        return self.model_options["transformer_options"].get("patches_replace", {}).get("attn2", {})

    def model_patches_to(self, target):
        """On loading with the device and with the number type, on unloading with the offload device."""
        for key, patch in self.attn2.items():
            if hasattr(patch, "to"):
                self.attn2[key] = patch.to(target)

    def model_patches_models(self):
        return [model for patch in self.attn2.values() if hasattr(patch, "models") for model in patch.models()]


def patcher(unet):
    return ModelPatcher(BaseModel(unet))


def run_chunks(model, x, sigma, contexts, chunks):
    """One pass of the model over a batch of chunks: `chunks` are ComfyUI's `cond_or_uncond`, `contexts` the text of
    each kind. Gives each chunk's prediction."""
    batch = x.shape[0]
    options = _copied(model.model_options)["transformer_options"]
    options["cond_or_uncond"] = list(chunks)
    options["sigmas"] = torch.full((batch * len(chunks),), float(sigma))
    context = torch.cat([contexts[chunk].expand(batch, -1, -1) for chunk in chunks])
    time = torch.full((batch * len(chunks),), model.get_model_object("model_sampling").timestep(sigma))
    scaled = (x / math.sqrt(float(sigma) ** 2 + 1)).to(x.dtype)
    with model.loaded() as unet:
        result = unet(torch.cat([scaled] * len(chunks)), time, context, options)
    return result.chunk(len(chunks))


def sample(model, x, sigmas, contexts, scale):
    """Euler's method with classifier-free guidance, both sides in one batch, the unconditional one first."""
    for sigma, after in zip(sigmas, sigmas[1:]):
        uncond, cond = run_chunks(model, x, sigma, contexts, [1, 0])
        x = x + (uncond + (cond - uncond) * scale) * (after - sigma)
    return x
