#nullable enable
using System;
using System.Runtime.InteropServices;

namespace OmniID.Native
{
    /// <summary>
    /// Owns one handle of the library. The runtime frees it when nothing refers to it any more; a call in progress
    /// keeps it alive, also when another thread disposes of it meanwhile.
    /// </summary>
    internal abstract class NativeHandle : SafeHandle
    {
        // A SafeHandle counts as closed only when its last user is done; threads that take turns would keep it open.
        private volatile bool disposed;

        protected NativeHandle(IntPtr pointer) : base(IntPtr.Zero, true)
        {
            SetHandle(pointer);
        }

        public override bool IsInvalid => handle == IntPtr.Zero;

        /// <summary>Keeps the handle alive until the lease is disposed of. Throws if it was freed before.</summary>
        /// <param name="owner">Name of the public type, for the message.</param>
        public Lease Use(string owner)
        {
            if (disposed || IsClosed)
                throw new ObjectDisposedException(owner);
            bool added = false;
            DangerousAddRef(ref added);
            return new Lease(this, handle);
        }

        protected override void Dispose(bool disposing)
        {
            disposed = true;
            base.Dispose(disposing);
        }
    }

    /// <summary>A handle that cannot be freed as long as the lease is held.</summary>
    internal struct Lease : IDisposable
    {
        private NativeHandle? owner;

        internal Lease(NativeHandle owner, IntPtr pointer)
        {
            this.owner = owner;
            Pointer = pointer;
        }

        public IntPtr Pointer { get; }

        public void Dispose()
        {
            owner?.DangerousRelease();
            owner = null;
        }
    }

    internal sealed class EngineHandle : NativeHandle
    {
        public EngineHandle(IntPtr pointer) : base(pointer) { }

        protected override bool ReleaseHandle()
        {
            NativeMethods.omniid_engine_free(handle);
            return true;
        }
    }

    internal sealed class IdentityHandle : NativeHandle
    {
        public IdentityHandle(IntPtr pointer) : base(pointer) { }

        protected override bool ReleaseHandle()
        {
            NativeMethods.omniid_identity_free(handle);
            return true;
        }
    }

    internal sealed class ConditioningHandle : NativeHandle
    {
        public ConditioningHandle(IntPtr pointer) : base(pointer) { }

        protected override bool ReleaseHandle()
        {
            NativeMethods.omniid_conditioning_free(handle);
            return true;
        }
    }

    internal sealed class GraphHandle : NativeHandle
    {
        public GraphHandle(IntPtr pointer) : base(pointer) { }

        protected override bool ReleaseHandle()
        {
            NativeMethods.omniid_graph_free(handle);
            return true;
        }
    }

    internal sealed unsafe class TensorHandle : NativeHandle
    {
        public TensorHandle(NativeManagedTensor* tensor) : base((IntPtr)tensor) { }

        protected override bool ReleaseHandle()
        {
            NativeMethods.omniid_managed_tensor_free((NativeManagedTensor*)handle);
            return true;
        }
    }
}
