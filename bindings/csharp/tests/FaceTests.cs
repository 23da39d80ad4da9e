using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;

namespace OmniID.Tests
{
    /// <summary>Face embeddings, the residual stream and SD3.5, with the models of untrained_adapters.</summary>
    internal static class FaceTests
    {
        private const int Tokens = 4, Width = 24;

        private static readonly float[] Landmarks = { 20, 20, 44, 19, 33, 33, 23, 46, 42, 47 };

        public static IEnumerable<Test> All()
        {
            yield return new Test("faces: what an engine says of its networks", Describe);
            yield return new Test("faces: embeddings are as good as photos", Embeddings);
            yield return new Test("faces: photos combine, and the shortcut has a scale", Combining);
            yield return new Test("faces: likeness", Likenesses);
            yield return new Test("faces: tokens, keypoints and LoRA for the host", ForTheHost);
            yield return new Test("faces: what does not fit is refused", Refused);
            yield return new Test("faces: the residual stream", Residual);
            yield return new Test("faces: SD3.5", Joint);
        }

        private static string PathOf(string name) => Path.Combine(Inputs.Folder, name + ".safetensors");

        private static Photo Face(int seed)
        {
            Photo photo = Inputs.Pixels(seed);
            photo.Face = FaceSelection.AtLandmarks(Landmarks);
            return photo;
        }

        private static float[] TokensOf(Identity identity)
        {
            using (OwnedTensor tokens = identity.Tokens())
                return tokens.ToArray();
        }

        private static float[] Encode(Engine engine, EncodeOptions options, params Photo[] photos)
        {
            using (Identity identity = engine.Encode(photos, options).Identity)
                return TokensOf(identity);
        }

        private static float Apart(float[] first, float[] second) => first.Zip(second, (a, b) => Math.Abs(a - b)).Max();

        private static void Describe()
        {
            using (Engine engine = Engine.Open(PathOf("faceid")))
            using (Engine plus = Engine.Open(PathOf("faceid-plus")))
            using (Engine builtIn = Engine.OpenBuiltIn())
            {
                EngineInfo info = engine.Info;
                Check.Equal(EncoderKind.FaceId, info.Encoder, "encoder");
                Check.Equal(EncoderKind.FaceIdPlus, plus.Info.Encoder, "encoder");
                Check.True(!info.HasImageEncoder && plus.Info.HasImageEncoder && info.HasLora, "image encoder, LoRA");
                Check.Equal(12, info.FaceDimension, "dimension");
                Check.Equal(EmbeddingForm.Normalised, info.FaceForm, "form");
                Check.True(info.FaceNetwork.Contains("w600k_r50"), info.FaceNetwork);
                Check.Equal("IResNet-50", info.FaceRecogniser, "recogniser");
                Check.Equal("none needed: random numbers", info.FaceRecogniserLicence, "licence");
                info = builtIn.Info;
                Check.True(info.HasImageEncoder && !info.HasLora && info.FaceDimension == 0, "the built-in model");
                Check.True(info.FaceNetwork == null && info.FaceRecogniser == null, "networks of the built-in model");
                Check.True(info.FaceRecogniserLicence == null, "licence of the built-in model");
            }
        }

