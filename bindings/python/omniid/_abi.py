"""Declarations of the C ABI, with the header's own comments. Written by generate.py; do not edit."""

from __future__ import annotations

import ctypes
import inspect
from ctypes import (
    POINTER, c_char_p, c_double, c_float, c_int32, c_int64, c_size_t, c_uint8, c_uint16, c_uint32, c_uint64,
    c_void_p,
)
from typing import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    from _ctypes import CFuncPtr

# fmt: off

#: Major version of the ABI, also in the library's SONAME. Programs built for another one cannot use the library.
OMNIID_ABI_MAJOR = 1

#: Minor version of the ABI. It grows with every release that adds functions or struct fields.
OMNIID_ABI_MINOR = 2

#: The ABI version as one number: `major << 16 | minor`.
OMNIID_ABI_VERSION = OMNIID_ABI_MAJOR << 16 | OMNIID_ABI_MINOR

#: The release that this header belongs to.
OMNIID_VERSION = "0.2.0"

#: Success.
OMNIID_STATUS_OK = 0

#: A parameter has a value that is never valid: NULL, zero photos, an absurd size, an unknown enum value.
OMNIID_STATUS_INVALID_ARGUMENT = 1

#: An operation of the system failed: no such file, no permission, disk full.
OMNIID_STATUS_IO = 2

#: A file or a buffer is malformed: truncated, inconsistent header, missing key.
OMNIID_STATUS_FORMAT = 3

#: Well-formed, but not supported by this build: a number type, a device, a checkpoint family.
OMNIID_STATUS_UNSUPPORTED = 4

#: Two inputs do not belong together: identity and model, adapter and host, tensor and layer.
OMNIID_STATUS_MISMATCH = 5

#: No usable face in any of the photos.
OMNIID_STATUS_NO_FACE = 6

#: An input exceeds a limit of the engine options: pixels, decoded bytes, file size.
OMNIID_STATUS_LIMIT_EXCEEDED = 7

#: The caller's progress callback cancelled the call.
OMNIID_STATUS_CANCELLED = 8

#: The GPU, its driver or its libraries failed.
OMNIID_STATUS_DEVICE = 9

#: The caller was built for another major version of the ABI.
OMNIID_STATUS_ABI_MISMATCH = 10

#: A defect in OmniID. Please report it with its message.
OMNIID_STATUS_INTERNAL = 255

#: A failure.
OMNIID_LOG_LEVEL_ERROR = 1

#: Something was skipped or looks wrong; the call continues.
OMNIID_LOG_LEVEL_WARN = 2

#: Information for users.
OMNIID_LOG_LEVEL_INFO = 3

#: Information for developers of a host.
OMNIID_LOG_LEVEL_DEBUG = 4

#: Everything.
OMNIID_LOG_LEVEL_TRACE = 5

#: Weights are being read. Unit: tensors.
OMNIID_STAGE_LOAD = 0

#: Photos are being decoded and cropped. Unit: photos.
OMNIID_STAGE_PHOTOS = 1

#: Photos are passing through the image encoder. Unit: photos.
OMNIID_STAGE_ENCODE = 2

#: Keys and values are being projected. Unit: host layers.
OMNIID_STAGE_CONDITION = 3

#: A file is being written. Unit: tensors.
OMNIID_STAGE_SAVE = 4

#: The processor's memory; kDLCPU.
OMNIID_DEVICE_TYPE_CPU = 1

#: The memory of an NVIDIA GPU; kDLCUDA.
OMNIID_DEVICE_TYPE_CUDA = 2

#: IEEE floating point, 32 or 16 bits; kDLFloat.
OMNIID_TYPE_CODE_FLOAT = 2

#: bfloat16, 16 bits; kDLBfloat.
OMNIID_TYPE_CODE_BFLOAT = 4

#: As the network gives it (`embedding` of insightface): its length counts.
OMNIID_EMBEDDING_FORM_RAW = 0

#: Divided by its length (`normed_embedding` of insightface).
OMNIID_EMBEDDING_FORM_NORMALISED = 1

#: 32-bit floating point; results equal those of the reference implementations within rounding.
OMNIID_PRECISION_F32 = 0

#: IEEE half precision: half the memory.
OMNIID_PRECISION_F16 = 1

#: bfloat16: half the memory, with the range of f32.
OMNIID_PRECISION_BF16 = 2

#: Bytes: a quarter of the memory, for the weights of an engine on the processor only. The blocks of the image encoder
#: and of the Omni-ID encoder are computed from weights and rows rounded to bytes, with scales for each output and each
#: row; the rest of these encoders is f32, an adapter bf16. Tokens differ from those of f32.
OMNIID_PRECISION_INT8 = 3

#: The native Omni-ID encoder: a fixed number of tokens, however many photos.
OMNIID_ENCODER_OMNI_ID = 0

#: IP-Adapter Plus and Plus-Face: a fixed number of tokens for each photo.
OMNIID_ENCODER_RESAMPLER = 1

#: IP-Adapter full-face: one token per image feature token and photo.
OMNIID_ENCODER_FULL_FACE = 2

#: Base IP-Adapter and XLabs FLUX: a fixed number of tokens for each photo.
OMNIID_ENCODER_PROJECTION = 3

#: IP-Adapter FaceID and FaceID Portrait: a fixed number of tokens for each face embedding.
OMNIID_ENCODER_FACE_ID = 4

#: IP-Adapter FaceID-Plus and PlusV2: a face embedding and the features of the aligned face.
OMNIID_ENCODER_FACE_ID_PLUS = 5

#: InstantID: a fixed number of tokens for each face embedding.
OMNIID_ENCODER_INSTANT_ID = 6

#: IP-Adapter FaceID Portrait (unnorm): the face embeddings of all photos at once.
OMNIID_ENCODER_FACE_ID_PORTRAIT_UNNORM = 7

#: PuLID for SDXL, version 1.
OMNIID_ENCODER_PULID_V1 = 8

#: PuLID for SDXL, version 1.1, and for FLUX: all photos at once.
OMNIID_ENCODER_ID_FORMER = 9

#: InstantX SD3.5, whose tokens depend on the timestep.
OMNIID_ENCODER_TIME_RESAMPLER = 10

#: WithAnyone for FLUX: tokens of a raw face embedding, of SigLIP's last hidden state, and of the embedding again.
OMNIID_ENCODER_WITH_ANYONE = 11

#: InstantX FLUX: a fixed number of tokens for each photo.
OMNIID_ENCODER_INSTANT_X_FLUX = 15

#: 8 bits per channel, 0 to 255.
OMNIID_PIXEL_TYPE_U8 = 0

#: 32-bit floating point per channel, 0 to 1, sRGB-encoded like 8-bit pixels.
OMNIID_PIXEL_TYPE_F32 = 1

#: Red, green, blue.
OMNIID_CHANNEL_ORDER_RGB = 0

#: Red, green, blue, alpha; transparent pixels are laid on middle grey, unless alpha is the same everywhere.
OMNIID_CHANNEL_ORDER_RGBA = 1

#: Blue, green, red.
OMNIID_CHANNEL_ORDER_BGR = 2

#: Blue, green, red, alpha; transparent pixels are laid on middle grey, unless alpha is the same everywhere.
OMNIID_CHANNEL_ORDER_BGRA = 3

#: The largest face that the detector finds.
OMNIID_FACE_HINT_DETECT = 0

#: One of the faces that the detector finds, chosen by its rank in size: face_index. Refused where omniid_encode_options
#: asks for a crop that takes no notice of faces.
OMNIID_FACE_HINT_INDEX = 1

#: The face inside face_box. Needs no detector.
OMNIID_FACE_HINT_BOX = 2

#: The face with the five face_landmarks. Needs no detector.
OMNIID_FACE_HINT_LANDMARKS = 3

#: The model's own crop.
OMNIID_CROP_DEFAULT = 0

#: The whole photo: the image encoder's own preprocessing scales its shorter side and crops the centre.
OMNIID_CROP_NONE = 1

#: The largest square at the centre of the photo.
OMNIID_CROP_CENTER = 2

#: A square around the face, with a margin.
OMNIID_CROP_FACE = 3

#: The face rotated, scaled and shifted so that its landmarks lie on the ArcFace template.
OMNIID_CROP_ALIGNED = 4

#: Leave out a photo that cannot be used, and note it in the report.
OMNIID_BAD_PHOTO_SKIP = 0

#: Fail the call.
OMNIID_BAD_PHOTO_FAIL = 1

#: Use photos that look like somebody else than the others, and note it in the report. In photos with several faces the
#: one is taken that looks like the other photos.
OMNIID_STRANGERS_NOTE = 0

#: Leave out photos that look like somebody else than the others, and say so in the report.
OMNIID_STRANGERS_LEAVE_OUT = 1

#: Do not compare the photos. Of several faces the largest is taken.
OMNIID_STRANGERS_IGNORE = 2

#: The tokens of each photo, one after the other.
OMNIID_COMBINE_CONCATENATE = 0

#: The mean of the photos' features and face embeddings.
OMNIID_COMBINE_AVERAGE = 1

#: The mean, each value divided by its norm over the photos.
OMNIID_COMBINE_NORM_AVERAGE = 2

#: The sum.
OMNIID_COMBINE_ADD = 3

#: The first photo less the mean of the others.
OMNIID_COMBINE_SUBTRACT = 4

#: The largest of each value.
OMNIID_COMBINE_MAX = 5

#: The smallest of each value.
OMNIID_COMBINE_MIN = 6

#: The identity's weight w in every layer.
OMNIID_WEIGHT_TYPE_LINEAR = 0

#: Strong in the early layers.
OMNIID_WEIGHT_TYPE_EASE_IN = 1

#: Strong in the late layers.
OMNIID_WEIGHT_TYPE_EASE_OUT = 2

#: Strong in the middle layers.
OMNIID_WEIGHT_TYPE_EASE_IN_OUT = 3

#: Weak in the middle layers.
OMNIID_WEIGHT_TYPE_REVERSE_IN_OUT = 4

#: 0.2 w in the down-sampling half.
OMNIID_WEIGHT_TYPE_WEAK_INPUT = 5

#: 0.2 w in the up-sampling half.
OMNIID_WEIGHT_TYPE_WEAK_OUTPUT = 6

#: 0.2 w in the middle block.
OMNIID_WEIGHT_TYPE_WEAK_MIDDLE = 7

#: 0.2 w everywhere except in the middle block.
OMNIID_WEIGHT_TYPE_STRONG_MIDDLE = 8

#: Only the style layers. This type and the following ones are for SD1.5 and SDXL.
OMNIID_WEIGHT_TYPE_STYLE_TRANSFER = 9

#: Only the composition layers.
OMNIID_WEIGHT_TYPE_COMPOSITION = 10

#: All layers except the composition layers.
OMNIID_WEIGHT_TYPE_STRONG_STYLE_TRANSFER = 11

#: Style and composition layers, each with a weight of its own.
OMNIID_WEIGHT_TYPE_STYLE_AND_COMPOSITION = 12

#: All layers, the composition layers with a weight of their own.
OMNIID_WEIGHT_TYPE_STRONG_STYLE_AND_COMPOSITION = 13

#: Style layers, with composition pushed away.
OMNIID_WEIGHT_TYPE_STYLE_TRANSFER_PRECISE = 14

#: Composition layers, with style pushed away.
OMNIID_WEIGHT_TYPE_COMPOSITION_PRECISE = 15

#: At every step.
OMNIID_STEP_RANGE_ALWAYS = 0

#: While step_end <= sigma <= step_start; step_start is the larger number.
OMNIID_STEP_RANGE_SIGMA = 1

#: While step_start <= fraction <= step_end, both within 0 to 1.
OMNIID_STEP_RANGE_FRACTION = 2

#: As in the checkpoint's reference code.
OMNIID_UNCONDITIONAL_DEFAULT = 0

#: Nothing is injected into unconditional rows.
OMNIID_UNCONDITIONAL_NONE = 1

#: A zero image embedding through the projection.
OMNIID_UNCONDITIONAL_ZERO_EMBEDDING = 2

#: An image whose values are zero after normalisation.
OMNIID_UNCONDITIONAL_ZERO_PIXELS = 3

#: A black image.
OMNIID_UNCONDITIONAL_BLACK_IMAGE = 4

#: All-zero image features.
OMNIID_UNCONDITIONAL_ZERO_FEATURES = 5

#: All-zero identity tokens.
OMNIID_UNCONDITIONAL_ZERO_TOKENS = 6

#: The model's mean identity, if the checkpoint has one.
OMNIID_UNCONDITIONAL_MEAN_TOKENS = 7

#: The weight multiplies the output of the attention.
OMNIID_EMBEDS_SCALING_VALUES = 0

#: The weight multiplies keys and values.
OMNIID_EMBEDS_SCALING_KEYS_AND_VALUES = 1

#: The weight times inner width / 1280 multiplies keys and values.
OMNIID_EMBEDS_SCALING_KEYS_AND_VALUES_PENALTY = 2

#: The weight times inner width / 1280 multiplies the keys, and of the values only their mean over the tokens.
OMNIID_EMBEDS_SCALING_KEYS_AND_MEAN_VALUES_PENALTY = 3

#: As in ComfyUI: grid from the latent size, bilinear.
OMNIID_MASK_MODE_COMFYUI = 0

#: As in diffusers: grid from the mask's proportions, bicubic.
OMNIID_MASK_MODE_DIFFUSERS = 1

#: The identity's attention is added to the output.
OMNIID_INJECTION_ADD = 0

#: PuLID's ORTHO: without its part that points the way of the output, for each channel over all image tokens.
OMNIID_INJECTION_ORTHOGONAL = 1

#: PuLID's ORTHO_v2: that part is kept where image tokens look at the identity's first five tokens.
OMNIID_INJECTION_ORTHOGONAL_V2 = 2

#: A row that is conditioned on the prompt.
OMNIID_ROLE_CONDITIONAL = 0

