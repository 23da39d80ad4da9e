"""omniid.onnx with SD3.5 and InstantX' IP-Adapter, in ONNX Runtime against diffusers' own processor."""

import pytest

for module in ("torch", "diffusers", "onnx", "onnxruntime"):
    pytest.importorskip(module)

from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
import omniid  # noqa: E402
import onnx  # noqa: E402
import test_sd3  # noqa: E402
import torch  # noqa: E402
from omniid import errors  # noqa: E402
from omniid.diffusers import attach  # noqa: E402
from omniid.onnx import export, fill  # noqa: E402
from onnx_graphs import call, run, session  # noqa: E402
from test_onnx import OPERATORS, close  # noqa: E402

TIMESTEP = 640.0


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sd3")
    case = test_sd3.Case(folder)
    case.path = folder / "sd3.onnx"
    case.checkpoint = folder / "ip-adapter.safetensors"
    case.manifest = export(case.pipe, case.path, checkpoint=case.checkpoint)
    case.graph = session(case.path)
    export(case.pipe, folder / "plain.onnx", identity=False)
    case.plain = session(folder / "plain.onnx")
    case.now = case.engine.condition(case.identity, timesteps=[TIMESTEP])
    return case


def inputs(rows=2, height=12, width=8):
    random = torch.Generator().manual_seed(8)
    return dict(
        hidden_states=torch.randn(rows, 4, height, width, generator=random),
        encoder_hidden_states=torch.randn(rows, 6, 12, generator=random),
        pooled_projections=torch.randn(rows, 8, generator=random),
        timestep=torch.full((rows,), TIMESTEP),
    )


def test_both_sides_of_guidance_equal_diffusers(case):
    own = inputs()
    ours = run(case.graph, own, fill(case.now, case.manifest, scale=test_sd3.SCALE))
    both = torch.cat([torch.zeros_like(case.features), case.features])
    with case.in_diffusers():
        theirs = call(case.model, own, joint_attention_kwargs={"ip_adapter_image_embeds": both})
    close(ours, theirs, call(case.model, own))


def test_scale_0_is_the_graph_without_identity_to_the_bit(case):
    own = inputs()
    assert torch.equal(run(case.graph, own, fill(case.now, case.manifest, scale=0.0)), run(case.plain, own))


def test_two_people_have_a_softmax_each(case):
    other = case.engine.encode(test_sd3.native_model.picture(7, 28, 28), crop="none").identity
    people = [omniid.ConditioningInput(case.identity, scale=0.6), omniid.ConditioningInput(other, scale=0.9)]
    both = case.engine.condition(people, timesteps=[TIMESTEP])
    own = inputs(rows=1)
    with attach(case.model, both, guidance=False):
        theirs = call(case.model, own)
    close(run(case.graph, own, fill(both, case.manifest, roles=["conditional"])), theirs, call(case.model, own))


def test_people_with_masks_and_steps(case):
    others = [case.engine.encode(test_sd3.native_model.picture(seed, 28, 28), crop="none").identity for seed in (9, 13)]
    masks = np.random.default_rng(3).random((3, 14, 10)).astype(np.float32)
    people = [
        omniid.ConditioningInput(person, scale=scale, mask=mask, fraction=fraction)
        for person, scale, mask, fraction in zip(
            (case.identity, *others), (0.6, -0.4, 1.2), masks, ((0.0, 0.5), None, (0.4, 1.0))
        )
    ]
    conditioning = case.engine.condition(people, timesteps=[TIMESTEP], mask_mode="diffusers")
    own = inputs(height=14, width=10)
    for fraction in (0.2, 0.45, 0.9):
        step = omniid.Step(fraction=fraction)
        with attach(case.model, conditioning, guidance=True) as attachment:
            attachment.step = step
            theirs = call(case.model, own)
        close(run(case.graph, own, fill(conditioning, case.manifest, step=step)), theirs, call(case.model, own))


def test_sigma_says_which_timestep_of_several(case):
    several = case.engine.condition(case.identity, timesteps=[900.0, TIMESTEP, 100.0])
    found = fill(several, case.manifest, step=omniid.Step(sigma=TIMESTEP / 1000))
    for name, array in fill(case.now, case.manifest).items():
        assert np.array_equal(found[name], array)


def test_operators_are_those_of_the_inference_engine(case):
    assert case.manifest.host == "sd3"
    assert {node.op_type for node in onnx.load(case.path).graph.node} <= OPERATORS


def test_what_does_not_fit_is_said(case, tmp_path):
    with pytest.raises(errors.InvalidArgumentError, match="pass its file as checkpoint"):
        export(case.pipe, tmp_path / "no.onnx")
    with pytest.raises(errors.InvalidArgumentError, match="3 timesteps.*does not say the step's sigma"):
        fill(case.conditioning, case.manifest)
    wrong = tmp_path / "wrong.bin"
    torch.save({"ip_adapter": {"0.norm_q.weight": torch.ones(3)}}, wrong)
    with pytest.raises(errors.MismatchError, match=r"layer 'transformer_blocks.0.attn'.*\[3\].*\[32\]"):
        export(case.pipe, tmp_path / "no.onnx", checkpoint=wrong)
    wrong.write_text("no file of weights")
    with pytest.raises(errors.FormatError, match="neither safetensors nor a PyTorch file"):
        export(case.pipe, tmp_path / "no.onnx", checkpoint=wrong)
    assert not list(Path(tmp_path).glob("no*"))
