/*
 * OmniID gives any diffusion runtime a person's identity: photos in, identity tokens out, injected as
 * cross-attention into the host's own layers.
 *
 * Errors. Every function that can fail returns an omniid_status and writes its results through its last parameters.
 * When the status is not OMNIID_STATUS_OK, omniid_last_error() gives the calling thread's message: what failed, the
 * value seen and what was expected. A failed call leaves its results untouched, except that places for handles and
 * owned tensors are set to NULL. No input makes the library abort, and no call unwinds. When the system has no more
 * memory, the process is aborted with the message "memory allocation of N bytes failed", and files keep what they hold.
 *
 * Threads. Engines, identities, conditionings and reports are immutable. A function that takes a pointer to const may
 * be called with the same handle from any number of threads at once. A handle may be freed on any thread, once no
 * other call uses it.
 *
 * Ownership. What a function hands out belongs to the caller, who frees it with the function named after its type;
 * freeing NULL does nothing. A handle does not depend on the handle that it was made from: an engine may be freed
 * before its identities. Strings reached through a handle live as long as the handle. What the caller passes is
 * borrowed for the duration of the call, callbacks and their user_data included; only the log callback is kept.
 *
 * Aliasing. Memory that a call writes must not overlap memory that the call reads, and no other thread may use it
 * during the call.
 *
 * Structs. Start every struct with its OMNIID_..._INIT macro; no other start is supported. The macro sets struct_size
 * and the default of every field. Most defaults are 0 or NULL. The others are omniid_engine_options.abi_version,
 * omniid_encode_options.crop_margin, omniid_conditioning_input.scale, omniid_inject_call.scale,
 * omniid_inject_call.stream, omniid_residual_call.scale, omniid_residual_call.stream and omniid_graph_call.scale: there
 * 0 has a meaning of its own or is refused, as the field's comment says.
 *
 * Compatibility. A program built with an older header works with a newer library of the same ABI major version:
 * fields that its structs lack count as 0, which is the default of every field that is added later. A program built
 * with a newer header works with an older library as long as it leaves the fields that the library does not know at
 * 0. All elements of an array of structs have the same struct_size. The numbers of statuses and enums never change.
 *
 * Strings are NUL-terminated UTF-8. Paths are in the system's own encoding on Unix and UTF-8 on Windows.
 *
 * Unloading. Do not unload the library (dlclose, FreeLibrary): it keeps worker threads and thread-local data.
 */
#ifndef OMNIID_H
#define OMNIID_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Versions: of the release, and of the ABI, which decides which programs a library can serve.
 */

/**
 * Major version of the ABI, also in the library's SONAME. Programs built for another one cannot use the library.
 */
#define OMNIID_ABI_MAJOR 1

/**
 * Minor version of the ABI. It grows with every release that adds functions or struct fields.
 */
#define OMNIID_ABI_MINOR 2

/**
 * The ABI version as one number: `major << 16 | minor`.
 */
#define OMNIID_ABI_VERSION ((OMNIID_ABI_MAJOR << 16) | OMNIID_ABI_MINOR)

/**
 * The ABI version of the loaded library: `major << 16 | minor`.
 *
 * A program that loads the library at run time should compare its upper half with `OMNIID_ABI_MAJOR`.
 * `omniid_engine_open` does so by itself.
 */
uint32_t omniid_abi_version(void);

/**
 * The release of the loaded library, such as `0.2.0`. The string is static.
 */
const char *omniid_version(void);

/**
 * The release that this header belongs to.
 */
#define OMNIID_VERSION "0.2.0"

/*
 * Status codes and error messages.
 *
 * Every function that can fail returns an `omniid_status`. When it is not `OMNIID_STATUS_OK`, `omniid_last_error` has
 * the message: what failed, the value seen and what was expected.
 */

/**
 * The result of a call: `OMNIID_STATUS_OK` or the class of the error.
 *
 * Numbers are never changed or reused. A later release may add some: treat an unknown one as a failure.
 */
typedef int32_t omniid_status;

/**
 * Success.
 */
#define OMNIID_STATUS_OK 0

/**
 * A parameter has a value that is never valid: NULL, zero photos, an absurd size, an unknown enum value.
 */
#define OMNIID_STATUS_INVALID_ARGUMENT 1

/**
 * An operation of the system failed: no such file, no permission, disk full.
 */
#define OMNIID_STATUS_IO 2

/**
 * A file or a buffer is malformed: truncated, inconsistent header, missing key.
 */
#define OMNIID_STATUS_FORMAT 3

/**
 * Well-formed, but not supported by this build: a number type, a device, a checkpoint family.
 */
#define OMNIID_STATUS_UNSUPPORTED 4

/**
 * Two inputs do not belong together: identity and model, adapter and host, tensor and layer.
 */
#define OMNIID_STATUS_MISMATCH 5

/**
 * No usable face in any of the photos.
 */
#define OMNIID_STATUS_NO_FACE 6

/**
 * An input exceeds a limit of the engine options: pixels, decoded bytes, file size.
 */
#define OMNIID_STATUS_LIMIT_EXCEEDED 7

/**
 * The caller's progress callback cancelled the call.
 */
#define OMNIID_STATUS_CANCELLED 8

/**
 * The GPU, its driver or its libraries failed.
 */
#define OMNIID_STATUS_DEVICE 9

/**
 * The caller was built for another major version of the ABI.
 */
#define OMNIID_STATUS_ABI_MISMATCH 10

/**
 * A defect in OmniID. Please report it with its message.
 */
#define OMNIID_STATUS_INTERNAL 255

/**
 * A short English description of a status. Static; never NULL, even for unknown numbers.
 */
const char *omniid_status_text(omniid_status status);

/**
 * The message of the calling thread's last failed call; empty if none has failed yet. Never NULL.
 *
 * It belongs to the library and stays valid until the thread's next call fails or the thread ends. Successful calls
 * leave it as it is. A host that moves work between threads must read it on the thread that made the call.
 */
const char *omniid_last_error(void);

/*
 * Log messages. The library prints nothing; without a callback messages are dropped.
 */

/**
 * A failure.
 */
#define OMNIID_LOG_LEVEL_ERROR 1

/**
 * Something was skipped or looks wrong; the call continues.
 */
#define OMNIID_LOG_LEVEL_WARN 2

/**
 * Information for users.
 */
#define OMNIID_LOG_LEVEL_INFO 3

/**
 * Information for developers of a host.
 */
#define OMNIID_LOG_LEVEL_DEBUG 4

/**
 * Everything.
 */
#define OMNIID_LOG_LEVEL_TRACE 5

/**
 * Receives log messages, on the threads on which they arise, possibly several at once.
 *
 * `target` names the part of the library. Both strings are UTF-8 and valid during the call only. The callback must
 * not unwind. Messages that arise inside it are dropped.
 */
typedef void (*omniid_log_fn)(void *user_data, int32_t level, const char *target, const char *message);

/**
 * Installs the process's log callback, or removes it when `callback` is NULL.
 *
 * `max_level` is the most detailed level wanted, `OMNIID_LOG_LEVEL_ERROR` to `OMNIID_LOG_LEVEL_TRACE`; it is ignored
 * on removal. Returns after all calls of the previous callback have ended, so that its `user_data` may be freed.
 *
 * Fails with `OMNIID_STATUS_INVALID_ARGUMENT` for an unknown level or when called from inside the callback, and with
 * `OMNIID_STATUS_UNSUPPORTED` in a Rust program that has installed a logger of its own.
 *
 * The caller's part:
 * `callback` must be callable with `user_data` from any thread until it is replaced or removed.
 */
omniid_status omniid_log_set(omniid_log_fn callback,
                             void *user_data,
                             int32_t max_level);

/*
 * Progress and cancellation of long calls.
 */

/**
 * Weights are being read. Unit: tensors.
 */
#define OMNIID_STAGE_LOAD 0

/**
 * Photos are being decoded and cropped. Unit: photos.
 */
#define OMNIID_STAGE_PHOTOS 1

/**
 * Photos are passing through the image encoder. Unit: photos.
 */
#define OMNIID_STAGE_ENCODE 2

/**
 * Keys and values are being projected. Unit: host layers.
 */
#define OMNIID_STAGE_CONDITION 3

/**
 * A file is being written. Unit: tensors.
 */
#define OMNIID_STAGE_SAVE 4

/**
 * Is told that `done` of `total` units of a stage, `OMNIID_STAGE_...`, are finished.
 *
 * Called on the thread of the long call, with the `user_data` given beside it. Return 0 to continue; any other value
 * cancels the call, which then fails with `OMNIID_STATUS_CANCELLED`. Must not unwind: no exceptions, no longjmp.
 */
typedef int32_t (*omniid_progress_fn)(void *user_data, int32_t stage, uint64_t done, uint64_t total);

/*
 * Tensors: DLPack 1.x, so that they pass to and from every tensor library without copies.
 *
 * A call borrows a tensor in the host's memory, fills one, or hands out a tensor that the host then owns and frees
 * with its deleter. Tensors have up to 4 dimensions of f32, f16 or bf16 numbers, on the CPU or on a CUDA device.
 * Strides may be NULL or leave gaps, but not be negative; byte_offset is added; the first number must be aligned to
 * its size.
 */

/*
 * The tensor types. Where dlpack.h (1.x) was included first they are its own types; otherwise they are structs of
 * the same layout, and a pointer to the one may be cast to a pointer to the other. DLPack's names and include guard
 * are never defined here.
 */
#if defined(DLPACK_MAJOR_VERSION) && DLPACK_MAJOR_VERSION == 1

typedef DLDevice omniid_tensor_device;
typedef DLDataType omniid_tensor_type;
typedef DLPackVersion omniid_tensor_version;
typedef DLTensor omniid_tensor;
typedef DLManagedTensorVersioned omniid_managed_tensor;

#else

/** Where a tensor's memory is; DLDevice. */
typedef struct omniid_tensor_device {
  /** OMNIID_DEVICE_TYPE_CPU or OMNIID_DEVICE_TYPE_CUDA. */
  int32_t device_type;
  /** Ordinal of the device; 0 for the CPU. */
  int32_t device_id;
} omniid_tensor_device;

/** A number type; DLDataType. */
typedef struct omniid_tensor_type {
  /** OMNIID_TYPE_CODE_FLOAT or OMNIID_TYPE_CODE_BFLOAT. */
  uint8_t code;
  /** Bits of a number: 32 or 16. */
  uint8_t bits;
  /** 1. */
  uint16_t lanes;
} omniid_tensor_type;

/** A version of DLPack; DLPackVersion. */
typedef struct omniid_tensor_version {
  /** 1; layouts of different major versions differ. */
  uint32_t major;
  /** Grows when something is added. */
  uint32_t minor;
} omniid_tensor_version;

/** A tensor in memory that it does not own; DLTensor. */
typedef struct omniid_tensor {
  /** Start of the memory, on the device. */
  void *data;
  /** Where the memory is. */
  omniid_tensor_device device;
  /** Number of dimensions. */
  int32_t ndim;
  /** Type of the numbers. */
  omniid_tensor_type dtype;
  /** Sizes, ndim of them. */
  int64_t *shape;
  /** Distance between neighbours in each dimension, in numbers; NULL for row-major without gaps. */
  int64_t *strides;
  /** Where the first number is, in bytes from data. */
  uint64_t byte_offset;
} omniid_tensor;

/** A tensor that its holder frees with the deleter; DLManagedTensorVersioned. */
typedef struct omniid_managed_tensor {
  /** Version of this struct's layout; to be checked before anything else is read. */
  omniid_tensor_version version;
  /** Private to the producer. */
  void *manager_ctx;
  /** Frees the tensor; may be called from any thread. */
  void (*deleter)(struct omniid_managed_tensor *self);
  /** Bit 0: read only. */
  uint64_t flags;
  /** The tensor itself. */
  omniid_tensor dl_tensor;
} omniid_managed_tensor;

#endif

#if UINTPTR_MAX == UINT64_MAX
typedef char omniid_assert_tensor[sizeof(omniid_tensor) == 48 && offsetof(omniid_tensor, device) == 8 &&
                                  offsetof(omniid_tensor, dtype) == 20 && offsetof(omniid_tensor, shape) == 24 &&
                                  offsetof(omniid_tensor, byte_offset) == 40 ? 1 : -1];
typedef char omniid_assert_managed_tensor[sizeof(omniid_managed_tensor) == 80 &&
                                          offsetof(omniid_managed_tensor, deleter) == 16 &&
                                          offsetof(omniid_managed_tensor, flags) == 24 &&
                                          offsetof(omniid_managed_tensor, dl_tensor) == 32 ? 1 : -1];
#endif

/**
 * The processor's memory; kDLCPU.
 */
#define OMNIID_DEVICE_TYPE_CPU 1

/**
 * The memory of an NVIDIA GPU; kDLCUDA.
 */
#define OMNIID_DEVICE_TYPE_CUDA 2

/**
 * IEEE floating point, 32 or 16 bits; kDLFloat.
 */
#define OMNIID_TYPE_CODE_FLOAT 2

/**
 * bfloat16, 16 bits; kDLBfloat.
 */
#define OMNIID_TYPE_CODE_BFLOAT 4

