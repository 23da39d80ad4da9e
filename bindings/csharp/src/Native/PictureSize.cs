#nullable enable
using System;

namespace OmniID.Native
{
    /// <summary>Checks of what callers say of pictures and masks, which the library cannot make.</summary>
    internal static class PictureSize
    {
        /// <summary>Throws unless width and height are positive.</summary>
        internal static void Check(int width, int height)
        {
            if (width <= 0)
                throw new ArgumentOutOfRangeException(nameof(width), width, "Must be positive.");
            if (height <= 0)
                throw new ArgumentOutOfRangeException(nameof(height), height, "Must be positive.");
        }

        /// <summary>Throws unless there is one value for each pixel.</summary>
        /// <param name="what">What the values are, as a message begins.</param>
        /// <param name="values">Rows from top to bottom.</param>
        /// <param name="width">Columns.</param>
        /// <param name="height">Rows.</param>
        internal static void CheckValues(string what, ReadOnlyMemory<float> values, int width, int height)
        {
            Check(width, height);
            long count = (long)width * height;
            if (values.Length != count)
                throw new ArgumentException($"{what} of {width} x {height} has {count} values, not {values.Length}.",
                    nameof(values));
        }
    }
}
