using System;
using System.Diagnostics;
using OmniID.Native;

namespace OmniID.Benchmark
{
    /// <summary>The same calls as in benchmark.c, from C#: <c>Benchmark.exe MODEL</c>.</summary>
    internal static class Program
    {
        private const int Rows = 64, Side = 512, Blocks = 500;

        private sealed class Silent : IProgress<EncodeProgress>
        {
            public void Report(EncodeProgress value) { }
        }

        private static void Measure(string name, Action work, int blocks, int calls)
        {
            double best = double.MaxValue;
            for (int i = 0; i < 50 * calls; i++)
                work();
            for (int block = 0; block < blocks; block++)
            {
                long start = Stopwatch.GetTimestamp();
                for (int i = 0; i < calls; i++)
                    work();
                best = Math.Min(best, 1e6 * (Stopwatch.GetTimestamp() - start) / Stopwatch.Frequency / calls);
            }
            Console.WriteLine(FormattableString.Invariant($"{name,-24} {best,10:F2} us"));
        }

        /// <summary>
        /// The layer over the bare C function, block by block in turns, so that both see the same machine. The picture
        /// is small, so that little hides the difference.
        /// </summary>
        private static unsafe void Compare(string model, Engine engine, Photo[] photos, byte[] pixels)
        {
            const int calls = 5, small = 32;
            photos = new[] { Photo.FromPixels(pixels.AsMemory(0, small * small * 3), small, small) };
            double bare = double.MaxValue, layer = double.MaxValue;
            byte[] path = System.Text.Encoding.UTF8.GetBytes(model + "\0");
            fixed (byte* pathBytes = path)
            fixed (byte* data = pixels)
            {
                NativeEngineOptions options = NativeEngineOptions.Create();
                options.CheckpointPath = pathBytes;
                NativePhoto photo = NativePhoto.Create();
                photo.Pixels = data;
                photo.Width = photo.Height = small;
                IntPtr handle, identity;
                OmniIdException.Check(NativeMethods.omniid_engine_open(&options, &handle));
                for (int block = 0; block < 4 * Blocks; block++)
                {
                    long start = Stopwatch.GetTimestamp();
                    for (int i = 0; i < calls; i++)
                    {
                        OmniIdException.Check(NativeMethods.omniid_encode(handle, &photo, (UIntPtr)1, null, &identity));
                        NativeMethods.omniid_identity_free(identity);
                    }
                    long middle = Stopwatch.GetTimestamp();
                    for (int i = 0; i < calls; i++)
                        engine.Encode(photos).Dispose();
                    bare = Math.Min(bare, 1e6 * (middle - start) / Stopwatch.Frequency / calls);
                    layer = Math.Min(layer, 1e6 * (Stopwatch.GetTimestamp() - middle) / Stopwatch.Frequency / calls);
                }
                NativeMethods.omniid_engine_free(handle);
            }
            Console.WriteLine(FormattableString.Invariant(
                $"small encode: bare function {bare:F1} us, with the layer {layer:F1} us"));
        }

        private static void Main(string[] arguments)
        {
            var pixels = new byte[Side * Side * 3];
            for (long i = 0; i < pixels.Length; i++)
                pixels[i] = (byte)(i * i / 97);
            var photos = new[] { Photo.FromPixels((ReadOnlyMemory<byte>)pixels, Side, Side) };
            var silent = new Silent();
            using (Engine engine = Engine.Open(arguments[0]))
            using (Identity identity = engine.Encode(photos).Identity)
            using (Conditioning conditioning = engine.Condition(identity))
            {
                var query = new float[Rows * conditioning.Layers[0].Width];
                var output = new float[query.Length];
                var call = new InjectCall(0) { Scale = 0f };
                Measure("inject, scale 0", () => conditioning.Inject(call, query, output, Rows), 10 * Blocks, 50);
                call.Scale = 1f;
                Measure("inject, 64 rows", () => conditioning.Inject(call, query, output, Rows), Blocks, 50);
                Measure("encode", () => engine.Encode(photos).Dispose(), Blocks, 1);
                Measure("encode with progress", () => engine.Encode(photos, null, silent).Dispose(), Blocks, 1);
                Compare(arguments[0], engine, photos, pixels);
            }
        }
    }
}
