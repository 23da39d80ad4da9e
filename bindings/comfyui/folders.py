"""Where models, identities and photos are: ComfyUI's model folders `omniid`, `ipadapter`, `instantid`, `pulid`,
`xlabs_ipadapters`, `ipadapter-flux`, `clip_vision`, those of face networks, identities, and the folders that photos may
be taken from."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Iterable

import folder_paths

MODELS = "omniid"
IDENTITIES = "omniid_identities"
PHOTOS = "omniid_photos"
INSIGHTFACE, FACEXLIB = "insightface", "facexlib"
"""Where other packs keep face networks: `insightface/models/buffalo_l/w600k_r50.onnx` and the like."""
ADAPTERS = [MODELS, "ipadapter", "instantid", "pulid", "xlabs_ipadapters", "ipadapter-flux"]
"""The last two are where the nodes of XLabs and those for InstantX keep their files."""
NONE = "none"
BUILT_IN = "built-in"

_WEIGHTS = {".safetensors", ".bin", ".pt", ".pth", ".ckpt"}
_OTHER_FACE_NETWORKS = re.compile(
    "det_|detection|scrfd|1k3d68|2d106det|genderage|inswapper|retinaface|yunet", re.IGNORECASE
)
"""Names of insightface's and facexlib's networks that recognise nobody."""
_PHOTOS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}


def register() -> None:
    """Adds OmniID's folders to ComfyUI's, keeping what extra_model_paths.yaml has added to them."""
    models = Path(folder_paths.models_dir)
    _register(MODELS, [models / "omniid"], _WEIGHTS | {".onnx"})
    for name in ("ipadapter", "instantid", "pulid"):
        _register(name, [models / name], _WEIGHTS)
    _register("xlabs_ipadapters", [models / "xlabs" / "ipadapters"], _WEIGHTS)
    _register("ipadapter-flux", [models / "ipadapter-flux"], _WEIGHTS)
    for name in (INSIGHTFACE, FACEXLIB):
        _register(name, [models / name], _WEIGHTS | {".onnx"})
    output = Path(folder_paths.get_output_directory())
    _register(PHOTOS, [], set())
    _register(IDENTITIES, [output / "omniid", models / "omniid" / "identities"], {".omniid"})


def _register(name: str, paths: list[Path], endings: set[str]) -> None:
    known, known_endings = folder_paths.folder_names_and_paths.get(name, ([], set()))
    added = [str(path) for path in paths if str(path) not in known]
    # An empty set of endings means any file: such folders come from other packs and configurations.
    endings = set(known_endings) | endings
    folder_paths.folder_names_and_paths[name] = ([*known, *added], endings)


def checkpoints() -> list[str]:
    """Names of identity models and IP-Adapters."""
    return _names(ADAPTERS, _WEIGHTS)


def image_encoders() -> list[str]:
    """Names of CLIP vision models, after NONE."""
    return [NONE, *_names(["clip_vision", MODELS], _WEIGHTS)]


def detectors() -> list[str]:
    """Names of face detectors, after BUILT_IN."""
    return [BUILT_IN, *_names([MODELS], _WEIGHTS | {".onnx"})]


def face_recognisers() -> list[str]:
    """Names of face recognition networks, after NONE."""
    names = _names([INSIGHTFACE, FACEXLIB, MODELS], _WEIGHTS | {".onnx"})
    parsers = face_parsers()
    return [NONE, *(name for name in names if not _OTHER_FACE_NETWORKS.search(name) and name not in parsers)]


def face_parsers() -> list[str]:
    """Names of face parsing networks, after NONE."""
    names = _names([FACEXLIB, MODELS], _WEIGHTS | {".onnx"})
    return [NONE, *(name for name in names if re.search("pars|bisenet", name, re.IGNORECASE))]


def identities() -> list[str]:
    """Names of saved identities."""
    return _names([IDENTITIES], {".omniid"})


def _names(folders: list[str], endings: set[str]) -> list[str]:
    """The files of several folders. Another file of the name of one in an earlier folder gets its folder's name before
    its own: InstantID's file and InstantX' are both called ip-adapter.bin."""
    names: dict[str, str] = {}
    for folder in folders:
        for name in folder_paths.get_filename_list(folder):
            if _ending(name) not in endings:
                continue
            other = names.setdefault(name, folder)
            if other != folder and _full_path(other, name) != _full_path(folder, name):
                names[f"{folder}/{name}"] = folder
    return list(names)


def _full_path(folder: str, name: str) -> str | None:
    path = folder_paths.get_full_path(folder, name)
    return None if path is None else os.path.realpath(path)


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def find(name: str, folders: Iterable[str]) -> str:
    """The path of a model by its name in the first folder that has it; also with a folder's name before it."""
    folders = list(folders)
    places = [(folder, name) for folder in folders]
    places += [(folder, name[len(folder) + 1 :]) for folder in folders if name.startswith(f"{folder}/")]
    for folder, inside in places:
        path = folder_paths.get_full_path(folder, inside)
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
    """The photos in a folder below ComfyUI's input folder, or below a folder that the user has listed; by name."""
    roots = photo_roots()
    path = below(folder, roots)
    found = sorted(
        str(entry)
        for entry in path.iterdir()
        if entry.suffix.lower() in _PHOTOS and not entry.name.startswith(".") and _inside(entry, roots)
    )
    if not found:
        raise FileNotFoundError(f"the folder {folder!r} has no photos ({', '.join(sorted(_PHOTOS))})")
    return found


def photo_roots() -> list[Path]:
    """Where folders of photos may be: ComfyUI's input folder, those under `omniid_photos` in extra_model_paths.yaml,
    and those in the environment variable OMNIID_PHOTO_FOLDERS."""
    listed = os.environ.get("OMNIID_PHOTO_FOLDERS", "").split(os.pathsep)
    known, _ = folder_paths.folder_names_and_paths.get(PHOTOS, ([], set()))
    roots = [folder_paths.get_input_directory(), *known, *(path for path in listed if path)]
    return [Path(path) for path in roots]


def below(folder: str, roots: Iterable[Path]) -> Path:
    """The folder of this name below one of the roots. The name comes from whoever can queue a prompt: it must not lead
    anywhere else, nor tell what is there."""
    refused = NotADirectoryError(
        f"there is no folder {folder!r} below ComfyUI's input folder or a folder listed under omniid_photos in "
        "extra_model_paths.yaml or in the environment variable OMNIID_PHOTO_FOLDERS; give the name of one of their "
        "subfolders, such as anna"
    )
    parts = re.split(r"[\\/]", folder.rstrip("/\\"))
    # A colon stands in drives and alternate streams of Windows, which also takes trailing dots and spaces away.
    if any(not part.strip(" .") or ":" in part or not part.isprintable() for part in parts):
        raise refused
    for root in roots:
        path = root.joinpath(*parts)
        try:
            if path.is_dir() and _inside(path, [root]):
                return path
        except (OSError, ValueError):
            continue
    raise refused


def _inside(path: Path, roots: Iterable[Path]) -> bool:
    """Whether a path, with its symbolic links followed, is below one of the roots."""
    real = os.path.realpath(path)
    return any(_common(real, os.path.realpath(root)) for root in roots)


def _common(path: str, root: str) -> bool:
    try:
        return os.path.commonpath([path, root]) == root
    except ValueError:  # another drive
        return False
