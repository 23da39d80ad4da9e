#nullable enable
using System;
using System.Buffers;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using System.Text;

namespace OmniID.Native
{
    /// <summary>
    /// Managed memory and handles that a call lends to the library: held in place until the call has returned.
    /// </summary>
    internal sealed unsafe class Pins : IDisposable
    {
        private readonly List<GCHandle> arrays = new List<GCHandle>();
        private readonly List<MemoryHandle> memories = new List<MemoryHandle>();
        private readonly List<Lease> leases = new List<Lease>();

        /// <summary>A string as NUL-terminated UTF-8; NULL for null.</summary>
        public byte* Text(string? text, string name)
        {
            if (text == null)
                return null;
            if (text.IndexOf('\0') >= 0)
                throw new ArgumentException("The string contains the character U+0000, at which it would end.", name);
            byte[] bytes = new byte[Encoding.UTF8.GetByteCount(text) + 1];
            Encoding.UTF8.GetBytes(text, 0, text.Length, bytes, 0);
            return (byte*)Array(bytes);
        }

        /// <summary>The address of an array's first element; NULL for null and for an empty array.</summary>
        public void* Array<T>(T[]? array) where T : struct
        {
            if (array == null || array.Length == 0)
                return null;
            GCHandle pin = GCHandle.Alloc(array, GCHandleType.Pinned);
            arrays.Add(pin);
            return (void*)pin.AddrOfPinnedObject();
        }

        /// <summary>The address of memory; NULL if it is empty.</summary>
        public void* Memory<T>(ReadOnlyMemory<T> memory) where T : struct
        {
            if (memory.IsEmpty)
                return null;
            MemoryHandle pin = memory.Pin();
            memories.Add(pin);
            return pin.Pointer;
        }

        /// <summary>The pointer of a handle, which stays alive meanwhile.</summary>
        public IntPtr Handle(NativeHandle handle, string owner)
        {
            Lease lease = handle.Use(owner);
            leases.Add(lease);
            return lease.Pointer;
        }

        public void Dispose()
        {
            foreach (GCHandle pin in arrays)
                pin.Free();
            foreach (MemoryHandle pin in memories)
                pin.Dispose();
            foreach (Lease lease in leases)
                lease.Dispose();
            arrays.Clear();
            memories.Clear();
            leases.Clear();
        }
    }
}
