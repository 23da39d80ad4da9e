"""What cannot be trained is said before anything starts, and nothing is lost."""

import json
import os
import subprocess
import sys
import tarfile

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

import diffusers_models as models  # noqa: E402
from omniid import errors  # noqa: E402
from omniid.training.__main__ import main  # noqa: E402
from omniid.training.checkpoint import NativeCheckpoint  # noqa: E402
from omniid.training.config import RunConfig  # noqa: E402
from omniid.training.evaluation.command import run_evaluation  # noqa: E402
from omniid.training.hosts import host_table, open_host  # noqa: E402
from omniid.training.modules import EmbeddingTokens, IdentityAdapter  # noqa: E402
from omniid.training.run import run  # noqa: E402
from training_people import MINIHOST, configuration, drawn_people, lines  # noqa: E402


def quiet(_):
    pass


@pytest.mark.parametrize(
    "change, said",
    [
        ({"steps": 0}, "steps is 0; it must be at least 1"),
        ({"nonsense": 1}, "unknown name 'nonsense'"),
        ({"sampler": {"people": 3}, "optimiser": {"accumulate": 2}}, "divisor of"),
        ({"data": {"validation": 0.7, "test": 0.5}}, "validation"),
        ({"model": {"width": "32"}}, "model.width is '32'; it must be a whole number"),
        ({"model": {"encoder": "embedding"}}, "recogniser"),
        ({"model": {"encoder": "features"}}, "stage 1"),
        ({"precision": "f64"}, "'f32' or 'bf16'"),
    ],
)
def test_configurations(change, said, tmp_path):
    with pytest.raises(errors.FormatError, match=said):
        RunConfig.from_toml(configuration(tmp_path, **change))


def test_people_with_one_photo(tmp_path):
    drawn_people(tmp_path / "people", people=3, photos=1)
    with pytest.raises(errors.InvalidArgumentError, match="two usable photos"):
        run(RunConfig.from_toml(configuration(tmp_path / "people")), tmp_path / "out", report=quiet)
    reasons = (tmp_path / "out" / "dropped.txt").read_text().splitlines()
    assert len(reasons) == 3 and all("1 usable photos: 2 are needed" in reason for reason in reasons)
    # One among others is left out, and the run goes on.
    drawn_people(tmp_path / "more", people=4, photos=3)
    (tmp_path / "people" / "person-0").rename(tmp_path / "more" / "single")
    said = []
    path = run(RunConfig.from_toml(configuration(tmp_path / "more", 1)), tmp_path / "out2", report=said.append)
    assert path.exists() and any("left out 1: N usable photos" in text for text in said)


def test_no_folder_and_no_photos(tmp_path):
    with pytest.raises(errors.IoError, match="no such folder"):
        run(RunConfig.from_toml(configuration(tmp_path / "nowhere")), tmp_path / "out", report=quiet)
    (tmp_path / "people" / "anna").mkdir(parents=True)
    with pytest.raises(errors.InvalidArgumentError, match="nobody to train on"):
        run(RunConfig.from_toml(configuration(tmp_path / "people")), tmp_path / "out", report=quiet)


def test_a_photo_that_breaks_off_stops_with_its_name(tmp_path):
    drawn_people(tmp_path / "people", people=4, photos=2)
    photo = tmp_path / "people" / "person-1" / "0.png"
    # Its beginning, which alone is read before the run, is whole.
    photo.write_bytes(photo.read_bytes()[:-400])
    with pytest.raises(errors.FormatError, match=r"person-1.0\.png"):
        run(RunConfig.from_toml(configuration(tmp_path / "people", 4)), tmp_path / "out", report=quiet)


def shard(path, people):
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for person in sorted(people.iterdir()):
            for photo in sorted(person.iterdir()):
                archive.add(photo, f"{person.name}.{int(photo.stem):04d}.png")
    return path


