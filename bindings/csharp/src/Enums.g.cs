// Generated from include/omniid.h by bindings/csharp/generate.py. Do not edit.
#nullable enable
namespace OmniID
{
    /// <summary>The result of a call: success or the class of the error.</summary>
    public enum Status
    {
        /// <summary>Success.</summary>
        Ok = 0,
        /// <summary>
        /// A parameter has a value that is never valid: NULL, zero photos, an absurd size, an unknown enum value.
        /// </summary>
        InvalidArgument = 1,
        /// <summary>An operation of the system failed: no such file, no permission, disk full.</summary>
        Io = 2,
        /// <summary>A file or a buffer is malformed: truncated, inconsistent header, missing key.</summary>
        Format = 3,
        /// <summary>
        /// Well-formed, but not supported by this build: a number type, a device, a checkpoint family.
        /// </summary>
        Unsupported = 4,
        /// <summary>
        /// Two inputs do not belong together: identity and model, adapter and host, tensor and layer.
        /// </summary>
        Mismatch = 5,
        /// <summary>No usable face in any of the photos.</summary>
        NoFace = 6,
        /// <summary>An input exceeds a limit of the engine options: pixels, decoded bytes, file size.</summary>
        LimitExceeded = 7,
        /// <summary>The caller's progress callback cancelled the call.</summary>
        Cancelled = 8,
        /// <summary>The GPU, its driver or its libraries failed.</summary>
        Device = 9,
        /// <summary>The caller was built for another major version of the ABI.</summary>
        AbiMismatch = 10,
        /// <summary>A defect in OmniID. Please report it with its message.</summary>
        Internal = 255,
    }

    /// <summary>How serious a log message is.</summary>
    public enum LogLevel
    {
        /// <summary>A failure.</summary>
        Error = 1,
        /// <summary>Something was skipped or looks wrong; the call continues.</summary>
        Warn = 2,
        /// <summary>Information for users.</summary>
        Info = 3,
        /// <summary>Information for developers of a host.</summary>
        Debug = 4,
        /// <summary>Everything.</summary>
        Trace = 5,
    }

    /// <summary>What a long call is doing.</summary>
    public enum Stage
    {
        /// <summary>Weights are being read. Unit: tensors.</summary>
        Load = 0,
        /// <summary>Photos are being decoded and cropped. Unit: photos.</summary>
        Photos = 1,
        /// <summary>Photos are passing through the image encoder. Unit: photos.</summary>
        Encode = 2,
        /// <summary>Keys and values are being projected. Unit: host layers.</summary>
        Condition = 3,
        /// <summary>A file is being written. Unit: tensors.</summary>
        Save = 4,
    }

    /// <summary>Where memory is.</summary>
    public enum DeviceType
    {
        /// <summary>The processor's memory; kDLCPU.</summary>
        Cpu = 1,
        /// <summary>The memory of an NVIDIA GPU; kDLCUDA.</summary>
        Cuda = 2,
    }

    /// <summary>The class of a tensor's numbers.</summary>
    internal enum TypeCode
    {
        /// <summary>IEEE floating point, 32 or 16 bits; kDLFloat.</summary>
        Float = 2,
        /// <summary>bfloat16, 16 bits; kDLBfloat.</summary>
        Bfloat = 4,
    }

    /// <summary>The number type of weights, of keys and values, or of an identity file.</summary>
    public enum Precision
    {
        /// <summary>
        /// 32-bit floating point; results equal those of the reference implementations within rounding.
        /// </summary>
        F32 = 0,
        /// <summary>IEEE half precision: half the memory.</summary>
        F16 = 1,
        /// <summary>bfloat16: half the memory, with the range of f32.</summary>
        Bf16 = 2,
        /// <summary>
        /// Bytes: a quarter of the memory, for the weights of an engine on the processor only. The blocks of the image
        /// encoder and of the Omni-ID encoder are computed from weights and rows rounded to bytes, with scales for each
        /// output and each row; the rest of these encoders is f32, an adapter bf16. Tokens differ from those of f32.
        /// </summary>
        Int8 = 3,
    }

