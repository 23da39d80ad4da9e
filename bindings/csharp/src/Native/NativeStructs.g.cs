// Generated from include/omniid.h by bindings/csharp/generate.py. Do not edit.
#nullable enable
using System;
using System.Runtime.InteropServices;

namespace OmniID.Native
{
    /// <summary>Where a tensor's memory is; DLDevice.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct NativeTensorDevice
    {
        /// <summary>OMNIID_DEVICE_TYPE_CPU or OMNIID_DEVICE_TYPE_CUDA.</summary>
        public int DeviceType;
        /// <summary>Ordinal of the device; 0 for the CPU.</summary>
        public int DeviceId;
    }

    /// <summary>A number type; DLDataType.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct NativeTensorType
    {
        /// <summary>OMNIID_TYPE_CODE_FLOAT or OMNIID_TYPE_CODE_BFLOAT.</summary>
        public byte Code;
        /// <summary>Bits of a number: 32 or 16.</summary>
        public byte Bits;
        /// <summary>1.</summary>
        public ushort Lanes;
    }

    /// <summary>A version of DLPack; DLPackVersion.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct NativeTensorVersion
    {
        /// <summary>1; layouts of different major versions differ.</summary>
        public uint Major;
        /// <summary>Grows when something is added.</summary>
        public uint Minor;
    }

    /// <summary>A tensor in memory that it does not own; DLTensor.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct NativeTensor
    {
        /// <summary>Start of the memory, on the device.</summary>
        public void* Data;
        /// <summary>Where the memory is.</summary>
        public NativeTensorDevice Device;
        /// <summary>Number of dimensions.</summary>
        public int Ndim;
        /// <summary>Type of the numbers.</summary>
        public NativeTensorType Dtype;
        /// <summary>Sizes, ndim of them.</summary>
        public long* Shape;
        /// <summary>
        /// Distance between neighbours in each dimension, in numbers; NULL for row-major without gaps.
        /// </summary>
        public long* Strides;
        /// <summary>Where the first number is, in bytes from data.</summary>
        public ulong ByteOffset;
    }

    /// <summary>A tensor that its holder frees with the deleter; DLManagedTensorVersioned.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct NativeManagedTensor
    {
        /// <summary>Version of this struct's layout; to be checked before anything else is read.</summary>
        public NativeTensorVersion Version;
        /// <summary>Private to the producer.</summary>
        public void* ManagerCtx;
        /// <summary>Frees the tensor; may be called from any thread.</summary>
        public IntPtr Deleter;
        /// <summary>Bit 0: read only.</summary>
        public ulong Flags;
        /// <summary>The tensor itself.</summary>
        public NativeTensor DlTensor;
    }

    /// <summary>One attention layer of a host.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct NativeHostLayer
    {
        /// <summary>Set by OMNIID_HOST_LAYER_INIT.</summary>
        public uint StructSize;
        /// <summary>Number of attention heads.</summary>
        public uint Heads;
        /// <summary>Width of one head.</summary>
        public uint HeadDim;
        /// <summary>
        /// Width of the tokens that keys and values are projected from: 768 in SD1.5, 2048 in SDXL, 4096 in FLUX.
        /// </summary>
        public uint Context;
        /// <summary>The host's own name of the layer; must be unique.</summary>
        public byte* Name;
        /// <summary>
        /// Width of the image's hidden state, for a layer that adds to the residual stream (omniid_inject_residual); 0
        /// for a layer inside an attention (omniid_inject), and in a table that is handed in also for a width that the
        /// checkpoint says.
        /// </summary>
        public uint Hidden;
        /// <summary>Leave at 0.</summary>
        public uint Reserved;

        /// <summary>What OMNIID_HOST_LAYER_INIT is in C.</summary>
        public static NativeHostLayer Create()
        {
            NativeHostLayer value = default;
            value.StructSize = (uint)sizeof(NativeHostLayer);
            return value;
        }
    }

