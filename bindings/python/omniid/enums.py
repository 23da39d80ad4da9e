"""Choices, with the header's own comments. Written by generate.py; do not edit.

Wherever the package takes one of these it also takes its name in lower case: `crop="face"` is `crop=Crop.FACE`.
"""

from __future__ import annotations

import enum

# fmt: off

class Status(enum.IntEnum):
    """The result of a call: success or the class of the error."""

    #: Success.
    OK = 0
    #: A parameter has a value that is never valid: NULL, zero photos, an absurd size, an unknown enum value.
    INVALID_ARGUMENT = 1
    #: An operation of the system failed: no such file, no permission, disk full.
    IO = 2
    #: A file or a buffer is malformed: truncated, inconsistent header, missing key.
    FORMAT = 3
    #: Well-formed, but not supported by this build: a number type, a device, a checkpoint family.
    UNSUPPORTED = 4
    #: Two inputs do not belong together: identity and model, adapter and host, tensor and layer.
    MISMATCH = 5
    #: No usable face in any of the photos.
    NO_FACE = 6
    #: An input exceeds a limit of the engine options: pixels, decoded bytes, file size.
    LIMIT_EXCEEDED = 7
    #: The caller's progress callback cancelled the call.
    CANCELLED = 8
    #: The GPU, its driver or its libraries failed.
    DEVICE = 9
    #: The caller was built for another major version of the ABI.
    ABI_MISMATCH = 10
    #: A defect in OmniID. Please report it with its message.
    INTERNAL = 255


class LogLevel(enum.IntEnum):
    """How serious a log message is."""

    #: A failure.
    ERROR = 1
    #: Something was skipped or looks wrong; the call continues.
    WARN = 2
    #: Information for users.
    INFO = 3
    #: Information for developers of a host.
    DEBUG = 4
    #: Everything.
    TRACE = 5


class Stage(enum.IntEnum):
    """What a long call is doing."""

    #: Weights are being read. Unit: tensors.
    LOAD = 0
    #: Photos are being decoded and cropped. Unit: photos.
    PHOTOS = 1
    #: Photos are passing through the image encoder. Unit: photos.
    ENCODE = 2
    #: Keys and values are being projected. Unit: host layers.
    CONDITION = 3
    #: A file is being written. Unit: tensors.
    SAVE = 4


class DeviceType(enum.IntEnum):
    """Where memory is."""

    #: The processor's memory; kDLCPU.
    CPU = 1
    #: The memory of an NVIDIA GPU; kDLCUDA.
    CUDA = 2


class Precision(enum.IntEnum):
    """The number type of weights, of keys and values, or of an identity file."""

    #: 32-bit floating point; results equal those of the reference implementations within rounding.
    F32 = 0
    #: IEEE half precision: half the memory.
    F16 = 1
    #: bfloat16: half the memory, with the range of f32.
    BF16 = 2
    #: Bytes: a quarter of the memory, for the weights of an engine on the processor only. The blocks of the image
    #: encoder and of the Omni-ID encoder are computed from weights and rows rounded to bytes, with scales for each
    #: output and each row; the rest of these encoders is f32, an adapter bf16. Tokens differ from those of f32.
    INT8 = 3


class EncoderKind(enum.IntEnum):
    """The kind of identity encoder."""

    #: The native Omni-ID encoder: a fixed number of tokens, however many photos.
    OMNI_ID = 0
    #: IP-Adapter Plus and Plus-Face: a fixed number of tokens for each photo.
    RESAMPLER = 1
    #: IP-Adapter full-face: one token per image feature token and photo.
    FULL_FACE = 2
    #: Base IP-Adapter and XLabs FLUX: a fixed number of tokens for each photo.
    PROJECTION = 3
    #: IP-Adapter FaceID and FaceID Portrait: a fixed number of tokens for each face embedding.
    FACE_ID = 4
    #: IP-Adapter FaceID-Plus and PlusV2: a face embedding and the features of the aligned face.
    FACE_ID_PLUS = 5
    #: InstantID: a fixed number of tokens for each face embedding.
    INSTANT_ID = 6
    #: IP-Adapter FaceID Portrait (unnorm): the face embeddings of all photos at once.
    FACE_ID_PORTRAIT_UNNORM = 7
    #: PuLID for SDXL, version 1.
    PULID_V1 = 8
    #: PuLID for SDXL, version 1.1, and for FLUX: all photos at once.
    ID_FORMER = 9
    #: InstantX SD3.5, whose tokens depend on the timestep.
    TIME_RESAMPLER = 10
    #: WithAnyone for FLUX: tokens of a raw face embedding, of SigLIP's last hidden state, and of the embedding again.
    WITH_ANYONE = 11
    #: InstantX FLUX: a fixed number of tokens for each photo.
    INSTANT_X_FLUX = 15


