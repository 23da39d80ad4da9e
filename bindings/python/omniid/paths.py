"""Where the wheel keeps what C and C++ programs need."""

from __future__ import annotations

from pathlib import Path

from ._library import LIBRARY_PATH, PREFIX


def library_path() -> Path:
    """The native library that is loaded."""
    return LIBRARY_PATH


def include_folder() -> Path:
    """The folder with omniid.h."""
    folder = PREFIX / "include"
    if not (folder / "omniid.h").exists():
        raise FileNotFoundError(f"no omniid.h in {folder}; the wheel brings it, the sources of the package do not")
    return folder


def cmake_prefix() -> Path:
    """What CMAKE_PREFIX_PATH needs so that find_package(OmniID CONFIG) finds the wheel's library."""
    if not any(PREFIX.glob("lib*/cmake/OmniID*/OmniIDConfig.cmake")):
        raise FileNotFoundError(f"no CMake package below {PREFIX}; this wheel was built without one")
    return PREFIX