    /// <summary>Options of <c>omniid_engine_open</c>, with the defaults that OMNIID_ENGINE_OPTIONS_INIT sets.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct NativeEngineOptions
    {
        /// <summary>Set by OMNIID_ENGINE_OPTIONS_INIT.</summary>
        public uint StructSize;
        /// <summary>
        /// The ABI version that the caller was built for; 0 is refused. OMNIID_ENGINE_OPTIONS_INIT sets
        /// OMNIID_ABI_VERSION.
        /// </summary>
        public uint AbiVersion;
        /// <summary>
        /// The identity model: a native Omni-ID checkpoint or a published adapter (IP-Adapter and its FaceID family,
        /// InstantID, PuLID, InstantX, XLabs, WithAnyone), safetensors or PyTorch, or a folder with one. Recognised by
        /// its content. Files are read, never mapped into memory: one that is cut, emptied or written to while it is
        /// read is the error OMNIID_STATUS_IO, no signal. The weights of its adapter are read at the first
        /// omniid_conditioning_create, which fails with OMNIID_STATUS_IO if the file was written to or cut since it was
        /// opened; one that was replaced by renaming, or deleted, goes on being used. Not noticed is a writer that puts
        /// back the file's time of change. Default, when checkpoint_data is NULL too: the small model inside the
        /// library, with its own face detector; the call fails with OMNIID_STATUS_UNSUPPORTED when the library was
        /// built without it.
        /// </summary>
        public byte* CheckpointPath;
        /// <summary>The bytes of that file, instead of its path; copied.</summary>
        public void* CheckpointData;
        /// <summary>Bytes of checkpoint_data.</summary>
        public UIntPtr CheckpointSize;
        /// <summary>
        /// The image encoder that a published adapter needs, a vision model of CLIP, SigLIP, DINOv2 or EVA02-CLIP;
        /// refused for a native checkpoint, which contains its own, and for adapters that read none. A file, an index
        /// of shards (….index.json), or a folder as Hugging Face lays it out.
        /// </summary>
        public byte* ImageEncoderPath;
        /// <summary>The bytes of that file, instead of its path; copied.</summary>
        public void* ImageEncoderData;
        /// <summary>Bytes of image_encoder_data.</summary>
        public UIntPtr ImageEncoderSize;
        /// <summary>
        /// The contents of the image encoder's config.json. Default: the file of that name beside image_encoder_path,
        /// or the configuration of a published model of the same shape.
        /// </summary>
        public byte* ImageEncoderConfig;
        /// <summary>
        /// The face detector: YuNet's weights, safetensors or the upstream ONNX file, or a native checkpoint that holds
        /// a detector. Default: the one in a native checkpoint, else the one inside the library.
        /// </summary>
        public byte* DetectorPath;
        /// <summary>The bytes of that file, instead of its path; copied.</summary>
        public void* DetectorData;
        /// <summary>Bytes of detector_data.</summary>
        public UIntPtr DetectorSize;
        /// <summary>
        /// "sd15", "sdxl", "flux", "flux_all", "pulid_flux", "with_anyone" or "sd35_large"; with host_layers, any name
        /// for the host's own table. Default: the host that the checkpoint is for.
        /// </summary>
        public byte* Host;
        /// <summary>
        /// The host's own layer table, in the order of the adapter in the checkpoint. Default: the host's built-in one.
        /// </summary>
        public NativeHostLayer* HostLayers;
        /// <summary>Number of host_layers.</summary>
        public UIntPtr HostLayerCount;
        /// <summary>OMNIID_DEVICE_TYPE_CPU or OMNIID_DEVICE_TYPE_CUDA. Default: CPU.</summary>
        public int DeviceType;
        /// <summary>Ordinal of the GPU; 0 on the CPU.</summary>
        public int DeviceId;
        /// <summary>Number type of the weights, OMNIID_PRECISION_... Default: f32. Int8 is refused for a GPU.</summary>
        public int Precision;
        /// <summary>
        /// 1: load the image encoder when it is first needed instead of now: for programs that work with stored
        /// identities, or run the same image encoder themselves and call omniid_identity_from_features. Its file must
        /// not change while the engine lives. Default: 0.
        /// </summary>
        public int DeferImageEncoder;
        /// <summary>Maximum number of pixels of a photo. Default: 100 million.</summary>
        public ulong MaxPixels;
        /// <summary>Maximum number of bytes that decoding a photo may take. Default: 1 GiB.</summary>
        public ulong MaxDecodedBytes;
        /// <summary>Maximum number of bytes of an encoded photo. Default: 256 MiB.</summary>
        public ulong MaxPhotoBytes;
        /// <summary>Maximum number of bytes of a checkpoint's header. Default: 100 MB.</summary>
        public ulong MaxHeaderBytes;
        /// <summary>Maximum number of photos of an identity. Default: 4096.</summary>
        public ulong MaxPhotos;
        /// <summary>Is told about progress and can cancel the call. Default: none.</summary>
        public IntPtr Progress;
        /// <summary>Passed to progress; not looked at without one.</summary>
        public void* ProgressUserData;
        /// <summary>
        /// The face recognition network: insightface's w600k_r50.onnx or glintr100.onnx, AuraFace, OpenCV's SFace,
        /// facexlib's IR-SE50, as ONNX, PyTorch file or safetensors. Models of the FaceID family, InstantID and PuLID
        /// make their tokens from its embeddings and refuse another network than the one they were trained with; for
        /// any other model it serves omniid_likeness_of. Default: the one in a native checkpoint; else photos must
        /// bring embeddings.
        /// </summary>
        public byte* FaceRecogniserPath;
        /// <summary>The bytes of that file, instead of its path; copied.</summary>
        public void* FaceRecogniserData;
        /// <summary>Bytes of face_recogniser_data.</summary>
        public UIntPtr FaceRecogniserSize;
        /// <summary>
        /// The face parsing network that makes the grey background of PuLID's crop: facexlib's parsing_bisenet. Refused
        /// for other models. Default: the plain crop.
        /// </summary>
        public byte* FaceParserPath;
        /// <summary>The bytes of that file, instead of its path; copied.</summary>
        public void* FaceParserData;
        /// <summary>Bytes of face_parser_data.</summary>
        public UIntPtr FaceParserSize;
        /// <summary>
        /// Which published model the checkpoint is, where two have the same tensors: "faceid-plus" or "faceid-plus-v2",
        /// "instantid" or "faceid-portrait-unnorm". Another name than that of the tensors is refused. Default:
        /// "faceid-plus-v2"; "instantid", unless the face recogniser is an IResNet-50.
        /// </summary>
        public byte* Variant;

        /// <summary>What OMNIID_ENGINE_OPTIONS_INIT is in C.</summary>
        public static NativeEngineOptions Create()
        {
            NativeEngineOptions value = default;
            value.StructSize = (uint)sizeof(NativeEngineOptions);
            value.AbiVersion = HeaderVersion.Abi;
            return value;
        }
    }

    /// <summary>Description of an engine. Its strings live as long as the engine.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct NativeEngineInfo
    {
        /// <summary>Set by OMNIID_ENGINE_INFO_INIT.</summary>
        public uint StructSize;
        /// <summary>Kind of the identity encoder, OMNIID_ENCODER_...</summary>
        public int Encoder;
        /// <summary>Human-readable name of the model; may be empty.</summary>
        public byte* Name;
        /// <summary>Fingerprint of the model, which its identities carry.</summary>
        public byte* Fingerprint;
        /// <summary>Name of the host; NULL if the host is not known.</summary>
        public byte* Host;
        /// <summary>Number of layers of the host; 0 if the host is not known.</summary>
        public ulong HostLayerCount;
        /// <summary>Number of identity tokens: per identity for Omni-ID, per photo otherwise.</summary>
        public ulong Tokens;
        /// <summary>Width of an identity token.</summary>
        public ulong TokenWidth;
        /// <summary>Side of the image encoder's square input in pixels.</summary>
        public uint ImageSize;
        /// <summary>
        /// 1 if faces can be detected: by the engine's own detector or by the one inside the library.
        /// </summary>
        public int HasDetector;
        /// <summary>1 if the checkpoint holds an adapter, so that omniid_conditioning_create works.</summary>
        public int HasAdapter;
        /// <summary>Device of the engine, OMNIID_DEVICE_TYPE_...</summary>
        public int DeviceType;
        /// <summary>Ordinal of the GPU; 0 on the CPU.</summary>
        public int DeviceId;
        /// <summary>Number type of the weights, OMNIID_PRECISION_...</summary>
        public int Precision;
        /// <summary>
        /// 1 if the model reads an image encoder; 0 for models that read face embeddings only, whose image_size is 0.
        /// </summary>
        public int HasImageEncoder;
        /// <summary>
        /// 1 if the checkpoint holds a LoRA, which is part of the model: the host has to apply it at strength 1. See
        /// omniid_engine_save_lora.
        /// </summary>
        public int HasLora;
        /// <summary>Number of values of the face embedding that the model reads; 0 if it reads none.</summary>
        public ulong FaceDimension;
        /// <summary>The form of that embedding, OMNIID_EMBEDDING_FORM_...; a raw one always serves.</summary>
        public int FaceForm;
        /// <summary>1 if the engine has a face recogniser.</summary>
        public int HasFaceRecogniser;
        /// <summary>
        /// The face recognition network that the model was trained with; NULL if it reads no face embedding.
        /// </summary>
        public byte* FaceNetwork;
        /// <summary>The engine's face recogniser; NULL if there is none.</summary>
        public byte* FaceRecogniser;
        /// <summary>
        /// What the authors of the face recogniser state about its use, or "unknown"; NULL if there is none.
        /// </summary>
        public byte* FaceRecogniserLicence;

        /// <summary>What OMNIID_ENGINE_INFO_INIT is in C.</summary>
        public static NativeEngineInfo Create()
        {
            NativeEngineInfo value = default;
            value.StructSize = (uint)sizeof(NativeEngineInfo);
            return value;
        }
    }