/**
 * Frees a tensor that a call has handed out, through its deleter; NULL is ignored.
 *
 * The caller's part:
 * `tensor` is NULL or an owned DLPack tensor that nobody uses any more.
 */
void omniid_managed_tensor_free(omniid_managed_tensor *tensor);

/*
 * Hosts: the attention layers of the diffusion model that identities are injected into.
 */

/**
 * One attention layer of a host.
 */
typedef struct omniid_host_layer {
  /**
   * Set by OMNIID_HOST_LAYER_INIT.
   */
  uint32_t struct_size;
  /**
   * Number of attention heads.
   */
  uint32_t heads;
  /**
   * Width of one head.
   */
  uint32_t head_dim;
  /**
   * Width of the tokens that keys and values are projected from: 768 in SD1.5, 2048 in SDXL, 4096 in FLUX.
   */
  uint32_t context;
  /**
   * The host's own name of the layer; must be unique.
   */
  const char *name;
  /**
   * Width of the image's hidden state, for a layer that adds to the residual stream (omniid_inject_residual); 0 for a
   * layer inside an attention (omniid_inject), and in a table that is handed in also for a width that the checkpoint
   * says.
   */
  uint32_t hidden;
  /**
   * Leave at 0.
   */
  uint32_t reserved;
} omniid_host_layer;

/** Initialises an omniid_host_layer. */
#define OMNIID_HOST_LAYER_INIT { sizeof(omniid_host_layer), 0, 0, 0, NULL, 0, 0 }

/*
 * The forms of face embeddings.
 */

/**
 * As the network gives it (`embedding` of insightface): its length counts.
 */
#define OMNIID_EMBEDDING_FORM_RAW 0

/**
 * Divided by its length (`normed_embedding` of insightface).
 */
#define OMNIID_EMBEDDING_FORM_NORMALISED 1

/*
 * Engines: an identity model, opened once and used from any number of threads.
 */

/**
 * 32-bit floating point; results equal those of the reference implementations within rounding.
 */
#define OMNIID_PRECISION_F32 0

/**
 * IEEE half precision: half the memory.
 */
#define OMNIID_PRECISION_F16 1

/**
 * bfloat16: half the memory, with the range of f32.
 */
#define OMNIID_PRECISION_BF16 2

/**
 * Bytes: a quarter of the memory, for the weights of an engine on the processor only. The blocks of the image encoder
 * and of the Omni-ID encoder are computed from weights and rows rounded to bytes, with scales for each output and each
 * row; the rest of these encoders is f32, an adapter bf16. Tokens differ from those of f32.
 */
#define OMNIID_PRECISION_INT8 3

/**
 * The native Omni-ID encoder: a fixed number of tokens, however many photos.
 */
#define OMNIID_ENCODER_OMNI_ID 0

/**
 * IP-Adapter Plus and Plus-Face: a fixed number of tokens for each photo.
 */
#define OMNIID_ENCODER_RESAMPLER 1

/**
 * IP-Adapter full-face: one token per image feature token and photo.
 */
#define OMNIID_ENCODER_FULL_FACE 2

/**
 * Base IP-Adapter and XLabs FLUX: a fixed number of tokens for each photo.
 */
#define OMNIID_ENCODER_PROJECTION 3

/**
 * IP-Adapter FaceID and FaceID Portrait: a fixed number of tokens for each face embedding.
 */
#define OMNIID_ENCODER_FACE_ID 4

/**
 * IP-Adapter FaceID-Plus and PlusV2: a face embedding and the features of the aligned face.
 */
#define OMNIID_ENCODER_FACE_ID_PLUS 5

/**
 * InstantID: a fixed number of tokens for each face embedding.
 */
#define OMNIID_ENCODER_INSTANT_ID 6

/**
 * IP-Adapter FaceID Portrait (unnorm): the face embeddings of all photos at once.
 */
#define OMNIID_ENCODER_FACE_ID_PORTRAIT_UNNORM 7

/**
 * PuLID for SDXL, version 1.
 */
#define OMNIID_ENCODER_PULID_V1 8

/**
 * PuLID for SDXL, version 1.1, and for FLUX: all photos at once.
 */
#define OMNIID_ENCODER_ID_FORMER 9

/**
 * InstantX SD3.5, whose tokens depend on the timestep.
 */
#define OMNIID_ENCODER_TIME_RESAMPLER 10

/**
 * WithAnyone for FLUX: tokens of a raw face embedding, of SigLIP's last hidden state, and of the embedding again.
 */
#define OMNIID_ENCODER_WITH_ANYONE 11

/**
 * InstantX FLUX: a fixed number of tokens for each photo.
 */
#define OMNIID_ENCODER_INSTANT_X_FLUX 15

/**
 * An opened identity model. Immutable; may be used from any number of threads at once.
 */
typedef struct omniid_engine omniid_engine;

/**
 * Options of `omniid_engine_open`, with the defaults that OMNIID_ENGINE_OPTIONS_INIT sets.
 */
typedef struct omniid_engine_options {
  /**
   * Set by OMNIID_ENGINE_OPTIONS_INIT.
   */
  uint32_t struct_size;
  /**
   * The ABI version that the caller was built for; 0 is refused. OMNIID_ENGINE_OPTIONS_INIT sets OMNIID_ABI_VERSION.
   */
  uint32_t abi_version;
  /**
   * The identity model: a native Omni-ID checkpoint or a published adapter (IP-Adapter and its FaceID family,
   * InstantID, PuLID, InstantX, XLabs, WithAnyone), safetensors or PyTorch, or a folder with one. Recognised by its
   * content. Files are read, never mapped into memory: one that is cut, emptied or written to while it is read
   * is the error OMNIID_STATUS_IO, no signal. The weights of its adapter are read at the first
   * omniid_conditioning_create, which fails with OMNIID_STATUS_IO if the file was written to or cut since it was
   * opened; one that was replaced by renaming, or deleted, goes on being used. Not noticed is a writer that puts
   * back the file's time of change. Default, when checkpoint_data is
   * NULL too: the small model inside the library, with its own face detector; the call fails with
   * OMNIID_STATUS_UNSUPPORTED when the library was built without it.
   */
  const char *checkpoint_path;
  /**
   * The bytes of that file, instead of its path; copied.
   */
  const void *checkpoint_data;
  /**
   * Bytes of checkpoint_data.
   */
  size_t checkpoint_size;
  /**
   * The image encoder that a published adapter needs, a vision model of CLIP, SigLIP, DINOv2 or EVA02-CLIP; refused
   * for a native checkpoint, which contains its own, and for adapters that read none. A file, an index of shards
   * (….index.json), or a folder as Hugging Face lays it out.
   */
  const char *image_encoder_path;
  /**
   * The bytes of that file, instead of its path; copied.
   */
  const void *image_encoder_data;
  /**
   * Bytes of image_encoder_data.
   */
  size_t image_encoder_size;
  /**
   * The contents of the image encoder's config.json. Default: the file of that name beside image_encoder_path, or
   * the configuration of a published model of the same shape.
   */
  const char *image_encoder_config;
  /**
   * The face detector: YuNet's weights, safetensors or the upstream ONNX file, or a native checkpoint that holds a
   * detector. Default: the one in a native checkpoint, else the one inside the library.
   */
  const char *detector_path;
  /**
   * The bytes of that file, instead of its path; copied.
   */
  const void *detector_data;
  /**
   * Bytes of detector_data.
   */
  size_t detector_size;
  /**
   * "sd15", "sdxl", "flux", "flux_all", "pulid_flux", "with_anyone" or "sd35_large"; with host_layers, any name for
   * the host's own table. Default: the host that the checkpoint is for.
   */
  const char *host;
  /**
   * The host's own layer table, in the order of the adapter in the checkpoint. Default: the host's built-in one.
   */
  const omniid_host_layer *host_layers;
  /**
   * Number of host_layers.
   */
  size_t host_layer_count;
  /**
   * OMNIID_DEVICE_TYPE_CPU or OMNIID_DEVICE_TYPE_CUDA. Default: CPU.
   */
  int32_t device_type;
  /**
   * Ordinal of the GPU; 0 on the CPU.
   */
  int32_t device_id;
  /**
   * Number type of the weights, OMNIID_PRECISION_... Default: f32. Int8 is refused for a GPU.
   */
  int32_t precision;
  /**
   * 1: load the image encoder when it is first needed instead of now: for programs that work with stored identities,
   * or run the same image encoder themselves and call omniid_identity_from_features. Its file must not change while
   * the engine lives. Default: 0.
   */
  int32_t defer_image_encoder;
  /**
   * Maximum number of pixels of a photo. Default: 100 million.
   */
  uint64_t max_pixels;
  /**
   * Maximum number of bytes that decoding a photo may take. Default: 1 GiB.
   */
  uint64_t max_decoded_bytes;
  /**
   * Maximum number of bytes of an encoded photo. Default: 256 MiB.
   */
  uint64_t max_photo_bytes;
  /**
   * Maximum number of bytes of a checkpoint's header. Default: 100 MB.
   */
  uint64_t max_header_bytes;
  /**
   * Maximum number of photos of an identity. Default: 4096.
   */
  uint64_t max_photos;
  /**
   * Is told about progress and can cancel the call. Default: none.
   */
  omniid_progress_fn progress;
  /**
   * Passed to progress; not looked at without one.
   */
  void *progress_user_data;
  /**
   * The face recognition network: insightface's w600k_r50.onnx or glintr100.onnx, AuraFace, OpenCV's SFace, facexlib's
   * IR-SE50, as ONNX, PyTorch file or safetensors. Models of the FaceID family, InstantID and PuLID make their tokens
   * from its embeddings and refuse another network than the one they were trained with; for any other model it serves
   * omniid_likeness_of. Default: the one in a native checkpoint; else photos must bring embeddings.
   */
  const char *face_recogniser_path;
  /**
   * The bytes of that file, instead of its path; copied.
   */
  const void *face_recogniser_data;
  /**
   * Bytes of face_recogniser_data.
   */
  size_t face_recogniser_size;
  /**
   * The face parsing network that makes the grey background of PuLID's crop: facexlib's parsing_bisenet. Refused for
   * other models. Default: the plain crop.
   */
  const char *face_parser_path;
  /**
   * The bytes of that file, instead of its path; copied.
   */
  const void *face_parser_data;
  /**
   * Bytes of face_parser_data.
   */
  size_t face_parser_size;
  /**
   * Which published model the checkpoint is, where two have the same tensors: "faceid-plus" or "faceid-plus-v2",
   * "instantid" or "faceid-portrait-unnorm". Another name than that of the tensors is refused. Default:
   * "faceid-plus-v2"; "instantid", unless the face recogniser is an IResNet-50.
   */
  const char *variant;
} omniid_engine_options;

/** Initialises an omniid_engine_options. */
#define OMNIID_ENGINE_OPTIONS_INIT { sizeof(omniid_engine_options), OMNIID_ABI_VERSION, NULL, NULL, 0, NULL, \
  NULL, 0, NULL, NULL, NULL, 0, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, NULL, 0, NULL, \
  NULL, 0, NULL }

/**
 * Description of an engine. Its strings live as long as the engine.
 */
typedef struct omniid_engine_info {
  /**
   * Set by OMNIID_ENGINE_INFO_INIT.
   */
  uint32_t struct_size;
  /**
   * Kind of the identity encoder, OMNIID_ENCODER_...
   */
  int32_t encoder;
  /**
   * Human-readable name of the model; may be empty.
   */
  const char *name;
  /**
   * Fingerprint of the model, which its identities carry.
   */
  const char *fingerprint;
  /**
   * Name of the host; NULL if the host is not known.
   */
  const char *host;
  /**
   * Number of layers of the host; 0 if the host is not known.
   */
  uint64_t host_layer_count;
  /**
   * Number of identity tokens: per identity for Omni-ID, per photo otherwise.
   */
  uint64_t tokens;
  /**
   * Width of an identity token.
   */
  uint64_t token_width;
  /**
   * Side of the image encoder's square input in pixels.
   */
  uint32_t image_size;
  /**
   * 1 if faces can be detected: by the engine's own detector or by the one inside the library.
   */
  int32_t has_detector;
  /**
   * 1 if the checkpoint holds an adapter, so that omniid_conditioning_create works.
   */
  int32_t has_adapter;
  /**
   * Device of the engine, OMNIID_DEVICE_TYPE_...
   */
  int32_t device_type;
  /**
   * Ordinal of the GPU; 0 on the CPU.
   */
  int32_t device_id;
  /**
   * Number type of the weights, OMNIID_PRECISION_...
   */
  int32_t precision;
  /**
   * 1 if the model reads an image encoder; 0 for models that read face embeddings only, whose image_size is 0.
   */
  int32_t has_image_encoder;
  /**
   * 1 if the checkpoint holds a LoRA, which is part of the model: the host has to apply it at strength 1. See
   * omniid_engine_save_lora.
   */
  int32_t has_lora;
  /**
   * Number of values of the face embedding that the model reads; 0 if it reads none.
   */
  uint64_t face_dimension;
  /**
   * The form of that embedding, OMNIID_EMBEDDING_FORM_...; a raw one always serves.
   */
  int32_t face_form;
  /**
   * 1 if the engine has a face recogniser.
   */
  int32_t has_face_recogniser;
  /**
   * The face recognition network that the model was trained with; NULL if it reads no face embedding.
   */
  const char *face_network;
  /**
   * The engine's face recogniser; NULL if there is none.
   */
  const char *face_recogniser;
  /**
   * What the authors of the face recogniser state about its use, or "unknown"; NULL if there is none.
   */
  const char *face_recogniser_licence;
} omniid_engine_info;

