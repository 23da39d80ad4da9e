#nullable enable
using System;
using System.Linq;
using System.Runtime.InteropServices;
using System.Threading.Tasks;
using Unity.InferenceEngine;
using UnityEngine;

namespace OmniID.Unity.Samples
{
    /// <summary>
    /// Photos of a person, an identity, pictures of the person in eight views, drawn by Inference Engine. The graph is
    /// the small generator that comes with OmniID: <c>python examples/onnx/export.py generator</c> writes all files.
    /// Put them into the project with the endings that Unity knows: <c>generator.onnx</c>,
    /// <c>generator.onnx.identity.json</c>, <c>noise.f32.bytes</c>, <c>views.f32.bytes</c>. The pictures are those of
    /// <c>omniid generate</c>.
    /// </summary>
    public sealed class DrawPerson : MonoBehaviour
    {
        private const int Steps = 4;
        private const float Guidance = 1.25f;

        [SerializeField] private Texture2D[] photos = new Texture2D[0];
        [SerializeField] private ModelAsset generator = null!; // set in the editor, as the next three
        [SerializeField] private TextAsset manifest = null!;
        [SerializeField] private TextAsset noise = null!;
        [SerializeField] private TextAsset views = null!;
        [SerializeField] private BackendType backend = BackendType.GPUCompute;
        [SerializeField] private int viewCount = 8;

        private readonly System.Collections.Generic.List<Texture2D> pictures =
            new System.Collections.Generic.List<Texture2D>();
        private string message = "";
        private bool busy;

        private void OnGUI()
        {
            if (!busy && GUILayout.Button("Draw"))
                Draw();
            GUILayout.Label(message);
            foreach (Texture2D picture in pictures)
                GUILayout.Label(picture);
        }

        private async void Draw()
        {
            busy = true;
            try
            {
                // Reading the photos and the model in it takes a second; the scene goes on meanwhile.
                Photo[] taken = photos.Select(TexturePhotos.ToPhoto).ToArray();
                using (Engine engine = await Task.Run(() => Engine.OpenBuiltIn()))
                using (Encoded encoded = await engine.EncodeAsync(taken))
                using (Conditioning person = await engine.ConditionAsync(
                    new[] { new ConditioningInput(encoded.Identity) }))
                using (Graph graph = Graph.Parse(manifest.bytes))
                {
                    Sample(graph, person);
                    message = $"{pictures.Count} pictures from {photos.Length} photos";
                }
            }
            catch (Exception exception)
            {
                message = exception.Message;
                Debug.LogException(exception);
            }
            finally
            {
                busy = false;
            }
        }

        /// <summary>Euler steps from noise to picture, guided: rows of the person, then rows of nobody.</summary>
        private void Sample(Graph graph, Conditioning person)
        {
            float[] start = Floats(noise), view = Floats(views);
            int count = viewCount, pixels = start.Length, width = view.Length / count;
            int side = (int)Math.Round(Math.Sqrt(pixels / 3.0));
            Role[] roles = Enumerable.Range(0, 2 * count)
                .Select(row => row < count ? Role.Conditional : Role.Unconditional).ToArray();
            float[] x = Enumerable.Repeat(start, 2 * count).SelectMany(values => values).ToArray();
            using (var worker = new Worker(ModelLoader.Load(generator), backend))
            using (var identity = new IdentityInputs(graph))
            using (var picture = new Tensor<float>(new TensorShape(2 * count, 3, side, side), x))
            using (var time = new Tensor<float>(new TensorShape(2 * count), new float[2 * count]))
            using (var places = new Tensor<float>(new TensorShape(2 * count, width), view.Concat(view).ToArray()))
            {
                identity.Set(worker, person, new GraphCall(1f), roles);
                worker.SetInput("view", places);
                for (int step = 0; step < Steps; step++)
                {
                    float now = (float)step / Steps, after = (float)(step + 1) / Steps;
                    picture.Upload(x);
                    time.Upload(Enumerable.Repeat(now, 2 * count).ToArray());
                    worker.SetInput("picture", picture);
                    worker.SetInput("time", time);
                    worker.Schedule();
                    float[] clean = ((Tensor<float>)worker.PeekOutput("clean")).DownloadToArray();
                    for (int i = 0; i < count * pixels; i++)
                    {
                        float nobody = clean[count * pixels + i];
                        float guided = nobody + (clean[i] - nobody) * Guidance;
                        x[i] += (guided - x[i]) / (1f - now) * (after - now);
                        x[count * pixels + i] = x[i];
                    }
                }
            }
            pictures.Clear();
            for (int i = 0; i < count; i++)
                pictures.Add(Texture(x, i * pixels, side));
        }

        private static float[] Floats(TextAsset asset) => MemoryMarshal.Cast<byte, float>(asset.bytes).ToArray();

        /// <summary>A picture <c>[3, side, side]</c>, −1 to 1, top row first; Unity's textures begin below.</summary>
        private static Texture2D Texture(float[] values, int first, int side)
        {
            var colours = new Color32[side * side];
            for (int i = 0; i < colours.Length; i++)
            {
                int place = (side - 1 - i / side) * side + i % side;
                colours[i] = new Color32(Level(values[first + place]), Level(values[first + side * side + place]),
                    Level(values[first + 2 * side * side + place]), 255);
            }
            var texture = new Texture2D(side, side);
            texture.SetPixels32(colours);
            texture.Apply();
            return texture;
        }

        private static byte Level(float value) => (byte)Math.Min(Math.Max(Math.Round((value + 1f) * 127.5f), 0), 255);
    }
}
