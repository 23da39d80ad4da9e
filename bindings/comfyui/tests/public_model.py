"""A small IP-Adapter in the public Plus format, with its CLIP vision model: for OmniID, and in plain PyTorch."""

import hook_contract
import native_model
import numpy as np
import omniid
import reference
import torch
import torch.nn.functional as F

WIDTH, TOKENS, INNER, MEAN, STD = 32, 4, 64, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def open_plus(folder, layers):
    """An engine with an adapter for a UNet of the tests; `layers` as `conftest.adapter_order` gives them."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(11)
    native = reference.read_tensors(native_model.write(folder / "native.safetensors"))
    clip = {name[9:]: value.numpy() for name, value in native.items() if name.startswith("backbone.")}

    def linear(outputs, inputs):
        return random.normal(0, inputs**-0.5, (outputs, inputs))

    tensors = {"latents": random.normal(0, 1, (1, TOKENS, WIDTH))}
    sizes = {"proj_in": (WIDTH, WIDTH), "proj_out": (hook_contract.CONTEXT, WIDTH)}
    for name, (outputs, inputs) in sizes.items():
        tensors |= {f"{name}.weight": linear(outputs, inputs), f"{name}.bias": random.normal(0, 0.1, outputs)}
    norms = {"norm_out": hook_contract.CONTEXT, "layers.0.0.norm1": WIDTH, "layers.0.0.norm2": WIDTH,
             "layers.0.1.0": WIDTH}  # fmt: skip
    for name, width in norms.items():
        tensors |= {f"{name}.weight": random.normal(1, 0.1, width), f"{name}.bias": random.normal(0, 0.1, width)}
    tensors |= {
        "layers.0.0.to_q.weight": linear(INNER, WIDTH),
        "layers.0.0.to_kv.weight": linear(2 * INNER, WIDTH),
        "layers.0.0.to_out.weight": linear(WIDTH, INNER),
        "layers.0.1.1.weight": linear(4 * WIDTH, WIDTH),
        "layers.0.1.3.weight": linear(WIDTH, 4 * WIDTH),
    }
    tensors = {f"image_proj.{name}": value for name, value in tensors.items()}
    table = []
    for place, ((block, number, index, _), attention) in enumerate(layers):
        inner = attention.heads * attention.dim_head
        for side in "kv":
            tensors[f"ip_adapter.{place}.to_{side}_ip.weight"] = linear(inner, hook_contract.CONTEXT)
        table.append(
            omniid.HostLayer(f"{block},{number},{index}", attention.heads, attention.dim_head, hook_contract.CONTEXT)
        )
    for path, entries in ((folder / "plus.safetensors", tensors), (folder / "clip.safetensors", clip)):
        if path.exists():
            continue  # an engine may have it open
        native_model.write_safetensors(path, {name: value.astype(np.float32) for name, value in entries.items()})
    config = {"hidden_size": WIDTH, "num_attention_heads": 4, "image_size": 56, "patch_size": 14, "hidden_act": "gelu",
              "num_hidden_layers": 3, "intermediate_size": 64, "projection_dim": None}  # fmt: skip
    return omniid.Engine.open(
        folder / "plus.safetensors",
        image_encoder=folder / "clip.safetensors",
        image_encoder_config=config,
        host_layers=table,
        defer_image_encoder=True,
    )


class ClipVision:
    """What ComfyUI's Load CLIP Vision gives, with the weights of `open_plus`: an implementation of its own."""

    image_size, image_mean, image_std = 56, MEAN, STD
    load_device, patcher = torch.device("cpu"), None

    def __init__(self, folder):
        self.tensors = reference.read_tensors(folder / "clip.safetensors")
        self.seen = 0

    def model(self, pixel_values, intermediate_output):
        assert intermediate_output == -2 and pixel_values.shape[1:] == (3, 56, 56)
        self.seen += len(pixel_values)
        at = self.tensors
        x = F.conv2d(pixel_values.double(), at["vision_model.embeddings.patch_embedding.weight"], stride=14)
        x = x.flatten(2).transpose(1, 2)
        first = at["vision_model.embeddings.class_embedding"].expand(len(x), 1, -1)
        x = torch.cat([first, x], dim=1) + at["vision_model.embeddings.position_embedding.weight"]
        x = self._norm(x, "vision_model.pre_layrnorm")
        for layer in range(2):  # the last of three is left out
            block = f"vision_model.encoder.layers.{layer}"
            n = self._norm(x, f"{block}.layer_norm1")
            q, k, v = (
                self._linear(n, f"{block}.self_attn.{part}_proj").unflatten(2, (4, -1)).transpose(1, 2)
                for part in "qkv"
            )
            found = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
            x = x + self._linear(found, f"{block}.self_attn.out_proj")
            n = F.gelu(self._linear(self._norm(x, f"{block}.layer_norm2"), f"{block}.mlp.fc1"))
            x = x + self._linear(n, f"{block}.mlp.fc2")
        return None, x.float(), None

    def _linear(self, x, name):
        return F.linear(x, self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"])

    def _norm(self, x, name):
        return F.layer_norm(x, (WIDTH,), self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"])
