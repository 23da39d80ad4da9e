using System;
using System.Linq;
using UnityEngine;

namespace OmniID.Unity.Samples
{
    /// <summary>
    /// Put it on an object of a scene, give it photos of one person (textures with Read/Write on) and, in StreamingAssets,
    /// a model. The scene goes on while the photos are encoded.
    /// </summary>
    [RequireComponent(typeof(IdentityEncoder))]
    public sealed class EncodeInBackground : MonoBehaviour
    {
        [SerializeField] private Texture2D[] photos = new Texture2D[0];

        private IdentityEncoder encoder;
        private Identity identity;
        private Conditioning conditioning;
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
                Identity encoded = await encoder.EncodeAsync(photos.Select(TexturePhotos.ToPhoto).ToArray());
                Engine engine = await encoder.OpenAsync();
                identity?.Dispose();
                identity = encoded;
                message = $"{identity.Info.Tokens} tokens of {identity.Info.TokenWidth} numbers from {identity.Info.Photos} photos";
                if (!engine.Info.HasAdapter)
                    return;
                // Keys and values, once; a renderer then calls conditioning.Inject in each attention layer at each step.
                conditioning?.Dispose();
                conditioning = await engine.ConditionAsync(new[] { new ConditionInput(identity) });
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
