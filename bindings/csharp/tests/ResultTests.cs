using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;

namespace OmniID.Tests
{
    /// <summary>C# gets what C and the command line get, and what the formula says.</summary>
    internal static class ResultTests
    {
        public static IEnumerable<Test> All()
        {
            yield return new Test("results: tokens as in C and on the command line", Tokens);
            yield return new Test("results: the model inside the library", BuiltIn);
            yield return new Test("results: photos as files, bytes, spans and pixels", PhotoKinds);
            yield return new Test("results: injection as in C", InjectLikeC);
            yield return new Test("results: injection as the formula says", InjectFormula);
            yield return new Test("results: layouts, strides and half precision", Layouts);
            yield return new Test("results: masks and step ranges", MasksAndSteps);
            yield return new Test("results: identities survive files and bytes", Roundtrip);
            yield return new Test("results: an identity of features is an encoding", Features);
            yield return new Test("results: comparison vectors have the similarity as their product", Comparison);
            yield return new Test("results: extending equals encoding at once", Extend);
            yield return new Test("results: reports name the photos left out", Reports);
            yield return new Test("results: reports note strangers", StrangerReports);
            yield return new Test("results: models from memory with a host table", FromMemory);
        }

        private static void Tokens()
        {
            float[] expected = Inputs.Floats("tokens.bin");
            using (Engine engine = Engine.Open(Inputs.Model))
            using (Identity identity = engine.Encode(Inputs.Photos()).Identity)
            using (OwnedTensor tokens = identity.Tokens())
            {
                Check.SameBits(expected, tokens.AsSpan(), "tokens of C");
                Check.Equal((long)engine.Info.Tokens, tokens.Shape[0], "tokens");
                Check.Equal((long)engine.Info.TokenWidth, tokens.Shape[1], "token width");
                var copy = new float[expected.Length];
                identity.CopyTokens(copy);
                Check.SameBits(expected, copy, "copied tokens");
            }
            using (Identity identity = Identity.Load(Path.Combine(Inputs.Folder, "command-line.omniid")))
            using (OwnedTensor tokens = identity.Tokens())
                Check.SameBits(expected, tokens.AsSpan(), "tokens of the command line");
        }

        private static void BuiltIn()
        {
            using (Engine engine = Engine.OpenBuiltIn())
                Check.Equal(true, engine.Info.HasDetector && engine.Info.HasAdapter, "a complete model");
        }

        private static void PhotoKinds()
        {
            string path = File.ReadAllLines(Path.Combine(Inputs.Folder, "photos.txt"))[0];
            byte[] bytes = File.ReadAllBytes(path);
            var pixels = new byte[20 * 30 * 3];
            new Random(1).NextBytes(pixels);
            // The same picture as BGRA with a gap after each row, and as floating point.
            var padded = new byte[30 * 100];
            var floats = new float[pixels.Length];
            for (int i = 0; i < pixels.Length; i++)
            {
                int y = i / 60, x = i % 60 / 3, channel = i % 3;
                padded[y * 100 + x * 4 + (2 - channel)] = pixels[i];
                floats[i] = pixels[i] / 255f;
            }
            using (Engine engine = Engine.Open(Inputs.Model))
            {
                float[] file = TokensOf(engine.Encode(new[] { Photo.FromFile(path) }));
                Check.SameBits(file, TokensOf(engine.Encode(new[] { Photo.FromBytes(bytes) })), "bytes");
                Check.SameBits(file, TokensOf(engine.Encode(new[] { Photo.FromBytes(bytes.AsSpan()) })), "span");
                Check.SameBits(file, TokensOf(engine.Encode(bytes.AsSpan())), "span without a photo");
                float[] raw = TokensOf(engine.Encode(new[] { Photo.FromPixels((ReadOnlyMemory<byte>)pixels, 20, 30) }));
                Photo bgra = Photo.FromPixels((ReadOnlyMemory<byte>)padded, 20, 30, ChannelOrder.Bgra, 100);
                Check.SameBits(raw, TokensOf(engine.Encode(new[] { bgra })), "BGRA with stride");
                Photo floating = Photo.FromPixels((ReadOnlyMemory<float>)floats, 20, 30);
                float[] fromFloats = TokensOf(engine.Encode(new[] { floating }));
                Check.True(Largest(raw, fromFloats) < 1e-3,
                    "floating-point pixels differ by " + Largest(raw, fromFloats));
                Check.True(Largest(raw, file) > 1e-2, "different pictures give the same tokens");
            }
        }