    /// <summary>
    /// One photo of a person. At most one of path, data and pixels may be set, and none only with an embedding.
    ///
    /// Face fields that do not belong to <c>face_hint</c> are refused. What describes pixels is not looked at without
    /// them.
    /// </summary>
    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct NativePhoto
    {
        /// <summary>Set by OMNIID_PHOTO_INIT.</summary>
        public uint StructSize;
        /// <summary>
        /// Which face is the person's, OMNIID_FACE_HINT_... Default: the largest that the detector finds.
        /// </summary>
        public int FaceHint;
        /// <summary>A JPEG, PNG, WebP, BMP or TIFF file.</summary>
        public byte* Path;
        /// <summary>The bytes of such a file.</summary>
        public void* Data;
        /// <summary>Number of bytes of data.</summary>
        public UIntPtr DataSize;
        /// <summary>
        /// Raw pixels: interleaved channels, rows from top to bottom. f32 pixels must be aligned to 4 bytes.
        /// </summary>
        public void* Pixels;
        /// <summary>Bytes from one row of pixels to the next. Default: rows without gaps.</summary>
        public UIntPtr RowStride;
        /// <summary>Width of pixels.</summary>
        public uint Width;
        /// <summary>Height of pixels.</summary>
        public uint Height;
        /// <summary>Type of a channel, OMNIID_PIXEL_TYPE_...</summary>
        public int PixelType;
        /// <summary>Order of the channels, OMNIID_CHANNEL_ORDER_...</summary>
        public int ChannelOrder;
        /// <summary>With OMNIID_FACE_HINT_BOX: left, top, right, bottom in pixels of the upright photo.</summary>
        public fixed float FaceBox[4];
        /// <summary>
        /// With OMNIID_FACE_HINT_LANDMARKS: x and y of the eye at the image's left, the eye at its right, the nose tip,
        /// the mouth corner at its left and the one at its right, in pixels of the upright photo.
        /// </summary>
        public fixed float FaceLandmarks[10];
        /// <summary>With OMNIID_FACE_HINT_INDEX: rank of the face in size; 0 is the largest.</summary>
        public uint FaceIndex;
        /// <summary>Leave at 0.</summary>
        public uint Reserved;
        /// <summary>
        /// What to call the photo in messages and reports. Default, and if it is empty: its path, or "photo in memory".
        /// </summary>
        public byte* Name;
        /// <summary>
        /// The embedding of the person's face, if the host has it: embedding_size values. Models that read face
        /// embeddings take this one and run no recognition network on the photo; those that read nothing else need no
        /// picture. Refused for models and engines that compare no faces.
        /// </summary>
        public float* Embedding;
        /// <summary>Number of values of the embedding.</summary>
        public UIntPtr EmbeddingSize;
        /// <summary>
        /// The network that made the embedding: its file's name without ending ("w600k_r50", "glintr100"), the pack
        /// that it comes in ("buffalo_l", "antelopev2"), "sface", "ir_se50", or the text that this library gives.
        /// Needed with an embedding.
        /// </summary>
        public byte* EmbeddingNetwork;
        /// <summary>
        /// The form of the embedding, OMNIID_EMBEDDING_FORM_... Default: raw, as the network gives it.
        /// </summary>
        public int EmbeddingForm;
        /// <summary>Leave at 0.</summary>
        public uint ReservedEmbedding;
        /// <summary>
        /// Which pixels of the upright photo are the person's face, hair included, if the host has found out:
        /// face_mask_height rows of face_mask_width values from 0 to 1; from 0.5 on it is the face. PuLID takes this
        /// instead of a face parser and sees the other pixels white. Refused for other models, and with a crop other
        /// than theirs.
        /// </summary>
        public float* FaceMask;
        /// <summary>Number of rows of face_mask: the height of the upright photo.</summary>
        public uint FaceMaskHeight;
        /// <summary>Number of columns of face_mask: the width of the upright photo.</summary>
        public uint FaceMaskWidth;

        /// <summary>What OMNIID_PHOTO_INIT is in C.</summary>
        public static NativePhoto Create()
        {
            NativePhoto value = default;
            value.StructSize = (uint)sizeof(NativePhoto);
            return value;
        }
    }

    /// <summary>Options of face detection, with the defaults that OMNIID_DETECT_OPTIONS_INIT sets.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct NativeDetectOptions
    {
        /// <summary>Set by OMNIID_DETECT_OPTIONS_INIT.</summary>
        public uint StructSize;
        /// <summary>Minimum confidence of a face, above 0 up to 1. Default: the detector's own.</summary>
        public float ScoreThreshold;
        /// <summary>
        /// Boxes that overlap more than this (intersection over union, above 0 up to 1) are one face. Default: the
        /// detector's own.
        /// </summary>
        public float OverlapThreshold;
        /// <summary>
        /// Longer side in pixels to which larger photos are scaled down for the first search. Default: 640.
        /// </summary>
        public uint Side;
        /// <summary>
        /// Longer side for the second search, which finds faces that are too small in the first. Default: 1920.
        /// </summary>
        public uint FineSide;
        /// <summary>1: do the second search even if the first has found faces. Default: 0.</summary>
        public int Exhaustive;
        /// <summary>
        /// 1: take the photo as upright. Otherwise it is compared with itself turned by 90, 180 and 270 degrees, unless
        /// it is upright beyond doubt. Default: 0.
        /// </summary>
        public int UprightOnly;
        /// <summary>Leave at 0.</summary>
        public uint Reserved;

        /// <summary>What OMNIID_DETECT_OPTIONS_INIT is in C.</summary>
        public static NativeDetectOptions Create()
        {
            NativeDetectOptions value = default;
            value.StructSize = (uint)sizeof(NativeDetectOptions);
            return value;
        }
    }

