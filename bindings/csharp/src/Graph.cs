#nullable enable
using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using OmniID.Native;

namespace OmniID
{
    /// <summary>
    /// The identity inputs of a graph that a host runs as a whole (ONNX Runtime, Unity's Inference Engine), as the
    /// manifest beside it lists them. Never changes; may be used from any number of threads at once. Dispose of it, or
    /// leave it to the garbage collector.
    /// </summary>
    public sealed unsafe class Graph : IDisposable
    {
        private readonly GraphHandle handle;
        private readonly GraphLayer[] layers;
        private readonly GraphInput[] inputs;

        private Graph(IntPtr pointer)
        {
            handle = new GraphHandle(pointer);
            try
            {
                NativeGraphInfo native = NativeGraphInfo.Create();
                OmniIdException.Check(NativeMethods.omniid_graph_describe(pointer, &native));
                Info = new GraphInfo(native);
                layers = new GraphLayer[NativeText.Count(native.LayerCount)];
                for (int i = 0; i < layers.Length; i++)
                {
                    NativeGraphLayer layer = NativeGraphLayer.Create();
                    OmniIdException.Check(NativeMethods.omniid_graph_describe_layer(pointer, (UIntPtr)i, &layer));
                    layers[i] = new GraphLayer(layer);
                }
                inputs = new GraphInput[NativeText.Count(native.InputCount)];
                for (int i = 0; i < inputs.Length; i++)
                {
                    NativeGraphInput input = NativeGraphInput.Create();
                    OmniIdException.Check(NativeMethods.omniid_graph_describe_input(pointer, (UIntPtr)i, &input));
                    inputs[i] = new GraphInput(input, i);
                }
            }
            catch
            {
                handle.Dispose();
                throw;
            }
        }

        /// <summary>Reads the manifest of a graph, from the path of either.</summary>
        /// <exception cref="OmniIdIoException">It cannot be read.</exception>
        /// <exception cref="OmniIdFormatException">It is no manifest.</exception>
        public static Graph Open(string path)
        {
            if (path == null)
                throw new ArgumentNullException(nameof(path));
            using (var pins = new Pins())
            {
                IntPtr graph;
                OmniIdException.Check(NativeMethods.omniid_graph_open(pins.Text(path, nameof(path)), &graph));
                return new Graph(graph);
            }
        }

        /// <summary>Reads a manifest from memory, for instance from a text asset: JSON in UTF-8.</summary>
        /// <exception cref="OmniIdFormatException">It is no manifest.</exception>
        public static Graph Parse(ReadOnlySpan<byte> json)
        {
            IntPtr graph;
            // A span without bytes has no address.
            byte nothing = 0;
            fixed (byte* first = &MemoryMarshal.GetReference(json))
            {
                byte* data = json.IsEmpty ? &nothing : first;
                OmniIdException.Check(NativeMethods.omniid_graph_parse(data, (UIntPtr)json.Length, &graph));
            }
            return new Graph(graph);
        }

        /// <summary>What the graph is.</summary>
        public GraphInfo Info { get; }

        /// <summary>The attention layers, in the order of the scales.</summary>
        public IReadOnlyList<GraphLayer> Layers => layers;

        /// <summary>The identity inputs.</summary>
        public IReadOnlyList<GraphInput> Inputs => inputs;

        /// <summary>
        /// The shape of an input for a call: as many rows as there are roles, as many tokens as the identity has, or
        /// the number that the graph was made for.
        /// </summary>
        /// <exception cref="OmniIdMismatchException">Graph and conditioning do not belong together.</exception>
        public GraphShape Shape(Conditioning conditioning, GraphInput input, in GraphCall call,
            ReadOnlySpan<Role> roles = default)
        {
            if (conditioning == null)
                throw new ArgumentNullException(nameof(conditioning));
            if (input == null)
                throw new ArgumentNullException(nameof(input));
            NativeGraphShape shape = NativeGraphShape.Create();
            using (Lease lease = Use())
            using (Lease conditioned = conditioning.Use())
            fixed (Role* firstRole = &MemoryMarshal.GetReference(roles))
            {
                NativeGraphCall native = call.ToNative(firstRole, roles.Length);
                OmniIdException.Check(NativeMethods.omniid_graph_input_shape(
                    lease.Pointer, conditioned.Pointer, &native, (UIntPtr)input.Index, &shape));
            }
            return new GraphShape(shape);
        }

