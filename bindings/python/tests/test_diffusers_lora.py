"""The LoRA of an identity model in a diffusers UNet: against PEFT, and without a trace."""

import math
import subprocess
import sys

import pytest

pytest.importorskip("torch")
pytest.importorskip("diffusers")

import diffusers_models as models  # noqa: E402
import omniid  # noqa: E402
import torch  # noqa: E402
from diffusers_models import image, largest, run  # noqa: E402
from native_model import picture, write_safetensors  # noqa: E402
from omniid.diffusers import attach  # noqa: E402

LIMIT, RANK = 1e-5, 3


class Lora:
    """In the place of omniid.Lora: random matrices for each attention layer of a UNet."""

    def __init__(self, unet, model="faceid", seed=4):
        self.model, self.tensors = model, {}
        generator = torch.Generator().manual_seed(seed)
        for name, module in unet.named_modules():
            parts = name.split(".")
            if not isinstance(module, torch.nn.Linear) or not {"attn1", "attn2"} & set(parts[-3:]):
                continue
            for part, shape in (("lora_A", (RANK, module.in_features)), ("lora_B", (module.out_features, RANK))):
                value = torch.randn(shape, generator=generator) / math.sqrt(shape[1])
                self.tensors[f"unet.{name}.{part}.weight"] = value

    def save(self, path, format):
        assert format == "diffusers"
        write_safetensors(path, {name: tensor.numpy() for name, tensor in self.tensors.items()})


class Case:
    def __init__(self, name, folder):
        self.pipe = {"sd": models.sd_pipeline, "sdxl": models.sdxl_pipeline}[name]()
        self.unet = self.pipe.unet
        self.adapter = models.Adapter(folder, self.unet)
        self.engine = self.adapter.engine()
        self.identity = self.engine.encode([picture(3)], crop="none").identity
        self.lora = Lora(self.unet)
        self.bare = run(self.pipe)

    def conditioning(self, lora=True):
        conditioning = self.engine.condition(self.identity)
        assert conditioning.lora is None and self.engine.lora is None
        conditioning.lora = self.lora if lora else None
        return conditioning

    def close(self, ours, theirs):
        # A LoRA that PEFT has loaded and unloaded changes how PyTorch rounds, on Xeons: by 9e-7 of the largest value.
        assert largest(ours, theirs) <= LIMIT * max(1.0, float(theirs.abs().max()))


@pytest.fixture(scope="module", params=["sd", "sdxl"])
def case(request, tmp_path_factory):
    return Case(request.param, tmp_path_factory.mktemp("lora"))


def by_peft(case, strength):
    """diffusers' own adapter and LoRA, both loaded as it does it."""
    pytest.importorskip("peft")
    case.pipe.load_lora_weights(dict(case.lora.tensors), adapter_name="faceid_0")
    case.pipe.set_adapters(["faceid_0"], adapter_weights=[strength])
    try:
        with case.adapter.in_diffusers(case.pipe, 0.7):
            return run(case.pipe, ip_adapter_image=image(picture(3)))
    finally:
        case.pipe.unload_lora_weights()


@pytest.mark.parametrize("strength", [1.0, 0.6])
def test_equals_peft(case, strength):
    theirs = by_peft(case, strength)
    state = {name: tensor.clone() for name, tensor in case.unet.state_dict().items()}
    for mode in ("inject", "keys"):
        with attach(case.pipe, case.conditioning(), scale=0.7, lora_scale=strength, mode=mode):
            case.close(run(case.pipe), theirs)
    with attach(case.pipe, case.conditioning(lora=False), scale=0.7):
        assert largest(run(case.pipe), theirs) > 0.01, "the LoRA changes nothing"
    after = case.unet.state_dict()
    assert list(after) == list(state) and all(torch.equal(after[name], tensor) for name, tensor in state.items())
    case.close(run(case.pipe), case.bare)


def test_scale_0_keeps_the_lora_and_lora_scale_0_leaves_it_out(case):
    """As set_ip_adapter_scale(0) keeps it in diffusers."""
    pytest.importorskip("peft")
    case.pipe.load_lora_weights(dict(case.lora.tensors))
    try:
        with_lora = run(case.pipe)
    finally:
        case.pipe.unload_lora_weights()
    with attach(case.pipe, case.conditioning(), scale=0.0):
        case.close(run(case.pipe), with_lora)
    with attach(case.pipe, case.conditioning(), scale=0.0, lora_scale=0.0):
        case.close(run(case.pipe), case.bare)
    with attach(case.pipe, case.conditioning(), scale=0.0) as attachment:
        attachment.lora_scale = 0.0
        case.close(run(case.pipe), case.bare)


def test_people_of_one_model_share_its_lora(case):
    first, second = case.conditioning(), case.conditioning()
    with attach(case.pipe, case.conditioning(lora=False), scale=0.4), attach(case.pipe, first, scale=0.7):
        once = run(case.pipe)
    with attach(case.pipe, first, scale=0.7), attach(case.pipe, second, scale=0.4, lora_scale=0.5):
        case.close(run(case.pipe), once)
    with attach(case.pipe, first, scale=0.7, lora_scale=0.3) as low, attach(case.pipe, second, scale=0.4):
        case.close(run(case.pipe), once)
        low.detach()
        without_first = run(case.pipe)
    with attach(case.pipe, second, scale=0.4):
        assert torch.equal(run(case.pipe), without_first)


def test_other_models_and_fused_projections_are_refused(case):
    conditioning = case.conditioning()
    other = Lora(models.sdxl_pipeline().unet if len(case.adapter._table) == 7 else models.sd_pipeline().unet)
    conditioning.lora = other
    with pytest.raises(omniid.MismatchError, match="LoRA"):
        attach(case.pipe, conditioning)
    case.unet.fuse_qkv_projections()
    try:
        with pytest.raises(omniid.UnsupportedError, match="unfuse_qkv_projections"):
            attach(case.pipe, case.conditioning())
    finally:
        case.unet.unfuse_qkv_projections()
    case.close(run(case.pipe), case.bare)


def test_half_types(case):
    half = case.unet.to(torch.bfloat16)
    try:
        generator = torch.Generator().manual_seed(6)
        inputs = dict(
            sample=torch.randn(2, 4, 8, 8, generator=generator).bfloat16(), timestep=torch.tensor(500),
            encoder_hidden_states=torch.randn(2, 7, models.CONTEXT, generator=generator).bfloat16(),
        )  # fmt: skip
        if half.config.addition_embed_type:
            inputs["added_cond_kwargs"] = {"text_embeds": torch.zeros(2, 16).bfloat16(), "time_ids": torch.ones(2, 6)}
        with torch.no_grad(), attach(half, case.conditioning(), guidance=True):
            assert half(**inputs).sample.dtype == torch.bfloat16
    finally:
        case.unet.to(torch.float32)


def test_peft_is_not_needed(tmp_path):
    """In an environment without it."""
    program = f"""
import sys
sys.modules["peft"] = None
sys.path.insert(0, {str(models.__file__.rsplit("/", 1)[0])!r})
from pathlib import Path
import test_diffusers_lora as t
case = t.Case("sd", Path({str(tmp_path)!r}))
with t.attach(case.pipe, case.conditioning(), scale=0.7):
    assert t.largest(t.run(case.pipe), case.bare) > 0.01
assert t.torch.equal(t.run(case.pipe), case.bare)
print("done")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.endswith("done\n"), done.stderr
