/*
 * From photos to an identity in a renderer:
 *
 *     Identity.exe MODEL OUTPUT.omniid PHOTO...
 *
 * Encodes the photos in the background, with progress and Ctrl-C, saves the identity, and injects it into the attention
 * layers of a host in miniature.
 */
#nullable enable
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
        using (Encoded encoded = await engine.EncodeAsync(photos, null, new ToConsole(), cancellation))
        {
            foreach (PhotoReport report in encoded.Photos.Where(r => !r.Used))
                Console.WriteLine($"left out: {report.Name}: {report.Reason}");
            encoded.Identity.Save(output);
            IdentityInfo info = encoded.Identity.Info;
            Console.WriteLine($"{output}: {info.Tokens} tokens of {info.TokenWidth} numbers from {info.Photos} photos");

            // Keys and values are projected once; then each attention layer at each step makes one call.
            using (Conditioning conditioning = engine.Condition(encoded.Identity, 0.8f))
            {
                const int steps = 4, rows = 64;
                var roles = new[] { Role.Unconditional, Role.Conditional };
                for (int step = 0; step < steps; step++)
                {
                    for (int index = 0; index < conditioning.Layers.Count; index++)
                    {
                        HostLayer layer = conditioning.Layers[index];
                        // The host's own queries and its attention to the text; two batch rows for guidance.
                        float[] query = Noise(2 * rows * layer.Width), attention = Noise(query.Length);
                        float[] before = (float[])attention.Clone();
                        var call = new InjectCall(index) { Fraction = (double)step / (steps - 1) };
                        conditioning.Inject(call, query, attention, rows, roles);
                        float change = attention.Zip(before, (a, b) => Math.Abs(a - b)).Max();
                        if (step == 0)
                            Console.WriteLine($"{layer.Name}: changed by up to {change:G3}");
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
                Photo[] photos = arguments.Skip(2).Select(Photo.FromFile).ToArray();
                return Run(arguments[0], arguments[1], photos, source.Token).GetAwaiter().GetResult();
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
