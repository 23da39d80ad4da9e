#nullable enable
using System;
using System.Collections.Generic;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using System.Threading;
#if UNITY_5_3_OR_NEWER
using AOT;
#endif

namespace OmniID.Native
{
    /// <summary>
    /// One long call: passes progress on and cancels. Nothing is ever thrown through the library: an exception from the
    /// progress listener cancels the call and is thrown again when the call has returned.
    /// </summary>
    internal sealed unsafe class LongCall : IDisposable
    {
        // The delegate is held here, so that the collector never takes it while the library may call it.
        private static readonly ProgressFn Callback = OnProgress;
        private static readonly IntPtr CallbackPointer = Marshal.GetFunctionPointerForDelegate(Callback);
        private static readonly HashSet<LongCall> Running = new HashSet<LongCall>();
        private static bool closed;

        private readonly IProgress<EncodeProgress>? progress;
        private readonly CancellationToken cancellation;
        private GCHandle self;
        private volatile bool stop;
        private ExceptionDispatchInfo? failure;

        /// <summary>Throws if the token is cancelled already or the library was shut down.</summary>
        public LongCall(IProgress<EncodeProgress>? progress, CancellationToken cancellation)
        {
            cancellation.ThrowIfCancellationRequested();
            this.progress = progress;
            this.cancellation = cancellation;
            lock (Running)
            {
                if (closed)
                    throw new InvalidOperationException(
                        "OmniID was shut down with Library.Shutdown; no new calls are accepted.");
                Running.Add(this);
            }
            self = GCHandle.Alloc(this);
        }

        /// <summary>The function to hand to the library.</summary>
        public IntPtr Function => CallbackPointer;

        /// <summary>The value to hand to the library beside the function.</summary>
        public void* UserData => (void*)GCHandle.ToIntPtr(self);

        /// <summary>Turns the status of the call into what its caller should see.</summary>
        public void Finish(int status)
        {
            if (status == (int)Status.Ok)
                return;
            failure?.Throw();
            if (status == (int)Status.Cancelled)
                throw new OperationCanceledException(OmniIdException.LastMessage(status), cancellation);
            OmniIdException.Check(status);
        }

        public void Dispose()
        {
            self.Free();
            lock (Running)
            {
                Running.Remove(this);
                Monitor.PulseAll(Running);
            }
        }

        /// <summary>Asks all running calls to stop, and accepts no new ones.</summary>
        public static void CancelAll()
        {
            lock (Running)
            {
                closed = true;
                foreach (LongCall call in Running)
                    call.stop = true;
            }
        }

        /// <summary>Waits until no call is running. False if some still were when the time was over.</summary>
        public static bool WaitForAll(TimeSpan timeout)
        {
            var clock = System.Diagnostics.Stopwatch.StartNew();
            lock (Running)
            {
                while (Running.Count > 0)
                {
                    if (timeout == Timeout.InfiniteTimeSpan)
                        Monitor.Wait(Running);
                    else if (clock.Elapsed >= timeout || !Monitor.Wait(Running, timeout - clock.Elapsed))
                        return Running.Count == 0;
                }
            }
            return true;
        }

        [MonoPInvokeCallback(typeof(ProgressFn))]
        private static int OnProgress(void* userData, int stage, ulong done, ulong total)
        {
            LongCall? call = null;
            try
            {
                call = (LongCall)GCHandle.FromIntPtr((IntPtr)userData).Target!;
                if (call.stop || call.cancellation.IsCancellationRequested)
                    return 1;
                call.progress?.Report(new EncodeProgress((Stage)stage, (long)done, (long)total));
                return call.stop || call.cancellation.IsCancellationRequested ? 1 : 0;
            }
            catch (Exception exception)
            {
                if (call != null)
                    call.failure = ExceptionDispatchInfo.Capture(exception);
                return 1;
            }
        }
    }
}
