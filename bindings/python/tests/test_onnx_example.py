"""examples/onnx: the built-in generator in ONNX Runtime draws the pictures of `omniid generate`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

for module in ("torch", "diffusers", "onnx", "onnxruntime", "PIL"):
    pytest.importorskip(module)

import numpy as np  # noqa: E402
import onnx  # noqa: E402
from conftest import ROOT  # noqa: E402
from PIL import Image  # noqa: E402
from test_onnx import OPERATORS  # noqa: E402


def pictures(folder):
    return [np.asarray(Image.open(path)).astype(int) for path in sorted(folder.iterdir())]


def test_the_pictures_are_those_of_the_program(tmp_path, photo_files):
    program = Path(os.environ.get("OMNIID_LIB") or ROOT / "target" / "release") / "omniid"
    if not program.is_file():
        pytest.skip(f"no program at {program}; cargo build --release --workspace makes it")
    example = ROOT / "examples" / "onnx"
    photos = list(map(str, photo_files))

    def run(*command):
        subprocess.run([str(part) for part in command], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)

    run(sys.executable, example / "export.py", "generator")
    graph = onnx.load(tmp_path / "generator" / "generator.onnx")
    assert {node.op_type for node in graph.graph.node} <= OPERATORS
    run(sys.executable, example / "generate.py", "generator", "sheet.png", *photos, "--separate", "ours")
    run(program, "generate", *photos, "--out", "theirs.png", "--separate", "theirs", "--quiet")
    ours, theirs = pictures(tmp_path / "ours"), pictures(tmp_path / "theirs")
    assert len(ours) == len(theirs) == 8
    assert max(np.abs(a - b).max() for a, b in zip(ours, theirs)) <= 2
    assert np.abs(ours[0] - ours[1]).max() > 50
    assert Image.open(tmp_path / "sheet.png").size == (512, 256)
