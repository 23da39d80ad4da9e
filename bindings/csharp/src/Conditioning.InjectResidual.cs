#nullable enable
using System;
using System.Runtime.InteropServices;
using OmniID.Native;

namespace OmniID
{
    /// <summary>One place of the residual stream at one step.</summary>
    public struct ResidualCall
    {
        /// <summary>An injection at a place at full scale.</summary>
        public ResidualCall(int layer)
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

        /// <summary>Noise level of the step. Needed by identities that are limited to a range of it.</summary>
        public double? Sigma;

        /// <summary>Share of sampling that is done, 0 to 1. Needed as sigma is.</summary>
        public double? Fraction;

        /// <summary>Height of the latent picture. Needed by identities with a mask.</summary>
        public int LatentHeight;

        /// <summary>Width of the latent picture. Needed by identities with a mask.</summary>
        public int LatentWidth;

        /// <summary>Do not search the hidden state for values that are not finite.</summary>
        public bool Unchecked;

        /// <summary>The CUDA stream of the tensors, as in <see cref="InjectCall.Stream"/>.</summary>
        public long Stream;
    }

    public sealed unsafe partial class Conditioning
    {
        /// <summary>
        /// Adds the identities to the image's hidden state between two blocks of a transformer, in place, in f32 on the
        /// CPU. For adapters of the residual stream, PuLID-FLUX and WithAnyone: those whose layers have a
        /// <see cref="HostLayer.Hidden"/> width.
        /// </summary>
        /// <param name="call">The layer and the step.</param>
        /// <param name="hidden">
        /// The image's hidden state after the block, <c>[batch, image tokens, hidden]</c>, without gaps and without
        /// text tokens. The batch size follows from the length.
        /// </param>
        /// <param name="rows">Image tokens of one batch row.</param>
        /// <param name="roles">
        /// The side of guidance of each batch row, in any order; empty if all are conditional.
        /// </param>
        /// <exception cref="ArgumentException">The length does not fit the layer.</exception>
        public void InjectResidual(
            in ResidualCall call, Span<float> hidden, int rows, ReadOnlySpan<Role> roles = default)
        {
            if ((uint)call.Layer >= (uint)layers.Length)
                throw new ArgumentOutOfRangeException(nameof(call), call.Layer, $"There are {layers.Length} layers.");
            if (rows <= 0)
                throw new ArgumentOutOfRangeException(nameof(rows), rows, "Must be positive.");
            HostLayer layer = layers[call.Layer];
            long row = (long)rows * Math.Max(layer.Hidden, 1);
            if (hidden.Length == 0 || hidden.Length % row != 0)
            {
                throw new ArgumentException(
                    $"Layer {layer.Name} with {rows} image tokens of {layer.Hidden} has a multiple of {row} numbers; "
                    + $"the hidden state has {hidden.Length}.", nameof(hidden));
            }
            fixed (float* data = &MemoryMarshal.GetReference(hidden))
            {
                TensorView view = TensorView.Contiguous((IntPtr)data, 3, hidden.Length / row, rows, layer.Hidden);
                InjectResidual(call, null, &view, roles);
            }
        }

        /// <summary>
        /// Adds the identities to the image's hidden state in the host's own memory: f32, f16 or bf16, any strides, on
        /// the CPU or a GPU.
        /// </summary>
        /// <param name="call">The layer and the step.</param>
        /// <param name="hidden">The hidden state that is read and added to.</param>
        /// <param name="roles">
        /// The side of guidance of each batch row, in any order; empty if all are conditional.
        /// </param>
        /// <exception cref="OmniIdMismatchException">
        /// The width is not the layer's, or the adapter is not one of the residual stream.
        /// </exception>
        public void InjectResidual(in ResidualCall call, in TensorView hidden, ReadOnlySpan<Role> roles = default)
        {
            TensorView view = hidden;
            InjectResidual(call, null, &view, roles);
        }

        /// <summary>
        /// The same with the result added to another tensor than the hidden state.
        /// </summary>
        /// <param name="call">The layer and the step.</param>
        /// <param name="hidden">The hidden state that is read.</param>
        /// <param name="output">Same shape, number type and device; must not overlap the hidden state.</param>
        /// <param name="roles">
        /// The side of guidance of each batch row, in any order; empty if all are conditional.
        /// </param>
        public void InjectResidual(in ResidualCall call, in TensorView hidden, in TensorView output,
            ReadOnlySpan<Role> roles = default)
        {
            TensorView hiddenView = hidden, outputView = output;
            InjectResidual(call, &hiddenView, &outputView, roles);
        }

        private void InjectResidual(in ResidualCall call, TensorView* hidden, TensorView* output,
            ReadOnlySpan<Role> roles)
        {
            NativeTensor nativeHidden = default, nativeOutput = TensorView.ToNative(output);
            NativeResidualCall native = NativeResidualCall.Create();
            if (hidden != null)
            {
                nativeHidden = TensorView.ToNative(hidden);
                native.Hidden = &nativeHidden;
            }
            native.Scale = call.Scale;
            native.Layer = NativeText.Size(call.Layer, nameof(call));
            native.Output = &nativeOutput;
            native.Flags = (call.Sigma.HasValue ? (uint)InjectFlag.Sigma : 0)
                | (call.Fraction.HasValue ? (uint)InjectFlag.Fraction : 0)
                | (call.Unchecked ? (uint)InjectFlag.Unchecked : 0);
            native.Sigma = call.Sigma ?? 0;
            native.Fraction = call.Fraction ?? 0;
            native.LatentHeight = Convert.ToUInt32(call.LatentHeight);
            native.LatentWidth = Convert.ToUInt32(call.LatentWidth);
            native.Stream = call.Stream;
            native.RoleCount = (UIntPtr)roles.Length;
            using (Lease lease = Use())
            {
                fixed (Role* firstRole = &MemoryMarshal.GetReference(roles))
                {
                    native.Roles = roles.IsEmpty ? null : (int*)firstRole;
                    OmniIdException.Check(NativeMethods.omniid_inject_residual(lease.Pointer, &native));
                }
            }
        }
    }
}
