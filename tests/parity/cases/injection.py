"""Injection: what diffusers adds to each attention layer, and how it names and orders the layers.

Small UNets and a small FLUX transformer are given random adapters in the public formats through diffusers' own
loader. Every attention layer is then run twice by diffusers' own processor, with the adapter's scale and with scale
0; the difference before the output projection is what a plugin has to add. Weights are drawn so that it stays
below one or so at any size: the limits of the half types are absolute.
"""

import json
import math
import pathlib

import torch
import torch.nn.functional as F
from diffusers import FluxTransformer2DModel, UNet2DConditionModel
from diffusers.image_processor import IPAdapterMaskProcessor
from safetensors.torch import save_file

NAME = "injection"

# What diffusers reads a base IP-Adapter with.
_TOKENS = 4


def add_options(group):
    group.add_argument("--injection-channels", default="16,32,32", help="widths of the levels, multiples of 16")
    group.add_argument("--injection-context", type=int, default=24)


def generate(folder, options):
    """Writes all golden files of this area into `folder`."""
    out = pathlib.Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    seed, context = options.seed, options.injection_context
    channels = [int(width) for width in options.injection_channels.split(",")]
    with torch.no_grad():
        _unet_case(out / "sd", seed, _sd_config(channels, context), [0.7], photos=2)
        _unet_case(out / "sd_masked", seed + 1, _sd_config(channels, context), [0.7, 0.4], masked=True)
        _unet_case(out / "sdxl", seed + 2, _sdxl_config(channels, context), [0.8, -0.4])
        _flux_case(out / "flux", seed + 3)
        _layer_tables(out)
        _mask_grids(out, seed + 4)


def _sd_config(channels, context):
    """The layout of SD1.5: one transformer block per attention, a plain lowest level, one head count."""
    levels = len(channels)
    return dict(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=channels,
        norm_num_groups=8,
        down_block_types=["CrossAttnDownBlock2D"] * (levels - 1) + ["DownBlock2D"],
        up_block_types=["UpBlock2D"] + ["CrossAttnUpBlock2D"] * (levels - 1),
        cross_attention_dim=context,
        attention_head_dim=4,
    )


