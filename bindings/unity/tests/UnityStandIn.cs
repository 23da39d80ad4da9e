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

    public class Texture : Object { }

    public class Texture2D : Texture
    {
        public int width, height;
        public bool isReadable = true;
        public Color32[] Pixels;

        public Texture2D() { }

        public Texture2D(int width, int height)
        {
            this.width = width;
            this.height = height;
        }

        public Color32[] GetPixels32() => Pixels;
        public void SetPixels32(Color32[] colors) => Pixels = colors;
        public void Apply() { }
    }

    public class TextAsset : Object
    {
        public byte[] bytes;
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
        public static void LogException(Exception exception) => Add("error: " + exception);

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
        public static void Label(Texture image, params GUILayoutOption[] options) { }
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

// Names and signatures of com.unity.ai.inference 2.4.0. The worker keeps its inputs and computes nothing.
namespace Unity.InferenceEngine
{
    public enum BackendType
    {
        CPU,
        GPUCompute,
        GPUPixel,
    }

    public sealed class Model { }

    public class ModelAsset : UnityEngine.ScriptableObject { }

    public static class ModelLoader
    {
        public static Model Load(ModelAsset modelAsset) => new Model();
    }

    public struct TensorShape : IEquatable<TensorShape>
    {
        private readonly int[] dimensions;

        public TensorShape(int d0) : this(new ReadOnlySpan<int>(new[] { d0 })) { }
        public TensorShape(int d0, int d1) : this(new ReadOnlySpan<int>(new[] { d0, d1 })) { }
        public TensorShape(int d0, int d1, int d2, int d3) : this(new ReadOnlySpan<int>(new[] { d0, d1, d2, d3 })) { }

        public TensorShape(ReadOnlySpan<int> shape)
        {
            dimensions = shape.ToArray();
        }

        public int length
        {
            get
            {
                int product = 1;
                foreach (int dimension in dimensions)
                    product *= dimension;
                return product;
            }
        }

        public bool Equals(TensorShape other) => ToString() == other.ToString();
        public override bool Equals(object obj) => obj is TensorShape && Equals((TensorShape)obj);
        public override int GetHashCode() => ToString().GetHashCode();
        public override string ToString() => "(" + string.Join(", ", dimensions) + ")";
        public static bool operator ==(TensorShape a, TensorShape b) => a.Equals(b);
        public static bool operator !=(TensorShape a, TensorShape b) => !a.Equals(b);
    }

    public abstract class Tensor : IDisposable
    {
        public static int Alive;
        public TensorShape shape { get; protected set; }

        protected Tensor() => Alive++;

        public void Dispose() => Alive--;
    }

    public class Tensor<T> : Tensor where T : struct
    {
        private readonly T[] data;

        public Tensor(TensorShape shape, T[] srcData, int dataStartIndex = 0)
        {
            this.shape = shape;
            data = new T[shape.length];
            Array.Copy(srcData, dataStartIndex, data, 0, data.Length);
        }

        public void Upload(T[] srcData)
        {
            if (srcData.Length != data.Length)
                throw new ArgumentException("another length than the tensor's");
            srcData.CopyTo(data, 0);
        }

        public T[] DownloadToArray() => (T[])data.Clone();
    }

    public class Worker : IDisposable
    {
        /// <summary>Of the latest worker: what the last run had as inputs.</summary>
        public static readonly Dictionary<string, Tensor> LastInputs = new Dictionary<string, Tensor>();

        /// <summary>What a run gives, from its inputs.</summary>
        public static Func<Dictionary<string, Tensor>, Tensor> Output;

        private readonly Dictionary<string, Tensor> inputs = new Dictionary<string, Tensor>();
        private Tensor output;

        public Worker(Model model, BackendType backendType) { }

        public void SetInput(string name, Tensor input) => inputs[name] = input;

        public void Schedule()
        {
            output?.Dispose();
            output = Output(inputs);
            LastInputs.Clear();
            foreach (var input in inputs)
                LastInputs[input.Key] = input.Value;
        }

        public Tensor PeekOutput(string name) => output;

        public void Dispose() => output?.Dispose();
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
