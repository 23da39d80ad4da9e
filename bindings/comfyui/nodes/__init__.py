"""The nodes, by the names that workflows store."""

from ..folders import register
from .apply import ApplyIdentity, ApplyOptions, ApplyPeople, PersonNode
from .attention import PreviewAttention, WatchAttention
from .identity import CompareIdentities, LoadIdentity, SaveIdentity
from .model import LoadModel
from .photos import EncodePhotos, ExtendIdentity

register()

_NODES = {
    "OmniIDLoadModel": (LoadModel, "Load Model (OmniID)"),
    "OmniIDEncodePhotos": (EncodePhotos, "Encode Photos (OmniID)"),
    "OmniIDExtendIdentity": (ExtendIdentity, "Extend Identity (OmniID)"),
    "OmniIDLoadIdentity": (LoadIdentity, "Load Identity (OmniID)"),
    "OmniIDSaveIdentity": (SaveIdentity, "Save Identity (OmniID)"),
    "OmniIDCompareIdentities": (CompareIdentities, "Compare Identities (OmniID)"),
    "OmniIDPerson": (PersonNode, "Person (OmniID)"),
    "OmniIDApplyIdentity": (ApplyIdentity, "Apply Identity (OmniID)"),
    "OmniIDApplyPeople": (ApplyPeople, "Apply People (OmniID)"),
    "OmniIDApplyOptions": (ApplyOptions, "Apply Options (OmniID)"),
    "OmniIDWatchAttention": (WatchAttention, "Watch Attention (OmniID)"),
    "OmniIDPreviewAttention": (PreviewAttention, "Preview Attention (OmniID)"),
}

NODE_CLASS_MAPPINGS = {name: node for name, (node, _) in _NODES.items()}
NODE_DISPLAY_NAME_MAPPINGS = {name: title for name, (_, title) in _NODES.items()}
