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
    #: The operating system refused: no such file, no permission, disk full.
    IO = 2
    #: A file or a buffer does not hold what its format promises: truncated, lying header, missing key.
    FORMAT = 3
    #: Well-formed, but not something this build can do: a dtype, a device, a checkpoint family.
    UNSUPPORTED = 4
    #: Two things that do not belong together: identity and model, adapter and host, tensor and layer.
    MISMATCH = 5
    #: No usable face in any of the photos.
    NO_FACE = 6
    #: A limit set by the caller was reached: pixels, decoded bytes, file size.
    LIMIT_EXCEEDED = 7
    #: The caller's progress callback asked to stop.
    CANCELLED = 8
    #: The GPU, its driver or its libraries failed.
    DEVICE = 9
    #: The caller was built for another major version of the ABI.
    ABI_MISMATCH = 10
    #: A defect in OmniID itself. Please report it with the message.
    INTERNAL = 255


class LogLevel(enum.IntEnum):
    """How serious a log message is."""

    #: Something failed.
    ERROR = 1
    #: Something was left out or looks wrong; the call goes on.
    WARN = 2
    #: What a user may want to know.
    INFO = 3
    #: What a developer of the host may want to know.
    DEBUG = 4
    #: Everything.
    TRACE = 5


class Stage(enum.IntEnum):
    """What a long call is doing."""

    #: Weights are being read. Unit: tensors.
    LOAD = 0
    #: Photos are being decoded and cropped. Unit: photos.
    PHOTOS = 1
    #: Photos pass the image encoder. Unit: photos.
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

    #: 32-bit floating point: equal to the reference implementations within rounding.
    F32 = 0
    #: IEEE half precision: half the memory.
    F16 = 1
    #: bfloat16: half the memory, the range of f32.
    BF16 = 2


class EncoderKind(enum.IntEnum):
    """The kind of identity encoder."""

    #: The native Omni-ID encoder: a fixed number of tokens, however many photos.
    OMNI_ID = 0
    #: IP-Adapter Plus and Plus-Face: a fixed number of tokens for each photo.
    RESAMPLER = 1
    #: IP-Adapter full-face: a token per feature token and photo.
    FULL_FACE = 2
    #: Base IP-Adapter and XLabs FLUX: a fixed number of tokens for each photo.
    PROJECTION = 3


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
    #: Red, green, blue, alpha; alpha is ignored.
    RGBA = 1
    #: Blue, green, red.
    BGR = 2
    #: Blue, green, red, alpha; alpha is ignored.
    BGRA = 3


class FaceHint(enum.IntEnum):
    """Which face of a photo is meant."""

    #: The largest face that the detector finds.
    DETECT = 0
    #: The face_index-th largest face that the detector finds; 0 is the largest.
    INDEX = 1
    #: The face in face_box. Needs no detector.
    BOX = 2
    #: The face with the five face_landmarks. Needs no detector.
    LANDMARKS = 3


class Crop(enum.IntEnum):
    """How photos are cropped."""

    #: The model's own way.
    DEFAULT = 0
    #: The photo as it is: the image encoder's own preparation scales the short side and cuts out the centre.
    NONE = 1
    #: The largest square in the middle of the photo.
    CENTER = 2
    #: A square around the face, with a margin.
    FACE = 3
    #: The face turned, scaled and shifted so that its landmarks lie on the ArcFace template.
    ALIGNED = 4


class BadPhoto(enum.IntEnum):
    """What to do with a photo that cannot be used."""

    #: Leave out a photo that cannot be used, and say so in the report.
    SKIP = 0
    #: Fail the call.
    FAIL = 1


class WeightType(enum.IntEnum):
    """How an identity's weight is spread over the layers of the host."""

    #: The weight w everywhere.
    LINEAR = 0
    #: Strong in early layers.
    EASE_IN = 1
    #: Strong in late layers.
    EASE_OUT = 2
    #: Strong in the middle.
    EASE_IN_OUT = 3
    #: Weak in the middle.
    REVERSE_IN_OUT = 4
    #: 0.2 w on the down-sampling half.
    WEAK_INPUT = 5
    #: 0.2 w on the up-sampling half.
    WEAK_OUTPUT = 6
    #: 0.2 w on the middle block.
    WEAK_MIDDLE = 7
    #: 0.2 w everywhere but in the middle block.
    STRONG_MIDDLE = 8
    #: Only the style layers. This and the following are for SD1.5 and SDXL.
    STYLE_TRANSFER = 9
    #: Only the composition layers.
    COMPOSITION = 10
    #: Everything but the composition layers.
    STRONG_STYLE_TRANSFER = 11
    #: Style and composition layers, each with its own weight.
    STYLE_AND_COMPOSITION = 12
    #: Every layer, the composition layers with their own weight.
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

    #: What the checkpoint's own reference code does.
    DEFAULT = 0
    #: Nothing is injected into unconditional rows.
    NONE = 1
    #: A zero image embedding through the projection.
    ZERO_EMBEDDING = 2
    #: A picture whose values are zero after normalisation.
    ZERO_PIXELS = 3
    #: A black picture.
    BLACK_IMAGE = 4
    #: All-zero image features.
    ZERO_FEATURES = 5
    #: Tokens that are zero.
    ZERO_TOKENS = 6
    #: The model's average identity, if the checkpoint has one.
    MEAN_TOKENS = 7


class EmbedsScaling(enum.IntEnum):
    """How the weight acts on keys and values."""

    #: The weight multiplies the attention's output.
    VALUES = 0
    #: The weight multiplies keys and values.
    KEYS_AND_VALUES = 1
    #: As before, with the weight times inner width / 1280.
    KEYS_AND_VALUES_PENALTY = 2
    #: The weight times inner width / 1280 multiplies the keys, and of the values only their mean over the tokens.
    KEYS_AND_MEAN_VALUES_PENALTY = 3


class MaskMode(enum.IntEnum):
    """Whose rules for placing masks are followed."""

    #: Masks follow ComfyUI: grid from the latent size, bilinear.
    COMFYUI = 0
    #: Masks follow diffusers: grid from the mask's proportions, bicubic.
    DIFFUSERS = 1


class Role(enum.IntEnum):
    """The side of guidance that a batch row belongs to."""

    #: The rows that follow the prompt.
    CONDITIONAL = 0
    #: The rows that do not.
    UNCONDITIONAL = 1


class Layout(enum.IntEnum):
    """The order of the dimensions of query and output."""

    #: `[batch, rows, heads * head_dim]` or `[batch, rows, heads, head_dim]`.
    ROWS_FIRST = 0
    #: `[batch, heads, rows, head_dim]`.
    HEADS_FIRST = 1
