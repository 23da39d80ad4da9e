"""FaceID, InstantID and PuLID: what goes into the model beside keys and values."""

import math
import types

import native_model
import omniid
import pytest
import torch
from conftest import adapter_order
from hook_contract import patcher, run_chunks

SIGMA, RANK = 3.0, 3


class Lora:
    """In the place of omniid.Lora: random matrices for each attention layer of a UNet, under kohya-ss' names."""

    def __init__(self, unet, model="faceid", seed=4):
        self.model, self.tensors = model, {}
        generator = torch.Generator().manual_seed(seed)
        for name, module in unet.named_modules():
            if name.split(".")[-2:-1] in (["attn1"], ["attn2"]) and isinstance(module, torch.nn.Linear):
                self._layer(name, module, generator)
            elif name.endswith(".to_out.0"):
                self._layer(name, module, generator)

    def _layer(self, name, module, generator):
        prefix = "lora_unet_" + name.replace(".", "_")
        sizes = {"lora_down": (RANK, module.in_features), "lora_up": (module.out_features, RANK)}
        for part, shape in sizes.items():
            self.tensors[f"{prefix}.{part}.weight"] = torch.randn(shape, generator=generator) / math.sqrt(shape[1])
        self.tensors[f"{prefix}.alpha"] = torch.tensor(float(RANK))

    def save(self, path, format):
        assert format == "kohya"
        native_model.write_safetensors(path, {name: tensor.numpy() for name, tensor in self.tensors.items()})


@pytest.fixture
def with_lora(pack, unets):
    """An engine as far as the pack's module `lora` looks at it."""
    return types.SimpleNamespace(lora=Lora(unets["sd15"]))


def test_the_lora_goes_into_the_weights_once(pack, unets, with_lora, inputs):
    from omniid_pack import lora

    x, texts = inputs
    unet = unets["sd15"]
    before = {name: tensor.clone() for name, tensor in unet.state_dict().items()}
    plain = patcher(unet)
    bare = run_chunks(plain, x, SIGMA, texts, [1, 0])
    patched = plain.clone()
    lora.put(patched, with_lora, 0.7)
    assert len(patched.patches) == 8 * len(adapter_order(unet)) and not plain.patches
    found = run_chunks(patched, x, SIGMA, texts, [1, 0])
    # By hand: each weight plus strength times up times down.
    changed = {}
    for name, tensor in before.items():
        prefix = "lora_unet_" + name.removesuffix(".weight").replace(".", "_")
        up = with_lora.lora.tensors.get(f"{prefix}.lora_up.weight")
        if up is not None:
            changed[name] = tensor + 0.7 * up @ with_lora.lora.tensors[f"{prefix}.lora_down.weight"]
    assert len(changed) == len(patched.patches)
    unet.load_state_dict({**before, **changed})
    try:
        expected = run_chunks(plain, x, SIGMA, texts, [1, 0])
    finally:
        unet.load_state_dict(before)
    for a, b in zip(found, expected):
        assert float((a - b).abs().max()) <= 1e-5 * max(1.0, float(b.abs().max()))
    assert not any(torch.equal(a, b) for a, b in zip(found, bare))
    # A second node with the same model in a row, and the model without it.
    again = patched.clone()
    lora.put(again, with_lora, 0.7)
    assert all(len(patches) == 1 for patches in again.patches.values())
    with pytest.raises(omniid.MismatchError, match="lora_strength"):
        lora.put(again, with_lora, 0.5)
    assert all(torch.equal(a, b) for a, b in zip(run_chunks(plain, x, SIGMA, texts, [1, 0]), bare))


def test_strength_0_and_models_without_a_lora_change_nothing(pack, unets, with_lora):
    from omniid_pack import lora

    patched = patcher(unets["sd15"])
    lora.put(patched, with_lora, 0)
    lora.put(patched, types.SimpleNamespace(lora=None), 1.0)
    assert patched.patches == {}


def test_a_lora_for_another_unet_is_an_error(pack, unets, with_lora):
    from omniid_pack import lora

    with pytest.raises(omniid.MismatchError, match="another kind of UNet"):
        lora.put(patcher(unets["sdxl"]), with_lora, 1.0)


class ControlNet:
    """As far as nodes look at ComfyUI's."""

    def __init__(self):
        self.hint = self.previous = None

    def copy(self):
        return ControlNet()

    def set_cond_hint(self, hint, strength, percents):
        self.hint = (hint, strength, percents)
        return self

    def set_previous_controlnet(self, previous):
        self.previous = previous
        return self


def test_a_controlnet_reads_the_identity_on_both_sides(pack):
    from omniid_pack.nodes.control import conditioned

    other, text = ControlNet(), torch.zeros(1, 7, 20)
    positive = [[text, {"pooled_output": 1}], [text, {"control": other}]]
    negative = [[text, {}]]
    tokens, unconditional = torch.ones(1, 16, 20), torch.zeros(1, 16, 20)
    picture = torch.rand(1, 24, 16, 3)
    found, against = conditioned(positive, negative, tokens, unconditional, ControlNet(), picture, 0.8, (0.0, 0.9))
    assert positive == [[text, {"pooled_output": 1}], [text, {"control": other}]] and negative == [[text, {}]]
    for side, context in ((found, tokens), (against, unconditional)):
        for _, settings in side:
            assert settings["cross_attn_controlnet"] is context and settings["control_apply_to_uncond"] is False
            hint, strength, percents = settings["control"].hint
            assert torch.equal(hint, picture.movedim(-1, 1)) and (strength, percents) == (0.8, (0.0, 0.9))
    # One network where it may be one, so that ComfyUI runs both sides together.
    assert found[0][1]["control"] is against[0][1]["control"] and found[0][1]["control"].previous is None
    assert found[1][1]["control"].previous is other and found[0][1]["pooled_output"] == 1


