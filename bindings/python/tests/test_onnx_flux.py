"""omniid.onnx with InstantX' adapter for FLUX, in double and single blocks, and masks in FLUX."""

import pytest

for module in ("torch", "diffusers", "onnx", "onnxruntime"):
    pytest.importorskip(module)

import omniid  # noqa: E402
import onnx  # noqa: E402
import test_flux  # noqa: E402
import torch  # noqa: E402
from omniid import errors  # noqa: E402
from omniid.diffusers import attach  # noqa: E402
from omniid.onnx import export, fill  # noqa: E402
from onnx_graphs import call, run, session  # noqa: E402
from test_onnx import OPERATORS, close  # noqa: E402


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    folder = tmp_path_factory.mktemp("instantx")
    case = test_flux.Case("instantx", folder)
    case.path = folder / "flux.onnx"
    case.manifest = export(case.pipe, case.path, adapter="instantx")
    case.graph = session(case.path)
    return case


def inputs(rows=1, height=6, width=8):
    random = torch.Generator().manual_seed(8)
    count = height * width
    ids = torch.zeros(count, 3)
    ids[:, 1], ids[:, 2] = torch.arange(count) // width, torch.arange(count) % width
    return dict(
        hidden_states=torch.randn(rows, count, 16, generator=random),
        encoder_hidden_states=torch.randn(rows, 5, test_flux.models.CONTEXT, generator=random),
        pooled_projections=torch.randn(rows, 8, generator=random),
        timestep=torch.full((rows,), 0.4),
        img_ids=ids,
        txt_ids=torch.zeros(5, 3),
    )


def test_double_and_single_blocks(case):
    assert len(case.manifest.layers) == 8
    assert {node.op_type for node in onnx.load(case.path).graph.node} <= OPERATORS
    own = inputs()
    scaled = case.engine.condition(omniid.ConditioningInput(case.identity, scale=0.8))
    with attach(case.model, scaled):
        theirs = call(case.model, own)
    inputs_of = fill(scaled, case.manifest, roles=["conditional"])
    close(run(case.graph, own, inputs_of), theirs, call(case.model, own))
    plain = export(case.pipe, case.path.with_name("plain.onnx"), adapter="instantx", mask=False)
    graph = session(case.path.with_name("plain.onnx"))
    close(run(graph, own, fill(scaled, plain, roles=["conditional"])), theirs, call(case.model, own))


def test_a_mask_is_that_of_the_packed_picture(case):
    mask = torch.zeros(6, 8)
    mask[:, 4:] = 1
    masked = omniid.ConditioningInput(case.identity, mask=mask)
    conditioning = case.engine.condition(masked, mask_mode="diffusers")
    own = inputs(rows=2)
    with attach(case.model, conditioning):
        theirs = call(case.model, own)
    close(run(case.graph, own, fill(conditioning, case.manifest, roles=["conditional"] * 2)), theirs)


def test_adapters_of_the_residual_stream_are_refused(case, tmp_path):
    for adapter in ("pulid", "with_anyone"):
        with pytest.raises(errors.UnsupportedError, match="residual stream"):
            export(case.pipe, tmp_path / "no.onnx", adapter=adapter)
    with pytest.raises(errors.UnsupportedError, match="'keys_values'"):
        export(case.pipe, tmp_path / "no.onnx", adapter="instantx", form="tokens", checkpoint="nothing")