        private static float[] TokensOf(Encoded encoded) => TokensOf(encoded.Identity);

        private static float[] TokensOf(Identity identity)
        {
            using (identity)
            using (OwnedTensor tokens = identity.Tokens())
                return tokens.ToArray();
        }

        private static float Largest(ReadOnlySpan<float> first, ReadOnlySpan<float> second)
        {
            float largest = 0;
            for (int i = 0; i < first.Length; i++)
                largest = Math.Max(largest, Math.Abs(first[i] - second[i]));
            return largest;
        }

        private static void InjectLikeC()
        {
            using (Engine engine = Engine.Open(Inputs.Model))
            using (Identity identity = engine.Encode(Inputs.Photos()).Identity)
            using (Conditioning conditioning = engine.Condition(identity, 0.8f))
            {
                for (int layer = 0; layer < conditioning.Layers.Count; layer++)
                {
                    float[] output = Inputs.Floats($"before-{layer}.bin");
                    conditioning.Inject(new InjectCall(layer) { Scale = 0.5f }, Inputs.Floats($"query-{layer}.bin"),
                        output, 24, new[] { Role.Unconditional, Role.Conditional });
                    Check.SameBits(Inputs.Floats($"after-{layer}.bin"), output, "output of layer " + layer);
                    float[] shared = Inputs.Floats($"before-{layer}.bin");
                    for (int part = 0; part < 3; part++)
                        conditioning.Inject(new InjectCall(layer) { Scale = 0.5f, Part = part, PartCount = 3 },
                            Inputs.Floats($"query-{layer}.bin"), shared, 24,
                            new[] { Role.Unconditional, Role.Conditional });
                    Check.SameBits(output, shared, "output of layer " + layer + " in parts");
                    Check.Equal(layer, conditioning.FindLayer(conditioning.Layers[layer].Name), "index of the layer");
                }
                Check.True(conditioning.ByteSize > 0, "keys and values occupy nothing");
                Check.True(conditioning.Injection == Injection.Add && conditioning.ZeroTokens == 0 &&
                    !conditioning.NeedsImageKeys, "how identities are added");
                using (Conditioning pulid = engine.Condition(
                    new[] { new ConditioningInput(identity) }, ConditioningOptions.Pulid(PulidMode.Style)))
                    Check.True(pulid.Injection == Injection.Orthogonal && pulid.ZeroTokens == 16, "how PuLID is added");
            }
        }

        private static void InjectFormula()
        {
            const int rows = 24;
            using (Engine engine = Engine.Open(Inputs.Model))
            using (Identity identity = engine.Encode(Inputs.Photos()).Identity)
            using (Conditioning conditioning = engine.Condition(identity, 0.8f))
            {
                for (int index = 0; index < conditioning.Layers.Count; index++)
                {
                    HostLayer layer = conditioning.Layers[index];
                    float[] query = Inputs.Floats($"query-{index}.bin").Take(rows * layer.Width).ToArray();
                    var output = new float[query.Length];
                    conditioning.Inject(new InjectCall(index), query, output, rows);
                    using (OwnedTensor keys = conditioning.Keys(index))
                    using (OwnedTensor values = conditioning.Values(index))
                    {
                        float[] expected = Formula.Attend(query, keys, values, layer, conditioning.Factor(index));
                        Check.True(Largest(expected, output) < 1e-5,
                            $"layer {index}: {Largest(expected, output)} from the formula");
                        Check.True(expected.Max() > 1e-3, "the formula gives zeros");
                    }
                }
            }
        }

