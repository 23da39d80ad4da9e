#nullable enable
using System;
using System.Collections.Generic;
using System.IO;
using System.Threading;
using System.Threading.Tasks;
using UnityEngine;

namespace OmniID.Unity
{
    /// <summary>
    /// Opens a model and encodes photos in the background. Everything is called, and answers, on the main thread. When
    /// the component is destroyed, running calls are cancelled.
    /// </summary>
    public sealed class IdentityEncoder : MonoBehaviour
    {
        [SerializeField, Tooltip("Path of the identity model; a relative one is below StreamingAssets.")]
        private string model = "omniid.safetensors";

        private readonly CancellationTokenSource lifetime = new CancellationTokenSource();
        private CancellationTokenSource? current;
        private Task<Engine>? opening;

        /// <summary>Path of the identity model; a relative one is below StreamingAssets.</summary>
        public string Model
        {
            get => model;
            set => model = value;
        }

        /// <summary>True while photos are being encoded.</summary>
        public bool IsBusy => current != null;

        /// <summary>What the running call is doing, and its progress.</summary>
        public EncodeProgress Progress { get; private set; }

        /// <summary>The model; opened at the first call, then kept until the component is destroyed.</summary>
        public Task<Engine> OpenAsync()
        {
            if (opening == null || opening.IsFaulted || opening.IsCanceled)
            {
                string path = Path.Combine(Application.streamingAssetsPath, model);
                opening = Engine.OpenAsync(new EngineOptions { Checkpoint = path }, Listener(), lifetime.Token);
            }
            return opening;
        }

        /// <summary>
        /// Encodes photos of one person. The task is cancelled by <see cref="Cancel"/> and when the component is
        /// destroyed.
        /// </summary>
        /// <exception cref="InvalidOperationException">It is busy.</exception>
        public async Task<Encoded> EncodeAsync(IReadOnlyList<Photo> photos, EncodeOptions? options = null)
        {
            if (IsBusy)
                throw new InvalidOperationException("Photos are being encoded already.");
            using (var source = CancellationTokenSource.CreateLinkedTokenSource(lifetime.Token))
            {
                current = source;
                try
                {
                    Engine engine = await OpenAsync();
                    source.Token.ThrowIfCancellationRequested();
                    return await engine.EncodeAsync(photos, options, Listener(), source.Token);
                }
                finally
                {
                    current = null;
                    Progress = default;
                }
            }
        }

        /// <summary>Stops the running call.</summary>
        public void Cancel()
        {
            current?.Cancel();
        }

        private void OnDestroy()
        {
            lifetime.Cancel();
            // The engine lives until calls that use it have ended.
            opening?.ContinueWith(task => task.Result.Dispose(), TaskContinuationOptions.OnlyOnRanToCompletion);
        }

        private IProgress<EncodeProgress> Listener()
        {
            // Made on the main thread, so that Unity's synchronisation context delivers the reports there.
            return new Progress<EncodeProgress>(progress => Progress = progress);
        }
    }
}
