"""What OmniID writes for other programs, loaded by those programs.

Makes a small native adapter and identity with random numbers, lets the `omniid` program convert them, and checks:

- torch.load(weights_only=True) reads the embeddings for diffusers and ComfyUI, with the right shapes and numbers;
- an unmodified diffusers UNet loads the full-face file and projects the embeddings to the same context tokens and
  the same keys and values as the native adapter's formula, and its forward pass takes them;
- a scale of 0 gives the bare UNet's output.

Run: python tests/parity/exports.py --program target/release/omniid [--seed N --tokens T --width W --context C]
Needs torch, diffusers and safetensors.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

import torch
from diffusers import UNet2DConditionModel
from safetensors import safe_open
from safetensors.torch import load_file, save_file


def small_unet(context):
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(32, 64, 64),
        norm_num_groups=8,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=context,
        attention_head_dim=4,
    ).eval()


def layer_table(unet, context):
    """The cross-attention layers in the order of the checkpoint, as OmniID's configuration writes them."""
    kinds = {"down_blocks": "input", "mid_block": "middle", "up_blocks": "output"}
    layers = []
    for key, name in enumerate(unet.attn_processors):
        module = unet.get_submodule(name.removesuffix(".processor"))
        if not name.endswith("attn2.processor"):
            continue
        inner = module.to_q.out_features
        layers.append(
            {
                "name": name.removesuffix(".processor"),
                "kind": kinds[name.split(".")[0]],
                "key": key,
                "heads": module.heads,
                "head_dim": inner // module.heads,
                "context": context,
                "execution": len(layers),
            }
        )
    return layers


def write_native(path, layers, args):
    """The adapter of a native checkpoint. Converting needs no other tensors, only their configuration."""

    def weight(rows, columns):
        return torch.randn(rows, columns) / columns**0.5

    tensors = {
        "adapter.proj.0.weight": weight(args.width, args.width),
        "adapter.proj.0.bias": torch.randn(args.width) * 0.1,
        "adapter.proj.2.weight": weight(args.context, args.width),
        "adapter.proj.2.bias": torch.randn(args.context) * 0.1,
        "adapter.proj.3.weight": 1 + torch.randn(args.context) * 0.1,
        "adapter.proj.3.bias": torch.randn(args.context) * 0.1,
    }
    for place, layer in enumerate(layers):
        for side in "kv":
            inner = layer["heads"] * layer["head_dim"]
            tensors[f"adapter.layers.{place}.to_{side}.weight"] = weight(inner, args.context)
    config = {
        "name": "exports",
        "backbone": {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": 56,
            "patch_size": 14,
            "hidden_act": "gelu",
        },
        "encoder": {
            "kind": "omni_id",
            "queries": args.tokens,
            "width": 32,
            "depth": 1,
            "heads": 2,
            "head_width": 16,
            "feed_forward_multiplier": 2,
            "feature_width": 32,
            "feature_tokens": 17,
            "token_width": args.width,
            "key_position": True,
            "include_class_token": True,
        },
        "host": {"name": "small", "family": "other", "layers": layers},
    }
    metadata = {"omniid.format": "1", "omniid.config": json.dumps(config), "omniid.fingerprint": "5" * 32}
    save_file(tensors, path, metadata)
    return tensors


def write_identity(path, args):
    tokens = torch.randn(args.tokens, args.width)
    metadata = {
        "omniid.identity": "1",
        "omniid.encoder": "omni_id",
        "omniid.model": "5" * 32,
        "omniid.photos": "1",
        "omniid.label": "exports",
        "omniid.created": "2000-01-01T00:00:00Z",
        "omniid.consent": "",
    }
    save_file({"tokens": tokens}, path, metadata)
    return tokens


def same(what, a, b, limit=0.0):
    assert a.shape == b.shape, f"{what}: shapes {tuple(a.shape)} and {tuple(b.shape)}"
    difference = (a.double() - b.double()).abs().max().item()
    assert difference <= limit, f"{what}: differs by {difference}, at most {limit} allowed"
    print(f"{what}: {difference:.2e}")


