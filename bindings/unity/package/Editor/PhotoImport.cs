#nullable enable
using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Threading;
using UnityEditor;
using UnityEngine;

namespace OmniID.Unity.Editor
{
    /// <summary>
    /// Assets > Create > OmniID Identity from Photos…: encodes the selected pictures, or those in the selected folders,
    /// in the background and writes an <c>.omniid</c> file beside the first. The picture files themselves are read, so
    /// import settings do not matter.
    /// </summary>
    public static class PhotoImport
    {
        private const string Menu = "Assets/Create/OmniID Identity from Photos…";
        private const string ModelKey = "OmniID.Model";
        private static readonly string[] Extensions = { ".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff" };

        [MenuItem(Menu, true)]
        private static bool CanImport() => PhotosIn(SelectedPaths()).Any();

        [MenuItem(Menu)]
        private static void Import()
        {
            string[] photos = PhotosIn(SelectedPaths()).ToArray();
            string model = EditorPrefs.GetString(ModelKey, "");
            if (!File.Exists(model))
                model = EditorUtility.OpenFilePanel("Identity model", "", "safetensors");
            if (string.IsNullOrEmpty(model))
                return;
            EditorPrefs.SetString(ModelKey, model);
            string folder = Path.GetDirectoryName(photos[0]) ?? "Assets";
            string output = Path.Combine(folder, Path.GetFileNameWithoutExtension(photos[0]) + ".omniid");
            Encode(model, photos, AssetDatabase.GenerateUniqueAssetPath(output));
        }

        /// <summary>The pictures among files and in folders, sorted by name.</summary>
        public static IEnumerable<string> PhotosIn(IEnumerable<string> paths)
        {
            return paths.SelectMany(path => Directory.Exists(path) ? Directory.GetFiles(path) : new[] { path })
                .Where(path => Extensions.Contains(Path.GetExtension(path).ToLowerInvariant()))
                .Distinct().OrderBy(path => path, StringComparer.Ordinal);
        }

        /// <summary>
        /// Encodes photos in the background. The editor lists this among its background tasks, where it can be
        /// cancelled.
        /// </summary>
        /// <param name="model">The identity model.</param>
        /// <param name="photos">The picture files.</param>
        /// <param name="output">The file to write, below Assets.</param>
        public static async void Encode(string model, IReadOnlyList<string> photos, string output)
        {
            int id = Progress.Start("OmniID", $"Encoding {photos.Count} photos");
            try
            {
                using (var source = new CancellationTokenSource())
                {
                    Progress.RegisterCancelCallback(id, () => { source.Cancel(); return true; });
                    // Made on the main thread, so that the reports are delivered there.
                    var listener = new Progress<EncodeProgress>(
                        progress => Progress.Report(id, (float)progress.Fraction, progress.ToString()));
                    var options = new EngineOptions { Checkpoint = model };
                    Photo[] files = photos.Select(Photo.FromFile).ToArray();
                    using (Engine engine = await Engine.OpenAsync(options, listener, source.Token))
                    using (Encoded encoded = await engine.EncodeAsync(files, null, listener, source.Token))
                    {
                        foreach (PhotoReport report in encoded.Photos.Where(r => r.Reason.Length > 0))
                            Debug.LogWarning(
                                $"OmniID: {report.Name} was {(report.Used ? "used" : "left out")}: {report.Reason}");
                        encoded.Identity.Save(output);
                    }
                }
                AssetDatabase.ImportAsset(output);
                Progress.Finish(id, Progress.Status.Succeeded);
            }
            catch (OperationCanceledException)
            {
                Progress.Finish(id, Progress.Status.Canceled);
            }
            catch (Exception exception)
            {
                Progress.Finish(id, Progress.Status.Failed);
                Debug.LogError($"OmniID: {exception.Message}");
            }
        }

        private static IEnumerable<string> SelectedPaths()
        {
            return Selection.assetGUIDs.Select(AssetDatabase.GUIDToAssetPath);
        }
    }
}
