"""Builds the wheel: one for all Pythons of a platform (`py3-none-<platform>`), with library, headers and CMake package.

    pip wheel --no-deps bindings/python         # or: pip install bindings/python
    python bindings/python/build_backend.py DIR # without pip

The library is taken from the folder OMNIID_LIB, by default `target/release`, and built with cargo if it is not there.
A build backend as PEP 517 describes it; it needs nothing but Python's own library.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SUMMARY = "Photos of a person in, an identity out, injected into any diffusion model"


def get_requires_for_build_wheel(config_settings: object = None) -> list[str]:
    return []


def build_wheel(wheel_directory: str, config_settings: object = None, metadata_directory: str | None = None) -> str:
    version = header_value("OMNIID_VERSION")
    with tempfile.TemporaryDirectory() as folder:
        stage = Path(folder)
        prefix = stage / "omniid" / "prefix"
        library = stage_native(prefix)
        copy_package(stage / "omniid")
        tag = f"py3-none-{platform_tag(library)}"
        write_metadata(stage / f"omniid-{version}.dist-info", version, tag)
        name = f"omniid-{version}-{tag}.whl"
        write_wheel(stage, Path(wheel_directory) / name, f"omniid-{version}.dist-info/RECORD")
    return name


def build_sdist(sdist_directory: str, config_settings: object = None) -> str:
    raise NotImplementedError("omniid has no source distribution of its own: build the wheel in the repository")


def header_value(name: str) -> str:
    text = (ROOT / "include" / "omniid.h").read_text(encoding="utf-8")
    match = re.search(rf'^#define {name} "?([^"\n]+)"?$', text, re.M)
    if not match:
        raise SystemExit(f"include/omniid.h does not define {name}")
    return match.group(1)


def built_name() -> str:
    if sys.platform == "win32":
        return "omniid.dll"
    return "libomniid.dylib" if sys.platform == "darwin" else "libomniid.so"


def library_folder() -> Path:
    """The folder with the built library."""
    named = os.environ.get("OMNIID_LIB")
    if named:
        folder = Path(named).resolve()
        if not (folder / built_name()).exists():
            raise SystemExit(f"OMNIID_LIB={named} has no {built_name()}")
        return folder
    folder = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
    if not (folder / built_name()).exists():
        subprocess.run(["cargo", "build", "--release", "--package", "omniid", "--lib"], cwd=ROOT, check=True)
    return folder


def stage_native(prefix: Path) -> Path:
    """Lays out the native tree; returns the library in it."""
    folder = library_folder()
    if sys.platform == "win32":
        return stage_windows(prefix, folder)
    command = [ROOT / "scripts" / "install", "--prefix", prefix, "--from", folder, "--no-static", "--no-models"]
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
    return without_links(prefix / "lib")


def stage_windows(prefix: Path, folder: Path) -> Path:
    """On Windows only what Python needs, and the header: import libraries depend on the compiler."""
    (prefix / "bin").mkdir(parents=True)
    (prefix / "include").mkdir()
    shutil.copy(ROOT / "include" / "omniid.h", prefix / "include")
    return Path(shutil.copy(folder / built_name(), prefix / "bin"))


def without_links(folder: Path) -> Path:
    """A wheel cannot hold symbolic links: the library gets the name that loaders ask for, and linkers a text that
    leads there."""
    real = next(path for path in folder.iterdir() if path.name.startswith("libomniid") and not path.is_symlink())
    major = header_value("OMNIID_ABI_MAJOR")
    loaded = f"libomniid.{major}.dylib" if sys.platform == "darwin" else f"libomniid.so.{major}"
    for path in list(folder.iterdir()):
        if path.is_symlink():
            path.unlink()
    library = real.rename(folder / loaded)
    config = folder / "cmake" / "OmniID" / "OmniIDConfig.cmake"
    config.write_text(config.read_text(encoding="utf-8").replace(real.name, loaded), encoding="utf-8")
    if sys.platform == "darwin":
        shutil.copy(library, folder / "libomniid.dylib")
    else:
        (folder / "libomniid.so").write_text(f"/* GNU ld script */\nINPUT({loaded})\n", encoding="utf-8")
    return library


def platform_tag(library: Path) -> str:
    """The platform that the library runs on. On Linux the oldest C library that has every symbol it asks for."""
    override = os.environ.get("OMNIID_WHEEL_PLATFORM")
    if override:
        return override
    platform = re.sub(r"[-.]", "_", sysconfig.get_platform())
    if not platform.startswith("linux"):
        return platform
    needed = re.findall(rb"\0GLIBC_2\.(\d+)(?:\.\d+)?(?=\0)", library.read_bytes())
    if not needed:
        return platform
    # 2.17 is the oldest that the scheme has a name for.
    return platform.replace("linux", f"manylinux_2_{max(17, *map(int, needed))}", 1)


def copy_package(target: Path) -> None:
    for source in sorted((HERE / "omniid").rglob("*")):
        if source.suffix == ".py" or source.name == "py.typed":
            copied = target / source.relative_to(HERE / "omniid")
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copied)


def write_metadata(folder: Path, version: str, tag: str) -> None:
    (folder / "licenses").mkdir(parents=True)
    licences = ["LICENSE-MIT", "LICENSE-APACHE"]
    for name in licences:
        shutil.copyfile(ROOT / name, folder / "licenses" / name)
    lines = [
        "Metadata-Version: 2.4",
        "Name: omniid",
        f"Version: {version}",
        f"Summary: {SUMMARY}",
        "License-Expression: MIT OR Apache-2.0",
        *(f"License-File: {name}" for name in licences),
        "Requires-Python: >=3.9",
        "Requires-Dist: numpy>=1.22",
        "Provides-Extra: diffusers",
        "Requires-Dist: torch>=2.1; extra == 'diffusers'",
        "Requires-Dist: diffusers>=0.30; extra == 'diffusers'",
        "Provides-Extra: images",
        "Requires-Dist: pillow>=9.1; extra == 'images'",
        "Description-Content-Type: text/markdown",
    ]
    text = "\n".join(lines) + "\n\n" + (HERE / "README.md").read_text(encoding="utf-8")
    (folder / "METADATA").write_text(text, encoding="utf-8")
    wheel = f"Wheel-Version: 1.0\nGenerator: omniid\nRoot-Is-Purelib: false\nTag: {tag}\n"
    (folder / "WHEEL").write_text(wheel, encoding="utf-8")


def write_wheel(stage: Path, target: Path, record: str) -> None:
    """Files in fixed order with a fixed date: the same input makes the same wheel."""
    entries = []
    temporary = target.with_suffix(".partial")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as wheel:

        def add(name: str, data: bytes) -> None:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.external_attr = (0o100755 if "/lib/libomniid" in name else 0o100644) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(info, data)

        for path in sorted(stage.rglob("*")):
            if path.is_file():
                name, data = path.relative_to(stage).as_posix(), path.read_bytes()
                digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
                entries.append(f"{name},sha256={digest},{len(data)}")
                add(name, data)
        add(record, "\n".join([*entries, f"{record},,", ""]).encode())
    temporary.replace(target)


if __name__ == "__main__":
    folder = sys.argv[1] if len(sys.argv) > 1 else "."
    print(Path(folder) / build_wheel(folder))