class PixelType(enum.IntEnum):
    """The number type of a colour channel."""

    #: 8 bits per channel, 0 to 255.
    U8 = 0
    #: 32-bit floating point per channel, 0 to 1, sRGB-encoded like 8-bit pixels.
    F32 = 1


class ChannelOrder(enum.IntEnum):
    """The order of the colour channels in memory."""

    #: Red, green, blue.
    RGB = 0
    #: Red, green, blue, alpha; transparent pixels are laid on middle grey, unless alpha is the same everywhere.
    RGBA = 1
    #: Blue, green, red.
    BGR = 2
    #: Blue, green, red, alpha; transparent pixels are laid on middle grey, unless alpha is the same everywhere.
    BGRA = 3


class FaceHint(enum.IntEnum):
    """Which face of a photo is meant."""

    #: The largest face that the detector finds.
    DETECT = 0
    #: One of the faces that the detector finds, chosen by its rank in size: face_index. Refused where
    #: omniid_encode_options asks for a crop that takes no notice of faces.
    INDEX = 1
    #: The face inside face_box. Needs no detector.
    BOX = 2
    #: The face with the five face_landmarks. Needs no detector.
    LANDMARKS = 3


class Crop(enum.IntEnum):
    """How photos are cropped."""

    #: The model's own crop.
    DEFAULT = 0
    #: The whole photo: the image encoder's own preprocessing scales its shorter side and crops the centre.
    NONE = 1
    #: The largest square at the centre of the photo.
    CENTER = 2
    #: A square around the face, with a margin.
    FACE = 3
    #: The face rotated, scaled and shifted so that its landmarks lie on the ArcFace template.
    ALIGNED = 4


class BadPhoto(enum.IntEnum):
    """What to do with a photo that cannot be used."""

    #: Leave out a photo that cannot be used, and note it in the report.
    SKIP = 0
    #: Fail the call.
    FAIL = 1


class Strangers(enum.IntEnum):
    """What to do with photos that look like somebody else than the others."""

    #: Use photos that look like somebody else than the others, and note it in the report. In photos with several faces
    #: the one is taken that looks like the other photos.
    NOTE = 0
    #: Leave out photos that look like somebody else than the others, and say so in the report.
    LEAVE_OUT = 1
    #: Do not compare the photos. Of several faces the largest is taken.
    IGNORE = 2


class Combine(enum.IntEnum):
    """How several photos are combined before the identity encoder."""

    #: The tokens of each photo, one after the other.
    CONCATENATE = 0
    #: The mean of the photos' features and face embeddings.
    AVERAGE = 1
    #: The mean, each value divided by its norm over the photos.
    NORM_AVERAGE = 2
    #: The sum.
    ADD = 3
    #: The first photo less the mean of the others.
    SUBTRACT = 4
    #: The largest of each value.
    MAX = 5
    #: The smallest of each value.
    MIN = 6


class EmbeddingForm(enum.IntEnum):
    """Whether a face embedding still has its length."""

    #: As the network gives it (`embedding` of insightface): its length counts.
    RAW = 0
    #: Divided by its length (`normed_embedding` of insightface).
    NORMALISED = 1


class LoraFormat(enum.IntEnum):
    """The names in a LoRA file."""

    #: The names of kohya's trainer and of ComfyUI: `lora_unet_NAME.lora_down.weight`.
    KOHYA = 0
    #: The names of diffusers and PEFT: `unet.NAME.lora_A.weight`.
    DIFFUSERS = 1


