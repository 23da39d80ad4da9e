"""The nodes, by the names that workflows store."""

from ..folders import register
from .apply import ApplyIdentity, ApplyOptions, ApplyPeople, PersonNode
from .attention import PreviewAttention, WatchAttention
from .embeds import CombineEmbeds, IdentityFromEmbeds, PhotoEmbeds
from .faces import ApplyFaceID, ApplyInstantID, ApplyPuLID
from .identity import CompareIdentities, LoadIdentity, SaveIdentity
from .model import FaceNetworks, LoadIPAdapter, LoadModel
from .noise import Noise
from .photos import EncodePhotos, ExtendIdentity
from .video import WeightSchedule

register()

_NODES = {
    "OmniIDLoadModel": (LoadModel, "Load Model (OmniID)"),
    "OmniIDFaceNetworks": (FaceNetworks, "Face Networks (OmniID)"),
    "OmniIDLoadIPAdapter": (LoadIPAdapter, "Load IP-Adapter (OmniID)"),
    "OmniIDEncodePhotos": (EncodePhotos, "Encode Photos (OmniID)"),
    "OmniIDExtendIdentity": (ExtendIdentity, "Extend Identity (OmniID)"),
    "OmniIDPhotoEmbeds": (PhotoEmbeds, "Photo Embeds (OmniID)"),
    "OmniIDCombineEmbeds": (CombineEmbeds, "Combine Embeds (OmniID)"),
    "OmniIDIdentityFromEmbeds": (IdentityFromEmbeds, "Identity from Embeds (OmniID)"),
    "OmniIDLoadIdentity": (LoadIdentity, "Load Identity (OmniID)"),
    "OmniIDSaveIdentity": (SaveIdentity, "Save Identity (OmniID)"),
    "OmniIDCompareIdentities": (CompareIdentities, "Compare Identities (OmniID)"),
    "OmniIDPerson": (PersonNode, "Person (OmniID)"),
    "OmniIDApplyIdentity": (ApplyIdentity, "Apply Identity (OmniID)"),
    "OmniIDApplyPeople": (ApplyPeople, "Apply People (OmniID)"),
    "OmniIDApplyOptions": (ApplyOptions, "Apply Options (OmniID)"),
    "OmniIDApplyFaceID": (ApplyFaceID, "Apply FaceID (OmniID)"),
    "OmniIDApplyInstantID": (ApplyInstantID, "Apply InstantID (OmniID)"),
    "OmniIDApplyPuLID": (ApplyPuLID, "Apply PuLID (OmniID)"),
    "OmniIDWeightSchedule": (WeightSchedule, "Weight Schedule (OmniID)"),
    "OmniIDNoise": (Noise, "Noise (OmniID)"),
    "OmniIDWatchAttention": (WatchAttention, "Watch Attention (OmniID)"),
    "OmniIDPreviewAttention": (PreviewAttention, "Preview Attention (OmniID)"),
}

NODE_CLASS_MAPPINGS = {name: node for name, (node, _) in _NODES.items()}
NODE_DISPLAY_NAME_MAPPINGS = {name: title for name, (_, title) in _NODES.items()}
