#nullable enable
using System;
using System.Collections.Generic;
using System.Threading;
using OmniID.Native;

namespace OmniID
{
    /// <summary>What the image encoder makes of photos, and what became of each photo handed in.</summary>
    public sealed class PhotoFeatures : IDisposable
    {
        internal PhotoFeatures(OwnedTensor features, IReadOnlyList<PhotoReport> photos)
        {
            Features = features;
            Photos = photos;
        }

        /// <summary>
        /// f32 <c>[photos, feature tokens, feature width]</c> of the photos that could be used: the hidden states
        /// before the last layer, the class token first; for models that take an image embedding, that as one token.
        /// </summary>
        public OwnedTensor Features { get; }

        /// <summary>What became of each photo, in the order in which they were given.</summary>
        public IReadOnlyList<PhotoReport> Photos { get; }

        /// <summary>Frees the features.</summary>
        public void Dispose()
        {
            Features.Dispose();
        }
    }

    public sealed unsafe partial class Engine
    {
        /// <summary>
        /// Runs the image encoder on photos, without the identity encoder. <see cref="IdentityFromFeatures"/> makes an
        /// identity of the result: the two together are <c>Encode</c>.
        /// </summary>
        /// <param name="photos">The photos.</param>
        /// <param name="options">How; null for the defaults.</param>
        /// <param name="progress">Receives the progress, on this thread.</param>
        /// <param name="cancellation">Stops the call, with <see cref="OperationCanceledException"/>.</param>
        /// <exception cref="OmniIdNoFaceException">No photo shows a face.</exception>
        public PhotoFeatures PhotoFeatures(IReadOnlyList<Photo> photos, EncodeOptions? options = null,
            IProgress<EncodeProgress>? progress = null, CancellationToken cancellation = default)
        {
            if (photos == null)
                throw new ArgumentNullException(nameof(photos));
            using (var pins = new Pins())
            using (var call = new LongCall(progress, cancellation))
            {
                IntPtr engine = pins.Handle(handle, nameof(Engine));
                NativePhoto[] natives = ToNative(photos, pins);
                NativeEncodeOptions native = (options ?? new EncodeOptions()).ToNative(pins);
                native.Progress = call.Function;
                native.ProgressUserData = call.UserData;
                IntPtr report = IntPtr.Zero;
                native.Report = &report;
                NativeManagedTensor* result;
                fixed (NativePhoto* first = natives)
                {
                    call.Finish(NativeMethods.omniid_photo_features(
                        engine, first, (UIntPtr)natives.Length, &native, &result));
                }
                // First the tensor, so that nothing is lost if reading the report fails.
                var features = new OwnedTensor(result);
                return new PhotoFeatures(features, PhotoReport.Take(report));
            }
        }

        /// <summary>
        /// Makes an identity of the features of one or more photos of the same person, <c>[photos, feature tokens,
        /// feature width]</c>: those of <c>PhotoFeatures</c>, combined perhaps, or those of the caller's own image
        /// encoder.
        /// </summary>
        /// <param name="features">On the CPU; f32, f16 or bf16. Copied.</param>
        /// <param name="options">Label, consent and what is kept; null for the defaults.</param>
        /// <exception cref="OmniIdMismatchException">The shape is not the model's.</exception>
        public Identity IdentityFromFeatures(TensorView features, EncodeOptions? options = null)
        {
            using (var pins = new Pins())
            {
                IntPtr engine = pins.Handle(handle, nameof(Engine));
                NativeTensor tensor = TensorView.ToNative(&features);
                NativeEncodeOptions native = (options ?? new EncodeOptions()).ToNative(pins);
                IntPtr identity;
                OmniIdException.Check(NativeMethods.omniid_identity_from_features(engine, &tensor, &native, &identity));
                return new Identity(identity);
            }
        }

        private static NativePhoto[] ToNative(IReadOnlyList<Photo> photos, Pins pins)
        {
            var natives = new NativePhoto[photos.Count];
            for (int i = 0; i < natives.Length; i++)
            {
                Photo photo = photos[i] ?? throw new ArgumentException($"Photo {i} is null.", nameof(photos));
                natives[i] = photo.ToNative(pins);
            }
            return natives;
        }
    }
}
