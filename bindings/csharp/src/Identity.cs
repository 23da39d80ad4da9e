#nullable enable
using System;
using System.Runtime.InteropServices;
using OmniID.Native;

namespace OmniID
{
    /// <summary>What is known about an identity.</summary>
    public sealed class IdentityInfo
    {
        internal unsafe IdentityInfo(in NativeIdentityInfo native)
        {
            Encoder = (EncoderKind)native.Encoder;
            Tokens = NativeText.Count(native.Tokens);
            TokenWidth = NativeText.Count(native.TokenWidth);
            Photos = NativeText.Count(native.Photos);
            Features = NativeText.Count(native.Features);
            Model = NativeText.Read(native.Model);
            Label = NativeText.Read(native.Label);
            Created = NativeText.Read(native.Created);
            Consent = NativeText.Read(native.Consent);
            Embeddings = NativeText.Count(native.Embeddings);
            Combine = (Combine)native.Combine;
            ShortcutScale = native.ShortcutScale;
        }

        /// <summary>The encoder that made it.</summary>
        public EncoderKind Encoder { get; }

        /// <summary>Number of tokens.</summary>
        public int Tokens { get; }

        /// <summary>Width of a token.</summary>
        public int TokenWidth { get; }

        /// <summary>Photos that went in.</summary>
        public int Photos { get; }

        /// <summary>
        /// Photos whose features were kept, so that an Omni-ID identity can be extended: all or none.
        /// </summary>
        public int Features { get; }

        /// <summary>Fingerprint of the model that made it.</summary>
        public string Model { get; }

        /// <summary>A name to show; may be empty.</summary>
        public string Label { get; }

        /// <summary>When it was made: UTC, RFC 3339.</summary>
        public string Created { get; }

        /// <summary>What the person agreed to; may be empty.</summary>
        public string Consent { get; }

        /// <summary>Photos whose face embeddings are kept; see <see cref="Identity.Embedding"/>.</summary>
        public int Embeddings { get; }

        /// <summary>How the photos were combined.</summary>
        public Combine Combine { get; }

        /// <summary>The shortcut scale of FaceID-PlusV2 that it was made with; 1 for other models.</summary>
        public float ShortcutScale { get; }
    }

    /// <summary>
    /// The identity tokens of one person. Never changes; may be used from any number of threads at once. Dispose of it,
    /// or leave it to the garbage collector.
    /// </summary>
    public sealed unsafe class Identity : IDisposable
    {
        internal Identity(IntPtr pointer)
        {
            Handle = new IdentityHandle(pointer);
            try
            {
                using (Lease lease = Use())
                {
                    NativeIdentityInfo native = NativeIdentityInfo.Create();
                    OmniIdException.Check(NativeMethods.omniid_identity_describe(lease.Pointer, &native));
                    Info = new IdentityInfo(native);
                }
            }
            catch
            {
                Handle.Dispose();
                throw;
            }
        }

        internal IdentityHandle Handle { get; }

        /// <summary>What is known about it.</summary>
        public IdentityInfo Info { get; }

        /// <summary>Reads an identity from an <c>.omniid</c> file.</summary>
        public static Identity Load(string path)
        {
            Library.CheckVersion();
            if (path == null)
                throw new ArgumentNullException(nameof(path));
            using (var pins = new Pins())
            {
                IntPtr identity;
                byte* text = pins.Text(path, nameof(path));
                OmniIdException.Check(NativeMethods.omniid_identity_load(text, &identity));
                return new Identity(identity);
            }
        }

        /// <summary>Reads an identity from the bytes of an <c>.omniid</c> file.</summary>
        public static Identity FromBytes(ReadOnlySpan<byte> data)
        {
            Library.CheckVersion();
            if (data.IsEmpty)
                throw new ArgumentException("No bytes were given.", nameof(data));
            IntPtr identity;
            fixed (byte* bytes = &MemoryMarshal.GetReference(data))
                OmniIdException.Check(NativeMethods.omniid_identity_from_bytes(bytes, (UIntPtr)data.Length, &identity));
            return new Identity(identity);
        }

        /// <summary>Writes the identity to a file, which appears complete or not at all.</summary>
        /// <param name="path">Where to.</param>
        /// <param name="precision">f32 or, at half the size, f16.</param>
        public void Save(string path, Precision precision = Precision.F32)
        {
            if (path == null)
                throw new ArgumentNullException(nameof(path));
            using (var pins = new Pins())
            {
                IntPtr identity = pins.Handle(Handle, nameof(Identity));
                byte* text = pins.Text(path, nameof(path));
                OmniIdException.Check(NativeMethods.omniid_identity_save(identity, text, (int)precision));
            }
        }