@torch.no_grad()
def check(folder, args):
    def omniid(*words):
        subprocess.run([args.program, "convert", *words, "--force"], cwd=folder, check=True, stdout=subprocess.DEVNULL)

    unet = small_unet(args.context)
    layers = layer_table(unet, args.context)
    native = write_native(folder / "native.safetensors", layers, args)
    tokens = write_identity(folder / "a.omniid", args)
    omniid("full-face", "-c", "native.safetensors", "-o", "full-face.safetensors")
    omniid("diffusers", "a.omniid", "-o", "a.safetensors")
    omniid("diffusers", "a.omniid", "-o", "a.pt")
    omniid("diffusers", "a.omniid", "--dtype", "f16", "--no-guidance", "-o", "half.pt")
    omniid("comfyui", "a.omniid", "-o", "a.ipadpt", "--negative-output", "negative.ipadpt")

    both = torch.stack([torch.zeros_like(tokens), tokens]).unsqueeze(1)
    embeds = torch.load(folder / "a.pt", weights_only=True)
    assert isinstance(embeds, list) and len(embeds) == 1
    same("torch file for diffusers", embeds[0], both)
    same("safetensors for diffusers", load_file(folder / "a.safetensors")["image_embeds"], both)
    half = torch.load(folder / "half.pt", weights_only=True, mmap=True)[0]
    assert half.dtype == torch.float16
    same("f16 without guidance", half, tokens.half()[None, None])
    same("pos_embed for ComfyUI", torch.load(folder / "a.ipadpt", weights_only=True), tokens[None])
    same(
        "neg_embed for ComfyUI",
        torch.load(folder / "negative.ipadpt", weights_only=True),
        torch.zeros_like(tokens)[None],
    )

    sample, text = torch.randn(2, 4, 16, 16), torch.randn(2, 7, args.context)
    bare = unet(sample, 10, text).sample
    state = {"image_proj": {}, "ip_adapter": {}}
    with safe_open(folder / "full-face.safetensors", "pt") as file:
        for name in file.keys():
            part, rest = name.split(".", 1)
            state[part][rest] = file.get_tensor(name)
    unet._load_ip_adapter_weights([state], low_cpu_mem_usage=False)

    context = unet.encoder_hid_proj([embeds[0]])[0]
    x = torch.nn.functional.linear(both, native["adapter.proj.0.weight"], native["adapter.proj.0.bias"])
    x = torch.nn.functional.gelu(x)
    x = torch.nn.functional.linear(x, native["adapter.proj.2.weight"], native["adapter.proj.2.bias"])
    gain, shift = native["adapter.proj.3.weight"], native["adapter.proj.3.bias"]
    expected = torch.nn.functional.layer_norm(x, (args.context,), gain, shift)
    same("context tokens in diffusers", context, expected, 1e-5)
    worst = 0.0
    for place, layer in enumerate(layers):
        processor = unet.attn_processors[layer["name"] + ".processor"]
        for side, modules in (("k", processor.to_k_ip), ("v", processor.to_v_ip)):
            ours = expected @ native[f"adapter.layers.{place}.to_{side}.weight"].T
            worst = max(worst, (modules[0](context) - ours).abs().max().item())
    assert worst <= 1e-5, f"keys and values differ by {worst}"
    print(f"keys and values of {len(layers)} layers: {worst:.2e}")

    def forward(scale):
        for processor in unet.attn_processors.values():
            if hasattr(processor, "scale"):
                processor.scale = [scale]
        return unet(sample, 10, text, added_cond_kwargs={"image_embeds": embeds}).sample

    same("scale 0 and the bare UNet", forward(0.0), bare, 1e-6)
    assert (forward(1.0) - bare).abs().max() > 1e-4, "the identity changes nothing"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=lambda path: pathlib.Path(path).resolve(), required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--context", type=int, default=48)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        check(pathlib.Path(folder), args)
    print("all equal")


if __name__ == "__main__":
    main()
