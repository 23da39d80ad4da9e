"""The FaceID family with its LoRA against diffusers' own path, from the same file: `load_ip_adapter`, which puts the
LoRA in by PEFT, and embeddings handed to the pipeline."""

import math

import pytest

pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("peft")

import diffusers_models as models  # noqa: E402
import numpy as np  # noqa: E402
import omniid  # noqa: E402
import torch  # noqa: E402
from diffusers_models import CONTEXT, image, largest, run  # noqa: E402
from native_model import picture, write_safetensors  # noqa: E402
from omniid import ConditioningInput, FaceEmbedding, Photo  # noqa: E402
from omniid.diffusers import attach, host_layers  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

LIMIT, RANK, EMBEDDING, FEATURES, TOKENS = 1e-5, 3, 512, 32, 4


class Draw:
    """Random tensors under the names of published files."""

    def __init__(self, seed):
        self.generator, self.tensors = torch.Generator().manual_seed(seed), {}

    def weight(self, name, *shape, gain=1.0):
        self.tensors[name] = torch.randn(shape, generator=self.generator) * gain / math.sqrt(shape[-1])

    def affine(self, name, outputs, inputs):
        self.weight(f"{name}.weight", outputs, inputs)
        self.tensors[f"{name}.bias"] = torch.randn(outputs, generator=self.generator) * 0.1

    def norm(self, name, width):
        self.tensors[f"{name}.weight"] = 1 + torch.randn(width, generator=self.generator) * 0.1
        self.tensors[f"{name}.bias"] = torch.randn(width, generator=self.generator) * 0.1


def adapter(path, unet, plus, seed=13):
    """A file in the layout of `ip-adapter-faceid[-plusv2]_….bin`, numbered by the UNet's attention processors."""
    draw = Draw(seed)
    draw.affine("image_proj.proj.0", 2 * EMBEDDING, EMBEDDING)
    draw.affine("image_proj.proj.2", TOKENS * CONTEXT, 2 * EMBEDDING)
    draw.norm("image_proj.norm", CONTEXT)
    if plus:
        perceiver = "image_proj.perceiver_resampler"
        draw.affine(f"{perceiver}.proj_in", CONTEXT, FEATURES)
        draw.affine(f"{perceiver}.proj_out", CONTEXT, CONTEXT)
        draw.norm(f"{perceiver}.norm_out", CONTEXT)
        for layer in range(4):
            block = f"{perceiver}.layers.{layer}"
            for name in ("0.norm1", "0.norm2", "1.0"):
                draw.norm(f"{block}.{name}", CONTEXT)
            shapes = {"0.to_q": (64, CONTEXT), "0.to_kv": (128, CONTEXT), "0.to_out": (CONTEXT, 64),
                      "1.1": (4 * CONTEXT, CONTEXT), "1.3": (CONTEXT, 4 * CONTEXT)}  # fmt: skip
            for name, shape in shapes.items():
                draw.weight(f"{block}.{name}.weight", *shape)
    for number, name in enumerate(unet.attn_processors):
        attention = unet.get_submodule(name.removesuffix(".processor"))
        for part in ("to_q", "to_k", "to_v", "to_out"):
            layer = getattr(attention, part)
            layer = layer[0] if part == "to_out" else layer
            draw.weight(f"ip_adapter.{number}.{part}_lora.down.weight", RANK, layer.in_features)
            draw.weight(f"ip_adapter.{number}.{part}_lora.up.weight", layer.out_features, RANK, gain=0.7)
        if name.endswith("attn2.processor"):
            for part in ("to_k_ip", "to_v_ip"):
                draw.weight(f"ip_adapter.{number}.{part}.weight", attention.to_k.out_features, CONTEXT)
    write_safetensors(path, {name: tensor.numpy() for name, tensor in draw.tensors.items()})


