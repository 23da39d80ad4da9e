"""Small models with random numbers, written with NumPy alone."""

import json
import struct

import numpy as np

HOST = [("down.attn", 2, 8, 20), ("up.attn", 4, 8, 20)]
"""Name, heads, width of a head and width of the context tokens of each layer."""

_TYPES = {"float32": "F32", "float16": "F16"}


def write_safetensors(path, tensors, metadata=None):
    """A safetensors file: header length, JSON header, numbers."""
    header, position, chunks = {}, 0, []
    if metadata:
        header["__metadata__"] = metadata
    for name, array in sorted(tensors.items()):
        data = np.ascontiguousarray(array).tobytes()
        header[name] = {
            "dtype": _TYPES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [position, position + len(data)],
        }
        position += len(data)
        chunks.append(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(chunks))


def write(path, host=HOST, seed=7, width=32, token_width=24, queries=6, depth=2, heads=2, layers=3, family="other",
          addresses=None, adapter="projected", histograms=0):  # fmt: skip
    """A native Omni-ID checkpoint with an adapter for `host`; its image encoder sees 56 x 56 pixels. `addresses` has
    ComfyUI's block, number and index of each layer, and the number of its transformer in execution order.

    `adapter`: "projected" has a projection of its own tokens before its layers, "plain" takes tokens of the context's
    width, "residual" has layers of the residual stream; then a layer of `host` has the hidden width as fifth entry.
    `histograms`: directions in which faces are compared by orientation histograms."""
    random = np.random.default_rng(seed)
    tensors = {}

    def linear(name, outputs, inputs, bias):
        tensors[f"{name}.weight"] = random.normal(0, inputs**-0.5, (outputs, inputs))
        if bias:
            tensors[f"{name}.bias"] = random.normal(0, 0.1, outputs)

    def norm(name, size):
        tensors[f"{name}.weight"] = random.normal(1, 0.1, size)
        tensors[f"{name}.bias"] = random.normal(0, 0.1, size)

    vision = "backbone.vision_model"
    tensors[f"{vision}.embeddings.class_embedding"] = random.normal(0, 1, width)
    tensors[f"{vision}.embeddings.patch_embedding.weight"] = random.normal(0, 0.05, (width, 3, 14, 14))
    tensors[f"{vision}.embeddings.position_embedding.weight"] = random.normal(0, 0.3, (17, width))
    norm(f"{vision}.pre_layrnorm", width)
    norm(f"{vision}.post_layernorm", width)
    for layer in range(layers):
        block = f"{vision}.encoder.layers.{layer}"
        norm(f"{block}.layer_norm1", width)
        norm(f"{block}.layer_norm2", width)
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            linear(f"{block}.self_attn.{part}", width, width, True)
        linear(f"{block}.mlp.fc1", 2 * width, width, True)
        linear(f"{block}.mlp.fc2", width, 2 * width, True)
    inner = heads * 16
    for block in range(depth):
        for kind, norms in (("cross_attention", ("norm_queries", "norm_features")), ("self_attention", ("norm",))):
            name = f"encoder.blocks.{block}.{kind}"
            for part in norms:
                norm(f"{name}.{part}", width)
            for part in ("to_q", "to_k", "to_v"):
                linear(f"{name}.{part}", inner, width, False)
            linear(f"{name}.to_out", width, inner, False)
        norm(f"encoder.blocks.{block}.feed_forward.norm", width)
        linear(f"encoder.blocks.{block}.feed_forward.up", 2 * width, width, False)
        linear(f"encoder.blocks.{block}.feed_forward.down", width, 2 * width, False)
    tensors["encoder.queries"] = random.normal(0, 1, (queries, width))
    tensors["encoder.key_position"] = random.normal(0, 0.3, (17, width))
    norm("encoder.norm_out", width)
    linear("encoder.proj_out", token_width, width, True)
    context = host[0][3]
    if adapter == "projected":
        linear("adapter.proj.0", token_width, token_width, True)
        linear("adapter.proj.2", context, token_width, True)
        norm("adapter.proj.3", context)
    table = []
    for place, (name, count, size, context, *hidden) in enumerate(host):
        layer, inner = f"adapter.layers.{place}", count * size
        if adapter == "residual":
            norm(f"{layer}.norm1", context)
            norm(f"{layer}.norm2", hidden[0])
            linear(f"{layer}.to_q", inner, hidden[0], False)
            linear(f"{layer}.to_kv", 2 * inner, context, False)
            linear(f"{layer}.to_out", hidden[0], inner, False)
        else:
            linear(f"{layer}.to_k", inner, context, False)
            linear(f"{layer}.to_v", inner, context, False)
        kind = "single_block" if name.startswith("single_") else "other"
        table.append({"name": name, "kind": kind, "key": place, "heads": count, "head_dim": size,
                      "context": context, "execution": place})  # fmt: skip
        if hidden:
            table[-1]["hidden"] = hidden[0]
        if addresses:
            block, number, index, execution = addresses[place]
            table[-1] |= {"hook": [block, number, index], "kind": block, "execution": execution}
    config = {
        "name": "random",
        "backbone": {"hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": layers,
                     "num_attention_heads": 4, "image_size": 56, "patch_size": 14, "hidden_act": "gelu",
                     "layer_norm_eps": 1e-5, "projection_dim": None},
        "crop": {"mode": "none"},
        "encoder": {"kind": "omni_id", "queries": queries, "width": width, "depth": depth, "heads": heads,
                    "head_width": 16, "feed_forward_multiplier": 2, "feature_width": width, "feature_tokens": 17,
                    "token_width": token_width, "key_position": True, "include_class_token": True},
        "host": {"name": "test", "family": family, "layers": table},
    }  # fmt: skip
    if histograms:
        tensors["histograms.mean"] = random.normal(0, 0.1, 1764)
        tensors["histograms.projection"] = random.normal(0, 1, (histograms, 1764))
    tensors = {name: array.astype(np.float32) for name, array in tensors.items()}
    write_safetensors(path, tensors, {"omniid.format": "1", "omniid.config": json.dumps(config)})
    return path if adapter == "projected" else tensors


def picture(seed=0, height=80, width=72):
    """Something like a photo: smooth, in colour, uint8 [height, width, 3]."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    waves = [np.sin(random.uniform(2, 12) * x + random.uniform(2, 12) * y + random.uniform(0, 6)) for _ in range(3)]
    return np.clip(np.stack(waves, axis=2) * 90 + 128, 0, 255).astype(np.uint8)