        private static unsafe void Layouts()
        {
            const int rows = 5, batch = 2;
            using (Engine engine = Engine.Open(Inputs.Model))
            using (Identity identity = engine.Encode(Inputs.Photos()).Identity)
            using (Conditioning conditioning = engine.Condition(identity))
            {
                HostLayer layer = conditioning.Layers[1];
                int count = batch * rows * layer.Width, head = layer.HeadDim;
                float[] query = Inputs.Floats("query-1.bin").Take(count).ToArray();
                var expected = new float[count];
                conditioning.Inject(new InjectCall(1), query, expected, rows);

                var byHeads = new float[count];
                var output = new float[count];
                Func<int, int> byHeadsIndex = i => i / (rows * layer.Width) * rows * layer.Width
                    + i % layer.Width / head * rows * head + i / layer.Width % rows * head + i % head;
                for (int i = 0; i < count; i++)
                    byHeads[byHeadsIndex(i)] = query[i];
                conditioning.Inject(new InjectCall(1) { Layout = Layout.HeadsFirst }, byHeads, output, rows);
                for (int i = 0; i < count; i++)
                    Check.True(Math.Abs(output[byHeadsIndex(i)] - expected[i]) < 1e-6, "heads first");

                // The heads-first query again, through strides over the rows-first memory.
                var strided = new float[count];
                fixed (float* from = query)
                fixed (float* to = strided)
                {
                    long[] shape = { batch, layer.Heads, rows, head };
                    long[] strides = { rows * layer.Width, head, layer.Width, 1 };
                    conditioning.Inject(new InjectCall(1) { Layout = Layout.HeadsFirst },
                        TensorView.Create((IntPtr)from, ElementType.F32, shape, strides),
                        TensorView.Create((IntPtr)to, ElementType.F32, shape, strides));
                }
                Check.True(Largest(expected, strided) < 1e-6, "strides");

                // bf16 is the upper half of f32.
                ushort[] halfQuery = Array.ConvertAll(query,
                    v => (ushort)((uint)BitConverter.SingleToInt32Bits(v) >> 16));
                var halfOutput = new ushort[count];
                fixed (ushort* from = halfQuery)
                fixed (ushort* to = halfOutput)
                {
                    long[] shape = { batch, rows, layer.Width };
                    conditioning.Inject(new InjectCall(1), TensorView.Create((IntPtr)from, ElementType.BF16, shape),
                        TensorView.Create((IntPtr)to, ElementType.BF16, shape));
                }
                float[] wide = Array.ConvertAll(halfOutput, v => BitConverter.Int32BitsToSingle(v << 16));
                Check.True(Largest(expected, wide) < 0.05 * expected.Max(Math.Abs),
                    $"bf16 differs by {Largest(expected, wide)}");
            }
        }

        private static void MasksAndSteps()
        {
            using (Engine engine = Engine.Open(Inputs.Model))
            using (Identity identity = engine.Encode(new[] { Inputs.Pixels() }).Identity)
            {
                var input = new ConditioningInput(identity) { Steps = StepRange.Fraction(0.25, 0.5) };
                input.SetMask(new float[] { 1, 0, 1, 0 }, 2, 2);
                using (Conditioning conditioning = engine.Condition(new[] { input }))
                {
                    Check.True(conditioning.IsActive(fraction: 0.3), "inside the range");
                    Check.True(!conditioning.IsActive(fraction: 0.6), "outside the range");
                    var factors = new float[4];
                    conditioning.MaskFactors(0, factors, 2, 2);
                    Check.SameBits(new float[] { 1, 0, 1, 0 }, factors, "mask");
                    float[] query = Inputs.Floats("query-0.bin").Take(4 * conditioning.Layers[0].Width).ToArray();
                    var output = new float[query.Length];
                    var call = new InjectCall(0) { Fraction = 0.6, LatentHeight = 2, LatentWidth = 2 };
                    conditioning.Inject(call, query, output, 4);
                    Check.True(output.All(v => v == 0), "injected outside of its steps");
                    call.Fraction = 0.3;
                    conditioning.Inject(call, query, output, 4);
                    int width = conditioning.Layers[0].Width;
                    Check.True(output.Take(width).Any(v => v != 0) && output.Skip(width).Take(width).All(v => v == 0),
                        "the mask was not followed");
                }
            }
        }