class Case:
    def __init__(self, host, folder):
        self.pipe = {"sd": models.sd_pipeline, "sdxl": models.sdxl_pipeline}[host]()
        self.folder, self.bare = folder, {guidance: run(self.pipe, guidance) for guidance in (True, False)}
        self.images = models.Adapter(folder, self.pipe.unet)  # its image encoder
        generator = torch.Generator().manual_seed(17)
        self.raw = [20 * torch.randn(EMBEDDING, generator=generator) for _ in range(2)]
        self.pictures = [picture(3), picture(4)]
        self.table = host_layers(self.pipe)
        for plus in (False, True):
            adapter(folder / self.file(plus), self.pipe.unet, plus)

    @staticmethod
    def file(plus):
        return f"ip-adapter-faceid{'-plusv2' if plus else ''}.safetensors"

    def engine(self, plus, **options):
        if plus:
            options["image_encoder"] = self.images.encoder_path
        return omniid.Engine.open(self.folder / self.file(plus), host_layers=self.table, **options)

    def photo(self, which=0, form="raw"):
        values = self.raw[which] if form == "raw" else self.raw[which] / self.raw[which].norm()
        return Photo(self.pictures[which], embedding=FaceEmbedding(values.numpy(), "w600k_r50", form))

    def theirs(self, plus, guidance, scale, shortcut=True, shortcut_scale=1.0):
        """diffusers with the same file. Its pipeline cannot take the LoRA out again: a fresh one each time."""
        pipe = type(self.pipe)(**self._components(), **self._settings())
        pipe.unet.load_state_dict(self.pipe.unet.state_dict())
        pipe.load_ip_adapter(
            str(self.folder), subfolder="", weight_name=self.file(plus), image_encoder_folder=None,
            low_cpu_mem_usage=False,
        )  # fmt: skip
        assert pipe.unet.peft_config["faceid_0"].r == RANK
        pipe.set_ip_adapter_scale(scale)
        embedding = self.raw[0] / self.raw[0].norm()
        sides = [torch.zeros_like(embedding), embedding][not guidance :]
        if plus:
            pixels = self.images.feature_extractor(image(self.pictures[0]), return_tensors="pt").pixel_values
            both = torch.cat([torch.zeros_like(pixels), pixels])[int(not guidance) :]
            with torch.no_grad():
                hidden = self.images.image_encoder(both, output_hidden_states=True).hidden_states[-2]
            projection = pipe.unet.encoder_hid_proj.image_projection_layers[0]
            projection.clip_embeds, projection.shortcut = hidden[:, None], shortcut
            projection.shortcut_scale = shortcut_scale
        return run(pipe, guidance, ip_adapter_image_embeds=[torch.stack(sides)[:, None]])

    def _components(self):
        make = models.sd_pipeline if "sdxl" not in type(self.pipe.unet).__name__ and len(self.table) == 7 else None
        fresh = (make or models.sdxl_pipeline)()
        return {name: part for name, part in fresh.components.items() if name not in ("image_encoder",)}

    def _settings(self):
        if len(self.table) == 7:
            return {"requires_safety_checker": False}
        return {"add_watermarker": False, "force_zeros_for_empty_prompt": False}

    def close(self, ours, theirs):
        assert largest(ours, theirs) <= LIMIT * max(1.0, float(theirs.abs().max()))


def encode(engine, photos, **options):
    """The whole photo for the image encoder, where there is one."""
    if engine.info.has_image_encoder:
        options["crop"] = "none"
    return engine.encode(photos, **options).identity


@pytest.fixture(scope="module", params=["sd", "sdxl"])
def case(request, tmp_path_factory):
    return Case(request.param, tmp_path_factory.mktemp(f"faceid-{request.param}"))


@pytest.mark.parametrize("guidance", [True, False])
@pytest.mark.parametrize("plus", [False, True])
def test_equals_diffusers_with_the_same_file(case, plus, guidance):
    engine = case.engine(plus)
    info = engine.info
    assert info.has_lora and info.has_image_encoder is plus and info.face_dimension == EMBEDDING
    assert "w600k_r50" in info.face_network and info.face_recogniser is None
    theirs = case.theirs(plus, guidance, 0.7)
    for form in ("raw", "normalised"):
        identity = encode(engine, case.photo(form=form))
        assert identity.tokens().shape == (TOKENS, CONTEXT)
        conditioning = engine.condition(identity)
        assert conditioning.lora is engine.lora
        for mode in ("inject", "keys"):
            with attach(case.pipe, conditioning, scale=0.7, mode=mode):
                case.close(run(case.pipe, guidance), theirs)
    assert largest(theirs, case.bare[guidance]) > 0.1, "the identity changes nothing"
    assert torch.equal(run(case.pipe, guidance), case.bare[guidance])
    assert not hasattr(case.pipe.unet, "peft_config")


