// Copies a tensor of up to four dimensions between two layouts, and converts its elements on the way.
//
// Appended to element.cuh and compiled once per pair of element types, with the macros SOURCE_ELEMENT and
// TARGET_ELEMENT. One thread per element, blocks of 256; the last dimension varies fastest. Equal types are copied
// without a detour through f32, so that a NaN keeps its payload.

// Strides count elements. Same layout as `CopyGeometry` in transfer.rs.
struct CopyGeometry {
    long long shape[4];
    long long source[4];
    long long target[4];
    long long count;
};

extern "C" __global__ void omniid_copy(const Element<SOURCE_ELEMENT>::Stored *source,
                                       Element<TARGET_ELEMENT>::Stored *target,
                                       const __grid_constant__ CopyGeometry geometry) {
    const long long index = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= geometry.count) return;
    long long rest = index, from = 0, to = 0;
#pragma unroll
    for (int dim = 3; dim >= 0; --dim) {
        const long long place = rest % geometry.shape[dim];
        rest /= geometry.shape[dim];
        from += place * geometry.source[dim];
        to += place * geometry.target[dim];
    }
#if SOURCE_ELEMENT == TARGET_ELEMENT
    target[to] = source[from];
#else
    target[to] = Element<TARGET_ELEMENT>::store(Element<SOURCE_ELEMENT>::load(source[from]));
#endif
}