    /// <summary>The kind of identity encoder.</summary>
    public enum EncoderKind
    {
        /// <summary>The native Omni-ID encoder: a fixed number of tokens, however many photos.</summary>
        OmniId = 0,
        /// <summary>IP-Adapter Plus and Plus-Face: a fixed number of tokens for each photo.</summary>
        Resampler = 1,
        /// <summary>IP-Adapter full-face: one token per image feature token and photo.</summary>
        FullFace = 2,
        /// <summary>Base IP-Adapter and XLabs FLUX: a fixed number of tokens for each photo.</summary>
        Projection = 3,
        /// <summary>IP-Adapter FaceID and FaceID Portrait: a fixed number of tokens for each face embedding.</summary>
        FaceId = 4,
        /// <summary>IP-Adapter FaceID-Plus and PlusV2: a face embedding and the features of the aligned face.</summary>
        FaceIdPlus = 5,
        /// <summary>InstantID: a fixed number of tokens for each face embedding.</summary>
        InstantId = 6,
        /// <summary>IP-Adapter FaceID Portrait (unnorm): the face embeddings of all photos at once.</summary>
        FaceIdPortraitUnnorm = 7,
        /// <summary>PuLID for SDXL, version 1.</summary>
        PulidV1 = 8,
        /// <summary>PuLID for SDXL, version 1.1, and for FLUX: all photos at once.</summary>
        IdFormer = 9,
        /// <summary>InstantX SD3.5, whose tokens depend on the timestep.</summary>
        TimeResampler = 10,
        /// <summary>
        /// WithAnyone for FLUX: tokens of a raw face embedding, of SigLIP's last hidden state, and of the embedding
        /// again.
        /// </summary>
        WithAnyone = 11,
        /// <summary>InstantX FLUX: a fixed number of tokens for each photo.</summary>
        InstantXFlux = 15,
    }

    /// <summary>The number type of a colour channel.</summary>
    internal enum PixelType
    {
        /// <summary>8 bits per channel, 0 to 255.</summary>
        U8 = 0,
        /// <summary>32-bit floating point per channel, 0 to 1, sRGB-encoded like 8-bit pixels.</summary>
        F32 = 1,
    }

    /// <summary>The order of the colour channels in memory.</summary>
    public enum ChannelOrder
    {
        /// <summary>Red, green, blue.</summary>
        Rgb = 0,
        /// <summary>
        /// Red, green, blue, alpha; transparent pixels are laid on middle grey, unless alpha is the same everywhere.
        /// </summary>
        Rgba = 1,
        /// <summary>Blue, green, red.</summary>
        Bgr = 2,
        /// <summary>
        /// Blue, green, red, alpha; transparent pixels are laid on middle grey, unless alpha is the same everywhere.
        /// </summary>
        Bgra = 3,
    }

    /// <summary>Which face of a photo is meant.</summary>
    internal enum FaceHint
    {
        /// <summary>The largest face that the detector finds.</summary>
        Detect = 0,
        /// <summary>
        /// One of the faces that the detector finds, chosen by its rank in size: face_index. Refused where
        /// omniid_encode_options asks for a crop that takes no notice of faces.
        /// </summary>
        Index = 1,
        /// <summary>The face inside face_box. Needs no detector.</summary>
        Box = 2,
        /// <summary>The face with the five face_landmarks. Needs no detector.</summary>
        Landmarks = 3,
    }

    /// <summary>How photos are cropped.</summary>
    public enum Crop
    {
        /// <summary>The model's own crop.</summary>
        Default = 0,
        /// <summary>
        /// The whole photo: the image encoder's own preprocessing scales its shorter side and crops the centre.
        /// </summary>
        None = 1,
        /// <summary>The largest square at the centre of the photo.</summary>
        Center = 2,
        /// <summary>A square around the face, with a margin.</summary>
        Face = 3,
        /// <summary>The face rotated, scaled and shifted so that its landmarks lie on the ArcFace template.</summary>
        Aligned = 4,
    }

    /// <summary>What to do with a photo that cannot be used.</summary>
    public enum BadPhoto
    {
        /// <summary>Leave out a photo that cannot be used, and note it in the report.</summary>
        Skip = 0,
        /// <summary>Fail the call.</summary>
        Fail = 1,
    }

