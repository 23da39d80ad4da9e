"""FaceID, InstantID and PuLID in small sizes with random numbers, for the UNets of the tests, and the same networks in
PyTorch: those of the parity tests (`tests/parity/cases`)."""

import json
import struct
import sys

import hook_contract
import native_model
import omniid
import torch
from conftest import ROOT, adapter_order

sys.path.append(str(ROOT / "tests" / "parity"))

from cases import faceid, identity_encoders, projections, recogniser, vision_families  # noqa: E402
from cases.common import randomise  # noqa: E402

EMBEDDING, RANK, CONTEXT = 512, 3, hook_contract.CONTEXT
EVA_WIDTH, EVA_CLASS, EVA_PATCHES = 16, 12, 16
"""Width of EVA02 here, of its class embedding, and how many patches it sees."""


def write(path, tensors, metadata=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: tensor.detach().float().contiguous().numpy() for name, tensor in tensors.items()}
    native_model.write_safetensors(path, arrays, metadata)
    return path


def write_recogniser(path, layers):
    """A face network of insightface's kind, as narrow as can be, by the names of its training code."""
    torch.manual_seed(layers)
    network = recogniser.randomise(recogniser.IResNet(layers, [4] * 5, EMBEDDING))
    pixels = torch.rand(4, 3, 112, 112) * 2 - 1
    network = recogniser.calibrate(network, pixels)
    # About the length of the public networks' embeddings.
    with torch.no_grad():
        length = network(pixels).norm(dim=1).mean()
        for part in (network.features.weight, network.features.bias):
            part.mul_(20 / length)
    state = network.state_dict()
    return write(path, {name: tensor for name, tensor in state.items() if tensor.is_floating_point()})


def write_faceid(path, unet, seed=21):
    """FaceID-PlusV2 with its LoRA in OmniID's own format, whose table knows ComfyUI's addresses. Gives its tensors."""
    torch.manual_seed(seed)
    layers = adapter_order(unet)
    host = [(module_name(address), attn.heads, attn.dim_head, CONTEXT) for address, attn in layers]
    addresses = [address for address, _ in layers]
    native_model.write(path, host=host, seed=seed, token_width=CONTEXT, family="sd15", addresses=addresses,
                       adapter="plain")  # fmt: skip
    tensors, config = read(path)
    tensors = {name: value for name, value in tensors.items() if not name.startswith("encoder.")}
    width = config["backbone"]["hidden_size"]
    encoder = faceid.plus(EMBEDDING, width, CONTEXT)
    tensors |= {f"encoder.{name}": value for name, value in encoder.items()}
    for place, (_, attn) in enumerate(layers):
        inner = attn.heads * attn.dim_head
        for kind, context in (("attn1", inner), ("attn2", CONTEXT)):
            for part, inputs in (("to_q", inner), ("to_k", context), ("to_v", context), ("to_out", inner)):
                name = f"lora.layers.{place}.{kind}.{part}"
                tensors[f"{name}.down.weight"] = projections.weight(RANK, inputs)
                tensors[f"{name}.up.weight"] = projections.weight(inner, RANK)
    config |= {
        "crop": {"mode": "aligned", "scale": 1.0},
        "encoder": {"kind": "face_id_plus", "embedding_width": EMBEDDING, "projection_width": 2 * EMBEDDING,
                    "feature_width": width, "depth": 4, "heads": 1, "head_width": 64, "inner_width": 4 * CONTEXT,
                    "tokens": 4, "token_width": CONTEXT, "shortcut": True},
    }  # fmt: skip
    write(path, tensors, {"omniid.format": "1", "omniid.config": json.dumps(config)})
    return tensors


def module_name(address):
    """ComfyUI's address of a cross-attention as a module of its UNet."""
    block, number, index, _ = address
    place = "middle_block.1" if block == "middle" else f"{block}_blocks.{number}.1"
    return f"{place}.transformer_blocks.{index}.attn2"