/** Initialises an omniid_engine_info. */
#define OMNIID_ENGINE_INFO_INIT { sizeof(omniid_engine_info), 0, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, \
  0, 0, 0, 0, 0, NULL, NULL, NULL }

/**
 * Opens an identity model.
 *
 * Fails with `OMNIID_STATUS_ABI_MISMATCH` when the program was built for another major version of the ABI, with
 * `OMNIID_STATUS_IO` or `OMNIID_STATUS_FORMAT` for files that cannot be read, with `OMNIID_STATUS_UNSUPPORTED` for
 * checkpoint families and devices that this build cannot run, with `OMNIID_STATUS_MISMATCH` when image encoder, face
 * recogniser, checkpoint and host do not belong together (a face recogniser of another network than the model's is
 * named, with the one that fits), and with `OMNIID_STATUS_INVALID_ARGUMENT` for options that the checkpoint has no use
 * for. A missing face recogniser is no error: photos can bring embeddings.
 *
 * The caller's part:
 * `options` is initialised with OMNIID_ENGINE_OPTIONS_INIT and its pointers are NULL or valid; `out` is writable.
 */
omniid_status omniid_engine_open(const omniid_engine_options *options,
                                 omniid_engine **out);

/**
 * Frees an engine; NULL is ignored. What was made with it stays valid.
 *
 * The caller's part:
 * `engine` is NULL or came from `omniid_engine_open`, and no call uses it any more.
 */
void omniid_engine_free(omniid_engine *engine);

/**
 * Describes an engine.
 *
 * The caller's part:
 * `engine` is a live engine; `out` is initialised with OMNIID_ENGINE_INFO_INIT.
 */
omniid_status omniid_engine_describe(const omniid_engine *engine, omniid_engine_info *out);

/**
 * Describes layer `layer` of the engine's host, in the order of the adapter. Its name lives as long as the engine.
 *
 * The caller's part:
 * `engine` is a live engine; `out` is initialised with OMNIID_HOST_LAYER_INIT.
 */
omniid_status omniid_engine_host_layer(const omniid_engine *engine,
                                       size_t layer,
                                       omniid_host_layer *out);

/*
 * Photos: encoded files, in memory or by path, or raw pixels; and the detection of faces in them.
 */

/**
 * 8 bits per channel, 0 to 255.
 */
#define OMNIID_PIXEL_TYPE_U8 0

/**
 * 32-bit floating point per channel, 0 to 1, sRGB-encoded like 8-bit pixels.
 */
#define OMNIID_PIXEL_TYPE_F32 1

/**
 * Red, green, blue.
 */
#define OMNIID_CHANNEL_ORDER_RGB 0

/**
 * Red, green, blue, alpha; transparent pixels are laid on middle grey, unless alpha is the same everywhere.
 */
#define OMNIID_CHANNEL_ORDER_RGBA 1

/**
 * Blue, green, red.
 */
#define OMNIID_CHANNEL_ORDER_BGR 2

/**
 * Blue, green, red, alpha; transparent pixels are laid on middle grey, unless alpha is the same everywhere.
 */
#define OMNIID_CHANNEL_ORDER_BGRA 3

/**
 * The largest face that the detector finds.
 */
#define OMNIID_FACE_HINT_DETECT 0

/**
 * One of the faces that the detector finds, chosen by its rank in size: face_index. Refused where
 * omniid_encode_options asks for a crop that takes no notice of faces.
 */
#define OMNIID_FACE_HINT_INDEX 1

/**
 * The face inside face_box. Needs no detector.
 */
#define OMNIID_FACE_HINT_BOX 2

/**
 * The face with the five face_landmarks. Needs no detector.
 */
#define OMNIID_FACE_HINT_LANDMARKS 3

/**
 * One photo of a person. At most one of path, data and pixels may be set, and none only with an embedding.
 *
 * Face fields that do not belong to `face_hint` are refused. What describes pixels is not looked at without them.
 */
typedef struct omniid_photo {
  /**
   * Set by OMNIID_PHOTO_INIT.
   */
  uint32_t struct_size;
  /**
   * Which face is the person's, OMNIID_FACE_HINT_... Default: the largest that the detector finds.
   */
  int32_t face_hint;
  /**
   * A JPEG, PNG, WebP, BMP or TIFF file.
   */
  const char *path;
  /**
   * The bytes of such a file.
   */
  const void *data;
  /**
   * Number of bytes of data.
   */
  size_t data_size;
  /**
   * Raw pixels: interleaved channels, rows from top to bottom. f32 pixels must be aligned to 4 bytes.
   */
  const void *pixels;
  /**
   * Bytes from one row of pixels to the next. Default: rows without gaps.
   */
  size_t row_stride;
  /**
   * Width of pixels.
   */
  uint32_t width;
  /**
   * Height of pixels.
   */
  uint32_t height;
  /**
   * Type of a channel, OMNIID_PIXEL_TYPE_...
   */
  int32_t pixel_type;
  /**
   * Order of the channels, OMNIID_CHANNEL_ORDER_...
   */
  int32_t channel_order;
  /**
   * With OMNIID_FACE_HINT_BOX: left, top, right, bottom in pixels of the upright photo.
   */
  float face_box[4];
  /**
   * With OMNIID_FACE_HINT_LANDMARKS: x and y of the eye at the image's left, the eye at its right, the nose tip, the
   * mouth corner at its left and the one at its right, in pixels of the upright photo.
   */
  float face_landmarks[10];
  /**
   * With OMNIID_FACE_HINT_INDEX: rank of the face in size; 0 is the largest.
   */
  uint32_t face_index;
  /**
   * Leave at 0.
   */
  uint32_t reserved;
  /**
   * What to call the photo in messages and reports. Default, and if it is empty: its path, or "photo in memory".
   */
  const char *name;
  /**
   * The embedding of the person's face, if the host has it: embedding_size values. Models that read face embeddings
   * take this one and run no recognition network on the photo; those that read nothing else need no picture. Refused
   * for models and engines that compare no faces.
   */
  const float *embedding;
  /**
   * Number of values of the embedding.
   */
  size_t embedding_size;
  /**
   * The network that made the embedding: its file's name without ending ("w600k_r50", "glintr100"), the pack that it
   * comes in ("buffalo_l", "antelopev2"), "sface", "ir_se50", or the text that this library gives. Needed with an
   * embedding.
   */
  const char *embedding_network;
  /**
   * The form of the embedding, OMNIID_EMBEDDING_FORM_... Default: raw, as the network gives it.
   */
  int32_t embedding_form;
  /**
   * Leave at 0.
   */
  uint32_t reserved_embedding;
  /**
   * Which pixels of the upright photo are the person's face, hair included, if the host has found out:
   * face_mask_height rows of face_mask_width values from 0 to 1; from 0.5 on it is the face. PuLID takes this instead
   * of a face parser and sees the other pixels white. Refused for other models, and with a crop other than theirs.
   */
  const float *face_mask;
  /**
   * Number of rows of face_mask: the height of the upright photo.
   */
  uint32_t face_mask_height;
  /**
   * Number of columns of face_mask: the width of the upright photo.
   */
  uint32_t face_mask_width;
} omniid_photo;

/** Initialises an omniid_photo. */
#define OMNIID_PHOTO_INIT { sizeof(omniid_photo), 0, NULL, NULL, 0, NULL, 0, 0, 0, 0, 0, { 0 }, { 0 }, 0, 0, \
  NULL, NULL, 0, NULL, 0, 0, NULL, 0, 0 }

/**
 * Options of face detection, with the defaults that OMNIID_DETECT_OPTIONS_INIT sets.
 */
typedef struct omniid_detect_options {
  /**
   * Set by OMNIID_DETECT_OPTIONS_INIT.
   */
  uint32_t struct_size;
  /**
   * Minimum confidence of a face, above 0 up to 1. Default: the detector's own.
   */
  float score_threshold;
  /**
   * Boxes that overlap more than this (intersection over union, above 0 up to 1) are one face. Default: the
   * detector's own.
   */
  float overlap_threshold;
  /**
   * Longer side in pixels to which larger photos are scaled down for the first search. Default: 640.
   */
  uint32_t side;
  /**
   * Longer side for the second search, which finds faces that are too small in the first. Default: 1920.
   */
  uint32_t fine_side;
  /**
   * 1: do the second search even if the first has found faces. Default: 0.
   */
  int32_t exhaustive;
  /**
   * 1: take the photo as upright. Otherwise it is compared with itself turned by 90, 180 and 270 degrees, unless it
   * is upright beyond doubt. Default: 0.
   */
  int32_t upright_only;
  /**
   * Leave at 0.
   */
  uint32_t reserved;
} omniid_detect_options;

/** Initialises an omniid_detect_options. */
#define OMNIID_DETECT_OPTIONS_INIT { sizeof(omniid_detect_options), 0.0f, 0.0f, 0, 0, 0, 0, 0 }

/**
 * A face in a photo, in pixels of the upright photo.
 */
typedef struct omniid_face {
  /**
   * Set by OMNIID_FACE_INIT.
   */
  uint32_t struct_size;
  /**
   * Confidence, 0 to 1; 1 for a face that the host has given.
   */
  float score;
  /**
   * Left, top, right, bottom.
   */
  float bounds[4];
  /**
   * x and y of the eye at the image's left, the eye at its right, the nose tip, the mouth corner at its left and
   * the one at its right.
   */
  float landmarks[10];
} omniid_face;

/** Initialises an omniid_face. */
#define OMNIID_FACE_INIT { sizeof(omniid_face), 0.0f, { 0 }, { 0 } }

/**
 * Finds the faces in a photo, the largest first.
 *
 * Writes at most `capacity` of them to `faces`, of which only the first element must be initialised (with
 * OMNIID_FACE_INIT), and their number to `count`, which may be larger. `faces` may be NULL when `capacity` is 0;
 * `options` may be NULL. A photo without faces is no error: `count` is 0. The photo's `face_hint` is ignored.
 *
 * The caller's part:
 * `engine` is a live engine; `photo` and `options` are initialised structs; `faces` has room for `capacity` structs;
 * `count` is writable.
 */
omniid_status omniid_engine_detect_faces(const omniid_engine *engine,
                                         const omniid_photo *photo,
                                         const omniid_detect_options *options,
                                         omniid_face *faces,
                                         size_t capacity,
                                         size_t *count);

/*
 * Identities: what the encoder makes of one person's photos. They outlive the engine that made them, and are saved in
 * files without executable content.
 */

/**
 * The identity tokens of one person. Immutable; may be used from any number of threads at once.
 */
typedef struct omniid_identity omniid_identity;

/**
 * Description of an identity. Its strings live as long as the identity.
 */
typedef struct omniid_identity_info {
  /**
   * Set by OMNIID_IDENTITY_INFO_INIT.
   */
  uint32_t struct_size;
  /**
   * Kind of the encoder that made it, OMNIID_ENCODER_...
   */
  int32_t encoder;
  /**
   * Number of tokens.
   */
  uint64_t tokens;
  /**
   * Width of a token.
   */
  uint64_t token_width;
  /**
   * Number of photos that it was made from.
   */
  uint64_t photos;
  /**
   * Number of photos whose features are kept, so that an Omni-ID identity can be extended: all or none.
   */
  uint64_t features;
  /**
   * Fingerprint of the model that made it.
   */
  const char *model;
  /**
   * Human-readable label; may be empty.
   */
  const char *label;
  /**
   * Time of creation: UTC, RFC 3339.
   */
  const char *created;
  /**
   * Note on what the person has consented to; may be empty.
   */
  const char *consent;
  /**
   * Number of photos whose face embeddings are kept, for omniid_likeness_of and for extending; see
   * omniid_identity_embedding.
   */
  uint64_t embeddings;
  /**
   * How the photos were combined, OMNIID_COMBINE_...
   */
  int32_t combine;
  /**
   * The shortcut scale of FaceID-PlusV2 that it was made with; 1 for other models.
   */
  float shortcut_scale;
} omniid_identity_info;

/** Initialises an omniid_identity_info. */
#define OMNIID_IDENTITY_INFO_INIT { sizeof(omniid_identity_info), 0, 0, 0, 0, 0, NULL, NULL, NULL, NULL, 0, 0, \
  0.0f }

/**
 * Reads an identity from an `.omniid` file.
 *
 * The caller's part:
 * `path` is NUL-terminated; `out` is writable.
 */
omniid_status omniid_identity_load(const char *path, omniid_identity **out);

/**
 * Reads an identity from the bytes of an `.omniid` file.
 *
 * The caller's part:
 * `data` points to `size` readable bytes; `out` is writable.
 */
omniid_status omniid_identity_from_bytes(const void *data, size_t size, omniid_identity **out);