    /// <summary>A face in a photo, in pixels of the upright photo.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct NativeFace
    {
        /// <summary>Set by OMNIID_FACE_INIT.</summary>
        public uint StructSize;
        /// <summary>Confidence, 0 to 1; 1 for a face that the host has given.</summary>
        public float Score;
        /// <summary>Left, top, right, bottom.</summary>
        public fixed float Bounds[4];
        /// <summary>
        /// x and y of the eye at the image's left, the eye at its right, the nose tip, the mouth corner at its left and
        /// the one at its right.
        /// </summary>
        public fixed float Landmarks[10];

        /// <summary>What OMNIID_FACE_INIT is in C.</summary>
        public static NativeFace Create()
        {
            NativeFace value = default;
            value.StructSize = (uint)sizeof(NativeFace);
            return value;
        }
    }

    /// <summary>Description of an identity. Its strings live as long as the identity.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct NativeIdentityInfo
    {
        /// <summary>Set by OMNIID_IDENTITY_INFO_INIT.</summary>
        public uint StructSize;
        /// <summary>Kind of the encoder that made it, OMNIID_ENCODER_...</summary>
        public int Encoder;
        /// <summary>Number of tokens.</summary>
        public ulong Tokens;
        /// <summary>Width of a token.</summary>
        public ulong TokenWidth;
        /// <summary>Number of photos that it was made from.</summary>
        public ulong Photos;
        /// <summary>
        /// Number of photos whose features are kept, so that an Omni-ID identity can be extended: all or none.
        /// </summary>
        public ulong Features;
        /// <summary>Fingerprint of the model that made it.</summary>
        public byte* Model;
        /// <summary>Human-readable label; may be empty.</summary>
        public byte* Label;
        /// <summary>Time of creation: UTC, RFC 3339.</summary>
        public byte* Created;
        /// <summary>Note on what the person has consented to; may be empty.</summary>
        public byte* Consent;
        /// <summary>
        /// Number of photos whose face embeddings are kept, for omniid_likeness_of and for extending; see
        /// omniid_identity_embedding.
        /// </summary>
        public ulong Embeddings;
        /// <summary>How the photos were combined, OMNIID_COMBINE_...</summary>
        public int Combine;
        /// <summary>The shortcut scale of FaceID-PlusV2 that it was made with; 1 for other models.</summary>
        public float ShortcutScale;

        /// <summary>What OMNIID_IDENTITY_INFO_INIT is in C.</summary>
        public static NativeIdentityInfo Create()
        {
            NativeIdentityInfo value = default;
            value.StructSize = (uint)sizeof(NativeIdentityInfo);
            return value;
        }
    }

    /// <summary>Options of encoding, with the defaults that OMNIID_ENCODE_OPTIONS_INIT sets.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct NativeEncodeOptions
    {
        /// <summary>Set by OMNIID_ENCODE_OPTIONS_INIT.</summary>
        public uint StructSize;
        /// <summary>How photos are cropped, OMNIID_CROP_... Default: the model's own crop.</summary>
        public int Crop;
        /// <summary>
        /// With OMNIID_CROP_FACE: margin on each side as a fraction of the face's longer side, 0 to 4; 0 is no margin,
        /// a negative number the library's default, 0.5. With another crop, a margin above 0 is refused.
        /// OMNIID_ENCODE_OPTIONS_INIT sets -1.0f.
        /// </summary>
        public float CropMargin;
        /// <summary>
        /// With OMNIID_CROP_ALIGNED: scale of the template; 0.5 shows twice as much around the face. With another crop,
        /// only the default is accepted. Default: 1, the template as published.
        /// </summary>
        public float CropScale;
        /// <summary>Number of photos that pass through the image encoder together. Default: 4.</summary>
        public uint BatchSize;
        /// <summary>What to do with a photo that cannot be used, OMNIID_BAD_PHOTO_... Default: leave it out.</summary>
        public int BadPhoto;
        /// <summary>
        /// 1: do not keep the photos' features. The identity is smaller, but an Omni-ID identity cannot be extended
        /// then. Default: 0.
        /// </summary>
        public int DropFeatures;
        /// <summary>
        /// What to do with photos that look like somebody else than the others, OMNIID_STRANGERS_... Default: note it.
        /// </summary>
        public int Strangers;
        /// <summary>
        /// Human-readable label, stored with the identity. NULL and an empty text are the default: none; when
        /// extending, the identity's own (omniid_identity_with_notes takes a label away).
        /// </summary>
        public byte* Label;
        /// <summary>
        /// Note on what the person has consented to, stored with the identity. Default: as for label.
        /// </summary>
        public byte* Consent;
        /// <summary>
        /// Receives a report on each photo, to be freed with omniid_report_free. A failed call sets it to NULL; its
        /// message says what was wrong with the photos. Default: no report.
        /// </summary>
        public IntPtr* Report;
        /// <summary>Is told about progress and can cancel the call. Default: none.</summary>
        public IntPtr Progress;
        /// <summary>Passed to progress; not looked at without one.</summary>
        public void* ProgressUserData;
        /// <summary>
        /// How several photos are combined before the identity encoder, OMNIID_COMBINE_... When extending, the default
        /// is what the identity was made with, and something else is refused. Default: the tokens of each photo one
        /// after the other.
        /// </summary>
        public int Combine;
        /// <summary>1: shortcut_scale counts. Default: 0, the model's own scale of 1.</summary>
        public int HasShortcutScale;
        /// <summary>
        /// Weight of the image features of FaceID-PlusV2 beside the face embedding (s_scale, weight_faceidv2). Another
        /// value than 1 is refused for models without a shortcut.
        /// </summary>
        public float ShortcutScale;
        /// <summary>Leave at 0.</summary>
        public uint Reserved;

        /// <summary>What OMNIID_ENCODE_OPTIONS_INIT is in C.</summary>
        public static NativeEncodeOptions Create()
        {
            NativeEncodeOptions value = default;
            value.StructSize = (uint)sizeof(NativeEncodeOptions);
            value.CropMargin = -1.0f;
            return value;
        }
    }