#: A row that is not.
OMNIID_ROLE_UNCONDITIONAL = 1

#: `[batch, rows, heads * head_dim]` or `[batch, rows, heads, head_dim]`.
OMNIID_LAYOUT_ROWS_FIRST = 0

#: `[batch, heads, rows, head_dim]`.
OMNIID_LAYOUT_HEADS_FIRST = 1

#: The call's sigma is set.
OMNIID_INJECT_FLAG_SIGMA = 1

#: The call's fraction is set.
OMNIID_INJECT_FLAG_FRACTION = 2

#: The query or hidden state is not searched for values that are not finite. The search costs less than one percent of
#: the attention.
OMNIID_INJECT_FLAG_UNCHECKED = 4

#: The names of kohya's trainer and of ComfyUI: `lora_unet_NAME.lora_down.weight`.
OMNIID_LORA_FORMAT_KOHYA = 0

#: The names of diffusers and PEFT: `unet.NAME.lora_A.weight`.
OMNIID_LORA_FORMAT_DIFFUSERS = 1

#: The graph takes keys and values of every layer.
OMNIID_GRAPH_FORM_KEYS_VALUES = 0

#: The graph has the adapter inside and takes identity tokens.
OMNIID_GRAPH_FORM_TOKENS = 1

#: Keys of a layer, `[rows, heads, tokens, head_dim]`.
OMNIID_GRAPH_INPUT_KEYS = 0

#: Values of a layer, of the same shape.
OMNIID_GRAPH_INPUT_VALUES = 1

#: Identity tokens, `[rows, tokens, width]`.
OMNIID_GRAPH_INPUT_TOKENS = 2

#: A factor for each layer of the manifest, `[layers]`, f32.
OMNIID_GRAPH_INPUT_SCALE = 3

#: A mask for each person, `[rows, people, height, width]`.
OMNIID_GRAPH_INPUT_MASK = 4


#: Receives log messages, on the threads on which they arise, possibly several at once.
#:
#: `target` names the part of the library. Both strings are UTF-8 and valid during the call only. The callback must not
#: unwind. Messages that arise inside it are dropped.
omniid_log_fn = ctypes.CFUNCTYPE(None, c_void_p, c_int32, c_char_p, c_char_p)


#: Is told that `done` of `total` units of a stage, `OMNIID_STAGE_...`, are finished.
#:
#: Called on the thread of the long call, with the `user_data` given beside it. Return 0 to continue; any other value
#: cancels the call, which then fails with `OMNIID_STATUS_CANCELLED`. Must not unwind: no exceptions, no longjmp.
omniid_progress_fn = ctypes.CFUNCTYPE(c_int32, c_void_p, c_int32, c_uint64, c_uint64)


class omniid_tensor_device(ctypes.Structure):
    """Where a tensor's memory is; DLDevice."""

    #: OMNIID_DEVICE_TYPE_CPU or OMNIID_DEVICE_TYPE_CUDA.
    device_type: int
    #: Ordinal of the device; 0 for the CPU.
    device_id: int

    _fields_ = [
        ("device_type", c_int32),
        ("device_id", c_int32),
    ]


class omniid_tensor_type(ctypes.Structure):
    """A number type; DLDataType."""

    #: OMNIID_TYPE_CODE_FLOAT or OMNIID_TYPE_CODE_BFLOAT.
    code: int
    #: Bits of a number: 32 or 16.
    bits: int
    #: 1.
    lanes: int

    _fields_ = [
        ("code", c_uint8),
        ("bits", c_uint8),
        ("lanes", c_uint16),
    ]


class omniid_tensor_version(ctypes.Structure):
    """A version of DLPack; DLPackVersion."""

    #: 1; layouts of different major versions differ.
    major: int
    #: Grows when something is added.
    minor: int

    _fields_ = [
        ("major", c_uint32),
        ("minor", c_uint32),
    ]


class omniid_tensor(ctypes.Structure):
    """A tensor in memory that it does not own; DLTensor."""

    #: Start of the memory, on the device.
    data: int | None
    #: Where the memory is.
    device: omniid_tensor_device
    #: Number of dimensions.
    ndim: int
    #: Type of the numbers.
    dtype: omniid_tensor_type
    #: Sizes, ndim of them.
    shape: ctypes._Pointer[c_int64] | ctypes.Array[c_int64] | None
    #: Distance between neighbours in each dimension, in numbers; NULL for row-major without gaps.
    strides: ctypes._Pointer[c_int64] | ctypes.Array[c_int64] | None
    #: Where the first number is, in bytes from data.
    byte_offset: int

    _fields_ = [
        ("data", c_void_p),
        ("device", omniid_tensor_device),
        ("ndim", c_int32),
        ("dtype", omniid_tensor_type),
        ("shape", POINTER(c_int64)),
        ("strides", POINTER(c_int64)),
        ("byte_offset", c_uint64),
    ]


class omniid_managed_tensor(ctypes.Structure):
    """A tensor that its holder frees with the deleter; DLManagedTensorVersioned."""

    #: Version of this struct's layout; to be checked before anything else is read.
    version: omniid_tensor_version
    #: Private to the producer.
    manager_ctx: int | None
    #: Frees the tensor; may be called from any thread.
    deleter: int | None
    #: Bit 0: read only.
    flags: int
    #: The tensor itself.
    dl_tensor: omniid_tensor

    _fields_ = [
        ("version", omniid_tensor_version),
        ("manager_ctx", c_void_p),
        ("deleter", c_void_p),
        ("flags", c_uint64),
        ("dl_tensor", omniid_tensor),
    ]


class omniid_host_layer(ctypes.Structure):
    """One attention layer of a host."""

    #: Set by OMNIID_HOST_LAYER_INIT.
    struct_size: int
    #: Number of attention heads.
    heads: int
    #: Width of one head.
    head_dim: int
    #: Width of the tokens that keys and values are projected from: 768 in SD1.5, 2048 in SDXL, 4096 in FLUX.
    context: int
    #: The host's own name of the layer; must be unique.
    name: bytes | None
    #: Width of the image's hidden state, for a layer that adds to the residual stream (omniid_inject_residual); 0 for a
    #: layer inside an attention (omniid_inject), and in a table that is handed in also for a width that the checkpoint
    #: says.
    hidden: int
    #: Leave at 0.
    reserved: int

    _fields_ = [
        ("struct_size", c_uint32),
        ("heads", c_uint32),
        ("head_dim", c_uint32),
        ("context", c_uint32),
        ("name", c_char_p),
        ("hidden", c_uint32),
        ("reserved", c_uint32),
    ]

    @classmethod
    def new(cls) -> omniid_host_layer:
        """The values of OMNIID_HOST_LAYER_INIT."""
        value = cls()
        value.struct_size = ctypes.sizeof(cls)
        return value


class omniid_engine(ctypes.Structure):
    """An opened identity model. Immutable; may be used from any number of threads at once."""


class omniid_engine_options(ctypes.Structure):
    """Options of `omniid_engine_open`, with the defaults that OMNIID_ENGINE_OPTIONS_INIT sets."""

    #: Set by OMNIID_ENGINE_OPTIONS_INIT.
    struct_size: int
    #: The ABI version that the caller was built for; 0 is refused. OMNIID_ENGINE_OPTIONS_INIT sets OMNIID_ABI_VERSION.
    abi_version: int
    #: The identity model: a native Omni-ID checkpoint or a published adapter (IP-Adapter and its FaceID family,
    #: InstantID, PuLID, InstantX, XLabs, WithAnyone), safetensors or PyTorch, or a folder with one. Recognised by its
    #: content. Files are read, never mapped into memory: one that is cut, emptied or written to while it is read is the
    #: error OMNIID_STATUS_IO, no signal. The weights of its adapter are read at the first omniid_conditioning_create,
    #: which fails with OMNIID_STATUS_IO if the file was written to or cut since it was opened; one that was replaced by
    #: renaming, or deleted, goes on being used. Not noticed is a writer that puts back the file's time of change.
    #: Default, when checkpoint_data is NULL too: the small model inside the library, with its own face detector; the
    #: call fails with OMNIID_STATUS_UNSUPPORTED when the library was built without it.
    checkpoint_path: bytes | None
    #: The bytes of that file, instead of its path; copied.
    checkpoint_data: int | None
    #: Bytes of checkpoint_data.
    checkpoint_size: int
    #: The image encoder that a published adapter needs, a vision model of CLIP, SigLIP, DINOv2 or EVA02-CLIP; refused
    #: for a native checkpoint, which contains its own, and for adapters that read none. A file, an index of shards
    #: (….index.json), or a folder as Hugging Face lays it out.
    image_encoder_path: bytes | None
    #: The bytes of that file, instead of its path; copied.
    image_encoder_data: int | None
    #: Bytes of image_encoder_data.
    image_encoder_size: int
    #: The contents of the image encoder's config.json. Default: the file of that name beside image_encoder_path, or the
    #: configuration of a published model of the same shape.
    image_encoder_config: bytes | None
    #: The face detector: YuNet's weights, safetensors or the upstream ONNX file, or a native checkpoint that holds a
    #: detector. Default: the one in a native checkpoint, else the one inside the library.
    detector_path: bytes | None
    #: The bytes of that file, instead of its path; copied.
    detector_data: int | None
    #: Bytes of detector_data.
    detector_size: int
    #: "sd15", "sdxl", "flux", "flux_all", "pulid_flux", "with_anyone" or "sd35_large"; with host_layers, any name for
    #: the host's own table. Default: the host that the checkpoint is for.
    host: bytes | None
    #: The host's own layer table, in the order of the adapter in the checkpoint. Default: the host's built-in one.
    host_layers: ctypes._Pointer[omniid_host_layer] | ctypes.Array[omniid_host_layer] | None
    #: Number of host_layers.
    host_layer_count: int
    #: OMNIID_DEVICE_TYPE_CPU or OMNIID_DEVICE_TYPE_CUDA. Default: CPU.
    device_type: int
    #: Ordinal of the GPU; 0 on the CPU.
    device_id: int
    #: Number type of the weights, OMNIID_PRECISION_... Default: f32. Int8 is refused for a GPU.
    precision: int
    #: 1: load the image encoder when it is first needed instead of now: for programs that work with stored identities,
    #: or run the same image encoder themselves and call omniid_identity_from_features. Its file must not change while
    #: the engine lives. Default: 0.
    defer_image_encoder: int
    #: Maximum number of pixels of a photo. Default: 100 million.
    max_pixels: int
    #: Maximum number of bytes that decoding a photo may take. Default: 1 GiB.
    max_decoded_bytes: int
    #: Maximum number of bytes of an encoded photo. Default: 256 MiB.
    max_photo_bytes: int
    #: Maximum number of bytes of a checkpoint's header. Default: 100 MB.
    max_header_bytes: int
    #: Maximum number of photos of an identity. Default: 4096.
    max_photos: int
    #: Is told about progress and can cancel the call. Default: none.
    progress: CFuncPtr
    #: Passed to progress; not looked at without one.
    progress_user_data: int | None
    #: The face recognition network: insightface's w600k_r50.onnx or glintr100.onnx, AuraFace, OpenCV's SFace,
    #: facexlib's IR-SE50, as ONNX, PyTorch file or safetensors. Models of the FaceID family, InstantID and PuLID make
    #: their tokens from its embeddings and refuse another network than the one they were trained with; for any other
    #: model it serves omniid_likeness_of. Default: the one in a native checkpoint; else photos must bring embeddings.
    face_recogniser_path: bytes | None
    #: The bytes of that file, instead of its path; copied.
    face_recogniser_data: int | None
    #: Bytes of face_recogniser_data.
    face_recogniser_size: int
    #: The face parsing network that makes the grey background of PuLID's crop: facexlib's parsing_bisenet. Refused for
    #: other models. Default: the plain crop.
    face_parser_path: bytes | None
    #: The bytes of that file, instead of its path; copied.
    face_parser_data: int | None
    #: Bytes of face_parser_data.
    face_parser_size: int
    #: Which published model the checkpoint is, where two have the same tensors: "faceid-plus" or "faceid-plus-v2",
    #: "instantid" or "faceid-portrait-unnorm". Another name than that of the tensors is refused. Default:
    #: "faceid-plus-v2"; "instantid", unless the face recogniser is an IResNet-50.
    variant: bytes | None

    _fields_ = [
        ("struct_size", c_uint32),
        ("abi_version", c_uint32),
        ("checkpoint_path", c_char_p),
        ("checkpoint_data", c_void_p),
        ("checkpoint_size", c_size_t),
        ("image_encoder_path", c_char_p),
        ("image_encoder_data", c_void_p),
        ("image_encoder_size", c_size_t),
        ("image_encoder_config", c_char_p),
        ("detector_path", c_char_p),
        ("detector_data", c_void_p),
        ("detector_size", c_size_t),
        ("host", c_char_p),
        ("host_layers", POINTER(omniid_host_layer)),
        ("host_layer_count", c_size_t),
        ("device_type", c_int32),
        ("device_id", c_int32),
        ("precision", c_int32),
        ("defer_image_encoder", c_int32),
        ("max_pixels", c_uint64),
        ("max_decoded_bytes", c_uint64),
        ("max_photo_bytes", c_uint64),
        ("max_header_bytes", c_uint64),
        ("max_photos", c_uint64),
        ("progress", omniid_progress_fn),
        ("progress_user_data", c_void_p),
        ("face_recogniser_path", c_char_p),
        ("face_recogniser_data", c_void_p),
        ("face_recogniser_size", c_size_t),
        ("face_parser_path", c_char_p),
        ("face_parser_data", c_void_p),
        ("face_parser_size", c_size_t),
        ("variant", c_char_p),
    ]

    @classmethod
    def new(cls) -> omniid_engine_options:
        """The values of OMNIID_ENGINE_OPTIONS_INIT."""
        value = cls()
        value.struct_size = ctypes.sizeof(cls)
        value.abi_version = OMNIID_ABI_VERSION
        return value


