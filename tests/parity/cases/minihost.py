"""The minihost: small `UNet2DConditionModel`s of diffusers, alone and with an identity by diffusers' IP-Adapter.

The weights are rounded to f16 and stored so; both sides compute in f32.
"""

import json

import torch
from diffusers import UNet2DConditionModel

from . import common

NAME = "minihost"

_IDENTITY_WIDTH = 6
_IDENTITY_TOKENS = 5


def add_options(group):
    group.add_argument("--minihost-channels", default="8,16", help="widths of the levels, multiples of 8")


def generate(folder, options):
    """Writes one folder per UNet: config.json, model, adapter, golden inputs and outputs."""
    channels = [int(width) for width in options.minihost_channels.split(",")]
    with torch.no_grad():
        _case(folder, "linear", options, _linear(channels))
        _case(folder, "convolution", options, _convolution(channels))
        _case(folder, "plain", options, _plain(channels))


def _linear(channels):
    """The usual minihost: transformers everywhere, linear projections, a class vector."""
    levels = len(channels)
    return dict(
        sample_size=4,
        in_channels=12,
        out_channels=12,
        layers_per_block=1,
        block_out_channels=channels,
        norm_num_groups=4,
        down_block_types=["CrossAttnDownBlock2D"] * levels,
        up_block_types=["CrossAttnUpBlock2D"] * levels,
        cross_attention_dim=10,
        attention_head_dim=2,
        use_linear_projection=True,
        class_embed_type="projection",
        projection_class_embeddings_input_dim=7,
    )


def _convolution(channels):
    """What the usual one leaves out: 1x1 convolutions, plain blocks, sines first, a plain middle, two blocks each."""
    levels = len(channels)
    return dict(
        sample_size=4,
        in_channels=3,
        out_channels=5,
        layers_per_block=2,
        block_out_channels=channels,
        norm_num_groups=2,
        down_block_types=["DownBlock2D"] + ["CrossAttnDownBlock2D"] * (levels - 1),
        mid_block_type="UNetMidBlock2D",
        up_block_types=["CrossAttnUpBlock2D"] * (levels - 1) + ["UpBlock2D"],
        cross_attention_dim=10,
        attention_head_dim=[width // 4 for width in channels],
        flip_sin_to_cos=False,
        freq_shift=1,
    )


def _plain(channels):
    """The built-in minihost: no transformer at the finest level, a time embedding of its own width; and deeper ones."""
    levels = len(channels)
    return dict(
        _linear(channels),
        down_block_types=["DownBlock2D"] + ["CrossAttnDownBlock2D"] * (levels - 1),
        up_block_types=["CrossAttnUpBlock2D"] * (levels - 1) + ["UpBlock2D"],
        time_embedding_dim=24,
        transformer_layers_per_block=2,
    )


def _rounded(tensors):
    return {name: tensor.half() for name, tensor in tensors.items()}


def _adapter(unet, context):
    """A full-face IP-Adapter, the public form of a native adapter."""
    width = _IDENTITY_WIDTH
    adapter = {
        "image_proj": {
            "proj.0.weight": torch.randn(width, width) / width**0.5,
            "proj.0.bias": 0.1 * torch.randn(width),
            "proj.2.weight": torch.randn(context, width) / width**0.5,
            "proj.2.bias": 0.1 * torch.randn(context),
            "proj.3.weight": 1 + 0.1 * torch.randn(context),
            "proj.3.bias": 0.1 * torch.randn(context),
        },
        "ip_adapter": {},
    }
    for index, name in enumerate(unet.attn_processors):
        if not name.endswith("attn2.processor"):
            continue
        inner = unet.get_submodule(name.removesuffix(".processor")).inner_dim
        for side in ("k", "v"):
            weight = torch.randn(inner, context) / context**0.5
            adapter["ip_adapter"][f"{index}.to_{side}_ip.weight"] = weight
    return {
        part: {name: tensor.half().float() for name, tensor in tensors.items()} for part, tensors in adapter.items()
    }


def _case(folder, case, options, config):
    common.start(NAME, case, options)
    out = folder / case
    out.mkdir(parents=True, exist_ok=True)
    unet = common.randomise(UNet2DConditionModel(**config))
    for parameter in unet.parameters():
        parameter.copy_(parameter.half().float())
    common.save(out / "model.safetensors", _rounded(unet.state_dict()))
    fields = {name: value for name, value in unet.config.items() if not name.startswith("_")}
    fields["_class_name"] = "UNet2DConditionModel"
    (out / "config.json").write_text(json.dumps(fields, indent=1) + "\n")
    height, width = 4, 6
    golden = {
        "sample": torch.randn(2, config["in_channels"], height, width),
        "time": torch.tensor([400.0, 650.5]),
        "context": torch.randn(2, 3, config["cross_attention_dim"]),
        "identity": torch.randn(2, _IDENTITY_TOKENS, _IDENTITY_WIDTH),
    }
    if "class_embed_type" in config:
        golden["class"] = torch.randn(2, config["projection_class_embeddings_input_dim"])
    inputs = dict(
        sample=golden["sample"],
        timestep=golden["time"],
        encoder_hidden_states=golden["context"],
        class_labels=golden.get("class"),
    )
    golden["alone"] = unet(**inputs).sample
    adapter = _adapter(unet, config["cross_attention_dim"])
    flat = {f"{part}.{name}": tensor for part, tensors in adapter.items() for name, tensor in tensors.items()}
    common.save(out / "adapter.safetensors", _rounded(flat))
    unet._load_ip_adapter_weights([adapter], low_cpu_mem_usage=False)
    unet.eval()
    embeds = [golden["identity"].unsqueeze(1)]
    golden["with_identity"] = unet(**inputs, added_cond_kwargs={"image_embeds": embeds}).sample
    common.save(out / "golden.safetensors", golden)
