"""Exports: the native file in 16 bits, and IP-Adapter's full-face file in unmodified diffusers."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

import diffusers_models as models  # noqa: E402
import native_model  # noqa: E402
import omniid  # noqa: E402
from omniid import errors  # noqa: E402
from omniid.training.checkpoint import Crop, HostTable, NativeCheckpoint  # noqa: E402
from omniid.training.export import export  # noqa: E402
from omniid.training.hosts import Injection, host_table  # noqa: E402
from omniid.training.modules import Backbone, IdentityAdapter, IdentityModel, OmniIdConfig  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

TOKENS, WIDTH = 6, 20


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A checkpoint for the small UNet, with random weights."""
    pipe = models.sd_pipeline()
    table = host_table(pipe.unet)
    torch.manual_seed(3)
    backbone = Backbone({"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
                         "image_size": 28, "patch_size": 14, "hidden_act": "gelu", "layer_norm_eps": 1e-5})  # fmt: skip
    config = OmniIdConfig(queries=TOKENS, width=32, depth=1, heads=4, head_width=8, feature_width=32, feature_tokens=5,
                          token_width=WIDTH)  # fmt: skip
    checkpoint = NativeCheckpoint(
        "mine", IdentityModel(backbone, config), Crop("none"), IdentityAdapter(table.layers, WIDTH), table
    )
    path = tmp_path_factory.mktemp("export") / "model.safetensors"
    checkpoint.save(path)
    return pipe, checkpoint, path


def inputs():
    generator = torch.Generator().manual_seed(6)
    return (torch.randn(2, 4, 8, 8, generator=generator), torch.tensor([400.0, 400.0]),
            torch.randn(2, 7, models.CONTEXT, generator=generator))  # fmt: skip


def test_the_full_face_file_in_diffusers(trained, tmp_path):
    """A pass of the UNet with diffusers' own IP-Adapter from the file, and with what training puts in."""
    pipe, checkpoint, path = trained
    export(str(path), tmp_path / "full-face.safetensors", "ip-adapter")
    flat = load_file(tmp_path / "full-face.safetensors")
    state = {"image_proj": {}, "ip_adapter": {}}
    for name, tensor in flat.items():
        part, _, rest = name.partition(".")
        state[part][rest] = tensor
    # The names of ip-adapter-full-face_sd15.safetensors, and the numbers of this UNet's cross-attention layers.
    assert set(state["image_proj"]) == {f"proj.{i}.{p}" for i in (0, 2, 3) for p in ("weight", "bias")}
    numbers = [i for i, name in enumerate(pipe.unet.attn_processors) if name.endswith("attn2.processor")]
    assert set(state["ip_adapter"]) == {f"{n}.to_{side}_ip.weight" for n in numbers for side in "kv"}
    tokens = torch.randn(2, TOKENS, WIDTH, generator=torch.Generator().manual_seed(8))
    sample, time, context = inputs()
    with torch.no_grad():
        injection = Injection(pipe.unet)
        plain = pipe.unet(sample, time, context).sample
        injection.set(checkpoint.adapter(tokens))
        expected = pipe.unet(sample, time, context).sample
        injection.remove()
        before = dict(pipe.unet.attn_processors)
        pipe.unet._load_ip_adapter_weights([state], low_cpu_mem_usage=False)
        pipe.set_ip_adapter_scale(1.0)
        found = pipe.unet(sample, time, context, added_cond_kwargs={"image_embeds": [tokens[:, None]]}).sample
        pipe.unet.encoder_hid_proj = None
        pipe.unet.config.encoder_hid_dim_type = None
        pipe.unet.set_attn_processor(before)
    assert (expected - plain).abs().max() > 1e-3
    assert (found - expected).abs().max() <= 1e-5 * max(1.0, float(expected.abs().max()))


def test_the_library_reads_the_full_face_file(trained, tmp_path):
    pipe, checkpoint, path = trained
    out = tmp_path / "full-face.safetensors"
    export(str(path), out, "ip-adapter")
    table = [omniid.HostLayer(layer.name, layer.heads, layer.head_dim, layer.context) for layer in
             checkpoint.host.layers]  # fmt: skip
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    CLIPVisionModelWithProjection(CLIPVisionConfig(
        hidden_size=WIDTH, intermediate_size=32, num_hidden_layers=3, num_attention_heads=4, image_size=56,
        patch_size=14, projection_dim=12,
    )).save_pretrained(tmp_path / "encoder")  # fmt: skip
    with omniid.Engine.open(
        out, image_encoder=tmp_path / "encoder" / "model.safetensors", host_layers=table, variant=None
    ) as engine:
        assert engine.info.token_width == models.CONTEXT, engine.info
        assert len(engine.host_layers) == len(table)


@pytest.mark.parametrize("form, limit", [("f16", 2e-3), ("bf16", 2e-2)])
def test_native_files_in_16_bits(trained, form, limit, tmp_path):
    _, checkpoint, path = trained
    export(str(path), tmp_path / "half.safetensors", form)
    assert (tmp_path / "half.safetensors").stat().st_size < 0.6 * path.stat().st_size
    photo = native_model.picture(2, 28, 28)
    with omniid.Engine.open(path) as whole, omniid.Engine.open(tmp_path / "half.safetensors") as half:
        a, b = (engine.encode([photo]).identity.tokens().numpy() for engine in (whole, half))
    assert 0 < abs(a - b).max() <= limit * max(1.0, abs(a).max())
    again = NativeCheckpoint.open(tmp_path / "half.safetensors")
    assert again.config() == checkpoint.config()


def test_what_cannot_be_exported(trained, tmp_path):
    _, checkpoint, _ = trained
    NativeCheckpoint("mine", checkpoint.model, Crop("none")).save(tmp_path / "masked.safetensors")
    with pytest.raises(errors.UnsupportedError, match="no adapter; stage 2 makes one"):
        export(str(tmp_path / "masked.safetensors"), tmp_path / "out", "ip-adapter")
    adapter = IdentityAdapter(checkpoint.host.layers, models.CONTEXT, projection=False)
    bare = NativeCheckpoint("mine", checkpoint.model, Crop("none"), adapter,
                            HostTable(checkpoint.host.layers, checkpoint.host.written))  # fmt: skip
    bare.save(tmp_path / "bare.safetensors")
    with pytest.raises(errors.UnsupportedError, match="no projection"):
        export(str(tmp_path / "bare.safetensors"), tmp_path / "out", "ip-adapter")
    assert not (tmp_path / "out").exists()
    with pytest.raises(errors.IoError):
        export(str(tmp_path / "none.safetensors"), tmp_path / "out", "f16")
