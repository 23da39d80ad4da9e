"""omniid.onnx: small models as graphs with identity inputs, run by ONNX Runtime, against diffusers' own IP-Adapter."""

import dataclasses
import re

import pytest

for module in ("torch", "diffusers", "onnx", "onnxruntime"):
    pytest.importorskip(module)

from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
import omniid  # noqa: E402
import onnx  # noqa: E402
import onnx_graphs  # noqa: E402
import torch  # noqa: E402
from diffusers_models import largest  # noqa: E402
from omniid import errors  # noqa: E402
from omniid.diffusers import attach  # noqa: E402
from omniid.onnx import Manifest, export, fill, fill_step, ort_values  # noqa: E402
from onnx_graphs import Case, call, run, session  # noqa: E402

LIMIT = 1e-4
OPERATORS = {
    name
    for line in (Path(__file__).parent / "inference_engine_operators.txt").read_text().splitlines()
    if not line.startswith("#")
    for name in line.split()
}


@pytest.fixture(scope="module", params=["sd", "sdxl", "flux"])
def case(request, tmp_path_factory):
    return Case(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def sd(tmp_path_factory):
    return Case("sd", tmp_path_factory.mktemp("sd"))


def tokens(identity):
    return torch.from_numpy(np.array(identity.tokens().numpy()))


def close(ours, theirs, bare=None):
    limit = LIMIT * max(1.0, float(theirs.abs().max()))
    assert bare is None or largest(theirs, bare) > 30 * limit, "the effect is too small to see"
    assert largest(ours, theirs) <= limit


def test_both_sides_of_guidance_equal_diffusers(case):
    own = case.inputs()
    sides = torch.stack([case.unconditional_tokens(), tokens(case.identities[0])])
    ours = run(case.graph, own, fill(case.conditioning, case.manifest, scale=0.9))
    theirs = case.in_diffusers(own, sides[:, None], 0.9)
    close(ours, theirs, call(case.model, own))


@pytest.mark.parametrize("rows, height, width", [(1, 8, 24), (3, 16, 16)])
def test_any_number_of_rows_and_any_size(case, rows, height, width):
    own = case.inputs(rows, height, width)
    ours = run(case.graph, own, fill(case.conditioning, case.manifest, roles=["conditional"] * rows))
    theirs = case.in_diffusers(own, tokens(case.identities[0]).expand(rows, 1, -1, -1), 1.0)
    close(ours, theirs)


def test_scale_0_is_the_graph_without_identity_to_the_bit(case):
    own = case.inputs()
    plain = run(case.plain, own)
    assert torch.equal(run(case.graph, own, fill(case.conditioning, case.manifest, scale=0.0)), plain)
    nobody = case.engine.condition(omniid.ConditioningInput(case.identities[0], scale=0.0))
    assert torch.equal(run(case.graph, own, fill(nobody, case.manifest)), plain)
    close(plain, call(case.model, own))


@pytest.mark.parametrize("name", ["sd", "sdxl"])
def test_two_people_and_masks_equal_diffusers(name, sd, tmp_path):
    case = sd if name == "sd" else Case(name, tmp_path)
    left = np.zeros((64, 32), dtype=np.float32)
    left[:, :20] = 1.0
    masks = [left, 1 - left]
    people = [
        omniid.ConditioningInput(person, scale=scale, mask=mask)
        for person, scale, mask in zip(case.identities, (0.7, 0.5), masks)
    ]
    own = case.inputs()
    ours = run(case.graph, own, fill(case.engine.condition(people, mask_mode="diffusers"), case.manifest))
    sides = torch.stack(
        [case.unconditional_tokens().expand(2, -1, -1), torch.stack(list(map(tokens, case.identities)))]
    )
    theirs = case.in_diffusers(own, sides, [[0.7, 0.5]], torch.from_numpy(np.stack(masks))[None])
    close(ours, theirs, run(case.plain, own))


def test_people_of_different_lengths_add_up(case):
    both = case.engine.encode([onnx_graphs.native_model.picture(seed) for seed in (5, 6)], crop="none").identity
    people = [omniid.ConditioningInput(case.identities[0], scale=0.4), omniid.ConditioningInput(both, scale=0.8)]
    conditioning = case.engine.condition(people)
    own = case.inputs(rows=1)
    inputs = fill(conditioning, case.manifest, roles=["conditional"])
    assert inputs[case.manifest.layers[0].key].shape[2] == 2 * 2 * 4
    with attach(case.model, conditioning, guidance=False):
        theirs = call(case.model, own)
    close(run(case.graph, own, inputs), theirs, call(case.model, own))


def test_weights_of_layers_and_steps(case):
    weight_type = "ease_in"
    late = omniid.ConditioningInput(case.identities[0], scale=0.8, fraction=(0.5, 1.0))
    always = omniid.ConditioningInput(case.identities[1], scale=0.3)
    own = case.inputs(rows=1)
    for people in ([late], [late, always]):
        conditioning = case.engine.condition(people, weight_type=weight_type)
        roles = ["conditional"]
        inputs = fill(conditioning, case.manifest, roles=roles, step=omniid.Step(fraction=0.0))
        for fraction in (0.2, 0.9):
            step = omniid.Step(fraction=fraction)
            inputs |= fill_step(conditioning, case.manifest, roles=roles, step=step)
            with attach(case.model, conditioning, guidance=False) as attachment:
                attachment.step = step
                close(run(case.graph, own, inputs), call(case.model, own))
    with pytest.raises(errors.InvalidArgumentError, match="step"):
        fill(conditioning, case.manifest, roles=roles)


def test_operators_of_opset_15_are_those_of_the_inference_engine(case):
    graph = onnx.load(case.path)
    onnx.checker.check_model(graph, full_check=True)
    assert [(item.domain, item.version) for item in graph.opset_import] == [("", 15)]
    used = {node.op_type for node in graph.graph.node}
    assert len(OPERATORS) > 100 and {"MatMul", "Softmax"} <= used
    assert used <= OPERATORS
    kinds = {item.data_type for item in graph.graph.initializer}
    assert onnx.TensorProto.DOUBLE not in kinds


@pytest.mark.parametrize("precision, opset", [("f32", 20), ("f16", 15), ("f16", 17)])
def test_other_opsets_and_half_precision(case, precision, opset, tmp_path):
    manifest = export(case.pipe, tmp_path / "other.onnx", precision=precision, opset=opset)
    graph = onnx.load(tmp_path / "other.onnx")
    assert graph.opset_import[0].version == opset
    if opset == 15:
        assert {node.op_type for node in graph.graph.node} <= OPERATORS
    own = case.inputs()
    theirs = run(case.graph, own, fill(case.conditioning, case.manifest))
    half = precision == "f16"
    keep = ("timestep", "img_ids", "txt_ids")
    own = {name: tensor.half() if half and name not in keep else tensor for name, tensor in own.items()}
    inputs = fill(case.conditioning, manifest)
    assert {array.dtype.name for array in inputs.values()} == ({"float16", "float32"} if half else {"float32"})
    ours = run(session(tmp_path / "other.onnx"), own, inputs).float()
    limit = (2e-2 if half else LIMIT) * max(1.0, float(theirs.abs().max()))
    assert largest(ours, theirs) <= limit
    assert {p.dtype for p in case.model.parameters()} == {torch.float32}, "the model is not as it was"


def test_fixed_sizes_and_weights_beside_the_graph(sd, tmp_path):
    manifest = export(sd.pipe, tmp_path / "fixed.onnx", rows=2, size=(16, 8), text_tokens=9, tokens=8, external=True)
    weights = 4 * sum(parameter.numel() for parameter in sd.model.parameters())
    assert weights > (tmp_path / "fixed.onnx.data").stat().st_size > 0.8 * weights
    graph = session(tmp_path / "fixed.onnx")
    shapes = {item.name: item.shape for item in graph.get_inputs()}
    assert shapes["sample"] == [2, 4, 16, 8] and shapes["encoder_hidden_states"] == [2, 9, 24]
    layer = manifest.layers[0]
    assert shapes[layer.key] == [2, layer.heads, 8, layer.head_dim]
    assert (manifest.rows, manifest.tokens) == (2, 8)
    own = sd.inputs()
    theirs = run(sd.graph, own, fill(sd.conditioning, sd.manifest))
    close(run(graph, own, fill(sd.conditioning, manifest)), theirs)
    with pytest.raises(errors.MismatchError, match="3 roles.*2 rows"):
        fill(sd.conditioning, manifest, roles=["conditional"] * 3)
    three = sd.engine.condition([sd.identities[0]] * 3)
    with pytest.raises(errors.MismatchError, match=re.escape(layer.name) + ".*8 identity tokens, 3 people have"):
        fill(three, manifest)


def test_without_a_mask_one_person(sd, tmp_path):
    manifest = export(sd.pipe, tmp_path / "one.onnx", mask=False)
    assert manifest.mask is None
    graph = session(tmp_path / "one.onnx")
    assert "ip_mask" not in {item.name for item in graph.get_inputs()}
    own = sd.inputs()
    close(run(graph, own, fill(sd.conditioning, manifest)), run(sd.graph, own, fill(sd.conditioning, sd.manifest)))
    with pytest.raises(errors.UnsupportedError, match="one softmax"):
        fill(sd.engine.condition(sd.identities), manifest)


def test_values_of_onnx_runtime(sd):
    own = sd.inputs()
    inputs = fill(sd.conditioning, sd.manifest)
    values = ort_values({**{name: tensor.numpy() for name, tensor in own.items()}, **inputs}, sd.manifest)
    (found,) = sd.graph.run_with_ort_values(None, values)
    assert torch.equal(torch.from_numpy(found.numpy()), run(sd.graph, own, inputs))


def test_the_manifest_describes_the_graph(case, tmp_path):
    manifest = Manifest.load(case.path)
    assert manifest == case.manifest == Manifest.load(str(case.path) + ".identity.json")
    assert manifest.host == "custom" and manifest.graph == case.path.name
    manifest.check_graph(case.graph.get_inputs())
    names = [item.name for item in case.graph.get_inputs()]
    assert names[-len(manifest.inputs) :] == list(manifest.inputs)
    first = manifest.layers[0]
    assert first.key == f"ip_k.{first.name}" and first.value == f"ip_v.{first.name}"


def test_a_wrong_manifest_names_layer_and_shapes(sd):
    inputs = sd.graph.get_inputs()
    layers = list(sd.manifest.layers)
    wide = dataclasses.replace(layers[1], head_dim=99)
    wrong = dataclasses.replace(sd.manifest, layers=(layers[0], wide, *layers[2:]))
    with pytest.raises(
        errors.MismatchError,
        match=re.escape(layers[1].name) + r".*\[None, 4, None, 99\].*\['rows', 4, 'identity_tokens', 8\]",
    ):
        wrong.check_graph(inputs)
    with pytest.raises(
        errors.MismatchError, match=re.escape(layers[1].name) + r".*\[rows, 4, tokens, 99\].*\[rows, 4, tokens, 8\]"
    ):
        fill(sd.conditioning, wrong)
    swapped = dataclasses.replace(sd.manifest, layers=(layers[1], layers[0], *layers[2:]))
    with pytest.raises(errors.MismatchError, match="at place 0"):
        swapped.check_graph(inputs)
    half = dataclasses.replace(sd.manifest, precision="f16")
    with pytest.raises(errors.MismatchError, match=re.escape(layers[0].name) + r".*f16.*tensor\(float\)"):
        half.check_graph(inputs)
    arrays = fill(sd.conditioning, sd.manifest)
    with pytest.raises(errors.MismatchError, match=re.escape(layers[0].name) + r".*float32.*float16"):
        half.check_arrays(arrays)
    arrays[layers[2].value] = arrays[layers[2].value][:, :1]
    with pytest.raises(errors.MismatchError, match=re.escape(layers[2].name)):
        sd.manifest.check_arrays(arrays)


def test_a_conditioning_for_another_host_is_refused(sd, tmp_path):
    other = Case("sdxl", tmp_path)
    with pytest.raises(
        errors.MismatchError, match=r'"down_blocks.0.*\[rows, 4, tokens, 4\].*"down_blocks.1.*tokens, 8\]'
    ):
        fill(other.conditioning, sd.manifest)
    fewer = dataclasses.replace(sd.manifest, layers=sd.manifest.layers[:-1])
    with pytest.raises(errors.MismatchError, match="layer .*no inputs for it"):
        fill(sd.conditioning, fewer)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"format": "other"}, "format is 'other'"),
        ({"version": 2}, "version 2"),
        ({"host": "sd21"}, "host is 'sd21'.*sd15"),
        ({"precision": "f64"}, "precision is 'f64'"),
        ({"layers": []}, "no layers"),
        ({"rows": 0}, "rows is 0"),
        ({"layers": [{"name": "a", "heads": 2, "head_dim": 4}]}, "layer 'a' has no inputs"),
        ({"layers": [{"name": "a", "heads": 0, "head_dim": 4}]}, r"layers\[0\]: heads is 0"),
    ],
)
def test_manifests_are_checked(sd, changes, message):
    with pytest.raises(errors.OmniIdError, match=message):
        Manifest.from_json({**sd.manifest.to_json(), **changes})


def test_the_model_is_left_as_it_was(sd):
    modules = list(sd.model.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in modules)
    assert not any("forward" in vars(module) for module in modules)


def test_what_cannot_be_exported_is_said(sd, tmp_path):
    for options, message in (
        ({"opset": 9}, "opset is 9.*14 to 20"),
        ({"precision": "bf16"}, "'bf16'.*'f32' or 'f16'"),
        ({"size": (13, 8)}, "13 x 8.*multiples of 4"),
    ):
        with pytest.raises(errors.OmniIdError, match=message):
            export(sd.pipe, tmp_path / "no.onnx", **options)
    with pytest.raises(errors.IoError, match="no such folder"):
        export(sd.pipe, tmp_path / "nowhere" / "no.onnx")
    with pytest.raises(errors.UnsupportedError, match="Linear"):
        export(torch.nn.Linear(2, 2), tmp_path / "no.onnx")
    assert not list(tmp_path.iterdir())
