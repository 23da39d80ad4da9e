//! Lanes for NEON, the vector instructions that every 64-bit ARM processor has, and for its later extensions.
//!
//! Instructions whose intrinsics are not stable in the Rust version this crate promises (half precision, bf16) are
//! written as assembly of one instruction, which names its extension to the assembler: a function of the kernel that is
//! not inlined lacks what the function around the kernel enables.
//!
//! Source: Arm Architecture Reference Manual for A-profile (DDI 0487), chapter C7.

use super::lanes::{Kernel, Lanes};
use std::arch::aarch64::*;
use std::arch::asm;

/// Runs a kernel with NEON lanes.
///
/// # Safety
/// The processor has NEON; what the kernel asks holds.
#[target_feature(enable = "neon")]
pub(super) unsafe fn neon<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: see above.
    unsafe { kernel.run::<Neon<BASE>>() }
}

/// Runs a kernel with NEON lanes and the dot product of bytes.
///
/// # Safety
/// The processor has NEON and the dot product (FEAT_DotProd); what the kernel asks holds.
#[target_feature(enable = "neon,dotprod")]
pub(super) unsafe fn neon_dot<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: see above.
    unsafe { kernel.run::<Neon<DOT>>() }
}

/// Runs a kernel with NEON lanes, bf16 arithmetic and the matrix products of bytes.
///
/// # Safety
/// The processor has bf16 (FEAT_BF16), matrix products of bytes (FEAT_I8MM) and what [`neon_dot`] needs; what the
/// kernel asks holds.
#[target_feature(enable = "neon,dotprod,bf16,i8mm")]
pub(super) unsafe fn neon_bf16<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: see above.
    unsafe { kernel.run::<Neon<BF16>>() }
}

/// 1.5 · 2^23: added to a number of less than 22 bits, it moves the nearest integer into the last bits.
const INTEGER: f32 = 12_582_912.0;

/// Levels of [`Neon`].
const BASE: u8 = 0;
const DOT: u8 = 1;
const BF16: u8 = 2;

/// Four lanes; `LEVEL` says which extensions may be used.
#[derive(Clone, Copy)]
pub(super) struct Neon<const LEVEL: u8>;

/// The values rounded to bf16, to nearest even, in the upper halves of the words; the lower halves mean nothing.
#[inline(always)]
unsafe fn rounded_bf16(v: float32x4_t) -> uint32x4_t {
    // SAFETY: the caller vouches for NEON.
    unsafe {
        let bits = vreinterpretq_u32_f32(v);
        let odd = vandq_u32(vshrq_n_u32::<16>(bits), vdupq_n_u32(1));
        let rounding = vaddq_u32(odd, vdupq_n_u32(0x7fff));
        // Rounding could carry a NaN into infinity; it becomes a quiet NaN instead.
        let quiet = vorrq_u32(bits, vdupq_n_u32(0x40_0000));
        vbslq_u32(vceqq_f32(v, v), vaddq_u32(bits, rounding), quiet)
    }
}

impl<const LEVEL: u8> Neon<LEVEL> {
    /// The values rounded to bf16, to nearest even.
    #[inline(always)]
    unsafe fn narrow_bf16(v: float32x4_t) -> uint16x4_t {
        // SAFETY: the caller vouches for NEON and, where the level says so, bf16.
        unsafe {
            if LEVEL >= BF16 {
                let narrow: uint16x4_t;
                asm!(
                    ".arch_extension bf16",
                    "bfcvtn {narrow:v}.4h, {v:v}.4s",
                    narrow = lateout(vreg) narrow,
                    v = in(vreg) v,
                    options(pure, nomem, nostack, preserves_flags)
                );
                narrow
            } else {
                vshrn_n_u32::<16>(rounded_bf16(v))
            }
        }
    }
}