/**
 * Writes an identity to a file, as `OMNIID_PRECISION_F32` or, at half the size, `OMNIID_PRECISION_F16`. An existing
 * file is replaced when the new one is complete.
 *
 * The caller's part:
 * `identity` is a live identity; `path` is NUL-terminated.
 */
omniid_status omniid_identity_save(const omniid_identity *identity,
                                   const char *path,
                                   int32_t precision);

/**
 * Writes an identity to memory: the bytes that `omniid_identity_save` writes to the file.
 *
 * `size` receives the number of bytes, also when `buffer` is NULL and nothing is written. When `capacity` is smaller,
 * the call fails with `OMNIID_STATUS_INVALID_ARGUMENT`, and `size` still says how many are needed.
 *
 * The caller's part:
 * `identity` is a live identity; `buffer` is NULL or has room for `capacity` bytes; `size` is writable.
 */
omniid_status omniid_identity_to_bytes(const omniid_identity *identity,
                                       int32_t precision,
                                       void *buffer,
                                       size_t capacity,
                                       size_t *size);

/**
 * Describes an identity.
 *
 * The caller's part:
 * `identity` is a live identity; `out` is initialised with OMNIID_IDENTITY_INFO_INIT.
 */
omniid_status omniid_identity_describe(const omniid_identity *identity,
                                       omniid_identity_info *out);

/**
 * Hands out the tokens, f32 `[tokens, token_width]`, read-only and without a copy. They stay valid after the identity
 * is freed. Free them with `omniid_managed_tensor_free` or their deleter.
 *
 * The caller's part:
 * `identity` is a live identity; `out` is writable.
 */
omniid_status omniid_identity_tokens(const omniid_identity *identity,
                                     omniid_managed_tensor **out);

/**
 * Copies the tokens into a tensor of the host: `[tokens, token_width]` on the CPU; f32, f16 or bf16; any strides.
 *
 * The caller's part:
 * `identity` is a live identity; `out` describes writable memory.
 */
omniid_status omniid_identity_copy_tokens(const omniid_identity *identity,
                                          const omniid_tensor *out);

/**
 * Makes a copy of an identity with another label and consent note; NULL keeps the present one.
 *
 * The caller's part:
 * `identity` is a live identity; the texts are NULL or NUL-terminated; `out` is writable.
 */
omniid_status omniid_identity_with_notes(const omniid_identity *identity,
                                         const char *label,
                                         const char *consent,
                                         omniid_identity **out);

/**
 * Makes a copy of an identity without the photos' features and face embeddings: smaller, but an identity of a model that
 * reads all photos at once can no longer be extended, and none compared by a face recogniser.
 *
 * The caller's part:
 * `identity` is a live identity; `out` is writable.
 */
omniid_status omniid_identity_without_features(const omniid_identity *identity,
                                               omniid_identity **out);

/**
 * Compares two identities of the engine's model: cosine similarity, -1 to 1, after subtracting the model's mean
 * identity and projecting onto the directions that distinguish people, where the checkpoint has them.
 *
 * Fails with `OMNIID_STATUS_MISMATCH` when another model made either identity.
 *
 * The caller's part:
 * `engine`, `first` and `second` are live; `out` is writable.
 */
omniid_status omniid_identity_similarity(const omniid_engine *engine,
                                         const omniid_identity *first,
                                         const omniid_identity *second,
                                         float *out);

/**
 * Hands out an identity's vector for comparisons, f32 `[length]`, read-only: what an index of many people stores.
 *
 * It has length 1, or is all zeros for an identity without a direction. The dot product of two such vectors is the
 * `omniid_identity_similarity` of their identities. `length` is the same for all identities of an engine. Vectors of
 * one checkpoint belong together: another checkpoint may compare in other directions although its tokens are the same.
 * The vector stays valid after identity and engine are freed; free it with `omniid_managed_tensor_free` or its
 * deleter.
 *
 * Fails with `OMNIID_STATUS_MISMATCH` when another model made the identity.
 *
 * The caller's part:
 * `engine` and `identity` are live; `out` is writable.
 */
omniid_status omniid_identity_comparison_vector(const omniid_engine *engine,
                                                const omniid_identity *identity,
                                                omniid_managed_tensor **out);

/**
 * Frees an identity; NULL is ignored.
 *
 * The caller's part:
 * `identity` is NULL or came from this library, and no call uses it any more.
 */
void omniid_identity_free(omniid_identity *identity);

/*
 * Encoding: one person's photos become an identity, and more photos are added to it.
 */

/**
 * The model's own crop.
 */
#define OMNIID_CROP_DEFAULT 0

/**
 * The whole photo: the image encoder's own preprocessing scales its shorter side and crops the centre.
 */
#define OMNIID_CROP_NONE 1

/**
 * The largest square at the centre of the photo.
 */
#define OMNIID_CROP_CENTER 2

/**
 * A square around the face, with a margin.
 */
#define OMNIID_CROP_FACE 3

/**
 * The face rotated, scaled and shifted so that its landmarks lie on the ArcFace template.
 */
#define OMNIID_CROP_ALIGNED 4

/**
 * Leave out a photo that cannot be used, and note it in the report.
 */
#define OMNIID_BAD_PHOTO_SKIP 0

/**
 * Fail the call.
 */
#define OMNIID_BAD_PHOTO_FAIL 1

/**
 * Use photos that look like somebody else than the others, and note it in the report. In photos with several faces the
 * one is taken that looks like the other photos.
 */
#define OMNIID_STRANGERS_NOTE 0

/**
 * Leave out photos that look like somebody else than the others, and say so in the report.
 */
#define OMNIID_STRANGERS_LEAVE_OUT 1

/**
 * Do not compare the photos. Of several faces the largest is taken.
 */
#define OMNIID_STRANGERS_IGNORE 2

/**
 * The tokens of each photo, one after the other.
 */
#define OMNIID_COMBINE_CONCATENATE 0

/**
 * The mean of the photos' features and face embeddings.
 */
#define OMNIID_COMBINE_AVERAGE 1

/**
 * The mean, each value divided by its norm over the photos.
 */
#define OMNIID_COMBINE_NORM_AVERAGE 2

/**
 * The sum.
 */
#define OMNIID_COMBINE_ADD 3

/**
 * The first photo less the mean of the others.
 */
#define OMNIID_COMBINE_SUBTRACT 4

/**
 * The largest of each value.
 */
#define OMNIID_COMBINE_MAX 5

/**
 * The smallest of each value.
 */
#define OMNIID_COMBINE_MIN 6

/**
 * What became of each photo of a call. Immutable; may be used from any number of threads at once.
 */
typedef struct omniid_report omniid_report;

/**
 * Options of encoding, with the defaults that OMNIID_ENCODE_OPTIONS_INIT sets.
 */
typedef struct omniid_encode_options {
  /**
   * Set by OMNIID_ENCODE_OPTIONS_INIT.
   */
  uint32_t struct_size;
  /**
   * How photos are cropped, OMNIID_CROP_... Default: the model's own crop.
   */
  int32_t crop;
  /**
   * With OMNIID_CROP_FACE: margin on each side as a fraction of the face's longer side, 0 to 4; 0 is no margin, a
   * negative number the library's default, 0.5. With another crop, a margin above 0 is refused.
   * OMNIID_ENCODE_OPTIONS_INIT sets -1.0f.
   */
  float crop_margin;
  /**
   * With OMNIID_CROP_ALIGNED: scale of the template; 0.5 shows twice as much around the face. With another crop,
   * only the default is accepted. Default: 1, the template as published.
   */
  float crop_scale;
  /**
   * Number of photos that pass through the image encoder together. Default: 4.
   */
  uint32_t batch_size;
  /**
   * What to do with a photo that cannot be used, OMNIID_BAD_PHOTO_... Default: leave it out.
   */
  int32_t bad_photo;
  /**
   * 1: do not keep the photos' features. The identity is smaller, but an Omni-ID identity cannot be extended then.
   * Default: 0.
   */
  int32_t drop_features;
  /**
   * What to do with photos that look like somebody else than the others, OMNIID_STRANGERS_... Default: note it.
   */
  int32_t strangers;
  /**
   * Human-readable label, stored with the identity. NULL and an empty text are the default: none; when extending,
   * the identity's own (omniid_identity_with_notes takes a label away).
   */
  const char *label;
  /**
   * Note on what the person has consented to, stored with the identity. Default: as for label.
   */
  const char *consent;
  /**
   * Receives a report on each photo, to be freed with omniid_report_free. A failed call sets it to NULL; its message
   * says what was wrong with the photos. Default: no report.
   */
  omniid_report **report;
  /**
   * Is told about progress and can cancel the call. Default: none.
   */
  omniid_progress_fn progress;
  /**
   * Passed to progress; not looked at without one.
   */
  void *progress_user_data;
  /**
   * How several photos are combined before the identity encoder, OMNIID_COMBINE_... When extending, the default is
   * what the identity was made with, and something else is refused. Default: the tokens of each photo one after the other.
   */
  int32_t combine;
  /**
   * 1: shortcut_scale counts. Default: 0, the model's own scale of 1.
   */
  int32_t has_shortcut_scale;
  /**
   * Weight of the image features of FaceID-PlusV2 beside the face embedding (s_scale, weight_faceidv2). Another value
   * than 1 is refused for models without a shortcut.
   */
  float shortcut_scale;
  /**
   * Leave at 0.
   */
  uint32_t reserved;
} omniid_encode_options;

/** Initialises an omniid_encode_options. */
#define OMNIID_ENCODE_OPTIONS_INIT { sizeof(omniid_encode_options), 0, -1.0f, 0.0f, 0, 0, 0, 0, NULL, NULL, \
  NULL, NULL, NULL, 0, 0, 0.0f, 0 }

/**
 * What became of one photo. Its strings live as long as the report.
 */
typedef struct omniid_photo_report {
  /**
   * Set by OMNIID_PHOTO_REPORT_INIT.
   */
  uint32_t struct_size;
  /**
   * OMNIID_STATUS_OK if the photo went into the identity; otherwise why it was left out.
   */
  omniid_status status;
  /**
   * The photo's path, or a description of a photo in memory.
   */
  const char *name;
  /**
   * Why the photo was left out, or remarks on one that was used, joined by semicolons, such as that it was cropped
   * in another way than asked for. May be empty.
   */
  const char *reason;
  /**
   * 1 if the photo was cropped around face_bounds.
   */
  int32_t has_bounds;
  /**
   * 1 if face_score and face_landmarks are set: the detector has found the face, or its landmarks were given.
   */
  int32_t has_landmarks;
  /**
   * Left, top, right, bottom in pixels of the upright photo.
   */
  float face_bounds[4];
  /**
   * Landmarks of the face, as in omniid_face.
   */
  float face_landmarks[10];
  /**
   * Confidence of the face.
   */
  float face_score;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * Degrees clockwise by which the photo had to be turned for the face to be upright: 0, 90, 180 or 270.
   */
  int32_t rotation;
  /**
   * How alike the photo is to the others that were given, or of the identity that is extended, -1 to 1. NaN: there was
   * nothing to compare it with.
   */
  float similarity;
} omniid_photo_report;

/** Initialises an omniid_photo_report. */
#define OMNIID_PHOTO_REPORT_INIT { sizeof(omniid_photo_report), 0, NULL, NULL, 0, 0, { 0 }, { 0 }, 0.0f, 0, 0, \
  0.0f }

/**
 * Makes an identity from one or more photos of the same person. `options` may be NULL.
 *
 * A photo that cannot be used is left out and reported, unless the options say otherwise. Fails with
 * `OMNIID_STATUS_NO_FACE` when no photo shows a face, and with the first photo's own error when none can be used for
 * other reasons. A photo that brings its embedding is such a reason too: `OMNIID_STATUS_MISMATCH` for one of another
 * network or another length than the model's, and for a normalised one where the model needs the raw one.
 *
 * The caller's part:
 * `engine` is a live engine; `photos` points to `photo_count` structs initialised with OMNIID_PHOTO_INIT; `options` is
 * NULL or initialised with OMNIID_ENCODE_OPTIONS_INIT; `out` is writable.
 */
omniid_status omniid_encode(const omniid_engine *engine,
                            const omniid_photo *photos,
                            size_t photo_count,
                            const omniid_encode_options *options,
                            omniid_identity **out);

/**
 * Makes a new identity from an identity and more photos: equal to encoding all photos at once, at the cost of the new
 * ones. `options` may be NULL.
 *
 * Fails with `OMNIID_STATUS_MISMATCH` when another model made the identity, and with `OMNIID_STATUS_UNSUPPORTED` when
 * an Omni-ID identity does not hold its photos' features.
 *
 * The caller's part:
 * As `omniid_encode`; `identity` is a live identity.
 */
omniid_status omniid_identity_extend(const omniid_engine *engine,
                                     const omniid_identity *identity,
                                     const omniid_photo *photos,
                                     size_t photo_count,
                                     const omniid_encode_options *options,
                                     omniid_identity **out);

