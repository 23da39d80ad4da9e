#nullable enable
using System;
using System.Collections.Generic;
using System.Threading;
using System.Threading.Tasks;
using OmniID.Native;

namespace OmniID
{
    public sealed unsafe partial class Engine
    {
        /// <summary>
        /// Makes one identity of one or many photos of the same person. A photo that cannot be used is left out and
        /// reported, unless the options say otherwise.
        /// </summary>
        /// <param name="photos">The photos.</param>
        /// <param name="options">How; null for the defaults.</param>
        /// <param name="progress">
        /// Receives the progress, on this thread. An exception from it stops the call, which then throws it.
        /// </param>
        /// <param name="cancellation">Stops the call, with <see cref="OperationCanceledException"/>.</param>
        /// <returns>The identity, and a report on each photo.</returns>
        /// <exception cref="OmniIdNoFaceException">No photo shows a face.</exception>
        public Encoded Encode(IReadOnlyList<Photo> photos, EncodeOptions? options = null,
            IProgress<EncodeProgress>? progress = null, CancellationToken cancellation = default)
        {
            return Encode(null, photos, options, progress, cancellation);
        }

        /// <summary>
        /// Makes an identity of one photo, given as the bytes of a JPEG, PNG, WebP, BMP or TIFF file.
        /// </summary>
        public Encoded Encode(ReadOnlySpan<byte> photo, EncodeOptions? options = null)
        {
            return Encode(new[] { Photo.FromBytes(photo) }, options);
        }

        /// <summary>
        /// Makes a new identity of an identity and more photos. Equal to encoding all photos at once, at the cost of
        /// the new ones.
        /// </summary>
        /// <param name="identity">The identity; it stays as it is.</param>
        /// <param name="photos">More photos of the same person.</param>
        /// <param name="options">How; null for the defaults.</param>
        /// <param name="progress">Receives the progress, on this thread.</param>
        /// <param name="cancellation">Stops the call, with <see cref="OperationCanceledException"/>.</param>
        /// <returns>The new identity, and a report on each of the new photos.</returns>
        /// <exception cref="OmniIdMismatchException">Another model made the identity.</exception>
        /// <exception cref="OmniIdUnsupportedException">
        /// An Omni-ID identity was kept without its photos' features.
        /// </exception>
        public Encoded Extend(Identity identity, IReadOnlyList<Photo> photos, EncodeOptions? options = null,
            IProgress<EncodeProgress>? progress = null, CancellationToken cancellation = default)
        {
            if (identity == null)
                throw new ArgumentNullException(nameof(identity));
            return Encode(identity, photos, options, progress, cancellation);
        }

        /// <summary>Opens a model on a thread of its own.</summary>
        /// <param name="options">Which model, for which host, where it computes.</param>
        /// <param name="progress">
        /// Receives the progress, on that thread; <see cref="Progress{T}"/> passes it on to the thread that made it.
        /// </param>
        /// <param name="cancellation">Stops the call; the task is cancelled then.</param>
        public static Task<Engine> OpenAsync(EngineOptions options, IProgress<EncodeProgress>? progress = null,
            CancellationToken cancellation = default)
        {
            return Start(() => Open(options, progress, cancellation), cancellation);
        }

        /// <summary>
        /// As <see cref="Encode(IReadOnlyList{Photo}, EncodeOptions, IProgress{EncodeProgress}, CancellationToken)"/>,
        /// on a thread of its own. The engine may be disposed of meanwhile.
        /// </summary>
        /// <param name="photos">The photos. They are read on the other thread and must not change meanwhile.</param>
        /// <param name="options">How; null for the defaults.</param>
        /// <param name="progress">
        /// Receives the progress, on that thread; <see cref="Progress{T}"/> passes it on to the thread that made it.
        /// </param>
        /// <param name="cancellation">Stops the call between two batches of photos; the task is cancelled then.</param>
        public Task<Encoded> EncodeAsync(IReadOnlyList<Photo> photos, EncodeOptions? options = null,
            IProgress<EncodeProgress>? progress = null, CancellationToken cancellation = default)
        {
            return Start(() => Encode(photos, options, progress, cancellation), cancellation);
        }

        /// <summary>As <see cref="Extend"/>, on a thread of its own.</summary>
        public Task<Encoded> ExtendAsync(Identity identity, IReadOnlyList<Photo> photos, EncodeOptions? options = null,
            IProgress<EncodeProgress>? progress = null, CancellationToken cancellation = default)
        {
            if (identity == null)
                throw new ArgumentNullException(nameof(identity));
            return Start(() => Extend(identity, photos, options, progress, cancellation), cancellation);
        }

        /// <summary>As <c>Condition</c>, on a thread of its own.</summary>
        public Task<Conditioning> ConditionAsync(IReadOnlyList<ConditioningInput> identities,
            ConditioningOptions? options = null, IProgress<EncodeProgress>? progress = null,
            CancellationToken cancellation = default)
        {
            return Start(() => Condition(identities, options, progress, cancellation), cancellation);
        }

        /// <summary>Runs a long call on a thread of its own, so that it does not block the pool.</summary>
        private static Task<T> Start<T>(Func<T> call, CancellationToken cancellation)
        {
            const TaskCreationOptions options = TaskCreationOptions.LongRunning | TaskCreationOptions.DenyChildAttach;
            return Task.Factory.StartNew(call, cancellation, options, TaskScheduler.Default);
        }

        private Encoded Encode(Identity? identity, IReadOnlyList<Photo> photos, EncodeOptions? options,
            IProgress<EncodeProgress>? progress, CancellationToken cancellation)
        {
            if (photos == null)
                throw new ArgumentNullException(nameof(photos));
            Library.CheckVersion();
            using (var pins = new Pins())
            using (var call = new LongCall(progress, cancellation))
            {
                IntPtr engine = pins.Handle(handle, nameof(Engine));
                NativePhoto[] natives = ToNative(photos, pins);
                NativeEncodeOptions native = (options ?? new EncodeOptions()).ToNative(pins);
                native.Progress = call.Function;
                native.ProgressUserData = call.UserData;
                IntPtr result, report = IntPtr.Zero;
                native.Report = &report;
                var count = (UIntPtr)natives.Length;
                fixed (NativePhoto* first = natives)
                {
                    if (identity == null)
                    {
                        call.Finish(NativeMethods.omniid_encode(engine, first, count, &native, &result));
                    }
                    else
                    {
                        IntPtr extended = pins.Handle(identity.Handle, nameof(Identity));
                        call.Finish(NativeMethods.omniid_identity_extend(
                            engine, extended, first, count, &native, &result));
                    }
                }
                return Encoded.Take(result, report);
            }
        }
    }
}
