"""The comparison with a program that only pretends: what is run, what is kept, and what the tables make of it."""

import json
import os
import stat
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from comparison import command, markdown, settings, tables, tensors  # noqa: E402
from comparison.encoders import ENCODERS  # noqa: E402

# Notes every call, and fails once when the file `fail` holds a part of the call.
PROGRAM = f"""#!{sys.executable}
import json, pathlib, sys, tomllib
sys.path.insert(0, {str(HERE)!r})
from comparison import tensors
here, arguments = pathlib.Path(__file__).parent, sys.argv[1:]
option = lambda name: arguments[arguments.index(name) + 1]
line = " ".join(arguments)
fail = here / "fail"
if fail.exists() and fail.read_text() in line:
    fail.unlink()
    sys.exit("error[io]: no space left on device")
with open(here / "calls", "a") as calls:
    calls.write(line + "\\n")
if arguments[0] == "train":
    run, out = tomllib.loads(pathlib.Path(arguments[1]).read_text()), pathlib.Path(option("--out"))
    start = tensors.read(option("--start")) if "--start" in arguments else {{}}
    frozen = run.get("optimiser", {{}}).get("encoder_rate") == 0.0
    name = ("F32", [1], f"{{run['name']:.4}}".encode())
    encoder = start.get("encoder.queries", name) if frozen else name
    adapter = {{"adapter.x": name}} if "flow" in run else {{}}
    tensors.write(out / "model.safetensors", {{"encoder.queries": encoder, "encoder.token_mean": name, **adapter}})
    if "flow" in run:
        tensors.write(out / "host.safetensors", {{"conv_in.weight": start.get("host.conv_in.weight", name)}})
if arguments[0] == "evaluate":
    out, model = pathlib.Path(option("--out")), pathlib.Path(option("-c"))
    seed, bonus = int(model.parts[-4][5:]), 0.25 if model.parts[-3] == "omni-id" else 0.0
    results = []
    for photos in (1, 3, 5, 7):
        people = [{{"similarity": bonus + 0.1 * person + 0.01 * seed, "l1_head": 0.5}} for person in range(3)]
        results.append({{"drawn": {{"photos": photos}}, "people": people}})
    results.append({{"drawn": "other_person", "people": [{{"similarity": 0.1}}] * 3}})
    seen = [{{}}, {{"similarity": 0.5}}, {{"similarity": 0.25}}]
    angles = [{{"drawn": {{"photos": 7}}, "from": 0.0, "to": 15.0, "people": seen}}]
    generation = {{"results": results, "angles": angles, "truth": [{{"measured": []}}] * 2}}
    line = {{"descriptor": "identity tokens", "photos": 1, "auc": {{"value": 0.5 + seed / 10}}}}
    group = {{"generation": generation, "verification": [line]}}
    report = {{"version": "9", "commit": "abc", "verifier": None, "people": [group]}}
    (out / "evaluation.json").write_text(json.dumps(report))
"""


class CompareTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.program = self.folder / "omniid"
        self.program.write_text(PROGRAM)
        self.program.chmod(self.program.stat().st_mode | stat.S_IXUSR)
        (self.folder / "assets" / "makehuman").mkdir(parents=True)

    def compare(self, *more, setting="toy"):
        arguments = [setting, "--out", self.folder / "out", "--program", self.program]
        arguments += ["--assets", self.folder / "assets", "--no-verifier", *more]
        whole = [str(part) for part in [sys.executable, HERE / "compare", *arguments]]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OMNIID")}
        return subprocess.run(whole, capture_output=True, text=True, env=environment)

    def calls(self):
        return (self.folder / "calls").read_text().splitlines()

    def test_every_encoder_is_trained_frozen_and_drawn_once(self):
        run = self.compare()
        self.assertEqual(run.returncode, 0, run.stderr)
        trained = [call for call in self.calls() if call.startswith("train")]
        # The generator, and for two seeds: ten stages of eight encoders, and the generator for each.
        self.assertEqual(len(trained), 1 + 2 * (10 + 8))
        self.assertEqual(len([call for call in self.calls() if call.startswith("evaluate")]), 2 * 8)
        start = tensors.read(self.folder / "out/seed-1/omni-id/generator/start.safetensors")
        # Neither the adapter of the second stage nor mean tokens.
        self.assertEqual(sorted(start), ["encoder.queries", "host.conv_in.weight"])
        self.assertEqual(bytes(start["host.conv_in.weight"][2]), b"gene")
        second = tensors.read(self.folder / "out/seed-1/omni-id/2-flow/start.safetensors")
        self.assertEqual(bytes(second["encoder.queries"][2]), b"omni")
        alone = tensors.read(self.folder / "out/seed-1/flow/1-flow/start.safetensors")
        self.assertEqual(sorted(alone), ["host.conv_in.weight"])

    def test_a_stopped_comparison_goes_on_where_it_was(self):
        (self.folder / "fail").write_text("seed-1/contrastive/generator")
        chosen = ("--encoders", "omni-id,contrastive", "--seeds", "1")
        run = self.compare(*chosen)
        self.assertEqual(run.returncode, 1)
        self.assertIn("no space left on device", run.stderr)
        self.assertIn("**missing**: contrastive with seed 1", (self.folder / "out/comparison.md").read_text())
        before = self.calls()
        run = self.compare(*chosen)
        self.assertEqual(run.returncode, 0, run.stderr)
        after = self.calls()[len(before) :]
        self.assertEqual([call.split()[0] for call in after], ["train", "evaluate"])
        self.assertIn("[8/9]", run.stdout)
        self.assertNotIn("missing", (self.folder / "out/comparison.md").read_text())
        # Nothing is left to do, and other options do not mix with what is there.
        self.assertEqual((self.compare(*chosen).returncode, len(self.calls())), (0, len(before) + 2))
        run = self.compare(*chosen, "--steps", "5")
        self.assertEqual(run.returncode, 1)
        self.assertIn("made with other options", run.stderr)

    def test_an_encoder_that_moves_is_noticed(self):
        chosen = ("--encoders", "omni-id", "--seeds", "1")
        self.assertEqual(self.compare(*chosen).returncode, 0)
        moved = {"encoder.queries": ("F32", [1], b"else")}
        tensors.write(self.folder / "out/seed-1/omni-id/generator/model.safetensors", moved)
        run = self.compare(*chosen)
        self.assertEqual(run.returncode, 1)
        self.assertIn("was to be frozen", run.stderr)

    def test_tables_are_means_over_people_and_seeds(self):
        run = self.compare("--encoders", "omni-id,masked")
        self.assertEqual(run.returncode, 0, run.stderr)
        report = json.loads((self.folder / "out/comparison.json").read_text())
        omni, masked = report["encoders"]["omni-id"], report["encoders"]["masked"]
        similarity = masked["photos"]["7"]["similarity"]
        # People 0, 0.1 and 0.2, seeds 0.01 and 0.02.
        self.assertAlmostEqual(similarity["value"], 0.115)
        self.assertAlmostEqual(similarity["seeds"][0], 0.11)
        self.assertAlmostEqual(similarity["low"], 0.015)
        self.assertAlmostEqual(similarity["high"], 0.215)
        self.assertAlmostEqual(masked["over_another_person"]["similarity"]["value"], 0.015)
        less = masked["less_omni_id"]["similarity"]
        self.assertAlmostEqual(less["low"], -0.25)
        self.assertAlmostEqual(less["high"], -0.25)
        # Who has no picture at an angle does not count there.
        self.assertAlmostEqual(omni["angles"]["0–15°"]["similarity"]["value"], 0.375)
        self.assertAlmostEqual(masked["auc"]["1"]["value"], 0.65)
        text = (self.folder / "out/comparison.md").read_text()
        self.assertIn("Worse than Omni-ID: masked", text)
        self.assertIn("| -0.250 [-0.250, -0.250] |", text)
        self.assertIn("commit abc", text)
        shown = "compare toy --out OUT --program omniid --assets ASSETS --no-verifier --encoders omni-id,masked"
        self.assertIn(f"`{shown}`", text)
        self.assertEqual(list(command.shown(["toy", "--out=toy"])), ["toy", "--out=OUT"])

    def test_what_is_missing_is_said_first(self):
        for more, text in [
            (("--encoders", "omni"), "no encoder omni; there are auto-encoder"),
            (("--assets", "nowhere"), "no head models in nowhere"),
            (("--program", "nowhere"), "no program nowhere: build it"),
            (("--tables-only",), "has no evaluation yet"),
            (("--steps", "0"), "--steps is 0, expected 1 or more"),
        ]:
            run = self.compare(*more)
            self.assertEqual((run.returncode, run.stdout), (1, ""), more)
            self.assertIn(text, run.stderr)
        run = self.compare(setting="huge")
        self.assertIn("no setting 'huge': expected a file or one of night, small, toy", run.stderr)
        self.assertFalse((self.folder / "calls").exists())

    def test_settings_give_every_encoder_as_many_pictures(self):
        for name in settings.names():
            setting = settings.load(name)
            pictures = settings.batch(setting, "masked").pictures
            for encoder in ENCODERS:
                steps = sum(settings.stage_steps(setting, stage) for stage in encoder.stages)
                self.assertEqual(steps, setting["comparison"]["steps"], (name, encoder.name))
                for stage in encoder.stages:
                    found = settings.stage_pictures(setting, stage)
                    if stage.kind == "masked":
                        self.assertLessEqual(abs(found - pictures), 4, (name, encoder.name))
            self.assertIn("contrastive", markdown.budget(setting))

    def test_a_doubtful_sign_is_marked(self):
        cell = {"value": 0.5, "low": 0.25, "high": 0.75, "seeds": [0.75, 0.25]}
        self.assertEqual(markdown.signed(cell), "+0.500 [+0.250, +0.750]")
        self.assertEqual(markdown.signed({**cell, "seeds": [1.1, -0.1]}), "+0.500 [+0.250, +0.750] ?")
        numbers = {"classifier": {"less_omni_id": {"l1_head": {**cell, "seeds": [1.1, -0.1]}}}}
        self.assertEqual(tables.verdicts(numbers), ["L1 on the head, 7 photos. Undecided: classifier."])


if __name__ == "__main__":
    unittest.main()