def test_broken_shards(tmp_path):
    people = drawn_people(tmp_path / "people", people=6, photos=3)
    whole = shard(tmp_path / "people-000000.tar", people)
    data = whole.read_bytes()
    cut = tmp_path / "people-000001.tar"
    cut.write_bytes(data[: len(data) * 2 // 3])
    text = configuration(people, 1).replace(f'photos = ["{people}"]', f'shards = ["{cut}"]')
    assert "shards" in text
    said = []
    assert run(RunConfig.from_toml(text), tmp_path / "out", report=said.append).exists()
    assert "the shard breaks off" in (tmp_path / "out" / "dropped.txt").read_text()
    (tmp_path / "noise.tar").write_bytes(os.urandom(4096))
    with pytest.raises(errors.FormatError, match="not a shard"):
        run(RunConfig.from_toml(text.replace(str(cut), str(tmp_path / "noise.tar"))), tmp_path / "out2", report=quiet)
    with pytest.raises(errors.IoError, match="no such shard|No such file"):
        run(
            RunConfig.from_toml(text.replace(str(cut), str(tmp_path / "x-{0..1}.tar"))), tmp_path / "out3", report=quiet
        )


@pytest.fixture(scope="module")
def stage_2(tmp_path_factory):
    """A run of one step against a small UNet."""
    folder = tmp_path_factory.mktemp("stage2")
    drawn_people(folder / "people", people=4, photos=3)
    models.sd_pipeline().save_pretrained(folder / "host")
    host = {"model": str(folder / "host"), "precision": "f32", "size": 8}
    text = configuration(folder / "people", 1, host=host)
    return folder, text, run(RunConfig.from_toml(text), folder / "out", report=quiet)


def test_a_layer_table_that_does_not_match(stage_2, tmp_path):
    folder, text, path = stage_2
    models.sdxl_pipeline().save_pretrained(tmp_path / "host")
    other = RunConfig.from_toml(text.replace(str(folder / "host"), str(tmp_path / "host")))
    with pytest.raises(errors.MismatchError, match=r"layer 0 of its adapter is .*down_blocks"):
        run_evaluation(other, path, tmp_path / "evaluation", split="train", inputs=[1], targets=1)
    layers = host_table(models.sd_pipeline().unet).layers
    adapter = IdentityAdapter(layers[:-1], 16)
    with pytest.raises(errors.MismatchError, match="adapter"):
        adapter.load_native_state(NativeCheckpoint.open(path).adapter.native_state())


def test_hosts_that_are_none(stage_2, tmp_path):
    folder, text, path = stage_2
    config = RunConfig.from_toml(text)
    with pytest.raises(errors.IoError, match="nowhere"):
        open_host(RunConfig.from_toml(text.replace(str(folder / "host"), "nowhere/at/all")).host, torch.device("cpu"))
    broken = tmp_path / "host.safetensors"
    broken.write_bytes(b"nothing")
    with pytest.raises(errors.FormatError, match="not a generator"):
        open_host(RunConfig.from_toml(text.replace(str(folder / "host"), str(broken))).host, torch.device("cpu"))
    with pytest.raises(errors.MismatchError, match="size is 8; the generator draws 64"):
        open_host(RunConfig.from_toml(text.replace(str(folder / "host"), str(MINIHOST))).host, torch.device("cpu"))
    with pytest.raises(errors.UnsupportedError, match="has no adapter"):
        masked = run(RunConfig.from_toml(configuration(folder / "people", 1)), tmp_path / "masked", report=quiet)
        run_evaluation(config, masked, tmp_path / "evaluation", split="train", inputs=[1], targets=1)
    with pytest.raises(errors.InvalidArgumentError, match="nobody is in the split 'test'"):
        run_evaluation(config, path, tmp_path / "evaluation", inputs=[1], targets=1)


def test_a_run_is_not_written_over(stage_2):
    folder, text, path = stage_2
    before = path.read_bytes()
    with pytest.raises(errors.InvalidArgumentError, match="has a run already"):
        run(RunConfig.from_toml(text), folder / "out", report=quiet)
    with pytest.raises(errors.MismatchError, match="seed is 1 here and 0 there"):
        run(RunConfig.from_toml("seed = 1\n" + text), folder / "out", resume=True, report=quiet)
    with pytest.raises(errors.IoError, match="no complete state"):
        run(RunConfig.from_toml(text), folder / "never", resume=True, report=quiet)
    assert path.read_bytes() == before


class Sized:
    """A recogniser of any size."""

    def __init__(self, dimension):
        self.dimension = dimension

    def __call__(self, image):
        import numpy as np

        vector = np.zeros(self.dimension, np.float32)
        vector[0] = 1
        return vector


def test_a_recogniser_of_another_size(tmp_path):
    from omniid.training.compared import load_compared, save_compared

    config = RunConfig.from_toml(configuration(
        tmp_path, model={"encoder": "embedding", "recogniser": "mine.onnx"}, host={"model": "x", "size": 8}
    ))  # fmt: skip
    small, large = (EmbeddingTokens(Sized(size), 2, 16, 32) for size in (8, 12))
    save_compared(tmp_path / "compared.safetensors", config, small, None)
    with pytest.raises(errors.MismatchError, match="another recogniser"):
        load_compared(tmp_path / "compared.safetensors", config, torch.nn.ModuleDict({"identity": large}))
    changing = Sized(8)
    tokens = EmbeddingTokens(changing, 2, 16, 32)
    assert tokens(torch.zeros(1, 2, 3, 32, 32)).shape == (1, 2, 16)
    changing.dimension = 9
    with pytest.raises(errors.MismatchError, match="another size than 8"):
        tokens(torch.zeros(1, 2, 3, 32, 32))


LIMITED = """
import resource, sys
import torch, accelerate, transformers, diffusers
from omniid.training.__main__ import main
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (600 << 20),) * 2)
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a limit on memory")
def test_out_of_memory(tmp_path):
    people = drawn_people(tmp_path / "people", people=64, photos=4)
    model = {"width": 512, "heads": 8, "blocks": 6, "patch_size": 4}
    config = tmp_path / "run.toml"
    config.write_text(configuration(people, 2, model=model, sampler={"people": 64, "targets": 4}))
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, "train", config, "--out", tmp_path / "out"], capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "error: out of memory" in done.stderr and "`plan` says" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_losses_that_are_no_numbers_end_the_run_and_keep_the_state(tmp_path, monkeypatch):
    from omniid.training.stages import MaskedStage

    people = drawn_people(tmp_path / "people", people=4, photos=3)
    real, calls = MaskedStage.loss, []

    def loss(self, module, batch):
        calls.append(1)
        found = real(self, module, batch)
        return found * float("nan") if len(calls) > 2 else found

    monkeypatch.setattr(MaskedStage, "loss", loss)
    text = configuration(people, 9, optimiser={"most_skipped": 3})
    with pytest.raises(errors.InternalError, match="3 steps in a row"):
        run(RunConfig.from_toml(text), tmp_path / "out", report=quiet)

    def no_json(constant):
        raise AssertionError(f"{constant} is no JSON")

    written = (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()
    found = [json.loads(line, parse_constant=no_json) for line in written]
    assert [line["loss"] is None for line in found if "loss" in line][-3:] == [True] * 3
    assert json.loads((tmp_path / "out" / "state" / "run.json").read_text())["step"] in (2, 4)
    monkeypatch.undo()
    assert run(RunConfig.from_toml(text), tmp_path / "out", resume=True, report=quiet).exists()
    assert max(line["step"] for line in lines(tmp_path / "out")) == 9


def test_a_run_that_learned_nothing_is_no_success(tmp_path, monkeypatch, capsys):
    """Fewer steps than may be skipped in a row, and none of them finite."""
    from omniid.training.stages import MaskedStage

    people = drawn_people(tmp_path / "people", people=4, photos=3)
    real = MaskedStage.loss
    monkeypatch.setattr(MaskedStage, "loss", lambda *given: real(*given) * float("inf"))
    config = tmp_path / "run.toml"
    config.write_text(configuration(people, 3, optimiser={"most_skipped": 20}))
    assert main(["train", str(config), "--out", str(tmp_path / "out")]) == 1
    assert "none of 3 steps" in capsys.readouterr().err
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_the_program_says_errors_in_a_line(tmp_path, capsys):
    assert main(["train", str(tmp_path / "none.toml"), "--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.startswith("error: ")
    config = tmp_path / "run.toml"
    config.write_text(configuration(tmp_path))
    assert main(["evaluate", str(config), "--checkpoint", "x", "--out", str(tmp_path), "--inputs", "two"]) == 2
    assert "--inputs" in capsys.readouterr().err
    assert main(["evaluate", str(config), "--checkpoint", "x", "--out", str(tmp_path)]) == 2
    assert "no [host]" in capsys.readouterr().err