// SAFETY (all blocks): the trait's contract, passed on by the caller.
impl<const LEVEL: u8> Lanes for Neon<LEVEL> {
    type V = float32x4_t;
    const WIDTH: usize = 4;
    const REGISTERS: usize = 32;
    const DOT_BF16: bool = LEVEL >= BF16;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        // SAFETY: as above.
        unsafe { vdupq_n_f32(x) }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self::V {
        // SAFETY: as above.
        unsafe { vld1q_f32(p) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: Self::V) {
        // SAFETY: as above.
        unsafe { vst1q_f32(p, v) }
    }
    #[inline(always)]
    unsafe fn load_partial(p: *const f32, count: usize) -> Self::V {
        // SAFETY: as above; only the first `count` values are touched.
        unsafe {
            let mut v = vdupq_n_f32(0.0);
            if count > 0 {
                v = vld1q_lane_f32::<0>(p, v);
            }
            if count > 1 {
                v = vld1q_lane_f32::<1>(p.add(1), v);
            }
            if count > 2 {
                v = vld1q_lane_f32::<2>(p.add(2), v);
            }
            v
        }
    }
    #[inline(always)]
    unsafe fn store_partial(p: *mut f32, v: Self::V, count: usize) {
        // SAFETY: as above; only the first `count` values are touched.
        unsafe {
            if count > 0 {
                vst1q_lane_f32::<0>(p, v);
            }
            if count > 1 {
                vst1q_lane_f32::<1>(p.add(1), v);
            }
            if count > 2 {
                vst1q_lane_f32::<2>(p.add(2), v);
            }
        }
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: as above.
        unsafe { vaddq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: as above.
        unsafe { vsubq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: as above.
        unsafe { vmulq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: as above.
        unsafe { vdivq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        // SAFETY: as above.
        unsafe { vfmaq_f32(c, a, b) }
    }
    #[inline(always)]
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
        // Not FMAX, which gives NaN where either one is NaN.
        // SAFETY: as above.
        unsafe { vbslq_f32(vcgtq_f32(a, b), a, b) }
    }
    #[inline(always)]
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: as above.
        unsafe { vbslq_f32(vcltq_f32(a, b), a, b) }
    }
    #[inline(always)]
    unsafe fn round(x: Self::V) -> Self::V {
        // SAFETY: as above.
        unsafe { vrndnq_f32(x) }
    }
    #[inline(always)]
    unsafe fn scale_by_power(x: Self::V, n: Self::V) -> Self::V {
        // SAFETY: as above.
        unsafe {
            let biased = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127));
            vmulq_f32(x, vreinterpretq_f32_s32(vshlq_n_s32::<23>(biased)))
        }
    }
    #[inline(always)]
    unsafe fn reduce_add(v: Self::V) -> f32 {
        // SAFETY: as above.
        unsafe { vaddvq_f32(v) }
    }
    #[inline(always)]
    unsafe fn reduce_max(v: Self::V) -> f32 {
        // SAFETY: as above.
        unsafe { vmaxnmvq_f32(v) }
    }
    #[inline(always)]
    unsafe fn load_f16(p: *const u16) -> Self::V {
        // SAFETY: as above; the conversion is part of NEON.
        unsafe {
            let wide: float32x4_t;
            asm!(
                "fcvtl {wide:v}.4s, {narrow:v}.4h",
                wide = lateout(vreg) wide,
                narrow = in(vreg) vld1_u16(p),
                options(pure, nomem, nostack, preserves_flags)
            );
            wide
        }
    }
    #[inline(always)]
    unsafe fn store_f16(p: *mut u16, v: Self::V) {
        // SAFETY: as above; the conversion is part of NEON.
        unsafe {
            let narrow: uint16x4_t;
            asm!(
                "fcvtn {narrow:v}.4h, {v:v}.4s",
                narrow = lateout(vreg) narrow,
                v = in(vreg) v,
                options(pure, nomem, nostack, preserves_flags)
            );
            vst1_u16(p, narrow);
        }
    }
    #[inline(always)]
    unsafe fn load_bf16(p: *const u16) -> Self::V {
        // SAFETY: as above.
        unsafe { vreinterpretq_f32_u32(vshll_n_u16::<16>(vld1_u16(p))) }
    }
    #[inline(always)]
    unsafe fn store_bf16(p: *mut u16, v: Self::V) {
        // SAFETY: as above.
        unsafe { vst1_u16(p, Self::narrow_bf16(v)) }
    }
    #[inline(always)]
    unsafe fn split_bf16(p: *const u32) -> (Self::V, Self::V) {
        // SAFETY: as above.
        unsafe {
            let words = vld1q_u32(p);
            let high = vandq_u32(words, vdupq_n_u32(0xffff_0000));
            (
                vreinterpretq_f32_u32(vshlq_n_u32::<16>(words)),
                vreinterpretq_f32_u32(high),
            )
        }
    }
    #[inline(always)]
    unsafe fn store_bf16_pairs(p: *mut u32, low: Self::V, high: Self::V) {
        // SAFETY: as above.
        unsafe {
            if LEVEL >= BF16 {
                vst2_u16(p.cast(), uint16x4x2_t(Self::narrow_bf16(low), Self::narrow_bf16(high)));
            } else {
                // The upper halves stay, the lower ones come from the first vector.
                vst1q_u32(p, vsriq_n_u32::<16>(rounded_bf16(high), rounded_bf16(low)));
            }
        }
    }
    #[inline(always)]
    unsafe fn dot_bf16(acc: Self::V, a: u32, b: *const u32) -> Self::V {
        if LEVEL < BF16 {
            return acc;
        }
        // SAFETY: as above.
        unsafe {
            let mut sum = acc;
            // The pair is an element of a register: it needs no broadcast.
            asm!(
                ".arch_extension bf16",
                "bfdot {sum:v}.4s, {b:v}.8h, {a:v}.2h[0]",
                sum = inlateout(vreg) sum,
                b = in(vreg) vld1q_u32(b),
                a = in(vreg) f32::from_bits(a),
                options(pure, nomem, nostack, preserves_flags)
            );
            sum
        }
    }
    #[inline(always)]
    unsafe fn store_bytes(p: *mut u8, v: Self::V) {
        // SAFETY: as above.
        unsafe {
            let halves = vqmovn_s32(vcvtnq_s32_f32(v));
            let bytes = vqmovn_s16(vcombine_s16(halves, halves));
            p.cast::<u32>()
                .write_unaligned(vget_lane_u32::<0>(vreinterpret_u32_s8(bytes)));
        }
    }
    #[inline(always)]
    unsafe fn dot_bytes(acc: Self::V, a: u32, b: *const u32) -> Self::V {
        // SAFETY: as above.
        unsafe {
            let mut sum = vreinterpretq_s32_f32(acc);
            if LEVEL >= DOT {
                asm!(
                    ".arch_extension dotprod",
                    "sdot {sum:v}.4s, {b:v}.16b, {a:v}.4b[0]",
                    sum = inlateout(vreg) sum,
                    b = in(vreg) vld1q_u32(b),
                    a = in(vreg) f32::from_bits(a),
                    options(pure, nomem, nostack, preserves_flags)
                );
            } else {
                let a = vreinterpret_s8_u32(vdup_n_u32(a));
                let b = vreinterpretq_s8_u32(vld1q_u32(b));
                let low = vpaddlq_s16(vmull_s8(vget_low_s8(b), a));
                let high = vpaddlq_s16(vmull_s8(vget_high_s8(b), a));
                sum = vaddq_s32(sum, vpaddq_s32(low, high));
            }
            vreinterpretq_f32_s32(sum)
        }
    }
    #[inline(always)]
    unsafe fn add_integers(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: as above.
        unsafe {
            let sum = vaddq_s32(vreinterpretq_s32_f32(a), vreinterpretq_s32_f32(b));
            vreinterpretq_f32_s32(sum)
        }
    }
    #[inline(always)]
    unsafe fn integers_to_floats(v: Self::V) -> Self::V {
        // SAFETY: as above.
        unsafe { vcvtq_f32_s32(vreinterpretq_s32_f32(v)) }
    }
    const MATRIX_PRODUCTS: bool = LEVEL >= BF16;

    #[inline(always)]
    unsafe fn two_rows(first: *const u32, second: *const u32) -> Self::V {
        // SAFETY: as above.
        unsafe { vreinterpretq_f32_u32(vcombine_u32(vld1_u32(first), vld1_u32(second))) }
    }
    #[inline(always)]
    unsafe fn in_turn(a: Self::V, b: Self::V) -> (Self::V, Self::V) {
        // SAFETY: as above.
        unsafe { (vzip1q_f32(a, b), vzip2q_f32(a, b)) }
    }
    #[inline(always)]
    unsafe fn halves(a: Self::V, b: Self::V) -> (Self::V, Self::V) {
        // SAFETY: as above.
        unsafe {
            let (a, b) = (vreinterpretq_f64_f32(a), vreinterpretq_f64_f32(b));
            (
                vreinterpretq_f32_f64(vzip1q_f64(a, b)),
                vreinterpretq_f32_f64(vzip2q_f64(a, b)),
            )
        }
    }
    #[inline(always)]
    unsafe fn matrix_bf16(acc: Self::V, rows: Self::V, columns: Self::V) -> Self::V {
        if LEVEL < BF16 {
            return acc;
        }
        // SAFETY: as above.
        unsafe {
            let mut sum = acc;
            asm!(
                ".arch_extension bf16",
                "bfmmla {sum:v}.4s, {rows:v}.8h, {columns:v}.8h",
                sum = inlateout(vreg) sum,
                rows = in(vreg) rows,
                columns = in(vreg) columns,
                options(pure, nomem, nostack, preserves_flags)
            );
            sum
        }
    }
    #[inline(always)]
    unsafe fn matrix_bytes(acc: Self::V, rows: Self::V, columns: Self::V) -> Self::V {
        if LEVEL < BF16 {
            return acc;
        }
        // SAFETY: as above.
        unsafe {
            let mut sum = acc;
            asm!(
                ".arch_extension i8mm",
                "smmla {sum:v}.4s, {rows:v}.16b, {columns:v}.16b",
                sum = inlateout(vreg) sum,
                rows = in(vreg) rows,
                columns = in(vreg) columns,
                options(pure, nomem, nostack, preserves_flags)
            );
            sum
        }
    }
    #[inline(always)]
    unsafe fn split_power(x: Self::V) -> (Self::V, Self::V) {
        // SAFETY: as above.
        unsafe {
            let x = Self::max(vdupq_n_f32(-125.0), x);
            // The sum's last bits are the nearest integer.
            let shifted = vaddq_f32(x, vdupq_n_f32(INTEGER));
            (shifted, vsubq_f32(x, vsubq_f32(shifted, vdupq_n_f32(INTEGER))))
        }
    }
    #[inline(always)]
    unsafe fn raise(x: Self::V, n: Self::V) -> Self::V {
        // SAFETY: as above.
        unsafe {
            let exponent = vshlq_n_u32::<23>(vreinterpretq_u32_f32(n));
            let one = vreinterpretq_u32_f32(vdupq_n_f32(1.0));
            // A product, for a NaN has to stay one.
            vmulq_f32(x, vreinterpretq_f32_u32(vaddq_u32(one, exponent)))
        }
    }
    #[inline(always)]
    unsafe fn transpose(from: *const u32, from_stride: usize, to: *mut u32, to_stride: usize) {
        // SAFETY: as above.
        unsafe {
            let row = |r: usize| vld1q_f32(from.add(r * from_stride).cast());
            let (a, b, c, d) = (row(0), row(1), row(2), row(3));
            let (even, odd) = (vtrn1q_f32(a, b), vtrn2q_f32(a, b));
            let (next_even, next_odd) = (vtrn1q_f32(c, d), vtrn2q_f32(c, d));
            let (first, third) = Self::halves(even, next_even);
            let (second, fourth) = Self::halves(odd, next_odd);
            for (r, row) in [first, second, third, fourth].into_iter().enumerate() {
                vst1q_f32(to.add(r * to_stride).cast(), row);
            }
        }
    }
    #[inline(always)]
    unsafe fn prefetch(p: *const u8) {
        // SAFETY: any address may be prefetched.
        unsafe { asm!("prfm pldl1keep, [{p}]", p = in(reg) p, options(readonly, nostack, preserves_flags)) }
    }
}