class omniid_engine_info(ctypes.Structure):
    """Description of an engine. Its strings live as long as the engine."""

    #: Set by OMNIID_ENGINE_INFO_INIT.
    struct_size: int
    #: Kind of the identity encoder, OMNIID_ENCODER_...
    encoder: int
    #: Human-readable name of the model; may be empty.
    name: bytes | None
    #: Fingerprint of the model, which its identities carry.
    fingerprint: bytes | None
    #: Name of the host; NULL if the host is not known.
    host: bytes | None
    #: Number of layers of the host; 0 if the host is not known.
    host_layer_count: int
    #: Number of identity tokens: per identity for Omni-ID, per photo otherwise.
    tokens: int
    #: Width of an identity token.
    token_width: int
    #: Side of the image encoder's square input in pixels.
    image_size: int
    #: 1 if faces can be detected: by the engine's own detector or by the one inside the library.
    has_detector: int
    #: 1 if the checkpoint holds an adapter, so that omniid_conditioning_create works.
    has_adapter: int
    #: Device of the engine, OMNIID_DEVICE_TYPE_...
    device_type: int
    #: Ordinal of the GPU; 0 on the CPU.
    device_id: int
    #: Number type of the weights, OMNIID_PRECISION_...
    precision: int
    #: 1 if the model reads an image encoder; 0 for models that read face embeddings only, whose image_size is 0.
    has_image_encoder: int
    #: 1 if the checkpoint holds a LoRA, which is part of the model: the host has to apply it at strength 1. See
    #: omniid_engine_save_lora.
    has_lora: int
    #: Number of values of the face embedding that the model reads; 0 if it reads none.
    face_dimension: int
    #: The form of that embedding, OMNIID_EMBEDDING_FORM_...; a raw one always serves.
    face_form: int
    #: 1 if the engine has a face recogniser.
    has_face_recogniser: int
    #: The face recognition network that the model was trained with; NULL if it reads no face embedding.
    face_network: bytes | None
    #: The engine's face recogniser; NULL if there is none.
    face_recogniser: bytes | None
    #: What the authors of the face recogniser state about its use, or "unknown"; NULL if there is none.
    face_recogniser_licence: bytes | None

    _fields_ = [
        ("struct_size", c_uint32),
        ("encoder", c_int32),
        ("name", c_char_p),
        ("fingerprint", c_char_p),
        ("host", c_char_p),
        ("host_layer_count", c_uint64),
        ("tokens", c_uint64),
        ("token_width", c_uint64),
        ("image_size", c_uint32),
        ("has_detector", c_int32),
        ("has_adapter", c_int32),
        ("device_type", c_int32),
        ("device_id", c_int32),
        ("precision", c_int32),
        ("has_image_encoder", c_int32),
        ("has_lora", c_int32),
        ("face_dimension", c_uint64),
        ("face_form", c_int32),
        ("has_face_recogniser", c_int32),
        ("face_network", c_char_p),
        ("face_recogniser", c_char_p),
        ("face_recogniser_licence", c_char_p),
    ]

    @classmethod
    def new(cls) -> omniid_engine_info:
        """The values of OMNIID_ENGINE_INFO_INIT."""
        value = cls()
        value.struct_size = ctypes.sizeof(cls)
        return value


class omniid_photo(ctypes.Structure):
    """One photo of a person. At most one of path, data and pixels may be set, and none only with an embedding.

    Face fields that do not belong to `face_hint` are refused. What describes pixels is not looked at without
    them.
    """

    #: Set by OMNIID_PHOTO_INIT.
    struct_size: int
    #: Which face is the person's, OMNIID_FACE_HINT_... Default: the largest that the detector finds.
    face_hint: int
    #: A JPEG, PNG, WebP, BMP or TIFF file.
    path: bytes | None
    #: The bytes of such a file.
    data: int | None
    #: Number of bytes of data.
    data_size: int
    #: Raw pixels: interleaved channels, rows from top to bottom. f32 pixels must be aligned to 4 bytes.
    pixels: int | None
    #: Bytes from one row of pixels to the next. Default: rows without gaps.
    row_stride: int
    #: Width of pixels.
    width: int
    #: Height of pixels.
    height: int
    #: Type of a channel, OMNIID_PIXEL_TYPE_...
    pixel_type: int
    #: Order of the channels, OMNIID_CHANNEL_ORDER_...
    channel_order: int
    #: With OMNIID_FACE_HINT_BOX: left, top, right, bottom in pixels of the upright photo.
    face_box: ctypes.Array[c_float]
    #: With OMNIID_FACE_HINT_LANDMARKS: x and y of the eye at the image's left, the eye at its right, the nose tip, the
    #: mouth corner at its left and the one at its right, in pixels of the upright photo.
    face_landmarks: ctypes.Array[c_float]
    #: With OMNIID_FACE_HINT_INDEX: rank of the face in size; 0 is the largest.
    face_index: int
    #: Leave at 0.
    reserved: int
    #: What to call the photo in messages and reports. Default, and if it is empty: its path, or "photo in memory".
    name: bytes | None
    #: The embedding of the person's face, if the host has it: embedding_size values. Models that read face embeddings
    #: take this one and run no recognition network on the photo; those that read nothing else need no picture. Refused
    #: for models and engines that compare no faces.
    embedding: ctypes._Pointer[c_float] | ctypes.Array[c_float] | None
    #: Number of values of the embedding.
    embedding_size: int
    #: The network that made the embedding: its file's name without ending ("w600k_r50", "glintr100"), the pack that it
    #: comes in ("buffalo_l", "antelopev2"), "sface", "ir_se50", or the text that this library gives. Needed with an
    #: embedding.
    embedding_network: bytes | None
    #: The form of the embedding, OMNIID_EMBEDDING_FORM_... Default: raw, as the network gives it.
    embedding_form: int
    #: Leave at 0.
    reserved_embedding: int
    #: Which pixels of the upright photo are the person's face, hair included, if the host has found out:
    #: face_mask_height rows of face_mask_width values from 0 to 1; from 0.5 on it is the face. PuLID takes this instead
    #: of a face parser and sees the other pixels white. Refused for other models, and with a crop other than theirs.
    face_mask: ctypes._Pointer[c_float] | ctypes.Array[c_float] | None
    #: Number of rows of face_mask: the height of the upright photo.
    face_mask_height: int
    #: Number of columns of face_mask: the width of the upright photo.
    face_mask_width: int

    _fields_ = [
        ("struct_size", c_uint32),
        ("face_hint", c_int32),
        ("path", c_char_p),
        ("data", c_void_p),
        ("data_size", c_size_t),
        ("pixels", c_void_p),
        ("row_stride", c_size_t),
        ("width", c_uint32),
        ("height", c_uint32),
        ("pixel_type", c_int32),
        ("channel_order", c_int32),
        ("face_box", c_float * 4),
        ("face_landmarks", c_float * 10),
        ("face_index", c_uint32),
        ("reserved", c_uint32),
        ("name", c_char_p),
        ("embedding", POINTER(c_float)),
        ("embedding_size", c_size_t),
        ("embedding_network", c_char_p),
        ("embedding_form", c_int32),
        ("reserved_embedding", c_uint32),
        ("face_mask", POINTER(c_float)),
        ("face_mask_height", c_uint32),
        ("face_mask_width", c_uint32),
    ]

    @classmethod
    def new(cls) -> omniid_photo:
        """The values of OMNIID_PHOTO_INIT."""
        value = cls()
        value.struct_size = ctypes.sizeof(cls)
        return value


class omniid_detect_options(ctypes.Structure):
    """Options of face detection, with the defaults that OMNIID_DETECT_OPTIONS_INIT sets."""

    #: Set by OMNIID_DETECT_OPTIONS_INIT.
    struct_size: int
    #: Minimum confidence of a face, above 0 up to 1. Default: the detector's own.
    score_threshold: float
    #: Boxes that overlap more than this (intersection over union, above 0 up to 1) are one face. Default: the
    #: detector's own.
    overlap_threshold: float
    #: Longer side in pixels to which larger photos are scaled down for the first search. Default: 640.
    side: int
    #: Longer side for the second search, which finds faces that are too small in the first. Default: 1920.
    fine_side: int
    #: 1: do the second search even if the first has found faces. Default: 0.
    exhaustive: int
    #: 1: take the photo as upright. Otherwise it is compared with itself turned by 90, 180 and 270 degrees, unless it
    #: is upright beyond doubt. Default: 0.
    upright_only: int
    #: Leave at 0.
    reserved: int

    _fields_ = [
        ("struct_size", c_uint32),
        ("score_threshold", c_float),
        ("overlap_threshold", c_float),
        ("side", c_uint32),
        ("fine_side", c_uint32),
        ("exhaustive", c_int32),
        ("upright_only", c_int32),
        ("reserved", c_uint32),
    ]

    @classmethod
    def new(cls) -> omniid_detect_options:
        """The values of OMNIID_DETECT_OPTIONS_INIT."""
        value = cls()
        value.struct_size = ctypes.sizeof(cls)
        return value


class omniid_face(ctypes.Structure):
    """A face in a photo, in pixels of the upright photo."""

    #: Set by OMNIID_FACE_INIT.
    struct_size: int
    #: Confidence, 0 to 1; 1 for a face that the host has given.
    score: float
    #: Left, top, right, bottom.
    bounds: ctypes.Array[c_float]
    #: x and y of the eye at the image's left, the eye at its right, the nose tip, the mouth corner at its left and the
    #: one at its right.
    landmarks: ctypes.Array[c_float]

    _fields_ = [
        ("struct_size", c_uint32),
        ("score", c_float),
        ("bounds", c_float * 4),
        ("landmarks", c_float * 10),
    ]

    @classmethod
    def new(cls) -> omniid_face:
        """The values of OMNIID_FACE_INIT."""
        value = cls()
        value.struct_size = ctypes.sizeof(cls)
        return value


class omniid_identity(ctypes.Structure):
    """The identity tokens of one person. Immutable; may be used from any number of threads at once."""


class omniid_identity_info(ctypes.Structure):
    """Description of an identity. Its strings live as long as the identity."""

    #: Set by OMNIID_IDENTITY_INFO_INIT.
    struct_size: int
    #: Kind of the encoder that made it, OMNIID_ENCODER_...
    encoder: int
    #: Number of tokens.
    tokens: int
    #: Width of a token.
    token_width: int
    #: Number of photos that it was made from.
    photos: int
    #: Number of photos whose features are kept, so that an Omni-ID identity can be extended: all or none.
    features: int
    #: Fingerprint of the model that made it.
    model: bytes | None
    #: Human-readable label; may be empty.
    label: bytes | None
    #: Time of creation: UTC, RFC 3339.
    created: bytes | None
    #: Note on what the person has consented to; may be empty.
    consent: bytes | None
    #: Number of photos whose face embeddings are kept, for omniid_likeness_of and for extending; see
    #: omniid_identity_embedding.
    embeddings: int
    #: How the photos were combined, OMNIID_COMBINE_...
    combine: int
    #: The shortcut scale of FaceID-PlusV2 that it was made with; 1 for other models.
    shortcut_scale: float

    _fields_ = [
        ("struct_size", c_uint32),
        ("encoder", c_int32),
        ("tokens", c_uint64),
        ("token_width", c_uint64),
        ("photos", c_uint64),
        ("features", c_uint64),
        ("model", c_char_p),
        ("label", c_char_p),
        ("created", c_char_p),
        ("consent", c_char_p),
        ("embeddings", c_uint64),
        ("combine", c_int32),
        ("shortcut_scale", c_float),
    ]

    @classmethod
    def new(cls) -> omniid_identity_info:
        """The values of OMNIID_IDENTITY_INFO_INIT."""
        value = cls()
        value.struct_size = ctypes.sizeof(cls)
        return value


class omniid_report(ctypes.Structure):
    """What became of each photo of a call. Immutable; may be used from any number of threads at once."""


class omniid_encode_options(ctypes.Structure):
    """Options of encoding, with the defaults that OMNIID_ENCODE_OPTIONS_INIT sets."""

    #: Set by OMNIID_ENCODE_OPTIONS_INIT.
    struct_size: int
    #: How photos are cropped, OMNIID_CROP_... Default: the model's own crop.
    crop: int
    #: With OMNIID_CROP_FACE: margin on each side as a fraction of the face's longer side, 0 to 4; 0 is no margin, a
    #: negative number the library's default, 0.5. With another crop, a margin above 0 is refused.
    #: OMNIID_ENCODE_OPTIONS_INIT sets -1.0f.
    crop_margin: float
    #: With OMNIID_CROP_ALIGNED: scale of the template; 0.5 shows twice as much around the face. With another crop, only
    #: the default is accepted. Default: 1, the template as published.
    crop_scale: float
    #: Number of photos that pass through the image encoder together. Default: 4.
    batch_size: int
    #: What to do with a photo that cannot be used, OMNIID_BAD_PHOTO_... Default: leave it out.
    bad_photo: int
    #: 1: do not keep the photos' features. The identity is smaller, but an Omni-ID identity cannot be extended then.
    #: Default: 0.
    drop_features: int
    #: What to do with photos that look like somebody else than the others, OMNIID_STRANGERS_... Default: note it.
    strangers: int
    #: Human-readable label, stored with the identity. NULL and an empty text are the default: none; when extending, the
    #: identity's own (omniid_identity_with_notes takes a label away).
    label: bytes | None
    #: Note on what the person has consented to, stored with the identity. Default: as for label.
    consent: bytes | None
    #: Receives a report on each photo, to be freed with omniid_report_free. A failed call sets it to NULL; its message
    #: says what was wrong with the photos. Default: no report.
    report: ctypes._Pointer[ctypes._Pointer[omniid_report]] | None
    #: Is told about progress and can cancel the call. Default: none.
    progress: CFuncPtr
    #: Passed to progress; not looked at without one.
    progress_user_data: int | None
    #: How several photos are combined before the identity encoder, OMNIID_COMBINE_... When extending, the default is
    #: what the identity was made with, and something else is refused. Default: the tokens of each photo one after the
    #: other.
    combine: int
    #: 1: shortcut_scale counts. Default: 0, the model's own scale of 1.
    has_shortcut_scale: int
    #: Weight of the image features of FaceID-PlusV2 beside the face embedding (s_scale, weight_faceidv2). Another value
    #: than 1 is refused for models without a shortcut.
    shortcut_scale: float
    #: Leave at 0.
    reserved: int

    _fields_ = [
        ("struct_size", c_uint32),
        ("crop", c_int32),
        ("crop_margin", c_float),
        ("crop_scale", c_float),
        ("batch_size", c_uint32),
        ("bad_photo", c_int32),
        ("drop_features", c_int32),
        ("strangers", c_int32),
        ("label", c_char_p),
        ("consent", c_char_p),
        ("report", POINTER(POINTER(omniid_report))),
        ("progress", omniid_progress_fn),
        ("progress_user_data", c_void_p),
        ("combine", c_int32),
        ("has_shortcut_scale", c_int32),
        ("shortcut_scale", c_float),
        ("reserved", c_uint32),
    ]

    @classmethod
    def new(cls) -> omniid_encode_options:
        """The values of OMNIID_ENCODE_OPTIONS_INIT."""
        value = cls()
        value.struct_size = ctypes.sizeof(cls)
        value.crop_margin = -1.0
        return value


