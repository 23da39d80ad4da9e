"""Projections that read face embeddings or pooled image embeddings, by diffusers' own modules: IP-Adapter FaceID,
Portrait, Plus and PlusV2, Portrait (unnorm), InstantID; InstantX FLUX."""

import json

import torch
from diffusers.loaders.unet import UNet2DConditionLoadersMixin

from .common import save, start
from .projections import affine, norm, resampler, weight

NAME = "faceid"


def add_options(group):
    group.add_argument("--faceid-embedding", type=int, default=32, help="width of a face embedding")
    group.add_argument("--faceid-context", type=int, default=24, help="context width of the host")
    group.add_argument("--faceid-features", type=int, default=20, help="width of image features")


def mlp(embedding, tokens, context):
    return {
        **affine("proj.0", 2 * embedding, embedding),
        **affine("proj.2", tokens * context, 2 * embedding),
        **norm("norm", context),
    }


def plus(embedding, features, context):
    """FaceID-Plus: the perceiver has no latents of its own and is as wide as the context."""
    perceiver = resampler(context, 1, 1, features, context)
    del perceiver["latents"]
    return mlp(embedding, 4, context) | {f"perceiver_resampler.{name}": tensor for name, tensor in perceiver.items()}


def module(state):
    convert = UNet2DConditionLoadersMixin()._convert_ip_adapter_image_proj_to_diffusers
    return convert(state, low_cpu_mem_usage=False).eval()


def write(folder, state, reference, container="safetensors", config=None):
    """`reference` makes inputs and outputs of a state. Outputs of weights that are rounded to 16 bits come along."""
    expected = reference(state)
    for name, dtype in [("f16", torch.float16), ("bf16", torch.bfloat16)]:
        outputs = reference({key: tensor.to(dtype).float() for key, tensor in state.items()})
        is_output = lambda key: key.startswith(("tokens", "unconditional"))
        expected |= {f"{key}_{name}": tensor for key, tensor in outputs.items() if is_output(key)}
    context = next(tensor for name, tensor in expected.items() if name.startswith("tokens")).shape[-1]
    layer = {"1.to_k_ip.weight": weight(8, context), "1.to_v_ip.weight": weight(8, context)}
    folder.mkdir(parents=True, exist_ok=True)
    if container == "bin":
        torch.save({"image_proj": state, "ip_adapter": layer}, folder / "ip-adapter.bin")
    else:
        flat = {f"image_proj.{name}": tensor for name, tensor in state.items()}
        flat |= {f"ip_adapter.{name}": tensor for name, tensor in layer.items()}
        save(folder / "ip-adapter.safetensors", flat)
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config) + "\n")
    save(folder / "expected.safetensors", expected)


@torch.no_grad()
def generate(folder, options):
    embedding, context, features = options.faceid_embedding, options.faceid_context, options.faceid_features

    # The references normalise the embedding before the projection; what comes in is raw.
    for case, tokens, container in [("faceid", 4, "bin"), ("portrait", 16, "safetensors")]:
        start(NAME, case, options)
        state, raw = mlp(embedding, tokens, context), 20 * torch.randn(3, embedding)

        def face_id(state, raw=raw):
            model, normalised = module(state), raw / raw.norm(dim=1, keepdim=True)
            zeros = torch.zeros(1, embedding)
            return {"embeddings": raw, "tokens": model(normalised), "unconditional": model(zeros)}

        write(folder / case, state, face_id, container)

    start(NAME, "plus", options)
    state, raw, images = plus(embedding, features, context), 20 * torch.randn(2, embedding), torch.randn(2, 9, features)

    def face_id_plus(state, raw=raw):
        model, normalised = module(state), raw / raw.norm(dim=1, keepdim=True)
        model.clip_embeds = images[:, None]
        expected = {"embeddings": raw, "features": images, "tokens_v1": model(normalised)}
        model.shortcut = True
        for scale in (1.0, 0.7):
            model.shortcut_scale = scale
            expected[f"tokens_v2_{scale}"] = model(normalised)
        # No identity: an embedding of zeros beside the features of a picture, of which "zero pixels" is one.
        model.shortcut_scale = 1.0
        expected["unconditional"] = model(torch.zeros_like(raw))
        return expected

    write(folder / "plus", state, face_id_plus)

    # InstantID reads each embedding by itself; to Portrait (unnorm) all embeddings of one person are one sequence.
    for case, photos, container in [("instantid", 2, "bin"), ("portrait_unnorm", 5, "safetensors")]:
        start(NAME, case, options)
        state, raw = resampler(16, 1, 6, 512, context), 20 * torch.randn(photos, 512)

        def face_resampler(state, raw=raw, each=case == "instantid"):
            model = module(state)
            tokens = model(raw[:, None] if each else raw[None])
            return {"embeddings": raw, "tokens": tokens, "unconditional": model(torch.zeros(1, 1, 512))}

        sizes = {"feature_width": 512, "width": 16, "depth": 4, "heads": 1, "head_width": 64, "inner_width": 64}
        config = {"kind": "face_id_portrait_unnorm", **sizes, "tokens": 6, "token_width": context}
        write(folder / case, state, face_resampler, container, config if case == "portrait_unnorm" else None)

    # The same network as FaceID's on SigLIP's pooled embedding, which is not normalised.
    start(NAME, "instantx", options)
    state, pooled = mlp(features, 5, context), torch.randn(2, features)

    def instant_x(state, pooled=pooled):
        model = module(state)
        return {"features": pooled, "tokens": model(pooled), "unconditional": model(torch.zeros(1, features))}

    config = {
        "kind": "instant_x_flux",
        "feature_width": features,
        "inner_width": 2 * features,
        "tokens": 5,
        "token_width": context,
    }
    write(folder / "instantx", state, instant_x, config=config)
