using System;
using System.IO;
using System.Linq;

namespace OmniID.Tests
{
    /// <summary>
    /// What C# gets: tokens of some photos and one injection into each layer, <c>Results.exe MODEL INPUTS OUTPUTS PHOTO...</c>.
    /// Reads INPUTS/query-N.bin and before-N.bin, writes OUTPUTS/tokens.bin and after-N.bin, f32.
    /// </summary>
    internal static class Results
    {
        private const int Rows = 24;

        private static float[] Read(string path)
        {
            byte[] bytes = File.ReadAllBytes(path);
            var values = new float[bytes.Length / sizeof(float)];
            Buffer.BlockCopy(bytes, 0, values, 0, bytes.Length);
            return values;
        }

        private static void Write(string path, float[] values)
        {
            var bytes = new byte[values.Length * sizeof(float)];
            Buffer.BlockCopy(values, 0, bytes, 0, bytes.Length);
            File.WriteAllBytes(path, bytes);
        }

        private static int Main(string[] arguments)
        {
            if (arguments.Length < 4)
                return 2;
            string inputs = arguments[1], outputs = arguments[2];
            using (Engine engine = Engine.Open(arguments[0]))
            using (Identity identity = engine.Encode(arguments.Skip(3).Select(path => Photo.FromFile(path)).ToArray()).Identity)
            using (OwnedTensor tokens = identity.Tokens())
            using (Conditioning conditioning = engine.Condition(identity, 0.8f))
            {
                Write(Path.Combine(outputs, "tokens.bin"), tokens.ToArray());
                for (int layer = 0; layer < conditioning.Layers.Count; layer++)
                {
                    float[] output = Read(Path.Combine(inputs, $"before-{layer}.bin"));
                    conditioning.Inject(new InjectCall(layer) { Scale = 0.5f }, Read(Path.Combine(inputs, $"query-{layer}.bin")), output, Rows,
                        new[] { Role.Unconditional, Role.Conditional });
                    Write(Path.Combine(outputs, $"after-{layer}.bin"), output);
                }
            }
            return 0;
        }
    }
}
