using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Threading;
using System.Threading.Tasks;
using OmniID.Unity;
using OmniID.Unity.Editor;
using OmniID.Unity.Samples;
using UnityEditor.AssetImporters;
using UnityEngine;

namespace OmniID.Tests
{
    /// <summary>
    /// Runs the package's scripts against the stand-in of Unity: <c>UnityTests.exe FOLDER</c>, the folder of the C#
    /// tests.
    /// </summary>
    internal static class UnityTests
    {
        private static int Main(string[] arguments)
        {
            Inputs.Folder = arguments[0];
            Application.streamingAssetsPath = Inputs.Folder;
            SynchronizationContext.SetSynchronizationContext(new MainThread());
            return Runner.Run(new[]
            {
                new Test("unity: textures become upright photos", Textures),
                new Test("unity: .omniid files are imported", Import),
                new Test("unity: photos are imported in the background", PhotosImported),
                new Test("unity: the sample encodes, shows progress and cancels", Sample),
                new Test("unity: a destroyed encoder cancels", Destroyed),
                new Test("unity: identity inputs of Inference Engine", UnityGraphTests.IdentityInputs),
                new Test("unity: the sample draws a person", () => UnityGraphTests.DrawPerson(MainThread.FramesUntil)),
                new Test("unity: log messages reach the console", LogMessages),
                // Last: the library is shut down afterwards.
                new Test("unity: a domain reload ends running calls", Reload),
            }, null) == 0 ? 0 : 1;
        }

        /// <summary>
        /// A main thread that runs what was posted to it when asked to, like Unity's between two frames.
        /// </summary>
        private sealed class MainThread : SynchronizationContext
        {
            private readonly Queue<Action> posted = new Queue<Action>();

            public override void Post(SendOrPostCallback callback, object state)
            {
                lock (posted)
                    posted.Enqueue(() => callback(state));
            }

            public void Frame()
            {
                while (true)
                {
                    Action action;
                    lock (posted)
                    {
                        if (posted.Count == 0)
                            return;
                        action = posted.Dequeue();
                    }
                    action();
                }
            }

            public static void FramesUntil(Func<bool> condition)
            {
                var clock = System.Diagnostics.Stopwatch.StartNew();
                while (!condition())
                {
                    Check.True(clock.ElapsedMilliseconds < 20000, "it never happened");
                    ((MainThread)Current).Frame();
                    Thread.Sleep(1);
                }
            }
        }

        private static void Send(object target, string message)
        {
            target.GetType().GetMethod(message, BindingFlags.Instance | BindingFlags.NonPublic).Invoke(target, null);
        }

        private static Texture2D Texture(int seed)
        {
            var texture = new Texture2D { width = 40, height = 30, Pixels = new Color32[1200] };
            for (int i = 0; i < 1200; i++)
                texture.Pixels[i] = new Color32((byte)(i * seed), (byte)(i / 40 * 8), (byte)(i * i), 7);
            return texture;
        }

        private static void Textures()
        {
            Texture2D texture = Texture(3);
            // The same picture from top to bottom, written out here.
            var upright = new byte[3600];
            for (int y = 0; y < 30; y++)
                for (int x = 0; x < 40; x++)
                {
                    Color32 pixel = texture.Pixels[(29 - y) * 40 + x];
                    new[] { pixel.r, pixel.g, pixel.b }.CopyTo(upright, (y * 40 + x) * 3);
                }
            Photo photo = Photo.FromPixels((ReadOnlyMemory<byte>)upright, 40, 30);
            using (Engine engine = Engine.Open(Inputs.Model))
            using (Identity expected = engine.Encode(new[] { photo }).Identity)
            using (Identity seen = engine.Encode(new[] { TexturePhotos.ToPhoto(texture) }).Identity)
                Check.SameBits(expected.Tokens().ToArray(), seen.Tokens().ToArray(), "tokens");
            texture.isReadable = false;
            Check.Throws<ArgumentException>(() => TexturePhotos.ToPhoto(texture), "Read/Write");
            Check.Throws<ArgumentException>(() => TexturePhotos.ToPhoto(new Color32[5], 2, 3));
        }

        private static void Import()
        {
            var context = new AssetImportContext { assetPath = Path.Combine(Inputs.Folder, "command-line.omniid") };
            new IdentityImporter().OnImportAsset(context);
            var asset = (IdentityAsset)context.mainObject;
            Check.Equal("command-line", asset.name, "name");
            using (Identity identity = asset.Load())
            {
                Check.SameBits(Inputs.Floats("tokens.bin"), identity.Tokens().ToArray(), "tokens");
                Check.Equal(identity.Info.Photos, asset.Photos, "photos");
            }
            var broken = new AssetImportContext { assetPath = Inputs.Model };
            new IdentityImporter().OnImportAsset(broken);
            Check.True(broken.mainObject == null && broken.Errors.Count == 1, "a broken file was imported");
        }