    /// <summary>What to do with photos that look like somebody else than the others.</summary>
    public enum Strangers
    {
        /// <summary>
        /// Use photos that look like somebody else than the others, and note it in the report. In photos with several
        /// faces the one is taken that looks like the other photos.
        /// </summary>
        Note = 0,
        /// <summary>Leave out photos that look like somebody else than the others, and say so in the report.</summary>
        LeaveOut = 1,
        /// <summary>Do not compare the photos. Of several faces the largest is taken.</summary>
        Ignore = 2,
    }

    /// <summary>How several photos are combined before the identity encoder.</summary>
    public enum Combine
    {
        /// <summary>The tokens of each photo, one after the other.</summary>
        Concatenate = 0,
        /// <summary>The mean of the photos' features and face embeddings.</summary>
        Average = 1,
        /// <summary>The mean, each value divided by its norm over the photos.</summary>
        NormAverage = 2,
        /// <summary>The sum.</summary>
        Add = 3,
        /// <summary>The first photo less the mean of the others.</summary>
        Subtract = 4,
        /// <summary>The largest of each value.</summary>
        Max = 5,
        /// <summary>The smallest of each value.</summary>
        Min = 6,
    }

    /// <summary>Whether a face embedding still has its length.</summary>
    public enum EmbeddingForm
    {
        /// <summary>As the network gives it (<c>embedding</c> of insightface): its length counts.</summary>
        Raw = 0,
        /// <summary>Divided by its length (<c>normed_embedding</c> of insightface).</summary>
        Normalised = 1,
    }

    /// <summary>The names in a LoRA file.</summary>
    public enum LoraFormat
    {
        /// <summary>The names of kohya's trainer and of ComfyUI: <c>lora_unet_NAME.lora_down.weight</c>.</summary>
        Kohya = 0,
        /// <summary>The names of diffusers and PEFT: <c>unet.NAME.lora_A.weight</c>.</summary>
        Diffusers = 1,
    }

    /// <summary>How an identity's weight is spread over the layers of the host.</summary>
    public enum WeightType
    {
        /// <summary>The identity's weight w in every layer.</summary>
        Linear = 0,
        /// <summary>Strong in the early layers.</summary>
        EaseIn = 1,
        /// <summary>Strong in the late layers.</summary>
        EaseOut = 2,
        /// <summary>Strong in the middle layers.</summary>
        EaseInOut = 3,
        /// <summary>Weak in the middle layers.</summary>
        ReverseInOut = 4,
        /// <summary>0.2 w in the down-sampling half.</summary>
        WeakInput = 5,
        /// <summary>0.2 w in the up-sampling half.</summary>
        WeakOutput = 6,
        /// <summary>0.2 w in the middle block.</summary>
        WeakMiddle = 7,
        /// <summary>0.2 w everywhere except in the middle block.</summary>
        StrongMiddle = 8,
        /// <summary>Only the style layers. This type and the following ones are for SD1.5 and SDXL.</summary>
        StyleTransfer = 9,
        /// <summary>Only the composition layers.</summary>
        Composition = 10,
        /// <summary>All layers except the composition layers.</summary>
        StrongStyleTransfer = 11,
        /// <summary>Style and composition layers, each with a weight of its own.</summary>
        StyleAndComposition = 12,
        /// <summary>All layers, the composition layers with a weight of their own.</summary>
        StrongStyleAndComposition = 13,
        /// <summary>Style layers, with composition pushed away.</summary>
        StyleTransferPrecise = 14,
        /// <summary>Composition layers, with style pushed away.</summary>
        CompositionPrecise = 15,
    }

    /// <summary>What limits the steps at which an identity is injected.</summary>
    internal enum StepUnit
    {
        /// <summary>At every step.</summary>
        Always = 0,
        /// <summary>While step_end &lt;= sigma &lt;= step_start; step_start is the larger number.</summary>
        Sigma = 1,
        /// <summary>While step_start &lt;= fraction &lt;= step_end, both within 0 to 1.</summary>
        Fraction = 2,
    }