        private static void Embeddings()
        {
            using (Engine engine = Engine.Open(PathOf("faceid")))
            using (Identity identity = engine.Encode(new[] { Face(1), Face(2) }).Identity)
            {
                float[] expected = TokensOf(identity);
                Check.Equal(2, identity.Info.Embeddings, "embeddings");
                Check.Equal(Combine.Concatenate, identity.Info.Combine, "combine");
                Check.Equal(1f, identity.Info.ShortcutScale, "shortcut scale");
                FaceEmbedding first = identity.Embedding(0), second = identity.Embedding(1);
                FaceEmbedding alone = engine.FaceEmbedding(Face(1));
                Check.SameBits(first.Values.Span, alone.Values.Span, "embedding");
                Check.True(first.Form == EmbeddingForm.Raw && alone.Network == "IResNet-50", first.Network);
                float[] given = Encode(engine, null, Photo.FromEmbedding(first), Photo.FromEmbedding(second));
                Check.SameBits(expected, given, "tokens of embeddings");
                // Beside another picture, which is not looked at.
                Photo beside = Face(5);
                beside.Embedding = first;
                Check.Throws<ArgumentException>(() => beside.SetFaceMask(new float[5], 2, 3), "6 values, not 5");
                Photo masked = Face(1);
                masked.SetFaceMask(new float[6], 2, 3);
                Check.Throws<OmniIdInvalidArgumentException>(() => engine.Encode(new[] { masked }), "only PuLID");
                Check.SameBits(expected.AsSpan(0, Tokens * Width), Encode(engine, null, beside), "beside a picture");
                double length = Math.Sqrt(first.Values.ToArray().Sum(value => (double)value * value));
                float[] unit = first.Values.ToArray().Select(value => (float)(value / length)).ToArray();
                var normalised = new FaceEmbedding(unit, "buffalo_l", EmbeddingForm.Normalised);
                using (Identity other = engine.Encode(new[] { Photo.FromEmbedding(normalised) }).Identity)
                {
                    Check.True(Apart(TokensOf(other), expected) < 1e-5, "normalised");
                    Check.Equal(EmbeddingForm.Normalised, other.Embedding(0).Form, "form");
                    Check.Equal("buffalo_l", other.Embedding(0).Network, "network");
                }
                using (Identity without = identity.WithoutFeatures())
                    Check.True(without.Embedding(0) == null && without.Info.Embeddings == 0, "not kept");
                Check.Throws<ArgumentOutOfRangeException>(() => identity.Embedding(2), "2 photos");
            }
        }

        private static void Combining()
        {
            using (Engine engine = Engine.Open(PathOf("faceid")))
            {
                var all = new List<float[]>();
                foreach (Combine how in Enum.GetValues(typeof(Combine)))
                {
                    var options = new EncodeOptions { Combine = how };
                    using (Identity identity = engine.Encode(new[] { Face(1), Face(2) }, options).Identity)
                    {
                        Check.Equal(how, identity.Info.Combine, "combine");
                        float[] tokens = TokensOf(identity);
                        Check.Equal(how == Combine.Concatenate ? 2 * Tokens : Tokens, identity.Info.Tokens, "tokens");
                        Check.True(all.All(other => Apart(other, tokens) > 1e-4), $"{how} is like another one");
                        all.Add(tokens);
                    }
                }
                Check.Equal(7, all.Count, "ways to combine");
                var average = new EncodeOptions { Combine = Combine.Average };
                Check.True(Apart(Encode(engine, average, Face(1), Face(1)), Encode(engine, null, Face(1))) < 1e-5,
                    "the mean of a photo and itself");
                var scaled = new EncodeOptions { ShortcutScale = 0.5f };
                Check.Throws<OmniIdInvalidArgumentException>(() => Encode(engine, scaled, Face(1)), "shortcut");
                using (Engine plus = Engine.Open(PathOf("faceid-plus")))
                using (Identity identity = plus.Encode(new[] { Face(1) }, scaled).Identity)
                {
                    Check.Equal(0.5f, identity.Info.ShortcutScale, "shortcut scale");
                    Check.True(Apart(TokensOf(identity), Encode(plus, null, Face(1))) > 1e-4, "no effect");
                    var one = new EncodeOptions { ShortcutScale = 1f };
                    Check.SameBits(Encode(plus, null, Face(1)), Encode(plus, one, Face(1)), "scale 1");
                }
            }
        }

        private static void Likenesses()
        {
            byte[] bytes = File.ReadAllBytes(PathOf("faceid"));
            foreach (ModelFile recogniser in new[] { ModelFile.FromFile(PathOf("faceid")), ModelFile.FromBytes(bytes) })
            using (Engine engine = Engine.Open(new EngineOptions { FaceRecogniser = recogniser }))
            using (Identity identity = engine.Encode(new[] { Face(1), Face(2) }).Identity)
            {
                Likeness likeness = engine.Likeness(identity, Face(1));
                float[] first = identity.Embedding(0).Values.ToArray(), second = identity.Embedding(1).Values.ToArray();
                double cosine = Product(first, second) / Math.Sqrt(Product(first, first) * Product(second, second));
                Check.Equal(2, likeness.Photos, "photos");
                Check.True(Math.Abs(likeness.Best - 1) < 1e-5, $"best {likeness.Best}");
                Check.True(Math.Abs(likeness.Mean - (1 + cosine) / 2) < 1e-5, $"mean {likeness.Mean}, cosine {cosine}");
            }
            using (Engine engine = Engine.Open(Inputs.Model))
                Check.Throws<OmniIdUnsupportedException>(() => engine.HistogramVector(Face(1)), "fit-histograms");
            using (Engine engine = Engine.OpenBuiltIn())
            using (Identity identity = engine.Encode(new[] { Face(1) }).Identity)
            {
                Check.Throws<OmniIdUnsupportedException>(() => engine.Likeness(identity, Face(1)), "recognis");
                Check.Throws<OmniIdUnsupportedException>(() => engine.FaceEmbedding(Face(1)), "recognis");
            }
        }

