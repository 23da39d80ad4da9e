#nullable enable
using System;
using System.Runtime.InteropServices;
using OmniID.Native;
#if UNITY_5_3_OR_NEWER
using AOT;
#endif

namespace OmniID
{
    /// <summary>Log messages of the library. It is silent unless a listener is set.</summary>
    public static unsafe class Log
    {
        /// <summary>Receives log messages, on whatever thread they arise, possibly several at once.</summary>
        /// <param name="level">How serious it is.</param>
        /// <param name="target">The part of the library.</param>
        /// <param name="message">The message.</param>
        public delegate void Listener(LogLevel level, string target, string message);

        private static readonly LogFn Callback = OnMessage;
        private static readonly IntPtr CallbackPointer = Marshal.GetFunctionPointerForDelegate(Callback);
        private static volatile Listener? listener;
        private static volatile Exception? lastException;

        /// <summary>
        /// The last exception that a listener threw; null if none did. There is no caller to throw it to, and it must
        /// not pass through the library.
        /// </summary>
        public static Exception? LastException => lastException;

        /// <summary>Sets the listener of this process; it replaces the previous one.</summary>
        /// <param name="newListener">The listener.</param>
        /// <param name="maxLevel">The most detailed level wanted.</param>
        /// <exception cref="OmniIdInvalidArgumentException">
        /// It was called from inside a listener, or the level is unknown.
        /// </exception>
        public static void Set(Listener newListener, LogLevel maxLevel)
        {
            if (newListener == null)
                throw new ArgumentNullException(nameof(newListener));
            Library.CheckVersion();
            Listener? before = listener;
            listener = newListener;
            int status = NativeMethods.omniid_log_set((IntPtr)CallbackPointer, null, (int)maxLevel);
            if (status != (int)Status.Ok)
                listener = before;
            OmniIdException.Check(status);
        }

        /// <summary>Removes the listener. It is no longer called when this returns.</summary>
        /// <exception cref="OmniIdInvalidArgumentException">It was called from inside a listener.</exception>
        public static void Remove()
        {
            if (listener == null)
                return;
            OmniIdException.Check(NativeMethods.omniid_log_set(IntPtr.Zero, null, 0));
            listener = null;
        }

        [MonoPInvokeCallback(typeof(LogFn))]
        private static void OnMessage(void* userData, int level, byte* target, byte* message)
        {
            try
            {
                listener?.Invoke((LogLevel)level, NativeText.Read(target), NativeText.Read(message));
            }
            catch (Exception exception)
            {
                lastException = exception;
            }
        }
    }
}