class WeightType(enum.IntEnum):
    """How an identity's weight is spread over the layers of the host."""

    #: The identity's weight w in every layer.
    LINEAR = 0
    #: Strong in the early layers.
    EASE_IN = 1
    #: Strong in the late layers.
    EASE_OUT = 2
    #: Strong in the middle layers.
    EASE_IN_OUT = 3
    #: Weak in the middle layers.
    REVERSE_IN_OUT = 4
    #: 0.2 w in the down-sampling half.
    WEAK_INPUT = 5
    #: 0.2 w in the up-sampling half.
    WEAK_OUTPUT = 6
    #: 0.2 w in the middle block.
    WEAK_MIDDLE = 7
    #: 0.2 w everywhere except in the middle block.
    STRONG_MIDDLE = 8
    #: Only the style layers. This type and the following ones are for SD1.5 and SDXL.
    STYLE_TRANSFER = 9
    #: Only the composition layers.
    COMPOSITION = 10
    #: All layers except the composition layers.
    STRONG_STYLE_TRANSFER = 11
    #: Style and composition layers, each with a weight of its own.
    STYLE_AND_COMPOSITION = 12
    #: All layers, the composition layers with a weight of their own.
    STRONG_STYLE_AND_COMPOSITION = 13
    #: Style layers, with composition pushed away.
    STYLE_TRANSFER_PRECISE = 14
    #: Composition layers, with style pushed away.
    COMPOSITION_PRECISE = 15


class StepUnit(enum.IntEnum):
    """What limits the steps at which an identity is injected."""

    #: At every step.
    ALWAYS = 0
    #: While step_end <= sigma <= step_start; step_start is the larger number.
    SIGMA = 1
    #: While step_start <= fraction <= step_end, both within 0 to 1.
    FRACTION = 2


class Unconditional(enum.IntEnum):
    """What unconditional rows see instead of the identity."""

    #: As in the checkpoint's reference code.
    DEFAULT = 0
    #: Nothing is injected into unconditional rows.
    NONE = 1
    #: A zero image embedding through the projection.
    ZERO_EMBEDDING = 2
    #: An image whose values are zero after normalisation.
    ZERO_PIXELS = 3
    #: A black image.
    BLACK_IMAGE = 4
    #: All-zero image features.
    ZERO_FEATURES = 5
    #: All-zero identity tokens.
    ZERO_TOKENS = 6
    #: The model's mean identity, if the checkpoint has one.
    MEAN_TOKENS = 7


class EmbedsScaling(enum.IntEnum):
    """How the weight acts on keys and values."""

    #: The weight multiplies the output of the attention.
    VALUES = 0
    #: The weight multiplies keys and values.
    KEYS_AND_VALUES = 1
    #: The weight times inner width / 1280 multiplies keys and values.
    KEYS_AND_VALUES_PENALTY = 2
    #: The weight times inner width / 1280 multiplies the keys, and of the values only their mean over the tokens.
    KEYS_AND_MEAN_VALUES_PENALTY = 3


class MaskMode(enum.IntEnum):
    """Whose rules for placing masks are followed."""

    #: As in ComfyUI: grid from the latent size, bilinear.
    COMFYUI = 0
    #: As in diffusers: grid from the mask's proportions, bicubic.
    DIFFUSERS = 1


class Injection(enum.IntEnum):
    """How an identity's attention joins the layer's output."""

    #: The identity's attention is added to the output.
    ADD = 0
    #: PuLID's ORTHO: without its part that points the way of the output, for each channel over all image tokens.
    ORTHOGONAL = 1
    #: PuLID's ORTHO_v2: that part is kept where image tokens look at the identity's first five tokens.
    ORTHOGONAL_V2 = 2


class Role(enum.IntEnum):
    """The side of guidance that a batch row belongs to."""

    #: A row that is conditioned on the prompt.
    CONDITIONAL = 0
    #: A row that is not.
    UNCONDITIONAL = 1


class Layout(enum.IntEnum):
    """The order of the dimensions of query and output."""

    #: `[batch, rows, heads * head_dim]` or `[batch, rows, heads, head_dim]`.
    ROWS_FIRST = 0
    #: `[batch, heads, rows, head_dim]`.
    HEADS_FIRST = 1


class GraphForm(enum.IntEnum):
    """What a graph takes."""

    #: The graph takes keys and values of every layer.
    KEYS_VALUES = 0
    #: The graph has the adapter inside and takes identity tokens.
    TOKENS = 1


class GraphInputKind(enum.IntEnum):
    """What an input of a graph carries."""

    #: Keys of a layer, `[rows, heads, tokens, head_dim]`.
    KEYS = 0
    #: Values of a layer, of the same shape.
    VALUES = 1
    #: Identity tokens, `[rows, tokens, width]`.
    TOKENS = 2
    #: A factor for each layer of the manifest, `[layers]`, f32.
    SCALE = 3
    #: A mask for each person, `[rows, people, height, width]`.
    MASK = 4
