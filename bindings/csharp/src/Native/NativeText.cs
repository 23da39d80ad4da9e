#nullable enable
using System;
using System.Text;

namespace OmniID.Native
{
    /// <summary>Strings and sizes that cross to and from the library.</summary>
    internal static unsafe class NativeText
    {
        /// <summary>A copy of a NUL-terminated UTF-8 string; null for NULL.</summary>
        public static string? ReadOrNull(byte* text)
        {
            if (text == null)
                return null;
            int length = 0;
            while (text[length] != 0)
                length++;
            return length == 0 ? "" : Encoding.UTF8.GetString(text, length);
        }

        /// <summary>A copy of a NUL-terminated UTF-8 string; empty for NULL.</summary>
        public static string Read(byte* text) => ReadOrNull(text) ?? "";

        /// <summary>A count of the library as an int, which is what .NET counts in.</summary>
        public static int Count(ulong value)
        {
            if (value > int.MaxValue)
                throw new OverflowException($"{value} is more than .NET arrays can hold.");
            return (int)value;
        }

        /// <summary>An index or count from the caller. Throws if it is negative.</summary>
        public static UIntPtr Size(long value, string name)
        {
            if (value < 0)
                throw new ArgumentOutOfRangeException(name, value, "Must not be negative.");
            return (UIntPtr)(ulong)value;
        }
    }
}