@pytest.mark.parametrize("shortcut_scale", [0.4, None])
def test_both_versions_of_plus(case, shortcut_scale):
    """Version 1 has the same tensors; version 2 has a scale of its shortcut."""
    options = {} if shortcut_scale else {"variant": "faceid-plus"}
    engine = case.engine(True, **options)
    identity = encode(engine, case.photo(), shortcut_scale=shortcut_scale)
    theirs = case.theirs(True, True, 0.7, shortcut=shortcut_scale is not None, shortcut_scale=shortcut_scale or 1.0)
    with attach(case.pipe, engine.condition(identity), scale=0.7):
        case.close(run(case.pipe), theirs)


def test_scale_0_is_the_host_with_the_lora(case):
    engine = case.engine(False)
    conditioning = engine.condition(ConditioningInput(encode(engine, case.photo())))
    with attach(case.pipe, conditioning, scale=0.0):
        case.close(run(case.pipe), case.theirs(False, True, 0.0))
    with attach(case.pipe, conditioning, scale=0.0, lora_scale=0.0):
        assert torch.equal(run(case.pipe), case.bare[True])


def test_several_photos_are_combined(case):
    engine = case.engine(False)
    photos = [case.photo(0), case.photo(1)]
    both = encode(engine, photos)
    assert both.tokens().shape == (2 * TOKENS, CONTEXT)
    average = encode(engine, photos, combine="average")
    assert average.tokens().shape == (TOKENS, CONTEXT)
    # The mean of the embeddings of length 1 is shorter, and goes into the projection as it is, as in IPAdapter_plus.
    mean = sum(raw / raw.norm() for raw in case.raw) / 2
    at = {
        name.removeprefix("image_proj."): tensor for name, tensor in load_file(case.folder / case.file(False)).items()
    }
    x = torch.nn.functional.gelu(mean @ at["proj.0.weight"].T + at["proj.0.bias"])
    x = (x @ at["proj.2.weight"].T + at["proj.2.bias"]).reshape(TOKENS, CONTEXT)
    expected = torch.nn.functional.layer_norm(x, (CONTEXT,), at["norm.weight"], at["norm.bias"])
    assert largest(torch.from_numpy(np.array(average.tokens().numpy())), expected) <= LIMIT


def test_the_lora_as_a_file(case, tmp_path):
    """What `save` writes for diffusers does what attach does."""
    engine = case.engine(False)
    engine.lora.save(tmp_path / "lora.safetensors", "diffusers")
    with attach(case.pipe, engine.condition(encode(engine, case.photo())), scale=0.0):
        ours = run(case.pipe)
    case.pipe.load_lora_weights(str(tmp_path), weight_name="lora.safetensors")
    try:
        case.close(ours, run(case.pipe))
    finally:
        case.pipe.unload_lora_weights()
    # PEFT alone changes how PyTorch rounds, on Xeons.
    case.close(run(case.pipe), case.bare[True])


def test_wrong_networks_and_forms_are_named(case):
    engine = case.engine(False)
    wrong = FaceEmbedding(case.raw[0].numpy(), "glintr100")
    with pytest.raises(omniid.OmniIdError, match="IResNet-50"):
        engine.encode(Photo(case.pictures[0], embedding=wrong))
    with pytest.raises(omniid.OmniIdError, match="recogni"):
        engine.encode(Photo(case.pictures[0], face=[20, 30, 50, 30, 35, 45, 24, 60, 46, 60]))


def test_an_engine_that_is_closed_lives_on_in_its_lora(case):
    engine = case.engine(False)
    conditioning = engine.condition(encode(engine, case.photo()))
    with attach(case.pipe, conditioning, scale=0.0):
        expected = run(case.pipe)
    other = case.engine(False)
    conditioning = other.condition(encode(other, case.photo()))
    other.close()
    with attach(case.pipe, conditioning, scale=0.0):
        assert torch.equal(run(case.pipe), expected)
    conditioning.close()
    assert conditioning.lora is None