    /// <summary>What became of one photo. Its strings live as long as the report.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct NativePhotoReport
    {
        /// <summary>Set by OMNIID_PHOTO_REPORT_INIT.</summary>
        public uint StructSize;
        /// <summary>OMNIID_STATUS_OK if the photo went into the identity; otherwise why it was left out.</summary>
        public int Status;
        /// <summary>The photo's path, or a description of a photo in memory.</summary>
        public byte* Name;
        /// <summary>
        /// Why the photo was left out, or remarks on one that was used, joined by semicolons, such as that it was
        /// cropped in another way than asked for. May be empty.
        /// </summary>
        public byte* Reason;
        /// <summary>1 if the photo was cropped around face_bounds.</summary>
        public int HasBounds;
        /// <summary>
        /// 1 if face_score and face_landmarks are set: the detector has found the face, or its landmarks were given.
        /// </summary>
        public int HasLandmarks;
        /// <summary>Left, top, right, bottom in pixels of the upright photo.</summary>
        public fixed float FaceBounds[4];
        /// <summary>Landmarks of the face, as in omniid_face.</summary>
        public fixed float FaceLandmarks[10];
        /// <summary>Confidence of the face.</summary>
        public float FaceScore;
        /// <summary>0.</summary>
        public uint Reserved;
        /// <summary>
        /// Degrees clockwise by which the photo had to be turned for the face to be upright: 0, 90, 180 or 270.
        /// </summary>
        public int Rotation;
        /// <summary>
        /// How alike the photo is to the others that were given, or of the identity that is extended, -1 to 1. NaN:
        /// there was nothing to compare it with.
        /// </summary>
        public float Similarity;

        /// <summary>What OMNIID_PHOTO_REPORT_INIT is in C.</summary>
        public static NativePhotoReport Create()
        {
            NativePhotoReport value = default;
            value.StructSize = (uint)sizeof(NativePhotoReport);
            return value;
        }
    }

    /// <summary>One identity to condition on, with the defaults that OMNIID_CONDITIONING_INPUT_INIT sets.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct NativeConditioningInput
    {
        /// <summary>Set by OMNIID_CONDITIONING_INPUT_INIT.</summary>
        public uint StructSize;
        /// <summary>Weight of the identity; 0 switches it off. OMNIID_CONDITIONING_INPUT_INIT sets 1.0f.</summary>
        public float Scale;
        /// <summary>The identity.</summary>
        public IntPtr Identity;
        /// <summary>
        /// Where in the picture the identity acts: mask_height rows of mask_width values from 0 to 1, copied. Default:
        /// everywhere.
        /// </summary>
        public float* Mask;
        /// <summary>Number of rows of the mask.</summary>
        public uint MaskHeight;
        /// <summary>Number of columns of the mask.</summary>
        public uint MaskWidth;
        /// <summary>
        /// How the range of sampling steps is given in which the identity acts, OMNIID_STEP_RANGE_... Default: always.
        /// </summary>
        public int StepRange;
        /// <summary>
        /// What unconditional rows attend to instead of the identity, OMNIID_UNCONDITIONAL_... Default: as in the
        /// checkpoint's reference code.
        /// </summary>
        public int Unconditional;
        /// <summary>First sigma or fraction of the range.</summary>
        public double StepStart;
        /// <summary>Last sigma or fraction of the range.</summary>
        public double StepEnd;
        /// <summary>
        /// An identity that unconditional rows attend to instead; overrides <c>unconditional</c>. Default: none.
        /// </summary>
        public IntPtr Negative;
        /// <summary>
        /// Another identity for the composition layers of the weight types "style and composition". Default: the same
        /// one.
        /// </summary>
        public IntPtr Composition;

        /// <summary>What OMNIID_CONDITIONING_INPUT_INIT is in C.</summary>
        public static NativeConditioningInput Create()
        {
            NativeConditioningInput value = default;
            value.StructSize = (uint)sizeof(NativeConditioningInput);
            value.Scale = 1.0f;
            return value;
        }
    }

