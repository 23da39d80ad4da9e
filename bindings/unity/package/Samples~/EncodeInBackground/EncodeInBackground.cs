#nullable enable
using System;
using System.Linq;
using UnityEngine;

namespace OmniID.Unity.Samples
{
    /// <summary>
    /// Put it on an object of a scene, give it photos of one person (textures with Read/Write on) and put a model into
    /// StreamingAssets. The scene goes on while the photos are encoded.
    /// </summary>
    [RequireComponent(typeof(IdentityEncoder))]
    public sealed class EncodeInBackground : MonoBehaviour
    {
        [SerializeField] private Texture2D[] photos = new Texture2D[0];

        private IdentityEncoder encoder = null!; // set by Awake
        private Identity? identity;
        private Conditioning? conditioning;
        private string message = "";

        private void Awake()
        {
            encoder = GetComponent<IdentityEncoder>();
            UnityLog.Install();
        }

        private void OnGUI()
        {
            if (encoder.IsBusy)
            {
                GUILayout.HorizontalSlider((float)encoder.Progress.Fraction, 0f, 1f, GUILayout.Width(300f));
                GUILayout.Label(encoder.Progress.ToString());
                if (GUILayout.Button("Cancel"))
                    encoder.Cancel();
            }
            else if (GUILayout.Button("Encode"))
            {
                Encode();
            }
            GUILayout.Label(message);
        }

        private async void Encode()
        {
            try
            {
                Encoded encoded = await encoder.EncodeAsync(photos.Select(TexturePhotos.ToPhoto).ToArray());
                Engine engine = await encoder.OpenAsync();
                identity?.Dispose();
                identity = encoded.Identity;
                IdentityInfo info = identity.Info;
                message = $"{info.Tokens} tokens of {info.TokenWidth} numbers from {info.Photos} photos";
                if (!engine.Info.HasAdapter)
                    return;
                // Keys and values, once; a renderer then calls conditioning.Inject in each attention layer and step.
                conditioning?.Dispose();
                conditioning = await engine.ConditionAsync(new[] { new ConditioningInput(identity) });
                message += $"; keys and values for {conditioning.Layers.Count} layers";
            }
            catch (OperationCanceledException)
            {
                message = "Cancelled.";
            }
            catch (OmniIdException exception)
            {
                message = exception.Message;
            }
        }

        private void OnDestroy()
        {
            conditioning?.Dispose();
            identity?.Dispose();
        }
    }
}
