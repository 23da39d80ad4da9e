//! Lanes for AVX2 and AVX-512.

use super::lanes::{Kernel, Lanes};
use std::arch::x86_64::*;

/// Runs a kernel with AVX2 lanes.
///
/// # Safety
/// The processor has AVX2, FMA and F16C; what the kernel asks holds.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn avx2<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: see above.
    unsafe { kernel.run::<Avx2<false>>() }
}

/// Runs a kernel with AVX2 lanes and the dot product of bytes.
///
/// # Safety
/// The processor has AVX-VNNI and what [`avx2`] needs; what the kernel asks holds.
#[target_feature(enable = "avxvnni,avx2,fma,f16c")]
pub(super) unsafe fn avx2_vnni<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: see above.
    unsafe { kernel.run::<Avx2<true>>() }
}

/// Runs a kernel with AVX-512 lanes.
///
/// # Safety
/// The processor has AVX-512 F, BW, DQ, VL and what [`avx2`] needs; what the kernel asks holds.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub(super) unsafe fn avx512<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: see above.
    unsafe { kernel.run::<Avx512<false, false>>() }
}

/// Runs a kernel with AVX-512 lanes and the bf16 dot product.
///
/// # Safety
/// The processor has AVX512-BF16 and what [`avx512`] needs; what the kernel asks holds.
#[target_feature(enable = "avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub(super) unsafe fn avx512_bf16<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: see above.
    unsafe { kernel.run::<Avx512<true, false>>() }
}

/// Runs a kernel with AVX-512 lanes and the dot product of bytes.
///
/// # Safety
/// The processor has AVX512-VNNI and what [`avx512`] needs; what the kernel asks holds.
#[target_feature(enable = "avx512vnni,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub(super) unsafe fn avx512_vnni<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: see above.
    unsafe { kernel.run::<Avx512<false, true>>() }
}

/// 1.5 · 2^23: added to a number of less than 22 bits, it moves the nearest integer into the last bits.
const INTEGER: f32 = 12_582_912.0;

/// Eight lanes. `VNNI` says whether the dot product of bytes (AVX-VNNI) may be used.
#[derive(Clone, Copy)]
pub(super) struct Avx2<const VNNI: bool>;

/// Mask with the first `count` of eight lanes set.
#[inline(always)]
unsafe fn mask8(count: usize) -> __m256i {
    // SAFETY: the caller vouches for AVX2.
    unsafe {
        let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), lanes)
    }
}

/// The values rounded to bf16 in the upper halves of the words; the lower halves mean nothing.
#[inline(always)]
unsafe fn rounded_bf16(v: __m256) -> __m256i {
    // SAFETY: the caller vouches for AVX2.
    unsafe {
        let bits = _mm256_castps_si256(v);
        let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
        let rounding = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
        // Rounding could carry a NaN into infinity; it becomes a quiet NaN instead.
        let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x40_0000));
        let nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(v, v));
        _mm256_blendv_epi8(_mm256_add_epi32(bits, rounding), quiet, nan)
    }
}

