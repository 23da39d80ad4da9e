#nullable enable
using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using System.Threading;
using OmniID.Native;

namespace OmniID
{
    /// <summary>
    /// An opened identity model. Never changes; may be used from any number of threads at once. Dispose of it, or leave
    /// it to the garbage collector; what was made with it stays valid.
    /// </summary>
    public sealed unsafe partial class Engine : IDisposable
    {
        private readonly EngineHandle handle;
        private readonly HostLayer[] hostLayers;

        private Engine(IntPtr pointer)
        {
            handle = new EngineHandle(pointer);
            try
            {
                NativeEngineInfo native = NativeEngineInfo.Create();
                OmniIdException.Check(NativeMethods.omniid_engine_describe(pointer, &native));
                Info = new EngineInfo(native);
                hostLayers = new HostLayer[Info.HostLayerCount];
                for (int i = 0; i < hostLayers.Length; i++)
                {
                    NativeHostLayer layer = NativeHostLayer.Create();
                    OmniIdException.Check(NativeMethods.omniid_engine_host_layer(pointer, (UIntPtr)i, &layer));
                    hostLayers[i] = new HostLayer(layer);
                }
            }
            catch
            {
                handle.Dispose();
                throw;
            }
        }

        /// <summary>What the engine is.</summary>
        public EngineInfo Info { get; }

        /// <summary>The host's layers, in the order of the adapter; empty if no host is known.</summary>
        public IReadOnlyList<HostLayer> HostLayers => hostLayers;

        /// <summary>Opens a model that needs no other file: a native Omni-ID checkpoint.</summary>
        /// <param name="checkpointPath">The file.</param>
        /// <param name="progress">Receives the progress, on this thread.</param>
        /// <param name="cancellation">Stops the call, with <see cref="OperationCanceledException"/>.</param>
        public static Engine Open(string checkpointPath, IProgress<EncodeProgress>? progress = null,
            CancellationToken cancellation = default)
        {
            if (checkpointPath == null)
                throw new ArgumentNullException(nameof(checkpointPath));
            return Open(new EngineOptions { Checkpoint = checkpointPath }, progress, cancellation);
        }

        /// <summary>Opens the small model inside the library.</summary>
        /// <exception cref="OmniIdUnsupportedException">The library was built without it.</exception>
        public static Engine OpenBuiltIn()
        {
            return Open(new EngineOptions());
        }

        /// <summary>Opens a model.</summary>
        /// <param name="options">Which model, for which host, where it computes.</param>
        /// <param name="progress">Receives the progress, on this thread.</param>
        /// <param name="cancellation">Stops the call, with <see cref="OperationCanceledException"/>.</param>
        /// <exception cref="OmniIdException">A class below it, which says what went wrong.</exception>
        public static Engine Open(EngineOptions options, IProgress<EncodeProgress>? progress = null,
            CancellationToken cancellation = default)
        {
            if (options == null)
                throw new ArgumentNullException(nameof(options));
            Library.CheckVersion();
            using (var pins = new Pins())
            using (var call = new LongCall(progress, cancellation))
            {
                NativeEngineOptions native = options.ToNative(pins);
                native.Progress = call.Function;
                native.ProgressUserData = call.UserData;
                IntPtr engine;
                call.Finish(NativeMethods.omniid_engine_open(&native, &engine));
                return new Engine(engine);
            }
        }

        /// <summary>Finds the faces in a photo, the largest first. A photo without faces is no error.</summary>
        /// <exception cref="OmniIdUnsupportedException">Neither engine nor library has a detector.</exception>
        public IReadOnlyList<Face> DetectFaces(Photo photo, DetectOptions? options = null)
        {
            if (photo == null)
                throw new ArgumentNullException(nameof(photo));
            using (var pins = new Pins())
            {
                IntPtr engine = pins.Handle(handle, nameof(Engine));
                NativePhoto nativePhoto = photo.ToNative(pins);
                NativeDetectOptions native = (options ?? new DetectOptions()).ToNative();
                var faces = new NativeFace[16];
                while (true)
                {
                    faces[0] = NativeFace.Create();
                    UIntPtr count, capacity = (UIntPtr)faces.Length;
                    fixed (NativeFace* first = faces)
                    {
                        OmniIdException.Check(NativeMethods.omniid_engine_detect_faces(
                            engine, &nativePhoto, &native, first, capacity, &count));
                    }
                    int found = NativeText.Count((ulong)count);
                    if (found > faces.Length)
                    {
                        faces = new NativeFace[found];
                        continue;
                    }
                    var result = new Face[found];
                    for (int i = 0; i < found; i++)
                        result[i] = new Face(faces[i]);
                    return result;
                }
            }
        }