        /// <summary>
        /// Fills the host's buffers for identity inputs: all of them or some, in any order. Everything is checked
        /// before anything is written. Keys, values and tokens serve for all steps of sampling; fill scales and masks
        /// for each step.
        /// </summary>
        /// <exception cref="OmniIdMismatchException">
        /// Graph and conditioning differ in host, layers, heads or head width, or a buffer is not like its input. The
        /// message names the layer and both shapes.
        /// </exception>
        /// <exception cref="OmniIdUnsupportedException">
        /// The conditioning does more in a layer than the graph, or several people meet a graph without masks.
        /// </exception>
        public void Fill(Conditioning conditioning, IReadOnlyList<GraphBuffer> buffers, in GraphCall call,
            ReadOnlySpan<Role> roles = default)
        {
            if (conditioning == null)
                throw new ArgumentNullException(nameof(conditioning));
            if (buffers == null)
                throw new ArgumentNullException(nameof(buffers));
            using (var pins = new Pins())
            {
                // One more, since an empty array has no address.
                var natives = new NativeGraphBuffer[buffers.Count + 1];
                for (int i = 0; i < buffers.Count; i++)
                    natives[i] = buffers[i].ToNative(pins);
                IntPtr graph = pins.Handle(handle, nameof(Graph));
                using (Lease conditioned = conditioning.Use())
                fixed (Role* firstRole = &MemoryMarshal.GetReference(roles))
                {
                    NativeGraphCall native = call.ToNative(firstRole, roles.Length);
                    OmniIdException.Check(NativeMethods.omniid_graph_fill(graph, conditioned.Pointer, &native,
                        (NativeGraphBuffer*)pins.Array(natives), (UIntPtr)buffers.Count));
                }
            }
        }

        /// <summary>Frees the graph, once no call uses it any more.</summary>
        public void Dispose()
        {
            handle.Dispose();
        }

        private Lease Use() => handle.Use(nameof(Graph));
    }

    /// <summary>What a graph is, as its manifest says.</summary>
    public sealed unsafe class GraphInfo
    {
        internal GraphInfo(in NativeGraphInfo native)
        {
            Form = (GraphForm)native.Form;
            FileName = NativeText.Read(native.FileName);
            Path = NativeText.ReadOrNull(native.Path);
            Host = NativeText.Read(native.Host);
            Precision = (Precision)native.Precision;
            Rows = NativeText.Count(native.Rows);
            Tokens = NativeText.Count(native.Tokens);
            Width = NativeText.Count(native.Width);
            ScaleInput = NativeText.ReadOrNull(native.ScaleInput);
            MaskInput = NativeText.ReadOrNull(native.MaskInput);
            TokensInput = NativeText.ReadOrNull(native.TokensInput);
            Fingerprint = NativeText.ReadOrNull(native.Fingerprint);
        }

        /// <summary>What it takes.</summary>
        public GraphForm Form { get; }

        /// <summary>Name of the graph's file, which lies beside the manifest.</summary>
        public string FileName { get; }

        /// <summary>Path of that file; null when the manifest came from memory.</summary>
        public string? Path { get; }

        /// <summary>The model that the graph is: "sd15", "sdxl", "sd3", "flux" or "custom".</summary>
        public string Host { get; }

        /// <summary>Number type of keys, values, tokens and masks. Scales are f32.</summary>
        public Precision Precision { get; }

        /// <summary>Number of batch rows that it was made for; 0 for any.</summary>
        public int Rows { get; }

        /// <summary>Number of identity tokens, of all people together, that it was made for; 0 for any.</summary>
        public int Tokens { get; }

        /// <summary>Width of the tokens that it takes; 0 for one that takes keys and values.</summary>
        public int Width { get; }

        /// <summary>Name of the input of scales; null when scales are part of the values.</summary>
        public string? ScaleInput { get; }

        /// <summary>Name of the input of masks; null when there is one softmax for all tokens.</summary>
        public string? MaskInput { get; }

        /// <summary>Name of the input of tokens; null for a graph that takes keys and values.</summary>
        public string? TokensInput { get; }

        /// <summary>Fingerprint of the model whose tokens it takes; null where any will do.</summary>
        public string? Fingerprint { get; }
    }

    /// <summary>One attention layer of a graph.</summary>
    public sealed unsafe class GraphLayer
    {
        internal GraphLayer(in NativeGraphLayer native)
        {
            Name = NativeText.Read(native.Name);
            Heads = (int)native.Heads;
            HeadDim = (int)native.HeadDim;
            KeyInput = NativeText.ReadOrNull(native.KeyInput);
            ValueInput = NativeText.ReadOrNull(native.ValueInput);
        }

        /// <summary>The layer's name in the host.</summary>
        public string Name { get; }

        /// <summary>Number of attention heads.</summary>
        public int Heads { get; }

        /// <summary>Width of one head.</summary>
        public int HeadDim { get; }

        /// <summary>Name of the input of its keys; null in a graph that takes tokens.</summary>
        public string? KeyInput { get; }

        /// <summary>Name of the input of its values; null in a graph that takes tokens.</summary>
        public string? ValueInput { get; }
    }

