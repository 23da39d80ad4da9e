"""scripts/install-comfyui in a folder that looks like ComfyUI, with a Python that only notes what it is asked; and what
ComfyUI shows without the package."""

import importlib.util
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PACK, ROOT

SCRIPT = ROOT / "scripts" / "install-comfyui"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a shell script")


def comfyui(folder, python=True):
    (folder / "custom_nodes" / "other").mkdir(parents=True)
    (folder / "main.py").touch()
    if python:
        program = folder / "venv" / "bin" / "python"
        program.parent.mkdir(parents=True)
        program.write_text(f"""#!/bin/sh
echo "$@" >> '{folder}/calls'
[ ! -e '{folder}/broken' ]
""")
        program.chmod(0o755)
    return folder


def install(folder, *options, cwd=None):
    found = subprocess.run(
        [str(SCRIPT), str(folder), *options], capture_output=True, text=True, cwd=cwd or ROOT,
        env={name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "CONDA_PREFIX")},
    )  # fmt: skip
    return found.returncode, found.stdout + found.stderr


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("place", ["somewhere else", "a b/ä"])
def test_it_installs_and_updates(place, tmp_path):
    folder = comfyui(tmp_path / place / "ComfyUI")
    status, text = install(folder)
    assert status == 0, text
    nodes = folder / "custom_nodes" / "omniid-nodes"
    first = content(nodes)
    assert {"__init__.py", "pyproject.toml", "nodes/apply.py", "web/omniid.js"} <= set(first)
    assert not any(name.startswith(("tests/", "benches/")) or "__pycache__" in name for name in first)
    calls = (folder / "calls").read_text()
    assert calls.startswith("-m pip install") and calls.splitlines()[0].endswith("bindings/python")
    # Again: no second copy inside the first, nothing left over, what was removed upstream is gone.
    (nodes / "left-over.py").touch()
    (nodes / "nodes" / "apply.py").write_text("old")
    status, text = install(folder)
    assert status == 0, text
    assert content(nodes) == first
    assert sorted(path.name for path in (folder / "custom_nodes").iterdir()) == ["omniid-nodes", "other"]
    assert (folder / "models" / "omniid").is_dir()


def test_relative_folders_and_the_portable_build(tmp_path):
    folder = comfyui(tmp_path / "portable" / "ComfyUI", python=False)
    embedded = tmp_path / "portable" / "python_embeded"
    shutil.move(comfyui(tmp_path / "x") / "venv" / "bin", embedded)
    shutil.move(embedded / "python", embedded / "python.exe")
    status, text = install("portable", cwd=tmp_path)
    assert status == 0, text
    assert (folder / "custom_nodes" / "omniid-nodes" / "__init__.py").exists()


def test_the_folder_of_earlier_versions_goes(tmp_path):
    """It was called like the Python package."""
    folder = comfyui(tmp_path / "ComfyUI")
    earlier = folder / "custom_nodes" / "omniid"
    earlier.mkdir()
    (earlier / "pyproject.toml").write_text('[project]\nname = "omniid-nodes"\n')
    status, text = install(folder)
    assert status == 0 and not earlier.exists(), text
    # Somebody else's folder of that name stays.
    earlier.mkdir()
    (earlier / "mine.py").touch()
    assert install(folder)[0] == 0 and (earlier / "mine.py").exists()


def test_what_cannot_be_done_is_said_and_changes_nothing(tmp_path):
    status, text = install(tmp_path)
    assert status != 0 and "is no ComfyUI" in text and "Traceback" not in text
    folder = comfyui(tmp_path / "ComfyUI", python=False)
    status, text = install(folder)
    assert status != 0 and "--python PATH" in text and "Traceback" not in text
    shutil.rmtree(folder)
    folder = comfyui(folder)
    foreign = folder / "custom_nodes" / "omniid-nodes"
    foreign.mkdir()
    status, text = install(folder)
    assert status != 0 and "move it away" in text and list(foreign.iterdir()) == []
    foreign.rmdir()
    (folder / "broken").touch()
    status, text = install(folder)
    assert status != 0 and "--wheel FILE" in text and not foreign.exists()
    assert install(folder, "--wheel", "nowhere.whl")[0] != 0


def test_the_windows_twin_calls_the_same_program():
    text = (ROOT / "scripts" / "install-comfyui.bat").read_bytes()
    assert b"install-comfyui.py" in text and b"%*" in text and b"python_embeded" in text
    assert text.count(b"\n") == text.count(b"\r\n"), "cmd.exe wants CRLF"


def load_pack(name):
    spec = importlib.util.spec_from_file_location(name, PACK / "__init__.py", submodule_search_locations=[str(PACK)])
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        for loaded in [loaded for loaded in sys.modules if loaded == name or loaded.startswith(f"{name}.")]:
            del sys.modules[loaded]
    return module


class Hidden:
    """Makes the import of omniid fail."""

    def __init__(self, error):
        self.error = error

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "omniid":
            raise self.error


@pytest.mark.parametrize(
    "error, told",
    [
        (ModuleNotFoundError("No module named 'omniid'", name="omniid"), "the Python package omniid is missing"),
        (ImportError("omniid: no libomniid.so.1 below /x\nmore"), "cannot be used: omniid: no libomniid.so.1 below /x"),
        (OSError("wrong ELF class"), "cannot be used: wrong ELF class"),
    ],
)
def test_without_the_package_there_is_one_node_that_says_so(error, told, monkeypatch, caplog):
    for name in [name for name in sys.modules if name.split(".")[0] == "omniid"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Hidden(error), *sys.meta_path])
    with caplog.at_level(logging.ERROR):
        pack = load_pack("omniid_pack_without_package")
    ((name, node),) = pack.NODE_CLASS_MAPPINGS.items()
    title = pack.NODE_DISPLAY_NAME_MAPPINGS[name]
    assert title.startswith("OmniID is not installed: ") and "\n" not in title
    assert told in node.DESCRIPTION and "scripts/install-comfyui FOLDER" in node.DESCRIPTION
    assert sys.executable in node.DESCRIPTION and node.INPUT_TYPES() == {"required": {}}
    with pytest.raises(RuntimeError, match="install-comfyui"):
        getattr(node(), node.FUNCTION)()
    (record,) = (record for record in caplog.records if "OmniID" in record.getMessage())
    assert told in record.getMessage() and record.exc_info is None, "a line, not a traceback"


def test_folder_and_package_have_different_names():
    assert Path(PACK).name != "omniid"
