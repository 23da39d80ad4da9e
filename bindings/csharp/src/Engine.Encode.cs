using System;
using System.Collections.Generic;
using System.Threading;
using System.Threading.Tasks;
using OmniID.Native;

namespace OmniID
{
    public sealed unsafe partial class Engine
    {
        /// <summary>Makes one identity of one or many photos of the same person.</summary>
        /// <param name="photos">The photos.</param>
        /// <param name="options">How; null for the defaults.</param>
        /// <param name="progress">Hears of the progress, on this thread. An exception from it stops the call and comes out of it.</param>
        /// <param name="cancellation">Stops it, with <see cref="OperationCanceledException"/>.</param>
        /// <exception cref="NoFaceException">No photo shows a face.</exception>
        public Identity Encode(IReadOnlyList<Photo> photos, EncodeOptions options = null, IProgress<EncodeProgress> progress = null, CancellationToken cancellation = default)
        {
            return Encode(null, photos, options, false, progress, cancellation).Identity;
        }

        /// <summary>Makes an identity of one photo, given as the bytes of a JPEG, PNG, WebP, BMP or TIFF file.</summary>
        public Identity Encode(ReadOnlySpan<byte> photo, EncodeOptions options = null)
        {
            return Encode(new[] { Photo.FromBytes(photo) }, options);
        }

        /// <summary>As <see cref="Encode(IReadOnlyList{Photo}, EncodeOptions, IProgress{EncodeProgress}, CancellationToken)"/>, with a report on each photo.</summary>
        public EncodeResult EncodeWithReport(IReadOnlyList<Photo> photos, EncodeOptions options = null, IProgress<EncodeProgress> progress = null, CancellationToken cancellation = default)
        {
            return Encode(null, photos, options, true, progress, cancellation);
        }

        /// <summary>
        /// Makes a new identity of an identity and more photos: equal to encoding all photos at once, at the price of the
        /// new ones.
        /// </summary>
        /// <exception cref="MismatchException">Another model made the identity.</exception>
        /// <exception cref="UnsupportedException">An Omni-ID identity was kept without its photos' features.</exception>
        public Identity Extend(Identity identity, IReadOnlyList<Photo> photos, EncodeOptions options = null, IProgress<EncodeProgress> progress = null, CancellationToken cancellation = default)
        {
            return Encode(identity ?? throw new ArgumentNullException(nameof(identity)), photos, options, false, progress, cancellation).Identity;
        }

        /// <summary>Opens a model on a thread of its own.</summary>
        /// <param name="options">Which one, for which host, where.</param>
        /// <param name="progress">Hears of the progress, on that thread; <see cref="Progress{T}"/> passes it on to the one that made it.</param>
        /// <param name="cancellation">Stops it; the task is cancelled then.</param>
        public static Task<Engine> OpenAsync(EngineOptions options, IProgress<EncodeProgress> progress = null, CancellationToken cancellation = default)
        {
            return Start(() => Open(options, progress, cancellation), cancellation);
        }

        /// <summary>
        /// Makes one identity of one or many photos of the same person, on a thread of its own. The engine may be
        /// disposed of meanwhile.
        /// </summary>
        /// <param name="photos">The photos. They are read on the other thread: leave them as they are.</param>
        /// <param name="options">How; null for the defaults.</param>
        /// <param name="progress">Hears of the progress, on that thread; <see cref="Progress{T}"/> passes it on to the one that made it.</param>
        /// <param name="cancellation">Stops it between two batches of photos; the task is cancelled then.</param>
        public Task<Identity> EncodeAsync(IReadOnlyList<Photo> photos, EncodeOptions options = null, IProgress<EncodeProgress> progress = null, CancellationToken cancellation = default)
        {
            return Start(() => Encode(null, photos, options, false, progress, cancellation).Identity, cancellation);
        }

        /// <summary>As <see cref="EncodeAsync"/>, with a report on each photo.</summary>
        public Task<EncodeResult> EncodeWithReportAsync(IReadOnlyList<Photo> photos, EncodeOptions options = null, IProgress<EncodeProgress> progress = null, CancellationToken cancellation = default)
        {
            return Start(() => Encode(null, photos, options, true, progress, cancellation), cancellation);
        }

        /// <summary>As <see cref="Extend"/>, on a thread of its own.</summary>
        public Task<Identity> ExtendAsync(Identity identity, IReadOnlyList<Photo> photos, EncodeOptions options = null, IProgress<EncodeProgress> progress = null, CancellationToken cancellation = default)
        {
            if (identity == null)
                throw new ArgumentNullException(nameof(identity));
            return Start(() => Encode(identity, photos, options, false, progress, cancellation).Identity, cancellation);
        }

        /// <summary>As <see cref="Condition(IReadOnlyList{ConditionInput}, ConditionOptions, IProgress{EncodeProgress}, CancellationToken)"/>, on a thread of its own.</summary>
        public Task<Conditioning> ConditionAsync(IReadOnlyList<ConditionInput> identities, ConditionOptions options = null, IProgress<EncodeProgress> progress = null, CancellationToken cancellation = default)
        {
            return Start(() => Condition(identities, options, progress, cancellation), cancellation);
        }

        /// <summary>Runs a long call on a thread of its own, so that it does not block the pool.</summary>
        private static Task<T> Start<T>(Func<T> call, CancellationToken cancellation)
        {
            return Task.Factory.StartNew(call, cancellation, TaskCreationOptions.LongRunning | TaskCreationOptions.DenyChildAttach, TaskScheduler.Default);
        }

        private EncodeResult Encode(Identity identity, IReadOnlyList<Photo> photos, EncodeOptions options, bool withReport, IProgress<EncodeProgress> progress, CancellationToken cancellation)
        {
            if (photos == null)
                throw new ArgumentNullException(nameof(photos));
            Library.CheckVersion();
            using (var pins = new Pins())
            using (var call = new LongCall(progress, cancellation))
            {
                IntPtr engine = pins.Handle(handle, nameof(Engine));
                var natives = new NativePhoto[photos.Count];
                for (int i = 0; i < natives.Length; i++)
                    natives[i] = (photos[i] ?? throw new ArgumentException($"Photo {i} is null.", nameof(photos))).ToNative(pins);
                NativeEncodeOptions native = (options ?? new EncodeOptions()).ToNative(pins);
                native.Progress = call.Function;
                native.ProgressUserData = call.UserData;
                IntPtr result, report = IntPtr.Zero;
                if (withReport)
                    native.Report = &report;
                fixed (NativePhoto* first = natives)
                {
                    call.Finish(identity == null
                        ? NativeMethods.omniid_encode(engine, first, (UIntPtr)natives.Length, &native, &result)
                        : NativeMethods.omniid_identity_extend(engine, pins.Handle(identity.Handle, nameof(Identity)), first, (UIntPtr)natives.Length, &native, &result));
                }
                var encoded = new Identity(result);
                try
                {
                    return new EncodeResult(encoded, PhotoReport.Take(report));
                }
                catch
                {
                    encoded.Dispose();
                    throw;
                }
            }
        }
    }
}
