using System;
using System.Collections.Generic;
using System.Linq;
using System.Runtime.InteropServices;
using System.Text;

namespace OmniID.Tests
{
    /// <summary>Graphs: what the manifest says, what buffers get, what is refused.</summary>
    internal static class GraphTests
    {
        private const string Manifest = @"{""format"": ""omniid-graph"", ""version"": 1, ""graph"": ""small.onnx"",
            ""host"": ""custom"", ""form"": ""keys_values"", ""precision"": ""f32"", ""scale"": ""ip_scale"",
            ""layers"": [
            {""name"": ""up.attn"", ""heads"": 4, ""head_dim"": 8, ""key"": ""ip_k.up"", ""value"": ""ip_v.up""},
            {""name"": ""down.attn"", ""heads"": 2, ""head_dim"": 8, ""key"": ""ip_k.down"",
             ""value"": ""ip_v.down""}]}";

        private static readonly Role[] Roles = { Role.Unconditional, Role.Conditional };

        public static IEnumerable<Test> All()
        {
            yield return new Test("graphs: manifests are described", Described);
            yield return new Test("graphs: buffers get the keys and values of each layer", Filled);
            yield return new Test("graphs: what does not fit is refused", Refused);
        }

        private static Graph Parse(string manifest) => Graph.Parse(Encoding.UTF8.GetBytes(manifest));

        private static void Described()
        {
            using (Graph graph = Parse(Manifest))
            {
                Check.Equal("small.onnx", graph.Info.FileName, "file name");
                Check.Equal(null, graph.Info.Path, "path");
                Check.Equal("ip_scale", graph.Info.ScaleInput, "scales");
                Check.Equal(GraphForm.KeysValues, graph.Info.Form, "form");
                Check.Equal("up.attn 4 8 ip_k.up ip_v.up, down.attn 2 8 ip_k.down ip_v.down",
                    string.Join(", ", graph.Layers.Select(layer =>
                        $"{layer.Name} {layer.Heads} {layer.HeadDim} {layer.KeyInput} {layer.ValueInput}")), "layers");
                Check.Equal("ip_k.up Keys 0, ip_v.up Values 0, ip_k.down Keys 1, ip_v.down Values 1, ip_scale Scale 0",
                    string.Join(", ", graph.Inputs.Select(input => $"{input.Name} {input.Kind} {input.Layer}")),
                    "inputs");
                Check.True(graph.Inputs.Single(input => input.ChangesWithStep).Name == "ip_scale", "step");
            }
        }

        private static void Filled()
        {
            using (Engine engine = Engine.Open(Inputs.Model))
            using (Identity identity = engine.Encode(Inputs.Photos()).Identity)
            using (Conditioning conditioning = engine.Condition(identity, 0.8f))
            using (Graph graph = Parse(Manifest))
            {
                Check.Equal(1f, new GraphCall { Fraction = 0.5 }.Scale, "scale that nobody has set");
                var call = new GraphCall(0.5f);
                var memory = graph.Inputs.ToDictionary(input => input.Name, input =>
                    new float[graph.Shape(conditioning, input, call, Roles).ByteSize / sizeof(float)]);
                List<GraphBuffer> buffers = memory.Select(pair => new GraphBuffer(pair.Key, pair.Value)).ToList();
                graph.Fill(conditioning, buffers, call, Roles);
                Check.SameBits(new[] { 0.4f, 0.4f }, memory["ip_scale"], "scales");
                foreach (GraphInput input in graph.Inputs.Where(input => !input.ChangesWithStep))
                {
                    IReadOnlyList<int> shape = graph.Shape(conditioning, input, call, Roles).Dimensions;
                    int layer = conditioning.FindLayer(graph.Layers[input.Layer].Name);
                    for (int row = 0; row < Roles.Length; row++)
                    {
                        using (OwnedTensor expected = input.Kind == GraphInputKind.Keys
                            ? conditioning.Keys(layer, 0, Roles[row]) : conditioning.Values(layer, 0, Roles[row]))
                            CompareRow(expected, memory[input.Name], shape, row, input.Name);
                    }
                }
                // Native memory, and bytes.
                var native = new float[2];
                GCHandle pin = GCHandle.Alloc(native, GCHandleType.Pinned);
                var address = new GraphBuffer("ip_scale", pin.AddrOfPinnedObject(), 8, Precision.F32);
                graph.Fill(conditioning, new[] { address }, new GraphCall(1f), Roles);
                pin.Free();
                Check.SameBits(new[] { 0.8f, 0.8f }, native, "native memory");
                var bytes = new byte[8];
                graph.Fill(conditioning, new[] { new GraphBuffer("ip_scale", bytes, Precision.F32) },
                    new GraphCall(1f), Roles);
                Check.SameBits(native, MemoryMarshal.Cast<byte, float>(bytes), "bytes");
            }
        }

        /// <summary>[heads, tokens, head width] of a row against [tokens, heads, head width], repeated.</summary>
        private static void CompareRow(OwnedTensor expected, float[] seen, IReadOnlyList<int> shape, int row,
            string name)
        {
            float[] numbers = expected.ToArray();
            int heads = shape[1], tokens = shape[2], width = shape[3], count = (int)expected.Shape[0];
            for (int i = 0; i < heads * tokens * width; i++)
            {
                int head = i / (tokens * width), token = i / width % tokens;
                float number = numbers[((token % count) * heads + head) * width + i % width];
                Check.Equal(number, seen[row * heads * tokens * width + i], $"{name}, row {row}, number {i}");
            }
        }

        private static void Refused()
        {
            using (Engine engine = Engine.Open(Inputs.Model))
            using (Identity identity = engine.Encode(new[] { Inputs.Pixels() }).Identity)
            using (Conditioning conditioning = engine.Condition(identity))
            using (Graph graph = Parse(Manifest))
            {
                var small = new GraphBuffer("ip_k.down", new float[4]);
                Check.Throws<OmniIdMismatchException>(
                    () => graph.Fill(conditioning, new[] { small }, new GraphCall(1f)), "layer \"down.attn\"");
                var half = new GraphBuffer("ip_scale", new byte[8], Precision.F16);
                Check.Throws<OmniIdMismatchException>(
                    () => graph.Fill(conditioning, new[] { half }, new GraphCall(1f)), "of f16");
                var unknown = new GraphBuffer("ip_scales", new float[2]);
                Check.Throws<OmniIdInvalidArgumentException>(
                    () => graph.Fill(conditioning, new[] { unknown }, new GraphCall(1f)), "no identity input");
                Check.Throws<ArgumentNullException>(() => new GraphBuffer(null, new float[2]));
                graph.Fill(conditioning, new GraphBuffer[0], new GraphCall(1f));
                graph.Dispose();
                Check.Throws<ObjectDisposedException>(
                    () => graph.Fill(conditioning, new GraphBuffer[0], new GraphCall(1f)), "Graph");
            }
            Check.Throws<OmniIdFormatException>(() => Parse("{}"), "format");
            Check.Throws<OmniIdFormatException>(() => Parse(""), "manifest");
            Check.Throws<OmniIdIoException>(() => Graph.Open("/no/such/graph.onnx"), "graph.onnx");
            Check.Throws<OmniIdUnsupportedException>(
                () => Parse(Manifest.Replace("\"version\": 1", "\"version\": 2")), "version 2");
        }
    }
}
