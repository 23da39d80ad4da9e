#nullable enable
using System;
using System.Runtime.InteropServices;
using OmniID.Native;

namespace OmniID
{
    /// <summary>What a face recognition network makes of a face, for programs that have it already.</summary>
    public sealed class FaceEmbedding
    {
        /// <summary>An embedding that somebody else has computed.</summary>
        /// <param name="values">512 numbers for the published networks. Copied.</param>
        /// <param name="network">
        /// The network: its file's name without ending ("w600k_r50", "glintr100") or the pack that it comes in
        /// ("buffalo_l", "antelopev2"). An embedding of another network than the model's is refused.
        /// </param>
        /// <param name="form">
        /// Raw, as the network gives it (insightface: <c>embedding</c>), or normalised to length 1
        /// (<c>normed_embedding</c>). InstantID, PuLID and Portrait-unnorm need the raw one.
        /// </param>
        public FaceEmbedding(ReadOnlySpan<float> values, string network, EmbeddingForm form = EmbeddingForm.Raw)
        {
            if (values.IsEmpty)
                throw new ArgumentException("An embedding has at least one value.", nameof(values));
            Network = network ?? throw new ArgumentNullException(nameof(network));
            Values = values.ToArray();
            Form = form;
        }

        /// <summary>Its numbers, as many as the network has.</summary>
        public ReadOnlyMemory<float> Values { get; }

        /// <summary>The network that made it.</summary>
        public string Network { get; }

        /// <summary>Raw or normalised.</summary>
        public EmbeddingForm Form { get; }
    }

    /// <summary>
    /// How like a face is to the photos of an identity: cosines of face embeddings, -1 to 1. Those of different
    /// networks are not comparable.
    /// </summary>
    public sealed class Likeness
    {
        internal Likeness(in NativeLikeness native)
        {
            Photos = (int)native.Photos;
            Mean = native.Mean;
            Best = native.Best;
        }

        /// <summary>Photos of the identity that were compared.</summary>
        public int Photos { get; }

        /// <summary>The mean over them.</summary>
        public float Mean { get; }

        /// <summary>To the photo that the face is most like.</summary>
        public float Best { get; }
    }

    /// <summary>The picture of a face's keypoints that InstantID's ControlNet reads.</summary>
    public static class Keypoints
    {
        /// <summary>Most pixels of a picture: 2 to the power of 28.</summary>
        private const long MostPixels = 1L << 28;

        /// <summary>
        /// Draws five keypoints of a face on black: red, green, blue, rows from top to bottom without gaps; equal to
        /// what InstantID draws with OpenCV.
        /// </summary>
        /// <param name="landmarks">
        /// Ten numbers in the order of <see cref="Face.Landmarks"/>, in pixels of the picture that is drawn: scale
        /// those of a photo to the size that is generated.
        /// </param>
        /// <param name="width">Pixels in a row.</param>
        /// <param name="height">Rows.</param>
        public static unsafe byte[] Draw(ReadOnlySpan<float> landmarks, int width, int height)
        {
            Library.CheckVersion();
            if (landmarks.Length != 10)
                throw new ArgumentException($"Five points are ten numbers, not {landmarks.Length}.", nameof(landmarks));
            if (width <= 0)
                throw new ArgumentOutOfRangeException(nameof(width), width, "Must be positive.");
            if (height <= 0 || (long)width * height > MostPixels)
                throw new ArgumentOutOfRangeException(nameof(height), height, $"At most {MostPixels} pixels in all.");
            var pixels = new byte[(long)width * height * 3];
            fixed (float* numbers = &MemoryMarshal.GetReference(landmarks))
            fixed (byte* first = pixels)
            {
                OmniIdException.Check(NativeMethods.omniid_draw_keypoints(
                    numbers, (uint)width, (uint)height, UIntPtr.Zero, first));
            }
            return pixels;
        }
    }
}