    /// <summary>What unconditional rows see instead of the identity.</summary>
    public enum Unconditional
    {
        /// <summary>As in the checkpoint's reference code.</summary>
        Default = 0,
        /// <summary>Nothing is injected into unconditional rows.</summary>
        None = 1,
        /// <summary>A zero image embedding through the projection.</summary>
        ZeroEmbedding = 2,
        /// <summary>An image whose values are zero after normalisation.</summary>
        ZeroPixels = 3,
        /// <summary>A black image.</summary>
        BlackImage = 4,
        /// <summary>All-zero image features.</summary>
        ZeroFeatures = 5,
        /// <summary>All-zero identity tokens.</summary>
        ZeroTokens = 6,
        /// <summary>The model's mean identity, if the checkpoint has one.</summary>
        MeanTokens = 7,
    }

    /// <summary>How the weight acts on keys and values.</summary>
    public enum EmbedsScaling
    {
        /// <summary>The weight multiplies the output of the attention.</summary>
        Values = 0,
        /// <summary>The weight multiplies keys and values.</summary>
        KeysAndValues = 1,
        /// <summary>The weight times inner width / 1280 multiplies keys and values.</summary>
        KeysAndValuesPenalty = 2,
        /// <summary>
        /// The weight times inner width / 1280 multiplies the keys, and of the values only their mean over the tokens.
        /// </summary>
        KeysAndMeanValuesPenalty = 3,
    }

    /// <summary>Whose rules for placing masks are followed.</summary>
    public enum MaskMode
    {
        /// <summary>As in ComfyUI: grid from the latent size, bilinear.</summary>
        Comfyui = 0,
        /// <summary>As in diffusers: grid from the mask's proportions, bicubic.</summary>
        Diffusers = 1,
    }

    /// <summary>How an identity's attention joins the layer's output.</summary>
    public enum Injection
    {
        /// <summary>The identity's attention is added to the output.</summary>
        Add = 0,
        /// <summary>
        /// PuLID's ORTHO: without its part that points the way of the output, for each channel over all image tokens.
        /// </summary>
        Orthogonal = 1,
        /// <summary>
        /// PuLID's ORTHO_v2: that part is kept where image tokens look at the identity's first five tokens.
        /// </summary>
        OrthogonalV2 = 2,
    }

    /// <summary>The side of guidance that a batch row belongs to.</summary>
    public enum Role
    {
        /// <summary>A row that is conditioned on the prompt.</summary>
        Conditional = 0,
        /// <summary>A row that is not.</summary>
        Unconditional = 1,
    }

    /// <summary>The order of the dimensions of query and output.</summary>
    public enum Layout
    {
        /// <summary><c>[batch, rows, heads * head_dim]</c> or <c>[batch, rows, heads, head_dim]</c>.</summary>
        RowsFirst = 0,
        /// <summary><c>[batch, heads, rows, head_dim]</c>.</summary>
        HeadsFirst = 1,
    }

    /// <summary>What a graph takes.</summary>
    public enum GraphForm
    {
        /// <summary>The graph takes keys and values of every layer.</summary>
        KeysValues = 0,
        /// <summary>The graph has the adapter inside and takes identity tokens.</summary>
        Tokens = 1,
    }

    /// <summary>What an input of a graph carries.</summary>
    public enum GraphInputKind
    {
        /// <summary>Keys of a layer, <c>[rows, heads, tokens, head_dim]</c>.</summary>
        Keys = 0,
        /// <summary>Values of a layer, of the same shape.</summary>
        Values = 1,
        /// <summary>Identity tokens, <c>[rows, tokens, width]</c>.</summary>
        Tokens = 2,
        /// <summary>A factor for each layer of the manifest, <c>[layers]</c>, f32.</summary>
        Scale = 3,
        /// <summary>A mask for each person, <c>[rows, people, height, width]</c>.</summary>
        Mask = 4,
    }

    /// <summary>Flags of an injection, to be added up.</summary>
    internal enum InjectFlag
    {
        /// <summary>The call's sigma is set.</summary>
        Sigma = 1,
        /// <summary>The call's fraction is set.</summary>
        Fraction = 2,
        /// <summary>
        /// The query or hidden state is not searched for values that are not finite. The search costs less than one
        /// percent of the attention.
        /// </summary>
        Unchecked = 4,
    }

    /// <summary>The ABI and the release that these declarations belong to.</summary>
    internal static class HeaderVersion
    {
        public const uint AbiMajor = 1;
        public const uint AbiMinor = 2;
        public const uint Abi = AbiMajor << 16 | AbiMinor;
        public const string Release = "0.2.0";
    }
}