        private static void PhotosImported()
        {
            string output = Path.Combine(Inputs.Folder, "imported.omniid");
            string[] photos = File.ReadAllLines(Path.Combine(Inputs.Folder, "photos.txt"));
            Check.True(PhotoImport.PhotosIn(new[] { Path.GetDirectoryName(photos[0]), Inputs.Model })
                .SequenceEqual(photos), "photos in a folder");
            PhotoImport.Encode(Inputs.Model, photos, output);
            MainThread.FramesUntil(() => UnityEditor.Progress.Last != UnityEditor.Progress.Status.Running);
            Check.Equal(UnityEditor.Progress.Status.Succeeded, UnityEditor.Progress.Last, "status");
            Check.True(UnityEditor.AssetDatabase.Imported.Contains(output), "not imported");
            using (Identity identity = Identity.Load(output))
                Check.SameBits(Inputs.Floats("tokens.bin"), identity.Tokens().ToArray(), "tokens");

            UnityEditor.Progress.CancelAtOnce = true;
            PhotoImport.Encode(Inputs.Model, photos, output);
            MainThread.FramesUntil(() => UnityEditor.Progress.Last != UnityEditor.Progress.Status.Running);
            Check.Equal(UnityEditor.Progress.Status.Canceled, UnityEditor.Progress.Last, "status after cancelling");
            UnityEditor.Progress.CancelAtOnce = false;
            PhotoImport.Encode("/no/such/model.safetensors", photos, output);
            MainThread.FramesUntil(() => UnityEditor.Progress.Last != UnityEditor.Progress.Status.Running);
            Check.Equal(UnityEditor.Progress.Status.Failed, UnityEditor.Progress.Last, "status without a model");
            Check.True(Debug.Messages.Any(m => m.StartsWith("error: OmniID: ")
                && m.Contains("/no/such/model.safetensors")), "no message");
        }

        private static IdentityEncoder NewEncoder()
        {
            return new IdentityEncoder { Model = Path.GetFileName(Inputs.Model) };
        }

        private static void Sample()
        {
            var sample = new EncodeInBackground();
            IdentityEncoder encoder = NewEncoder();
            sample.Components[typeof(IdentityEncoder)] = encoder;
            FieldInfo photos = typeof(EncodeInBackground)
                .GetField("photos", BindingFlags.Instance | BindingFlags.NonPublic);
            photos.SetValue(sample, new[] { Texture(1), Texture(2) });
            Send(sample, "Awake");
            GUILayout.Pressed = "Encode";
            Send(sample, "OnGUI");
            GUILayout.Pressed = null;
            MainThread.FramesUntil(() =>
                { Send(sample, "OnGUI"); return GUILayout.Labels.Last().Contains("keys and values for 2 layers"); });
            Check.True(GUILayout.Labels.Last().StartsWith("6 tokens of 24 numbers from 2 photos"),
                GUILayout.Labels.Last());

            photos.SetValue(sample, Enumerable.Repeat(Texture(1), 2000).ToArray());
            GUILayout.Pressed = "Encode";
            Send(sample, "OnGUI");
            // So many photos are not finished before this thread gets on; the two above may be.
            Check.True(encoder.IsBusy, "not busy");
            GUILayout.Pressed = "Cancel";
            MainThread.FramesUntil(() =>
                { Send(sample, "OnGUI"); GUILayout.Pressed = null; return GUILayout.Labels.Last() == "Cancelled."; });
            Send(sample, "OnDestroy");
            Send(encoder, "OnDestroy");
        }

        private static void Destroyed()
        {
            IdentityEncoder encoder = NewEncoder();
            Task<Encoded> task = encoder.EncodeAsync(Inputs.ManyPhotos());
            Check.Throws<InvalidOperationException>(() => encoder.EncodeAsync(Inputs.Photos()).GetAwaiter().GetResult(),
                "already");
            MainThread.FramesUntil(() => encoder.Progress.Total == 2000);
            Send(encoder, "OnDestroy");
            MainThread.FramesUntil(() => task.IsCompleted);
            Check.True(task.IsCanceled, "not cancelled: " + task.Status);
            Check.True(!encoder.IsBusy, "still busy");
        }

        private static void LogMessages()
        {
            UnityLog.Install(LogLevel.Trace);
            Task<Encoded> task = NewEncoder().EncodeAsync(Inputs.PhotosToLogAbout());
            MainThread.FramesUntil(() => task.IsCompleted);
            task.Result.Dispose();
            lock (Debug.Messages)
                Check.True(Debug.Messages.Count(m => m.StartsWith("warning: [omniid") && m.Contains("left out")) == 499,
                    "messages are missing");
        }

        private static void Reload()
        {
            RuntimeHelpers.RunClassConstructor(typeof(PhotoImport).Assembly.GetType("OmniID.Unity.Editor.DomainReload",
                true).TypeHandle);
            IdentityEncoder encoder = NewEncoder();
            Task<Encoded> task = encoder.EncodeAsync(Inputs.ManyPhotos());
            MainThread.FramesUntil(() => encoder.Progress.Total == 2000);
            UnityEditor.AssemblyReloadEvents.Raise();
            // No frame has passed: nothing but the reload can have ended the call.
            Check.Throws<InvalidOperationException>(() => Engine.Open(Inputs.Model), "shut down");
            MainThread.FramesUntil(() => task.IsCompleted);
            Check.True(task.IsCanceled, "not cancelled: " + task.Status);
            UnityEditor.EditorApplication.Raise();
        }
    }
}