        private static double Product(float[] first, float[] second)
        {
            return first.Zip(second, (a, b) => (double)a * b).Sum();
        }

        private static void ForTheHost()
        {
            using (Engine engine = Engine.Open(PathOf("faceid")))
            using (Identity identity = engine.Encode(new[] { Face(1) }).Identity)
            using (OwnedTensor tokens = engine.ContextTokens(identity))
            {
                Check.True(tokens.Shape.SequenceEqual(new long[] { 2, Tokens, Width }), "shape");
                Check.SameBits(TokensOf(identity), tokens.AsSpan().Slice(Tokens * Width), "tokens");
                foreach (LoraFormat format in Enum.GetValues(typeof(LoraFormat)))
                {
                    string path = Path.Combine(Inputs.Folder, $"lora-{format}.safetensors");
                    engine.SaveLora(path, format);
                    string text = System.Text.Encoding.ASCII.GetString(File.ReadAllBytes(path));
                    Check.True(text.Contains(format == LoraFormat.Kohya ? "lora_unet_mid_block" : "unet.mid_block"),
                        $"names of {format}");
                }
                using (Engine builtIn = Engine.OpenBuiltIn())
                {
                    string none = Path.Combine(Inputs.Folder, "none.safetensors");
                    Check.Throws<OmniIdUnsupportedException>(() => builtIn.SaveLora(none), "none");
                    Check.True(!File.Exists(none), "a file without a LoRA");
                    Check.Throws<OmniIdMismatchException>(() => builtIn.ContextTokens(identity), "model");
                }
            }
            byte[] drawn = Keypoints.Draw(Landmarks, 64, 60);
            Check.Equal(64 * 60 * 3, drawn.Length, "pixels");
            Check.True(drawn.Count(value => value != 0) > 100 && drawn[0] == 0, "drawn");
            Check.Throws<ArgumentException>(() => Keypoints.Draw(new float[8], 64, 64), "ten");
            Check.Throws<ArgumentOutOfRangeException>(() => Keypoints.Draw(Landmarks, 64, int.MaxValue), "pixels");
            Check.Throws<ArgumentOutOfRangeException>(() => Keypoints.Draw(Landmarks, -1, 64), "positive");
            Check.Throws<OmniIdInvalidArgumentException>(
                () => Keypoints.Draw(Landmarks.Select(_ => float.NaN).ToArray(), 64, 64), "landmark");
        }

        private static Photo Of(float[] values, string network, EmbeddingForm form = EmbeddingForm.Raw)
        {
            return Photo.FromEmbedding(new FaceEmbedding(values, network, form));
        }

        private static void Refused()
        {
            using (Engine engine = Engine.Open(PathOf("faceid")))
            {
                var values = Enumerable.Range(1, 12).Select(i => (float)i).ToArray();
                Check.Throws<OmniIdMismatchException>(
                    () => Encode(engine, null, Of(values, "antelopev2")), "w600k_r50");
                Check.Throws<OmniIdMismatchException>(
                    () => Encode(engine, null, Of(new float[] { 1, 2 }, "buffalo_l")), "2 values");
                Check.Throws<OmniIdInvalidArgumentException>(
                    () => Encode(engine, null, Of(values, "buffalo_l", EmbeddingForm.Normalised)), "length");
                Check.Throws<OmniIdInvalidArgumentException>(
                    () => Encode(engine, null, Of(values, "buffalo_l", (EmbeddingForm)5)), "embedding_form");
                Check.Throws<ArgumentException>(() => new FaceEmbedding(default, "buffalo_l"));
                Check.Throws<ArgumentNullException>(() => new FaceEmbedding(values, null));
                Check.Throws<ArgumentNullException>(() => Photo.FromEmbedding(null));
                Check.Throws<ArgumentNullException>(() => engine.FaceEmbedding(null));
                Check.Throws<ArgumentNullException>(() => engine.Likeness(null, Face(1)));
                Check.Throws<ArgumentNullException>(() => engine.ContextTokens(null));
                Check.Throws<ArgumentNullException>(() => engine.SaveLora(null));
            }
            Check.Throws<OmniIdInvalidArgumentException>(
                () => Engine.Open(new EngineOptions { Checkpoint = PathOf("faceid"), FaceParser = PathOf("faceid") }),
                "pars");
            Check.Throws<OmniIdInvalidArgumentException>(
                () => Engine.Open(new EngineOptions { Checkpoint = PathOf("faceid"), Variant = "instantid" }),
                "variant");
        }

