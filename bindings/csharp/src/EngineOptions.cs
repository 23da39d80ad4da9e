#nullable enable
using System;
using System.Collections.Generic;
using OmniID.Native;

namespace OmniID
{
    /// <summary>A file to read: a path, or its bytes.</summary>
    public sealed class ModelFile
    {
        private readonly string? path;
        private readonly ReadOnlyMemory<byte> data;

        private ModelFile(string? path, ReadOnlyMemory<byte> data)
        {
            this.path = path;
            this.data = data;
        }

        /// <summary>A file on disk, or a folder with a model.</summary>
        public static ModelFile FromFile(string path)
        {
            return new ModelFile(path ?? throw new ArgumentNullException(nameof(path)), default);
        }

        /// <summary>The bytes of a file; the library copies them.</summary>
        public static ModelFile FromBytes(ReadOnlyMemory<byte> data)
        {
            if (data.IsEmpty)
                throw new ArgumentException("The file has no bytes.", nameof(data));
            return new ModelFile(null, data);
        }

        /// <summary>A path stands for the file on disk.</summary>
        public static implicit operator ModelFile(string path) => FromFile(path);

        internal unsafe void Fill(Pins pins, out byte* nativePath, out void* nativeData, out UIntPtr size)
        {
            nativePath = pins.Text(path, nameof(path));
            nativeData = pins.Memory(data);
            size = (UIntPtr)data.Length;
        }
    }

    /// <summary>What to open an engine with. Properties that are not set have the library's defaults.</summary>
    public sealed class EngineOptions
    {
        /// <summary>
        /// The identity model: a native Omni-ID checkpoint or a public IP-Adapter or XLabs file. Default: the small
        /// model inside the library, which brings its own face detector.
        /// </summary>
        public ModelFile? Checkpoint { get; set; }

        /// <summary>The CLIP vision model that a public checkpoint needs; a native one brings its own.</summary>
        public ModelFile? ImageEncoder { get; set; }

        /// <summary>The text of the image encoder's config.json. Default: the file beside it.</summary>
        public string? ImageEncoderConfig { get; set; }

        /// <summary>
        /// Whether the image encoder is loaded when it is first needed instead of when the engine is opened: for
        /// programs that work with stored identities or with features. Default: no.
        /// </summary>
        public bool DeferImageEncoder { get; set; }

        /// <summary>
        /// Weights of the face detector. Default: the one in a native checkpoint, else the one inside the library.
        /// </summary>
        public ModelFile? Detector { get; set; }

        /// <summary>
        /// The face recognition network: models of the FaceID family, InstantID and PuLID make their tokens from its
        /// embeddings; for any other model it serves <c>Engine.Likeness</c>. Default: the one in a native checkpoint;
        /// else photos must bring embeddings.
        /// </summary>
        public ModelFile? FaceRecogniser { get; set; }

        /// <summary>
        /// The face parsing network that makes the background of PuLID's crop. Default: the plain crop.
        /// </summary>
        public ModelFile? FaceParser { get; set; }

        /// <summary>
        /// Which published model the checkpoint is, where two have the same tensors: "faceid-plus" or "faceid-plus-v2",
        /// "instantid" or "faceid-portrait-unnorm". Default: "faceid-plus-v2"; "instantid", unless the face recogniser
        /// is an IResNet-50.
        /// </summary>
        public string? Variant { get; set; }

        /// <summary>
        /// "sd15", "sdxl", "flux", "flux_all", "pulid_flux", "with_anyone" or "sd35_large"; with
        /// <see cref="HostLayers"/> any name. Default: what the checkpoint is for.
        /// </summary>
        public string? Host { get; set; }

        /// <summary>The host's own layer table, in the order of the adapter. Default: the built-in one.</summary>
        public IReadOnlyList<HostLayer>? HostLayers { get; set; }

        /// <summary>CPU or CUDA. Default: CPU.</summary>
        public DeviceType Device { get; set; } = DeviceType.Cpu;

        /// <summary>Ordinal of the GPU.</summary>
        public int DeviceId { get; set; }

        /// <summary>Number type of the weights. Default: f32.</summary>
        public Precision Precision { get; set; }

        /// <summary>Most pixels of one photo. Default: 100 million.</summary>
        public long? MaxPixels { get; set; }

        /// <summary>Most bytes that decoding one photo may take. Default: 1 GiB.</summary>
        public long? MaxDecodedBytes { get; set; }

        /// <summary>Most bytes of one encoded photo. Default: 256 MiB.</summary>
        public long? MaxPhotoBytes { get; set; }

        /// <summary>Most bytes of a checkpoint's header. Default: 100 MB.</summary>
        public long? MaxHeaderBytes { get; set; }

        /// <summary>Most photos of one identity. Default: 4096.</summary>
        public long? MaxPhotos { get; set; }