class omniid_photo_report(ctypes.Structure):
    """What became of one photo. Its strings live as long as the report."""

    #: Set by OMNIID_PHOTO_REPORT_INIT.
    struct_size: int
    #: OMNIID_STATUS_OK if the photo went into the identity; otherwise why it was left out.
    status: int
    #: The photo's path, or a description of a photo in memory.
    name: bytes | None
    #: Why the photo was left out, or remarks on one that was used, joined by semicolons, such as that it was cropped in
    #: another way than asked for. May be empty.
    reason: bytes | None
    #: 1 if the photo was cropped around face_bounds.
    has_bounds: int
    #: 1 if face_score and face_landmarks are set: the detector has found the face, or its landmarks were given.
    has_landmarks: int
    #: Left, top, right, bottom in pixels of the upright photo.
    face_bounds: ctypes.Array[c_float]
    #: Landmarks of the face, as in omniid_face.
    face_landmarks: ctypes.Array[c_float]
    #: Confidence of the face.
    face_score: float
    #: 0.
    reserved: int
    #: Degrees clockwise by which the photo had to be turned for the face to be upright: 0, 90, 180 or 270.
    rotation: int
    #: How alike the photo is to the others that were given, or of the identity that is extended, -1 to 1. NaN: there
    #: was nothing to compare it with.
    similarity: float

    _fields_ = [
        ("struct_size", c_uint32),
        ("status", c_int32),
        ("name", c_char_p),
        ("reason", c_char_p),
        ("has_bounds", c_int32),
        ("has_landmarks", c_int32),
        ("face_bounds", c_float * 4),
        ("face_landmarks", c_float * 10),
        ("face_score", c_float),
        ("reserved", c_uint32),
        ("rotation", c_int32),
        ("similarity", c_float),
    ]

    @classmethod
    def new(cls) -> omniid_photo_report:
        """The values of OMNIID_PHOTO_REPORT_INIT."""
        value = cls()
        value.struct_size = ctypes.sizeof(cls)
        return value


class omniid_conditioning(ctypes.Structure):
    """Keys and values of identities for every layer of a host. Immutable; may be used from any number of threads at
    once.
    """


class omniid_conditioning_input(ctypes.Structure):
    """One identity to condition on, with the defaults that OMNIID_CONDITIONING_INPUT_INIT sets."""

    #: Set by OMNIID_CONDITIONING_INPUT_INIT.
    struct_size: int
    #: Weight of the identity; 0 switches it off. OMNIID_CONDITIONING_INPUT_INIT sets 1.0f.
    scale: float
    #: The identity.
    identity: ctypes._Pointer[omniid_identity] | ctypes.Array[omniid_identity] | None
    #: Where in the picture the identity acts: mask_height rows of mask_width values from 0 to 1, copied. Default:
    #: everywhere.
    mask: ctypes._Pointer[c_float] | ctypes.Array[c_float] | None
    #: Number of rows of the mask.
    mask_height: int
    #: Number of columns of the mask.
    mask_width: int
    #: How the range of sampling steps is given in which the identity acts, OMNIID_STEP_RANGE_... Default: always.
    step_range: int
    #: What unconditional rows attend to instead of the identity, OMNIID_UNCONDITIONAL_... Default: as in the
    #: checkpoint's reference code.
    unconditional: int
    #: First sigma or fraction of the range.
    step_start: float
    #: Last sigma or fraction of the range.
    step_end: float
    #: An identity that unconditional rows attend to instead; overrides `unconditional`. Default: none.
    negative: ctypes._Pointer[omniid_identity] | ctypes.Array[omniid_identity] | None
    #: Another identity for the composition layers of the weight types "style and composition". Default: the same one.
    composition: ctypes._Pointer[omniid_identity] | ctypes.Array[omniid_identity] | None

    _fields_ = [
        ("struct_size", c_uint32),
        ("scale", c_float),
        ("identity", POINTER(omniid_identity)),
        ("mask", POINTER(c_float)),
        ("mask_height", c_uint32),
        ("mask_width", c_uint32),
        ("step_range", c_int32),
        ("unconditional", c_int32),
        ("step_start", c_double),
        ("step_end", c_double),
        ("negative", POINTER(omniid_identity)),
        ("composition", POINTER(omniid_identity)),
    ]

    @classmethod
    def new(cls) -> omniid_conditioning_input:
        """The values of OMNIID_CONDITIONING_INPUT_INIT."""
        value = cls()
        value.struct_size = ctypes.sizeof(cls)
        value.scale = 1.0
        return value


class omniid_conditioning_options(ctypes.Structure):
    """Options of a conditioning, for all its identities, with the defaults that OMNIID_CONDITIONING_OPTIONS_INIT
    sets.
    """

    #: Set by OMNIID_CONDITIONING_OPTIONS_INIT.
    struct_size: int
    #: How an identity's weight is spread over the layers, OMNIID_WEIGHT_TYPE_... Default: linear.
    weight_type: int
    #: A further factor for each layer of the host, in the order of its table. Default: 1 everywhere.
    layer_scales: ctypes._Pointer[c_float] | ctypes.Array[c_float] | None
    #: Number of layer_scales: 0 or the number of layers.
    layer_scale_count: int
    #: How the weight acts on keys and values, OMNIID_EMBEDS_SCALING_... Default: it multiplies the output.
    embeds_scaling: int
    #: Whose rules for placing masks are followed, OMNIID_MASK_MODE_..., for identities that have one. Default:
    #: ComfyUI's.
    mask_mode: int
    #: Number type of the stored keys and values, OMNIID_PRECISION_... but int8. Default: f32.
    precision: int
    #: Leave at 0.
    reserved: int
    #: Weight of the composition layers of the weight types "style and composition". Default: the identity's scale.
    composition_scale: ctypes._Pointer[c_float] | ctypes.Array[c_float] | None
    #: Weight of the swapped layers of "style transfer precise". Default: the identity's scale.
    style_boost: ctypes._Pointer[c_float] | ctypes.Array[c_float] | None
    #: Weight of the swapped layers of "composition precise". Default: the identity's scale.
    composition_boost: ctypes._Pointer[c_float] | ctypes.Array[c_float] | None
    #: Is told about progress and can cancel the call. Default: none.
    progress: CFuncPtr
    #: Passed to progress; not looked at without one.
    progress_user_data: int | None
    #: Number of further tokens with zero keys and values that take part in each softmax, at most 65536. They need no
    #: memory. PuLID: 8 for fidelity, with OMNIID_INJECTION_ORTHOGONAL_V2; 16 for style, with
    #: OMNIID_INJECTION_ORTHOGONAL; 0 for neutral, with OMNIID_INJECTION_ADD. Default: 0.
    zero_tokens: int
    #: How an identity's attention joins the layer's output, OMNIID_INJECTION_... Default: it is added.
    injection: int
    #: 1: the values of InstantX's FLUX adapter are normalised like its keys, as some ComfyUI nodes do and the authors'
    #: code does not. Other adapters refuse it. Default: 0.
    normalise_values: int
    #: Share of the second token set of adapters that have two (WithAnyone), 0 to 1; the first one has the rest. Others
    #: do not look at it. Default: both count in full.
    siglip_weight: ctypes._Pointer[c_float] | ctypes.Array[c_float] | None
    #: For adapters whose keys and values depend on the denoising timestep (SD3.5), the timesteps, 0 to 1000, to compute
    #: them for: that of the step, or all of the schedule. An injection takes those of the call's sigma, a thousandth of
    #: the timestep. Other adapters refuse them. Default: none.
    timesteps: ctypes._Pointer[c_float] | ctypes.Array[c_float] | None
    #: Number of timesteps, at most 1000.
    timestep_count: int

    _fields_ = [
        ("struct_size", c_uint32),
        ("weight_type", c_int32),
        ("layer_scales", POINTER(c_float)),
        ("layer_scale_count", c_size_t),
        ("embeds_scaling", c_int32),
        ("mask_mode", c_int32),
        ("precision", c_int32),
        ("reserved", c_uint32),
        ("composition_scale", POINTER(c_float)),
        ("style_boost", POINTER(c_float)),
        ("composition_boost", POINTER(c_float)),
        ("progress", omniid_progress_fn),
        ("progress_user_data", c_void_p),
        ("zero_tokens", c_size_t),
        ("injection", c_int32),
        ("normalise_values", c_int32),
        ("siglip_weight", POINTER(c_float)),
        ("timesteps", POINTER(c_float)),
        ("timestep_count", c_size_t),
    ]

    @classmethod
    def new(cls) -> omniid_conditioning_options:
        """The values of OMNIID_CONDITIONING_OPTIONS_INIT."""
        value = cls()
        value.struct_size = ctypes.sizeof(cls)
        return value


class omniid_inject_call(ctypes.Structure):
    """One attention layer at one step, with the defaults that OMNIID_INJECT_CALL_INIT sets."""

    #: Set by OMNIID_INJECT_CALL_INIT.
    struct_size: int
    #: Multiplies every identity's weight; 0 leaves the output as it is. OMNIID_INJECT_CALL_INIT sets 1.0f.
    scale: float
    #: Index of the layer in the host's table.
    layer: int
    #: The layer's queries: f32, f16 or bf16, with any strides that are not negative.
    query: ctypes._Pointer[omniid_tensor] | ctypes.Array[omniid_tensor] | None
    #: What the identities' attention is added to. It has the shape, number type and device of the query and must not
    #: overlap it. In a UNet: the layer's text attention, before its output projection. In FLUX with XLabs' adapter: the
    #: image stream behind the block, after its MLP was added; the query is that of the image, after the block's
    #: normalisation and before RoPE. With InstantX's adapter for FLUX: the attention, before its output projection.
    output: ctypes._Pointer[omniid_tensor] | ctypes.Array[omniid_tensor] | None
    #: Order of the dimensions of query and output, OMNIID_LAYOUT_... Default: rows first.
    layout: int
    #: Sum of OMNIID_INJECT_FLAG_... Default: none.
    flags: int
    #: The side of guidance of each batch row, OMNIID_ROLE_..., in any order. Default: all rows are conditional.
    roles: ctypes._Pointer[c_int32] | ctypes.Array[c_int32] | None
    #: Number of roles: 0, the batch size, or 1 for one role of all rows.
    role_count: int
    #: Noise level of the step; not looked at without OMNIID_INJECT_FLAG_SIGMA. Needed by identities that are limited to
    #: a range of it, and by conditionings for several timesteps (SD3.5), where it is a thousandth of the timestep.
    sigma: float
    #: Fraction of sampling that is done, 0 to 1; not looked at without OMNIID_INJECT_FLAG_FRACTION. Needed likewise.
    fraction: float
    #: Height of the latent image. Needed by identities with a mask; others do not look at it.
    latent_height: int
    #: Width of the latent image. As latent_height; both or none.
    latent_width: int
    #: The CUDA stream of query and output in DLPack's numbering: 1 the legacy default stream, 2 the per-thread default
    #: stream, -1 to wait until the work is done, otherwise the stream's handle; 0 is refused. Ignored on the CPU.
    #: OMNIID_INJECT_CALL_INIT sets 1.
    stream: int
    #: For SD3.5, whose layers attend to the image and the identity together: the keys that the layer makes of the
    #: image, before it normalises them, in the layout of the query; the query is that before it is normalised too.
    #: Default: none.
    image_keys: ctypes._Pointer[omniid_tensor] | ctypes.Array[omniid_tensor] | None
    #: The values that the layer makes of the image. As image_keys; both or none.
    image_values: ctypes._Pointer[omniid_tensor] | ctypes.Array[omniid_tensor] | None
    #: Which part of the work this call does, below part_count. For hosts whose own threads share a layer: each makes
    #: the same call with a part of its own, at any time, and the parts together give to the bit what one whole call
    #: gives. A part works on the calling thread; one with PuLID's orthogonal injection is whole batch rows, and parts
    #: beyond the batch do nothing. An error of one part leaves the others' results. Only on the CPU. Default: 0.
    part: int
    #: Number of parts. 0 and 1: the whole call, shared by the library's own threads. Default: 0.
    part_count: int

    _fields_ = [
        ("struct_size", c_uint32),
        ("scale", c_float),
        ("layer", c_size_t),
        ("query", POINTER(omniid_tensor)),
        ("output", POINTER(omniid_tensor)),
        ("layout", c_int32),
        ("flags", c_uint32),
        ("roles", POINTER(c_int32)),
        ("role_count", c_size_t),
        ("sigma", c_double),
        ("fraction", c_double),
        ("latent_height", c_uint32),
        ("latent_width", c_uint32),
        ("stream", c_int64),
        ("image_keys", POINTER(omniid_tensor)),
        ("image_values", POINTER(omniid_tensor)),
        ("part", c_uint32),
        ("part_count", c_uint32),
    ]

    @classmethod
    def new(cls) -> omniid_inject_call:
        """The values of OMNIID_INJECT_CALL_INIT."""
        value = cls()
        value.struct_size = ctypes.sizeof(cls)
        value.scale = 1.0
        value.stream = 1
        return value