/**
 * Runs the image encoder on photos, without the identity encoder, and hands out their features, f32 `[photos, feature
 * tokens, feature width]`, read-only, of the photos that could be used. `options` may be NULL.
 *
 * Features are the hidden states before the last layer, the class token first; for models that take an image embedding,
 * that as one token. `omniid_identity_from_features` makes an identity of them: the two together are `omniid_encode`,
 * whose failures this call has. Free the tensor with `omniid_managed_tensor_free` or its deleter; it stays valid after
 * the engine is freed. Fails with `OMNIID_STATUS_UNSUPPORTED` for models that read no image encoder.
 *
 * The caller's part:
 * As `omniid_encode`.
 */
omniid_status omniid_photo_features(const omniid_engine *engine,
                                    const omniid_photo *photos,
                                    size_t photo_count,
                                    const omniid_encode_options *options,
                                    omniid_managed_tensor **out);

/**
 * Makes an identity of the features of one or more photos of the same person: `[photos, feature tokens, feature width]`
 * on the CPU, as `omniid_photo_features` gives them; f32, f16 or bf16; any strides. Copied.
 *
 * The host may have run the same image encoder itself, or combined features: their mean is one photo that lies between
 * them. Of `options`, which may be NULL, `label`, `consent` and `drop_features` count; the others are refused, and the
 * report is empty.
 *
 * Fails with `OMNIID_STATUS_MISMATCH` for another shape than the model's, with `OMNIID_STATUS_INVALID_ARGUMENT` for
 * zero photos and values that are not finite, and with `OMNIID_STATUS_UNSUPPORTED` for models that read face embeddings.
 *
 * The caller's part:
 * `engine` is a live engine; `features` describes readable memory; `options` is NULL or initialised with
 * OMNIID_ENCODE_OPTIONS_INIT; `out` is writable.
 */
omniid_status omniid_identity_from_features(const omniid_engine *engine,
                                            const omniid_tensor *features,
                                            const omniid_encode_options *options,
                                            omniid_identity **out);

/**
 * Number of entries in a report: one for each photo of the call, in the same order.
 *
 * The caller's part:
 * `report` is a live report; `out` is writable.
 */
omniid_status omniid_report_photo_count(const omniid_report *report, size_t *out);

/**
 * Describes what became of photo `index`.
 *
 * The caller's part:
 * `report` is a live report; `out` is initialised with OMNIID_PHOTO_REPORT_INIT.
 */
omniid_status omniid_report_photo(const omniid_report *report,
                                  size_t index,
                                  omniid_photo_report *out);

/**
 * Frees a report; NULL is ignored.
 *
 * The caller's part:
 * `report` is NULL or came from this library, and no call uses it any more.
 */
void omniid_report_free(omniid_report *report);

/*
 * Conditionings: identities, projected once to the keys and values of every attention layer of a host.
 */

/**
 * The identity's weight w in every layer.
 */
#define OMNIID_WEIGHT_TYPE_LINEAR 0

/**
 * Strong in the early layers.
 */
#define OMNIID_WEIGHT_TYPE_EASE_IN 1

/**
 * Strong in the late layers.
 */
#define OMNIID_WEIGHT_TYPE_EASE_OUT 2

/**
 * Strong in the middle layers.
 */
#define OMNIID_WEIGHT_TYPE_EASE_IN_OUT 3

/**
 * Weak in the middle layers.
 */
#define OMNIID_WEIGHT_TYPE_REVERSE_IN_OUT 4

/**
 * 0.2 w in the down-sampling half.
 */
#define OMNIID_WEIGHT_TYPE_WEAK_INPUT 5

/**
 * 0.2 w in the up-sampling half.
 */
#define OMNIID_WEIGHT_TYPE_WEAK_OUTPUT 6

/**
 * 0.2 w in the middle block.
 */
#define OMNIID_WEIGHT_TYPE_WEAK_MIDDLE 7

/**
 * 0.2 w everywhere except in the middle block.
 */
#define OMNIID_WEIGHT_TYPE_STRONG_MIDDLE 8

/**
 * Only the style layers. This type and the following ones are for SD1.5 and SDXL.
 */
#define OMNIID_WEIGHT_TYPE_STYLE_TRANSFER 9

/**
 * Only the composition layers.
 */
#define OMNIID_WEIGHT_TYPE_COMPOSITION 10

/**
 * All layers except the composition layers.
 */
#define OMNIID_WEIGHT_TYPE_STRONG_STYLE_TRANSFER 11

/**
 * Style and composition layers, each with a weight of its own.
 */
#define OMNIID_WEIGHT_TYPE_STYLE_AND_COMPOSITION 12

/**
 * All layers, the composition layers with a weight of their own.
 */
#define OMNIID_WEIGHT_TYPE_STRONG_STYLE_AND_COMPOSITION 13

/**
 * Style layers, with composition pushed away.
 */
#define OMNIID_WEIGHT_TYPE_STYLE_TRANSFER_PRECISE 14

/**
 * Composition layers, with style pushed away.
 */
#define OMNIID_WEIGHT_TYPE_COMPOSITION_PRECISE 15

/**
 * At every step.
 */
#define OMNIID_STEP_RANGE_ALWAYS 0

/**
 * While step_end <= sigma <= step_start; step_start is the larger number.
 */
#define OMNIID_STEP_RANGE_SIGMA 1

/**
 * While step_start <= fraction <= step_end, both within 0 to 1.
 */
#define OMNIID_STEP_RANGE_FRACTION 2

/**
 * As in the checkpoint's reference code.
 */
#define OMNIID_UNCONDITIONAL_DEFAULT 0

/**
 * Nothing is injected into unconditional rows.
 */
#define OMNIID_UNCONDITIONAL_NONE 1

/**
 * A zero image embedding through the projection.
 */
#define OMNIID_UNCONDITIONAL_ZERO_EMBEDDING 2

/**
 * An image whose values are zero after normalisation.
 */
#define OMNIID_UNCONDITIONAL_ZERO_PIXELS 3

/**
 * A black image.
 */
#define OMNIID_UNCONDITIONAL_BLACK_IMAGE 4

/**
 * All-zero image features.
 */
#define OMNIID_UNCONDITIONAL_ZERO_FEATURES 5

/**
 * All-zero identity tokens.
 */
#define OMNIID_UNCONDITIONAL_ZERO_TOKENS 6

/**
 * The model's mean identity, if the checkpoint has one.
 */
#define OMNIID_UNCONDITIONAL_MEAN_TOKENS 7

/**
 * The weight multiplies the output of the attention.
 */
#define OMNIID_EMBEDS_SCALING_VALUES 0

/**
 * The weight multiplies keys and values.
 */
#define OMNIID_EMBEDS_SCALING_KEYS_AND_VALUES 1

/**
 * The weight times inner width / 1280 multiplies keys and values.
 */
#define OMNIID_EMBEDS_SCALING_KEYS_AND_VALUES_PENALTY 2

/**
 * The weight times inner width / 1280 multiplies the keys, and of the values only their mean over the tokens.
 */
#define OMNIID_EMBEDS_SCALING_KEYS_AND_MEAN_VALUES_PENALTY 3

/**
 * As in ComfyUI: grid from the latent size, bilinear.
 */
#define OMNIID_MASK_MODE_COMFYUI 0

/**
 * As in diffusers: grid from the mask's proportions, bicubic.
 */
#define OMNIID_MASK_MODE_DIFFUSERS 1

/**
 * The identity's attention is added to the output.
 */
#define OMNIID_INJECTION_ADD 0

/**
 * PuLID's ORTHO: without its part that points the way of the output, for each channel over all image tokens.
 */
#define OMNIID_INJECTION_ORTHOGONAL 1

/**
 * PuLID's ORTHO_v2: that part is kept where image tokens look at the identity's first five tokens.
 */
#define OMNIID_INJECTION_ORTHOGONAL_V2 2

/**
 * Keys and values of identities for every layer of a host. Immutable; may be used from any number of threads at once.
 */
typedef struct omniid_conditioning omniid_conditioning;

/**
 * One identity to condition on, with the defaults that OMNIID_CONDITIONING_INPUT_INIT sets.
 */
typedef struct omniid_conditioning_input {
  /**
   * Set by OMNIID_CONDITIONING_INPUT_INIT.
   */
  uint32_t struct_size;
  /**
   * Weight of the identity; 0 switches it off. OMNIID_CONDITIONING_INPUT_INIT sets 1.0f.
   */
  float scale;
  /**
   * The identity.
   */
  const omniid_identity *identity;
  /**
   * Where in the picture the identity acts: mask_height rows of mask_width values from 0 to 1, copied. Default:
   * everywhere.
   */
  const float *mask;
  /**
   * Number of rows of the mask.
   */
  uint32_t mask_height;
  /**
   * Number of columns of the mask.
   */
  uint32_t mask_width;
  /**
   * How the range of sampling steps is given in which the identity acts, OMNIID_STEP_RANGE_... Default: always.
   */
  int32_t step_range;
  /**
   * What unconditional rows attend to instead of the identity, OMNIID_UNCONDITIONAL_... Default: as in the
   * checkpoint's reference code.
   */
  int32_t unconditional;
  /**
   * First sigma or fraction of the range.
   */
  double step_start;
  /**
   * Last sigma or fraction of the range.
   */
  double step_end;
  /**
   * An identity that unconditional rows attend to instead; overrides `unconditional`. Default: none.
   */
  const omniid_identity *negative;
  /**
   * Another identity for the composition layers of the weight types "style and composition". Default: the same one.
   */
  const omniid_identity *composition;
} omniid_conditioning_input;

/** Initialises an omniid_conditioning_input. */
#define OMNIID_CONDITIONING_INPUT_INIT { sizeof(omniid_conditioning_input), 1.0f, NULL, NULL, 0, 0, 0, 0, 0.0f, \
  0.0f, NULL, NULL }

/**
 * Options of a conditioning, for all its identities, with the defaults that OMNIID_CONDITIONING_OPTIONS_INIT sets.
 */
typedef struct omniid_conditioning_options {
  /**
   * Set by OMNIID_CONDITIONING_OPTIONS_INIT.
   */
  uint32_t struct_size;
  /**
   * How an identity's weight is spread over the layers, OMNIID_WEIGHT_TYPE_... Default: linear.
   */
  int32_t weight_type;
  /**
   * A further factor for each layer of the host, in the order of its table. Default: 1 everywhere.
   */
  const float *layer_scales;
  /**
   * Number of layer_scales: 0 or the number of layers.
   */
  size_t layer_scale_count;
  /**
   * How the weight acts on keys and values, OMNIID_EMBEDS_SCALING_... Default: it multiplies the output.
   */
  int32_t embeds_scaling;
  /**
   * Whose rules for placing masks are followed, OMNIID_MASK_MODE_..., for identities that have one. Default:
   * ComfyUI's.
   */
  int32_t mask_mode;
  /**
   * Number type of the stored keys and values, OMNIID_PRECISION_... but int8. Default: f32.
   */
  int32_t precision;
  /**
   * Leave at 0.
   */
  uint32_t reserved;
  /**
   * Weight of the composition layers of the weight types "style and composition". Default: the identity's scale.
   */
  const float *composition_scale;
  /**
   * Weight of the swapped layers of "style transfer precise". Default: the identity's scale.
   */
  const float *style_boost;
  /**
   * Weight of the swapped layers of "composition precise". Default: the identity's scale.
   */
  const float *composition_boost;
  /**
   * Is told about progress and can cancel the call. Default: none.
   */
  omniid_progress_fn progress;
  /**
   * Passed to progress; not looked at without one.
   */
  void *progress_user_data;
  /**
   * Number of further tokens with zero keys and values that take part in each softmax, at most 65536. They need no
   * memory. PuLID: 8 for fidelity, with OMNIID_INJECTION_ORTHOGONAL_V2; 16 for style, with
   * OMNIID_INJECTION_ORTHOGONAL; 0 for neutral, with OMNIID_INJECTION_ADD. Default: 0.
   */
  size_t zero_tokens;
  /**
   * How an identity's attention joins the layer's output, OMNIID_INJECTION_... Default: it is added.
   */
  int32_t injection;
  /**
   * 1: the values of InstantX's FLUX adapter are normalised like its keys, as some ComfyUI nodes do and the authors'
   * code does not. Other adapters refuse it. Default: 0.
   */
  int32_t normalise_values;
  /**
   * Share of the second token set of adapters that have two (WithAnyone), 0 to 1; the first one has the rest. Others
   * do not look at it. Default: both count in full.
   */
  const float *siglip_weight;
  /**
   * For adapters whose keys and values depend on the denoising timestep (SD3.5), the timesteps, 0 to 1000, to compute
   * them for: that of the step, or all of the schedule. An injection takes those of the call's sigma, a thousandth of
   * the timestep. Other adapters refuse them. Default: none.
   */
  const float *timesteps;
  /**
   * Number of timesteps, at most 1000.
   */
  size_t timestep_count;
} omniid_conditioning_options;

/** Initialises an omniid_conditioning_options. */
#define OMNIID_CONDITIONING_OPTIONS_INIT { sizeof(omniid_conditioning_options), 0, NULL, 0, 0, 0, 0, 0, NULL, \
  NULL, NULL, NULL, NULL, 0, 0, 0, NULL, NULL, 0 }

