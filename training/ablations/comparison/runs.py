"""Runs of the program. What is finished is kept, and the same command goes on with what is not."""

import hashlib
import json
import os
import signal
import subprocess
import time

from . import settings, tensors
from .encoders import ENCODERS, OMNI_ID
from .settings import Refused

FIRST_TEST_SEED = 1_000_000_000
PHOTOS = (1, 3, 5, 7)
# Beside a result: what it was made with. Written last, so that its presence says that the result is whole.
DONE = "done.json"


class Workplace:
    """The folder of a comparison."""

    def __init__(self, options, setting, tell):
        self.folder = options.out
        self.setting = setting
        self.numbers = setting["comparison"]
        self.program = options.program
        self.assets = options.assets
        self.verifier = options.verifier
        self.tell = tell
        self.began = time.monotonic()

    def all(self, encoders, seeds, finished):
        """Makes everything that is missing; calls `finished` after every evaluation."""
        chosen = [encoder for encoder in ENCODERS if encoder.name in encoders]
        each = sum(len(encoder.stages) + 2 for encoder in chosen)
        self.left, self.total = 2 + each * len(seeds), 2 + each * len(seeds)
        people = self.people()
        host = self.host(people)
        for seed in seeds:
            for encoder in chosen:
                self.encoder(encoder, seed, people, host)
                finished()

    def people(self):
        """The training people. Rendering goes on after the last finished file by itself."""
        numbers, folder = self.numbers, self.folder / "people"
        arguments = ["render", "--style", "lifelike", "--seed", "1", "--dataset", folder, "--assets", self.assets]
        made = {name: numbers[name] for name in ("people", "size", "inputs", "targets")}
        for name, number in made.items():
            arguments += [f"--{name}", number]
        arguments += ["--people-per-file", min(500, numbers["people"] + numbers["people"] % 2), "--quiet"]
        self.step(folder, f"rendering {numbers['people']} people", arguments, made)
        return folder

    def host(self, people):
        """The generator that all encoders are given to. It learns to draw from the identities of an untrained encoder:
        of those that are compared, none has formed it."""
        steps = self.numbers["host_steps"]
        config = settings.run(self.setting, "generator", "generator", 0, steps, {})
        self.train("host", f"the generator, before any encoder, {steps} steps", config, people, None)
        return self.folder / "host" / "host.safetensors"

    def encoder(self, encoder, seed, people, host):
        """Trains an encoder, freezes it, trains the generator for it, and draws people with both."""
        place = f"seed-{seed}/{encoder.name}"
        model = None
        for number, stage in enumerate(encoder.stages, 1):
            steps = settings.stage_steps(self.setting, stage)
            changes = stage.changes(settings.batch(self.setting, stage.kind))
            config = settings.run(self.setting, stage.kind, encoder.name, seed, steps, changes)
            # A flow decoder is the generator; it starts as the one that the encoder is given to later.
            start = [] if model is None else [tensors.encoder(model)]
            start += [tensors.host(host)] if stage.kind == "flow" else []
            what = f"seed {seed}, {encoder.name}: {stage.kind} decoder, {steps} steps"
            if {"contrastive", "classifier"} & {encoder.name}:
                what = f"seed {seed}, {encoder.name}: {steps} steps"
            model = self.train(f"{place}/{number}-{stage.kind}", what, config, people, start)
        steps = self.numbers["generator_steps"]
        config = settings.run(self.setting, "generator", encoder.name, seed, steps, {})
        start = [tensors.encoder(model), tensors.host(host)]
        what = f"seed {seed}, {encoder.name}: generator for the frozen encoder, {steps} steps"
        drawing = self.train(f"{place}/generator", what, config, people, start)
        if tensors.encoder(drawing) != start[0]:
            raise Refused(f"{drawing}: the encoder was to be frozen and has changed")
        self.evaluate(place, f"seed {seed}, {encoder.name}: evaluation", drawing, encoder.name == OMNI_ID)

    def train(self, place, what, config, people, start):
        """A training run in the folder `place`, from the tensors of `start`; gives its model."""
        folder = self.folder / place
        folder.mkdir(parents=True, exist_ok=True)
        arguments = ["train", folder / "run.toml", "--data", people, "--out", folder, "--resume", "--quiet"]
        made = {"config": config}
        if start:
            joined = {name: tensor for part in start for name, tensor in part.items()}
            made["start"] = tensors.fingerprint(joined)
            arguments += ["--start", folder / "start.safetensors"]
        if self.missing(folder, made):
            (folder / "run.toml").write_text(settings.to_toml(config))
            if start:
                tensors.write(folder / "start.safetensors", joined)
        self.step(folder, what, arguments, made)
        return folder / "model.safetensors"

    def evaluate(self, place, what, model, averaged):
        """Draws people whom nothing was trained on."""
        numbers, folder = self.numbers, self.folder / place / "evaluation"
        arguments = ["evaluate", "-c", model, "--minihost", model.parent / "host.safetensors"]
        arguments += ["--out", folder, "--force"]
        arguments += ["--assets", self.assets, "--style", "lifelike", "--first-seed", FIRST_TEST_SEED, "--sets", "1,3"]
        arguments += ["--people", numbers["test_people"], "--drawn", numbers["test_people"]]
        arguments += ["--targets", numbers["test_targets"], "--steps", numbers["drawing_steps"]]
        arguments += ["--guidance", numbers["guidance"]]
        arguments += ["--inputs", ",".join(map(str, PHOTOS)), "--per-person", "--quiet"]
        if averaged:
            arguments += ["--averaged", ",".join(map(str, PHOTOS))]
        if self.verifier:
            arguments += ["--verifier", self.verifier]
        made = {"model": hashlib.sha256(model.read_bytes()).hexdigest()[:32]}
        made |= {name: numbers[name] for name in ("test_people", "test_targets", "drawing_steps", "guidance")}
        self.step(folder, what, arguments, made | {"verifier": bool(self.verifier)})

    def missing(self, folder, made):
        """Whether the result in `folder` has yet to be made. One that was made with other values is refused."""
        try:
            before = json.loads((folder / DONE).read_text())
        except FileNotFoundError:
            return True
        if before["made"] != json.loads(json.dumps(made)):
            raise Refused(f"{folder} was made with other options; give another --out, or remove it to make it anew")
        return False

    def step(self, folder, what, arguments, made):
        """Runs the program unless its result is there."""
        number = self.total - self.left + 1
        self.left -= 1
        if not self.missing(folder, made):
            return
        minutes = (time.monotonic() - self.began) / 60
        self.tell(f"[{number}/{self.total}] {minutes:.0f} min: {what}")
        folder.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        self.call([self.program, *map(str, arguments)], folder / "log.txt")
        seconds = round(time.monotonic() - began, 1)
        record = {"made": made, "command": ["omniid", *map(str, arguments)], "seconds": seconds}
        beside = folder / f"{DONE}.new"
        beside.write_text(json.dumps(record, indent=1))
        os.replace(beside, folder / DONE)

    def call(self, command, log):
        """Runs a command; what it prints goes into `log`."""
        with open(log, "w", encoding="utf-8") as file:
            child = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
            try:
                code = child.wait()
            except BaseException:
                # A training run saves its state when it is interrupted.
                child.send_signal(signal.SIGINT)
                child.wait()
                raise
        if code:
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-12:]
            raise Refused("\n".join([f"{' '.join(map(str, command))}", *lines, f"ended with code {code}; log: {log}"]))
