#!/usr/bin/env python3
"""Installs OmniID's nodes into a ComfyUI, or brings them up to date. Called by scripts/install-comfyui and its .bat twin.

    scripts/install-comfyui FOLDER [options]

FOLDER is ComfyUI's folder, wherever it lies: the one with main.py, or the folder of the portable Windows build.

    --python PATH    the Python that runs ComfyUI; found by itself in FOLDER/venv, FOLDER/.venv, python_embeded and in an
                     active virtual environment
    --wheel FILE     a wheel of the package omniid, instead of building it from this repository
    --no-package     only the nodes: the package omniid is there already

Building the package takes the library from the folder in the environment variable OMNIID_LIB, or builds it with Rust.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "bindings" / "comfyui"
NAME = "omniid-nodes"
"""The folder below custom_nodes: the one that ComfyUI-Manager takes, and not the name of the Python package, which
`import omniid` would find instead where other packs put custom_nodes on the path."""
EARLIER = "omniid"
NOT_INSTALLED = ("tests", "benches", "__pycache__")


def fail(message):
    sys.exit(f"install-comfyui: {message}")


def comfyui_folder(folder):
    """ComfyUI's own folder; the portable build has it one level deeper."""
    for candidate in (folder, folder / "ComfyUI"):
        if (candidate / "main.py").is_file() and (candidate / "custom_nodes").is_dir():
            return candidate.resolve()
    fail(f"{folder} is no ComfyUI: a folder with main.py and custom_nodes was expected")


def comfyui_python(folder):
    """The Python that runs this ComfyUI."""
    places = [folder / "venv", folder / ".venv", folder.parent / "python_embeded", folder / "python_embeded"]
    places += [Path(os.environ[name]) for name in ("VIRTUAL_ENV", "CONDA_PREFIX") if os.environ.get(name)]
    for place in places:
        for name in ("bin/python", "Scripts/python.exe", "python.exe"):
            if (place / name).exists():
                return place / name
    fail(f"found no Python in {folder}/venv or {folder}/.venv; name the one that runs ComfyUI: --python PATH")


def is_ours(folder):
    """Whether a folder holds these nodes, of any version."""
    project = folder / "pyproject.toml"
    return project.is_file() and f'name = "{NAME}"' in project.read_text(encoding="utf-8", errors="replace")


def install_package(python, wheel):
    """pip's arguments are such that repeating the command brings a new build of the same version, and that nothing else
    in ComfyUI's environment is touched but NumPy where it is missing."""
    if wheel is not None:
        chosen = ["--force-reinstall", "--no-deps", str(wheel)]
    else:
        chosen = [str(ROOT / "bindings" / "python")]
    print(f"package omniid: into the environment of {python}", flush=True)
    done = subprocess.run([str(python), "-m", "pip", "install", "--disable-pip-version-check", *chosen])
    if done.returncode:
        fail(
            "pip could not install the package omniid; its messages are above. It needs a C compiler, and Rust or a built "
            "library in the folder OMNIID_LIB; or give a wheel: --wheel FILE. The nodes stay as they were"
        )


def install_nodes(folder):
    """A copy of the nodes, complete or not at all, in place of an earlier one."""
    target = folder / "custom_nodes" / NAME
    if target.is_symlink():
        print(f"nodes: {target} is a link and stays as it is")
        return
    if target.exists() and not is_ours(target):
        fail(f"{target} exists and is not OmniID's: move it away first")
    # On the same file system as the target, and passed over by ComfyUI because of its ending.
    with tempfile.TemporaryDirectory(prefix=".omniid-", suffix=".disabled", dir=target.parent) as work:
        copy, old = Path(work) / "new", Path(work) / "old"
        shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns(*NOT_INSTALLED))
        try:
            if target.exists():
                target.rename(old)
            copy.rename(target)
        except OSError as error:
            if old.exists() and not target.exists():
                old.rename(target)
            fail(f"{target} cannot be replaced: {error}. Stop ComfyUI and try again")
    print(f"nodes: {target}")
    earlier = folder / "custom_nodes" / EARLIER
    if is_ours(earlier):
        # Both would be loaded.
        earlier.unlink() if earlier.is_symlink() else shutil.rmtree(earlier)
        print(f"nodes: removed those of an earlier version, {earlier}")


def check(python):
    """The package as ComfyUI will find it. Not from this repository's folder, where `omniid` may mean other things."""
    code = "import omniid; print(omniid.__version__, omniid.LIBRARY_PATH)"
    found = subprocess.run(
        [str(python), "-c", code], capture_output=True, text=True, cwd=tempfile.gettempdir(), env=clean_environment()
    )
    if found.returncode:
        reason = (found.stderr.strip().splitlines() or ["no message"])[-1]
        fail(f"the package omniid is not usable in {python}: {reason}")
    print(f"package omniid: {found.stdout.strip()}")


def clean_environment():
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "OMNIID_LIBRARY")}


def main():
    parser = argparse.ArgumentParser(
        prog="install-comfyui", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--python", type=Path)
    parser.add_argument("--wheel", type=Path)
    parser.add_argument("--no-package", action="store_true")
    given = parser.parse_args()
    folder = comfyui_folder(given.folder)
    python = given.python or comfyui_python(folder)
    # Not resolved: the Python of a virtual environment is a link, and is known by the link's place.
    python = Path(shutil.which(str(python)) or fail(f"{python} is no Python")).absolute()
    if given.wheel is not None and not given.wheel.is_file():
        fail(f"there is no wheel {given.wheel}")
    if not given.no_package:
        install_package(python, given.wheel and given.wheel.resolve())
    install_nodes(folder)
    (folder / "models" / "omniid").mkdir(parents=True, exist_ok=True)
    check(python)
    print("Restart ComfyUI; the nodes are in the category OmniID, the workflows in its template browser.")


if __name__ == "__main__":
    main()