/**
 * Projects one or more identities to the keys and values of every layer of the engine's host. Each identity has a
 * softmax of its own; their contributions are added. `options` may be NULL.
 *
 * Fails with `OMNIID_STATUS_MISMATCH` when another model made an identity or the adapter is for another host, and with
 * `OMNIID_STATUS_UNSUPPORTED` when the checkpoint has no adapter, the host is not known, or the weight type or the
 * unconditional variant does not exist for it. `OMNIID_STATUS_INVALID_ARGUMENT`: no identities, a number that is not
 * finite or out of range, an option of another kind of adapter, or no timesteps for an adapter that depends on them.
 *
 * The caller's part:
 * `engine` is a live engine; `identities` points to `identity_count` structs initialised with
 * OMNIID_CONDITIONING_INPUT_INIT; `options` is NULL or initialised with OMNIID_CONDITIONING_OPTIONS_INIT; `out` is
 * writable.
 */
omniid_status omniid_conditioning_create(const omniid_engine *engine,
                                         const omniid_conditioning_input *identities,
                                         size_t identity_count,
                                         const omniid_conditioning_options *options,
                                         omniid_conditioning **out);

/**
 * Frees a conditioning; NULL is ignored.
 *
 * The caller's part:
 * `conditioning` is NULL or came from `omniid_conditioning_create`, and no call uses it any more.
 */
void omniid_conditioning_free(omniid_conditioning *conditioning);

/*
 * Contents of a conditioning: layers by index and name; keys, values and factors for hosts with their own attention.
 */

/**
 * A row that is conditioned on the prompt.
 */
#define OMNIID_ROLE_CONDITIONAL 0

/**
 * A row that is not.
 */
#define OMNIID_ROLE_UNCONDITIONAL 1

/**
 * Number of layers of the host.
 *
 * The caller's part:
 * `conditioning` is a live conditioning; `out` is writable.
 */
omniid_status omniid_conditioning_layer_count(const omniid_conditioning *conditioning, size_t *out);

/**
 * Number of identities.
 *
 * The caller's part:
 * `conditioning` is a live conditioning; `out` is writable.
 */
omniid_status omniid_conditioning_identity_count(const omniid_conditioning *conditioning, size_t *out);

/**
 * Number of bytes that all keys and values occupy.
 *
 * The caller's part:
 * `conditioning` is a live conditioning; `out` is writable.
 */
omniid_status omniid_conditioning_byte_size(const omniid_conditioning *conditioning, size_t *out);

/**
 * How identities' attention joins the layer's output, OMNIID_INJECTION_... A host that runs its own attention can only
 * add, unless it follows PuLID's formulas.
 *
 * The caller's part:
 * `conditioning` is a live conditioning; `out` is writable.
 */
omniid_status omniid_conditioning_injection(const omniid_conditioning *conditioning,
                                            int32_t *out);

/**
 * Number of further tokens with zero keys and values in each softmax (PuLID), which are not part of
 * `omniid_conditioning_keys` and `omniid_conditioning_values`.
 *
 * The caller's part:
 * `conditioning` is a live conditioning; `out` is writable.
 */
omniid_status omniid_conditioning_zero_tokens(const omniid_conditioning *conditioning, size_t *out);

/**
 * Writes 1 if the image's own keys and values take part in each softmax (SD3.5; see `image_keys` of
 * `omniid_inject_call`), otherwise 0.
 *
 * The caller's part:
 * `conditioning` is a live conditioning; `out` is writable.
 */
omniid_status omniid_conditioning_needs_image_keys(const omniid_conditioning *conditioning, int32_t *out);

/**
 * Name of a layer. Lives as long as the conditioning.
 *
 * The caller's part:
 * `conditioning` is a live conditioning; `out` is writable.
 */
omniid_status omniid_conditioning_layer_name(const omniid_conditioning *conditioning,
                                             size_t layer,
                                             const char **out);

/**
 * Describes a layer. Its name lives as long as the conditioning.
 *
 * The caller's part:
 * `conditioning` is a live conditioning; `out` is initialised with OMNIID_HOST_LAYER_INIT.
 */
omniid_status omniid_conditioning_layer(const omniid_conditioning *conditioning,
                                        size_t layer,
                                        omniid_host_layer *out);

/**
 * Index of the layer with a name. diffusers and LDM spellings are known for the built-in hosts, with or without a
 * trailing `.attn2`, `.attn` or `.processor`; so are ComfyUI addresses such as `output,1,3`.
 *
 * The caller's part:
 * `conditioning` is a live conditioning; `name` is NUL-terminated; `out` is writable.
 */
omniid_status omniid_conditioning_find_layer(const omniid_conditioning *conditioning,
                                             const char *name,
                                             size_t *out);

/**
 * Hands out the keys of one identity in one layer, `[tokens, heads, head_dim]`, read-only and without a copy; NULL,
 * with `OMNIID_STATUS_OK`, where nothing is injected. They stay valid after the conditioning is freed.
 *
 * `stream` is ignored on the CPU. On a GPU it is a CUDA stream in the numbering of `omniid_inject_call`, on which the
 * keys may be read. Their deleter may run while queued work still reads them, but not while a stream of the device is
 * being captured into a CUDA graph.
 *
 * A host that runs its own attention adds factor x mask x softmax(q Kt / sqrt(head_dim)) V for each identity that is
 * active at the step; see `omniid_conditioning_factor`, `_mask_factors` and `_is_active`. It heeds
 * `omniid_conditioning_injection`, `_zero_tokens` and `_needs_image_keys`. Of an adapter with two token sets
 * (WithAnyone) these are the first's.
 *
 * Fails with `OMNIID_STATUS_INVALID_ARGUMENT` when there is no such layer or identity, and with
 * `OMNIID_STATUS_UNSUPPORTED` when the conditioning holds keys and values for several timesteps.
 *
 * The caller's part:
 * `conditioning` is a live conditioning; `out` is writable.
 */
omniid_status omniid_conditioning_keys(const omniid_conditioning *conditioning,
                                       size_t layer,
                                       size_t identity,
                                       int32_t role,
                                       int64_t stream,
                                       omniid_managed_tensor **out);

/**
 * Hands out the values of one identity in one layer; see `omniid_conditioning_keys`.
 *
 * The caller's part:
 * As `omniid_conditioning_keys`.
 */
omniid_status omniid_conditioning_values(const omniid_conditioning *conditioning,
                                         size_t layer,
                                         size_t identity,
                                         int32_t role,
                                         int64_t stream,
                                         omniid_managed_tensor **out);

/**
 * Factor of one identity's attention in one layer; 0 where nothing is injected.
 *
 * The caller's part:
 * `conditioning` is a live conditioning; `out` is writable.
 */
omniid_status omniid_conditioning_factor(const omniid_conditioning *conditioning,
                                         size_t layer,
                                         size_t identity,
                                         float *out);

/**
 * Writes 1 if an identity is injected at a step, otherwise 0. `sigma` and `fraction` may be NULL where the identity's
 * range does not need them.
 *
 * The caller's part:
 * `conditioning` is a live conditioning; `sigma` and `fraction` are NULL or point to a number; `out` is writable.
 */
omniid_status omniid_conditioning_is_active(const omniid_conditioning *conditioning,
                                            size_t identity,
                                            const double *sigma,
                                            const double *fraction,
                                            int32_t *out);

/**
 * Writes an identity's mask as one factor for each of a layer's `token_count` image tokens; 1 everywhere if it has no
 * mask. Height and width of the latent image may both be 0 where the mask does not need them.
 *
 * The caller's part:
 * `conditioning` is a live conditioning; `out` has room for `token_count` numbers.
 */
omniid_status omniid_conditioning_mask_factors(const omniid_conditioning *conditioning,
                                               size_t identity,
                                               size_t token_count,
                                               uint32_t latent_height,
                                               uint32_t latent_width,
                                               float *out);

/*
 * Injection: at each attention layer and step the host hands over its queries, and the identities' attention is
 * added to the layer's output, in the host's own memory.
 */

/**
 * `[batch, rows, heads * head_dim]` or `[batch, rows, heads, head_dim]`.
 */
#define OMNIID_LAYOUT_ROWS_FIRST 0

/**
 * `[batch, heads, rows, head_dim]`.
 */
#define OMNIID_LAYOUT_HEADS_FIRST 1

/**
 * The call's sigma is set.
 */
#define OMNIID_INJECT_FLAG_SIGMA 1

/**
 * The call's fraction is set.
 */
#define OMNIID_INJECT_FLAG_FRACTION 2

/**
 * The query or hidden state is not searched for values that are not finite. The search costs less than one percent of
 * the attention.
 */
#define OMNIID_INJECT_FLAG_UNCHECKED 4

/**
 * One attention layer at one step, with the defaults that OMNIID_INJECT_CALL_INIT sets.
 */
typedef struct omniid_inject_call {
  /**
   * Set by OMNIID_INJECT_CALL_INIT.
   */
  uint32_t struct_size;
  /**
   * Multiplies every identity's weight; 0 leaves the output as it is. OMNIID_INJECT_CALL_INIT sets 1.0f.
   */
  float scale;
  /**
   * Index of the layer in the host's table.
   */
  size_t layer;
  /**
   * The layer's queries: f32, f16 or bf16, with any strides that are not negative.
   */
  const omniid_tensor *query;
  /**
   * What the identities' attention is added to. It has the shape, number type and device of the query and must not
   * overlap it. In a UNet: the layer's text attention, before its output projection. In FLUX with XLabs' adapter: the
   * image stream behind the block, after its MLP was added; the query is that of the image, after the block's
   * normalisation and before RoPE. With InstantX's adapter for FLUX: the attention, before its output projection.
   */
  omniid_tensor *output;
  /**
   * Order of the dimensions of query and output, OMNIID_LAYOUT_... Default: rows first.
   */
  int32_t layout;
  /**
   * Sum of OMNIID_INJECT_FLAG_... Default: none.
   */
  uint32_t flags;
  /**
   * The side of guidance of each batch row, OMNIID_ROLE_..., in any order. Default: all rows are conditional.
   */
  const int32_t *roles;
  /**
   * Number of roles: 0, the batch size, or 1 for one role of all rows.
   */
  size_t role_count;
  /**
   * Noise level of the step; not looked at without OMNIID_INJECT_FLAG_SIGMA. Needed by identities that are limited to
   * a range of it, and by conditionings for several timesteps (SD3.5), where it is a thousandth of the timestep.
   */
  double sigma;
  /**
   * Fraction of sampling that is done, 0 to 1; not looked at without OMNIID_INJECT_FLAG_FRACTION. Needed likewise.
   */
  double fraction;
  /**
   * Height of the latent image. Needed by identities with a mask; others do not look at it.
   */
  uint32_t latent_height;
  /**
   * Width of the latent image. As latent_height; both or none.
   */
  uint32_t latent_width;
  /**
   * The CUDA stream of query and output in DLPack's numbering: 1 the legacy default stream, 2 the per-thread default
   * stream, -1 to wait until the work is done, otherwise the stream's handle; 0 is refused. Ignored on the CPU.
   * OMNIID_INJECT_CALL_INIT sets 1.
   */
  int64_t stream;
  /**
   * For SD3.5, whose layers attend to the image and the identity together: the keys that the layer makes of the
   * image, before it normalises them, in the layout of the query; the query is that before it is normalised too.
   * Default: none.
   */
  const omniid_tensor *image_keys;
  /**
   * The values that the layer makes of the image. As image_keys; both or none.
   */
  const omniid_tensor *image_values;
  /**
   * Which part of the work this call does, below part_count. For hosts whose own threads share a layer: each makes the
   * same call with a part of its own, at any time, and the parts together give to the bit what one whole call gives. A
   * part works on the calling thread; one with PuLID's orthogonal injection is whole batch rows, and parts beyond the
   * batch do nothing. An error of one part leaves the others' results. Only on the CPU. Default: 0.
   */
  uint32_t part;
  /**
   * Number of parts. 0 and 1: the whole call, shared by the library's own threads. Default: 0.
   */
  uint32_t part_count;
} omniid_inject_call;

/** Initialises an omniid_inject_call. */
#define OMNIID_INJECT_CALL_INIT { sizeof(omniid_inject_call), 1.0f, 0, NULL, NULL, 0, 0, NULL, 0, 0.0f, 0.0f, \
  0, 0, 1, NULL, NULL, 0, 0 }

/**
 * Adds the identities' attention to a layer's output, in place:
 * output += sum over identities of scale x mask x softmax(query Kt / sqrt(head_dim)) V.
 *
 * Softmax and sums are computed in f32. Layers without weight, identities outside their step range, rows to which
 * nothing is injected, and errors leave the output as it is, bit for bit. After the first call with each shape nothing
 * is allocated.
 *
 * On a GPU the attention runs on the call's stream, in order with the host's own work there; the call does not wait
 * for it. Device memory is allocated for masks only. The first call compiles the kernel, which takes about a second.
 * The query is not searched for values that are not finite. Before a capture into a CUDA graph, make one call outside
 * of it; the graph must not outlive the conditioning. Otherwise the conditioning may be freed as soon as the call
 * returns.
 *
 * Fails with `OMNIID_STATUS_MISMATCH` when shapes or number types of query, output and layer differ and for an adapter
 * of the residual stream (omniid_inject_residual), with `OMNIID_STATUS_INVALID_ARGUMENT` for a layer that does not
 * exist, a query that is not finite (naming layer and row), a sigma that an SD3.5 conditioning has no timestep for, and
 * image keys or values that are missing there or given elsewhere, and with `OMNIID_STATUS_UNSUPPORTED` when the tensors are
 * not where the keys and values are.
 *
 * The caller's part:
 * `conditioning` is a live conditioning; `call` is initialised with OMNIID_INJECT_CALL_INIT; query and output describe
 * memory that is readable and, for output, writable, and that no other thread writes during the call, except other parts
 * of the same call.
 */