        /// <summary>One batch row of 6 image tokens.</summary>
        private static unsafe TensorView View(float* data, int width)
        {
            return TensorView.Create((IntPtr)data, ElementType.F32, new long[] { 1, 6, width });
        }

        private static float[] Numbers(double step)
        {
            return Enumerable.Range(0, 6 * 32).Select(i => (float)Math.Sin(step * i + 0.5)).ToArray();
        }

        private static unsafe void Residual()
        {
            using (Engine engine = Engine.Open(PathOf("residual")))
            using (Identity identity = engine.Encode(new[] { Inputs.Pixels() }).Identity)
            using (Conditioning conditioning = engine.Condition(identity))
            {
                const int rows = 6, hidden = 40, text = 3;
                Check.Equal(hidden, conditioning.Layers[1].Hidden, "hidden width");
                var before = Enumerable.Range(0, (text + rows) * hidden).Select(i => (float)Math.Sin(i)).ToArray();
                var sequence = (float[])before.Clone();
                // The image's part of a sequence of text and image tokens, in place.
                conditioning.InjectResidual(new ResidualCall(1), sequence.AsSpan(text * hidden), rows);
                Check.SameBits(before.AsSpan(0, text * hidden), sequence.AsSpan(0, text * hidden), "text");
                Check.True(Apart(before, sequence) > 1e-2, "no effect");
                var added = new float[rows * hidden];
                fixed (float* source = before, target = added)
                {
                    TensorView from = View(source + text * hidden, hidden);
                    TensorView to = View(target, hidden);
                    conditioning.InjectResidual(new ResidualCall(1), from, to);
                    TensorView shifted = View(source + (text - 1) * hidden, hidden);
                    Check.Throws<OmniIdInvalidArgumentException>(
                        () => conditioning.InjectResidual(new ResidualCall(1), from, shifted), "share memory");
                }
                for (int i = 0; i < added.Length; i++)
                {
                    float expected = sequence[text * hidden + i];
                    Check.True(Math.Abs(before[text * hidden + i] + added[i] - expected) < 1e-5, $"number {i}");
                }
                Check.Throws<ArgumentException>(
                    () => conditioning.InjectResidual(new ResidualCall(1), new float[rows * hidden - 1], rows),
                    "hidden");
                Check.Throws<ArgumentOutOfRangeException>(
                    () => conditioning.InjectResidual(new ResidualCall(2), new float[rows * hidden], rows), "2 layers");
            }
        }

        private static unsafe void Joint()
        {
            const int rows = 6, width = 32;
            using (Engine engine = Engine.Open(PathOf("sd35")))
            using (Identity identity = engine.Encode(new[] { Inputs.Pixels() }).Identity)
            {
                Check.Equal(EncoderKind.TimeResampler, engine.Info.Encoder, "encoder");
                Check.Throws<OmniIdInvalidArgumentException>(() => engine.Condition(identity), "timesteps");
                var options = new ConditioningOptions { Timesteps = new[] { 900f, 100f } };
                var inputs = new[] { new ConditioningInput(identity) };
                using (Conditioning conditioning = engine.Condition(inputs, options))
                {
                    float[] query = Numbers(1), keys = Numbers(0.7), values = Numbers(2);
                    float[] first = new float[rows * width], second = new float[rows * width];
                    fixed (float* q = query, k = keys, v = values, one = first, two = second)
                    {
                        TensorView queries = View(q, width), output = View(one, width), later = View(two, width);
                        var call = new InjectCall(0) { Sigma = 0.9, ImageKeys = View(k, width) };
                        Check.Throws<OmniIdInvalidArgumentException>(
                            () => conditioning.Inject(call, queries, output), "image");
                        call.ImageValues = View(v, width);
                        conditioning.Inject(call, queries, output);
                        call.Sigma = 0.1;
                        conditioning.Inject(call, queries, later);
                    }
                    Check.True(Apart(first, second) > 1e-5, "the timestep has no effect");
                    Check.True(first.Any(value => value != 0), "no effect");
                }
            }
        }
    }
}
