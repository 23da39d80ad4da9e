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
        /// <summary>The operating system refused: no such file, no permission, disk full.</summary>
        Io = 2,
        /// <summary>
        /// A file or a buffer does not hold what its format promises: truncated, lying header, missing key.
        /// </summary>
        Format = 3,
        /// <summary>Well-formed, but not something this build can do: a dtype, a device, a checkpoint family.</summary>
        Unsupported = 4,
        /// <summary>
        /// Two things that do not belong together: identity and model, adapter and host, tensor and layer.
        /// </summary>
        Mismatch = 5,
        /// <summary>No usable face in any of the photos.</summary>
        NoFace = 6,
        /// <summary>A limit set by the caller was reached: pixels, decoded bytes, file size.</summary>
        LimitExceeded = 7,
        /// <summary>The caller's progress callback asked to stop.</summary>
        Cancelled = 8,
        /// <summary>The GPU, its driver or its libraries failed.</summary>
        Device = 9,
        /// <summary>The caller was built for another major version of the ABI.</summary>
        AbiMismatch = 10,
        /// <summary>A defect in OmniID itself. Please report it with the message.</summary>
        Internal = 255,
    }

    /// <summary>How serious a log message is.</summary>
    public enum LogLevel
    {
        /// <summary>Something failed.</summary>
        Error = 1,
        /// <summary>Something was left out or looks wrong; the call goes on.</summary>
        Warn = 2,
        /// <summary>What a user may want to know.</summary>
        Info = 3,
        /// <summary>What a developer of the host may want to know.</summary>
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
        /// <summary>Photos pass the image encoder. Unit: photos.</summary>
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
        /// <summary>32-bit floating point: equal to the reference implementations within rounding.</summary>
        F32 = 0,
        /// <summary>IEEE half precision: half the memory.</summary>
        F16 = 1,
        /// <summary>bfloat16: half the memory, the range of f32.</summary>
        Bf16 = 2,
    }

    /// <summary>The kind of identity encoder.</summary>
    public enum EncoderKind
    {
        /// <summary>The native Omni-ID encoder: a fixed number of tokens, however many photos.</summary>
        OmniId = 0,
        /// <summary>IP-Adapter Plus and Plus-Face: a fixed number of tokens for each photo.</summary>
        Resampler = 1,
        /// <summary>IP-Adapter full-face: a token per feature token and photo.</summary>
        FullFace = 2,
        /// <summary>Base IP-Adapter and XLabs FLUX: a fixed number of tokens for each photo.</summary>
        Projection = 3,
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
        /// <summary>Red, green, blue, alpha; alpha is ignored.</summary>
        Rgba = 1,
        /// <summary>Blue, green, red.</summary>
        Bgr = 2,
        /// <summary>Blue, green, red, alpha; alpha is ignored.</summary>
        Bgra = 3,
    }

    /// <summary>Which face of a photo is meant.</summary>
    internal enum FaceHint
    {
        /// <summary>The largest face that the detector finds.</summary>
        Detect = 0,
        /// <summary>The face_index-th largest face that the detector finds; 0 is the largest.</summary>
        Index = 1,
        /// <summary>The face in face_box. Needs no detector.</summary>
        Box = 2,
        /// <summary>The face with the five face_landmarks. Needs no detector.</summary>
        Landmarks = 3,
    }

    /// <summary>How photos are cropped.</summary>
    public enum Crop
    {
        /// <summary>The model's own way.</summary>
        Default = 0,
        /// <summary>
        /// The photo as it is: the image encoder's own preparation scales the short side and cuts out the centre.
        /// </summary>
        None = 1,
        /// <summary>The largest square in the middle of the photo.</summary>
        Center = 2,
        /// <summary>A square around the face, with a margin.</summary>
        Face = 3,
        /// <summary>The face turned, scaled and shifted so that its landmarks lie on the ArcFace template.</summary>
        Aligned = 4,
    }

    /// <summary>What to do with a photo that cannot be used.</summary>
    public enum BadPhoto
    {
        /// <summary>Leave out a photo that cannot be used, and say so in the report.</summary>
        Skip = 0,
        /// <summary>Fail the call.</summary>
        Fail = 1,
    }

    /// <summary>How an identity's weight is spread over the layers of the host.</summary>
    public enum WeightType
    {
        /// <summary>The weight w everywhere.</summary>
        Linear = 0,
        /// <summary>Strong in early layers.</summary>
        EaseIn = 1,
        /// <summary>Strong in late layers.</summary>
        EaseOut = 2,
        /// <summary>Strong in the middle.</summary>
        EaseInOut = 3,
        /// <summary>Weak in the middle.</summary>
        ReverseInOut = 4,
        /// <summary>0.2 w on the down-sampling half.</summary>
        WeakInput = 5,
        /// <summary>0.2 w on the up-sampling half.</summary>
        WeakOutput = 6,
        /// <summary>0.2 w on the middle block.</summary>
        WeakMiddle = 7,
        /// <summary>0.2 w everywhere but in the middle block.</summary>
        StrongMiddle = 8,
        /// <summary>Only the style layers. This and the following are for SD1.5 and SDXL.</summary>
        StyleTransfer = 9,
        /// <summary>Only the composition layers.</summary>
        Composition = 10,
        /// <summary>Everything but the composition layers.</summary>
        StrongStyleTransfer = 11,
        /// <summary>Style and composition layers, each with its own weight.</summary>
        StyleAndComposition = 12,
        /// <summary>Every layer, the composition layers with their own weight.</summary>
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
        /// <summary>What the checkpoint's own reference code does.</summary>
        Default = 0,
        /// <summary>Nothing is injected into unconditional rows.</summary>
        None = 1,
        /// <summary>A zero image embedding through the projection.</summary>
        ZeroEmbedding = 2,
        /// <summary>A picture whose values are zero after normalisation.</summary>
        ZeroPixels = 3,
        /// <summary>A black picture.</summary>
        BlackImage = 4,
        /// <summary>All-zero image features.</summary>
        ZeroFeatures = 5,
        /// <summary>Tokens that are zero.</summary>
        ZeroTokens = 6,
        /// <summary>The model's average identity, if the checkpoint has one.</summary>
        MeanTokens = 7,
    }

    /// <summary>How the weight acts on keys and values.</summary>
    public enum EmbedsScaling
    {
        /// <summary>The weight multiplies the attention's output.</summary>
        Values = 0,
        /// <summary>The weight multiplies keys and values.</summary>
        KeysAndValues = 1,
        /// <summary>As before, with the weight times inner width / 1280.</summary>
        KeysAndValuesPenalty = 2,
        /// <summary>
        /// The weight times inner width / 1280 multiplies the keys, and of the values only their mean over the tokens.
        /// </summary>
        KeysAndMeanValuesPenalty = 3,
    }

    /// <summary>Whose rules for placing masks are followed.</summary>
    public enum MaskMode
    {
        /// <summary>Masks follow ComfyUI: grid from the latent size, bilinear.</summary>
        Comfyui = 0,
        /// <summary>Masks follow diffusers: grid from the mask's proportions, bicubic.</summary>
        Diffusers = 1,
    }

    /// <summary>The side of guidance that a batch row belongs to.</summary>
    public enum Role
    {
        /// <summary>The rows that follow the prompt.</summary>
        Conditional = 0,
        /// <summary>The rows that do not.</summary>
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

    /// <summary>Flags of an injection, to be added up.</summary>
    internal enum InjectFlag
    {
        /// <summary>The call's sigma is set.</summary>
        Sigma = 1,
        /// <summary>The call's fraction is set.</summary>
        Fraction = 2,
        /// <summary>
        /// Do not look for values in the query that are not finite. The look costs under one percent of the attention.
        /// </summary>
        Unchecked = 4,
    }

    /// <summary>The ABI and the release that these declarations belong to.</summary>
    internal static class HeaderVersion
    {
        public const uint AbiMajor = 1;
        public const uint AbiMinor = 0;
        public const uint Abi = AbiMajor << 16 | AbiMinor;
        public const string Release = "0.2.0";
    }
}
