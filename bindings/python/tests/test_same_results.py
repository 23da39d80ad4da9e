"""The same numbers to the bit as a C program and the command line.

The programs are made from the repository: OMNIID_LIB names the folder with libomniid.so and the program omniid.
"""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import omniid
import pytest
from conftest import ROOT
from omniid import ConditioningInput, Engine, Identity

LIB = Path(os.environ.get("OMNIID_LIB", ROOT / "target" / "release"))
SOURCE = ROOT / "tests" / "same_results" / "results.c"


@pytest.mark.skipif(not (LIB / "omniid").exists(), reason="needs the program omniid in OMNIID_LIB")
def test_the_command_line_makes_the_same_identity(model_path, photo_files, tmp_path):
    output = tmp_path / "person.omniid"
    command = [LIB / "omniid", "encode", "--quiet", "--checkpoint", model_path, "-o", output, "--label", "Anna"]
    subprocess.run([str(part) for part in [*command, *photo_files]], check=True, stdout=subprocess.DEVNULL)
    theirs = Identity.load(output)
    ours = Engine.open(model_path).encode(photo_files, label="Anna").identity
    assert np.array_equal(ours.tokens().numpy(), theirs.tokens().numpy())
    info, other = ours.info, theirs.info
    assert (info.model, info.label, info.photos, info.features) == (other.model, "Anna", 3, 3)


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_c_makes_the_same_tokens_and_the_same_output(model_path, photo_files, tmp_path):
    library = omniid.library_path()
    (tmp_path / "libomniid.so").symlink_to(library)
    (tmp_path / f"libomniid.so.{omniid._abi.OMNIID_ABI_MAJOR}").symlink_to(library)
    subprocess.run(["cc", "-std=c11", f"-I{ROOT / 'include'}", str(SOURCE), "-o", "reference", f"-L{tmp_path}",
                    "-lomniid", f"-Wl,-rpath,{tmp_path}"], cwd=tmp_path, check=True)  # fmt: skip
    subprocess.run([tmp_path / "reference", model_path, tmp_path, *photo_files], check=True)
    engine = Engine.open(model_path)
    identity = engine.encode(photo_files).identity
    tokens = identity.tokens().numpy()

    def read(name):
        return np.fromfile(tmp_path / f"{name}.bin", dtype=np.float32)

    assert np.array_equal(tokens.ravel(), read("tokens"))
    conditioning = engine.condition(ConditioningInput(identity, scale=0.8))
    for index, layer in enumerate(conditioning.layers):
        shape = (2, -1, layer.heads * layer.head_dim)
        query, output = read(f"query-{index}").reshape(shape), read(f"before-{index}").reshape(shape)
        conditioning.inject(index, query, output, scale=0.5, roles=["unconditional", "conditional"])
        assert np.array_equal(output.ravel(), read(f"after-{index}"))