    /// <summary>One identity input of a graph.</summary>
    public sealed unsafe class GraphInput
    {
        internal GraphInput(in NativeGraphInput native, int index)
        {
            Name = NativeText.Read(native.Name);
            Kind = (GraphInputKind)native.Kind;
            Layer = NativeText.Count(native.Layer);
            Index = index;
        }

        /// <summary>Its name in the graph.</summary>
        public string Name { get; }

        /// <summary>What it carries.</summary>
        public GraphInputKind Kind { get; }

        /// <summary>Index of the layer whose keys or values it carries; 0 for other inputs.</summary>
        public int Layer { get; }

        /// <summary>True for what has to be filled again for each step: scales and masks.</summary>
        public bool ChangesWithStep => Kind == GraphInputKind.Scale || Kind == GraphInputKind.Mask;

        internal int Index { get; }
    }

    /// <summary>Shape of an identity input for a call.</summary>
    public readonly unsafe struct GraphShape
    {
        private readonly int[] dimensions;

        internal GraphShape(NativeGraphShape native)
        {
            dimensions = new int[native.Rank];
            for (int i = 0; i < dimensions.Length; i++)
                dimensions[i] = NativeText.Count((ulong)native.Shape[i]);
            ByteSize = (long)native.ByteSize;
            Precision = (Precision)native.Precision;
        }

        /// <summary>The dimensions.</summary>
        public IReadOnlyList<int> Dimensions => dimensions;

        /// <summary>Bytes in the input's number type.</summary>
        public long ByteSize { get; }

        /// <summary>That number type.</summary>
        public Precision Precision { get; }
    }

    /// <summary>What inputs are filled for.</summary>
    public struct GraphCall
    {
        private float? scale;

        /// <summary>A call at a scale.</summary>
        public GraphCall(float scale)
        {
            this = default;
            Scale = scale;
        }

        /// <summary>
        /// Multiplies every identity's scale; at 0 the graph gives what it gives without one. Default: 1.
        /// </summary>
        public float Scale
        {
            get => scale ?? 1f;
            set => scale = value;
        }

        /// <summary>Noise level of the step. Needed by identities that are limited to a range of it.</summary>
        public double? Sigma;

        /// <summary>Share of sampling that is done, 0 to 1. Needed as sigma is.</summary>
        public double? Fraction;

        /// <summary>In a graph without masks several people share one softmax.</summary>
        public bool Concatenate;

        internal unsafe NativeGraphCall ToNative(Role* roles, int roleCount)
        {
            NativeGraphCall native = NativeGraphCall.Create();
            native.Scale = Scale;
            native.Roles = roleCount == 0 ? null : (int*)roles;
            native.RoleCount = (UIntPtr)roleCount;
            native.Flags = (Sigma.HasValue ? (uint)InjectFlag.Sigma : 0)
                | (Fraction.HasValue ? (uint)InjectFlag.Fraction : 0);
            native.Sigma = Sigma ?? 0;
            native.Fraction = Fraction ?? 0;
            native.Concatenate = Concatenate ? 1 : 0;
            return native;
        }
    }

    /// <summary>The host's memory for one input.</summary>
    public readonly unsafe struct GraphBuffer
    {
        private readonly Memory<byte> memory;
        private readonly Memory<float> floats;
        private readonly IntPtr address;
        private readonly long byteSize;

        /// <summary>Memory of f32 numbers.</summary>
        public GraphBuffer(string name, Memory<float> data) : this()
        {
            Name = name ?? throw new ArgumentNullException(nameof(name));
            floats = data;
            byteSize = (long)data.Length * sizeof(float);
        }

        /// <summary>Memory of numbers of any type.</summary>
        public GraphBuffer(string name, Memory<byte> data, Precision precision) : this()
        {
            Name = name ?? throw new ArgumentNullException(nameof(name));
            memory = data;
            byteSize = data.Length;
            Precision = precision;
        }

        /// <summary>Native memory of the host, which stays valid until the call returns.</summary>
        public GraphBuffer(string name, IntPtr data, long byteSize, Precision precision) : this()
        {
            Name = name ?? throw new ArgumentNullException(nameof(name));
            address = data;
            this.byteSize = byteSize;
            Precision = precision;
        }

        /// <summary>Name of the input.</summary>
        public string Name { get; }

        /// <summary>Its number type, which has to be the input's.</summary>
        public Precision Precision { get; }

        internal NativeGraphBuffer ToNative(Pins pins)
        {
            NativeGraphBuffer native = NativeGraphBuffer.Create();
            native.Name = pins.Text(Name, nameof(Name));
            native.ByteSize = NativeText.Size(byteSize, nameof(byteSize));
            native.Precision = (int)Precision;
            native.Data = address != IntPtr.Zero ? (void*)address
                : memory.IsEmpty ? pins.Memory((ReadOnlyMemory<float>)floats)
                : pins.Memory((ReadOnlyMemory<byte>)memory);
            return native;
        }
    }
}