// SAFETY (all blocks): the trait's contract, passed on by the caller.
impl<const VNNI: bool> Lanes for Avx2<VNNI> {
    type V = __m256;
    const WIDTH: usize = 8;
    const REGISTERS: usize = 16;
    const DOT_BF16: bool = false;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        // SAFETY: as above.
        unsafe { _mm256_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self::V {
        // SAFETY: as above.
        unsafe { _mm256_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: Self::V) {
        // SAFETY: as above.
        unsafe { _mm256_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn load_partial(p: *const f32, count: usize) -> Self::V {
        // SAFETY: as above; masked lanes are not touched.
        unsafe { _mm256_maskload_ps(p, mask8(count)) }
    }
    #[inline(always)]
    unsafe fn store_partial(p: *mut f32, v: Self::V, count: usize) {
        // SAFETY: as above; masked lanes are not touched.
        unsafe { _mm256_maskstore_ps(p, mask8(count), v) }
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: as above.
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: as above.
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: as above.
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: as above.
        unsafe { _mm256_div_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        // SAFETY: as above.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: as above.
        unsafe { _mm256_max_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: as above.
        unsafe { _mm256_min_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn round(x: Self::V) -> Self::V {
        // SAFETY: as above.
        unsafe { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x) }
    }
    #[inline(always)]
    unsafe fn scale_by_power(x: Self::V, n: Self::V) -> Self::V {
        // SAFETY: as above.
        unsafe {
            let biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
            _mm256_mul_ps(x, _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased)))
        }
    }
    #[inline(always)]
    unsafe fn reduce_add(v: Self::V) -> f32 {
        // SAFETY: as above.
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }
    }
    #[inline(always)]
    unsafe fn reduce_max(v: Self::V) -> f32 {
        // SAFETY: as above.
        unsafe {
            let four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }
    }
    #[inline(always)]
    unsafe fn load_f16(p: *const u16) -> Self::V {
        // SAFETY: as above.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(p.cast())) }
    }
    #[inline(always)]
    unsafe fn store_f16(p: *mut u16, v: Self::V) {
        // SAFETY: as above.
        unsafe { _mm_storeu_si128(p.cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v)) }
    }
    #[inline(always)]
    unsafe fn load_bf16(p: *const u16) -> Self::V {
        // SAFETY: as above.
        unsafe {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(p.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        }
    }
    #[inline(always)]
    unsafe fn store_bf16(p: *mut u16, v: Self::V) {
        // SAFETY: as above.
        unsafe {
            let bits = _mm256_castps_si256(v);
            let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
            let rounding = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
            let rounded = _mm256_srli_epi32::<16>(_mm256_add_epi32(bits, rounding));
            // Rounding could carry a NaN into infinity; it becomes a quiet NaN instead.
            let quiet = _mm256_or_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(0x40));
            let nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(v, v));
            let wide = _mm256_blendv_epi8(rounded, quiet, nan);
            let packed = _mm256_permute4x64_epi64::<0b1000>(_mm256_packus_epi32(wide, wide));
            _mm_storeu_si128(p.cast(), _mm256_castsi256_si128(packed));
        }
    }
    #[inline(always)]
    unsafe fn split_bf16(p: *const u32) -> (Self::V, Self::V) {
        // SAFETY: as above.
        unsafe {
            let words = _mm256_loadu_si256(p.cast());
            let low = _mm256_slli_epi32::<16>(words);
            let high = _mm256_and_si256(words, _mm256_set1_epi32(0xffff_0000_u32 as i32));
            (_mm256_castsi256_ps(low), _mm256_castsi256_ps(high))
        }
    }
    #[inline(always)]
    unsafe fn store_bf16_pairs(p: *mut u32, low: Self::V, high: Self::V) {
        // SAFETY: as above.
        unsafe {
            let upper = _mm256_and_si256(rounded_bf16(high), _mm256_set1_epi32(0xffff_0000_u32 as i32));
            let words = _mm256_or_si256(_mm256_srli_epi32::<16>(rounded_bf16(low)), upper);
            _mm256_storeu_si256(p.cast(), words);
        }
    }
    #[inline(always)]
    unsafe fn dot_bf16(acc: Self::V, _a: u32, _b: *const u32) -> Self::V {
        acc
    }
    #[inline(always)]
    unsafe fn split_power(x: Self::V) -> (Self::V, Self::V) {
        // SAFETY: as above.
        unsafe {
            let x = _mm256_max_ps(_mm256_set1_ps(-125.0), x);
            // The sum's last bits are the nearest integer.
            let shifted = _mm256_add_ps(x, _mm256_set1_ps(INTEGER));
            (
                shifted,
                _mm256_sub_ps(x, _mm256_sub_ps(shifted, _mm256_set1_ps(INTEGER))),
            )
        }
    }
    #[inline(always)]
    unsafe fn raise(x: Self::V, n: Self::V) -> Self::V {
        // SAFETY: as above.
        unsafe {
            let exponent = _mm256_slli_epi32::<23>(_mm256_castps_si256(n));
            let one = _mm256_castps_si256(_mm256_set1_ps(1.0));
            _mm256_mul_ps(x, _mm256_castsi256_ps(_mm256_add_epi32(one, exponent)))
        }
    }
    #[inline(always)]
    unsafe fn transpose(from: *const u32, from_stride: usize, to: *mut u32, to_stride: usize) {
        // SAFETY: as above.
        unsafe {
            let mut quarters = [[_mm256_setzero_ps(); 4]; 2];
            for (group, quarter) in quarters.iter_mut().enumerate() {
                let row = |r: usize| from.add((4 * group + r) * from_stride).cast::<f32>();
                let [a, b, c, d] = [
                    _mm256_loadu_ps(row(0)),
                    _mm256_loadu_ps(row(1)),
                    _mm256_loadu_ps(row(2)),
                    _mm256_loadu_ps(row(3)),
                ];
                let (low, high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
                let (next_low, next_high) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
                *quarter = [
                    _mm256_shuffle_ps::<0x44>(low, next_low),
                    _mm256_shuffle_ps::<0xee>(low, next_low),
                    _mm256_shuffle_ps::<0x44>(high, next_high),
                    _mm256_shuffle_ps::<0xee>(high, next_high),
                ];
            }
            // A quarter's vector `j` has columns j and 4 + j of four rows.
            let [first, second] = quarters;
            for (j, (a, b)) in first.into_iter().zip(second).enumerate() {
                _mm256_storeu_ps(to.add(j * to_stride).cast(), _mm256_permute2f128_ps::<0x20>(a, b));
            }
            for (j, (a, b)) in first.into_iter().zip(second).enumerate() {
                _mm256_storeu_ps(to.add((4 + j) * to_stride).cast(), _mm256_permute2f128_ps::<0x31>(a, b));
            }
        }
    }
    #[inline(always)]
    unsafe fn prefetch(p: *const u8) {
        // SAFETY: as above; any address may be prefetched.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
    }
    #[inline(always)]
    unsafe fn prefetch_far(p: *const u8) {
        // SAFETY: as above; any address may be prefetched.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(p.cast()) }
    }

    const BYTE_OFFSET: i32 = if VNNI { 128 } else { 0 };

    #[inline(always)]
    unsafe fn store_bytes(p: *mut u8, v: Self::V) {
        // SAFETY: as above.
        unsafe {
            let words = _mm256_add_epi32(_mm256_cvtps_epi32(v), _mm256_set1_epi32(Self::BYTE_OFFSET));
            let halves = _mm_packs_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            let bytes = match VNNI {
                true => _mm_packus_epi16(halves, halves),
                false => _mm_packs_epi16(halves, halves),
            };
            _mm_storel_epi64(p.cast(), bytes);
        }
    }
    #[inline(always)]
    unsafe fn dot_bytes(acc: Self::V, a: u32, b: *const u32) -> Self::V {
        // SAFETY: as above.
        unsafe {
            let (a, b) = (_mm256_set1_epi32(a as i32), _mm256_loadu_si256(b.cast()));
            let acc = _mm256_castps_si256(acc);
            _mm256_castsi256_ps(if VNNI {
                _mm256_dpbusd_avx_epi32(acc, a, b)
            } else {
                // One operand has no sign, and pairs of products saturate at 2^15: the sign goes to the right operand,
                // and 2 · 127 · 127 fits.
                let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(a), _mm256_sign_epi8(b, a));
                _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
            })
        }
    }
    #[inline(always)]
    unsafe fn add_integers(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: as above.
        unsafe { _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b))) }
    }
    #[inline(always)]
    unsafe fn integers_to_floats(v: Self::V) -> Self::V {
        // SAFETY: as above.
        unsafe { _mm256_cvtepi32_ps(_mm256_castps_si256(v)) }
    }
}