omniid_status omniid_inject(const omniid_conditioning *conditioning,
                            const omniid_inject_call *call);

/*
 * Injection into the residual stream: between two blocks of a transformer the host hands over the image's hidden state,
 * and the identities are added to it, in the host's own memory. For PuLID-FLUX and WithAnyone.
 */

/**
 * One place of the residual stream at one step, with the defaults that OMNIID_RESIDUAL_CALL_INIT sets.
 */
typedef struct omniid_residual_call {
  /**
   * Set by OMNIID_RESIDUAL_CALL_INIT.
   */
  uint32_t struct_size;
  /**
   * Multiplies every identity's weight; 0 leaves the output as it is. OMNIID_RESIDUAL_CALL_INIT sets 1.0f.
   */
  float scale;
  /**
   * Index of the layer in the host's table.
   */
  size_t layer;
  /**
   * The image's hidden state after the block, `[batch, image tokens, hidden]`: f32, f16 or bf16, with any strides that
   * are not negative. Default: the output itself is read. Otherwise it has the shape, number type and device of the
   * output and is either the very same tensor or does not overlap it.
   */
  const omniid_tensor *hidden;
  /**
   * What is added to, usually the hidden state itself. Text tokens are not part of it: a host whose single blocks have
   * one sequence of text and image tokens describes the image's part.
   */
  omniid_tensor *output;
  /**
   * The side of guidance of each batch row, OMNIID_ROLE_..., in any order. Default: all rows are conditional.
   */
  const int32_t *roles;
  /**
   * Number of roles: 0, the batch size, or 1 for one role of all rows.
   */
  size_t role_count;
  /**
   * Noise level of the step; not looked at without OMNIID_INJECT_FLAG_SIGMA. Needed by identities that are limited to
   * a range of it.
   */
  double sigma;
  /**
   * Fraction of sampling that is done, 0 to 1; not looked at without OMNIID_INJECT_FLAG_FRACTION. Needed likewise.
   */
  double fraction;
  /**
   * Height of the latent image, here of the grid of image tokens or a multiple of it. Needed by identities with a
   * mask; others do not look at it.
   */
  uint32_t latent_height;
  /**
   * Width of the latent image. As latent_height; both or none.
   */
  uint32_t latent_width;
  /**
   * The CUDA stream of the tensors in DLPack's numbering, as in omniid_inject_call. Ignored on the CPU.
   * OMNIID_RESIDUAL_CALL_INIT sets 1.
   */
  int64_t stream;
  /**
   * Sum of OMNIID_INJECT_FLAG_... Default: none.
   */
  uint32_t flags;
  /**
   * Leave at 0.
   */
  uint32_t reserved;
} omniid_residual_call;

/** Initialises an omniid_residual_call. */
#define OMNIID_RESIDUAL_CALL_INIT { sizeof(omniid_residual_call), 1.0f, 0, NULL, NULL, NULL, 0, 0.0f, 0.0f, 0, \
  0, 1, 0, 0 }

/**
 * Adds the identities to the image's hidden state between two blocks of a transformer, in place:
 * output += sum over identities of scale x mask x to_out(softmax(q Kt / sqrt(head_dim)) V), q = to_q(norm(hidden)).
 *
 * For adapters that add to the residual stream, PuLID-FLUX and WithAnyone: those whose layers have a `hidden` width
 * (omniid_conditioning_layer). Normalisation and projections run inside. PuLID: after the double blocks 0, 2, ..., 18
 * and the single blocks 0, 4, ..., 36; WithAnyone: after every block.
 *
 * Sums are computed in f32 and added once. What is read is read before it is written. Layers without weight, identities
 * outside their step range, rows to which nothing is injected, and errors leave the output as it is, bit for bit. After
 * the first calls with each shape nothing is allocated. On a GPU the hidden state is copied and the work runs on the
 * engine's stream, in order with the call's stream.
 *
 * Fails with `OMNIID_STATUS_MISMATCH` when widths or number types differ and for an adapter inside the attention
 * (omniid_inject), with `OMNIID_STATUS_INVALID_ARGUMENT` for a layer that does not exist or a hidden state that is not
 * finite (naming its row), and with `OMNIID_STATUS_UNSUPPORTED` when the tensors are not where the keys and values are.
 *
 * The caller's part:
 * `conditioning` is a live conditioning; `call` is initialised with OMNIID_RESIDUAL_CALL_INIT; hidden and output
 * describe memory that is readable and, for output, writable, and that no other thread writes during the call.
 */
omniid_status omniid_inject_residual(const omniid_conditioning *conditioning,
                                     const omniid_residual_call *call);

/*
 * Faces by a recognition network: embeddings, how like a picture is to a person, and what InstantID's ControlNet reads.
 */

/**
 * The names of kohya's trainer and of ComfyUI: `lora_unet_NAME.lora_down.weight`.
 */
#define OMNIID_LORA_FORMAT_KOHYA 0

/**
 * The names of diffusers and PEFT: `unet.NAME.lora_A.weight`.
 */
#define OMNIID_LORA_FORMAT_DIFFUSERS 1

/**
 * A face embedding of an identity. Its memory lives as long as the identity.
 */
typedef struct omniid_embedding {
  /**
   * Set by OMNIID_EMBEDDING_INIT.
   */
  uint32_t struct_size;
  /**
   * OMNIID_EMBEDDING_FORM_...
   */
  int32_t form;
  /**
   * `[size]` values; NULL if nothing is known of the photo's face.
   */
  const float *values;
  /**
   * Number of values.
   */
  size_t size;
  /**
   * The network that made them, as omniid_photo.embedding_network takes it; NULL without values.
   */
  const char *network;
} omniid_embedding;

/** Initialises an omniid_embedding. */
#define OMNIID_EMBEDDING_INIT { sizeof(omniid_embedding), 0, NULL, 0, NULL }

/**
 * How like a face is to the photos of an identity: cosines of face embeddings, -1 to 1. Those of different networks are
 * not comparable.
 */
typedef struct omniid_likeness {
  /**
   * Set by OMNIID_LIKENESS_INIT.
   */
  uint32_t struct_size;
  /**
   * Photos of the identity that were compared.
   */
  uint32_t photos;
  /**
   * The mean over them.
   */
  float mean;
  /**
   * To the photo that the face is most like.
   */
  float best;
} omniid_likeness;

/** Initialises an omniid_likeness. */
#define OMNIID_LIKENESS_INIT { sizeof(omniid_likeness), 0, 0.0f, 0.0f }

/**
 * Describes the face embedding of photo `photo` of an identity, counted from 0 over the photos that went into it.
 * Nothing is copied: the values live as long as the identity. `values` is NULL when nothing is known of that photo's
 * face, or features were not kept.
 *
 * Fails with `OMNIID_STATUS_INVALID_ARGUMENT` when there is no such photo.
 *
 * The caller's part:
 * `identity` is a live identity; `out` is initialised with OMNIID_EMBEDDING_INIT.
 */
omniid_status omniid_identity_embedding(const omniid_identity *identity,
                                        size_t photo,
                                        omniid_embedding *out);

/**
 * Says how like the face in a picture is to a person: a measure for what a host has generated. Any model will do; the
 * engine needs a face recogniser, and the identity must have been made with it, or of embeddings of its network.
 *
 * Without a face hint the face counts that is most like the identity, of the eight largest. A photo that brings its
 * embedding is not looked at. Fails with `OMNIID_STATUS_UNSUPPORTED` for an engine without a face recogniser and an
 * identity without face embeddings, with `OMNIID_STATUS_MISMATCH` when another network made those, and with
 * `OMNIID_STATUS_NO_FACE` for a picture without a face.
 *
 * The caller's part:
 * `engine` and `identity` are live; `photo` is initialised with OMNIID_PHOTO_INIT and `out` with OMNIID_LIKENESS_INIT.
 */
omniid_status omniid_likeness_of(const omniid_engine *engine,
                                 const omniid_identity *identity,
                                 const omniid_photo *photo,
                                 omniid_likeness *out);

/**
 * Hands out the raw embedding of the face in a photo, f32 `[dimension]` on the CPU, read-only: of the largest, unless
 * the photo says which. Free it with `omniid_managed_tensor_free` or its deleter; it stays valid after the engine is freed.
 *
 * Fails with `OMNIID_STATUS_UNSUPPORTED` for an engine without a face recogniser and with `OMNIID_STATUS_NO_FACE` for a
 * picture without a face.
 *
 * The caller's part:
 * `engine` is a live engine; `photo` is initialised with OMNIID_PHOTO_INIT; `out` is writable.
 */
omniid_status omniid_face_embedding(const omniid_engine *engine,
                                    const omniid_photo *photo,
                                    omniid_managed_tensor **out);

/**
 * Hands out a vector of the face in a photo for the plain question whether two photos show one person: f32 `[length]`
 * on the CPU, read-only, of length 1, made of histograms of oriented gradients in the directions of the engine's
 * checkpoint. The dot product of two such vectors says how alike two faces are, -1 to 1, about 0 for strangers. Of several
 * faces the largest counts, unless the photo says which. Vectors of one checkpoint belong together. Free it with
 * `omniid_managed_tensor_free` or its deleter; it stays valid after the engine is freed.
 *
 * Fails with `OMNIID_STATUS_UNSUPPORTED` for a checkpoint without such directions and with `OMNIID_STATUS_NO_FACE` for a
 * picture without a face.
 *
 * The caller's part:
 * `engine` is a live engine; `photo` is initialised with OMNIID_PHOTO_INIT; `out` is writable.
 */
omniid_status omniid_histogram_vector(const omniid_engine *engine,
                                      const omniid_photo *photo,
                                      omniid_managed_tensor **out);

/**
 * Hands out the tokens of an identity for a host that reads them itself, as InstantID's ControlNet does in place of a
 * text: f32 `[2, tokens, token_width]`, read-only; first the unconditional side, then the identity. Free it with
 * `omniid_managed_tensor_free` or its deleter; it stays valid after engine and identity are freed.
 *
 * The unconditional side is the model's own, as for OMNIID_UNCONDITIONAL_DEFAULT, repeated up to the length of the
 * identity's, which attention does not notice.
 *
 * Fails with `OMNIID_STATUS_MISMATCH` when another model made the identity, and with `OMNIID_STATUS_UNSUPPORTED` for
 * models whose unconditional side is not of the identity's shape.
 *
 * The caller's part:
 * `engine` and `identity` are live; `out` is writable.
 */
omniid_status omniid_identity_context_tokens(const omniid_engine *engine,
                                             const omniid_identity *identity,
                                             omniid_managed_tensor **out);

/**
 * Draws the control picture of InstantID, five keypoints of a face on black, into `pixels`: red, green, blue, `width` ×
 * `height`, rows from top to bottom, `row_stride` bytes apart; 0 for rows without gaps. Equal to what InstantID draws
 * with OpenCV.
 *
 * `landmarks` are the ten numbers of omniid_face, in pixels of the picture that is drawn: scale those of a photo to the
 * size that is generated.
 *
 * Fails with `OMNIID_STATUS_INVALID_ARGUMENT` for a side of 0 or a picture of more than 2^28 pixels, a `row_stride` that
 * is less than a row or larger than memory, and landmarks that are not finite or far outside; the pixels are then untouched.
 *
 * The caller's part:
 * `landmarks` points to 10 numbers; `pixels` has room for `height` rows.
 */
omniid_status omniid_draw_keypoints(const float *landmarks,
                                    uint32_t width,
                                    uint32_t height,
                                    size_t row_stride,
                                    uint8_t *pixels);

/**
 * Writes the LoRA that the engine's checkpoint holds as a safetensors file for the host, in OMNIID_LORA_FORMAT_... An
 * existing file is replaced when the new one is complete.
 *
 * IP-Adapter FaceID, Plus and PlusV2 were trained with a LoRA: without it, applied at strength 1, they are not the
 * trained models. Fails with `OMNIID_STATUS_UNSUPPORTED` when the checkpoint holds none, and with `OMNIID_STATUS_IO` when it
 * cannot be written.
 *
 * The caller's part:
 * `engine` is a live engine; `path` is NUL-terminated.
 */
omniid_status omniid_engine_save_lora(const omniid_engine *engine,
                                      const char *path,
                                      int32_t format);

/*
 * Graphs: hosts that run a whole model, such as ONNX Runtime, Unity's Inference Engine, Unreal's NNE and TensorRT,
 * take the identity as inputs of the graph. A manifest beside the graph lists them.
 */

/**
 * The graph takes keys and values of every layer.
 */
#define OMNIID_GRAPH_FORM_KEYS_VALUES 0

