#nullable enable
using System;
using UnityEngine;

namespace OmniID.Unity
{
    /// <summary>An identity as an asset: the bytes of an <c>.omniid</c> file, and what is known about it.</summary>
    public sealed class IdentityAsset : ScriptableObject
    {
        [SerializeField, HideInInspector] private byte[] bytes = Array.Empty<byte>();
        [SerializeField] private string label = "";
        [SerializeField] private string consent = "";
        [SerializeField] private string model = "";
        [SerializeField] private int tokens;
        [SerializeField] private int tokenWidth;
        [SerializeField] private int photos;

        /// <summary>A name to show; may be empty.</summary>
        public string Label => label;

        /// <summary>What the person agreed to; may be empty.</summary>
        public string Consent => consent;

        /// <summary>Fingerprint of the model that made it.</summary>
        public string Model => model;

        /// <summary>Number of tokens.</summary>
        public int Tokens => tokens;

        /// <summary>Width of a token.</summary>
        public int TokenWidth => tokenWidth;

        /// <summary>Photos that went in.</summary>
        public int Photos => photos;

        /// <summary>Makes an asset of the bytes of an <c>.omniid</c> file.</summary>
        /// <exception cref="OmniIdException">The bytes are not an identity.</exception>
        public static IdentityAsset Create(byte[] bytes)
        {
            using (Identity identity = Identity.FromBytes(bytes))
            {
                var asset = CreateInstance<IdentityAsset>();
                asset.bytes = bytes;
                asset.label = identity.Info.Label;
                asset.consent = identity.Info.Consent;
                asset.model = identity.Info.Model;
                asset.tokens = identity.Info.Tokens;
                asset.tokenWidth = identity.Info.TokenWidth;
                asset.photos = identity.Info.Photos;
                return asset;
            }
        }

        /// <summary>The identity itself; dispose of it when done.</summary>
        public Identity Load()
        {
            return Identity.FromBytes(bytes);
        }
    }
}