        private static void Roundtrip()
        {
            string path = Path.Combine(Inputs.Folder, "saved-ä.omniid");
            using (Engine engine = Engine.Open(Inputs.Model))
            using (Identity identity = engine.Encode(new[] { Inputs.Pixels() },
                new EncodeOptions { Label = "Zoë", Consent = "yes" }).Identity)
            {
                float[] tokens = TokensOf(Identity.FromBytes(identity.ToBytes()));
                identity.Save(path);
                using (Identity loaded = Identity.Load(path))
                {
                    Check.Equal("Zoë", loaded.Info.Label, "label");
                    Check.Equal("yes", loaded.Info.Consent, "consent");
                    Check.Equal(engine.Info.Fingerprint, loaded.Info.Model, "model");
                    Check.Equal(1, loaded.Info.Photos, "photos");
                    using (OwnedTensor seen = loaded.Tokens())
                        Check.SameBits(tokens, seen.AsSpan(), "tokens of the file");
                    Check.True(Math.Abs(engine.Similarity(identity, loaded) - 1) < 1e-5,
                        "an identity is not similar to itself");
                    using (Identity other = loaded.WithNotes("Max", null))
                    using (Identity small = other.WithoutFeatures())
                    {
                        Check.Equal("Max", small.Info.Label, "new label");
                        Check.Equal("yes", small.Info.Consent, "kept consent");
                        Check.Equal(0, small.Info.Features, "features");
                        Check.True(small.ToBytes(Precision.F16).Length < loaded.ToBytes().Length,
                            "half precision is not smaller");
                    }
                }
            }
        }

        private static void Comparison()
        {
            using (Engine engine = Engine.Open(Inputs.Model))
            using (Identity first = engine.Encode(new[] { Inputs.Pixels(1) }).Identity)
            using (Identity second = engine.Encode(new[] { Inputs.Pixels(2) }).Identity)
            using (OwnedTensor a = engine.ComparisonVector(first))
            using (OwnedTensor b = engine.ComparisonVector(second))
            {
                Check.Equal(1, a.Shape.Length, "dimensions");
                double product = a.ToArray().Zip(b.ToArray(), (x, y) => (double)x * y).Sum();
                Check.True(Math.Abs(product - engine.Similarity(first, second)) < 1e-6, $"product {product}");
                Check.True(Math.Abs(a.ToArray().Sum(x => (double)x * x) - 1) < 1e-6, "length");
            }
        }

        /// <summary>Features first, then the identity: the same as at once.</summary>
        private static unsafe void Features()
        {
            using (Engine engine = Engine.Open(Inputs.Model))
            using (Identity both = engine.Encode(new[] { Inputs.Pixels(1), Inputs.Pixels(2) }).Identity)
            {
                Photo named = Inputs.Pixels(2);
                named.Name = "number two";
                using (PhotoFeatures found = engine.PhotoFeatures(new[] { Inputs.Pixels(1), named }))
                {
                    Check.Equal("number two", found.Photos[1].Name, "name");
                    Check.Equal(2L, found.Features.Shape[0], "photos");
                    TensorView view = TensorView.Create(
                        found.Features.Pointer, ElementType.F32, found.Features.Shape);
                    using (Identity made = engine.IdentityFromFeatures(view))
                        Check.Equal(0f, Largest(both.Tokens().ToArray(), made.Tokens().ToArray()), "difference");
                    TensorView flat = TensorView.Create(
                        found.Features.Pointer, ElementType.F32, new[] { found.Features.Count });
                    Check.Throws<OmniIdMismatchException>(() => engine.IdentityFromFeatures(flat));
                }
            }
        }

        private static void Extend()
        {
            using (Engine engine = Engine.Open(Inputs.Model))
            using (Identity one = engine.Encode(new[] { Inputs.Pixels(1) }).Identity)
            using (Identity both = engine.Encode(new[] { Inputs.Pixels(1), Inputs.Pixels(2) }).Identity)
            using (Identity extended = engine.Extend(one, new[] { Inputs.Pixels(2) }).Identity)
            {
                Check.Equal(2, extended.Info.Photos, "photos");
                float[] expected = both.Tokens().ToArray(), seen = extended.Tokens().ToArray();
                Check.True(Largest(expected, seen) < 1e-5, $"extending differs by {Largest(expected, seen)}");
                Check.True(Largest(one.Tokens().ToArray(), seen) > 1e-4, "extending changed nothing");
            }
        }

