"""A step of stage 1 is that of `omniid train`: the same loss and the same gradients from the same weights and batch."""

import os
import subprocess
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors.torch")

from omniid.training.modules import (  # noqa: E402
    Backbone,
    IdentityModel,
    MaskedDecoder,
    MaskedDecoderConfig,
    MaskedTargets,
    OmniIdConfig,
    PixelStatistics,
)
from omniid.training.modules.places import square_codes  # noqa: E402

PROGRAM = Path(os.environ.get("OMNIID_LIB", "target/release")) / "examples" / "masked_gradients"
PRESETS = {"tiny": (32, 4, 96), "mini": (64, 8, 128)}


@pytest.fixture(scope="module", params=["tiny", "mini"])
def step(request, tmp_path_factory):
    if not PROGRAM.exists():
        pytest.skip(f"{PROGRAM} is not built: cargo build --release --workspace --examples")
    path = tmp_path_factory.mktemp("step") / "step.safetensors"
    subprocess.run([PROGRAM, request.param, path], check=True)
    return safetensors.load_file(path)


def models(step):
    """The twins of the networks in the file, of the sizes that its tensors have."""
    weights = {name.removeprefix("weight."): tensor for name, tensor in step.items() if name.startswith("weight.")}
    patch = weights["backbone.vision_model.embeddings.patch_embedding.weight"]
    width, size = patch.shape[0], step["photos"].shape[-1]
    blocks = len({name.split(".")[4] for name in weights if name.startswith("backbone.vision_model.encoder.layers.")})
    inner = weights["backbone.vision_model.encoder.layers.0.mlp.fc1.weight"].shape[0]
    heads = {128: 4, 96: 4}[width]
    backbone = Backbone(
        {"hidden_size": width, "intermediate_size": inner, "num_hidden_layers": blocks + 1,
         "num_attention_heads": heads, "image_size": size, "patch_size": patch.shape[-1], "hidden_act": "gelu",
         "layer_norm_eps": 1e-5},
        PixelStatistics((0.5,) * 3, (0.5,) * 3),
    )  # fmt: skip
    queries, encoder_width = weights["encoder.queries"].shape
    depth = len({name.split(".")[2] for name in weights if name.startswith("encoder.blocks.")})
    token_width = weights["decoder.token_projection.weight"].shape[1]
    heads = {128: 4, 96: 4}[encoder_width]
    config = OmniIdConfig(
        queries=queries, width=encoder_width, depth=depth, heads=heads, head_width=encoder_width // heads,
        feature_width=width, feature_tokens=backbone.tokens, token_width=token_width,
        key_position="encoder.key_position" in weights,
    )  # fmt: skip
    identity = IdentityModel(backbone, config)
    backbone.load_native_state(
        {n.removeprefix("backbone."): t for n, t in weights.items() if n.startswith("backbone.")}
    )
    identity.encoder.load_state_dict(
        {n.removeprefix("encoder."): t for n, t in weights.items() if n.startswith("encoder.")}
    )
    decoder = {n.removeprefix("decoder."): t for n, t in weights.items() if n.startswith("decoder.")}
    condition = {13: "pose", 46: "view"}[step["condition"].shape[1]]
    depth = len({name.split(".")[1] for name in decoder if name.startswith("blocks.")})
    masked = MaskedDecoder(MaskedDecoderConfig(
        decoder["hidden_patch"].shape[0], depth, 4, condition, token_width, patch.shape[-1]
    ))  # fmt: skip
    masked.load_state_dict(decoder)
    return identity, masked


def test_loss_and_gradients_are_those_of_the_rust_trainer(step):
    identity, decoder = models(step)
    tokens = identity(step["photos"])
    assert (tokens - step["tokens"]).abs().max() <= 1e-4
    targets = MaskedTargets(step.get("visible"), step.get("visible_places"), step["places"], step.get("condition"))
    loss = (decoder(tokens, targets) - step["values"]).abs().mean()
    assert abs(float(loss.detach()) - float(step["loss"])) <= 1e-5 * float(step["loss"])
    loss.backward()
    found = {
        **{f"backbone.{name}": tensor for name, tensor in backbone_gradients(identity.backbone).items()},
        **{f"encoder.{name}": p.grad for name, p in identity.encoder.named_parameters()},
        **{f"decoder.{name}": p.grad for name, p in decoder.named_parameters()},
    }
    expected = {n.removeprefix("gradient."): t for n, t in step.items() if n.startswith("gradient.")}
    assert set(found) == set(expected)
    # The bias of a key shifts all scores of a query alike: its gradient is rounding and nothing else.
    floor = 1e-4 * torch.stack([gradient.norm() for gradient in expected.values()]).norm()
    for name, gradient in expected.items():
        error = (found[name] - gradient).norm() / gradient.norm().clamp_min(floor)
        assert error <= 1e-4, f"{name}: {error:.2e}"


def backbone_gradients(backbone):
    native = {}
    for name, parameter in backbone.network.named_parameters():
        renamed = backbone._native_name(name)
        if renamed is not None:
            native[renamed] = parameter.grad
    return native


@pytest.mark.parametrize("side, width", [(4, 16), (8, 128), (3, 10)])
def test_codes_of_places_by_their_definition(side, width):
    codes = square_codes(side, width)
    quarter = width // 4
    for row, column, i in [(0, 0, 0), (1, 2, quarter - 1), (side - 1, side - 2, quarter // 2)]:
        wave = 100.0 ** (i / quarter)
        angle = torch.tensor(column / wave, dtype=torch.float64)
        code = codes[row * side + column]
        assert abs(float(code[i]) - float(angle.sin())) < 1e-6
        assert abs(float(code[quarter + i]) - float(angle.cos())) < 1e-6
        angle = torch.tensor(row / wave, dtype=torch.float64)
        assert abs(float(code[2 * quarter + i]) - float(angle.sin())) < 1e-6
        assert abs(float(code[3 * quarter + i]) - float(angle.cos())) < 1e-6
    assert (codes[:, 4 * quarter :] == 0).all()