        internal unsafe NativeEngineOptions ToNative(Pins pins)
        {
            NativeEngineOptions native = NativeEngineOptions.Create();
            Checkpoint?.Fill(pins, out native.CheckpointPath, out native.CheckpointData, out native.CheckpointSize);
            ImageEncoder?.Fill(
                pins, out native.ImageEncoderPath, out native.ImageEncoderData, out native.ImageEncoderSize);
            Detector?.Fill(pins, out native.DetectorPath, out native.DetectorData, out native.DetectorSize);
            FaceRecogniser?.Fill(
                pins, out native.FaceRecogniserPath, out native.FaceRecogniserData, out native.FaceRecogniserSize);
            FaceParser?.Fill(pins, out native.FaceParserPath, out native.FaceParserData, out native.FaceParserSize);
            native.Variant = pins.Text(Variant, nameof(Variant));
            native.ImageEncoderConfig = pins.Text(ImageEncoderConfig, nameof(ImageEncoderConfig));
            native.DeferImageEncoder = DeferImageEncoder ? 1 : 0;
            native.Host = pins.Text(Host, nameof(Host));
            if (HostLayers?.Count == 0)
                throw new ArgumentException("A host has at least one layer.", nameof(HostLayers));
            if (HostLayers != null)
            {
                var layers = new NativeHostLayer[HostLayers.Count];
                for (int i = 0; i < layers.Length; i++)
                {
                    HostLayer layer = HostLayers[i]
                        ?? throw new ArgumentException($"Layer {i} is null.", nameof(HostLayers));
                    layers[i] = layer.ToNative(pins);
                }
                native.HostLayers = (NativeHostLayer*)pins.Array(layers);
                native.HostLayerCount = (UIntPtr)layers.Length;
            }
            native.DeviceType = (int)Device;
            native.DeviceId = DeviceId;
            native.Precision = (int)Precision;
            native.MaxPixels = Convert.ToUInt64(MaxPixels ?? 0);
            native.MaxDecodedBytes = Convert.ToUInt64(MaxDecodedBytes ?? 0);
            native.MaxPhotoBytes = Convert.ToUInt64(MaxPhotoBytes ?? 0);
            native.MaxHeaderBytes = Convert.ToUInt64(MaxHeaderBytes ?? 0);
            native.MaxPhotos = Convert.ToUInt64(MaxPhotos ?? 0);
            return native;
        }
    }

    /// <summary>What an engine is.</summary>
    public sealed class EngineInfo
    {
        internal unsafe EngineInfo(in NativeEngineInfo native)
        {
            Encoder = (EncoderKind)native.Encoder;
            Name = NativeText.Read(native.Name);
            Fingerprint = NativeText.Read(native.Fingerprint);
            Host = NativeText.ReadOrNull(native.Host);
            HostLayerCount = NativeText.Count(native.HostLayerCount);
            Tokens = NativeText.Count(native.Tokens);
            TokenWidth = NativeText.Count(native.TokenWidth);
            ImageSize = (int)native.ImageSize;
            HasDetector = native.HasDetector != 0;
            HasAdapter = native.HasAdapter != 0;
            Device = (DeviceType)native.DeviceType;
            DeviceId = native.DeviceId;
            Precision = (Precision)native.Precision;
            HasImageEncoder = native.HasImageEncoder != 0;
            HasLora = native.HasLora != 0;
            FaceDimension = NativeText.Count(native.FaceDimension);
            FaceForm = (EmbeddingForm)native.FaceForm;
            FaceNetwork = NativeText.ReadOrNull(native.FaceNetwork);
            FaceRecogniser = NativeText.ReadOrNull(native.FaceRecogniser);
            FaceRecogniserLicence = NativeText.ReadOrNull(native.FaceRecogniserLicence);
        }

        /// <summary>The kind of identity encoder.</summary>
        public EncoderKind Encoder { get; }

        /// <summary>The model's name; may be empty.</summary>
        public string Name { get; }

        /// <summary>Fingerprint of the model; its identities carry it.</summary>
        public string Fingerprint { get; }

        /// <summary>The host's name; null if no host is known.</summary>
        public string? Host { get; }

        /// <summary>Layers of the host; 0 if no host is known.</summary>
        public int HostLayerCount { get; }

        /// <summary>Identity tokens: of an identity for Omni-ID, of each photo otherwise.</summary>
        public int Tokens { get; }

        /// <summary>Width of an identity token.</summary>
        public int TokenWidth { get; }

        /// <summary>Side of the square picture that the image encoder sees, in pixels.</summary>
        public int ImageSize { get; }

        /// <summary>True if faces can be detected.</summary>
        public bool HasDetector { get; }

        /// <summary>True if the checkpoint holds an adapter, so that identities can be conditioned on.</summary>
        public bool HasAdapter { get; }

        /// <summary>Where the engine computes.</summary>
        public DeviceType Device { get; }

        /// <summary>Ordinal of the GPU; 0 on the CPU.</summary>
        public int DeviceId { get; }

        /// <summary>Number type of the weights.</summary>
        public Precision Precision { get; }

        /// <summary>True if the model reads an image encoder; false if it reads face embeddings only.</summary>
        public bool HasImageEncoder { get; }

        /// <summary>
        /// True if the checkpoint holds a LoRA, which is part of the model: the host has to apply it at strength 1. See
        /// <c>Engine.SaveLora</c>.
        /// </summary>
        public bool HasLora { get; }

        /// <summary>Values of the face embedding that the model reads; 0 if it reads none.</summary>
        public int FaceDimension { get; }

        /// <summary>The form of that embedding; a raw one always serves.</summary>
        public EmbeddingForm FaceForm { get; }

        /// <summary>The network that the model was trained with; null if it reads no face embedding.</summary>
        public string? FaceNetwork { get; }

        /// <summary>The engine's face recogniser; null if there is none.</summary>
        public string? FaceRecogniser { get; }

        /// <summary>
        /// What the authors of the face recogniser state about its use, or "unknown"; null if there is none.
        /// </summary>
        public string? FaceRecogniserLicence { get; }
    }
}
