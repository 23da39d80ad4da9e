"""SigLIP, DINOv2 and EVA02-CLIP under the names that their files have: hidden states, last state, image embedding."""

import timm
import torch
import transformers
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer

from .common import randomise, rounded_copy, save, save_expected, start

NAME = "vision_families"


def add_options(group):
    group.add_argument("--families-width", type=int, default=16, help="a multiple of 16")
    group.add_argument("--families-layers", type=int, default=2)


def generate(folder, options):
    width, layers = options.families_width, options.families_layers
    sizes = dict(hidden_size=width, num_hidden_layers=layers, num_attention_heads=4, image_size=30, patch_size=7)
    start(NAME, "siglip", options)
    config = transformers.SiglipVisionConfig(intermediate_size=3 * width, **sizes)
    siglip = randomise(transformers.SiglipVisionModel(config))
    transformers_case(folder / "siglip", siglip, 30)

    # The whole model with its text encoder.
    start(NAME, "siglip_text", options)
    text = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, vocab_size=9)
    text |= dict(bos_token_id=1, eos_token_id=2)
    both = transformers.SiglipModel(transformers.SiglipConfig(text_config=text, vision_config=config.to_dict()))
    both = randomise(both)
    both.save_pretrained(folder / "siglip_text")
    transformers_outputs(folder / "siglip_text", both.vision_model, pictures(30))

    for case, extra, kind in [
        ("dinov2", {}, "Dinov2"),
        ("dinov2_swiglu", {"use_swiglu_ffn": True}, "Dinov2"),
        ("dinov2_registers", {"num_register_tokens": 3}, "Dinov2WithRegisters"),
    ]:
        start(NAME, case, options)
        config = getattr(transformers, f"{kind}Config")(mlp_ratio=2, **sizes, **extra)
        model = randomise(getattr(transformers, f"{kind}Model")(config))
        transformers_case(folder / case, model, 30)
        # A picture of another size: positions are resampled.
        for name, size in [("larger", (42, 35)), ("smaller", (14, 21))]:
            pixels = torch.randn(1, 3, *size)
            transformers_outputs(folder / case, model, pixels, name)

    start(NAME, "siglip_open_clip", options)
    model = VisionTransformer(
        img_size=28,
        patch_size=7,
        embed_dim=width,
        depth=layers,
        num_heads=4,
        mlp_ratio=2,
        class_token=False,
        global_pool="map",
        num_classes=0,
        act_layer="gelu_tanh",
    )
    # timm passes the activation of blocks to the pooling's feed-forward part only by name.
    model.attn_pool.mlp.act = torch.nn.GELU(approximate="tanh")
    timm_case(folder / "siglip_open_clip", model, "visual.trunk.", 28, options)

    for case, prefix, names in [("eva02_timm", "", timm_names), ("eva02", "visual.", original_names)]:
        start(NAME, case, options)
        model = Eva(
            img_size=28,
            patch_size=7,
            embed_dim=width,
            depth=layers,
            num_heads=2,
            mlp_ratio=8 / 3,
            qkv_fused=False,
            swiglu_mlp=True,
            scale_mlp=True,
            scale_attn_inner=True,
            use_rot_pos_emb=True,
            ref_feat_shape=(16, 16),
            global_pool="token",
            num_classes=12,
        )
        timm_case(folder / case, model, prefix, 28, options, names)


def pictures(size):
    return torch.randn(2, 3, size, size)


def outputs(model, pixels):
    output = model(pixels, output_hidden_states=True)
    states = {f"hidden_states.{i}": state for i, state in enumerate(output.hidden_states)}
    return states | {"last_hidden_state": output.last_hidden_state, "image_embeds": output.pooler_output}


def transformers_outputs(folder, model, pixels, name="expected"):
    save_expected(folder, lambda dtype: outputs(rounded_copy(model, dtype), pixels), {"pixels": pixels}, name)


def transformers_case(folder, model, size):
    model.save_pretrained(folder)
    transformers_outputs(folder, model, pictures(size))


def timm_names(name):
    return name


# How the EVA-CLIP repository calls what timm calls otherwise.
ORIGINAL = [
    ("attn.q_proj.bias", "attn.q_bias"),
    ("attn.v_proj.bias", "attn.v_bias"),
    ("attn.norm.", "attn.inner_attn_ln."),
    ("mlp.fc1_g.", "mlp.w1."),
    ("mlp.fc1_x.", "mlp.w2."),
    ("mlp.norm.", "mlp.ffn_ln."),
    ("mlp.fc2.", "mlp.w3."),
]


def original_names(name):
    for timm_name, original in ORIGINAL:
        name = name.replace(timm_name, original)
    return name


def rope_tables(size, model):
    """The table of angles that EVA-CLIP's files hold, in f16."""
    sine, cosine = model.rope.get_embed((size // 7, size // 7)).chunk(2, -1)
    return {"freqs_sin": sine.half(), "freqs_cos": cosine.half()}


def timm_case(folder, model, prefix, size, options, names=timm_names):
    model = randomise(model)
    pixels = pictures(size)

    def expected(dtype):
        network = rounded_copy(model, dtype)
        if names is original_names:
            # The authors' program computes with the table of the file.
            tables = rope_tables(size, model)
            table = torch.cat([tables["freqs_sin"], tables["freqs_cos"]], -1).float()
            network.rope.get_embed = lambda *_, **__: table
        states = []
        for block in network.blocks:
            block.register_forward_pre_hook(lambda _, inputs: states.append(inputs[0]))
        last = network.forward_features(pixels)
        embeds = network.forward_head(last)
        states = {f"hidden_states.{i}": state for i, state in enumerate(states)}
        return states | {"last_hidden_state": last, "image_embeds": embeds}

    tensors = {prefix + names(name): tensor for name, tensor in model.state_dict().items()}
    if prefix:
        # What stands beside the image tower in such files.
        tensors["logit_scale"] = torch.ones([])
        tensors["text.token_embedding.weight"] = torch.ones(3, 4)
    if names is original_names:
        for name, table in rope_tables(size, model).items():
            tensors[f"{prefix}rope.{name}"] = table
            tensors[f"{prefix}blocks.0.attn.rope.{name}"] = table
    save(folder / "model.safetensors", tensors)
    save_expected(folder, expected, {"pixels": pixels})
