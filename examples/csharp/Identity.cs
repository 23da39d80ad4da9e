/*
 * From photos to an identity in a renderer:
 *
 *     Identity.exe MODEL OUTPUT.omniid PHOTO...
 *
 * Encodes the photos in the background, with progress and Ctrl-C, saves the identity, and injects it into the attention
 * layers of a host in miniature.
 */
using System;
using System.Linq;
using System.Threading;
using System.Threading.Tasks;
using OmniID;

internal static class Program
{
    private sealed class ToConsole : IProgress<EncodeProgress>
    {
        public void Report(EncodeProgress progress) => Console.Error.WriteLine(progress);
    }

    private static async Task<int> Run(string model, string output, Photo[] photos, CancellationToken cancellation)
    {
        using (Engine engine = await Engine.OpenAsync(new EngineOptions { Checkpoint = model }, null, cancellation))
        using (EncodeResult encoded = await engine.EncodeWithReportAsync(photos, null, new ToConsole(), cancellation))
        {
            foreach (PhotoReport photo in encoded.Photos.Where(p => !p.Used))
                Console.WriteLine($"left out: {photo.Name}: {photo.Reason}");
            encoded.Identity.Save(output);
            Console.WriteLine($"{output}: {encoded.Identity.Info.Tokens} tokens of {encoded.Identity.Info.TokenWidth} numbers from {encoded.Identity.Info.Photos} photos");

            // Keys and values are projected once; then each attention layer at each step makes one call.
            using (Conditioning conditioning = engine.Condition(encoded.Identity, 0.8f))
            {
                const int steps = 4, rows = 64;
                for (int step = 0; step < steps; step++)
                {
                    for (int layer = 0; layer < conditioning.Layers.Count; layer++)
                    {
                        // The host's own queries and its attention to the text; two batch rows for guidance.
                        float[] query = Noise(2 * rows * conditioning.Layers[layer].Width), attention = Noise(query.Length);
                        float[] before = (float[])attention.Clone();
                        var call = new InjectCall(layer) { Fraction = (double)step / (steps - 1) };
                        conditioning.Inject(call, query, attention, rows, new[] { Role.Unconditional, Role.Conditional });
                        if (step == 0)
                            Console.WriteLine($"{conditioning.Layers[layer].Name}: changed by up to {attention.Zip(before, (a, b) => Math.Abs(a - b)).Max():G3}");
                    }
                }
            }
        }
        return 0;
    }

    private static float[] Noise(int count)
    {
        var random = new Random(count);
        return Enumerable.Range(0, count).Select(_ => (float)random.NextDouble() * 2 - 1).ToArray();
    }

    private static int Main(string[] arguments)
    {
        if (arguments.Length < 3)
        {
            Console.Error.WriteLine("usage: Identity.exe MODEL OUTPUT.omniid PHOTO...");
            return 2;
        }
        using (var source = new CancellationTokenSource())
        {
            Console.CancelKeyPress += (sender, key) => { key.Cancel = true; source.Cancel(); };
            try
            {
                return Run(arguments[0], arguments[1], arguments.Skip(2).Select(Photo.FromFile).ToArray(), source.Token).GetAwaiter().GetResult();
            }
            catch (OperationCanceledException)
            {
                Console.Error.WriteLine("cancelled");
                return 130;
            }
            catch (OmniIdException exception)
            {
                Console.Error.WriteLine($"{exception.Status}: {exception.Message}");
                return 1;
            }
        }
    }
}
