"""The generated declarations against the header, a C compiler and the library."""

import ctypes
import inspect
import os
import shutil
import subprocess
import sys

import omniid
import pytest
from conftest import ROOT
from omniid import _abi, enums, errors
from omniid._library import lib

SOURCES = str(ROOT / "bindings" / "python")
sys.path.insert(0, SOURCES)

import generate  # noqa: E402

# Processes that tests start take the path over, and must find the installed package.
sys.path.remove(SOURCES)


@pytest.fixture(scope="module")
def parsed():
    return generate.read()


def test_the_checked_in_files_are_what_the_header_says():
    for path, text in generate.modules().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is out of date: run generate.py"


def test_every_function_struct_and_constant_is_there(parsed):
    assert len(parsed.functions) > 40
    for function in parsed.functions:
        assert callable(getattr(lib, function.name))
    for item in (*parsed.constants, *parsed.structs, *parsed.callbacks):
        assert hasattr(_abi, item.name), item.name


def test_docstrings_come_from_the_header(parsed):
    for function in parsed.functions:
        words = getattr(lib, function.name).__doc__.split()
        assert function.doc and " ".join(function.doc.split()) in " ".join(words)
    source = inspect.getsource(_abi.omniid_inject_call).replace("#:", "")
    assert "must not overlap it" in " ".join(source.split())


def test_every_status_has_its_exception():
    for status in enums.Status:
        if status != enums.Status.OK:
            assert errors.kind_of(status).status == status
    assert errors.kind_of(77) is omniid.OmniIdError


def test_annotations_hold():
    """The package and the ComfyUI nodes are typed: checked strictly, with NumPy's types, without those of PyTorch."""
    api = pytest.importorskip("mypy.api")
    bindings = ROOT / "bindings"
    options = ["--config-file", str(bindings / "python" / "pyproject.toml"), "--cache-dir", os.devnull]
    output, errors, status = api.run([*options, str(bindings / "python" / "omniid"), str(bindings / "comfyui")])
    assert status == 0, output + errors


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_sizes_offsets_and_initial_values_are_those_of_c(parsed, tmp_path):
    structs = [item for item in parsed.structs if item.fields]
    program = ["#include <omniid.h>", "#include <stdio.h>", "#include <string.h>", "int main(void) {"]
    for item in structs:
        program.append(f'printf("{item.name} %zu\\n", sizeof({item.name}));')
        for variable in item.fields:
            program.append(f'printf("{item.name}.{variable.name} %zu\\n", offsetof({item.name}, {variable.name}));')
        if item.initial:
            program.append(f"{{ {item.name} v = {item.name.upper()}_INIT; const unsigned char *b = (const void *)&v;")
            program.append(f'printf("{item.name}= "); for (size_t i = 0; i < sizeof v; i++) printf("%02x", b[i]);')
            program.append('printf("\\n"); }')
    (tmp_path / "sizes.c").write_text("\n".join([*program, "return 0; }"]))
    include = ROOT / "include"
    subprocess.run(["cc", "-std=c11", f"-I{include}", "sizes.c", "-o", "sizes"], cwd=tmp_path, check=True)
    output = subprocess.run([tmp_path / "sizes"], capture_output=True, text=True, check=True).stdout
    lines = dict(line.split() for line in output.splitlines())
    assert len(lines) > 150
    for item in structs:
        kind = getattr(_abi, item.name)
        assert ctypes.sizeof(kind) == int(lines[item.name])
        for variable in item.fields:
            assert getattr(kind, variable.name).offset == int(lines[f"{item.name}.{variable.name}"])
        if item.initial:
            assert bytes(kind.new()).hex() == lines[f"{item.name}="]
