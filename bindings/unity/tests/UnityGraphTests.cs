using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text;
using OmniID.Unity;
using OmniID.Unity.Samples;
using Unity.InferenceEngine;
using UnityEngine;

namespace OmniID.Tests
{
    /// <summary>The scripts for Inference Engine, against its stand-in.</summary>
    internal static class UnityGraphTests
    {
        private const string Manifest = @"{""format"": ""omniid-graph"", ""version"": 1, ""graph"": ""small.onnx"",
            ""host"": ""custom"", ""form"": ""keys_values"", ""precision"": ""f32"", ""scale"": ""ip_scale"",
            ""layers"": [
            {""name"": ""up.attn"", ""heads"": 4, ""head_dim"": 8, ""key"": ""ip_k.up"", ""value"": ""ip_v.up""},
            {""name"": ""down.attn"", ""heads"": 2, ""head_dim"": 8, ""key"": ""ip_k.down"",
             ""value"": ""ip_v.down""}]}";

        private static float[] Numbers(Tensor tensor) => ((Tensor<float>)tensor).DownloadToArray();

        /// <summary>Tensors have what the graph fills, and steps change the scales alone.</summary>
        public static void IdentityInputs()
        {
            Worker.Output = inputs => new Tensor<float>(new TensorShape(1), new float[1]);
            int alive = Tensor.Alive;
            Role[] roles = { Role.Unconditional, Role.Conditional };
            using (Engine engine = Engine.Open(Inputs.Model))
            using (Identity identity = engine.Encode(Inputs.Photos()).Identity)
            using (Conditioning conditioning = engine.Condition(identity, 0.8f))
            using (Graph graph = Graph.Parse(Encoding.UTF8.GetBytes(Manifest)))
            {
                var worker = new Worker(new Model(), BackendType.CPU);
                var inputs = new IdentityInputs(graph);
                inputs.Set(worker, conditioning, new GraphCall(0.5f), roles);
                worker.Schedule();
                Dictionary<string, Tensor> seen = Worker.LastInputs;
                Check.Equal(5, seen.Count, "inputs");
                Check.SameBits(new[] { 0.4f, 0.4f }, Numbers(seen["ip_scale"]), "scales");
                foreach (GraphInput input in graph.Inputs)
                {
                    GraphShape shape = graph.Shape(conditioning, input, new GraphCall(0.5f), roles);
                    var expected = new float[shape.ByteSize / sizeof(float)];
                    graph.Fill(conditioning, new[] { new GraphBuffer(input.Name, expected) }, new GraphCall(0.5f),
                        roles);
                    Check.SameBits(expected, Numbers(seen[input.Name]), input.Name);
                    Check.Equal("(" + string.Join(", ", shape.Dimensions) + ")", seen[input.Name].shape.ToString(),
                        "shape of " + input.Name);
                }
                float[] keys = Numbers(seen["ip_k.up"]);
                inputs.SetStep(worker, conditioning, new GraphCall(0f), roles);
                worker.Schedule();
                Check.SameBits(new[] { 0f, 0f }, Numbers(seen["ip_scale"]), "scales of a step");
                Check.SameBits(keys, Numbers(seen["ip_k.up"]), "keys of a step");
                inputs.Set(worker, conditioning, new GraphCall(1f), roles.Take(1).ToArray());
                worker.Schedule();
                Check.Equal(keys.Length / 2, Numbers(seen["ip_k.up"]).Length, "keys of one row");
                worker.Dispose();
                inputs.Dispose();
                Check.Equal(alive, Tensor.Alive, "tensors left");
            }
            using (Graph half = Graph.Parse(Encoding.UTF8.GetBytes(Manifest.Replace("f32", "f16"))))
                Check.Throws<ArgumentException>(() => new IdentityInputs(half), "f32");
        }