/**
 * The graph has the adapter inside and takes identity tokens.
 */
#define OMNIID_GRAPH_FORM_TOKENS 1

/**
 * Keys of a layer, `[rows, heads, tokens, head_dim]`.
 */
#define OMNIID_GRAPH_INPUT_KEYS 0

/**
 * Values of a layer, of the same shape.
 */
#define OMNIID_GRAPH_INPUT_VALUES 1

/**
 * Identity tokens, `[rows, tokens, width]`.
 */
#define OMNIID_GRAPH_INPUT_TOKENS 2

/**
 * A factor for each layer of the manifest, `[layers]`, f32.
 */
#define OMNIID_GRAPH_INPUT_SCALE 3

/**
 * A mask for each person, `[rows, people, height, width]`.
 */
#define OMNIID_GRAPH_INPUT_MASK 4

/**
 * The identity inputs of a graph. Immutable; may be used from any number of threads at once.
 */
typedef struct omniid_graph omniid_graph;

/**
 * What a graph is, as its manifest says.
 */
typedef struct omniid_graph_info {
  /**
   * Set by OMNIID_GRAPH_INFO_INIT.
   */
  uint32_t struct_size;
  /**
   * What it takes, OMNIID_GRAPH_FORM_...
   */
  int32_t form;
  /**
   * Name of the graph's file, which lies beside the manifest.
   */
  const char *file_name;
  /**
   * Path of that file; NULL when the manifest came from memory.
   */
  const char *path;
  /**
   * The model that the graph is: "sd15", "sdxl", "sd3", "flux" or "custom".
   */
  const char *host;
  /**
   * Number type of keys, values, tokens and masks, OMNIID_PRECISION_... Scales are f32.
   */
  int32_t precision;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * Number of layers in the manifest, which is the length of the input of scales.
   */
  uint64_t layer_count;
  /**
   * Number of identity inputs.
   */
  uint64_t input_count;
  /**
   * Number of batch rows that the graph was made for; 0 for any.
   */
  uint64_t rows;
  /**
   * Number of identity tokens, of all people together, that the graph was made for; 0 for any.
   */
  uint64_t tokens;
  /**
   * Width of the tokens that the graph takes; 0 for one that takes keys and values.
   */
  uint64_t width;
  /**
   * Name of the input of scales; NULL when there is none, and scales are part of the values.
   */
  const char *scale_input;
  /**
   * Name of the input of masks; NULL when there is none, and one softmax for all tokens.
   */
  const char *mask_input;
  /**
   * Name of the input of tokens; NULL for a graph that takes keys and values.
   */
  const char *tokens_input;
  /**
   * Fingerprint of the model whose tokens the graph takes; NULL where any will do.
   */
  const char *fingerprint;
} omniid_graph_info;

/** Initialises an omniid_graph_info. */
#define OMNIID_GRAPH_INFO_INIT { sizeof(omniid_graph_info), 0, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, NULL, \
  NULL, NULL, NULL }

/**
 * One attention layer of a graph.
 */
typedef struct omniid_graph_layer {
  /**
   * Set by OMNIID_GRAPH_LAYER_INIT.
   */
  uint32_t struct_size;
  /**
   * Number of attention heads.
   */
  uint32_t heads;
  /**
   * Width of one head.
   */
  uint32_t head_dim;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * The layer's name in the host.
   */
  const char *name;
  /**
   * Name of the input of its keys; NULL in a graph that takes tokens.
   */
  const char *key_input;
  /**
   * Name of the input of its values; NULL in a graph that takes tokens.
   */
  const char *value_input;
} omniid_graph_layer;

/** Initialises an omniid_graph_layer. */
#define OMNIID_GRAPH_LAYER_INIT { sizeof(omniid_graph_layer), 0, 0, 0, NULL, NULL, NULL }

/**
 * One identity input of a graph.
 */
typedef struct omniid_graph_input {
  /**
   * Set by OMNIID_GRAPH_INPUT_INIT.
   */
  uint32_t struct_size;
  /**
   * What it carries, OMNIID_GRAPH_INPUT_...
   */
  int32_t kind;
  /**
   * Its name in the graph.
   */
  const char *name;
  /**
   * Index of the layer in the manifest whose keys or values it carries; 0 for other inputs.
   */
  uint64_t layer;
} omniid_graph_input;

/** Initialises an omniid_graph_input. */
#define OMNIID_GRAPH_INPUT_INIT { sizeof(omniid_graph_input), 0, NULL, 0 }

/**
 * Reads the manifest of a graph. `path` is the manifest's, or that of the graph beside which it lies as
 * `unet.onnx.identity.json` or `unet.identity.json`.
 *
 * Fails with `OMNIID_STATUS_IO` when it cannot be read, with `OMNIID_STATUS_FORMAT` when it is no manifest, and with
 * `OMNIID_STATUS_UNSUPPORTED` when it is one of another version.
 *
 * The caller's part:
 * `path` is NUL-terminated; `out` is writable.
 */
omniid_status omniid_graph_open(const char *path,
                                omniid_graph **out);

/**
 * Reads a manifest from memory: `size` bytes of JSON in UTF-8, copied. For hosts that keep files in archives of their
 * own.
 *
 * The caller's part:
 * `data` points to `size` readable bytes; `out` is writable.
 */
omniid_status omniid_graph_parse(const void *data,
                                 size_t size,
                                 omniid_graph **out);

/**
 * Frees a graph; NULL is ignored.
 *
 * The caller's part:
 * `graph` is NULL or came from `omniid_graph_open` or `omniid_graph_parse`, and no call uses it any more.
 */
void omniid_graph_free(omniid_graph *graph);

/**
 * Describes a graph. The texts live as long as it.
 *
 * The caller's part:
 * `graph` is a live graph; `out` is initialised with OMNIID_GRAPH_INFO_INIT.
 */
omniid_status omniid_graph_describe(const omniid_graph *graph, omniid_graph_info *out);

/**
 * Describes layer `layer` of a graph, in the order of its scales. The names live as long as the graph.
 *
 * The caller's part:
 * `graph` is a live graph; `out` is initialised with OMNIID_GRAPH_LAYER_INIT.
 */
omniid_status omniid_graph_describe_layer(const omniid_graph *graph,
                                          size_t layer,
                                          omniid_graph_layer *out);

/**
 * Describes identity input `input` of a graph. Its name lives as long as the graph.
 *
 * The caller's part:
 * `graph` is a live graph; `out` is initialised with OMNIID_GRAPH_INPUT_INIT.
 */
omniid_status omniid_graph_describe_input(const omniid_graph *graph,
                                          size_t input,
                                          omniid_graph_input *out);

/*
 * Filling the identity inputs of a graph: their shapes for a call, and the host's buffers, all at once.
 */

/**
 * What inputs are filled for, with the defaults that OMNIID_GRAPH_CALL_INIT sets.
 */
typedef struct omniid_graph_call {
  /**
   * Set by OMNIID_GRAPH_CALL_INIT.
   */
  uint32_t struct_size;
  /**
   * Multiplies every identity's weight; at 0 the graph gives what it gives without an identity.
   * OMNIID_GRAPH_CALL_INIT sets 1.0f.
   */
  float scale;
  /**
   * The side of guidance of each batch row, OMNIID_ROLE_..., in any order. Default: conditional rows only, as many
   * as the graph was made for, or one.
   */
  const int32_t *roles;
  /**
   * Number of roles, which is the number of rows; at most 65536.
   */
  size_t role_count;
  /**
   * Noise level of the step; not looked at without OMNIID_INJECT_FLAG_SIGMA. Needed by identities that are limited
   * to a range of it.
   */
  double sigma;
  /**
   * Fraction of sampling that is done, 0 to 1; not looked at without OMNIID_INJECT_FLAG_FRACTION. Needed likewise.
   */
  double fraction;
  /**
   * Sum of OMNIID_INJECT_FLAG_SIGMA and OMNIID_INJECT_FLAG_FRACTION. Default: none.
   */
  uint32_t flags;
  /**
   * 1: in a graph without masks several people share one softmax, each one's weight multiplied into its values. That
   * is not what several identities are otherwise, a sum of attentions. Default: 0, which refuses several people
   * there.
   */
  int32_t concatenate;
} omniid_graph_call;

/** Initialises an omniid_graph_call. */
#define OMNIID_GRAPH_CALL_INIT { sizeof(omniid_graph_call), 1.0f, NULL, 0, 0.0f, 0.0f, 0, 0 }

/**
 * Shape of an identity input for a call.
 */
typedef struct omniid_graph_shape {
  /**
   * Set by OMNIID_GRAPH_SHAPE_INIT.
   */
  uint32_t struct_size;
  /**
   * Number of dimensions, at most 4.
   */
  uint32_t rank;
  /**
   * The dimensions; those beyond rank are 0.
   */
  int64_t shape[4];
  /**
   * Number of bytes in the input's number type.
   */
  uint64_t byte_size;
  /**
   * That number type, OMNIID_PRECISION_...
   */
  int32_t precision;
  /**
   * 0.
   */
  uint32_t reserved;
} omniid_graph_shape;

/** Initialises an omniid_graph_shape. */
#define OMNIID_GRAPH_SHAPE_INIT { sizeof(omniid_graph_shape), 0, { 0 }, 0, 0, 0 }

/**
 * The host's memory for one input, with the defaults that OMNIID_GRAPH_BUFFER_INIT sets.
 */
typedef struct omniid_graph_buffer {
  /**
   * Set by OMNIID_GRAPH_BUFFER_INIT.
   */
  uint32_t struct_size;
  /**
   * The buffer's number type, OMNIID_PRECISION_..., which has to be the input's: the graph's, for scales f32.
   * Default: f32.
   */
  int32_t precision;
  /**
   * Name of the input.
   */
  const char *name;
  /**
   * Where to write: in host memory, of any alignment.
   */
  void *data;
  /**
   * Bytes of data, which have to be as many as the input has.
   */
  size_t byte_size;
  /**
   * The buffer's shape, to be compared with the input's. Default: only the bytes are compared.
   */
  const int64_t *shape;
  /**
   * Number of dimensions of shape; 0 without one.
   */
  uint32_t rank;
  /**
   * Leave at 0.
   */
  uint32_t reserved;
} omniid_graph_buffer;

/** Initialises an omniid_graph_buffer. */
#define OMNIID_GRAPH_BUFFER_INIT { sizeof(omniid_graph_buffer), 0, NULL, NULL, 0, NULL, 0, 0 }

/**
 * Gives the shape of identity input `input` for a call: rows as many as the call has roles, tokens as many as the
 * identity has, or the number that the graph was made for. `call` may be NULL. Fails as `omniid_graph_fill`.
 *
 * The caller's part:
 * `graph` is a live graph; `conditioning` is a live conditioning; `call` is NULL or initialised with
 * OMNIID_GRAPH_CALL_INIT; `out` is initialised with OMNIID_GRAPH_SHAPE_INIT.
 */
omniid_status omniid_graph_input_shape(const omniid_graph *graph,
                                       const omniid_conditioning *conditioning,
                                       const omniid_graph_call *call,
                                       size_t input,
                                       omniid_graph_shape *out);

/**
 * Fills the host's buffers for identity inputs of a graph, in its order of layers, its layout and its number type: all
 * of them or some, in any order, each named after its input. `call` may be NULL.
 *
 * Keys, values and tokens serve for all steps of sampling, and only scales and masks have to be filled for each step,
 * unless people are concatenated and have step ranges, the graph has no input of scales, or keys and values depend on
 * the timestep (SD3.5).
 *
 * Zeros are written where nothing is injected. The shorter side of guidance, and an identity with fewer tokens than
 * the graph was made for, is repeated as a whole, which does not change the attention to it. In a graph with masks
 * people stand one after the other, and each has a softmax and a mask.
 *
 * Everything is checked before anything is written. Fails with `OMNIID_STATUS_MISMATCH`, naming the layer and both
 * shapes, when graph and conditioning are for different hosts or differ in layers, heads or head width, for a buffer
 * of another shape, number type or size, for an identity that does not fit into the tokens that the graph was made
 * for, and for another number of roles than the graph has rows; with `OMNIID_STATUS_INVALID_ARGUMENT` for an input
 * that does not exist or is named twice, for buffers that overlap, and for a missing step position; with
 * `OMNIID_STATUS_UNSUPPORTED` for conditionings that do more in a layer than the graph (orthogonal injection, adapters
 * of the residual stream), for masks without an input for them or in ComfyUI's mode, for several people in a graph
 * without masks unless they are to be concatenated, and for numbers that its number type cannot hold.
 *
 * The caller's part:
 * `graph` is a live graph; `conditioning` is a live conditioning; `call` is NULL or initialised with
 * OMNIID_GRAPH_CALL_INIT; `buffers` points to `buffer_count` structs initialised with OMNIID_GRAPH_BUFFER_INIT, whose
 * memory is writable and used by no other thread during the call.
 */
omniid_status omniid_graph_fill(const omniid_graph *graph,
                                const omniid_conditioning *conditioning,
                                const omniid_graph_call *call,
                                const omniid_graph_buffer *buffers,
                                size_t buffer_count);

#ifdef __cplusplus
}
#endif

#endif