/// Sixteen lanes; `BF16` and `VNNI` say whether the dot products of bf16 and of bytes may be used.
#[derive(Clone, Copy)]
pub(super) struct Avx512<const BF16: bool, const VNNI: bool>;

/// Mask with the first `count` of sixteen lanes set.
#[inline(always)]
fn mask16(count: usize) -> __mmask16 {
    ((1_u32 << count) - 1) as __mmask16
}

// SAFETY (all blocks): the trait's contract, passed on by the caller.
impl<const BF16: bool, const VNNI: bool> Lanes for Avx512<BF16, VNNI> {
    type V = __m512;
    const WIDTH: usize = 16;
    const REGISTERS: usize = 32;
    const DOT_BF16: bool = BF16;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        // SAFETY: as above.
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self::V {
        // SAFETY: as above.
        unsafe { _mm512_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: Self::V) {
        // SAFETY: as above.
        unsafe { _mm512_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn load_partial(p: *const f32, count: usize) -> Self::V {
        // SAFETY: as above; masked lanes are not touched.
        unsafe { _mm512_maskz_loadu_ps(mask16(count), p) }
    }
    #[inline(always)]
    unsafe fn store_partial(p: *mut f32, v: Self::V, count: usize) {
        // SAFETY: as above; masked lanes are not touched.
        unsafe { _mm512_mask_storeu_ps(p, mask16(count), v) }
    }
    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: as above.
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: as above.
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: as above.
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: as above.
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        // SAFETY: as above.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: as above.
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: as above.
        unsafe { _mm512_min_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn round(x: Self::V) -> Self::V {
        // SAFETY: as above.
        unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x) }
    }
    #[inline(always)]
    unsafe fn scale_by_power(x: Self::V, n: Self::V) -> Self::V {
        // SAFETY: as above.
        unsafe { _mm512_scalef_ps(x, n) }
    }
    #[inline(always)]
    unsafe fn reduce_add(v: Self::V) -> f32 {
        // SAFETY: as above.
        unsafe { _mm512_reduce_add_ps(v) }
    }
    #[inline(always)]
    unsafe fn reduce_max(v: Self::V) -> f32 {
        // SAFETY: as above.
        unsafe { _mm512_reduce_max_ps(v) }
    }
    #[inline(always)]
    unsafe fn load_f16(p: *const u16) -> Self::V {
        // SAFETY: as above.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(p.cast())) }
    }
    #[inline(always)]
    unsafe fn store_f16(p: *mut u16, v: Self::V) {
        // SAFETY: as above.
        unsafe { _mm256_storeu_si256(p.cast(), _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v)) }
    }
    #[inline(always)]
    unsafe fn load_bf16(p: *const u16) -> Self::V {
        // SAFETY: as above.
        unsafe {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(p.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }
    }
    #[inline(always)]
    unsafe fn store_bf16(p: *mut u16, v: Self::V) {
        // Not by the conversion instruction of AVX512-BF16: that one flushes subnormal numbers to zero.
        // SAFETY: as above.
        unsafe {
            let bits = _mm512_castps_si512(v);
            let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let rounding = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
            let rounded = _mm512_srli_epi32::<16>(_mm512_add_epi32(bits, rounding));
            // Rounding could carry a NaN into infinity; it becomes a quiet NaN instead.
            let quiet = _mm512_or_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(0x40));
            let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(v, v);
            let wide = _mm512_mask_mov_epi32(rounded, nan, quiet);
            _mm256_storeu_si256(p.cast(), _mm512_cvtepi32_epi16(wide));
        }
    }
    #[inline(always)]
    unsafe fn split_bf16(p: *const u32) -> (Self::V, Self::V) {
        // SAFETY: as above.
        unsafe {
            let words = _mm512_loadu_si512(p.cast());
            let low = _mm512_slli_epi32::<16>(words);
            let high = _mm512_and_si512(words, _mm512_set1_epi32(0xffff_0000_u32 as i32));
            (_mm512_castsi512_ps(low), _mm512_castsi512_ps(high))
        }
    }
    #[inline(always)]
    unsafe fn store_bf16_pairs(p: *mut u32, low: Self::V, high: Self::V) {
        // SAFETY: as above; the vectors of bf16 have the layout of the integer vectors.
        unsafe {
            if BF16 {
                let both = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
                // Lower half of the vector to the even places, upper half to the odd ones.
                let lanes = _mm512_setr_epi32(
                    0x10_0000, 0x11_0001, 0x12_0002, 0x13_0003, 0x14_0004, 0x15_0005, 0x16_0006, 0x17_0007, 0x18_0008,
                    0x19_0009, 0x1a_000a, 0x1b_000b, 0x1c_000c, 0x1d_000d, 0x1e_000e, 0x1f_000f,
                );
                _mm512_storeu_si512(p.cast(), _mm512_permutexvar_epi16(lanes, both));
            } else {
                let mut halves = [[0_u16; 16]; 2];
                Self::store_bf16(halves[0].as_mut_ptr(), low);
                Self::store_bf16(halves[1].as_mut_ptr(), high);
                let low = _mm512_cvtepu16_epi32(_mm256_loadu_si256(halves[0].as_ptr().cast()));
                let high = _mm512_cvtepu16_epi32(_mm256_loadu_si256(halves[1].as_ptr().cast()));
                _mm512_storeu_si512(p.cast(), _mm512_or_si512(low, _mm512_slli_epi32::<16>(high)));
            }
        }
    }
    #[inline(always)]
    unsafe fn dot_bf16(acc: Self::V, a: u32, b: *const u32) -> Self::V {
        if !BF16 {
            return acc;
        }
        // SAFETY: as above; the vectors of bf16 have the layout of the integer vectors.
        unsafe {
            let a = std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(a as i32));
            let b = std::mem::transmute::<__m512i, __m512bh>(_mm512_loadu_si512(b.cast()));
            _mm512_dpbf16_ps(acc, a, b)
        }
    }
    #[inline(always)]
    unsafe fn split_power(x: Self::V) -> (Self::V, Self::V) {
        // The scaling takes any n, so nothing is limited. What is left of an infinity is 0.
        // SAFETY: as above.
        unsafe {
            let rest = _mm512_reduce_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x);
            (Self::round(x), rest)
        }
    }
    #[inline(always)]
    unsafe fn transpose(from: *const u32, from_stride: usize, to: *mut u32, to_stride: usize) {
        // SAFETY: as above.
        unsafe {
            let mut quarters = [[_mm512_setzero_ps(); 4]; 4];
            for (group, quarter) in quarters.iter_mut().enumerate() {
                let row = |r: usize| from.add((4 * group + r) * from_stride).cast::<f32>();
                let [a, b, c, d] = [
                    _mm512_loadu_ps(row(0)),
                    _mm512_loadu_ps(row(1)),
                    _mm512_loadu_ps(row(2)),
                    _mm512_loadu_ps(row(3)),
                ];
                let (low, high) = (_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
                let (next_low, next_high) = (_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
                *quarter = [
                    _mm512_shuffle_ps::<0x44>(low, next_low),
                    _mm512_shuffle_ps::<0xee>(low, next_low),
                    _mm512_shuffle_ps::<0x44>(high, next_high),
                    _mm512_shuffle_ps::<0xee>(high, next_high),
                ];
            }
            // A quarter's vector `j` has columns j, 4 + j, 8 + j and 12 + j of four rows.
            let mut columns = [[_mm512_setzero_ps(); 4]; 4];
            for j in 0..4 {
                let [a, b, c, d] = [quarters[0][j], quarters[1][j], quarters[2][j], quarters[3][j]];
                let (ab, cd) = (_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0x44>(c, d));
                let (ab_high, cd_high) = (_mm512_shuffle_f32x4::<0xee>(a, b), _mm512_shuffle_f32x4::<0xee>(c, d));
                columns[0][j] = _mm512_shuffle_f32x4::<0x88>(ab, cd);
                columns[1][j] = _mm512_shuffle_f32x4::<0xdd>(ab, cd);
                columns[2][j] = _mm512_shuffle_f32x4::<0x88>(ab_high, cd_high);
                columns[3][j] = _mm512_shuffle_f32x4::<0xdd>(ab_high, cd_high);
            }
            for (i, column) in columns.iter().flatten().enumerate() {
                _mm512_storeu_ps(to.add(i * to_stride).cast(), *column);
            }
        }
    }
    #[inline(always)]
    unsafe fn prefetch(p: *const u8) {
        // SAFETY: as above; any address may be prefetched.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(p.cast()) }
    }
    #[inline(always)]
    unsafe fn prefetch_far(p: *const u8) {
        // SAFETY: as above; any address may be prefetched.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(p.cast()) }
    }

    #[inline(always)]
    unsafe fn store_bf16_factors(p: *mut u16, v: Self::V) {
        // SAFETY: as above; the vectors of bf16 have the layout of the integer vectors.
        unsafe {
            if BF16 {
                let rounded = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(v));
                _mm256_storeu_si256(p.cast(), rounded);
            } else {
                Self::store_bf16(p, v);
            }
        }
    }

    const BYTE_OFFSET: i32 = if VNNI { 128 } else { 0 };

    #[inline(always)]
    unsafe fn store_bytes(p: *mut u8, v: Self::V) {
        // SAFETY: as above.
        unsafe {
            let words = _mm512_add_epi32(_mm512_cvtps_epi32(v), _mm512_set1_epi32(Self::BYTE_OFFSET));
            _mm_storeu_si128(p.cast(), _mm512_cvtepi32_epi8(words));
        }
    }
    #[inline(always)]
    unsafe fn dot_bytes(acc: Self::V, a: u32, b: *const u32) -> Self::V {
        // SAFETY: as above.
        unsafe {
            let (a, b) = (_mm512_set1_epi32(a as i32), _mm512_loadu_si512(b.cast()));
            let acc = _mm512_castps_si512(acc);
            _mm512_castsi512_ps(if VNNI {
                _mm512_dpbusd_epi32(acc, a, b)
            } else {
                // As with AVX2; the sign is moved by a subtraction from zero.
                let zero = _mm512_setzero_si512();
                let right = _mm512_mask_sub_epi8(b, _mm512_movepi8_mask(a), zero, b);
                let pairs = _mm512_maddubs_epi16(_mm512_abs_epi8(a), right);
                _mm512_add_epi32(acc, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)))
            })
        }
    }
    #[inline(always)]
    unsafe fn add_integers(a: Self::V, b: Self::V) -> Self::V {
        // SAFETY: as above.
        unsafe { _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b))) }
    }
    #[inline(always)]
    unsafe fn integers_to_floats(v: Self::V) -> Self::V {
        // SAFETY: as above.
        unsafe { _mm512_cvtepi32_ps(_mm512_castps_si512(v)) }
    }
}
