"""OmniID in ComfyUI: photos of a person in, the person in the pictures.

The nodes are thin: models, identities, keys and values and their injection are the Python package `omniid`.
"""

from .nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
