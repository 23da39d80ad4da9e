/*
 * A HAND-WRITTEN STAND-IN for the parts of UnityEngine and UnityEditor that the package uses, so that its scripts can
 * be compiled and partly run where Unity cannot be installed. It shows that the scripts are valid C#, use names and
 * signatures as Unity's documentation gives them, and do what they should when called. It is not Unity: lifecycles,
 * serialization, threads and importers of the real editor are not reproduced.
 */
using System;
using System.Collections.Generic;

namespace AOT
{
    public sealed class MonoPInvokeCallbackAttribute : Attribute
    {
        public MonoPInvokeCallbackAttribute(Type type) { }
    }
}

namespace UnityEngine
{
    public class Object
    {
        public string name = "";
    }

    public class ScriptableObject : Object
    {
        public static T CreateInstance<T>() where T : ScriptableObject => Activator.CreateInstance<T>();
    }

    public class MonoBehaviour : Object
    {
        public readonly Dictionary<Type, object> Components = new Dictionary<Type, object>();

        public T GetComponent<T>() => (T)Components[typeof(T)];
    }

    public struct Color32
    {
        public byte r, g, b, a;

        public Color32(byte r, byte g, byte b, byte a)
        {
            this.r = r;
            this.g = g;
            this.b = b;
            this.a = a;
        }
    }

    public class Texture2D : Object
    {
        public int width, height;
        public bool isReadable = true;
        public Color32[] Pixels;

        public Color32[] GetPixels32() => Pixels;
    }

    public static class Application
    {
        public static string streamingAssetsPath = "";
    }

    public static class Debug
    {
        public static readonly List<string> Messages = new List<string>();

        public static void Log(object message) => Add("log: " + message);
        public static void LogWarning(object message) => Add("warning: " + message);
        public static void LogError(object message) => Add("error: " + message);

        private static void Add(string message)
        {
            lock (Messages)
                Messages.Add(message);
        }
    }

    public class GUILayoutOption { }

    public static class GUILayout
    {
        public static readonly List<string> Labels = new List<string>();
        public static string Pressed;

        public static float HorizontalSlider(float value, float left, float right, params GUILayoutOption[] options) =>
            value;
        public static void Label(string text, params GUILayoutOption[] options) => Labels.Add(text);
        public static bool Button(string text, params GUILayoutOption[] options) => text == Pressed;
        public static GUILayoutOption Width(float width) => null;
    }

    public sealed class SerializeField : Attribute { }
    public sealed class HideInInspector : Attribute { }

    public sealed class TooltipAttribute : Attribute
    {
        public TooltipAttribute(string text) { }
    }

    public sealed class RequireComponent : Attribute
    {
        public RequireComponent(Type type) { }
    }
}

namespace UnityEditor
{
    public sealed class InitializeOnLoadAttribute : Attribute { }

    public sealed class MenuItem : Attribute
    {
        public MenuItem(string name) { }
        public MenuItem(string name, bool validate) { }
    }

    public static class AssemblyReloadEvents
    {
        public delegate void AssemblyReloadCallback();

        public static event AssemblyReloadCallback beforeAssemblyReload;

        public static void Raise() => beforeAssemblyReload?.Invoke();
    }

    public static class EditorApplication
    {
        public static event Action quitting;

        public static void Raise() => quitting?.Invoke();
    }

    public static class EditorPrefs
    {
        private static readonly Dictionary<string, string> Values = new Dictionary<string, string>();

        public static string GetString(string key, string defaultValue) =>
            Values.TryGetValue(key, out string value) ? value : defaultValue;
        public static void SetString(string key, string value) => Values[key] = value;
    }

    public static class EditorUtility
    {
        public static string OpenFilePanel(string title, string directory, string extension) => "";
    }

    public static class Selection
    {
        public static string[] assetGUIDs = new string[0];
    }

    public static class AssetDatabase
    {
        public static readonly List<string> Imported = new List<string>();

        public static string GUIDToAssetPath(string guid) => guid;
        public static string GenerateUniqueAssetPath(string path) => path;

        public static void ImportAsset(string path)
        {
            lock (Imported)
                Imported.Add(path);
        }
    }

    public static class Progress
    {
        public enum Status { Running, Succeeded, Failed, Canceled, Paused }

        public static Status Last;
        public static Func<bool> CancelCallback;
        public static bool CancelAtOnce;

        public static int Start(string name, string description = null)
        {
            Last = Status.Running;
            return 1;
        }

        public static void Report(int id, float progress, string description) { }
        public static void Finish(int id, Status status = Status.Succeeded) => Last = status;

        public static void RegisterCancelCallback(int id, Func<bool> callback)
        {
            if (CancelAtOnce)
                callback();
        }
    }
}

namespace UnityEditor.AssetImporters
{
    public sealed class ScriptedImporterAttribute : Attribute
    {
        public ScriptedImporterAttribute(int version, string extension) { }
    }

    public abstract class ScriptedImporter : UnityEngine.Object
    {
        public abstract void OnImportAsset(AssetImportContext context);
    }

    public class AssetImportContext
    {
        public string assetPath;
        public UnityEngine.Object mainObject;
        public readonly List<string> Errors = new List<string>();

        public void AddObjectToAsset(string identifier, UnityEngine.Object obj) { }
        public void SetMainObject(UnityEngine.Object obj) => mainObject = obj;
        public void LogImportError(string message) => Errors.Add(message);
    }
}
