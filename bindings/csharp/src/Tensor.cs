#nullable enable
using System;
using System.Runtime.InteropServices;
using OmniID.Native;

namespace OmniID
{
    /// <summary>A number type of tensors.</summary>
    public enum ElementType
    {
        /// <summary>32-bit floating point.</summary>
        F32,
        /// <summary>IEEE half precision.</summary>
        F16,
        /// <summary>bfloat16: the upper half of a 32-bit floating-point number.</summary>
        BF16,
    }

    /// <summary>
    /// A tensor in memory of the caller: up to four dimensions, on the CPU or a GPU. The memory must stay in place and
    /// alive while calls use it.
    /// </summary>
    public unsafe struct TensorView
    {
        /// <summary>Most dimensions of a tensor.</summary>
        public const int MaxDimensions = 4;

        private IntPtr data;
        private ElementType type;
        private DeviceType device;
        private int deviceId;
        private int dimensions;
        private bool hasStrides;
        private ulong byteOffset;
        private fixed long shape[MaxDimensions];
        private fixed long strides[MaxDimensions];

        /// <summary>Describes a tensor.</summary>
        /// <param name="data">Start of the memory, on the device.</param>
        /// <param name="type">The number type.</param>
        /// <param name="shape">Sizes, one to four of them.</param>
        /// <param name="strides">
        /// Distance between neighbours in each dimension, in numbers; empty for row-major without gaps.
        /// </param>
        /// <param name="device">Where the memory is.</param>
        /// <param name="deviceId">Ordinal of the GPU.</param>
        /// <param name="byteOffset">Where the first number is, in bytes from data.</param>
        public static TensorView Create(IntPtr data, ElementType type, ReadOnlySpan<long> shape,
            ReadOnlySpan<long> strides = default, DeviceType device = DeviceType.Cpu, int deviceId = 0,
            long byteOffset = 0)
        {
            if (shape.Length < 1 || shape.Length > MaxDimensions)
                throw new ArgumentException($"A tensor has 1 to {MaxDimensions} dimensions, not {shape.Length}.",
                    nameof(shape));
            if (strides.Length != 0 && strides.Length != shape.Length)
                throw new ArgumentException($"{shape.Length} dimensions, but {strides.Length} strides.",
                    nameof(strides));
            if (type < ElementType.F32 || type > ElementType.BF16)
                throw new ArgumentOutOfRangeException(nameof(type), type, "Not a number type.");
            TensorView view = default;
            view.data = data;
            view.type = type;
            view.device = device;
            view.deviceId = deviceId;
            view.dimensions = shape.Length;
            view.hasStrides = strides.Length != 0;
            view.byteOffset = (ulong)NativeText.Size(byteOffset, nameof(byteOffset));
            for (int i = 0; i < shape.Length; i++)
            {
                view.shape[i] = shape[i];
                if (view.hasStrides)
                    view.strides[i] = strides[i];
            }
            return view;
        }

        /// <summary>f32 on the CPU, row-major without gaps.</summary>
        internal static TensorView Contiguous(IntPtr data, int dimensions, long size0, long size1, long size2 = 0,
            long size3 = 0)
        {
            TensorView view = default;
            view.data = data;
            view.device = DeviceType.Cpu;
            view.dimensions = dimensions;
            view.shape[0] = size0;
            view.shape[1] = size1;
            view.shape[2] = size2;
            view.shape[3] = size3;
            return view;
        }

        /// <summary>
        /// The library's form. It points into <paramref name="view"/>, which must be a local variable of the caller.
        /// </summary>
        internal static NativeTensor ToNative(TensorView* view)
        {
            NativeTensor native = default;
            native.Data = (void*)view->data;
            native.Device.DeviceType = (int)view->device;
            native.Device.DeviceId = view->deviceId;
            native.Ndim = view->dimensions;
            native.Dtype.Code = (byte)(view->type == ElementType.BF16 ? TypeCode.Bfloat : TypeCode.Float);
            native.Dtype.Bits = (byte)(view->type == ElementType.F32 ? 32 : 16);
            native.Dtype.Lanes = 1;
            native.Shape = view->shape;
            native.Strides = view->hasStrides ? view->strides : null;
            native.ByteOffset = view->byteOffset;
            return native;
        }
    }

