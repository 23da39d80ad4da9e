#nullable enable
using System;
using OmniID.Native;

namespace OmniID
{
    /// <summary>A rectangle in pixels of the upright photo.</summary>
    public readonly struct FaceBox
    {
        /// <summary>Makes a rectangle.</summary>
        public FaceBox(float left, float top, float right, float bottom)
        {
            Left = left;
            Top = top;
            Right = right;
            Bottom = bottom;
        }

        /// <summary>Left edge.</summary>
        public float Left { get; }

        /// <summary>Upper edge.</summary>
        public float Top { get; }

        /// <summary>Right edge.</summary>
        public float Right { get; }

        /// <summary>Lower edge.</summary>
        public float Bottom { get; }
    }

    /// <summary>A face in a photo, in pixels of the upright photo.</summary>
    public sealed class Face
    {
        internal unsafe Face(in NativeFace native)
        {
            NativeFace face = native;
            Score = face.Score;
            Bounds = new FaceBox(face.Bounds[0], face.Bounds[1], face.Bounds[2], face.Bounds[3]);
            Landmarks = new float[10];
            for (int i = 0; i < 10; i++)
                Landmarks[i] = face.Landmarks[i];
        }

        /// <summary>Confidence, 0 to 1.</summary>
        public float Score { get; }

        /// <summary>Where the face is.</summary>
        public FaceBox Bounds { get; }

        /// <summary>
        /// x and y of the eye at the image's left, the eye at its right, the nose tip, the mouth corner at its left and
        /// the one at its right.
        /// </summary>
        public float[] Landmarks { get; }
    }

    /// <summary>How faces are detected. Properties that are not set have the library's defaults.</summary>
    public sealed class DetectOptions
    {
        /// <summary>Least confidence of a face, above 0 up to 1.</summary>
        public float? ScoreThreshold { get; set; }

        /// <summary>Boxes that overlap more than this (intersection over union) are one face.</summary>
        public float? OverlapThreshold { get; set; }

        /// <summary>Longer side in pixels to which larger photos are scaled down for the first search.</summary>
        public int? Side { get; set; }

        /// <summary>Longer side for the second search.</summary>
        public int? FineSide { get; set; }

        /// <summary>Make the second search even if the first found faces.</summary>
        public bool Exhaustive { get; set; }

        /// <summary>Do not turn the photo when no face was found.</summary>
        public bool UprightOnly { get; set; }

        internal NativeDetectOptions ToNative()
        {
            NativeDetectOptions native = NativeDetectOptions.Create();
            native.ScoreThreshold = ScoreThreshold ?? 0f;
            native.OverlapThreshold = OverlapThreshold ?? 0f;
            native.Side = Convert.ToUInt32(Side ?? 0);
            native.FineSide = Convert.ToUInt32(FineSide ?? 0);
            native.Exhaustive = Exhaustive ? 1 : 0;
            native.UprightOnly = UprightOnly ? 1 : 0;
            return native;
        }
    }
}