def read(path):
    """The tensors of a native file, and its configuration."""
    from reference import read_file

    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    return read_file(path), json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["omniid.config"])


def faceid_network(tensors):
    """diffusers' module with the weights of a native file."""
    state = {name.removeprefix("encoder."): value for name, value in tensors.items() if name.startswith("encoder.")}
    return faceid.module(state)


def merged(unet, tensors, strength):
    """The weights of a UNet with the LoRA of a native file in them."""
    state = {name: value.clone() for name, value in unet.state_dict().items()}
    for place, (address, _) in enumerate(adapter_order(unet)):
        block = module_name(address).removesuffix("attn2")
        for kind in ("attn1", "attn2"):
            for part in ("to_q", "to_k", "to_v", "to_out"):
                up, down = (tensors[f"lora.layers.{place}.{kind}.{part}.{side}.weight"] for side in ("up", "down"))
                weight = state[f"{block}{kind}.{part}{'.0' if part == 'to_out' else ''}.weight"]
                weight += strength * up @ down
    return state


class Public:
    """A model in the layout of the public files, for a UNet of the tests: keys and values by the numbers of diffusers'
    attention processors."""

    def __init__(self, folder, name, unet, seed, encoder, face_layers, **files):
        torch.manual_seed(seed)
        layers = adapter_order(unet)
        tensors = {f"image_proj.{key}": value for key, value in encoder.items()}
        self.sides, table = {}, []
        for place, ((block, number, index, _), attn) in enumerate(layers):
            inner = attn.heads * attn.dim_head
            for side in "kv":
                value = projections.weight(inner, CONTEXT)
                tensors[f"ip_adapter.{2 * place + 1}.to_{side}_ip.weight"] = value
                self.sides[f"adapter.layers.{place}.to_{side}.weight"] = value
            table.append(omniid.HostLayer(f"{block},{number},{index}", attn.heads, attn.dim_head, CONTEXT))
        self.path = write(folder / name, tensors)
        face = write_recogniser(folder / f"face-{face_layers}.safetensors", face_layers)
        self.engine = omniid.Engine.open(self.path, host_layers=table, face_recogniser=face, **files)
        self.keys = write(folder / f"keys-{name}", self.sides)


def instantid(folder, unet, seed=31):
    torch.manual_seed(seed)
    state = projections.resampler(16, 1, 16, EMBEDDING, CONTEXT)
    model = Public(folder, "ip-adapter.safetensors", unet, seed, state, 100)
    model.network = faceid.module(state)
    return model


def pulid(folder, unet, seed=41):
    """PuLID v1.1 and an EVA02-CLIP as deep as the public one."""
    torch.manual_seed(seed)
    model = identity_encoders.IdFormer(EMBEDDING + EVA_CLASS, EVA_WIDTH, CONTEXT, tokens=8)
    network = randomise(model)
    eva = vision_families.Eva(
        img_size=28, patch_size=7, embed_dim=EVA_WIDTH, depth=24, num_heads=2, mlp_ratio=8 / 3, qkv_fused=False,
        swiglu_mlp=True, scale_mlp=True, scale_attn_inner=True, use_rot_pos_emb=True, ref_feat_shape=(16, 16),
        global_pool="token", num_classes=EVA_CLASS,
    )  # fmt: skip
    eva = randomise(eva)
    tensors = {f"visual.{vision_families.original_names(name)}": value for name, value in eva.state_dict().items()}
    tables = vision_families.rope_tables(28, eva)
    tensors |= {f"visual.rope.{name}": table for name, table in tables.items()}
    file = write(folder / "eva.safetensors", tensors)
    result = Public(folder, "pulid.safetensors", unet, seed, network.state_dict(), 100, image_encoder=file)
    table = torch.cat([tables["freqs_sin"], tables["freqs_cos"]], -1).float()
    eva.rope.get_embed = lambda *_, **__: table
    result.network, result.eva = network, eva
    return result
