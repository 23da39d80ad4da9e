#nullable enable
using System;
using UnityEngine;

namespace OmniID.Unity
{
    /// <summary>Photos from textures.</summary>
    public static class TexturePhotos
    {
        /// <summary>
        /// A photo of a texture's pixels, which are copied. On the main thread, like every access to textures.
        /// </summary>
        /// <param name="texture">Must be readable: Read/Write in its import settings.</param>
        /// <exception cref="ArgumentException">The texture is not readable.</exception>
        public static Photo ToPhoto(Texture2D texture)
        {
            if (texture == null)
                throw new ArgumentNullException(nameof(texture));
            if (!texture.isReadable)
            {
                throw new ArgumentException(
                    $"The texture {texture.name} is not readable: turn on Read/Write in its import settings.",
                    nameof(texture));
            }
            return ToPhoto(texture.GetPixels32(), texture.width, texture.height);
        }

        /// <summary>A photo of pixels in Unity's order: rows from bottom to top. They are copied.</summary>
        public static Photo ToPhoto(Color32[] pixels, int width, int height)
        {
            if (pixels == null)
                throw new ArgumentNullException(nameof(pixels));
            if (width <= 0 || height <= 0 || pixels.Length != (long)width * height)
                throw new ArgumentException($"{pixels.Length} pixels do not make a picture of {width} x {height}.",
                    nameof(pixels));
            var bytes = new byte[pixels.Length * 3];
            int to = 0;
            for (int y = height - 1; y >= 0; y--)
            {
                for (int x = 0; x < width; x++)
                {
                    Color32 pixel = pixels[y * width + x];
                    bytes[to++] = pixel.r;
                    bytes[to++] = pixel.g;
                    bytes[to++] = pixel.b;
                }
            }
            return Photo.FromPixels(new ReadOnlyMemory<byte>(bytes), width, height);
        }
    }
}
