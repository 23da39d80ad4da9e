#nullable enable
using System;
using System.Collections.Generic;
using OmniID.Native;

namespace OmniID
{
    /// <summary>What became of one photo.</summary>
    public sealed class PhotoReport
    {
        private unsafe PhotoReport(NativePhotoReport native)
        {
            Status = (Status)native.Status;
            Name = NativeText.Read(native.Name);
            Reason = NativeText.Read(native.Reason);
            Rotation = native.Rotation;
            if (!float.IsNaN(native.Similarity))
                Similarity = native.Similarity;
            if (native.HasBounds != 0)
            {
                float* box = native.FaceBounds;
                Bounds = new FaceBox(box[0], box[1], box[2], box[3]);
            }
            if (native.HasLandmarks == 0)
                return;
            Score = native.FaceScore;
            Landmarks = new float[10];
            for (int i = 0; i < 10; i++)
                Landmarks[i] = native.FaceLandmarks[i];
        }

        /// <summary>True if the photo went into the identity.</summary>
        public bool Used => Status == Status.Ok;

        /// <summary><see cref="Status.Ok"/>, or why the photo was left out.</summary>
        public Status Status { get; }

        /// <summary>The photo's path, or a description of a photo in memory.</summary>
        public string Name { get; }

        /// <summary>Why it was left out, or what should be known although it was used. May be empty.</summary>
        public string Reason { get; }

        /// <summary>The face that the photo was cut around; null if it was not.</summary>
        public FaceBox? Bounds { get; }

        /// <summary>Confidence of the face; null if it was neither detected nor given with landmarks.</summary>
        public float? Score { get; }

        /// <summary>As <see cref="Face.Landmarks"/>; null if there are none.</summary>
        public float[]? Landmarks { get; }

        /// <summary>
        /// Degrees clockwise by which the photo had to be turned for the face to be upright: 0, 90, 180 or 270.
        /// </summary>
        public int Rotation { get; }

        /// <summary>
        /// How alike the photo is to the others of its set, -1 to 1; null if there was nothing to compare it with.
        /// </summary>
        public float? Similarity { get; }

        /// <summary>Copies a report of the library and frees it.</summary>
        internal static unsafe IReadOnlyList<PhotoReport> Take(IntPtr report)
        {
            if (report == IntPtr.Zero)
                return Array.Empty<PhotoReport>();
            try
            {
                UIntPtr count;
                OmniIdException.Check(NativeMethods.omniid_report_photo_count(report, &count));
                var photos = new PhotoReport[NativeText.Count((ulong)count)];
                for (int i = 0; i < photos.Length; i++)
                {
                    NativePhotoReport native = NativePhotoReport.Create();
                    OmniIdException.Check(NativeMethods.omniid_report_photo(report, (UIntPtr)i, &native));
                    photos[i] = new PhotoReport(native);
                }
                return photos;
            }
            finally
            {
                NativeMethods.omniid_report_free(report);
            }
        }
    }
}
