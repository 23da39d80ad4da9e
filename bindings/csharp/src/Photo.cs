#nullable enable
using System;
using OmniID.Native;

namespace OmniID
{
    /// <summary>
    /// One photo of a person: a file, the bytes of a file, pixels, or a face embedding alone. Memory is borrowed, not
    /// copied, unless a method says so: it must not change until the calls that use the photo have ended.
    /// </summary>
    public sealed class Photo
    {
        private string? path;
        private ReadOnlyMemory<byte> data;
        private ReadOnlyMemory<byte> pixels;
        private ReadOnlyMemory<float> floatPixels;
        private int width;
        private int height;
        private long rowStride;
        private ChannelOrder order;
        private ReadOnlyMemory<float> faceMask;
        private int faceMaskWidth;
        private int faceMaskHeight;

        private Photo() { }

        /// <summary>Which face of the photo is meant. Default: the largest.</summary>
        public FaceSelection Face { get; set; } = FaceSelection.Largest;

        /// <summary>
        /// What to call the photo in messages and reports. Default: its path, or "photo in memory".
        /// </summary>
        public string? Name { get; set; }

        /// <summary>
        /// The embedding of the person's face, if the program has it: models that read face embeddings take this one
        /// and run no recognition network on the photo. Refused for models and engines that compare no faces.
        /// </summary>
        public FaceEmbedding? Embedding { get; set; }

        /// <summary>
        /// Tells which pixels of the upright photo are the person's face, hair included. PuLID takes this instead of a
        /// face parser and sees the other pixels white. Refused for other models, and with a crop other than theirs.
        /// </summary>
        /// <param name="values">Rows from top to bottom, from 0 to 1; from 0.5 on it is the face.</param>
        /// <param name="width">Width of the photo in pixels.</param>
        /// <param name="height">Height of the photo in pixels.</param>
        public void SetFaceMask(ReadOnlyMemory<float> values, int width, int height)
        {
            PictureSize.CheckValues("A face mask", values, width, height);
            faceMask = values;
            faceMaskWidth = width;
            faceMaskHeight = height;
        }

        /// <summary>
        /// No picture, only the embedding of the person's face; for models that read nothing else.
        /// </summary>
        public static Photo FromEmbedding(FaceEmbedding embedding)
        {
            return new Photo { Embedding = embedding ?? throw new ArgumentNullException(nameof(embedding)) };
        }

        /// <summary>A JPEG, PNG, WebP, BMP or TIFF file.</summary>
        public static Photo FromFile(string path)
        {
            return new Photo { path = path ?? throw new ArgumentNullException(nameof(path)) };
        }

        /// <summary>The bytes of such a file.</summary>
        public static Photo FromBytes(byte[] data)
        {
            return FromBytes(new ReadOnlyMemory<byte>(data ?? throw new ArgumentNullException(nameof(data))));
        }

        /// <summary>The bytes of such a file.</summary>
        public static Photo FromBytes(ReadOnlyMemory<byte> data)
        {
            if (data.IsEmpty)
                throw new ArgumentException("The photo has no bytes.", nameof(data));
            return new Photo { data = data };
        }

        /// <summary>The bytes of such a file, which are copied.</summary>
        public static Photo FromBytes(ReadOnlySpan<byte> data)
        {
            return FromBytes(new ReadOnlyMemory<byte>(data.ToArray()));
        }

        /// <summary>Interleaved 8-bit pixels, rows from top to bottom.</summary>
        /// <param name="pixels">3 or 4 bytes for each pixel, as the order says.</param>
        /// <param name="width">Pixels in a row.</param>
        /// <param name="height">Rows.</param>
        /// <param name="order">Order of the channels; transparent pixels are laid on middle grey.</param>
        /// <param name="rowStride">Bytes from one row to the next; 0 for rows without gaps.</param>
        public static Photo FromPixels(ReadOnlyMemory<byte> pixels, int width, int height,
            ChannelOrder order = ChannelOrder.Rgb, long rowStride = 0)
        {
            CheckSize(pixels.Length, 1, width, height, order, rowStride, nameof(pixels));
            return new Photo
            {
                pixels = pixels, width = width, height = height, order = order, rowStride = rowStride,
            };
        }

        /// <summary>Interleaved floating-point pixels from 0 to 1, sRGB-encoded, rows from top to bottom.</summary>
        /// <param name="pixels">3 or 4 numbers for each pixel, as the order says.</param>
        /// <param name="width">Pixels in a row.</param>
        /// <param name="height">Rows.</param>
        /// <param name="order">Order of the channels; transparent pixels are laid on middle grey.</param>
        /// <param name="rowStride">Bytes from one row to the next; 0 for rows without gaps.</param>
        public static Photo FromPixels(ReadOnlyMemory<float> pixels, int width, int height,
            ChannelOrder order = ChannelOrder.Rgb, long rowStride = 0)
        {
            CheckSize(4L * pixels.Length, 4, width, height, order, rowStride, nameof(pixels));
            return new Photo
            {
                floatPixels = pixels, width = width, height = height, order = order, rowStride = rowStride,
            };
        }

        /// <summary>Throws unless the memory holds all rows: the library cannot know.</summary>
        private static void CheckSize(long bytes, int channelBytes, int width, int height, ChannelOrder order,
            long rowStride, string name)
        {
            PictureSize.Check(width, height);
            if (order < ChannelOrder.Rgb || order > ChannelOrder.Bgra)
                throw new ArgumentOutOfRangeException(nameof(order), order, "Not an order of channels.");
            int channels = order == ChannelOrder.Rgba || order == ChannelOrder.Bgra ? 4 : 3;
            long row = (long)width * channels * channelBytes;
            if (rowStride != 0 && rowStride < row)
                throw new ArgumentOutOfRangeException(nameof(rowStride), rowStride, $"A row has {row} bytes.");
            decimal needed = (decimal)(rowStride == 0 ? row : rowStride) * (height - 1) + row;
            if (bytes < needed)
                throw new ArgumentException($"{width} x {height} pixels need {needed} bytes, not {bytes}.", name);
        }

        internal unsafe NativePhoto ToNative(Pins pins)
        {
            NativePhoto native = NativePhoto.Create();
            native.Path = pins.Text(path, nameof(path));
            native.Name = pins.Text(Name, nameof(Name));
            native.Data = pins.Memory(data);
            native.DataSize = (UIntPtr)data.Length;
            native.Pixels = floatPixels.IsEmpty ? pins.Memory(pixels) : pins.Memory(floatPixels);
            native.PixelType = (int)(floatPixels.IsEmpty ? PixelType.U8 : PixelType.F32);
            native.RowStride = (UIntPtr)(ulong)rowStride;
            native.Width = (uint)width;
            native.Height = (uint)height;
            native.ChannelOrder = (int)order;
            if (Embedding != null)
            {
                native.Embedding = (float*)pins.Memory(Embedding.Values);
                native.EmbeddingSize = (UIntPtr)Embedding.Values.Length;
                native.EmbeddingNetwork = pins.Text(Embedding.Network, nameof(Embedding));
                native.EmbeddingForm = (int)Embedding.Form;
            }
            if (!faceMask.IsEmpty)
            {
                native.FaceMask = (float*)pins.Memory(faceMask);
                native.FaceMaskWidth = (uint)faceMaskWidth;
                native.FaceMaskHeight = (uint)faceMaskHeight;
            }
            (Face ?? FaceSelection.Largest).Fill(&native);
            return native;
        }
    }
}
