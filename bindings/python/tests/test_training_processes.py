"""Several processes: two with half a batch each are one with all of it, and one that is killed loses the steps since
the last state and no more. So it is when each has a part of the weights only (FSDP)."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")
safetensors = pytest.importorskip("safetensors.torch")

import diffusers_models as models  # noqa: E402
from omniid.training.config import RunConfig  # noqa: E402
from omniid.training.run import run  # noqa: E402
from training_people import configuration, drawn_people, lines  # noqa: E402

STEPS, STATE = 8, 3
WORKER = Path(__file__).with_name("training_worker.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("processes")
    drawn_people(place / "people")
    models.sd_pipeline().save_pretrained(place / "host")
    return place


def ninja():
    """The folder of ninja: on the PATH, or beside the Python whose packages are lent to this one."""
    found, module = shutil.which("ninja"), importlib.util.find_spec("ninja")
    if found is None and module is not None:
        found = shutil.which("ninja", path=Path(module.origin).parents[4] / "bin")
    return found and Path(found).parent


needs_deepspeed = pytest.mark.skipif(
    importlib.util.find_spec("deepspeed") is None or ninja() is None,
    reason="needs deepspeed, and ninja for its extension for processors: scripts/peers",
)

SHARDED = {
    "ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_TRANSFORMER_CLS_TO_WRAP": "Block",
}  # fmt: skip


def trained(out, process=0):
    """How many of the trained weights a process has."""
    values = safetensors.load_file(str(out / "state" / f"average-{process}.safetensors"))
    return sum(tensor.numel() for tensor in values.values())


def stage(folder, which):
    """Both stages leave the way that people are drawn to the sampler; stage 2 has a mean over processes besides."""
    more = {"report": {"metrics_every": 1, "state_every": STATE, "preview_every": 0}}
    if which == "host":
        more["host"] = {"model": str(folder / "host"), "precision": "f32", "size": 8, "identity_dropout": 0.3}
    return configuration(folder / "people", STEPS, **more)


def launch(folder, config, out, *more, **environment):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""} | environment
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    environment["ACCELERATE_USE_CPU"] = "true"
    if "ACCELERATE_USE_DEEPSPEED" in environment:
        environment["PATH"] = os.pathsep.join((str(ninja()), environment["PATH"]))
    # `accelerate launch` starts several processes on the CPU by MPI only.
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", WORKER, "train",
               config, "--out", out, *more]  # fmt: skip
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300
    )
    return done.returncode, done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("which, settings", [
    ("masked", {}),
    ("host", {}),
    # Every process has a half of the weights; blocks are units of their own.
    ("masked", SHARDED | {"FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT"}),
    ("host", SHARDED | {"FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT"}),
    pytest.param("host", {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "2",
                          "DS_ACCELERATOR": "cpu"}, marks=needs_deepspeed),
], ids=["masked", "host", "masked-fsdp", "host-fsdp", "host-deepspeed"])  # fmt: skip
def test_two_processes_one_killed_and_resumed_are_one_process(which, settings, folder):
    text = stage(folder, which)
    config = folder / f"{which}.toml"
    config.write_text(text)
    alone = folder / f"{which}-alone"
    if not alone.exists():
        run(RunConfig.from_toml(text), alone, report=lambda _: None)
    expected = safetensors.load_file(str(alone / "model.safetensors"))

    out = folder / f"{which}-two-{len(settings)}"
    code, output = launch(folder, config, out, KILL_RANK="1", KILL_AT="5", **settings)
    assert code != 0 and not (out / "model.safetensors").exists(), output
    state = json.loads((out / "state" / "run.json").read_text())
    assert (state["processes"], state["step"]) == (2, STATE), output
    assert max(line["step"] for line in lines(out)) == 5

    # The parts of two processes are the weights, or each has all of them.
    sharded = "ACCELERATE_USE_FSDP" in settings
    assert trained(out, 0) + trained(out, 1) == trained(alone) * (1 if sharded else 2)

    code, output = launch(folder, config, out, "--resume", **settings)
    assert code == 0, output
    assert f"goes on after step {state['step']}" in output
    found = safetensors.load_file(str(out / "model.safetensors"))
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        if name.endswith("k_proj.bias"):
            continue  # shifts all scores of a query alike: its gradient is rounding, of which Adam makes whole steps
        error = float((found[name] - tensor).norm()) / max(float(tensor.norm()), 1e-6)
        assert error <= 2e-5, f"{name}: {error:.1e}"
    losses = {line["step"]: line["loss"] for line in lines(alone) if "loss" in line}
    for line in lines(out):
        if "loss" in line:
            assert abs(line["loss"] - losses[line["step"]]) <= 1e-5 * max(losses[line["step"]], 1.0)


def test_old_fsdp_on_processors_is_refused(folder):
    config = folder / "refused.toml"
    config.write_text(stage(folder, "masked"))
    code, output = launch(folder, config, folder / "refused", ACCELERATE_USE_FSDP="true", FSDP_VERSION="1")
    assert code != 0 and "FSDP_VERSION=2" in output and not (folder / "refused" / "metrics.jsonl").exists()


def test_deepspeed_is_told_what_the_run_says(folder):
    from omniid import errors
    from omniid.training.processes import _configure

    config = RunConfig.from_toml(configuration(folder / "people", optimiser={"clip": 0.5}))

    def told(settings):
        plugin = SimpleNamespace(deepspeed_config=settings)
        _configure(SimpleNamespace(state=SimpleNamespace(deepspeed_plugin=plugin)), config)
        return plugin.deepspeed_config

    found = told({"zero_optimization": {"stage": 2}, "bf16": {"enabled": "auto"}, "train_batch_size": 64})
    assert found["gradient_clipping"] == 0.5 and found["gradient_accumulation_steps"] == 1
    assert "train_batch_size" not in found
    for settings, said in [({}, "stage is 0"), ({"zero_optimization": {"stage": 3}}, "stage is 3"),
                           ({"zero_optimization": {"stage": 1}, "bf16": {"enabled": True}}, "16 bits")]:  # fmt: skip
        with pytest.raises(errors.UnsupportedError, match=said):
            told(settings)
