"""Hosts of their real sizes, without weights: every layer is attached, and parameters are as many as published."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

from omniid.diffusers import host_layers  # noqa: E402
from omniid.training.config import RunConfig  # noqa: E402
from omniid.training.hosts import Injection, host_table  # noqa: E402
from omniid.training.modules import IdentityAdapter  # noqa: E402
from omniid.training.plan import host_shape, one_pass, plan  # noqa: E402
from training_people import configuration  # noqa: E402

# Parameters of the checkpoints as their model pages and files have them.
PARAMETERS = {"sd15": 859_520_964, "sdxl": 2_567_463_684, "flux": 11_901_408_320}
LAYERS = {"sd15": 16, "sdxl": 70, "flux": 19, "sd35_large": 38, "sd3_medium": 24}
NAMES = {"sd15": "sd15", "sdxl": "sdxl", "flux": "flux"}


@pytest.fixture(scope="module", params=LAYERS)
def host(request):
    with torch.device("meta"):
        return request.param, host_shape(request.param).requires_grad_(False)


def test_layers_and_parameters(host):
    name, model = host
    if name in PARAMETERS:
        assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]
    table = host_table(model)
    assert len(table.layers) == LAYERS[name] == len(host_layers(model))
    assert table.written == NAMES.get(name, table.written)
    with torch.device("meta"):
        adapter = IdentityAdapter(table.layers, 1280)
    context = table.layers[0].context
    # 1280 → 1280 → context with biases, LayerNorm; then keys and values without biases.
    projection = 1280 * 1280 + 1280 + 1280 * context + context + 2 * context
    expected = projection + sum(2 * layer.context * layer.heads * layer.head_dim for layer in table.layers)
    assert sum(p.numel() for p in adapter.parameters()) == expected


def test_every_layer_is_reached(host, monkeypatch):
    """Keys and values of every layer meet a query of its width, once in a pass."""
    name, model = host
    reached = []
    original = Injection._attention

    def counted(self, place):
        found = original(self, place)
        if found is not None:
            layer = table.layers[place]
            assert found.shape[-1] == layer.heads * layer.head_dim
            reached.append(place)
        return found

    monkeypatch.setattr(Injection, "_attention", counted)
    table, injection = host_table(model), Injection(model)
    with torch.device("meta"), torch.no_grad():
        pairs = IdentityAdapter(table.layers, 1280)(torch.empty(1, 256, 1280))
        injection.set(pairs)
        one_pass(model, 1, 128)
        injection.remove()
    assert sorted(reached) == list(range(LAYERS[name]))


@pytest.mark.parametrize("name", ["sd15", "flux"])
def test_plans(name, tmp_path):
    text = configuration(
        tmp_path, host={"model": name, "size": 256}, model={"token_width": 1280, "queries": 16},
        sampler={"people": 8, "targets": 2}, optimiser={"accumulate": 2},
    )  # fmt: skip
    found = plan(RunConfig.from_toml(text), processes=2)
    assert found.layers == LAYERS[name] and found.people_per_part == 2
    # 16-bit weights of the host; weights, gradients, two moments and the average of what is trained.
    assert abs(found.frozen_gib - 2 * PARAMETERS[name] / 2**30) < 0.01
    assert abs(found.states_gib - 20 * found.trained / 2**30) < 1e-6
    # A pass of SD1.5 is 0.7 TFLOP at 512 x 512 by the common counts, a quarter of it here. In each of FLUX's 57 blocks
    # a token meets 12 matrices of width x width; 256 are of the picture, 512 of the text. Backward through frozen
    # layers is as much again.
    forward = {"sd15": 0.7e12 / 4, "flux": 2 * 57 * 12 * 3072**2 * 768}[name]
    assert 1.9 * forward * 16 < found.operations < 2.3 * forward * 16
