"""The model of the comparison: CLIP ViT-H/14 and the Omni-ID encoder with random weights, in OmniID's native
format, and the same in PyTorch."""

import json
import sys
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModel

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "tests" / "parity"))
from omni_id_reference import OmniIdReference  # noqa: E402

BACKBONE = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 16,
    "image_size": 224,
    "patch_size": 14,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
}
ENCODER = {
    "queries": 256,
    "width": 1280,
    "depth": 4,
    "heads": 20,
    "head_width": 64,
    "feed_forward_multiplier": 4,
    "feature_width": 1280,
    "feature_tokens": 257,
    "token_width": 1280,
    "key_position": True,
    "include_class_token": True,
}
# Two operations per multiply-add. The last backbone block is not needed for hidden state -2.
_BLOCK = 2 * 257 * (4 * 1280**2 + 2 * 1280 * 5120) + 4 * 257 * 257 * 1280
FLOP_PER_PHOTO = 31 * _BLOCK + 2 * 256 * 1280 * 3 * 14 * 14


def encoder_flop(photos):
    keys = 257 * photos
    cross = 2 * (2 * 256 + 2 * keys) * 1280**2 + 4 * 256 * keys * 1280
    self_attention = 2 * 4 * 256 * 1280**2 + 4 * 256 * 256 * 1280
    feed_forward = 2 * 256 * 2 * 1280 * 5120
    return 4 * (cross + self_attention + feed_forward)


class Model(torch.nn.Module):
    """Pixels [photos, 3, 224, 224] to identity tokens [256, 1280]."""

    def __init__(self):
        super().__init__()
        # Hidden state -2 is the output of the last block but one: a model of 31 blocks gives it as its last.
        config = CLIPVisionConfig(**{**BACKBONE, "num_hidden_layers": 31}, attn_implementation="sdpa")
        self.backbone = CLIPVisionModel(config)
        self.encoder = OmniIdReference(**ENCODER)

    def forward(self, pixels):
        features = self.backbone(pixels, output_hidden_states=True).hidden_states[-1]
        return self.encoder(list(features))


def make_weights(path):
    """Writes random weights in OmniID's native format, f32."""
    torch.manual_seed(7)
    tensors = {}
    config = CLIPVisionConfig(**BACKBONE)
    for name, tensor in CLIPVisionModel(config).state_dict().items():
        name = name if name.startswith("vision_model.") else f"vision_model.{name}"
        if not name.endswith("position_ids"):
            tensors[f"backbone.{name}"] = tensor.contiguous()
    for name, tensor in OmniIdReference(**ENCODER).state_dict().items():
        tensors[f"encoder.{name}"] = tensor.contiguous()
    native = {
        "name": "random ViT-H/14 with Omni-ID 256 x 1280",
        "backbone": {**BACKBONE, "projection_dim": None},
        "crop": {"mode": "none"},
        "encoder": {"kind": "omni_id", **ENCODER},
    }
    save_file(tensors, path, {"omniid.format": "1", "omniid.config": json.dumps(native)})


def load_torch_model(path, dtype):
    """The same model in PyTorch, in memory of its own (not mapped), as a served model is."""
    with torch.device("meta"):
        model = Model()
    names = {name for name, _ in model.named_parameters()}
    tensors = {}
    with safe_open(path, "pt") as file:
        for name in file.keys():
            for candidate in (name, name.replace("backbone.vision_model.", "backbone.")):
                if candidate in names:
                    tensors[candidate] = file.get_tensor(name).to(dtype, copy=True)
    missing = names - set(tensors)
    if missing:
        raise SystemExit(f"weights without {sorted(missing)[:5]}")
    model.load_state_dict(tensors, strict=False, assign=True)
    embeddings = getattr(model.backbone, "vision_model", model.backbone).embeddings
    embeddings.position_ids = torch.arange(257).unsqueeze(0)
    return model.eval()


def load_pixels(photos):
    from PIL import Image, ImageOps

    processor = CLIPImageProcessorPil()
    images = [ImageOps.exif_transpose(Image.open(photo)).convert("RGB") for photo in photos]
    return processor(images=images, return_tensors="pt")["pixel_values"]


def export_onnx(weights, photos, path):
    """Exports the PyTorch model for a fixed number of photos."""
    model = load_torch_model(weights, torch.float32)
    pixels = torch.zeros(photos, 3, 224, 224)
    torch.onnx.export(model, (pixels,), str(path), input_names=["pixels"], external_data=True, dynamo=True)
