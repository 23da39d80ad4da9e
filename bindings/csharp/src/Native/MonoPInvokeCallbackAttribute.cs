#if !UNITY_5_3_OR_NEWER
using System;

namespace OmniID.Native
{
    /// <summary>
    /// Marks a static method that native code calls. Ahead-of-time compilers (IL2CPP, Mono AOT) make the entry point for
    /// native code from it, which they cannot make while the program runs. They know it by its name; Unity has its own,
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
