#nullable enable
using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using OmniID.Native;

namespace OmniID
{
    /// <summary>
    /// Keys and values of identities for every layer of a host. Never changes; may be used from any number of threads
    /// at once. Dispose of it, or leave it to the garbage collector.
    /// </summary>
    public sealed unsafe partial class Conditioning : IDisposable
    {
        private readonly ConditioningHandle handle;
        private readonly HostLayer[] layers;

        internal Conditioning(IntPtr pointer)
        {
            handle = new ConditioningHandle(pointer);
            try
            {
                UIntPtr layerCount, identityCount, byteSize, zeroTokens;
                int injection, needsImageKeys;
                OmniIdException.Check(NativeMethods.omniid_conditioning_layer_count(pointer, &layerCount));
                OmniIdException.Check(NativeMethods.omniid_conditioning_identity_count(pointer, &identityCount));
                OmniIdException.Check(NativeMethods.omniid_conditioning_byte_size(pointer, &byteSize));
                OmniIdException.Check(NativeMethods.omniid_conditioning_injection(pointer, &injection));
                OmniIdException.Check(NativeMethods.omniid_conditioning_zero_tokens(pointer, &zeroTokens));
                OmniIdException.Check(NativeMethods.omniid_conditioning_needs_image_keys(pointer, &needsImageKeys));
                Injection = (Injection)injection;
                ZeroTokens = NativeText.Count((ulong)zeroTokens);
                NeedsImageKeys = needsImageKeys != 0;
                IdentityCount = NativeText.Count((ulong)identityCount);
                ByteSize = (long)(ulong)byteSize;
                layers = new HostLayer[NativeText.Count((ulong)layerCount)];
                for (int i = 0; i < layers.Length; i++)
                {
                    NativeHostLayer layer = NativeHostLayer.Create();
                    OmniIdException.Check(NativeMethods.omniid_conditioning_layer(pointer, (UIntPtr)i, &layer));
                    layers[i] = new HostLayer(layer);
                }
            }
            catch
            {
                handle.Dispose();
                throw;
            }
        }

        /// <summary>The host's layers, in the order of its table.</summary>
        public IReadOnlyList<HostLayer> Layers => layers;

        /// <summary>Number of identities.</summary>
        public int IdentityCount { get; }

        /// <summary>Bytes that all keys and values occupy.</summary>
        public long ByteSize { get; }

        /// <summary>How identities' attention joins the layer's output.</summary>
        public Injection Injection { get; }

        /// <summary>
        /// Number of further tokens with zero keys and values in each softmax (PuLID), which <see cref="Keys"/> lacks.
        /// </summary>
        public int ZeroTokens { get; }

        /// <summary>
        /// Whether the image's own keys and values take part in each softmax (SD3.5): see
        /// <see cref="InjectCall.ImageKeys"/>.
        /// </summary>
        public bool NeedsImageKeys { get; }

        /// <summary>
        /// Index of the layer with a name. diffusers, LDM and ComfyUI spellings are known for the built-in hosts.
        /// </summary>
        public int FindLayer(string name)
        {
            if (name == null)
                throw new ArgumentNullException(nameof(name));
            using (var pins = new Pins())
            {
                IntPtr conditioning = pins.Handle(handle, nameof(Conditioning));
                UIntPtr layer;
                OmniIdException.Check(NativeMethods.omniid_conditioning_find_layer(
                    conditioning, pins.Text(name, nameof(name)), &layer));
                return NativeText.Count((ulong)layer);
            }
        }