    /// <summary>
    /// Options of a conditioning, for all its identities, with the defaults that OMNIID_CONDITIONING_OPTIONS_INIT sets.
    /// </summary>
    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct NativeConditioningOptions
    {
        /// <summary>Set by OMNIID_CONDITIONING_OPTIONS_INIT.</summary>
        public uint StructSize;
        /// <summary>
        /// How an identity's weight is spread over the layers, OMNIID_WEIGHT_TYPE_... Default: linear.
        /// </summary>
        public int WeightType;
        /// <summary>
        /// A further factor for each layer of the host, in the order of its table. Default: 1 everywhere.
        /// </summary>
        public float* LayerScales;
        /// <summary>Number of layer_scales: 0 or the number of layers.</summary>
        public UIntPtr LayerScaleCount;
        /// <summary>
        /// How the weight acts on keys and values, OMNIID_EMBEDS_SCALING_... Default: it multiplies the output.
        /// </summary>
        public int EmbedsScaling;
        /// <summary>
        /// Whose rules for placing masks are followed, OMNIID_MASK_MODE_..., for identities that have one. Default:
        /// ComfyUI's.
        /// </summary>
        public int MaskMode;
        /// <summary>Number type of the stored keys and values, OMNIID_PRECISION_... but int8. Default: f32.</summary>
        public int Precision;
        /// <summary>Leave at 0.</summary>
        public uint Reserved;
        /// <summary>
        /// Weight of the composition layers of the weight types "style and composition". Default: the identity's scale.
        /// </summary>
        public float* CompositionScale;
        /// <summary>Weight of the swapped layers of "style transfer precise". Default: the identity's scale.</summary>
        public float* StyleBoost;
        /// <summary>Weight of the swapped layers of "composition precise". Default: the identity's scale.</summary>
        public float* CompositionBoost;
        /// <summary>Is told about progress and can cancel the call. Default: none.</summary>
        public IntPtr Progress;
        /// <summary>Passed to progress; not looked at without one.</summary>
        public void* ProgressUserData;
        /// <summary>
        /// Number of further tokens with zero keys and values that take part in each softmax, at most 65536. They need
        /// no memory. PuLID: 8 for fidelity, with OMNIID_INJECTION_ORTHOGONAL_V2; 16 for style, with
        /// OMNIID_INJECTION_ORTHOGONAL; 0 for neutral, with OMNIID_INJECTION_ADD. Default: 0.
        /// </summary>
        public UIntPtr ZeroTokens;
        /// <summary>
        /// How an identity's attention joins the layer's output, OMNIID_INJECTION_... Default: it is added.
        /// </summary>
        public int Injection;
        /// <summary>
        /// 1: the values of InstantX's FLUX adapter are normalised like its keys, as some ComfyUI nodes do and the
        /// authors' code does not. Other adapters refuse it. Default: 0.
        /// </summary>
        public int NormaliseValues;
        /// <summary>
        /// Share of the second token set of adapters that have two (WithAnyone), 0 to 1; the first one has the rest.
        /// Others do not look at it. Default: both count in full.
        /// </summary>
        public float* SiglipWeight;
        /// <summary>
        /// For adapters whose keys and values depend on the denoising timestep (SD3.5), the timesteps, 0 to 1000, to
        /// compute them for: that of the step, or all of the schedule. An injection takes those of the call's sigma, a
        /// thousandth of the timestep. Other adapters refuse them. Default: none.
        /// </summary>
        public float* Timesteps;
        /// <summary>Number of timesteps, at most 1000.</summary>
        public UIntPtr TimestepCount;

        /// <summary>What OMNIID_CONDITIONING_OPTIONS_INIT is in C.</summary>
        public static NativeConditioningOptions Create()
        {
            NativeConditioningOptions value = default;
            value.StructSize = (uint)sizeof(NativeConditioningOptions);
            return value;
        }
    }

    /// <summary>One attention layer at one step, with the defaults that OMNIID_INJECT_CALL_INIT sets.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct NativeInjectCall
    {
        /// <summary>Set by OMNIID_INJECT_CALL_INIT.</summary>
        public uint StructSize;
        /// <summary>
        /// Multiplies every identity's weight; 0 leaves the output as it is. OMNIID_INJECT_CALL_INIT sets 1.0f.
        /// </summary>
        public float Scale;
        /// <summary>Index of the layer in the host's table.</summary>
        public UIntPtr Layer;
        /// <summary>The layer's queries: f32, f16 or bf16, with any strides that are not negative.</summary>
        public NativeTensor* Query;
        /// <summary>
        /// What the identities' attention is added to. It has the shape, number type and device of the query and must
        /// not overlap it. In a UNet: the layer's text attention, before its output projection. In FLUX with XLabs'
        /// adapter: the image stream behind the block, after its MLP was added; the query is that of the image, after
        /// the block's normalisation and before RoPE. With InstantX's adapter for FLUX: the attention, before its
        /// output projection.
        /// </summary>
        public NativeTensor* Output;
        /// <summary>Order of the dimensions of query and output, OMNIID_LAYOUT_... Default: rows first.</summary>
        public int Layout;
        /// <summary>Sum of OMNIID_INJECT_FLAG_... Default: none.</summary>
        public uint Flags;
        /// <summary>
        /// The side of guidance of each batch row, OMNIID_ROLE_..., in any order. Default: all rows are conditional.
        /// </summary>
        public int* Roles;
        /// <summary>Number of roles: 0, the batch size, or 1 for one role of all rows.</summary>
        public UIntPtr RoleCount;
        /// <summary>
        /// Noise level of the step; not looked at without OMNIID_INJECT_FLAG_SIGMA. Needed by identities that are
        /// limited to a range of it, and by conditionings for several timesteps (SD3.5), where it is a thousandth of
        /// the timestep.
        /// </summary>
        public double Sigma;
        /// <summary>
        /// Fraction of sampling that is done, 0 to 1; not looked at without OMNIID_INJECT_FLAG_FRACTION. Needed
        /// likewise.
        /// </summary>
        public double Fraction;
        /// <summary>Height of the latent image. Needed by identities with a mask; others do not look at it.</summary>
        public uint LatentHeight;
        /// <summary>Width of the latent image. As latent_height; both or none.</summary>
        public uint LatentWidth;
        /// <summary>
        /// The CUDA stream of query and output in DLPack's numbering: 1 the legacy default stream, 2 the per-thread
        /// default stream, -1 to wait until the work is done, otherwise the stream's handle; 0 is refused. Ignored on
        /// the CPU. OMNIID_INJECT_CALL_INIT sets 1.
        /// </summary>
        public long Stream;
        /// <summary>
        /// For SD3.5, whose layers attend to the image and the identity together: the keys that the layer makes of the
        /// image, before it normalises them, in the layout of the query; the query is that before it is normalised too.
        /// Default: none.
        /// </summary>
        public NativeTensor* ImageKeys;
        /// <summary>The values that the layer makes of the image. As image_keys; both or none.</summary>
        public NativeTensor* ImageValues;
        /// <summary>
        /// Which part of the work this call does, below part_count. For hosts whose own threads share a layer: each
        /// makes the same call with a part of its own, at any time, and the parts together give to the bit what one
        /// whole call gives. A part works on the calling thread; one with PuLID's orthogonal injection is whole batch
        /// rows, and parts beyond the batch do nothing. An error of one part leaves the others' results. Only on the
        /// CPU. Default: 0.
        /// </summary>
        public uint Part;
        /// <summary>
        /// Number of parts. 0 and 1: the whole call, shared by the library's own threads. Default: 0.
        /// </summary>
        public uint PartCount;

        /// <summary>What OMNIID_INJECT_CALL_INIT is in C.</summary>
        public static NativeInjectCall Create()
        {
            NativeInjectCall value = default;
            value.StructSize = (uint)sizeof(NativeInjectCall);
            value.Scale = 1.0f;
            value.Stream = 1;
            return value;
        }
    }

