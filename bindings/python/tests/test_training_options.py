"""Options of a run: 16-bit autocast, checkpointing, accumulation, torch.compile, trackers, other encoders, and sharded
weights."""

import json
import math

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")
safetensors = pytest.importorskip("safetensors.torch")

import diffusers_models as models  # noqa: E402
from accelerate.state import AcceleratorState  # noqa: E402
from conftest import ROOT  # noqa: E402
from omniid.training.config import RunConfig  # noqa: E402
from omniid.training.evaluation.command import run_evaluation  # noqa: E402
from omniid.training.run import run  # noqa: E402
from torch._dynamo.utils import counters  # noqa: E402
from training_people import configuration, drawn_people, lines  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("options")
    drawn_people(place / "people", people=8, photos=4)
    models.sd_pipeline().save_pretrained(place / "host")
    return place


def trained(folder, name, **sections):
    AcceleratorState._reset_state(reset_partial_state=True)  # which keeps the first run's precision
    sections["host"] = {"model": str(folder / "host"), "precision": "f32", "size": 8} | sections.get("host", {})
    text = configuration(folder / "people", 3, **sections)
    said = []
    path = run(RunConfig.from_toml(text), folder / name, report=said.append)
    losses = [line["loss"] for line in lines(folder / name) if "loss" in line]
    assert all(math.isfinite(loss) for loss in losses)
    return safetensors.load_file(str(path)), losses, text, path


@pytest.fixture(scope="module")
def plain(folder):
    return trained(folder, "plain")


def differ(found, expected):
    return max(
        float((found[name] - tensor).norm()) / max(float(tensor.norm()), 1e-6)
        for name, tensor in expected.items()
        if not name.endswith("k_proj.bias")  # its gradient is rounding, of which Adam makes whole steps
    )


def test_parts_of_a_step_are_the_step(folder, plain):
    found, losses, _, _ = trained(folder, "parts", optimiser={"accumulate": 2}, host={"identity_dropout": 0.0})
    whole, others, _, _ = trained(folder, "whole", host={"identity_dropout": 0.0})
    assert losses == pytest.approx(others, rel=1e-5) and differ(found, whole) <= 2e-5


def test_checkpointing_changes_nothing(folder, plain):
    found, losses, _, _ = trained(
        folder, "checkpointing", model={"gradient_checkpointing": True}, host={"gradient_checkpointing": True}
    )
    assert losses == pytest.approx(plain[1], rel=1e-5) and differ(found, plain[0]) <= 2e-5


def test_bf16_is_near(folder, plain):
    found, losses, _, _ = trained(folder, "bf16", precision="bf16", host={"precision": "bf16"})
    assert losses == pytest.approx(plain[1], rel=0.05) and losses != plain[1]
    assert all(tensor.dtype == torch.float32 for tensor in found.values())


def test_compiled(folder, plain, monkeypatch):
    """With the graphs of torch.compile run as they are: its C++ takes a minute to compile."""
    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda module: real(module, backend="aot_eager"))
    counters.clear()
    found, losses, _, _ = trained(folder, "compiled", compile=True)
    assert losses == pytest.approx(plain[1], rel=1e-4) and differ(found, plain[0]) <= 1e-3
    # What is drawn at random, people who are dropped included, is drawn before.
    breaks = " ".join(counters["graph_break"])
    assert "hash" not in breaks and "Generator" not in breaks and "manual_seed" not in breaks, breaks


@pytest.mark.parametrize("encoder, more", [
    ("features", {}),
    ("embedding", {"recogniser": str(ROOT / "tests" / "fixtures" / "parity" / "recogniser" / "sface" / "model.onnx")}),
])  # fmt: skip
def test_other_encoders_in_the_same_host(folder, encoder, more):
    found, losses, text, path = trained(folder, encoder, model={"encoder": encoder, **more})
    assert path.name == "compared.safetensors"
    # The image encoder is frozen and not in the file; what makes tokens of an embedding is.
    own = {name for name in found if name.startswith("identity.")}
    assert bool(own) == (encoder == "embedding") and any(name.startswith("adapter.") for name in found)
    (row,) = run_evaluation(
        RunConfig.from_toml(text), path, folder / encoder, split="train", inputs=[2], targets=1, seeds=1, steps=2
    )
    assert row.people == 8 and math.isfinite(row.error[0])
    assert json.loads((folder / encoder / "evaluation.json").read_text())[0]["similarity"] == [None, None]


def test_a_tracker_of_accelerate_gets_the_metrics(folder, monkeypatch):
    from accelerate import tracking

    calls = []

    class Recorder(tracking.GeneralTracker):
        name, requires_logging_directory = "recorder", False

        def __init__(self, run_name, **_):
            super().__init__()
            calls.append(("begun", run_name))

        @property
        def tracker(self):
            return self

        def store_init_configuration(self, values):
            calls.append(("configuration", values["steps"], values["optimiser"]["learning_rate"]))

        def log(self, values, step=None, **_):
            calls.append((step, values))

        def finish(self):
            calls.append("finished")

    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "recorder", Recorder)
    trained(folder, "tracked", report={"tracker": "recorder"}, data={"validation": 0.5}, sampler={"people": 2},
            evaluation={"every": 2, "inputs": 1, "targets": 2, "people": 4})  # fmt: skip
    assert calls[:2] == [("begun", "small"), ("configuration", 3, 1e-3)] and calls[-1] == "finished"
    written = [(line.pop("step"), line) for line in lines(folder / "tracked")]
    assert calls[2:-1] == written
    assert [step for step, values in written if "loss" in values] == [1, 2, 3]
    assert [step for step, values in written if "validation_own" in values] == [2, 3]


def test_validation_previews_and_resuming_another_way(folder):
    AcceleratorState._reset_state(reset_partial_state=True)
    text = configuration(
        folder / "people", 4, data={"validation": 0.5}, evaluation={"every": 2, "inputs": 1, "targets": 2, "people": 4},
        sampler={"people": 2}, report={"preview_every": 4, "state_every": 2},
    )  # fmt: skip
    run(RunConfig.from_toml(text), folder / "validated", report=lambda _: None)
    found = [line for line in lines(folder / "validated") if "validation_own" in line]
    assert [line["step"] for line in found] == [2, 4]
    assert all(0 < line[f"validation_{whose}"] < 2 for line in found for whose in ("own", "other", "mean"))
    assert (folder / "validated" / "preview-0000004.png").stat().st_size > 1000
    state = json.loads((folder / "validated" / "state" / "run.json").read_text())
    assert state["step"] == 4 and not (folder / "validated" / "state.old").exists()
