"""CLIP vision models of transformers: every hidden state and image_embeds."""

import torch
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from .common import randomise, save, start

NAME = "vision"


def add_options(group):
    group.add_argument("--vision-width", type=int, default=48)
    group.add_argument("--vision-layers", type=int, default=4)
    group.add_argument("--vision-heads", type=int, default=4)
    group.add_argument("--vision-mlp", type=int, default=96)
    group.add_argument("--vision-patch", type=int, default=14)
    group.add_argument("--vision-image", type=int, default=56)
    group.add_argument("--vision-projection", type=int, default=32)
    group.add_argument("--vision-photos", type=int, default=2)


def generate(folder, options):
    sizes = (
        options.vision_width,
        options.vision_layers,
        options.vision_heads,
        options.vision_mlp,
        options.vision_patch,
        options.vision_image,
        options.vision_projection,
    )
    cases = {
        "gelu": ("gelu", *sizes),
        # Another patch and head size, and an image that is no multiple of the patch.
        "quick_gelu": ("quick_gelu", 40, 3, 5, 72, 8, 34, 24),
        "gelu_tanh": ("gelu_pytorch_tanh", 32, 2, 4, 64, 8, 24, 16),
    }
    for case, (act, width, layers, heads, mlp, patch, image, projection) in cases.items():
        start(NAME, case, options)
        config = CLIPVisionConfig(
            hidden_size=width,
            intermediate_size=mlp,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            patch_size=patch,
            image_size=image,
            hidden_act=act,
            projection_dim=projection,
        )
        model = randomise(CLIPVisionModelWithProjection(config))
        pixels = torch.randn(options.vision_photos, 3, image, image)
        with torch.no_grad():
            output = model(pixels, output_hidden_states=True)
        assert len(output.hidden_states) == layers + 1
        model.save_pretrained(folder / case)
        expected = {f"hidden_states.{i}": state for i, state in enumerate(output.hidden_states)}
        expected["penultimate"] = output.hidden_states[-2]
        expected["image_embeds"] = output.image_embeds
        save(folder / case / "expected.safetensors", {"pixels": pixels, **expected})
