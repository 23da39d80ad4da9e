// Element types of tensors, and the conversions from and to f32.
//
// No header of the toolkit is included: NVRTC finds none on a machine that has only the driver and the NVRTC
// library. The conversions are therefore written out. All of them round to nearest, ties to even, and keep
// infinities and NaN.

// The numbers are those of `number` in compile.rs.
#define ELEMENT_F32 0
#define ELEMENT_F16 1
#define ELEMENT_BF16 2

template <int element>
struct Element;

template <>
struct Element<ELEMENT_F32> {
    typedef float Stored;
    static __device__ __forceinline__ float load(float value) { return value; }
    static __device__ __forceinline__ float store(float value) { return value; }
};

template <>
struct Element<ELEMENT_F16> {
    typedef unsigned short Stored;
    static __device__ __forceinline__ float load(unsigned short bits) {
        float value;
        asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
        return value;
    }
    static __device__ __forceinline__ unsigned short store(float value) {
        unsigned short bits;
        asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
        return bits;
    }
};

template <>
struct Element<ELEMENT_BF16> {
    typedef unsigned short Stored;
    static __device__ __forceinline__ float load(unsigned short bits) {
        return __uint_as_float(static_cast<unsigned int>(bits) << 16);
    }
    static __device__ __forceinline__ unsigned short store(float value) {
        unsigned int bits = __float_as_uint(value);
        if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<unsigned short>((bits >> 16) | 0x40u);
        bits += 0x7fffu + ((bits >> 16) & 1u);
        return static_cast<unsigned short>(bits >> 16);
    }
};