        /// <summary>The sample calls the graph four times, and shows what the worker gives.</summary>
        public static void DrawPerson(Action<Func<bool>> framesUntil)
        {
            int runs = 0, alive = Tensor.Alive;
            // Where the person is 0.5 is grey, and 0.25 where nobody is: guided 0.5625.
            Worker.Output = inputs =>
            {
                runs++;
                Check.True(Numbers(inputs["time"]).All(time => time == (runs - 1) / 4f), "times");
                float[] clean = Numbers(inputs["picture"]);
                for (int i = 0; i < clean.Length; i++)
                    clean[i] = i < clean.Length / 2 ? 0.5f : 0.25f;
                return new Tensor<float>(inputs["picture"].shape, clean);
            };
            var sample = new DrawPerson();
            Action<string, object> set = (name, value) => typeof(DrawPerson)
                .GetField(name, BindingFlags.Instance | BindingFlags.NonPublic).SetValue(sample, value);
            set("photos", new[] { Photograph(), Photograph() });
            set("generator", new ModelAsset());
            set("manifest", new TextAsset { bytes = Encoding.UTF8.GetBytes(GeneratorManifest()) });
            set("noise", new TextAsset { bytes = MemoryMarshal.AsBytes(new float[3 * 64].AsSpan()).ToArray() });
            set("views", new TextAsset { bytes = MemoryMarshal.AsBytes(new float[8 * 46].AsSpan()).ToArray() });
            Action gui = () => typeof(DrawPerson)
                .GetMethod("OnGUI", BindingFlags.Instance | BindingFlags.NonPublic).Invoke(sample, null);
            GUILayout.Pressed = "Draw";
            gui();
            GUILayout.Pressed = null;
            framesUntil(() => { gui(); return GUILayout.Labels.Last() != ""; });
            Check.Equal("8 pictures from 2 photos", GUILayout.Labels.Last(), "message");
            Check.Equal(4, runs, "runs");
            Check.Equal(alive, Tensor.Alive, "tensors left");
            var pictures = (List<Texture2D>)typeof(DrawPerson)
                .GetField("pictures", BindingFlags.Instance | BindingFlags.NonPublic).GetValue(sample);
            Check.True(pictures.Count == 8 && pictures.All(picture => picture.Pixels.All(pixel => pixel.r == 199)),
                "pictures: " + pictures[0].Pixels[0].r);
        }

        /// <summary>A manifest with the layers of the model inside the library.</summary>
        private static string GeneratorManifest()
        {
            using (Engine engine = Engine.OpenBuiltIn())
            {
                IEnumerable<string> layers = engine.HostLayers.Select(layer =>
                    $"{{\"name\": \"{layer.Name}\", \"heads\": {layer.Heads}, \"head_dim\": {layer.HeadDim}, "
                    + $"\"key\": \"ip_k.{layer.Name}\", \"value\": \"ip_v.{layer.Name}\"}}");
                int first = Manifest.IndexOf('['), last = Manifest.LastIndexOf(']');
                return Manifest.Substring(0, first + 1) + string.Join(", ", layers) + Manifest.Substring(last);
            }
        }

        /// <summary>The picture with faces: BMP with 24 bits and the bottom row first, as in Unity.</summary>
        private static Texture2D Photograph()
        {
            byte[] file = File.ReadAllBytes(Path.Combine(Inputs.Folder, "faces.bmp"));
            int first = BitConverter.ToInt32(file, 10), width = BitConverter.ToInt32(file, 18);
            int height = BitConverter.ToInt32(file, 22), row = (3 * width + 3) / 4 * 4;
            Check.Equal((short)24, BitConverter.ToInt16(file, 28), "bits");
            var texture = new Texture2D(width, height) { Pixels = new Color32[width * height] };
            for (int i = 0; i < texture.Pixels.Length; i++)
            {
                int place = first + i / width * row + i % width * 3;
                texture.Pixels[i] = new Color32(file[place + 2], file[place + 1], file[place], 255);
            }
            return texture;
        }
    }
}