    /// <summary>
    /// A tensor that the library has handed out: read-only, and independent of the object it came from. Dispose of it,
    /// or leave it to the garbage collector.
    /// </summary>
    public sealed unsafe class OwnedTensor : IDisposable
    {
        private readonly TensorHandle handle;
        private readonly long[] shape;

        internal OwnedTensor(NativeManagedTensor* tensor)
        {
            handle = new TensorHandle(tensor);
            NativeTensor view = tensor->DlTensor;
            shape = new long[view.Ndim];
            long expected = 1;
            IsContiguous = true;
            for (int i = shape.Length - 1; i >= 0; i--)
            {
                shape[i] = view.Shape[i];
                IsContiguous &= view.Strides == null || view.Strides[i] == expected || shape[i] == 1;
                expected *= shape[i];
            }
            Count = expected;
            ElementType half = view.Dtype.Code == (byte)TypeCode.Bfloat ? ElementType.BF16 : ElementType.F16;
            Type = view.Dtype.Bits == 32 ? ElementType.F32 : half;
            Device = (DeviceType)view.Device.DeviceType;
            DeviceId = view.Device.DeviceId;
        }

        /// <summary>Sizes of the dimensions.</summary>
        public ReadOnlySpan<long> Shape => shape;

        /// <summary>How many numbers it holds.</summary>
        public long Count { get; }

        /// <summary>Its number type.</summary>
        public ElementType Type { get; }

        /// <summary>Where it is.</summary>
        public DeviceType Device { get; }

        /// <summary>Ordinal of the GPU; 0 on the CPU.</summary>
        public int DeviceId { get; }

        /// <summary>True if the numbers lie in row-major order without gaps.</summary>
        public bool IsContiguous { get; }

        /// <summary>
        /// Address of the first number, on the device. Valid until the tensor is disposed of or collected: keep a
        /// reference, as a <c>using</c> block does.
        /// </summary>
        public IntPtr Pointer
        {
            get
            {
                using (Lease lease = handle.Use(nameof(OwnedTensor)))
                {
                    NativeTensor* tensor = &((NativeManagedTensor*)lease.Pointer)->DlTensor;
                    return (IntPtr)((byte*)tensor->Data + tensor->ByteOffset);
                }
            }
        }

        /// <summary>
        /// The tensor as DLPack's <c>DLManagedTensorVersioned</c>, for libraries that take one by address. It still
        /// belongs to this object: its deleter must not be called.
        /// </summary>
        public IntPtr ManagedTensor
        {
            get
            {
                using (Lease lease = handle.Use(nameof(OwnedTensor)))
                    return lease.Pointer;
            }
        }

        /// <summary>
        /// The numbers without a copy: f32 in row-major order on the CPU. Valid until the tensor is disposed of or
        /// collected: keep a reference, as a <c>using</c> block does.
        /// </summary>
        /// <exception cref="InvalidOperationException">The tensor is not of that kind.</exception>
        public ReadOnlySpan<float> AsSpan()
        {
            if (Type != ElementType.F32 || Device != DeviceType.Cpu || !IsContiguous)
            {
                throw new InvalidOperationException(
                    "Only f32 tensors in row-major order on the CPU can be seen as a span; this one is "
                    + $"{Type} on {Device}{(IsContiguous ? "" : ", with gaps")}. Use Pointer.");
            }
            return new ReadOnlySpan<float>((void*)Pointer, NativeText.Count((ulong)Count));
        }

        /// <summary>A copy of the numbers; see <see cref="AsSpan"/>.</summary>
        public float[] ToArray()
        {
            float[] copy = AsSpan().ToArray();
            GC.KeepAlive(this);
            return copy;
        }

        /// <summary>Frees the tensor.</summary>
        public void Dispose()
        {
            handle.Dispose();
        }

        /// <summary>Takes over what a call has handed out; null for NULL.</summary>
        internal static OwnedTensor? Take(NativeManagedTensor* tensor)
        {
            return tensor == null ? null : new OwnedTensor(tensor);
        }
    }
}