class omniid_residual_call(ctypes.Structure):
    """One place of the residual stream at one step, with the defaults that OMNIID_RESIDUAL_CALL_INIT sets."""

    #: Set by OMNIID_RESIDUAL_CALL_INIT.
    struct_size: int
    #: Multiplies every identity's weight; 0 leaves the output as it is. OMNIID_RESIDUAL_CALL_INIT sets 1.0f.
    scale: float
    #: Index of the layer in the host's table.
    layer: int
    #: The image's hidden state after the block, `[batch, image tokens, hidden]`: f32, f16 or bf16, with any strides
    #: that are not negative. Default: the output itself is read. Otherwise it has the shape, number type and device of
    #: the output and is either the very same tensor or does not overlap it.
    hidden: ctypes._Pointer[omniid_tensor] | ctypes.Array[omniid_tensor] | None
    #: What is added to, usually the hidden state itself. Text tokens are not part of it: a host whose single blocks
    #: have one sequence of text and image tokens describes the image's part.
    output: ctypes._Pointer[omniid_tensor] | ctypes.Array[omniid_tensor] | None
    #: The side of guidance of each batch row, OMNIID_ROLE_..., in any order. Default: all rows are conditional.
    roles: ctypes._Pointer[c_int32] | ctypes.Array[c_int32] | None
    #: Number of roles: 0, the batch size, or 1 for one role of all rows.
    role_count: int
    #: Noise level of the step; not looked at without OMNIID_INJECT_FLAG_SIGMA. Needed by identities that are limited to
    #: a range of it.
    sigma: float
    #: Fraction of sampling that is done, 0 to 1; not looked at without OMNIID_INJECT_FLAG_FRACTION. Needed likewise.
    fraction: float
    #: Height of the latent image, here of the grid of image tokens or a multiple of it. Needed by identities with a
    #: mask; others do not look at it.
    latent_height: int
    #: Width of the latent image. As latent_height; both or none.
    latent_width: int
    #: The CUDA stream of the tensors in DLPack's numbering, as in omniid_inject_call. Ignored on the CPU.
    #: OMNIID_RESIDUAL_CALL_INIT sets 1.
    stream: int
    #: Sum of OMNIID_INJECT_FLAG_... Default: none.
    flags: int
    #: Leave at 0.
    reserved: int

    _fields_ = [
        ("struct_size", c_uint32),
        ("scale", c_float),
        ("layer", c_size_t),
        ("hidden", POINTER(omniid_tensor)),
        ("output", POINTER(omniid_tensor)),
        ("roles", POINTER(c_int32)),
        ("role_count", c_size_t),
        ("sigma", c_double),
        ("fraction", c_double),
        ("latent_height", c_uint32),
        ("latent_width", c_uint32),
        ("stream", c_int64),
        ("flags", c_uint32),
        ("reserved", c_uint32),
    ]

    @classmethod
    def new(cls) -> omniid_residual_call:
        """The values of OMNIID_RESIDUAL_CALL_INIT."""
        value = cls()
        value.struct_size = ctypes.sizeof(cls)
        value.scale = 1.0
        value.stream = 1
        return value


class omniid_embedding(ctypes.Structure):
    """A face embedding of an identity. Its memory lives as long as the identity."""

    #: Set by OMNIID_EMBEDDING_INIT.
    struct_size: int
    #: OMNIID_EMBEDDING_FORM_...
    form: int
    #: `[size]` values; NULL if nothing is known of the photo's face.
    values: ctypes._Pointer[c_float] | ctypes.Array[c_float] | None
    #: Number of values.
    size: int
    #: The network that made them, as omniid_photo.embedding_network takes it; NULL without values.
    network: bytes | None

    _fields_ = [
        ("struct_size", c_uint32),
        ("form", c_int32),
        ("values", POINTER(c_float)),
        ("size", c_size_t),
        ("network", c_char_p),
    ]

    @classmethod
    def new(cls) -> omniid_embedding:
        """The values of OMNIID_EMBEDDING_INIT."""
        value = cls()
        value.struct_size = ctypes.sizeof(cls)
        return value


class omniid_likeness(ctypes.Structure):
    """How like a face is to the photos of an identity: cosines of face embeddings, -1 to 1. Those of different
    networks are not comparable.
    """

    #: Set by OMNIID_LIKENESS_INIT.
    struct_size: int
    #: Photos of the identity that were compared.
    photos: int
    #: The mean over them.
    mean: float
    #: To the photo that the face is most like.
    best: float

    _fields_ = [
        ("struct_size", c_uint32),
        ("photos", c_uint32),
        ("mean", c_float),
        ("best", c_float),
    ]

    @classmethod
    def new(cls) -> omniid_likeness:
        """The values of OMNIID_LIKENESS_INIT."""
        value = cls()
        value.struct_size = ctypes.sizeof(cls)
        return value


class omniid_graph(ctypes.Structure):
    """The identity inputs of a graph. Immutable; may be used from any number of threads at once."""


class omniid_graph_info(ctypes.Structure):
    """What a graph is, as its manifest says."""

    #: Set by OMNIID_GRAPH_INFO_INIT.
    struct_size: int
    #: What it takes, OMNIID_GRAPH_FORM_...
    form: int
    #: Name of the graph's file, which lies beside the manifest.
    file_name: bytes | None
    #: Path of that file; NULL when the manifest came from memory.
    path: bytes | None
    #: The model that the graph is: "sd15", "sdxl", "sd3", "flux" or "custom".
    host: bytes | None
    #: Number type of keys, values, tokens and masks, OMNIID_PRECISION_... Scales are f32.
    precision: int
    #: 0.
    reserved: int
    #: Number of layers in the manifest, which is the length of the input of scales.
    layer_count: int
    #: Number of identity inputs.
    input_count: int
    #: Number of batch rows that the graph was made for; 0 for any.
    rows: int
    #: Number of identity tokens, of all people together, that the graph was made for; 0 for any.
    tokens: int
    #: Width of the tokens that the graph takes; 0 for one that takes keys and values.
    width: int
    #: Name of the input of scales; NULL when there is none, and scales are part of the values.
    scale_input: bytes | None
    #: Name of the input of masks; NULL when there is none, and one softmax for all tokens.
    mask_input: bytes | None
    #: Name of the input of tokens; NULL for a graph that takes keys and values.
    tokens_input: bytes | None
    #: Fingerprint of the model whose tokens the graph takes; NULL where any will do.
    fingerprint: bytes | None

    _fields_ = [
        ("struct_size", c_uint32),
        ("form", c_int32),
        ("file_name", c_char_p),
        ("path", c_char_p),
        ("host", c_char_p),
        ("precision", c_int32),
        ("reserved", c_uint32),
        ("layer_count", c_uint64),
        ("input_count", c_uint64),
        ("rows", c_uint64),
        ("tokens", c_uint64),
        ("width", c_uint64),
        ("scale_input", c_char_p),
        ("mask_input", c_char_p),
        ("tokens_input", c_char_p),
        ("fingerprint", c_char_p),
    ]

    @classmethod
    def new(cls) -> omniid_graph_info:
        """The values of OMNIID_GRAPH_INFO_INIT."""
        value = cls()
        value.struct_size = ctypes.sizeof(cls)
        return value


class omniid_graph_layer(ctypes.Structure):
    """One attention layer of a graph."""

    #: Set by OMNIID_GRAPH_LAYER_INIT.
    struct_size: int
    #: Number of attention heads.
    heads: int
    #: Width of one head.
    head_dim: int
    #: 0.
    reserved: int
    #: The layer's name in the host.
    name: bytes | None
    #: Name of the input of its keys; NULL in a graph that takes tokens.
    key_input: bytes | None
    #: Name of the input of its values; NULL in a graph that takes tokens.
    value_input: bytes | None

    _fields_ = [
        ("struct_size", c_uint32),
        ("heads", c_uint32),
        ("head_dim", c_uint32),
        ("reserved", c_uint32),
        ("name", c_char_p),
        ("key_input", c_char_p),
        ("value_input", c_char_p),
    ]

    @classmethod
    def new(cls) -> omniid_graph_layer:
        """The values of OMNIID_GRAPH_LAYER_INIT."""
        value = cls()
        value.struct_size = ctypes.sizeof(cls)
        return value


class omniid_graph_input(ctypes.Structure):
    """One identity input of a graph."""

    #: Set by OMNIID_GRAPH_INPUT_INIT.
    struct_size: int
    #: What it carries, OMNIID_GRAPH_INPUT_...
    kind: int
    #: Its name in the graph.
    name: bytes | None
    #: Index of the layer in the manifest whose keys or values it carries; 0 for other inputs.
    layer: int

    _fields_ = [
        ("struct_size", c_uint32),
        ("kind", c_int32),
        ("name", c_char_p),
        ("layer", c_uint64),
    ]

    @classmethod
    def new(cls) -> omniid_graph_input:
        """The values of OMNIID_GRAPH_INPUT_INIT."""
        value = cls()
        value.struct_size = ctypes.sizeof(cls)
        return value


class omniid_graph_call(ctypes.Structure):
    """What inputs are filled for, with the defaults that OMNIID_GRAPH_CALL_INIT sets."""

    #: Set by OMNIID_GRAPH_CALL_INIT.
    struct_size: int
    #: Multiplies every identity's weight; at 0 the graph gives what it gives without an identity.
    #: OMNIID_GRAPH_CALL_INIT sets 1.0f.
    scale: float
    #: The side of guidance of each batch row, OMNIID_ROLE_..., in any order. Default: conditional rows only, as many as
    #: the graph was made for, or one.
    roles: ctypes._Pointer[c_int32] | ctypes.Array[c_int32] | None
    #: Number of roles, which is the number of rows; at most 65536.
    role_count: int
    #: Noise level of the step; not looked at without OMNIID_INJECT_FLAG_SIGMA. Needed by identities that are limited to
    #: a range of it.
    sigma: float
    #: Fraction of sampling that is done, 0 to 1; not looked at without OMNIID_INJECT_FLAG_FRACTION. Needed likewise.
    fraction: float
    #: Sum of OMNIID_INJECT_FLAG_SIGMA and OMNIID_INJECT_FLAG_FRACTION. Default: none.
    flags: int
    #: 1: in a graph without masks several people share one softmax, each one's weight multiplied into its values. That
    #: is not what several identities are otherwise, a sum of attentions. Default: 0, which refuses several people
    #: there.
    concatenate: int

    _fields_ = [
        ("struct_size", c_uint32),
        ("scale", c_float),
        ("roles", POINTER(c_int32)),
        ("role_count", c_size_t),
        ("sigma", c_double),
        ("fraction", c_double),
        ("flags", c_uint32),
        ("concatenate", c_int32),
    ]

    @classmethod
    def new(cls) -> omniid_graph_call:
        """The values of OMNIID_GRAPH_CALL_INIT."""
        value = cls()
        value.struct_size = ctypes.sizeof(cls)
        value.scale = 1.0
        return value


class omniid_graph_shape(ctypes.Structure):
    """Shape of an identity input for a call."""

    #: Set by OMNIID_GRAPH_SHAPE_INIT.
    struct_size: int
    #: Number of dimensions, at most 4.
    rank: int
    #: The dimensions; those beyond rank are 0.
    shape: ctypes.Array[c_int64]
    #: Number of bytes in the input's number type.
    byte_size: int
    #: That number type, OMNIID_PRECISION_...
    precision: int
    #: 0.
    reserved: int

    _fields_ = [
        ("struct_size", c_uint32),
        ("rank", c_uint32),
        ("shape", c_int64 * 4),
        ("byte_size", c_uint64),
        ("precision", c_int32),
        ("reserved", c_uint32),
    ]

    @classmethod
    def new(cls) -> omniid_graph_shape:
        """The values of OMNIID_GRAPH_SHAPE_INIT."""
        value = cls()
        value.struct_size = ctypes.sizeof(cls)
        return value


class omniid_graph_buffer(ctypes.Structure):
    """The host's memory for one input, with the defaults that OMNIID_GRAPH_BUFFER_INIT sets."""

    #: Set by OMNIID_GRAPH_BUFFER_INIT.
    struct_size: int
    #: The buffer's number type, OMNIID_PRECISION_..., which has to be the input's: the graph's, for scales f32.
    #: Default: f32.
    precision: int
    #: Name of the input.
    name: bytes | None
    #: Where to write: in host memory, of any alignment.
    data: int | None
    #: Bytes of data, which have to be as many as the input has.
    byte_size: int
    #: The buffer's shape, to be compared with the input's. Default: only the bytes are compared.
    shape: ctypes._Pointer[c_int64] | ctypes.Array[c_int64] | None
    #: Number of dimensions of shape; 0 without one.
    rank: int
    #: Leave at 0.
    reserved: int

    _fields_ = [
        ("struct_size", c_uint32),
        ("precision", c_int32),
        ("name", c_char_p),
        ("data", c_void_p),
        ("byte_size", c_size_t),
        ("shape", POINTER(c_int64)),
        ("rank", c_uint32),
        ("reserved", c_uint32),
    ]

    @classmethod
    def new(cls) -> omniid_graph_buffer:
        """The values of OMNIID_GRAPH_BUFFER_INIT."""
        value = cls()
        value.struct_size = ctypes.sizeof(cls)
        return value


def _bind(
    library: ctypes.CDLL, name: str, result: Any, types: list[Any], names: list[str], doc: str
) -> Callable[..., Any]:
    function = getattr(library, name)
    function.restype = result
    function.argtypes = types
    function.__doc__ = f"{name}({', '.join(names)})\n\n{inspect.cleandoc(doc)}"
    return function  # type: ignore[no-any-return]


