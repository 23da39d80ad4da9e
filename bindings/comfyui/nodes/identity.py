"""Load, Save and Compare Identities."""

from __future__ import annotations

import os
from typing import Any

import folder_paths
from omniid import Engine, Identity

from .. import folders


class LoadIdentity:
    """Reads an identity file."""

    DESCRIPTION = "Reads an identity that Save Identity or `omniid encode` has written."
    CATEGORY = "OmniID"
    FUNCTION = "load"
    RETURN_TYPES = ("OMNIID_IDENTITY", "STRING")
    RETURN_NAMES = ("identity", "label")
    OUTPUT_TOOLTIPS = ("The person.", "The person's name, if one is stored.")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        tooltip = "An .omniid file in output/omniid or models/omniid/identities."
        return {"required": {"identity": (folders.identities(), {"tooltip": tooltip})}}

    @classmethod
    def IS_CHANGED(cls, identity: str) -> str:
        return folders.state([folders.find(identity, [folders.IDENTITIES])])

    @classmethod
    def VALIDATE_INPUTS(cls, identity: str) -> bool | str:
        # Instead of ComfyUI's own check against the list, which may be older than the file.
        try:
            folders.find(identity, [folders.IDENTITIES])
        except OSError as error:
            return str(error)
        return True

    def load(self, identity: str) -> tuple[Identity, str]:
        loaded = Identity.load(folders.find(identity, [folders.IDENTITIES]))
        return loaded, loaded.label


class SaveIdentity:
    """Writes an identity file."""

    DESCRIPTION = "Writes an identity into ComfyUI's output folder."
    CATEGORY = "OmniID"
    FUNCTION = "save"
    OUTPUT_NODE = True
    RETURN_TYPES = ("OMNIID_IDENTITY",)
    RETURN_NAMES = ("identity",)
    OUTPUT_TOOLTIPS = ("The person, as it came in.",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "identity": ("OMNIID_IDENTITY", {"tooltip": "The person."}),
                "filename_prefix": (
                    "STRING",
                    {"default": "omniid/person", "tooltip": "Load Identity lists the files in the folder omniid."},
                ),
                "precision": (
                    ["f32", "f16"],
                    {"default": "f32", "tooltip": "Number type in the file. f16 makes it half as large."},
                ),
                "keep_features": (
                    "BOOLEAN",
                    {
                        "default": True,
                        "tooltip": "Keep what Extend Identity needs of an Omni-ID identity. Privacy: these numbers "
                        "describe each photo in detail, clothes and surroundings too, and a likeness of the photo "
                        "can be made of them. Turn it off for files that you pass on.",
                    },
                ),
            }
        }

    def save(self, identity: Identity, filename_prefix: str, precision: str, keep_features: bool) -> dict[str, Any]:
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
            filename_prefix, folder_paths.get_output_directory()
        )
        file = f"{name}_{counter:05}_.omniid"
        (identity if keep_features else identity.without_features()).save(os.path.join(folder, file), precision)
        return {"ui": {"text": [os.path.join(subfolder, file)]}, "result": (identity,)}


class CompareIdentities:
    """How similar two identities are."""

    DESCRIPTION = "Cosine similarity of two identities of one model, -1 to 1."
    CATEGORY = "OmniID"
    SEARCH_ALIASES = ["similarity", "same person", "face distance"]
    OUTPUT_NODE = True
    FUNCTION = "compare"
    RETURN_TYPES = ("FLOAT",)
    RETURN_NAMES = ("similarity",)
    OUTPUT_TOOLTIPS = ("-1 to 1; 1 for the same.",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "omniid": ("OMNIID_MODEL", {"tooltip": "The identity model that made both."}),
                "first": ("OMNIID_IDENTITY", {"tooltip": "One person."}),
                "second": ("OMNIID_IDENTITY", {"tooltip": "Another person, or other photos of the same one."}),
            }
        }

    def compare(self, omniid: Engine, first: Identity, second: Identity) -> dict[str, Any]:
        similarity = omniid.similarity(first, second)
        return {"ui": {"text": [f"similarity {similarity:.4f}"]}, "result": (similarity,)}
