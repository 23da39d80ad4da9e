"""Settings of a comparison: sizes of network and generator, and how much is trained and drawn."""

import json
import tomllib
from pathlib import Path

from .encoders import FLOW, MASKED, Batch

FOLDER = Path(__file__).resolve().parent
SECTIONS = ("comparison", "model", "masked_run", "flow_run", "generator_run")
NUMBERS = (
    "people",
    "size",
    "inputs",
    "targets",
    "steps",
    "flow_share",
    "host_steps",
    "generator_steps",
    "test_people",
    "test_targets",
    "drawing_steps",
    "guidance",
)


class Refused(Exception):
    """Something that the user has to change."""


def names():
    """The settings that come along."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(name):
    """The setting of this name, or of the file at this path."""
    path = FOLDER / f"{name}.toml"
    if not path.is_file():
        path = Path(name)
    if not path.is_file():
        raise Refused(f"no setting {name!r}: expected a file or one of {', '.join(names())}")
    try:
        setting = tomllib.loads(path.read_text())
    except ValueError as error:
        raise Refused(f"{path}: {error}") from error
    if sorted(setting) != sorted(SECTIONS):
        raise Refused(f"{path}: expected the sections {', '.join(SECTIONS)}, got {', '.join(setting)}")
    if sorted(setting["comparison"]) != sorted(NUMBERS):
        raise Refused(f"{path}: expected in [comparison] {', '.join(NUMBERS)}, got {', '.join(setting['comparison'])}")
    return setting


def merged(*sections):
    """Nested values; later ones win."""
    result = {}
    for section in sections:
        for name, value in section.items():
            result[name] = merged(result.get(name, {}), value) if isinstance(value, dict) else value
    return result


def batch(setting, kind):
    """The pictures of a step of few-to-many reconstruction."""
    sampler = setting[f"{kind}_run"]["sampler"]
    return Batch(sampler["people"], sampler["most_inputs"], sampler["targets"])


def stage_steps(setting, stage):
    """Optimiser steps of a stage."""
    numbers = setting["comparison"]
    share = stage.share
    if share is None:
        share = numbers["flow_share"] if stage.kind == FLOW else 1 - numbers["flow_share"]
    return max(1, round(share * numbers["steps"]))


def run(setting, kind, name, seed, steps, changes):
    """The configuration of a training run. `kind` is masked, flow or generator: a flow run whose encoder is frozen."""
    sections = [setting["masked_run"]] if kind == MASKED else [setting["flow_run"]]
    if kind == "generator":
        sections += [setting["generator_run"], {"optimiser": {"encoder_rate": 0.0}}]
    # Nobody is judged on during a run: the test people are others.
    fixed = {
        "name": name,
        "seed": seed,
        "steps": steps,
        "model": setting["model"],
        "data": {"validation": 0.0, "test": 0.0},
        "report": {"preview_every": 0},
        "evaluation": {"every": 0},
    }
    return merged(*sections, changes, fixed)


def stage_pictures(setting, stage):
    """Pictures of a step of this stage: read and drawn."""
    config = run(setting, stage.kind, "", 0, 1, stage.changes(batch(setting, stage.kind)))
    sampler, loss = config["sampler"], config.get("loss", {})
    sets = 2 if loss.get("contrastive", 0) > 0 else 1
    drawn = sampler["targets"] if loss.get("reconstruction", 1) > 0 else 0
    return sampler["people"] * (sets * sampler["most_inputs"] + drawn)


def to_toml(config):
    """The configuration as TOML. Text, numbers, truth values and lists of them are written as in JSON."""
    lines, sections = [], [((), config)]
    while sections:
        path, section = sections.pop(0)
        if path:
            lines += ["", f"[{'.'.join(path)}]"]
        for name, value in section.items():
            if isinstance(value, dict):
                sections.append(((*path, name), value))
            else:
                lines.append(f"{name} = {json.dumps(value, ensure_ascii=False)}")
    return "\n".join(lines) + "\n"
