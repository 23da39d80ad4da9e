"""What the pack shows when the Python package `omniid` cannot be used: one node, and one message on the console."""

from __future__ import annotations

import logging
import sys
from typing import Any


def node_mappings(error: Exception) -> tuple[dict[str, type[Any]], dict[str, str]]:
    """Classes and display names for a ComfyUI without the package, and why it is without."""
    message = explanation(error)
    logging.error("[OmniID] %s", message)

    class NotInstalled:
        DESCRIPTION = message
        CATEGORY = "OmniID"
        FUNCTION = "explain"
        OUTPUT_NODE = True
        RETURN_TYPES = ()

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {"required": {}}

        def explain(self) -> None:
            raise RuntimeError(message)

    title = "OmniID is not installed: " + _reason(error)[:80]
    return {"OmniIDNotInstalled": NotInstalled}, {"OmniIDNotInstalled": title}


def _reason(error: Exception) -> str:
    """The error in one line."""
    return (str(error) or type(error).__name__).splitlines()[0]


def explanation(error: Exception) -> str:
    """Why there are no nodes, and what to do."""
    if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] == "omniid":
        why = "the Python package omniid is missing"
    else:
        why = f"the Python package omniid cannot be used: {_reason(error)}"
    return (
        f"OmniID is not installed: {why}. In a copy of OmniID's repository run: scripts/install-comfyui FOLDER (on "
        f"Windows scripts\\install-comfyui.bat FOLDER), with the folder of this ComfyUI, which runs {sys.executable}; "
        "then restart ComfyUI"
    )