    /// <summary>
    /// One place of the residual stream at one step, with the defaults that OMNIID_RESIDUAL_CALL_INIT sets.
    /// </summary>
    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct NativeResidualCall
    {
        /// <summary>Set by OMNIID_RESIDUAL_CALL_INIT.</summary>
        public uint StructSize;
        /// <summary>
        /// Multiplies every identity's weight; 0 leaves the output as it is. OMNIID_RESIDUAL_CALL_INIT sets 1.0f.
        /// </summary>
        public float Scale;
        /// <summary>Index of the layer in the host's table.</summary>
        public UIntPtr Layer;
        /// <summary>
        /// The image's hidden state after the block, <c>[batch, image tokens, hidden]</c>: f32, f16 or bf16, with any
        /// strides that are not negative. Default: the output itself is read. Otherwise it has the shape, number type
        /// and device of the output and is either the very same tensor or does not overlap it.
        /// </summary>
        public NativeTensor* Hidden;
        /// <summary>
        /// What is added to, usually the hidden state itself. Text tokens are not part of it: a host whose single
        /// blocks have one sequence of text and image tokens describes the image's part.
        /// </summary>
        public NativeTensor* Output;
        /// <summary>
        /// The side of guidance of each batch row, OMNIID_ROLE_..., in any order. Default: all rows are conditional.
        /// </summary>
        public int* Roles;
        /// <summary>Number of roles: 0, the batch size, or 1 for one role of all rows.</summary>
        public UIntPtr RoleCount;
        /// <summary>
        /// Noise level of the step; not looked at without OMNIID_INJECT_FLAG_SIGMA. Needed by identities that are
        /// limited to a range of it.
        /// </summary>
        public double Sigma;
        /// <summary>
        /// Fraction of sampling that is done, 0 to 1; not looked at without OMNIID_INJECT_FLAG_FRACTION. Needed
        /// likewise.
        /// </summary>
        public double Fraction;
        /// <summary>
        /// Height of the latent image, here of the grid of image tokens or a multiple of it. Needed by identities with
        /// a mask; others do not look at it.
        /// </summary>
        public uint LatentHeight;
        /// <summary>Width of the latent image. As latent_height; both or none.</summary>
        public uint LatentWidth;
        /// <summary>
        /// The CUDA stream of the tensors in DLPack's numbering, as in omniid_inject_call. Ignored on the CPU.
        /// OMNIID_RESIDUAL_CALL_INIT sets 1.
        /// </summary>
        public long Stream;
        /// <summary>Sum of OMNIID_INJECT_FLAG_... Default: none.</summary>
        public uint Flags;
        /// <summary>Leave at 0.</summary>
        public uint Reserved;

        /// <summary>What OMNIID_RESIDUAL_CALL_INIT is in C.</summary>
        public static NativeResidualCall Create()
        {
            NativeResidualCall value = default;
            value.StructSize = (uint)sizeof(NativeResidualCall);
            value.Scale = 1.0f;
            value.Stream = 1;
            return value;
        }
    }

    /// <summary>A face embedding of an identity. Its memory lives as long as the identity.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct NativeEmbedding
    {
        /// <summary>Set by OMNIID_EMBEDDING_INIT.</summary>
        public uint StructSize;
        /// <summary>OMNIID_EMBEDDING_FORM_...</summary>
        public int Form;
        /// <summary><c>[size]</c> values; NULL if nothing is known of the photo's face.</summary>
        public float* Values;
        /// <summary>Number of values.</summary>
        public UIntPtr Size;
        /// <summary>
        /// The network that made them, as omniid_photo.embedding_network takes it; NULL without values.
        /// </summary>
        public byte* Network;

        /// <summary>What OMNIID_EMBEDDING_INIT is in C.</summary>
        public static NativeEmbedding Create()
        {
            NativeEmbedding value = default;
            value.StructSize = (uint)sizeof(NativeEmbedding);
            return value;
        }
    }

    /// <summary>
    /// How like a face is to the photos of an identity: cosines of face embeddings, -1 to 1. Those of different
    /// networks are not comparable.
    /// </summary>
    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct NativeLikeness
    {
        /// <summary>Set by OMNIID_LIKENESS_INIT.</summary>
        public uint StructSize;
        /// <summary>Photos of the identity that were compared.</summary>
        public uint Photos;
        /// <summary>The mean over them.</summary>
        public float Mean;
        /// <summary>To the photo that the face is most like.</summary>
        public float Best;

        /// <summary>What OMNIID_LIKENESS_INIT is in C.</summary>
        public static NativeLikeness Create()
        {
            NativeLikeness value = default;
            value.StructSize = (uint)sizeof(NativeLikeness);
            return value;
        }
    }

    /// <summary>What a graph is, as its manifest says.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct NativeGraphInfo
    {
        /// <summary>Set by OMNIID_GRAPH_INFO_INIT.</summary>
        public uint StructSize;
        /// <summary>What it takes, OMNIID_GRAPH_FORM_...</summary>
        public int Form;
        /// <summary>Name of the graph's file, which lies beside the manifest.</summary>
        public byte* FileName;
        /// <summary>Path of that file; NULL when the manifest came from memory.</summary>
        public byte* Path;
        /// <summary>The model that the graph is: "sd15", "sdxl", "sd3", "flux" or "custom".</summary>
        public byte* Host;
        /// <summary>Number type of keys, values, tokens and masks, OMNIID_PRECISION_... Scales are f32.</summary>
        public int Precision;
        /// <summary>0.</summary>
        public uint Reserved;
        /// <summary>Number of layers in the manifest, which is the length of the input of scales.</summary>
        public ulong LayerCount;
        /// <summary>Number of identity inputs.</summary>
        public ulong InputCount;
        /// <summary>Number of batch rows that the graph was made for; 0 for any.</summary>
        public ulong Rows;
        /// <summary>
        /// Number of identity tokens, of all people together, that the graph was made for; 0 for any.
        /// </summary>
        public ulong Tokens;
        /// <summary>Width of the tokens that the graph takes; 0 for one that takes keys and values.</summary>
        public ulong Width;
        /// <summary>Name of the input of scales; NULL when there is none, and scales are part of the values.</summary>
        public byte* ScaleInput;
        /// <summary>Name of the input of masks; NULL when there is none, and one softmax for all tokens.</summary>
        public byte* MaskInput;
        /// <summary>Name of the input of tokens; NULL for a graph that takes keys and values.</summary>
        public byte* TokensInput;
        /// <summary>Fingerprint of the model whose tokens the graph takes; NULL where any will do.</summary>
        public byte* Fingerprint;

        /// <summary>What OMNIID_GRAPH_INFO_INIT is in C.</summary>
        public static NativeGraphInfo Create()
        {
            NativeGraphInfo value = default;
            value.StructSize = (uint)sizeof(NativeGraphInfo);
            return value;
        }
    }