        private static void Reports()
        {
            using (Engine engine = Engine.Open(Inputs.Model))
            {
                Photo[] photos = { Inputs.Pixels(), Photo.FromFile("/no/such/photo.png") };
                // mcs does not know `var (identity, reports) = engine.Encode(photos);`.
                engine.Encode(photos).Deconstruct(out Identity identity, out IReadOnlyList<PhotoReport> reports);
                CheckReports(reports);
                Check.Equal(1, identity.Info.Photos, "photos of the identity");
                using (Encoded extended = engine.Extend(identity, photos))
                {
                    CheckReports(extended.Photos);
                    Check.Equal(2, extended.Identity.Info.Photos, "photos of the extended identity");
                }
                identity.Dispose();
            }
        }

        private static void StrangerReports()
        {
            string first = File.ReadAllLines(Path.Combine(Inputs.Folder, "photos.txt"))[0];
            using (Engine engine = Engine.OpenBuiltIn())
            {
                foreach (int[] set in new[] { new[] { 1, 5 }, new[] { 2, 5 }, new[] { 6, 3 } })
                {
                    Func<int, int, Photo> photo = (person, number) => Photo.FromFile(
                        first.Replace("person-1", "person-" + person).Replace("01.jpg", "0" + number + ".jpg"));
                    Photo[] photos = { photo(set[0], 1), photo(set[1], 1), photo(set[0], 2), photo(set[0], 4) };
                    using (Encoded encoded = engine.Encode(photos))
                    {
                        for (int i = 0; i < photos.Length; i++)
                        {
                            PhotoReport report = encoded.Photos[i];
                            Check.Equal(i == 1, report.Reason.Contains("looks like somebody else"), report.Reason);
                            Check.True(report.Used && report.Rotation == 0, "the photo was not used as it is");
                            Check.True(i == 1 || report.Similarity > encoded.Photos[1].Similarity, "similarity");
                        }
                    }
                    var leaveOut = new EncodeOptions { Strangers = Strangers.LeaveOut };
                    using (Encoded encoded = engine.Encode(photos, leaveOut))
                        Check.Equal(Status.Mismatch, encoded.Photos[1].Status, "status of the stranger");
                    var ignore = new EncodeOptions { Strangers = Strangers.Ignore };
                    using (Encoded encoded = engine.Encode(photos, ignore))
                        Check.True(encoded.Photos.All(r => r.Used && !r.Similarity.HasValue), "compared");
                }
            }
        }

        private static void CheckReports(IReadOnlyList<PhotoReport> reports)
        {
            Check.Equal(2, reports.Count, "entries");
            Check.True(reports[0].Used, "the first photo was not used");
            Check.Equal(Status.Io, reports[1].Status, "status of the missing photo");
            Check.True(reports[1].Name.Contains("/no/such/photo.png"), "name");
            Check.True(reports[1].Reason.Length > 0, "reason");
        }

        private static void FromMemory()
        {
            var options = new EngineOptions { Checkpoint = ModelFile.FromBytes(File.ReadAllBytes(Inputs.Model)) };
            using (Engine file = Engine.Open(Inputs.Model))
            {
                options.Host = "mine";
                options.HostLayers = file.HostLayers.Select((l, i) =>
                    new HostLayer("mine." + i, l.Heads, l.HeadDim, l.Context)).ToArray();
                using (Engine memory = Engine.Open(options))
                {
                    Check.Equal(file.Info.Fingerprint, memory.Info.Fingerprint, "fingerprint");
                    Check.Equal("mine.1", memory.HostLayers[1].Name, "layer name");
                    using (Identity identity = memory.Encode(Inputs.Photos()).Identity)
                        Check.SameBits(Inputs.Floats("tokens.bin"), identity.Tokens().ToArray(), "tokens");
                }
            }
        }
    }
}
