#nullable enable
using System;
using OmniID.Native;

namespace OmniID
{
    /// <summary>Which face of a photo is meant.</summary>
    public sealed class FaceSelection
    {
        private readonly FaceHint choice;
        private readonly int index;
        private readonly float[]? numbers;

        private FaceSelection(FaceHint choice, int index, float[]? numbers)
        {
            this.choice = choice;
            this.index = index;
            this.numbers = numbers;
        }

        /// <summary>The largest face that the detector finds.</summary>
        public static FaceSelection Largest { get; } = new FaceSelection(FaceHint.Detect, 0, null);

        /// <summary>The n-th largest face that the detector finds; 0 is the largest.</summary>
        public static FaceSelection At(int index)
        {
            if (index < 0)
                throw new ArgumentOutOfRangeException(nameof(index), index, "Must not be negative.");
            return new FaceSelection(FaceHint.Index, index, null);
        }

        /// <summary>The face in a rectangle, in pixels of the upright photo. Needs no detector.</summary>
        public static FaceSelection InBox(FaceBox box)
        {
            return new FaceSelection(FaceHint.Box, 0, new[] { box.Left, box.Top, box.Right, box.Bottom });
        }

        /// <summary>
        /// The face with five landmarks, ten numbers in the order of <see cref="Face.Landmarks"/>. Needs no detector.
        /// </summary>
        public static FaceSelection AtLandmarks(ReadOnlySpan<float> landmarks)
        {
            if (landmarks.Length != 10)
                throw new ArgumentException($"Five landmarks are ten numbers, not {landmarks.Length}.",
                    nameof(landmarks));
            return new FaceSelection(FaceHint.Landmarks, 0, landmarks.ToArray());
        }

        internal unsafe void Fill(NativePhoto* photo)
        {
            photo->FaceHint = (int)choice;
            photo->FaceIndex = (uint)index;
            for (int i = 0; numbers != null && i < numbers.Length; i++)
            {
                if (choice == FaceHint.Box)
                    photo->FaceBox[i] = numbers[i];
                else
                    photo->FaceLandmarks[i] = numbers[i];
            }
        }
    }
}
