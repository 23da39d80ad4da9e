"""OmniID in ComfyUI: photos of a person in, the person in the pictures.

The nodes are thin: models, identities, keys and values and their injection are the Python package `omniid`. Without it
the node list has one node that says what to do.
"""

try:
    import omniid as _omniid  # noqa: F401
except Exception as error:  # a missing package, a missing library, one of another version
    from .missing import node_mappings

    NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS = node_mappings(error)
else:
    from .nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

WEB_DIRECTORY = "./web"
"""What ComfyUI's page loads: text and warnings on the nodes."""

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "WEB_DIRECTORY"]
