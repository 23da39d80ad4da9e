#nullable enable
using System;
using System.Threading;
using OmniID.Native;

namespace OmniID
{
    /// <summary>The native library as a whole.</summary>
    public static class Library
    {
        static Library()
        {
            // The library outlives the domain (Unity reloads it after every compilation): it must not call back then.
            AppDomain.CurrentDomain.DomainUnload += (sender, arguments) => Shutdown(Timeout.InfiniteTimeSpan);
            // At the end of the program running calls are left alone: to cancel them would throw on their threads.
            AppDomain.CurrentDomain.ProcessExit += (sender, arguments) => Log.Remove();
        }

        /// <summary>The release of the loaded library, such as <c>0.2.0</c>.</summary>
        public static unsafe string Version => NativeText.Read(NativeMethods.omniid_version());

        /// <summary>The ABI version of the loaded library.</summary>
        public static Version AbiVersion
        {
            get
            {
                uint version = NativeMethods.omniid_abi_version();
                return new Version((int)(version >> 16), (int)(version & 0xffff));
            }
        }

        /// <summary>
        /// Throws unless the loaded library has the ABI that this assembly was made for. Every call that hands out
        /// objects checks this by itself.
        /// </summary>
        /// <exception cref="OmniIdAbiMismatchException">The library has another ABI.</exception>
        /// <exception cref="DllNotFoundException">The native library is not where the system looks for it.</exception>
        public static void CheckVersion()
        {
            if (NativeMethods.omniid_abi_version() >> 16 != HeaderVersion.AbiMajor)
            {
                throw new OmniIdAbiMismatchException(
                    $"The native library OmniID {Version} has ABI {AbiVersion}; this assembly needs ABI "
                    + $"{HeaderVersion.AbiMajor}.x.");
            }
        }

        /// <summary>
        /// Ends everything through which the library could call into this program: cancels the running long calls,
        /// waits for them and removes the log listener. Afterwards long calls throw
        /// <see cref="InvalidOperationException"/> until the program or, in an editor, its domain starts again. May be
        /// called from any thread that is not inside a callback.
        /// </summary>
        /// <param name="timeout">
        /// How long to wait at most; <see cref="Timeout.InfiniteTimeSpan"/> for no limit. The library notices the
        /// cancellation between two batches of photos.
        /// </param>
        /// <returns>True if no call is running any more.</returns>
        public static bool Shutdown(TimeSpan timeout)
        {
            LongCall.CancelAll();
            bool ended = LongCall.WaitForAll(timeout);
            Log.Remove();
            return ended;
        }
    }
}
