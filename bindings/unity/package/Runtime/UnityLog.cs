#nullable enable
using UnityEngine;

namespace OmniID.Unity
{
    /// <summary>Passes the library's log messages to Unity's console.</summary>
    public static class UnityLog
    {
        /// <summary>Installs the listener, which is removed when the domain is reloaded.</summary>
        /// <param name="maxLevel">The most detailed level wanted.</param>
        public static void Install(LogLevel maxLevel = LogLevel.Warn)
        {
            Log.Set(Write, maxLevel);
        }

        private static void Write(LogLevel level, string target, string message)
        {
            // Unity's console may be written to from any thread.
            string text = $"[{target}] {message}";
            if (level == LogLevel.Error)
                Debug.LogError(text);
            else if (level == LogLevel.Warn)
                Debug.LogWarning(text);
            else
                Debug.Log(text);
        }
    }
}
