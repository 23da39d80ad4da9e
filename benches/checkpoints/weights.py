"""Random weights with the names and shapes of the published files that docs/checkpoints.md lists.

The shapes are facts about those files; tests/published_models.rs recognises the models by the same ones. Numbers are in
f16, the type of most of them, and repeat after 16 million: neither time nor memory depends on their values.
"""

import math
import sys
from pathlib import Path

# PyTorch is imported where files are written: `measure.py` asks for names only, and has to stay small, since a process
# counts the memory of the one that started it.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "parity"))

#: Widths of the UNets' cross-attentions in the order of the adapters' layers: module registration order.
SD15 = [320] * 2 + [640] * 2 + [1280] * 5 + [640] * 3 + [320] * 3 + [1280]
SDXL = [640] * 4 + [1280] * 50 + [640] * 6 + [1280] * 10
CONTEXT = {"sd15": 768, "sdxl": 2048}


def affine(name, rows, columns):
    return {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}


def norm(name, width):
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def under(prefix, shapes):
    return {prefix + name: shape for name, shape in shapes.items()}


def image_projection(features, tokens, width):
    return affine("proj", tokens * width, features) | norm("norm", width)


def embedding_mlp(inputs, inner, tokens, width):
    return affine("proj.0", inner, inputs) | affine("proj.2", tokens * width, inner) | norm("norm", width)


def perceiver_block(name, width, heads):
    inner = 64 * heads
    return norm(f"{name}.0.norm1", width) | norm(f"{name}.0.norm2", width) | norm(f"{name}.1.0", width) | {
        f"{name}.0.to_q.weight": (inner, width), f"{name}.0.to_kv.weight": (2 * inner, width),
        f"{name}.0.to_out.weight": (width, inner), f"{name}.1.1.weight": (4 * width, width),
        f"{name}.1.3.weight": (width, 4 * width),
    }  # fmt: skip


def perceiver(features, width, heads, output):
    shapes = affine("proj_in", width, features) | affine("proj_out", output, width) | norm("norm_out", output)
    for layer in range(4):
        shapes |= perceiver_block(f"layers.{layer}", width, heads)
    return shapes


def resampler(features, width, heads, output, tokens=16):
    return {"latents": (1, tokens, width)} | perceiver(features, width, heads, output)