        /// <summary>
        /// Compares two identities of this engine's model: cosine similarity, -1 to 1, centred on the model's average
        /// identity and in the directions that tell people apart, as far as the checkpoint has them.
        /// </summary>
        public float Similarity(Identity first, Identity second)
        {
            if (first == null)
                throw new ArgumentNullException(nameof(first));
            if (second == null)
                throw new ArgumentNullException(nameof(second));
            using (var pins = new Pins())
            {
                IntPtr engine = pins.Handle(handle, nameof(Engine));
                IntPtr one = pins.Handle(first.Handle, nameof(Identity));
                IntPtr other = pins.Handle(second.Handle, nameof(Identity));
                float similarity;
                OmniIdException.Check(NativeMethods.omniid_identity_similarity(engine, one, other, &similarity));
                return similarity;
            }
        }

        /// <summary>
        /// The vector by which an identity is compared: f32 <c>[length]</c>, of length 1, without a copy. What an index
        /// of many people stores. The dot product of two such vectors is the <see cref="Similarity"/> of their
        /// identities. Vectors of one checkpoint belong together: another checkpoint may compare in other directions
        /// although its tokens are the same.
        /// </summary>
        /// <exception cref="OmniIdMismatchException">Another model made the identity.</exception>
        public OwnedTensor ComparisonVector(Identity identity)
        {
            if (identity == null)
                throw new ArgumentNullException(nameof(identity));
            using (var pins = new Pins())
            {
                IntPtr engine = pins.Handle(handle, nameof(Engine));
                IntPtr compared = pins.Handle(identity.Handle, nameof(Identity));
                NativeManagedTensor* tensor;
                OmniIdException.Check(NativeMethods.omniid_identity_comparison_vector(engine, compared, &tensor));
                return new OwnedTensor(tensor);
            }
        }

        /// <summary>Projects the keys and values of one identity for every layer of the engine's host.</summary>
        public Conditioning Condition(Identity identity, float scale = 1f)
        {
            return Condition(new[] { new ConditioningInput(identity) { Scale = scale } });
        }

        /// <summary>
        /// Projects the keys and values of one or several identities for every layer of the engine's host. Each has its
        /// own softmax; their contributions are added.
        /// </summary>
        /// <param name="identities">The identities, each with its weight, place and time.</param>
        /// <param name="options">Options for all of them.</param>
        /// <param name="progress">Receives the progress, on this thread.</param>
        /// <param name="cancellation">Stops the call, with <see cref="OperationCanceledException"/>.</param>
        public Conditioning Condition(IReadOnlyList<ConditioningInput> identities, ConditioningOptions? options = null,
            IProgress<EncodeProgress>? progress = null, CancellationToken cancellation = default)
        {
            if (identities == null)
                throw new ArgumentNullException(nameof(identities));
            using (var pins = new Pins())
            using (var call = new LongCall(progress, cancellation))
            {
                IntPtr engine = pins.Handle(handle, nameof(Engine));
                var inputs = new NativeConditioningInput[identities.Count];
                for (int i = 0; i < inputs.Length; i++)
                {
                    ConditioningInput input = identities[i]
                        ?? throw new ArgumentException($"Identity {i} is null.", nameof(identities));
                    inputs[i] = input.ToNative(pins);
                }
                NativeConditioningOptions native = (options ?? new ConditioningOptions()).ToNative(pins);
                native.Progress = call.Function;
                native.ProgressUserData = call.UserData;
                IntPtr conditioning;
                fixed (NativeConditioningInput* first = inputs)
                {
                    call.Finish(NativeMethods.omniid_conditioning_create(
                        engine, first, (UIntPtr)inputs.Length, &native, &conditioning));
                }
                return new Conditioning(conditioning);
            }
        }

        /// <summary>Frees the engine, once no call uses it any more.</summary>
        public void Dispose()
        {
            handle.Dispose();
        }
    }
}