        /// <summary>What <see cref="Save"/> puts into the file.</summary>
        public byte[] ToBytes(Precision precision = Precision.F32)
        {
            using (Lease lease = Use())
            {
                UIntPtr size;
                OmniIdException.Check(NativeMethods.omniid_identity_to_bytes(
                    lease.Pointer, (int)precision, null, UIntPtr.Zero, &size));
                var bytes = new byte[NativeText.Count((ulong)size)];
                fixed (byte* buffer = bytes)
                {
                    OmniIdException.Check(NativeMethods.omniid_identity_to_bytes(
                        lease.Pointer, (int)precision, buffer, (UIntPtr)bytes.Length, &size));
                }
                return bytes;
            }
        }

        /// <summary>
        /// The face embedding of a photo; null when nothing is known of that photo's face, or it was not kept.
        /// </summary>
        /// <param name="photo">0 to one less than <see cref="IdentityInfo.Photos"/>.</param>
        public FaceEmbedding? Embedding(int photo)
        {
            if ((uint)photo >= (uint)Info.Photos)
                throw new ArgumentOutOfRangeException(nameof(photo), photo, $"There are {Info.Photos} photos.");
            using (Lease lease = Use())
            {
                NativeEmbedding native = NativeEmbedding.Create();
                OmniIdException.Check(NativeMethods.omniid_identity_embedding(lease.Pointer, (UIntPtr)photo, &native));
                if (native.Values == null)
                    return null;
                var values = new ReadOnlySpan<float>(native.Values, NativeText.Count((ulong)native.Size));
                return new FaceEmbedding(values, NativeText.Read(native.Network), (EmbeddingForm)native.Form);
            }
        }

        /// <summary>The tokens, f32 <c>[tokens, token width]</c>, without a copy. They outlive the identity.</summary>
        public OwnedTensor Tokens()
        {
            using (Lease lease = Use())
            {
                NativeManagedTensor* tensor;
                OmniIdException.Check(NativeMethods.omniid_identity_tokens(lease.Pointer, &tensor));
                return new OwnedTensor(tensor);
            }
        }

        /// <summary>Copies the tokens, row by row.</summary>
        /// <param name="destination">Room for tokens times token width numbers.</param>
        public void CopyTokens(Span<float> destination)
        {
            long count = (long)Info.Tokens * Info.TokenWidth;
            if (destination.Length != count)
            {
                throw new ArgumentException(
                    $"The identity has {Info.Tokens} tokens of {Info.TokenWidth} numbers, {count} in all; the "
                    + $"destination has {destination.Length}.", nameof(destination));
            }
            fixed (float* numbers = &MemoryMarshal.GetReference(destination))
                CopyTokens(TensorView.Contiguous((IntPtr)numbers, 2, Info.Tokens, Info.TokenWidth));
        }

        /// <summary>
        /// Copies the tokens into a tensor <c>[tokens, token width]</c> on the CPU, of any number type and strides.
        /// </summary>
        public void CopyTokens(in TensorView destination)
        {
            TensorView view = destination;
            NativeTensor native = TensorView.ToNative(&view);
            using (Lease lease = Use())
                OmniIdException.Check(NativeMethods.omniid_identity_copy_tokens(lease.Pointer, &native));
        }

        /// <summary>A copy with another label and consent note; null keeps the one it has.</summary>
        public Identity WithNotes(string? label, string? consent)
        {
            using (var pins = new Pins())
            {
                IntPtr identity;
                OmniIdException.Check(NativeMethods.omniid_identity_with_notes(
                    pins.Handle(Handle, nameof(Identity)), pins.Text(label, nameof(label)),
                    pins.Text(consent, nameof(consent)), &identity));
                return new Identity(identity);
            }
        }

        /// <summary>
        /// A copy without the photos' features and face embeddings: smaller, but an identity of a model that reads all
        /// photos at once can no longer be extended, and none compared by a face recogniser.
        /// </summary>
        public Identity WithoutFeatures()
        {
            using (Lease lease = Use())
            {
                IntPtr identity;
                OmniIdException.Check(NativeMethods.omniid_identity_without_features(lease.Pointer, &identity));
                return new Identity(identity);
            }
        }

        /// <summary>Frees the identity, once no call uses it any more. What was made from it stays valid.</summary>
        public void Dispose()
        {
            Handle.Dispose();
        }

        private Lease Use() => Handle.Use(nameof(Identity));
    }
}
