"""Several processes: two with half a batch each are one with all of it, and one that is killed loses the steps since
the last state and no more."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")
safetensors = pytest.importorskip("safetensors.torch")

import diffusers_models as models  # noqa: E402
from omniid.training.config import RunConfig  # noqa: E402
from omniid.training.run import run  # noqa: E402
from training_people import configuration, drawn_people, lines  # noqa: E402

STEPS, STATE = 8, 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("processes")
    drawn_people(place / "people")
    models.sd_pipeline().save_pretrained(place / "host")
    return place


def stage(folder, which):
    """Both stages leave the way that people are drawn to the sampler; stage 2 has a mean over processes besides."""
    more = {"report": {"metrics_every": 1, "state_every": STATE, "preview_every": 0}}
    if which == "host":
        more["host"] = {"model": str(folder / "host"), "precision": "f32", "size": 8, "identity_dropout": 0.3}
    return configuration(folder / "people", STEPS, **more)


def launch(folder, config, out, *more):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2",
               "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
               "--main_process_port", "0", "--module", "omniid.training", "train", config, "--out", out,
               *more]  # fmt: skip
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip


def workers(launcher):
    """The processes that train: of the launcher's session, all but itself."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat") as file:
                session = int(file.read().rpartition(")")[2].split()[3])
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                command = file.read()
        except (OSError, ValueError):
            continue  # it has ended
        if session == launcher.pid and b"omniid.training" in command and b"accelerate" not in command:
            found.append(int(entry))
    return sorted(found)


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="needs /proc")
@pytest.mark.parametrize("which", ["masked", "host"])
def test_two_processes_one_killed_and_resumed_are_one_process(which, folder):
    text = stage(folder, which)
    config = folder / f"{which}.toml"
    config.write_text(text)
    alone = folder / f"{which}-alone"
    expected = safetensors.load_file(str(run(RunConfig.from_toml(text), alone, report=lambda _: None)))

    out = folder / f"{which}-two"
    launcher = launch(folder, config, out)
    end = time.monotonic() + 300
    while not ((out / "state" / "run.json").exists() and len(workers(launcher)) == 2):
        assert launcher.poll() is None and time.monotonic() < end, launcher.communicate(timeout=60)[0]
        time.sleep(0.02)
    os.kill(workers(launcher)[1], signal.SIGKILL)
    output, _ = launcher.communicate(timeout=120)
    done = max(line["step"] for line in lines(out))
    state = json.loads((out / "state" / "run.json").read_text())
    if launcher.returncode == 0:
        # It ended before the signal came: what follows would compare nothing.
        pytest.fail(f"the run was not interrupted:\n{output}")
    assert state["processes"] == 2 and state["step"] >= done - done % STATE - STATE + 1 and state["step"] % STATE == 0

    again = launch(folder, config, out, "--resume")
    output, _ = again.communicate(timeout=300)
    assert again.returncode == 0, output
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