def test_face_networks_are_found_where_other_packs_keep_them(comfy, pack):
    from omniid_pack import folders

    models = comfy.folder / "models"
    for name in ("insightface/models/buffalo_l/w600k_r50.onnx", "insightface/models/buffalo_l/det_10g.onnx",
                 "insightface/models/antelopev2/glintr100.onnx", "insightface/models/antelopev2/1k3d68.onnx",
                 "facexlib/parsing_bisenet.pth", "facexlib/detection_Resnet50_Final.pth", "instantid/ip-adapter.bin",
                 "pulid/pulid_v1.1.safetensors"):  # fmt: skip
        (models / name).parent.mkdir(parents=True, exist_ok=True)
        (models / name).write_bytes(b"")
    try:
        recognisers = folders.face_recognisers()
        assert recognisers[0] == "none"
        assert {"models/buffalo_l/w600k_r50.onnx", "models/antelopev2/glintr100.onnx"} <= set(recognisers)
        assert not any("det" in name or "1k3d68" in name or "parsing" in name for name in recognisers)
        assert folders.face_parsers() == ["none", "parsing_bisenet.pth"]
        assert {"ip-adapter.bin", "pulid_v1.1.safetensors"} <= set(folders.checkpoints())
    finally:
        for name in ("insightface", "facexlib", "instantid", "pulid"):
            for path in sorted((models / name).rglob("*"), reverse=True):
                path.unlink() if path.is_file() else path.rmdir()


class Flux(torch.nn.Module):
    """ComfyUI's FLUX as far as replacements of its blocks go: text and image tokens, joined for the single blocks."""

    def __init__(self):
        super().__init__()
        self.double_blocks = torch.nn.ModuleList(torch.nn.Identity() for _ in range(2))
        self.single_blocks = torch.nn.ModuleList(torch.nn.Identity() for _ in range(3))

    def forward(self, img, txt, transformer_options):
        replaced = transformer_options.get("patches_replace", {}).get("dit", {})
        extra = {"transformer_options": transformer_options, "vec": None, "pe": None}
        for i in range(2):
            original = {"original_block": lambda args: {"img": args["img"] * 2, "txt": args["txt"] + 1}}
            call = replaced.get(("double_block", i), lambda args, extra: extra["original_block"](args))
            out = call({"img": img, "txt": txt, **extra}, original)
            img, txt = out["img"], out["txt"]
        img = torch.cat((txt, img), 1)
        for i in range(3):
            original = {"original_block": lambda args: {"img": args["img"] + 3}}
            call = replaced.get(("single_block", i), lambda args, extra: extra["original_block"](args))
            img = call({"img": img, **extra}, original)["img"]
        return img


class Residual:
    """In the place of a conditioning that adds between the blocks: 10 behind double block 1, 100 behind single 2."""

    layer_count, identity_count, has_masks, has_step_ranges, is_residual = 2, 1, False, True, True
    timesteps = ()
    places = {"double_block,1": 0, "single_block,2": 1}
    layers = [omniid.HostLayer(name, 1, 4, 4, 4) for name in places]

    def __init__(self):
        self.calls = []

    def keys(self, layer, identity, *_):
        return types.SimpleNamespace(device=(1, 0))  # DLPack's number of the processor

    def factor(self, layer, identity):
        return 1.0

    def find_layer(self, name):
        if name not in self.places:
            raise omniid.InvalidArgumentError(name)
        return self.places[name]

    def inject_residual(self, layer, output, *, roles, step):
        self.calls.append((layer, tuple(output.shape), roles, step.sigma))
        output += (10, 100)[layer]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_flux_takes_what_is_added_between_its_blocks(pack, dtype):
    """In place, and by way of float32 where the library does not know the type."""
    from omniid_pack import dit

    model = patcher(Flux())
    assert dit.is_flux(model) and not dit.is_flux(types.SimpleNamespace())
    model.set_model_patch_replace(lambda args, extra: extra["original_block"](args), "dit", "double_block", 1)
    patched, conditioning = model.clone(), Residual()
    dit.put(patched, conditioning)
    image, text = torch.ones(2, 6, 4, dtype=dtype), torch.zeros(2, 5, 4, dtype=dtype)
    options = {
        **patched.model_options["transformer_options"],
        "cond_or_uncond": [1, 0],
        "sigmas": torch.full((2,), 0.7),
    }
    found = patched.model.diffusion_model(image, text, options)
    # Image: 1 * 2 * 2 + 10 + 3 * 3 + 100; text: 2 + 3 * 3.
    assert torch.equal(found[:, :5], torch.full((2, 5, 4), 11.0, dtype=dtype))
    assert torch.equal(found[:, 5:], torch.full((2, 6, 4), 123.0, dtype=dtype))
    roles = (omniid.Role.UNCONDITIONAL, omniid.Role.CONDITIONAL)
    assert [call[:3] for call in conditioning.calls] == [(0, (2, 6, 4), roles), (1, (2, 6, 4), roles)]
    assert all(abs(call[3] - 0.7) < 1e-6 for call in conditioning.calls)
    bare = model.model.diffusion_model(image, text, {**model.model_options["transformer_options"], "sigmas": None})
    assert torch.equal(bare[:, 5:], torch.full((2, 6, 4), 13.0, dtype=dtype))
