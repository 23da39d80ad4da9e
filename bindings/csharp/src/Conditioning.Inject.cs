#nullable enable
using System;
using System.Runtime.InteropServices;
using OmniID.Native;

namespace OmniID
{
    /// <summary>One attention layer at one step.</summary>
    public struct InjectCall
    {
        /// <summary>An injection into a layer at full scale.</summary>
        public InjectCall(int layer)
        {
            this = default;
            Layer = layer;
            Scale = 1f;
            Stream = 1;
        }

        /// <summary>Index of the layer in the host's table.</summary>
        public int Layer;

        /// <summary>Multiplies every identity's scale; 0 leaves the output as it is.</summary>
        public float Scale;

        /// <summary>Order of the dimensions of query and output.</summary>
        public Layout Layout;

        /// <summary>Noise level of the step. Needed by identities that are limited to a range of it.</summary>
        public double? Sigma;

        /// <summary>Share of sampling that is done, 0 to 1. Needed as sigma is.</summary>
        public double? Fraction;

        /// <summary>Height of the latent picture. Needed by identities with a mask.</summary>
        public int LatentHeight;

        /// <summary>Width of the latent picture. Needed by identities with a mask.</summary>
        public int LatentWidth;

        /// <summary>
        /// SD3.5: the keys that the layer makes of the image, before it normalises them, in the layout of the query;
        /// the query is that before it is normalised too.
        /// </summary>
        public TensorView? ImageKeys;

        /// <summary>SD3.5: the values that the layer makes of the image.</summary>
        public TensorView? ImageValues;

        /// <summary>Do not search the query for values that are not finite.</summary>
        public bool Unchecked;

        /// <summary>
        /// Which part of the work this call does, from 0, where threads of the host share one call: each makes the same
        /// call with a part of its own.
        /// </summary>
        public int Part;

        /// <summary>In how many parts the work is done; 0 and 1 are the whole.</summary>
        public int PartCount;

        /// <summary>
        /// The CUDA stream of query and output: 1 is the legacy default stream, 2 the per-thread default stream, -1
        /// waits until the work is done; otherwise the stream's handle. Ignored on the CPU.
        /// </summary>
        public long Stream;
    }

    public sealed unsafe partial class Conditioning
    {
        /// <summary>
        /// Adds the identities' attention to a layer's output, in place, in f32 on the CPU:
        /// output += sum over identities of scale × mask × softmax(query Kᵀ / √head width) V. Allocates nothing.
        /// </summary>
        /// <param name="call">The layer and the step.</param>
        /// <param name="query">
        /// The layer's queries: <c>[batch, rows, heads * head width]</c>, or <c>[batch, heads, rows, head width]</c>
        /// with <see cref="Layout.HeadsFirst"/>, without gaps. The batch size follows from the length.
        /// </param>
        /// <param name="output">
        /// The layer's text attention before its output projection, of the same shape. Must not overlap the query.
        /// </param>
        /// <param name="rows">Image tokens of one batch row.</param>
        /// <param name="roles">
        /// The side of guidance of each batch row, in any order; empty if all are conditional.
        /// </param>
        /// <exception cref="ArgumentException">The lengths do not fit the layer.</exception>
        public void Inject(in InjectCall call, ReadOnlySpan<float> query, Span<float> output, int rows,
            ReadOnlySpan<Role> roles = default)
        {
            if ((uint)call.Layer >= (uint)layers.Length)
                throw new ArgumentOutOfRangeException(nameof(call), call.Layer, $"There are {layers.Length} layers.");
            if (rows <= 0)
                throw new ArgumentOutOfRangeException(nameof(rows), rows, "Must be positive.");
            HostLayer layer = layers[call.Layer];
            long row = (long)rows * layer.Width;
            if (query.Length == 0 || query.Length % row != 0)
            {
                throw new ArgumentException(
                    $"Layer {layer.Name} with {rows} rows of {layer.Heads} x {layer.HeadDim} has a multiple of {row} "
                    + $"numbers; the query has {query.Length}.", nameof(query));
            }
            if (output.Length != query.Length)
                throw new ArgumentException($"The query has {query.Length} numbers, the output {output.Length}.",
                    nameof(output));
            long batch = query.Length / row;
            fixed (float* queryData = &MemoryMarshal.GetReference(query))
            fixed (float* outputData = &MemoryMarshal.GetReference(output))
            {
                bool headsFirst = call.Layout == Layout.HeadsFirst;
                TensorView queryView = headsFirst
                    ? TensorView.Contiguous((IntPtr)queryData, 4, batch, layer.Heads, rows, layer.HeadDim)
                    : TensorView.Contiguous((IntPtr)queryData, 3, batch, rows, layer.Width);
                TensorView outputView = headsFirst
                    ? TensorView.Contiguous((IntPtr)outputData, 4, batch, layer.Heads, rows, layer.HeadDim)
                    : TensorView.Contiguous((IntPtr)outputData, 3, batch, rows, layer.Width);
                Inject(call, &queryView, &outputView, roles);
            }
        }

