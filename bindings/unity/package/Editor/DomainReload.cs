#nullable enable
using System;
using UnityEditor;
using UnityEngine;

namespace OmniID.Unity.Editor
{
    /// <summary>
    /// Ends everything through which the native library could call into this domain before the domain is unloaded. The
    /// library itself stays loaded as long as the editor runs.
    /// </summary>
    [InitializeOnLoad]
    internal static class DomainReload
    {
        private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

        static DomainReload()
        {
            AssemblyReloadEvents.beforeAssemblyReload += End;
            EditorApplication.quitting += End;
        }

        private static void End()
        {
            if (Library.Shutdown(Patience))
                return;
            // A batch of photos takes longer. Going on would let the library call into code that is gone.
            Debug.LogWarning("OmniID: waiting for a running call to end before the domain is reloaded.");
            Library.Shutdown(System.Threading.Timeout.InfiniteTimeSpan);
        }
    }
}
