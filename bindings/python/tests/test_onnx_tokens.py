"""omniid.onnx with the adapter inside the graph (form "tokens"), in ONNX Runtime."""

import dataclasses

import pytest

for module in ("torch", "diffusers", "onnx", "onnxruntime"):
    pytest.importorskip(module)

import native_model  # noqa: E402
import numpy as np  # noqa: E402
import omniid  # noqa: E402
import onnx  # noqa: E402
import torch  # noqa: E402
from omniid import errors  # noqa: E402
from omniid.diffusers import attach, host_layers  # noqa: E402
from omniid.onnx import export, fill  # noqa: E402
from onnx_graphs import Case, call, run, session  # noqa: E402
from test_onnx import OPERATORS, close, tokens  # noqa: E402


@pytest.fixture(scope="module", params=["sd", "flux"])
def case(request, tmp_path_factory):
    case = Case(request.param, tmp_path_factory.mktemp(request.param))
    case.tokens_path = case.folder / "tokens.onnx"
    case.tokens_manifest = export(
        case.pipe, case.tokens_path, form="tokens", checkpoint=case.adapter.path, engine=case.engine
    )
    case.tokens_graph = session(case.tokens_path)
    return case


def test_both_sides_of_guidance_equal_diffusers(case):
    own = case.inputs()
    sides = torch.stack([case.unconditional_tokens(), tokens(case.identities[0])])
    person = omniid.ConditioningInput(case.identities[0], scale=0.9)
    inputs = fill(case.engine.condition(person), case.tokens_manifest)
    case.tokens_manifest.check_graph(case.tokens_graph.get_inputs())
    theirs = case.in_diffusers(own, sides[:, None], 0.9)
    close(run(case.tokens_graph, own, inputs), theirs, call(case.model, own))
    inputs[case.tokens_manifest.scale][:] = 0
    assert torch.equal(run(case.tokens_graph, own, inputs), run(case.plain, own))


def test_people_masks_and_steps_are_those_of_keys_and_values(case):
    left = np.zeros((16, 8), dtype=np.float32)
    left[:, :3] = 1
    both = case.engine.encode([native_model.picture(seed) for seed in (5, 6)], crop="none").identity
    people = [
        omniid.ConditioningInput(case.identities[0], scale=0.7, mask=left, fraction=(0.5, 1.0)),
        omniid.ConditioningInput(both, scale=0.7),
    ]
    conditioning = case.engine.condition(people, mask_mode="diffusers")
    own = case.inputs()
    for fraction in (0.1, 0.7):
        step = omniid.Step(fraction=fraction)
        theirs = run(case.graph, own, fill(conditioning, case.manifest, step=step))
        close(run(case.tokens_graph, own, fill(conditioning, case.tokens_manifest, step=step)), theirs)


def test_operators_are_those_of_the_inference_engine(case):
    graph = onnx.load(case.tokens_path)
    onnx.checker.check_model(graph, full_check=True)
    assert {node.op_type for node in graph.graph.node} <= OPERATORS


def test_an_omni_id_adapter_brings_its_projection(case, tmp_path):
    table = host_layers(case.pipe)
    host = [(layer.name, layer.heads, layer.head_dim, layer.context) for layer in table]
    path = native_model.write(tmp_path / "native.safetensors", host, token_width=20)
    engine = omniid.Engine.open(path, host_layers=table)
    identity = engine.encode([native_model.picture(3)], crop="none").identity
    manifest = export(case.pipe, tmp_path / "native.onnx", form="tokens", checkpoint=path, engine=engine)
    assert manifest.width == 20 and manifest.fingerprint == engine.info.fingerprint
    own = case.inputs(rows=1)
    inputs = fill(engine.condition(identity), manifest, roles=["conditional"])
    with attach(case.model, engine.condition(identity), guidance=False):
        theirs = call(case.model, own)
    close(run(session(tmp_path / "native.onnx"), own, inputs), theirs, call(case.model, own))
    with pytest.raises(errors.MismatchError, match="holds the adapter of model"):
        fill(engine.condition(identity), case.tokens_manifest)
    unknown = dataclasses.replace(case.tokens_manifest, fingerprint=None)
    with pytest.raises(errors.MismatchError, match='"ip_tokens".*24.*20'):
        fill(engine.condition(identity), unknown)


def test_what_does_not_fit_is_said(case, tmp_path):
    with pytest.raises(errors.InvalidArgumentError, match="pass its file as checkpoint"):
        export(case.pipe, tmp_path / "no.onnx", form="tokens")
    with pytest.raises(errors.InvalidArgumentError, match="'keys_values' or 'tokens'"):
        export(case.pipe, tmp_path / "no.onnx", form="values")
    narrow = tmp_path / "narrow.bin"
    torch.save({f"ip_adapter.{i}.to_k_ip.weight": torch.zeros(3, 24) for i in range(len(case.manifest.layers))}, narrow)
    with pytest.raises(errors.MismatchError, match=r"layer '.*': the weight of to_k is \[3, 24\]; the host takes"):
        export(case.pipe, tmp_path / "no.onnx", form="tokens", checkpoint=narrow)
    people = [omniid.ConditioningInput(person, scale=scale) for person, scale in zip(case.identities, (0.7, 0.5))]
    with pytest.raises(errors.UnsupportedError, match="one scale for all people"):
        fill(case.engine.condition(people), case.tokens_manifest)
