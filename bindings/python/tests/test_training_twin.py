"""The PyTorch twin gives the numbers of the library, and files of either side open on the other."""

from pathlib import Path

import native_model
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("safetensors")

import omniid  # noqa: E402
from omniid.training import NativeCheckpoint  # noqa: E402
from omniid.training.modules import (  # noqa: E402
    Backbone,
    IdentityAdapter,
    IdentityModel,
    OmniIdConfig,
)

ROOT = Path(__file__).resolve().parents[3]
BUILT_IN = ROOT / "models" / "omniid-mini.safetensors"


def pictures(size, count=3):
    return [native_model.picture(seed, size, size) for seed in range(count)]


def twin_tokens(model, photos):
    pixels = torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        return model(model.backbone.pixels.prepare(pixels)[None])[0].numpy()


def randomise(module, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "norm" in name and name.endswith("weight"):
                parameter.copy_(1 + 0.1 * noise)
            else:
                parameter.copy_(noise * (parameter.shape[-1] ** -0.5 if parameter.ndim > 1 else 0.1))
    return module


@pytest.mark.parametrize("count", [1, 3])
def test_tokens_of_the_built_in_model(count):
    twin = NativeCheckpoint.open(BUILT_IN)
    photos = pictures(64, count)
    with omniid.Engine.open(BUILT_IN) as engine:
        expected = engine.encode(photos, crop="none").identity.tokens().numpy()
    assert np.abs(twin_tokens(twin.model, photos) - expected).max() <= 1e-5


def test_keys_and_values_of_the_built_in_model():
    twin = NativeCheckpoint.open(BUILT_IN)
    photos = pictures(64, 2)
    with omniid.Engine.open(BUILT_IN) as engine:
        identity = engine.encode(photos, crop="none").identity
        conditioning = engine.condition(identity)
    with torch.no_grad():
        pairs = twin.adapter(torch.from_numpy(identity.tokens().numpy())[None])
    assert len(pairs) == conditioning.layer_count == 7
    for layer, pair in enumerate(pairs):
        sides = (
            conditioning.keys(layer, 0, omniid.Role.CONDITIONAL),
            conditioning.values(layer, 0, omniid.Role.CONDITIONAL),
        )
        for found, expected in zip(pair, sides):
            # The library has tokens before heads.
            assert np.abs(found[0].transpose(0, 1).numpy() - expected.numpy()).max() <= 1e-5


BACKBONES = {
    "clip": {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5},
    "siglip": {"family": "siglip", "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6},
    "dinov2": {"family": {"dinov2": {"register_tokens": 0, "swiglu": False}}, "hidden_act": "gelu",
               "layer_norm_eps": 1e-6},
    "registers": {"family": {"dinov2": {"register_tokens": 4, "swiglu": False}}, "hidden_act": "gelu",
                  "layer_norm_eps": 1e-6},
}  # fmt: skip


@pytest.mark.parametrize("name", BACKBONES)
def test_random_models_of_every_family_open_in_the_library(name, tmp_path):
    sizes = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 4, "num_attention_heads": 3,
             "image_size": 56, "patch_size": 14}  # fmt: skip
    backbone = Backbone(sizes | BACKBONES[name])
    config = OmniIdConfig(
        queries=256, width=40, depth=4, heads=5, head_width=8, feature_width=48, feature_tokens=backbone.tokens,
        token_width=32, include_class_token=name != "siglip",
    )  # fmt: skip
    model = randomise(IdentityModel(backbone, config), 3)
    layers = [omniid.HostLayer("down.attn", 2, 8, 20), omniid.HostLayer("up.attn", 4, 8, 20)]
    adapter = randomise(IdentityAdapter(layers, 32), 4)
    from omniid.training.checkpoint import Crop, HostTable

    table = {"name": "mine", "family": "other", "layers": [
        {"name": layer.name, "kind": "other", "key": place, "heads": layer.heads, "head_dim": layer.head_dim,
         "context": layer.context, "execution": place} for place, layer in enumerate(layers)]}  # fmt: skip
    checkpoint = NativeCheckpoint("mine", model, Crop("none"), adapter, HostTable(tuple(layers), table))
    path = tmp_path / "model.safetensors"
    checkpoint.save(path)
    photos = pictures(56)
    with omniid.Engine.open(path) as engine:
        identity = engine.encode(photos).identity
        expected = identity.tokens().numpy()
        scale = max(1.0, np.abs(expected).max())
        assert np.abs(twin_tokens(model, photos) - expected).max() <= 1e-5 * scale
        conditioning = engine.condition(identity)
        query = torch.randn(1, 10, 32)
        with torch.no_grad():
            keys, values = adapter(torch.from_numpy(expected)[None])[1]
            heads = query.view(1, 10, 4, 8).transpose(1, 2)
            added = torch.nn.functional.scaled_dot_product_attention(heads, keys, values)
            added = added.transpose(1, 2).reshape(1, 10, 32)
        output = torch.zeros_like(query)
        conditioning.inject(1, query, output)
        assert (output - added).abs().max() <= 1e-5 * max(1.0, float(added.abs().max()))
    again = NativeCheckpoint.open(path)
    assert again.config() == checkpoint.config()
    for key, tensor in checkpoint.state().items():
        assert torch.equal(again.state()[key], tensor), key


def test_a_pretrained_encoder_gives_transformers_hidden_state():
    from transformers import CLIPVisionConfig, CLIPVisionModel

    theirs = CLIPVisionModel(CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4, image_size=56, patch_size=14
    )).eval()  # fmt: skip
    pixels = torch.randn(2, 3, 56, 56)
    with torch.no_grad():
        expected = theirs(pixels, output_hidden_states=True).hidden_states[-2]
        found = Backbone.from_pretrained(theirs)(pixels)
    assert torch.equal(found, expected)