    /// <summary>One attention layer of a graph.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct NativeGraphLayer
    {
        /// <summary>Set by OMNIID_GRAPH_LAYER_INIT.</summary>
        public uint StructSize;
        /// <summary>Number of attention heads.</summary>
        public uint Heads;
        /// <summary>Width of one head.</summary>
        public uint HeadDim;
        /// <summary>0.</summary>
        public uint Reserved;
        /// <summary>The layer's name in the host.</summary>
        public byte* Name;
        /// <summary>Name of the input of its keys; NULL in a graph that takes tokens.</summary>
        public byte* KeyInput;
        /// <summary>Name of the input of its values; NULL in a graph that takes tokens.</summary>
        public byte* ValueInput;

        /// <summary>What OMNIID_GRAPH_LAYER_INIT is in C.</summary>
        public static NativeGraphLayer Create()
        {
            NativeGraphLayer value = default;
            value.StructSize = (uint)sizeof(NativeGraphLayer);
            return value;
        }
    }

    /// <summary>One identity input of a graph.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct NativeGraphInput
    {
        /// <summary>Set by OMNIID_GRAPH_INPUT_INIT.</summary>
        public uint StructSize;
        /// <summary>What it carries, OMNIID_GRAPH_INPUT_...</summary>
        public int Kind;
        /// <summary>Its name in the graph.</summary>
        public byte* Name;
        /// <summary>Index of the layer in the manifest whose keys or values it carries; 0 for other inputs.</summary>
        public ulong Layer;

        /// <summary>What OMNIID_GRAPH_INPUT_INIT is in C.</summary>
        public static NativeGraphInput Create()
        {
            NativeGraphInput value = default;
            value.StructSize = (uint)sizeof(NativeGraphInput);
            return value;
        }
    }

    /// <summary>What inputs are filled for, with the defaults that OMNIID_GRAPH_CALL_INIT sets.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct NativeGraphCall
    {
        /// <summary>Set by OMNIID_GRAPH_CALL_INIT.</summary>
        public uint StructSize;
        /// <summary>
        /// Multiplies every identity's weight; at 0 the graph gives what it gives without an identity.
        /// OMNIID_GRAPH_CALL_INIT sets 1.0f.
        /// </summary>
        public float Scale;
        /// <summary>
        /// The side of guidance of each batch row, OMNIID_ROLE_..., in any order. Default: conditional rows only, as
        /// many as the graph was made for, or one.
        /// </summary>
        public int* Roles;
        /// <summary>Number of roles, which is the number of rows; at most 65536.</summary>
        public UIntPtr RoleCount;
        /// <summary>
        /// Noise level of the step; not looked at without OMNIID_INJECT_FLAG_SIGMA. Needed by identities that are
        /// limited to a range of it.
        /// </summary>
        public double Sigma;
        /// <summary>
        /// Fraction of sampling that is done, 0 to 1; not looked at without OMNIID_INJECT_FLAG_FRACTION. Needed
        /// likewise.
        /// </summary>
        public double Fraction;
        /// <summary>Sum of OMNIID_INJECT_FLAG_SIGMA and OMNIID_INJECT_FLAG_FRACTION. Default: none.</summary>
        public uint Flags;
        /// <summary>
        /// 1: in a graph without masks several people share one softmax, each one's weight multiplied into its values.
        /// That is not what several identities are otherwise, a sum of attentions. Default: 0, which refuses several
        /// people there.
        /// </summary>
        public int Concatenate;

        /// <summary>What OMNIID_GRAPH_CALL_INIT is in C.</summary>
        public static NativeGraphCall Create()
        {
            NativeGraphCall value = default;
            value.StructSize = (uint)sizeof(NativeGraphCall);
            value.Scale = 1.0f;
            return value;
        }
    }

    /// <summary>Shape of an identity input for a call.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct NativeGraphShape
    {
        /// <summary>Set by OMNIID_GRAPH_SHAPE_INIT.</summary>
        public uint StructSize;
        /// <summary>Number of dimensions, at most 4.</summary>
        public uint Rank;
        /// <summary>The dimensions; those beyond rank are 0.</summary>
        public fixed long Shape[4];
        /// <summary>Number of bytes in the input's number type.</summary>
        public ulong ByteSize;
        /// <summary>That number type, OMNIID_PRECISION_...</summary>
        public int Precision;
        /// <summary>0.</summary>
        public uint Reserved;

        /// <summary>What OMNIID_GRAPH_SHAPE_INIT is in C.</summary>
        public static NativeGraphShape Create()
        {
            NativeGraphShape value = default;
            value.StructSize = (uint)sizeof(NativeGraphShape);
            return value;
        }
    }

    /// <summary>The host's memory for one input, with the defaults that OMNIID_GRAPH_BUFFER_INIT sets.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal unsafe struct NativeGraphBuffer
    {
        /// <summary>Set by OMNIID_GRAPH_BUFFER_INIT.</summary>
        public uint StructSize;
        /// <summary>
        /// The buffer's number type, OMNIID_PRECISION_..., which has to be the input's: the graph's, for scales f32.
        /// Default: f32.
        /// </summary>
        public int Precision;
        /// <summary>Name of the input.</summary>
        public byte* Name;
        /// <summary>Where to write: in host memory, of any alignment.</summary>
        public void* Data;
        /// <summary>Bytes of data, which have to be as many as the input has.</summary>
        public UIntPtr ByteSize;
        /// <summary>
        /// The buffer's shape, to be compared with the input's. Default: only the bytes are compared.
        /// </summary>
        public long* Shape;
        /// <summary>Number of dimensions of shape; 0 without one.</summary>
        public uint Rank;
        /// <summary>Leave at 0.</summary>
        public uint Reserved;

        /// <summary>What OMNIID_GRAPH_BUFFER_INIT is in C.</summary>
        public static NativeGraphBuffer Create()
        {
            NativeGraphBuffer value = default;
            value.StructSize = (uint)sizeof(NativeGraphBuffer);
            return value;
        }
    }
}
