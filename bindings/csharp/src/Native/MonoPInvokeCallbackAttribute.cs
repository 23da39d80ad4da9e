#nullable enable
#if !UNITY_5_3_OR_NEWER
using System;

namespace OmniID.Native
{
    /// <summary>
    /// Marks a static method that native code calls. Ahead-of-time compilers (IL2CPP, Mono AOT) make an entry point for
    /// it, which they cannot make while the program runs. They know the attribute by its name; Unity has its own,
    /// AOT.MonoPInvokeCallbackAttribute.
    /// </summary>
    [AttributeUsage(AttributeTargets.Method)]
    internal sealed class MonoPInvokeCallbackAttribute : Attribute
    {
        public MonoPInvokeCallbackAttribute(Type type)
        {
            Type = type;
        }

        /// <summary>The delegate type.</summary>
        public Type Type { get; }
    }
}
#endif
