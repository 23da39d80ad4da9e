"""Projections of public IP-Adapter files, loaded by diffusers' own converter: base, full-face, Plus."""

import torch
from diffusers.loaders.unet import UNet2DConditionLoadersMixin

from .common import save, start

NAME = "projection"


def add_options(group):
    group.add_argument("--resampler-width", type=int, default=48)
    group.add_argument("--resampler-heads", type=int, default=1)
    group.add_argument("--resampler-tokens", type=int, default=16)
    group.add_argument("--projection-features", type=int, default=64, help="width of image features")
    group.add_argument("--projection-context", type=int, default=40, help="context width of the host")
    group.add_argument("--projection-inputs", type=int, default=17, help="feature tokens per photo")


def weight(rows, columns):
    return torch.randn(rows, columns) / columns**0.5


def norm(name, width):
    return {f"{name}.weight": 1 + 0.1 * torch.randn(width), f"{name}.bias": 0.1 * torch.randn(width)}


def affine(name, rows, columns):
    return {f"{name}.weight": weight(rows, columns), f"{name}.bias": 0.1 * torch.randn(rows)}


def base(features, context):
    return {**affine("proj", 4 * context, features), **norm("norm", context)}


def full_face(features, context):
    return {
        **affine("proj.0", features, features),
        **affine("proj.2", context, features),
        **norm("proj.3", context),
    }


def resampler(width, heads, tokens, features, context, depth=4):
    state = {"latents": torch.randn(1, tokens, width), **affine("proj_in", width, features)}
    for d in range(depth):
        state |= norm(f"layers.{d}.0.norm1", width) | norm(f"layers.{d}.0.norm2", width)
        state[f"layers.{d}.0.to_q.weight"] = weight(64 * heads, width)
        state[f"layers.{d}.0.to_kv.weight"] = weight(128 * heads, width)
        state[f"layers.{d}.0.to_out.weight"] = weight(width, 64 * heads)
        state |= norm(f"layers.{d}.1.0", width)
        state[f"layers.{d}.1.1.weight"] = weight(4 * width, width)
        state[f"layers.{d}.1.3.weight"] = weight(width, 4 * width)
    return state | affine("proj_out", context, width) | norm("norm_out", context)


def generate(folder, options):
    features, context = options.projection_features, options.projection_context
    inputs = options.projection_inputs
    plus = (options.resampler_width, options.resampler_heads, options.resampler_tokens)
    # Case: weights, container, shape of one photo's features.
    cases = {
        "resampler_a": (lambda: resampler(*plus, features, context), "safetensors", (inputs, features)),
        "resampler_b": (lambda: resampler(24, 2, 20, 40, 56), "bin", (26, 40)),
        "full_face_a": (lambda: full_face(features, context), "safetensors", (inputs, features)),
        "full_face_b": (lambda: full_face(36, 52), "bin", (9, 36)),
        "base_a": (lambda: base(features, context), "safetensors", (features,)),
        "base_b": (lambda: base(28, 44), "bin", (28,)),
    }
    for case, (build, container, shape) in cases.items():
        start(NAME, case, options)
        state = build()
        photos = torch.randn(2, *shape)
        model = UNet2DConditionLoadersMixin()._convert_ip_adapter_image_proj_to_diffusers(
            state, low_cpu_mem_usage=False
        )
        with torch.no_grad():
            tokens = model.eval()(photos)
        assert tokens.shape[0] == 2
        width = tokens.shape[-1]
        layer = {"1.to_k_ip.weight": weight(8, width), "1.to_v_ip.weight": weight(8, width)}
        path = folder / case / f"ip-adapter.{container}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if container == "bin":
            torch.save({"image_proj": state, "ip_adapter": layer}, path)
        else:
            flat = {f"image_proj.{name}": tensor for name, tensor in state.items()}
            save(path, flat | {f"ip_adapter.{name}": tensor for name, tensor in layer.items()})
        save(folder / case / "expected.safetensors", {"features": photos, "tokens": tokens})
