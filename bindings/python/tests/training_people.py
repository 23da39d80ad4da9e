"""People, hosts and configurations for the tests of omniid.training."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
from conftest import ROOT
from PIL import Image

MINIHOST = ROOT / "models" / "minihost-mini.safetensors"
BUILT = Path(os.environ.get("OMNIID_LIB") or ROOT / "target" / "release")

SMALL_MODEL = {"image_size": 32, "patch_size": 8, "width": 32, "blocks": 1, "heads": 2, "queries": 4,
               "encoder_width": 32, "encoder_depth": 1, "encoder_heads": 2, "token_width": 16}  # fmt: skip


def drawn_people(folder, people=8, photos=4, size=32):
    """Pictures in one colour per person, with noise: faces that are cut out already."""
    for person in range(people):
        random = np.random.default_rng(person)
        colour = random.uniform(40, 215, 3)
        place = folder / f"person-{person}"
        place.mkdir(parents=True)
        for photo in range(photos):
            pixels = np.clip(colour + random.normal(0, 12, (size, size, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(place / f"{photo}.png")
    return folder


def example_people(folder):
    """The six rendered people of the repository, eight photos each."""
    shutil.copytree(ROOT / "examples" / "photos", folder)
    return folder


def toml(values):
    """The TOML of a configuration: plain values first, then sections."""

    def text(value):
        return json.dumps(value) if not isinstance(value, bool) else str(value).lower()

    lines = [f"{name} = {text(value)}" for name, value in values.items() if not isinstance(value, dict)]
    for name, section in values.items():
        if isinstance(section, dict):
            lines += [f"[{name}]", *(f"{key} = {text(value)}" for key, value in section.items())]
    return "\n".join(lines) + "\n"


def configuration(photos, steps=6, **sections):
    """A run of a small model, stage 1 unless there is a section `host`."""
    values = {
        "name": "small", "steps": steps,
        "data": {"photos": [str(photos)], "validation": 0.0, "test": 0.0, "crop": "none", "workers": 0},
        "model": SMALL_MODEL, "masked": {"width": 16, "depth": 1, "heads": 2, "condition": "none"},
        "sampler": {"people": 4, "most_inputs": 2, "fewest_inputs": 2, "targets": 2},
        "optimiser": {"learning_rate": 1e-3}, "schedule": {"warm_up": 2},
        "report": {"metrics_every": 1, "state_every": 2, "preview_every": 0},
    }  # fmt: skip
    for name, section in sections.items():
        values[name] = values.get(name, {}) | section if isinstance(section, dict) else section
    return toml(values)


def lines(out):
    """The metrics of a run."""
    return [json.loads(line) for line in (Path(out) / "metrics.jsonl").read_text().splitlines()]