        /// <summary>
        /// Adds the identities' attention to a layer's output in the host's own memory: f32, f16 or bf16, any strides,
        /// on the CPU or a GPU. Allocates nothing on the CPU.
        /// </summary>
        /// <param name="call">The layer and the step.</param>
        /// <param name="query">The layer's queries.</param>
        /// <param name="output">Same shape, number type and device; must not overlap the query.</param>
        /// <param name="roles">
        /// The side of guidance of each batch row, in any order; empty if all are conditional.
        /// </param>
        /// <exception cref="OmniIdMismatchException">
        /// Shapes or number types of query, output and layer differ.
        /// </exception>
        /// <exception cref="OmniIdInvalidArgumentException">
        /// The layer does not exist, or the query is not finite.
        /// </exception>
        public void Inject(in InjectCall call, in TensorView query, in TensorView output,
            ReadOnlySpan<Role> roles = default)
        {
            TensorView queryView = query, outputView = output;
            Inject(call, &queryView, &outputView, roles);
        }

        private void Inject(in InjectCall call, TensorView* query, TensorView* output, ReadOnlySpan<Role> roles)
        {
            NativeTensor nativeQuery = TensorView.ToNative(query), nativeOutput = TensorView.ToNative(output);
            NativeInjectCall native = NativeInjectCall.Create();
            native.Scale = call.Scale;
            native.Layer = NativeText.Size(call.Layer, nameof(call));
            native.Query = &nativeQuery;
            native.Output = &nativeOutput;
            TensorView keys = call.ImageKeys.GetValueOrDefault(), values = call.ImageValues.GetValueOrDefault();
            NativeTensor nativeKeys = TensorView.ToNative(&keys), nativeValues = TensorView.ToNative(&values);
            native.ImageKeys = call.ImageKeys.HasValue ? &nativeKeys : null;
            native.ImageValues = call.ImageValues.HasValue ? &nativeValues : null;
            native.Layout = (int)call.Layout;
            native.Flags = (call.Sigma.HasValue ? (uint)InjectFlag.Sigma : 0)
                | (call.Fraction.HasValue ? (uint)InjectFlag.Fraction : 0)
                | (call.Unchecked ? (uint)InjectFlag.Unchecked : 0);
            native.Sigma = call.Sigma ?? 0;
            native.Fraction = call.Fraction ?? 0;
            native.LatentHeight = Convert.ToUInt32(call.LatentHeight);
            native.LatentWidth = Convert.ToUInt32(call.LatentWidth);
            native.Stream = call.Stream;
            native.Part = Convert.ToUInt32(call.Part);
            native.PartCount = Convert.ToUInt32(call.PartCount);
            native.RoleCount = (UIntPtr)roles.Length;
            using (Lease lease = Use())
            {
                fixed (Role* firstRole = &MemoryMarshal.GetReference(roles))
                {
                    native.Roles = roles.IsEmpty ? null : (int*)firstRole;
                    OmniIdException.Check(NativeMethods.omniid_inject(lease.Pointer, &native));
                }
            }
        }
    }
}