def _sdxl_config(channels, context):
    """The layout of SDXL: a plain finest level, deeper transformers below, one head width."""
    levels = len(channels)
    return dict(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=channels,
        norm_num_groups=8,
        down_block_types=["DownBlock2D"] + ["CrossAttnDownBlock2D"] * (levels - 1),
        up_block_types=["CrossAttnUpBlock2D"] * (levels - 1) + ["UpBlock2D"],
        cross_attention_dim=context,
        attention_head_dim=[width // 8 for width in channels],
        transformer_layers_per_block=[1] + [2 + level for level in range(levels - 1)],
        use_linear_projection=True,
    )


def _random(*shape, generator, scale=1.0):
    return torch.randn(*shape, generator=generator) * scale


def _randomise(model, generator):
    for parameter in model.parameters():
        parameter.copy_(_random(*parameter.shape, generator=generator, scale=0.5 / math.sqrt(parameter.shape[-1])))


def _adapter(model, context, tokens, generator):
    """A base IP-Adapter in the public layout, `{prefix: {key: tensor}}`."""
    projection = {
        "proj.weight": _random(tokens * context, 12, generator=generator, scale=0.3),
        "proj.bias": _random(tokens * context, generator=generator, scale=0.3),
        "norm.weight": 1 + _random(context, generator=generator, scale=0.1),
        "norm.bias": _random(context, generator=generator, scale=0.1),
    }
    layers = {}
    for index, name in enumerate(model.attn_processors):
        if not name.endswith("attn2.processor"):
            continue
        width = model.get_submodule(name.removesuffix(".processor")).inner_dim
        for side in ("k", "v"):
            layers[f"{index}.to_{side}_ip.weight"] = _random(
                width, context, generator=generator, scale=0.6 / math.sqrt(context)
            )
    return {"image_proj": projection, "ip_adapter": layers}


def _save_adapter(path, adapter, prefixes):
    flat = {
        f"{prefixes[part]}{key}": value.contiguous()
        for part, entries in adapter.items()
        for key, value in entries.items()
    }
    save_file(flat, path)


class _Recorder:
    """Runs a layer's own processor without and with the adapter and keeps both results."""

    def __init__(self, attn, name, store):
        self.inner, self.name, self.store = attn.processor, name, store

    def __call__(
        self,
        attn,
        hidden_states,
        encoder_hidden_states=None,
        attention_mask=None,
        temb=None,
        scale=1.0,
        ip_adapter_masks=None,
    ):
        seen = {}
        hooks = [
            attn.to_q.register_forward_hook(lambda _, __, output: seen.update(query=output.clone())),
            attn.to_out[0].register_forward_pre_hook(lambda _, inputs: seen.update(out=inputs[0].clone())),
        ]
        arguments = (attn, hidden_states, encoder_hidden_states, attention_mask, temb, scale, ip_adapter_masks)
        scales = list(self.inner.scale)
        self.inner.scale[:] = [0.0] * len(scales)
        self.inner(*arguments)
        without = seen["out"]
        self.inner.scale[:] = scales
        result = self.inner(*arguments)
        for hook in hooks:
            hook.remove()
        self.store[f"query.{self.name}"] = seen["query"]
        self.store[f"delta.{self.name}"] = seen["out"] - without
        return result


def _unet_case(path, seed, config, scales, photos=1, masked=False):
    generator = torch.Generator().manual_seed(seed)
    unet = UNet2DConditionModel(**config).eval()
    _randomise(unet, generator)
    context = config["cross_attention_dim"]
    adapters = [_adapter(unet, context, _TOKENS, generator) for _ in scales]
    path.mkdir(parents=True, exist_ok=True)
    for number, adapter in enumerate(adapters):
        prefixes = {"image_proj": "image_proj.", "ip_adapter": "ip_adapter."}
        _save_adapter(path / f"adapter{number}.safetensors", adapter, prefixes)
    unet._load_ip_adapter_weights(adapters, low_cpu_mem_usage=False)
    store, spy = {}, {}
    unet.encoder_hid_proj.register_forward_hook(lambda _, __, output: spy.update(tokens=output))
    for name, module in unet.named_modules():
        if name.endswith("attn2"):
            module.processor.scale[:] = scales
            recorder = _Recorder(module, name, store)
            module.set_processor(recorder)
    height, width = 8, 12
    embeds = [_random(2, photos, 12, generator=generator) for _ in scales]
    extra = {}
    if masked:
        masks = [_blob(64, 96, number) for number in range(len(scales))]
        extra["cross_attention_kwargs"] = {"ip_adapter_masks": [mask[None, None] for mask in masks]}
        store.update({f"mask.{number}": mask for number, mask in enumerate(masks)})
    unet(
        _random(2, 4, height, width, generator=generator),
        torch.tensor(500),
        encoder_hidden_states=_random(2, 7, context, generator=generator),
        added_cond_kwargs={"image_embeds": embeds},
        **extra,
    )
    # Row 0 is the unconditional one, as diffusers orders guidance.
    store.update({f"tokens.{number}": value for number, value in enumerate(spy["tokens"])})
    store["scales"] = torch.tensor(scales)
    save_file({key: value.contiguous() for key, value in store.items()}, path / "golden.safetensors")
    text = json.dumps(
        {
            "_class_name": "UNet2DConditionModel",
            **{key: unet.config[key] for key in unet.config if not key.startswith("_")},
        },
        indent=1,
        default=list,
    )
    (path / "config.json").write_text(text + "\n")


def _blob(height, width, number):
    """A soft disc, somewhere else for each number."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    distance = torch.hypot(y - height * 0.5, x - width * (0.3 + 0.35 * number))
    return (1.2 - distance / (height * 0.45)).clamp(0, 1)


def _flux_case(path, seed):
    generator = torch.Generator().manual_seed(seed)
    heads, width, joint = 2, 16, 24
    model = FluxTransformer2DModel(
        patch_size=1,
        in_channels=4,
        num_layers=2,
        num_single_layers=1,
        attention_head_dim=width,
        num_attention_heads=heads,
        joint_attention_dim=joint,
        pooled_projection_dim=8,
        axes_dims_rope=(4, 4, 8),
    ).eval()
    _randomise(model, generator)
    embed = 12
    projection = {
        "proj.weight": _random(_TOKENS * joint, embed, generator=generator, scale=0.3),
        "proj.bias": _random(_TOKENS * joint, generator=generator, scale=0.3),
        "norm.weight": 1 + _random(joint, generator=generator, scale=0.1),
        "norm.bias": _random(joint, generator=generator, scale=0.1),
    }
    layers, xlabs = {}, {}
    for i in range(2):
        for side in ("k", "v"):
            for part, shape in (("weight", (heads * width, joint)), ("bias", (heads * width,))):
                value = _random(*shape, generator=generator, scale=0.6 / math.sqrt(joint))
                layers[f"{i}.to_{side}_ip.{part}"] = value
                xlabs[f"{i}.processor.ip_adapter_double_stream_{side}_proj.{part}"] = value
    path.mkdir(parents=True, exist_ok=True)
    _save_adapter(
        path / "adapter0.safetensors",
        {"image_proj": projection, "blocks": xlabs},
        {"image_proj": "ip_adapter_proj_model.", "blocks": "double_blocks."},
    )
    _save_adapter(
        path / "adapter_indexed.safetensors",
        {"image_proj": projection, "ip_adapter": layers},
        {"image_proj": "image_proj.", "ip_adapter": "ip_adapter."},
    )
    model._load_ip_adapter_weights([{"image_proj": projection, "ip_adapter": layers}], low_cpu_mem_usage=False)
    store = {}
    for i, block in enumerate(model.transformer_blocks):
        block.attn.processor.scale = [0.6]
        block.attn.norm_q.register_forward_hook(
            lambda _, __, output, i=i: store.update({f"query.transformer_blocks.{i}.attn": output.flatten(2)})
        )
        block.attn.register_forward_hook(
            lambda _, __, output, i=i: store.update({f"delta.transformer_blocks.{i}.attn": output[2].clone()})
        )
    model.encoder_hid_proj.register_forward_hook(
        lambda _, __, output: store.update(
            {f"tokens.{n}": value[:, None] if value.dim() == 3 else value for n, value in enumerate(output)}
        )
    )
    side = 6
    ids = torch.zeros(side * side, 3)
    ids[:, 1], ids[:, 2] = torch.arange(side * side) // side, torch.arange(side * side) % side
    model(
        _random(1, side * side, 4, generator=generator),
        encoder_hidden_states=_random(1, 5, joint, generator=generator),
        pooled_projections=_random(1, 8, generator=generator),
        timestep=torch.tensor([0.5]),
        img_ids=ids,
        txt_ids=torch.zeros(5, 3),
        joint_attention_kwargs={"ip_adapter_image_embeds": [_random(1, 1, embed, generator=generator)]},
    )
    store["scales"] = torch.tensor([0.6])
    save_file({key: value.contiguous() for key, value in store.items()}, path / "golden.safetensors")
    text = json.dumps(
        {
            "_class_name": "FluxTransformer2DModel",
            **{key: model.config[key] for key in model.config if not key.startswith("_")},
        },
        indent=1,
        default=list,
    )
    (path / "config.json").write_text(text + "\n")


# Configurations of the published models, from their config.json.
_SD15 = dict(
    sample_size=64,
    block_out_channels=(320, 640, 1280, 1280),
    layers_per_block=2,
    cross_attention_dim=768,
    attention_head_dim=8,
)
_SDXL = dict(
    sample_size=128,
    block_out_channels=(320, 640, 1280),
    layers_per_block=2,
    cross_attention_dim=2048,
    attention_head_dim=(5, 10, 20),
    transformer_layers_per_block=(1, 2, 10),
    use_linear_projection=True,
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    addition_embed_type="text_time",
    addition_time_embed_dim=256,
    projection_class_embeddings_input_dim=2816,
)


def _layer_tables(out):
    """Index, name and shapes of every cross-attention layer of the full-size models, in registration order."""
    tables = {}
    for name, config in (("sd15", _SD15), ("sdxl", _SDXL)):
        with torch.device("meta"):
            unet = UNet2DConditionModel(**config)
        rows = []
        for key, processor in enumerate(unet.attn_processors):
            if processor.endswith("attn2.processor"):
                attn = unet.get_submodule(processor.removesuffix(".processor"))
                rows.append([key, processor.removesuffix(".processor"), list(attn.to_k.weight.shape), attn.heads])
        tables[name] = rows
    (out / "layers.json").write_text(json.dumps(tables, indent=1) + "\n")


def _mask_grids(out, seed):
    """Masks at token resolution: diffusers' own code, and ComfyUI's formula on PyTorch's interpolation."""
    generator = torch.Generator().manual_seed(seed)
    store = {}
    # Mask height and width, latent height and width, token count.
    cases = [
        (64, 64, 64, 64, 4096),
        (64, 96, 32, 48, 384),
        (40, 56, 20, 28, 140),
        (33, 50, 33, 50, 17 * 25),
        (96, 64, 24, 16, 96),
        (10, 10, 48, 32, 384),
        (63, 65, 63, 65, 32 * 33),
        (50, 33, 25, 17, 13 * 9),
    ]
    for number, (height, width, rows, columns, tokens) in enumerate(cases):
        mask = torch.rand(height, width, generator=generator)
        store[f"mask.{number}"] = mask
        store[f"size.{number}"] = torch.tensor([rows, columns, tokens])
        store[f"diffusers.{number}"] = IPAdapterMaskProcessor.downsample(mask[None], 1, tokens, 1)[0, :, 0].clone()
        side = rows / math.sqrt(rows * columns / tokens)
        h = int(side) + int(tokens % int(side) != 0)
        grid = F.interpolate(mask[None, None], size=(h, tokens // h), mode="bilinear").flatten()
        missing = tokens - grid.numel()
        if missing >= 0:
            grid = F.pad(grid, (missing // 2, missing - missing // 2))
        else:
            grid = grid[(-missing) // 2 :][:tokens]
        store[f"comfyui.{number}"] = grid
    save_file({key: value.contiguous() for key, value in store.items()}, out / "masks.safetensors")