        /// <summary>
        /// The keys of one identity in one layer, <c>[tokens, heads, head width]</c>, without a copy; null where
        /// nothing is injected. They outlive the conditioning.
        /// </summary>
        /// <param name="layer">Index of the layer.</param>
        /// <param name="identity">Index of the identity.</param>
        /// <param name="role">The side of guidance.</param>
        /// <param name="stream">
        /// On a GPU: the CUDA stream that will read them, see <see cref="InjectCall.Stream"/>.
        /// </param>
        public OwnedTensor? Keys(int layer, int identity = 0, Role role = Role.Conditional, long stream = 1)
        {
            using (Lease lease = Use())
            {
                UIntPtr layerIndex = NativeText.Size(layer, nameof(layer));
                UIntPtr identityIndex = NativeText.Size(identity, nameof(identity));
                NativeManagedTensor* tensor;
                OmniIdException.Check(NativeMethods.omniid_conditioning_keys(
                    lease.Pointer, layerIndex, identityIndex, (int)role, stream, &tensor));
                return OwnedTensor.Take(tensor);
            }
        }

        /// <summary>The values of one identity in one layer; see <see cref="Keys"/>.</summary>
        public OwnedTensor? Values(int layer, int identity = 0, Role role = Role.Conditional, long stream = 1)
        {
            using (Lease lease = Use())
            {
                UIntPtr layerIndex = NativeText.Size(layer, nameof(layer));
                UIntPtr identityIndex = NativeText.Size(identity, nameof(identity));
                NativeManagedTensor* tensor;
                OmniIdException.Check(NativeMethods.omniid_conditioning_values(
                    lease.Pointer, layerIndex, identityIndex, (int)role, stream, &tensor));
                return OwnedTensor.Take(tensor);
            }
        }

        /// <summary>Factor of one identity's attention output in one layer; 0 where nothing is injected.</summary>
        public float Factor(int layer, int identity = 0)
        {
            using (Lease lease = Use())
            {
                UIntPtr layerIndex = NativeText.Size(layer, nameof(layer));
                UIntPtr identityIndex = NativeText.Size(identity, nameof(identity));
                float factor;
                OmniIdException.Check(NativeMethods.omniid_conditioning_factor(
                    lease.Pointer, layerIndex, identityIndex, &factor));
                return factor;
            }
        }

        /// <summary>True if one identity is injected at a step.</summary>
        /// <param name="identity">Index of the identity.</param>
        /// <param name="sigma">Noise level of the step, where the identity's range needs it.</param>
        /// <param name="fraction">Share of sampling that is done, where the identity's range needs it.</param>
        public bool IsActive(int identity = 0, double? sigma = null, double? fraction = null)
        {
            using (Lease lease = Use())
            {
                UIntPtr identityIndex = NativeText.Size(identity, nameof(identity));
                double sigmaValue = sigma ?? 0, fractionValue = fraction ?? 0;
                int active;
                OmniIdException.Check(NativeMethods.omniid_conditioning_is_active(
                    lease.Pointer, identityIndex, sigma.HasValue ? &sigmaValue : null,
                    fraction.HasValue ? &fractionValue : null, &active));
                return active != 0;
            }
        }

        /// <summary>
        /// Writes one identity's mask as one factor for each image token of a layer; 1 everywhere without a mask.
        /// </summary>
        /// <param name="identity">Index of the identity.</param>
        /// <param name="factors">Room for the layer's image tokens.</param>
        /// <param name="latentHeight">Height of the latent picture; 0 where the mask does not need it.</param>
        /// <param name="latentWidth">Width of the latent picture; 0 where the mask does not need it.</param>
        public void MaskFactors(int identity, Span<float> factors, int latentHeight = 0, int latentWidth = 0)
        {
            using (Lease lease = Use())
            {
                UIntPtr identityIndex = NativeText.Size(identity, nameof(identity)), count = (UIntPtr)factors.Length;
                uint height = Convert.ToUInt32(latentHeight), width = Convert.ToUInt32(latentWidth);
                fixed (float* first = &MemoryMarshal.GetReference(factors))
                {
                    OmniIdException.Check(NativeMethods.omniid_conditioning_mask_factors(
                        lease.Pointer, identityIndex, count, height, width, first));
                }
            }
        }

        /// <summary>Frees the keys and values, once no call uses them any more.</summary>
        public void Dispose()
        {
            handle.Dispose();
        }

        internal Lease Use() => handle.Use(nameof(Conditioning));
    }
}
