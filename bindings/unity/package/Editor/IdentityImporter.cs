#nullable enable
using System;
using System.IO;
using UnityEditor.AssetImporters;

namespace OmniID.Unity.Editor
{
    /// <summary>Imports <c>.omniid</c> files as <see cref="IdentityAsset"/>.</summary>
    [ScriptedImporter(1, "omniid")]
    public sealed class IdentityImporter : ScriptedImporter
    {
        /// <summary>Called by Unity.</summary>
        public override void OnImportAsset(AssetImportContext context)
        {
            try
            {
                IdentityAsset asset = IdentityAsset.Create(File.ReadAllBytes(context.assetPath));
                asset.name = Path.GetFileNameWithoutExtension(context.assetPath);
                context.AddObjectToAsset("identity", asset);
                context.SetMainObject(asset);
            }
            catch (Exception exception)
                when (exception is OmniIdException || exception is IOException || exception is ArgumentException)
            {
                context.LogImportError($"{context.assetPath}: {exception.Message}");
            }
        }
    }
}
