"""OmniID: photos of a person in, an identity out, injected into any diffusion model.

    from omniid import Engine

    with Engine.open("model.safetensors") as engine:
        identity, reports = engine.encode(["a.jpg", "b.jpg"])
        identity.save("person.omniid")

`omniid.diffusers` attaches identities to pipelines of the diffusers library. Errors derive from `OmniIdError`. Calls
release the interpreter's lock while they run; engines, identities and conditionings never change and may be shared by
threads. Everything that has a close() may also be used in a `with` statement, or be left to the garbage collector.
"""

from ._calls import set_log
from ._library import LIBRARY_PATH, lib
from .conditioning import Conditioning, ConditioningInput, HostLayer, Step
from .engine import Encoded, Engine, EngineInfo, Likeness, PhotoFeatures
from .enums import (
    BadPhoto,
    ChannelOrder,
    Combine,
    Crop,
    EmbeddingForm,
    EmbedsScaling,
    EncoderKind,
    Injection,
    Layout,
    LogLevel,
    LoraFormat,
    MaskMode,
    Precision,
    Role,
    Stage,
    Status,
    Strangers,
    Unconditional,
    WeightType,
)
from .errors import (
    AbiMismatchError,
    CancelledError,
    ClosedError,
    DeviceError,
    FormatError,
    InternalError,
    InvalidArgumentError,
    IoError,
    LimitExceededError,
    MismatchError,
    NoFaceError,
    OmniIdError,
    UnsupportedError,
)
from .faces import FaceEmbedding, draw_keypoints
from .identity import Identity, IdentityInfo
from .lora import Lora
from .paths import cmake_prefix, include_folder, library_path
from .photos import Face, Photo, PhotoReport
from .pulid import pulid
from .tensors import Tensor

__version__: str = lib.omniid_version().decode()

__all__ = [
    "AbiMismatchError",
    "BadPhoto",
    "CancelledError",
    "ChannelOrder",
    "ClosedError",
    "Combine",
    "ConditioningInput",
    "Conditioning",
    "Crop",
    "DeviceError",
    "EmbeddingForm",
    "EmbedsScaling",
    "Encoded",
    "EncoderKind",
    "Engine",
    "EngineInfo",
    "Face",
    "FaceEmbedding",
    "FormatError",
    "HostLayer",
    "Identity",
    "IdentityInfo",
    "Injection",
    "InternalError",
    "InvalidArgumentError",
    "IoError",
    "LIBRARY_PATH",
    "Layout",
    "LimitExceededError",
    "Likeness",
    "LogLevel",
    "Lora",
    "LoraFormat",
    "MaskMode",
    "MismatchError",
    "NoFaceError",
    "OmniIdError",
    "Photo",
    "PhotoFeatures",
    "PhotoReport",
    "Precision",
    "Role",
    "Stage",
    "Status",
    "Step",
    "Strangers",
    "Tensor",
    "Unconditional",
    "UnsupportedError",
    "WeightType",
    "__version__",
    "cmake_prefix",
    "draw_keypoints",
    "include_folder",
    "library_path",
    "pulid",
    "set_log",
]
