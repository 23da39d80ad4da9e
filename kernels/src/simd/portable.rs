//! Lanes in plain Rust, for processors without kernels of their own.

use super::lanes::Lanes;
use half::{bf16, f16};

/// Four lanes: the width of SSE and NEON, which the compiler finds by itself.
#[derive(Clone, Copy)]
pub(super) struct Portable;

const N: usize = 4;

#[inline(always)]
fn map2(a: [f32; N], b: [f32; N], f: impl Fn(f32, f32) -> f32) -> [f32; N] {
    [f(a[0], b[0]), f(a[1], b[1]), f(a[2], b[2]), f(a[3], b[3])]
}

/// Fused where that is an instruction of the target, else two roundings: a library call per lane is too slow.
#[inline(always)]
fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
        a.mul_add(b, c)
    } else {
        a * b + c
    }
}

impl Lanes for Portable {
    type V = [f32; N];
    const WIDTH: usize = N;
    const REGISTERS: usize = if cfg!(target_arch = "aarch64") { 32 } else { 16 };
    const DOT_BF16: bool = false;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        [x; N]
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self::V {
        // SAFETY: the caller vouches for the memory; an array of f32 is read without alignment.
        unsafe { p.cast::<Self::V>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: Self::V) {
        // SAFETY: the caller vouches for the memory.
        unsafe { p.cast::<Self::V>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn load_partial(p: *const f32, count: usize) -> Self::V {
        let mut v = [0.0; N];
        for (i, lane) in v.iter_mut().enumerate().take(count) {
            // SAFETY: `count` values are readable.
            *lane = unsafe { p.add(i).read_unaligned() };
        }
        v
    }
    #[inline(always)]
    unsafe fn store_partial(p: *mut f32, v: Self::V, count: usize) {
        for (i, lane) in v.iter().enumerate().take(count) {
            // SAFETY: `count` values are writable.
            unsafe { p.add(i).write_unaligned(*lane) };
        }
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        map2(a, b, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        map2(a, b, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        map2(a, b, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V {
        map2(a, b, |a, b| a / b)
    }
    #[inline(always)]
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        [
            multiply_add(a[0], b[0], c[0]),
            multiply_add(a[1], b[1], c[1]),
            multiply_add(a[2], b[2], c[2]),
            multiply_add(a[3], b[3], c[3]),
        ]
    }
    #[inline(always)]
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
        map2(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V {
        map2(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    unsafe fn round(x: Self::V) -> Self::V {
        // Adding and subtracting 1.5 * 2^23 leaves the nearest integer, ties to even.
        const MAGIC: f32 = 12_582_912.0;
        map2(x, x, |x, _| (x + MAGIC) - MAGIC)
    }
    #[inline(always)]
    unsafe fn scale_by_power(x: Self::V, n: Self::V) -> Self::V {
        map2(x, n, |x, n| x * f32::from_bits(((n as i32 + 127) as u32) << 23))
    }
    #[inline(always)]
    unsafe fn reduce_add(v: Self::V) -> f32 {
        (v[0] + v[2]) + (v[1] + v[3])
    }
    #[inline(always)]
    unsafe fn reduce_max(v: Self::V) -> f32 {
        v[0].max(v[1]).max(v[2].max(v[3]))
    }
    #[inline(always)]
    unsafe fn load_f16(p: *const u16) -> Self::V {
        // SAFETY: the caller vouches for the memory.
        let bits = unsafe { p.cast::<[u16; N]>().read_unaligned() };
        bits.map(|b| f16::from_bits(b).to_f32())
    }
    #[inline(always)]
    unsafe fn store_f16(p: *mut u16, v: Self::V) {
        // SAFETY: the caller vouches for the memory.
        unsafe {
            p.cast::<[u16; N]>()
                .write_unaligned(v.map(|x| f16::from_f32(x).to_bits()))
        }
    }
    #[inline(always)]
    unsafe fn load_bf16(p: *const u16) -> Self::V {
        // SAFETY: the caller vouches for the memory.
        let bits = unsafe { p.cast::<[u16; N]>().read_unaligned() };
        bits.map(|b| f32::from_bits(u32::from(b) << 16))
    }
    #[inline(always)]
    unsafe fn store_bf16(p: *mut u16, v: Self::V) {
        // SAFETY: the caller vouches for the memory.
        unsafe {
            p.cast::<[u16; N]>()
                .write_unaligned(v.map(|x| bf16::from_f32(x).to_bits()))
        }
    }
    #[inline(always)]
    unsafe fn split_bf16(p: *const u32) -> (Self::V, Self::V) {
        // SAFETY: the caller vouches for the memory.
        let words = unsafe { p.cast::<[u32; N]>().read_unaligned() };
        (
            words.map(|w| f32::from_bits(w << 16)),
            words.map(|w| f32::from_bits(w & 0xffff_0000)),
        )
    }
    #[inline(always)]
    unsafe fn store_bf16_pairs(p: *mut u32, low: Self::V, high: Self::V) {
        let bits = |x| u32::from(bf16::from_f32(x).to_bits());
        for i in 0..N {
            // SAFETY: the caller vouches for the memory.
            unsafe { p.add(i).write_unaligned(bits(low[i]) | bits(high[i]) << 16) };
        }
    }
    #[inline(always)]
    unsafe fn dot_bf16(acc: Self::V, _a: u32, _b: *const u32) -> Self::V {
        acc
    }
}
