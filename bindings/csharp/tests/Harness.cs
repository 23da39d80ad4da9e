using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Runtime.InteropServices;
using System.Runtime.Serialization;

namespace OmniID.Tests
{
    [Serializable]
    internal sealed class FailedException : Exception
    {
        private FailedException(SerializationInfo info, StreamingContext context) : base(info, context) { }

        public FailedException(string message) : base(message) { }
    }

    /// <summary>Assertions.</summary>
    internal static class Check
    {
        public static void True(bool condition, string message)
        {
            if (!condition)
                throw new FailedException(message);
        }

        public static void Equal<T>(T expected, T seen, string what)
        {
            True(EqualityComparer<T>.Default.Equals(expected, seen), $"{what}: expected {expected}, saw {seen}");
        }

        /// <summary>The same numbers to the bit.</summary>
        public static void SameBits(ReadOnlySpan<float> expected, ReadOnlySpan<float> seen, string what)
        {
            Equal(expected.Length, seen.Length, what + ", length");
            True(MemoryMarshal.AsBytes(expected).SequenceEqual(MemoryMarshal.AsBytes(seen)),
                what + ": not the same bits");
        }

        /// <summary>Runs an action that must throw exactly this exception, with this text in its message.</summary>
        public static T Throws<T>(Action action, string text = "") where T : Exception
        {
            try
            {
                action();
            }
            catch (Exception exception)
            {
                True(exception is T, $"expected {typeof(T).Name}, saw {exception}");
                True(exception.Message.Contains(text), $"expected '{text}' in the message '{exception.Message}'");
                return (T)exception;
            }
            throw new FailedException($"expected {typeof(T).Name}, nothing was thrown");
        }
    }

    /// <summary>What the tests work on.</summary>
    internal static class Inputs
    {
        public static string Folder;

        public static string Model => Path.Combine(Folder, "model.safetensors");

        /// <summary>The photos that the C program and the command line have encoded, too.</summary>
        public static Photo[] Photos()
        {
            string[] paths = File.ReadAllLines(Path.Combine(Folder, "photos.txt"));
            return Array.ConvertAll(paths, Photo.FromFile);
        }

        public static float[] Floats(string name)
        {
            byte[] bytes = File.ReadAllBytes(Path.Combine(Folder, name));
            return MemoryMarshal.Cast<byte, float>(bytes).ToArray();
        }

        /// <summary>A drawn picture, so that a test needs no file.</summary>
        public static Photo Pixels(int seed = 1, int side = 64)
        {
            var pixels = new byte[side * side * 3];
            for (int i = 0; i < pixels.Length; i++)
                pixels[i] = (byte)((long)i * i * seed / 97);
            return Photo.FromPixels((ReadOnlyMemory<byte>)pixels, side, side);
        }

        /// <summary>Photos of which the library says in the log that it leaves all but the last out.</summary>
        public static Photo[] PhotosToLogAbout()
        {
            var photos = new Photo[500];
            for (int i = 0; i < photos.Length; i++)
                photos[i] = i + 1 < photos.Length ? Photo.FromFile("/no/such/photo.png") : Pixels();
            return photos;
        }

        /// <summary>So many photos that encoding them takes long enough to be interrupted.</summary>
        public static Photo[] ManyPhotos()
        {
            Photo photo = Pixels(3, 512);
            var photos = new Photo[2000];
            for (int i = 0; i < photos.Length; i++)
                photos[i] = photo;
            return photos;
        }
    }

    internal sealed class Test
    {
        public Test(string name, Action run)
        {
            Name = name;
            Run = run;
        }

        public string Name { get; }

        public Action Run { get; }
    }

    internal static class Runner
    {
        /// <summary>Runs the tests, each given as a name and an action; returns the number of failures.</summary>
        public static int Run(IEnumerable<Test> tests, string filter)
        {
            int passed = 0, failed = 0;
            foreach (Test entry in tests)
            {
                string name = entry.Name;
                if (filter != null && !name.Contains(filter))
                    continue;
                var clock = Stopwatch.StartNew();
                try
                {
                    entry.Run();
                    passed++;
                    Console.WriteLine($"ok      {name} ({clock.ElapsedMilliseconds} ms)");
                }
                catch (Exception exception)
                {
                    failed++;
                    string text = exception is FailedException ? exception.Message : exception.ToString();
                    Console.WriteLine($"FAILED  {name}: {text}");
                }
                Console.Out.Flush();
            }
            Console.WriteLine($"{passed} passed, {failed} failed");
            return failed;
        }
    }
}