class Functions:
    """The functions of a loaded library. Raises AttributeError when the library lacks one."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.omniid_abi_version: Callable[..., int] = _bind(
            library, "omniid_abi_version", c_uint32,
            [],
            [],
            """The ABI version of the loaded library: `major << 16 | minor`.

            A program that loads the library at run time should compare its upper half with `OMNIID_ABI_MAJOR`.
            `omniid_engine_open` does so by itself.
            """,
        )
        self.omniid_version: Callable[..., bytes] = _bind(
            library, "omniid_version", c_char_p,
            [],
            [],
            """The release of the loaded library, such as `0.2.0`. The string is static.""",
        )
        self.omniid_status_text: Callable[..., bytes] = _bind(
            library, "omniid_status_text", c_char_p,
            [c_int32],
            ["status"],
            """A short English description of a status. Static; never NULL, even for unknown numbers.""",
        )
        self.omniid_last_error: Callable[..., bytes] = _bind(
            library, "omniid_last_error", c_char_p,
            [],
            [],
            """The message of the calling thread's last failed call; empty if none has failed yet. Never NULL.

            It belongs to the library and stays valid until the thread's next call fails or the thread ends.
            Successful calls leave it as it is. A host that moves work between threads must read it on the thread
            that made the call.
            """,
        )
        self.omniid_log_set: Callable[..., int] = _bind(
            library, "omniid_log_set", c_int32,
            [omniid_log_fn, c_void_p, c_int32],
            ["callback", "user_data", "max_level"],
            """Installs the process's log callback, or removes it when `callback` is NULL.

            `max_level` is the most detailed level wanted, `OMNIID_LOG_LEVEL_ERROR` to `OMNIID_LOG_LEVEL_TRACE`;
            it is ignored on removal. Returns after all calls of the previous callback have ended, so that its
            `user_data` may be freed.

            Fails with `OMNIID_STATUS_INVALID_ARGUMENT` for an unknown level or when called from inside the
            callback, and with `OMNIID_STATUS_UNSUPPORTED` in a Rust program that has installed a logger of its
            own.

            The caller's part:
            `callback` must be callable with `user_data` from any thread until it is replaced or removed.
            """,
        )
        self.omniid_managed_tensor_free: Callable[..., None] = _bind(
            library, "omniid_managed_tensor_free", None,
            [POINTER(omniid_managed_tensor)],
            ["tensor"],
            """Frees a tensor that a call has handed out, through its deleter; NULL is ignored.

            The caller's part:
            `tensor` is NULL or an owned DLPack tensor that nobody uses any more.
            """,
        )
        self.omniid_engine_open: Callable[..., int] = _bind(
            library, "omniid_engine_open", c_int32,
            [POINTER(omniid_engine_options), POINTER(POINTER(omniid_engine))],
            ["options", "out"],
            """Opens an identity model.

            Fails with `OMNIID_STATUS_ABI_MISMATCH` when the program was built for another major version of the
            ABI, with `OMNIID_STATUS_IO` or `OMNIID_STATUS_FORMAT` for files that cannot be read, with
            `OMNIID_STATUS_UNSUPPORTED` for checkpoint families and devices that this build cannot run, with
            `OMNIID_STATUS_MISMATCH` when image encoder, face recogniser, checkpoint and host do not belong
            together (a face recogniser of another network than the model's is named, with the one that fits), and
            with `OMNIID_STATUS_INVALID_ARGUMENT` for options that the checkpoint has no use for. A missing face
            recogniser is no error: photos can bring embeddings.

            The caller's part:
            `options` is initialised with OMNIID_ENGINE_OPTIONS_INIT and its pointers are NULL or valid; `out` is
            writable.
            """,
        )
        self.omniid_engine_free: Callable[..., None] = _bind(
            library, "omniid_engine_free", None,
            [POINTER(omniid_engine)],
            ["engine"],
            """Frees an engine; NULL is ignored. What was made with it stays valid.

            The caller's part:
            `engine` is NULL or came from `omniid_engine_open`, and no call uses it any more.
            """,
        )
        self.omniid_engine_describe: Callable[..., int] = _bind(
            library, "omniid_engine_describe", c_int32,
            [POINTER(omniid_engine), POINTER(omniid_engine_info)],
            ["engine", "out"],
            """Describes an engine.

            The caller's part:
            `engine` is a live engine; `out` is initialised with OMNIID_ENGINE_INFO_INIT.
            """,
        )
        self.omniid_engine_host_layer: Callable[..., int] = _bind(
            library, "omniid_engine_host_layer", c_int32,
            [POINTER(omniid_engine), c_size_t, POINTER(omniid_host_layer)],
            ["engine", "layer", "out"],
            """Describes layer `layer` of the engine's host, in the order of the adapter. Its name lives as long as
            the engine.

            The caller's part:
            `engine` is a live engine; `out` is initialised with OMNIID_HOST_LAYER_INIT.
            """,
        )
        self.omniid_engine_detect_faces: Callable[..., int] = _bind(
            library, "omniid_engine_detect_faces", c_int32,
            [POINTER(omniid_engine), POINTER(omniid_photo), POINTER(omniid_detect_options), POINTER(omniid_face),
             c_size_t, POINTER(c_size_t)],
            ["engine", "photo", "options", "faces", "capacity", "count"],
            """Finds the faces in a photo, the largest first.

            Writes at most `capacity` of them to `faces`, of which only the first element must be initialised
            (with OMNIID_FACE_INIT), and their number to `count`, which may be larger. `faces` may be NULL when
            `capacity` is 0; `options` may be NULL. A photo without faces is no error: `count` is 0. The photo's
            `face_hint` is ignored.

            The caller's part:
            `engine` is a live engine; `photo` and `options` are initialised structs; `faces` has room for
            `capacity` structs; `count` is writable.
            """,
        )
        self.omniid_identity_load: Callable[..., int] = _bind(
            library, "omniid_identity_load", c_int32,
            [c_char_p, POINTER(POINTER(omniid_identity))],
            ["path", "out"],
            """Reads an identity from an `.omniid` file.

            The caller's part:
            `path` is NUL-terminated; `out` is writable.
            """,
        )
        self.omniid_identity_from_bytes: Callable[..., int] = _bind(
            library, "omniid_identity_from_bytes", c_int32,
            [c_void_p, c_size_t, POINTER(POINTER(omniid_identity))],
            ["data", "size", "out"],
            """Reads an identity from the bytes of an `.omniid` file.

            The caller's part:
            `data` points to `size` readable bytes; `out` is writable.
            """,
        )
        self.omniid_identity_save: Callable[..., int] = _bind(
            library, "omniid_identity_save", c_int32,
            [POINTER(omniid_identity), c_char_p, c_int32],
            ["identity", "path", "precision"],
            """Writes an identity to a file, as `OMNIID_PRECISION_F32` or, at half the size, `OMNIID_PRECISION_F16`.
            An existing file is replaced when the new one is complete.

            The caller's part:
            `identity` is a live identity; `path` is NUL-terminated.
            """,
        )
        self.omniid_identity_to_bytes: Callable[..., int] = _bind(
            library, "omniid_identity_to_bytes", c_int32,
            [POINTER(omniid_identity), c_int32, c_void_p, c_size_t, POINTER(c_size_t)],
            ["identity", "precision", "buffer", "capacity", "size"],
            """Writes an identity to memory: the bytes that `omniid_identity_save` writes to the file.

            `size` receives the number of bytes, also when `buffer` is NULL and nothing is written. When
            `capacity` is smaller, the call fails with `OMNIID_STATUS_INVALID_ARGUMENT`, and `size` still says how
            many are needed.

            The caller's part:
            `identity` is a live identity; `buffer` is NULL or has room for `capacity` bytes; `size` is writable.
            """,
        )
        self.omniid_identity_describe: Callable[..., int] = _bind(
            library, "omniid_identity_describe", c_int32,
            [POINTER(omniid_identity), POINTER(omniid_identity_info)],
            ["identity", "out"],
            """Describes an identity.

            The caller's part:
            `identity` is a live identity; `out` is initialised with OMNIID_IDENTITY_INFO_INIT.
            """,
        )
        self.omniid_identity_tokens: Callable[..., int] = _bind(
            library, "omniid_identity_tokens", c_int32,
            [POINTER(omniid_identity), POINTER(POINTER(omniid_managed_tensor))],
            ["identity", "out"],
            """Hands out the tokens, f32 `[tokens, token_width]`, read-only and without a copy. They stay valid after
            the identity is freed. Free them with `omniid_managed_tensor_free` or their deleter.

            The caller's part:
            `identity` is a live identity; `out` is writable.
            """,
        )
        self.omniid_identity_copy_tokens: Callable[..., int] = _bind(
            library, "omniid_identity_copy_tokens", c_int32,
            [POINTER(omniid_identity), POINTER(omniid_tensor)],
            ["identity", "out"],
            """Copies the tokens into a tensor of the host: `[tokens, token_width]` on the CPU; f32, f16 or bf16; any
            strides.

            The caller's part:
            `identity` is a live identity; `out` describes writable memory.
            """,
        )
        self.omniid_identity_with_notes: Callable[..., int] = _bind(
            library, "omniid_identity_with_notes", c_int32,
            [POINTER(omniid_identity), c_char_p, c_char_p, POINTER(POINTER(omniid_identity))],
            ["identity", "label", "consent", "out"],
            """Makes a copy of an identity with another label and consent note; NULL keeps the present one.

            The caller's part:
            `identity` is a live identity; the texts are NULL or NUL-terminated; `out` is writable.
            """,
        )
        self.omniid_identity_without_features: Callable[..., int] = _bind(
            library, "omniid_identity_without_features", c_int32,
            [POINTER(omniid_identity), POINTER(POINTER(omniid_identity))],
            ["identity", "out"],
            """Makes a copy of an identity without the photos' features and face embeddings: smaller, but an identity
            of a model that reads all photos at once can no longer be extended, and none compared by a face
            recogniser.

            The caller's part:
            `identity` is a live identity; `out` is writable.
            """,
        )
        self.omniid_identity_similarity: Callable[..., int] = _bind(
            library, "omniid_identity_similarity", c_int32,
            [POINTER(omniid_engine), POINTER(omniid_identity), POINTER(omniid_identity), POINTER(c_float)],
            ["engine", "first", "second", "out"],
            """Compares two identities of the engine's model: cosine similarity, -1 to 1, after subtracting the
            model's mean identity and projecting onto the directions that distinguish people, where the checkpoint
            has them.

            Fails with `OMNIID_STATUS_MISMATCH` when another model made either identity.

            The caller's part:
            `engine`, `first` and `second` are live; `out` is writable.
            """,
        )
        self.omniid_identity_comparison_vector: Callable[..., int] = _bind(
            library, "omniid_identity_comparison_vector", c_int32,
            [POINTER(omniid_engine), POINTER(omniid_identity), POINTER(POINTER(omniid_managed_tensor))],
            ["engine", "identity", "out"],
            """Hands out an identity's vector for comparisons, f32 `[length]`, read-only: what an index of many
            people stores.

            It has length 1, or is all zeros for an identity without a direction. The dot product of two such
            vectors is the `omniid_identity_similarity` of their identities. `length` is the same for all
            identities of an engine. Vectors of one checkpoint belong together: another checkpoint may compare in
            other directions although its tokens are the same. The vector stays valid after identity and engine
            are freed; free it with `omniid_managed_tensor_free` or its deleter.

            Fails with `OMNIID_STATUS_MISMATCH` when another model made the identity.

            The caller's part:
            `engine` and `identity` are live; `out` is writable.
            """,
        )
        self.omniid_identity_free: Callable[..., None] = _bind(
            library, "omniid_identity_free", None,
            [POINTER(omniid_identity)],
            ["identity"],
            """Frees an identity; NULL is ignored.

            The caller's part:
            `identity` is NULL or came from this library, and no call uses it any more.
            """,
        )
        self.omniid_encode: Callable[..., int] = _bind(
            library, "omniid_encode", c_int32,
            [POINTER(omniid_engine), POINTER(omniid_photo), c_size_t, POINTER(omniid_encode_options),
             POINTER(POINTER(omniid_identity))],
            ["engine", "photos", "photo_count", "options", "out"],
            """Makes an identity from one or more photos of the same person. `options` may be NULL.

            A photo that cannot be used is left out and reported, unless the options say otherwise. Fails with
            `OMNIID_STATUS_NO_FACE` when no photo shows a face, and with the first photo's own error when none can
            be used for other reasons. A photo that brings its embedding is such a reason too:
            `OMNIID_STATUS_MISMATCH` for one of another network or another length than the model's, and for a
            normalised one where the model needs the raw one.

            The caller's part:
            `engine` is a live engine; `photos` points to `photo_count` structs initialised with
            OMNIID_PHOTO_INIT; `options` is NULL or initialised with OMNIID_ENCODE_OPTIONS_INIT; `out` is
            writable.
            """,
        )
        self.omniid_identity_extend: Callable[..., int] = _bind(
            library, "omniid_identity_extend", c_int32,
            [POINTER(omniid_engine), POINTER(omniid_identity), POINTER(omniid_photo), c_size_t,
             POINTER(omniid_encode_options), POINTER(POINTER(omniid_identity))],
            ["engine", "identity", "photos", "photo_count", "options", "out"],
            """Makes a new identity from an identity and more photos: equal to encoding all photos at once, at the
            cost of the new ones. `options` may be NULL.

            Fails with `OMNIID_STATUS_MISMATCH` when another model made the identity, and with
            `OMNIID_STATUS_UNSUPPORTED` when an Omni-ID identity does not hold its photos' features.

            The caller's part:
            As `omniid_encode`; `identity` is a live identity.
            """,
        )
        self.omniid_photo_features: Callable[..., int] = _bind(
            library, "omniid_photo_features", c_int32,
            [POINTER(omniid_engine), POINTER(omniid_photo), c_size_t, POINTER(omniid_encode_options),
             POINTER(POINTER(omniid_managed_tensor))],
            ["engine", "photos", "photo_count", "options", "out"],
            """Runs the image encoder on photos, without the identity encoder, and hands out their features, f32
            `[photos, feature tokens, feature width]`, read-only, of the photos that could be used. `options` may
            be NULL.

            Features are the hidden states before the last layer, the class token first; for models that take an
            image embedding, that as one token. `omniid_identity_from_features` makes an identity of them: the two
            together are `omniid_encode`, whose failures this call has. Free the tensor with
            `omniid_managed_tensor_free` or its deleter; it stays valid after the engine is freed. Fails with
            `OMNIID_STATUS_UNSUPPORTED` for models that read no image encoder.

            The caller's part:
            As `omniid_encode`.
            """,
        )
        self.omniid_identity_from_features: Callable[..., int] = _bind(
            library, "omniid_identity_from_features", c_int32,
            [POINTER(omniid_engine), POINTER(omniid_tensor), POINTER(omniid_encode_options),
             POINTER(POINTER(omniid_identity))],
            ["engine", "features", "options", "out"],
            """Makes an identity of the features of one or more photos of the same person: `[photos, feature tokens,
            feature width]` on the CPU, as `omniid_photo_features` gives them; f32, f16 or bf16; any strides.
            Copied.

            The host may have run the same image encoder itself, or combined features: their mean is one photo
            that lies between them. Of `options`, which may be NULL, `label`, `consent` and `drop_features` count;
            the others are refused, and the report is empty.

            Fails with `OMNIID_STATUS_MISMATCH` for another shape than the model's, with
            `OMNIID_STATUS_INVALID_ARGUMENT` for zero photos and values that are not finite, and with
            `OMNIID_STATUS_UNSUPPORTED` for models that read face embeddings.

            The caller's part:
            `engine` is a live engine; `features` describes readable memory; `options` is NULL or initialised with
            OMNIID_ENCODE_OPTIONS_INIT; `out` is writable.
            """,
        )
        self.omniid_report_photo_count: Callable[..., int] = _bind(
            library, "omniid_report_photo_count", c_int32,
            [POINTER(omniid_report), POINTER(c_size_t)],
            ["report", "out"],
            """Number of entries in a report: one for each photo of the call, in the same order.

            The caller's part:
            `report` is a live report; `out` is writable.
            """,
        )
        self.omniid_report_photo: Callable[..., int] = _bind(
            library, "omniid_report_photo", c_int32,
            [POINTER(omniid_report), c_size_t, POINTER(omniid_photo_report)],
            ["report", "index", "out"],
            """Describes what became of photo `index`.

            The caller's part:
            `report` is a live report; `out` is initialised with OMNIID_PHOTO_REPORT_INIT.
            """,
        )
        self.omniid_report_free: Callable[..., None] = _bind(
            library, "omniid_report_free", None,
            [POINTER(omniid_report)],
            ["report"],
            """Frees a report; NULL is ignored.

            The caller's part:
            `report` is NULL or came from this library, and no call uses it any more.
            """,
        )
        self.omniid_conditioning_create: Callable[..., int] = _bind(
            library, "omniid_conditioning_create", c_int32,
            [POINTER(omniid_engine), POINTER(omniid_conditioning_input), c_size_t, POINTER(omniid_conditioning_options),
             POINTER(POINTER(omniid_conditioning))],
            ["engine", "identities", "identity_count", "options", "out"],
            """Projects one or more identities to the keys and values of every layer of the engine's host. Each
            identity has a softmax of its own; their contributions are added. `options` may be NULL.

            Fails with `OMNIID_STATUS_MISMATCH` when another model made an identity or the adapter is for another
            host, and with `OMNIID_STATUS_UNSUPPORTED` when the checkpoint has no adapter, the host is not known,
            or the weight type or the unconditional variant does not exist for it.
            `OMNIID_STATUS_INVALID_ARGUMENT`: no identities, a number that is not finite or out of range, an
            option of another kind of adapter, or no timesteps for an adapter that depends on them.

            The caller's part:
            `engine` is a live engine; `identities` points to `identity_count` structs initialised with
            OMNIID_CONDITIONING_INPUT_INIT; `options` is NULL or initialised with
            OMNIID_CONDITIONING_OPTIONS_INIT; `out` is writable.
            """,
        )
        self.omniid_conditioning_free: Callable[..., None] = _bind(
            library, "omniid_conditioning_free", None,
            [POINTER(omniid_conditioning)],
            ["conditioning"],
            """Frees a conditioning; NULL is ignored.

            The caller's part:
            `conditioning` is NULL or came from `omniid_conditioning_create`, and no call uses it any more.
            """,
        )
        self.omniid_conditioning_layer_count: Callable[..., int] = _bind(
            library, "omniid_conditioning_layer_count", c_int32,
            [POINTER(omniid_conditioning), POINTER(c_size_t)],
            ["conditioning", "out"],
            """Number of layers of the host.

            The caller's part:
            `conditioning` is a live conditioning; `out` is writable.
            """,
        )
        self.omniid_conditioning_identity_count: Callable[..., int] = _bind(
            library, "omniid_conditioning_identity_count", c_int32,
            [POINTER(omniid_conditioning), POINTER(c_size_t)],
            ["conditioning", "out"],
            """Number of identities.

            The caller's part:
            `conditioning` is a live conditioning; `out` is writable.
            """,
        )
        self.omniid_conditioning_byte_size: Callable[..., int] = _bind(
            library, "omniid_conditioning_byte_size", c_int32,
            [POINTER(omniid_conditioning), POINTER(c_size_t)],
            ["conditioning", "out"],
            """Number of bytes that all keys and values occupy.

            The caller's part:
            `conditioning` is a live conditioning; `out` is writable.
            """,
        )
        self.omniid_conditioning_injection: Callable[..., int] = _bind(
            library, "omniid_conditioning_injection", c_int32,
            [POINTER(omniid_conditioning), POINTER(c_int32)],
            ["conditioning", "out"],
            """How identities' attention joins the layer's output, OMNIID_INJECTION_... A host that runs its own
            attention can only add, unless it follows PuLID's formulas.

            The caller's part:
            `conditioning` is a live conditioning; `out` is writable.
            """,
        )
        self.omniid_conditioning_zero_tokens: Callable[..., int] = _bind(
            library, "omniid_conditioning_zero_tokens", c_int32,
            [POINTER(omniid_conditioning), POINTER(c_size_t)],
            ["conditioning", "out"],
            """Number of further tokens with zero keys and values in each softmax (PuLID), which are not part of
            `omniid_conditioning_keys` and `omniid_conditioning_values`.

            The caller's part:
            `conditioning` is a live conditioning; `out` is writable.
            """,
        )
        self.omniid_conditioning_needs_image_keys: Callable[..., int] = _bind(
            library, "omniid_conditioning_needs_image_keys", c_int32,
            [POINTER(omniid_conditioning), POINTER(c_int32)],
            ["conditioning", "out"],
            """Writes 1 if the image's own keys and values take part in each softmax (SD3.5; see `image_keys` of
            `omniid_inject_call`), otherwise 0.

            The caller's part:
            `conditioning` is a live conditioning; `out` is writable.
            """,
        )
        self.omniid_conditioning_layer_name: Callable[..., int] = _bind(
            library, "omniid_conditioning_layer_name", c_int32,
            [POINTER(omniid_conditioning), c_size_t, POINTER(c_char_p)],
            ["conditioning", "layer", "out"],
            """Name of a layer. Lives as long as the conditioning.

            The caller's part:
            `conditioning` is a live conditioning; `out` is writable.
            """,
        )
        self.omniid_conditioning_layer: Callable[..., int] = _bind(
            library, "omniid_conditioning_layer", c_int32,
            [POINTER(omniid_conditioning), c_size_t, POINTER(omniid_host_layer)],
            ["conditioning", "layer", "out"],
            """Describes a layer. Its name lives as long as the conditioning.

            The caller's part:
            `conditioning` is a live conditioning; `out` is initialised with OMNIID_HOST_LAYER_INIT.
            """,
        )
        self.omniid_conditioning_find_layer: Callable[..., int] = _bind(
            library, "omniid_conditioning_find_layer", c_int32,
            [POINTER(omniid_conditioning), c_char_p, POINTER(c_size_t)],
            ["conditioning", "name", "out"],
            """Index of the layer with a name. diffusers and LDM spellings are known for the built-in hosts, with or
            without a trailing `.attn2`, `.attn` or `.processor`; so are ComfyUI addresses such as `output,1,3`.

            The caller's part:
            `conditioning` is a live conditioning; `name` is NUL-terminated; `out` is writable.
            """,
        )
        self.omniid_conditioning_keys: Callable[..., int] = _bind(
            library, "omniid_conditioning_keys", c_int32,
            [POINTER(omniid_conditioning), c_size_t, c_size_t, c_int32, c_int64,
             POINTER(POINTER(omniid_managed_tensor))],
            ["conditioning", "layer", "identity", "role", "stream", "out"],
            """Hands out the keys of one identity in one layer, `[tokens, heads, head_dim]`, read-only and without a
            copy; NULL, with `OMNIID_STATUS_OK`, where nothing is injected. They stay valid after the conditioning
            is freed.

            `stream` is ignored on the CPU. On a GPU it is a CUDA stream in the numbering of `omniid_inject_call`,
            on which the keys may be read. Their deleter may run while queued work still reads them, but not while
            a stream of the device is being captured into a CUDA graph.

            A host that runs its own attention adds factor x mask x softmax(q Kt / sqrt(head_dim)) V for each
            identity that is active at the step; see `omniid_conditioning_factor`, `_mask_factors` and
            `_is_active`. It heeds `omniid_conditioning_injection`, `_zero_tokens` and `_needs_image_keys`. Of an
            adapter with two token sets (WithAnyone) these are the first's.

            Fails with `OMNIID_STATUS_INVALID_ARGUMENT` when there is no such layer or identity, and with
            `OMNIID_STATUS_UNSUPPORTED` when the conditioning holds keys and values for several timesteps.

            The caller's part:
            `conditioning` is a live conditioning; `out` is writable.
            """,
        )
        self.omniid_conditioning_values: Callable[..., int] = _bind(
            library, "omniid_conditioning_values", c_int32,
            [POINTER(omniid_conditioning), c_size_t, c_size_t, c_int32, c_int64,
             POINTER(POINTER(omniid_managed_tensor))],
            ["conditioning", "layer", "identity", "role", "stream", "out"],
            """Hands out the values of one identity in one layer; see `omniid_conditioning_keys`.

            The caller's part:
            As `omniid_conditioning_keys`.
            """,
        )
        self.omniid_conditioning_factor: Callable[..., int] = _bind(
            library, "omniid_conditioning_factor", c_int32,
            [POINTER(omniid_conditioning), c_size_t, c_size_t, POINTER(c_float)],
            ["conditioning", "layer", "identity", "out"],
            """Factor of one identity's attention in one layer; 0 where nothing is injected.

            The caller's part:
            `conditioning` is a live conditioning; `out` is writable.
            """,
        )
        self.omniid_conditioning_is_active: Callable[..., int] = _bind(
            library, "omniid_conditioning_is_active", c_int32,
            [POINTER(omniid_conditioning), c_size_t, POINTER(c_double), POINTER(c_double), POINTER(c_int32)],
            ["conditioning", "identity", "sigma", "fraction", "out"],
            """Writes 1 if an identity is injected at a step, otherwise 0. `sigma` and `fraction` may be NULL where
            the identity's range does not need them.

            The caller's part:
            `conditioning` is a live conditioning; `sigma` and `fraction` are NULL or point to a number; `out` is
            writable.
            """,
        )
        self.omniid_conditioning_mask_factors: Callable[..., int] = _bind(
            library, "omniid_conditioning_mask_factors", c_int32,
            [POINTER(omniid_conditioning), c_size_t, c_size_t, c_uint32, c_uint32, POINTER(c_float)],
            ["conditioning", "identity", "token_count", "latent_height", "latent_width", "out"],
            """Writes an identity's mask as one factor for each of a layer's `token_count` image tokens; 1 everywhere
            if it has no mask. Height and width of the latent image may both be 0 where the mask does not need
            them.

            The caller's part:
            `conditioning` is a live conditioning; `out` has room for `token_count` numbers.
            """,
        )
        self.omniid_inject: Callable[..., int] = _bind(
            library, "omniid_inject", c_int32,
            [POINTER(omniid_conditioning), POINTER(omniid_inject_call)],
            ["conditioning", "call"],
            """Adds the identities' attention to a layer's output, in place:
            output += sum over identities of scale x mask x softmax(query Kt / sqrt(head_dim)) V.

            Softmax and sums are computed in f32. Layers without weight, identities outside their step range, rows
            to which nothing is injected, and errors leave the output as it is, bit for bit. After the first call
            with each shape nothing is allocated.

            On a GPU the attention runs on the call's stream, in order with the host's own work there; the call
            does not wait for it. Device memory is allocated for masks only. The first call compiles the kernel,
            which takes about a second. The query is not searched for values that are not finite. Before a capture
            into a CUDA graph, make one call outside of it; the graph must not outlive the conditioning. Otherwise
            the conditioning may be freed as soon as the call returns.

            Fails with `OMNIID_STATUS_MISMATCH` when shapes or number types of query, output and layer differ and
            for an adapter of the residual stream (omniid_inject_residual), with `OMNIID_STATUS_INVALID_ARGUMENT`
            for a layer that does not exist, a query that is not finite (naming layer and row), a sigma that an
            SD3.5 conditioning has no timestep for, and image keys or values that are missing there or given
            elsewhere, and with `OMNIID_STATUS_UNSUPPORTED` when the tensors are not where the keys and values
            are.

            The caller's part:
            `conditioning` is a live conditioning; `call` is initialised with OMNIID_INJECT_CALL_INIT; query and
            output describe memory that is readable and, for output, writable, and that no other thread writes
            during the call, except other parts of the same call.
            """,
        )
        self.omniid_inject_residual: Callable[..., int] = _bind(
            library, "omniid_inject_residual", c_int32,
            [POINTER(omniid_conditioning), POINTER(omniid_residual_call)],
            ["conditioning", "call"],
            """Adds the identities to the image's hidden state between two blocks of a transformer, in place:
            output += sum over identities of scale x mask x to_out(softmax(q Kt / sqrt(head_dim)) V), q =
            to_q(norm(hidden)).

            For adapters that add to the residual stream, PuLID-FLUX and WithAnyone: those whose layers have a
            `hidden` width (omniid_conditioning_layer). Normalisation and projections run inside. PuLID: after the
            double blocks 0, 2, ..., 18 and the single blocks 0, 4, ..., 36; WithAnyone: after every block.

            Sums are computed in f32 and added once. What is read is read before it is written. Layers without
            weight, identities outside their step range, rows to which nothing is injected, and errors leave the
            output as it is, bit for bit. After the first calls with each shape nothing is allocated. On a GPU the
            hidden state is copied and the work runs on the engine's stream, in order with the call's stream.

            Fails with `OMNIID_STATUS_MISMATCH` when widths or number types differ and for an adapter inside the
            attention (omniid_inject), with `OMNIID_STATUS_INVALID_ARGUMENT` for a layer that does not exist or a
            hidden state that is not finite (naming its row), and with `OMNIID_STATUS_UNSUPPORTED` when the
            tensors are not where the keys and values are.

            The caller's part:
            `conditioning` is a live conditioning; `call` is initialised with OMNIID_RESIDUAL_CALL_INIT; hidden
            and output describe memory that is readable and, for output, writable, and that no other thread writes
            during the call.
            """,
        )
        self.omniid_identity_embedding: Callable[..., int] = _bind(
            library, "omniid_identity_embedding", c_int32,
            [POINTER(omniid_identity), c_size_t, POINTER(omniid_embedding)],
            ["identity", "photo", "out"],
            """Describes the face embedding of photo `photo` of an identity, counted from 0 over the photos that went
            into it. Nothing is copied: the values live as long as the identity. `values` is NULL when nothing is
            known of that photo's face, or features were not kept.

            Fails with `OMNIID_STATUS_INVALID_ARGUMENT` when there is no such photo.

            The caller's part:
            `identity` is a live identity; `out` is initialised with OMNIID_EMBEDDING_INIT.
            """,
        )
        self.omniid_likeness_of: Callable[..., int] = _bind(
            library, "omniid_likeness_of", c_int32,
            [POINTER(omniid_engine), POINTER(omniid_identity), POINTER(omniid_photo), POINTER(omniid_likeness)],
            ["engine", "identity", "photo", "out"],
            """Says how like the face in a picture is to a person: a measure for what a host has generated. Any model
            will do; the engine needs a face recogniser, and the identity must have been made with it, or of
            embeddings of its network.

            Without a face hint the face counts that is most like the identity, of the eight largest. A photo that
            brings its embedding is not looked at. Fails with `OMNIID_STATUS_UNSUPPORTED` for an engine without a
            face recogniser and an identity without face embeddings, with `OMNIID_STATUS_MISMATCH` when another
            network made those, and with `OMNIID_STATUS_NO_FACE` for a picture without a face.

            The caller's part:
            `engine` and `identity` are live; `photo` is initialised with OMNIID_PHOTO_INIT and `out` with
            OMNIID_LIKENESS_INIT.
            """,
        )
        self.omniid_face_embedding: Callable[..., int] = _bind(
            library, "omniid_face_embedding", c_int32,
            [POINTER(omniid_engine), POINTER(omniid_photo), POINTER(POINTER(omniid_managed_tensor))],
            ["engine", "photo", "out"],
            """Hands out the raw embedding of the face in a photo, f32 `[dimension]` on the CPU, read-only: of the
            largest, unless the photo says which. Free it with `omniid_managed_tensor_free` or its deleter; it
            stays valid after the engine is freed.

            Fails with `OMNIID_STATUS_UNSUPPORTED` for an engine without a face recogniser and with
            `OMNIID_STATUS_NO_FACE` for a picture without a face.

            The caller's part:
            `engine` is a live engine; `photo` is initialised with OMNIID_PHOTO_INIT; `out` is writable.
            """,
        )
        self.omniid_histogram_vector: Callable[..., int] = _bind(
            library, "omniid_histogram_vector", c_int32,
            [POINTER(omniid_engine), POINTER(omniid_photo), POINTER(POINTER(omniid_managed_tensor))],
            ["engine", "photo", "out"],
            """Hands out a vector of the face in a photo for the plain question whether two photos show one person:
            f32 `[length]` on the CPU, read-only, of length 1, made of histograms of oriented gradients in the
            directions of the engine's checkpoint. The dot product of two such vectors says how alike two faces
            are, -1 to 1, about 0 for strangers. Of several faces the largest counts, unless the photo says which.
            Vectors of one checkpoint belong together. Free it with `omniid_managed_tensor_free` or its deleter;
            it stays valid after the engine is freed.

            Fails with `OMNIID_STATUS_UNSUPPORTED` for a checkpoint without such directions and with
            `OMNIID_STATUS_NO_FACE` for a picture without a face.

            The caller's part:
            `engine` is a live engine; `photo` is initialised with OMNIID_PHOTO_INIT; `out` is writable.
            """,
        )
        self.omniid_identity_context_tokens: Callable[..., int] = _bind(
            library, "omniid_identity_context_tokens", c_int32,
            [POINTER(omniid_engine), POINTER(omniid_identity), POINTER(POINTER(omniid_managed_tensor))],
            ["engine", "identity", "out"],
            """Hands out the tokens of an identity for a host that reads them itself, as InstantID's ControlNet does
            in place of a text: f32 `[2, tokens, token_width]`, read-only; first the unconditional side, then the
            identity. Free it with `omniid_managed_tensor_free` or its deleter; it stays valid after engine and
            identity are freed.

            The unconditional side is the model's own, as for OMNIID_UNCONDITIONAL_DEFAULT, repeated up to the
            length of the identity's, which attention does not notice.

            Fails with `OMNIID_STATUS_MISMATCH` when another model made the identity, and with
            `OMNIID_STATUS_UNSUPPORTED` for models whose unconditional side is not of the identity's shape.

            The caller's part:
            `engine` and `identity` are live; `out` is writable.
            """,
        )
        self.omniid_draw_keypoints: Callable[..., int] = _bind(
            library, "omniid_draw_keypoints", c_int32,
            [POINTER(c_float), c_uint32, c_uint32, c_size_t, POINTER(c_uint8)],
            ["landmarks", "width", "height", "row_stride", "pixels"],
            """Draws the control picture of InstantID, five keypoints of a face on black, into `pixels`: red, green,
            blue, `width` × `height`, rows from top to bottom, `row_stride` bytes apart; 0 for rows without gaps.
            Equal to what InstantID draws with OpenCV.

            `landmarks` are the ten numbers of omniid_face, in pixels of the picture that is drawn: scale those of
            a photo to the size that is generated.

            Fails with `OMNIID_STATUS_INVALID_ARGUMENT` for a side of 0 or a picture of more than 2^28 pixels, a
            `row_stride` that is less than a row or larger than memory, and landmarks that are not finite or far
            outside; the pixels are then untouched.

            The caller's part:
            `landmarks` points to 10 numbers; `pixels` has room for `height` rows.
            """,
        )
        self.omniid_engine_save_lora: Callable[..., int] = _bind(
            library, "omniid_engine_save_lora", c_int32,
            [POINTER(omniid_engine), c_char_p, c_int32],
            ["engine", "path", "format"],
            """Writes the LoRA that the engine's checkpoint holds as a safetensors file for the host, in
            OMNIID_LORA_FORMAT_... An existing file is replaced when the new one is complete.

            IP-Adapter FaceID, Plus and PlusV2 were trained with a LoRA: without it, applied at strength 1, they
            are not the trained models. Fails with `OMNIID_STATUS_UNSUPPORTED` when the checkpoint holds none, and
            with `OMNIID_STATUS_IO` when it cannot be written.

            The caller's part:
            `engine` is a live engine; `path` is NUL-terminated.
            """,
        )
        self.omniid_graph_open: Callable[..., int] = _bind(
            library, "omniid_graph_open", c_int32,
            [c_char_p, POINTER(POINTER(omniid_graph))],
            ["path", "out"],
            """Reads the manifest of a graph. `path` is the manifest's, or that of the graph beside which it lies as
            `unet.onnx.identity.json` or `unet.identity.json`.

            Fails with `OMNIID_STATUS_IO` when it cannot be read, with `OMNIID_STATUS_FORMAT` when it is no
            manifest, and with `OMNIID_STATUS_UNSUPPORTED` when it is one of another version.

            The caller's part:
            `path` is NUL-terminated; `out` is writable.
            """,
        )
        self.omniid_graph_parse: Callable[..., int] = _bind(
            library, "omniid_graph_parse", c_int32,
            [c_void_p, c_size_t, POINTER(POINTER(omniid_graph))],
            ["data", "size", "out"],
            """Reads a manifest from memory: `size` bytes of JSON in UTF-8, copied. For hosts that keep files in
            archives of their own.

            The caller's part:
            `data` points to `size` readable bytes; `out` is writable.
            """,
        )
        self.omniid_graph_free: Callable[..., None] = _bind(
            library, "omniid_graph_free", None,
            [POINTER(omniid_graph)],
            ["graph"],
            """Frees a graph; NULL is ignored.

            The caller's part:
            `graph` is NULL or came from `omniid_graph_open` or `omniid_graph_parse`, and no call uses it any
            more.
            """,
        )
        self.omniid_graph_describe: Callable[..., int] = _bind(
            library, "omniid_graph_describe", c_int32,
            [POINTER(omniid_graph), POINTER(omniid_graph_info)],
            ["graph", "out"],
            """Describes a graph. The texts live as long as it.

            The caller's part:
            `graph` is a live graph; `out` is initialised with OMNIID_GRAPH_INFO_INIT.
            """,
        )
        self.omniid_graph_describe_layer: Callable[..., int] = _bind(
            library, "omniid_graph_describe_layer", c_int32,
            [POINTER(omniid_graph), c_size_t, POINTER(omniid_graph_layer)],
            ["graph", "layer", "out"],
            """Describes layer `layer` of a graph, in the order of its scales. The names live as long as the graph.

            The caller's part:
            `graph` is a live graph; `out` is initialised with OMNIID_GRAPH_LAYER_INIT.
            """,
        )
        self.omniid_graph_describe_input: Callable[..., int] = _bind(
            library, "omniid_graph_describe_input", c_int32,
            [POINTER(omniid_graph), c_size_t, POINTER(omniid_graph_input)],
            ["graph", "input", "out"],
            """Describes identity input `input` of a graph. Its name lives as long as the graph.

            The caller's part:
            `graph` is a live graph; `out` is initialised with OMNIID_GRAPH_INPUT_INIT.
            """,
        )
        self.omniid_graph_input_shape: Callable[..., int] = _bind(
            library, "omniid_graph_input_shape", c_int32,
            [POINTER(omniid_graph), POINTER(omniid_conditioning), POINTER(omniid_graph_call), c_size_t,
             POINTER(omniid_graph_shape)],
            ["graph", "conditioning", "call", "input", "out"],
            """Gives the shape of identity input `input` for a call: rows as many as the call has roles, tokens as
            many as the identity has, or the number that the graph was made for. `call` may be NULL. Fails as
            `omniid_graph_fill`.

            The caller's part:
            `graph` is a live graph; `conditioning` is a live conditioning; `call` is NULL or initialised with
            OMNIID_GRAPH_CALL_INIT; `out` is initialised with OMNIID_GRAPH_SHAPE_INIT.
            """,
        )
        self.omniid_graph_fill: Callable[..., int] = _bind(
            library, "omniid_graph_fill", c_int32,
            [POINTER(omniid_graph), POINTER(omniid_conditioning), POINTER(omniid_graph_call),
             POINTER(omniid_graph_buffer), c_size_t],
            ["graph", "conditioning", "call", "buffers", "buffer_count"],
            """Fills the host's buffers for identity inputs of a graph, in its order of layers, its layout and its
            number type: all of them or some, in any order, each named after its input. `call` may be NULL.

            Keys, values and tokens serve for all steps of sampling, and only scales and masks have to be filled
            for each step, unless people are concatenated and have step ranges, the graph has no input of scales,
            or keys and values depend on the timestep (SD3.5).

            Zeros are written where nothing is injected. The shorter side of guidance, and an identity with fewer
            tokens than the graph was made for, is repeated as a whole, which does not change the attention to it.
            In a graph with masks people stand one after the other, and each has a softmax and a mask.

            Everything is checked before anything is written. Fails with `OMNIID_STATUS_MISMATCH`, naming the
            layer and both shapes, when graph and conditioning are for different hosts or differ in layers, heads
            or head width, for a buffer of another shape, number type or size, for an identity that does not fit
            into the tokens that the graph was made for, and for another number of roles than the graph has rows;
            with `OMNIID_STATUS_INVALID_ARGUMENT` for an input that does not exist or is named twice, for buffers
            that overlap, and for a missing step position; with `OMNIID_STATUS_UNSUPPORTED` for conditionings that
            do more in a layer than the graph (orthogonal injection, adapters of the residual stream), for masks
            without an input for them or in ComfyUI's mode, for several people in a graph without masks unless
            they are to be concatenated, and for numbers that its number type cannot hold.

            The caller's part:
            `graph` is a live graph; `conditioning` is a live conditioning; `call` is NULL or initialised with
            OMNIID_GRAPH_CALL_INIT; `buffers` points to `buffer_count` structs initialised with
            OMNIID_GRAPH_BUFFER_INIT, whose memory is writable and used by no other thread during the call.
            """,
        )
