"""Where models and identities are: ComfyUI's model folders `omniid`, `ipadapter`, `clip_vision`, and identities."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Iterable

import folder_paths

MODELS = "omniid"
IDENTITIES = "omniid_identities"
NONE = "none"

_WEIGHTS = {".safetensors", ".bin", ".pt", ".pth", ".ckpt"}
_PHOTOS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}


def register() -> None:
    """Adds OmniID's folders to ComfyUI's, keeping what extra_model_paths.yaml has added to them."""
    models = Path(folder_paths.models_dir)
    _register(MODELS, [models / "omniid"], _WEIGHTS | {".onnx"})
    _register("ipadapter", [models / "ipadapter"], _WEIGHTS)
    output = Path(folder_paths.get_output_directory())
    _register(IDENTITIES, [output / "omniid", models / "omniid" / "identities"], {".omniid"})


def _register(name: str, paths: list[Path], endings: set[str]) -> None:
    known, known_endings = folder_paths.folder_names_and_paths.get(name, ([], set()))
    added = [str(path) for path in paths if str(path) not in known]
    # An empty set of endings means any file: such folders come from other packs and configurations.
    endings = set(known_endings) | endings
    folder_paths.folder_names_and_paths[name] = ([*known, *added], endings)


def checkpoints() -> list[str]:
    """Names of identity models and IP-Adapters."""
    return _names([MODELS, "ipadapter"], _WEIGHTS)


def image_encoders() -> list[str]:
    """Names of CLIP vision models, after NONE."""
    return [NONE, *_names(["clip_vision", MODELS], _WEIGHTS)]


def detectors() -> list[str]:
    """Names of face detectors, after NONE."""
    return [NONE, *_names([MODELS], _WEIGHTS | {".onnx"})]


def identities() -> list[str]:
    """Names of saved identities."""
    return _names([IDENTITIES], {".omniid"})


def _names(folders: list[str], endings: set[str]) -> list[str]:
    names: list[str] = []
    for folder in folders:
        for name in folder_paths.get_filename_list(folder):
            if os.path.splitext(name)[1].lower() in endings and name not in names:
                names.append(name)
    return names


def find(name: str, folders: Iterable[str]) -> str:
    """The path of a model by its name in the first folder that has it."""
    folders = list(folders)
    for folder in folders:
        path = folder_paths.get_full_path(folder, name)
        if path is not None:
            return str(path)
    raise FileNotFoundError(f"{name!r} is in none of ComfyUI's model folders {', '.join(folders)}")


def state(paths: Iterable[str]) -> str:
    """A text that changes when one of the files does."""
    digest = hashlib.sha256()
    for path in paths:
        status = os.stat(path)
        digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def photos_in(folder: str) -> list[str]:
    """The photos in a folder, by name; a folder that is not absolute is below ComfyUI's input folder."""
    path = Path(folder)
    if not path.is_absolute():
        path = Path(folder_paths.get_input_directory()) / path
    if not path.is_dir():
        raise NotADirectoryError(f"{str(path)!r} is no folder")
    found = sorted(str(entry) for entry in path.iterdir() if entry.suffix.lower() in _PHOTOS and entry.is_file())
    if not found:
        raise FileNotFoundError(f"{str(path)!r} has no photos ({', '.join(sorted(_PHOTOS))})")
    return found