def face_id_plus(width):
    return embedding_mlp(512, 1024, 4, width) | under(
        "perceiver_resampler.", perceiver(1280, width, width // 64, width)
    )


def full_face(width):
    return affine("proj.0", 1280, 1280) | affine("proj.2", width, 1280) | norm("proj.3", width)


def unet_layers(host, lora=False, names=("to_k_ip", "to_v_ip")):
    """Cross-attention has the odd numbers, self-attention the even ones, which have nothing but a LoRA."""
    shapes, context = {}, CONTEXT[host]
    for place, width in enumerate(SD15 if host == "sd15" else SDXL):
        shapes |= {f"{2 * place + 1}.{name}.weight": (width, context) for name in names}
        if lora:
            for number, other in ((2 * place, width), (2 * place + 1, context)):
                for part, inputs in (("to_q", width), ("to_k", other), ("to_v", other), ("to_out", width)):
                    shapes[f"{number}.{part}_lora.down.weight"] = (128, inputs)
                    shapes[f"{number}.{part}_lora.up.weight"] = (width, 128)
    return shapes


def block_layers(count, width, context):
    return {f"{i}.{side}.weight": (width, context) for i in range(count) for side in ("to_k_ip", "to_v_ip")}


def residual_layers(count, inner, context):
    shapes = {}
    for i in range(count):
        shapes |= norm(f"{i}.norm1", context) | norm(f"{i}.norm2", 3072) | {
            f"{i}.to_q.weight": (inner, 3072), f"{i}.to_kv.weight": (2 * inner, context),
            f"{i}.to_out.weight": (3072, inner),
        }  # fmt: skip
    return shapes


def pulid_mapping(name, inputs, last):
    shapes = affine(f"{name}.0", 1024, inputs) | affine(f"{name}.3", 1024, 1024) | affine(f"{name}.6", last, 1024)
    return shapes | norm(f"{name}.1", 1024) | norm(f"{name}.4", 1024)


def pulid_v1():
    shapes = pulid_mapping("body", 1280, 10240)
    for level in range(5):
        shapes |= pulid_mapping(f"mapping_{level}", 1024, 2048) | pulid_mapping(f"mapping_patch_{level}", 1024, 2048)
    return shapes


def id_former():
    shapes = {"latents": (1, 32, 1024), "proj_out": (1024, 2048)} | pulid_mapping("id_embedding_mapping", 1280, 5120)
    for level in range(5):
        shapes |= pulid_mapping(f"mapping_{level}", 1024, 1024)
    for layer in range(10):
        shapes |= perceiver_block(f"layers.{layer}", 1024, 16)
    return shapes


def xlabs(tokens):
    shapes = under("ip_adapter_proj_model.", image_projection(768, tokens, 4096))
    for i in range(19):
        for side in "kv":
            shapes |= affine(f"double_blocks.{i}.processor.ip_adapter_double_stream_{side}_proj", 3072, 4096)
    return shapes


def instantx_sd35():
    shapes = resampler(1152, 1280, 20, 2432, tokens=64)
    shapes |= affine("time_embedding.linear_1", 1280, 320) | affine("time_embedding.linear_2", 1280, 1280)
    for layer in range(4):
        shapes |= affine(f"layers.{layer}.2.1", 5120, 1280)
    layers = block_layers(38, 2432, 2432)
    for layer in range(38):
        layers |= affine(f"{layer}.norm_ip.linear", 4864, 1280)
        layers |= {f"{layer}.{name}.weight": (64,) for name in ("norm_q", "norm_k", "norm_ip_k")}
    return ip_adapter(shapes, layers)


def with_anyone():
    shapes = under("siglip_in_sig.", affine("0", 3072, 768) | norm("2", 3072) | affine("3", 3072, 3072))
    for part in ("arc", "sig"):
        shapes |= under(f"arcface_in_{part}.", affine("0", 12288, 512) | norm("2", 12288) | affine("3", 24576, 12288))
        shapes |= under(f"ipa_{part}.", residual_layers(57, 1536, 3072))
    return shapes


def ip_adapter(projection, layers):
    return under("image_proj.", projection) | under("ip_adapter.", layers)


def pulid_sdxl(projection):
    layers = unet_layers("sdxl", names=("id_to_k", "id_to_v"))
    return under("id_adapter.", projection) | under("id_adapter_attn_layers.", layers)


#: By the name of the file in the page's commands.
ADAPTERS = {
    "ip-adapter_sd15.safetensors": lambda: ip_adapter(image_projection(1024, 4, 768), unet_layers("sd15")),
    "ip-adapter-plus_sd15.safetensors": lambda: ip_adapter(resampler(1280, 768, 12, 768), unet_layers("sd15")),
    "ip-adapter-plus-face_sd15.safetensors": lambda: ip_adapter(resampler(1280, 768, 12, 768), unet_layers("sd15")),
    "ip-adapter-full-face_sd15.safetensors": lambda: ip_adapter(full_face(768), unet_layers("sd15")),
    "ip-adapter_sdxl.safetensors": lambda: ip_adapter(image_projection(1280, 4, 2048), unet_layers("sdxl")),
    "ip-adapter-plus_sdxl_vit-h.safetensors": lambda: ip_adapter(resampler(1280, 1280, 20, 2048), unet_layers("sdxl")),
    "ip-adapter-faceid_sd15.bin": lambda: ip_adapter(embedding_mlp(512, 1024, 4, 768), unet_layers("sd15", True)),
    "ip-adapter-faceid-plus_sd15.bin": lambda: ip_adapter(face_id_plus(768), unet_layers("sd15", True)),
    "ip-adapter-faceid-plusv2_sd15.bin": lambda: ip_adapter(face_id_plus(768), unet_layers("sd15", True)),
    "ip-adapter-faceid-plusv2_sdxl.bin": lambda: ip_adapter(face_id_plus(2048), unet_layers("sdxl", True)),
    "ip-adapter-faceid-portrait_sd15.bin": lambda: ip_adapter(embedding_mlp(512, 1024, 16, 768), unet_layers("sd15")),
    "ip-adapter-faceid-portrait_sdxl_unnorm.bin": lambda: ip_adapter(
        resampler(512, 1280, 20, 2048), unet_layers("sdxl")
    ),
    "InstantID/ip-adapter.bin": lambda: ip_adapter(resampler(512, 1280, 20, 2048), unet_layers("sdxl")),
    "pulid_v1.bin": lambda: pulid_sdxl(pulid_v1()),
    "pulid_v1.1.safetensors": lambda: pulid_sdxl(id_former()),
    "pulid_flux_v0.9.1.safetensors": lambda: (
        under("pulid_encoder.", id_former()) | under("pulid_ca.", residual_layers(20, 2048, 2048))
    ),
    "flux-ip-adapter/ip_adapter.safetensors": lambda: xlabs(4),
    "FLUX.1-dev-IP-Adapter/ip-adapter.bin": lambda: ip_adapter(
        embedding_mlp(1152, 2304, 128, 4096), block_layers(57, 3072, 4096)
    ),
    "SD3.5-Large-IP-Adapter/ip-adapter.bin": instantx_sd35,
    "withanyone.safetensors": with_anyone,
}


def write_adapter(path, shapes):
    """As safetensors, or as PyTorch writes it: a dictionary of two dictionaries, where names have two parts."""
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(7)
    numbers = torch.randn(1 << 24, generator=generator)
    tensors = {}
    for name, shape in shapes.items():
        size = math.prod(shape)
        values = numbers.repeat(-(-size // len(numbers)))[:size].view(shape) / math.sqrt(shape[-1])
        tensors[name] = (values + 1 if len(shape) == 1 and name.endswith("weight") else values).half()
    if path.suffix == ".safetensors":
        save_file(tensors, path)
        return
    groups = {}
    for name, value in tensors.items():
        group, rest = name.split(".", 1)
        groups.setdefault(group, {})[rest] = value
    torch.save(groups, path)


def write_image_encoder(folder, size):
    """CLIP or SigLIP as Hugging Face lays it out."""
    import torch
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection, SiglipVisionConfig, SiglipVisionModel

    clip = {
        "ViT-L": (1024, 4096, 24, 16, "quick_gelu", 768),
        "ViT-H": (1280, 5120, 32, 16, "gelu", 1024),
        "ViT-bigG": (1664, 8192, 48, 16, "gelu", 1280),
    }
    torch.manual_seed(1)
    if size in clip:
        width, inner, layers, heads, act, projection = clip[size]
        config = CLIPVisionConfig(
            hidden_size=width, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
            image_size=224, patch_size=14, hidden_act=act, projection_dim=projection,
        )  # fmt: skip
        CLIPVisionModelWithProjection(config).half().save_pretrained(folder)
        return
    width, inner, layers, heads, image, patch = {
        "SigLIP so400m": (1152, 4304, 27, 16, 384, 14), "SigLIP base": (768, 3072, 12, 12, 256, 16),
    }[size]  # fmt: skip
    config = SiglipVisionConfig(
        hidden_size=width, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
        image_size=image, patch_size=patch,
    )  # fmt: skip
    SiglipVisionModel(config).half().save_pretrained(folder)


def write_eva(path):
    """EVA02-CLIP-L/14-336 as its authors save it: the image tower beside the text's."""
    import torch
    from cases.vision_families import original_names
    from timm.models.eva import Eva

    torch.manual_seed(2)
    model = Eva(
        img_size=336, patch_size=14, embed_dim=1024, depth=24, num_heads=16, mlp_ratio=2730 / 1024, qkv_fused=False,
        swiglu_mlp=True, scale_mlp=True, scale_attn_inner=True, use_rot_pos_emb=True, ref_feat_shape=(16, 16),
        global_pool="token", num_classes=768,
    )  # fmt: skip
    tensors = {f"visual.{original_names(name)}": value.half() for name, value in model.state_dict().items()}
    tensors["logit_scale"] = torch.ones([])
    sine, cosine = model.rope.get_embed((24, 24)).chunk(2, -1)
    tensors |= {"visual.rope.freqs_sin": sine.half(), "visual.rope.freqs_cos": cosine.half()}
    torch.save(tensors, path)


def write_parser(path):
    import torch
    from cases.parsing import BiSeNet

    torch.manual_seed(3)
    torch.save(BiSeNet((64, 128, 256, 512), 128, 256, 256).state_dict(), path)


def write_recogniser(path, layers):
    import torch
    from cases.recogniser import IResNet, iresnet_graph, randomise

    torch.manual_seed(4)
    iresnet_graph(randomise(IResNet(layers, (64, 64, 128, 256, 512), 512)), path, 512, numbers=True)


NETWORKS = {
    "image_encoder": lambda path: write_image_encoder(path, "ViT-H"),
    "image_encoder_bigG": lambda path: write_image_encoder(path, "ViT-bigG"),
    "clip-vit-large-patch14": lambda path: write_image_encoder(path, "ViT-L"),
    "siglip-so400m-patch14-384": lambda path: write_image_encoder(path, "SigLIP so400m"),
    "siglip-base-patch16-256-i18n": lambda path: write_image_encoder(path, "SigLIP base"),
    "EVA02_CLIP_L_336_psz14_s6B.pt": write_eva,
    "parsing_bisenet.pth": write_parser,
    "w600k_r50.onnx": lambda path: write_recogniser(path, 50),
    "glintr100.onnx": lambda path: write_recogniser(path, 100),
}


def write(folder, name):
    """Writes the file, or the folder of an image encoder, of that name into `folder`."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if name in NETWORKS:
        NETWORKS[name](path)
    else:
        write_adapter(path, ADAPTERS[name]())


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2])
