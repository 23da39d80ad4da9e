//! Vectors of f32 lanes: one trait, implemented per instruction set, and the functions built on it.

use crate::element::Element;

#[cfg(test)]
mod tests;

/// A vector of [`WIDTH`](Self::WIDTH) f32 values and the operations on it.
///
/// All functions are `#[inline(always)]`: they must end up inside a function that enables the instructions.
///
/// # Safety
/// Of every function: the processor has the instructions; pointers are valid for the lanes read or written
/// (no alignment is needed), for the `_partial` ones only for the first `count` lanes, `count < WIDTH`.
pub(crate) trait Lanes: Copy + 'static {
    /// The vector.
    type V: Copy;
    /// Lanes of the vector.
    const WIDTH: usize;
    /// Vector registers: bounds the size of the register tiles.
    const REGISTERS: usize;
    /// Whether [`dot_bf16`](Self::dot_bf16) exists.
    const DOT_BF16: bool;

    unsafe fn splat(x: f32) -> Self::V;
    unsafe fn load(p: *const f32) -> Self::V;
    unsafe fn store(p: *mut f32, v: Self::V);
    /// Lanes from `count` on are zero.
    unsafe fn load_partial(p: *const f32, count: usize) -> Self::V;
    unsafe fn store_partial(p: *mut f32, v: Self::V, count: usize);
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The greater one; `b` where one of them is NaN.
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// The smaller one; `b` where one of them is NaN.
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    /// To the nearest integer, for |x| < 2^22.
    unsafe fn round(x: Self::V) -> Self::V;
    /// `x * 2^n` for integral `n` from -127 (giving zero) to 128 (giving infinity).
    unsafe fn scale_by_power(x: Self::V, n: Self::V) -> Self::V;
    unsafe fn reduce_add(v: Self::V) -> f32;
    unsafe fn reduce_max(v: Self::V) -> f32;
    unsafe fn load_f16(p: *const u16) -> Self::V;
    unsafe fn store_f16(p: *mut u16, v: Self::V);
    unsafe fn load_bf16(p: *const u16) -> Self::V;
    unsafe fn store_bf16(p: *mut u16, v: Self::V);
    /// Splits pairs of bf16 in 32-bit words into the lower and the upper halves.
    unsafe fn split_bf16(p: *const u32) -> (Self::V, Self::V);
    /// Rounds two vectors to bf16 and stores them as pairs: `low` in the lower halves of the words, `high` in the
    /// upper ones. Numbers below 2^-126 may become zero, as they count as zero in [`dot_bf16`](Self::dot_bf16).
    unsafe fn store_bf16_pairs(p: *mut u32, low: Self::V, high: Self::V);
    /// `acc + a.0 * b.0 + a.1 * b.1` on pairs of bf16: one pair `a` for all lanes, one pair `b` per lane.
    unsafe fn dot_bf16(acc: Self::V, a: u32, b: *const u32) -> Self::V;

    /// [`store_bf16`](Self::store_bf16) for [`dot_bf16`](Self::dot_bf16): numbers below 2^-126, which count as zero
    /// there, may become zero.
    #[inline(always)]
    unsafe fn store_bf16_factors(p: *mut u16, v: Self::V) {
        // SAFETY: the caller vouches for the instructions and the memory.
        unsafe { Self::store_bf16(p, v) }
    }

    /// What [`store_bytes`](Self::store_bytes) adds to every byte: 128 where [`dot_bytes`](Self::dot_bytes) takes its
    /// left operand without a sign, else 0.
    const BYTE_OFFSET: i32 = 0;

    /// Rounds whole vectors of values from -127 to 127 to the nearest integer, ties to even, adds
    /// [`BYTE_OFFSET`](Self::BYTE_OFFSET) and stores one byte for each.
    #[inline(always)]
    unsafe fn store_bytes(p: *mut u8, v: Self::V) {
        let mut values = [0.0_f32; WIDEST];
        // SAFETY: the caller vouches for the instructions and the memory; no vector has more lanes.
        unsafe {
            Self::store(values.as_mut_ptr(), v);
            for (lane, value) in values.iter().take(Self::WIDTH).enumerate() {
                *p.add(lane) = (value.round_ties_even() as i32 + Self::BYTE_OFFSET) as u8;
            }
        }
    }

    /// `acc + Σ a.i * b.i` on four bytes each: one word `a` of [`store_bytes`](Self::store_bytes) for all lanes, one
    /// word `b` of bytes from -127 to 127 per lane. The lanes of `acc` and of the result hold 32-bit integers, not
    /// f32 values. Exact: nothing saturates.
    #[inline(always)]
    unsafe fn dot_bytes(acc: Self::V, a: u32, b: *const u32) -> Self::V {
        let mut sums = [0_i32; WIDEST];
        // SAFETY: the caller vouches for the instructions and the memory; no vector has more lanes.
        unsafe {
            Self::store(sums.as_mut_ptr().cast(), acc);
            let left = a.to_ne_bytes().map(|a| i32::from(a as i8));
            for (lane, sum) in sums.iter_mut().take(Self::WIDTH).enumerate() {
                let right = b.add(lane).read_unaligned().to_ne_bytes();
                for (a, b) in left.iter().zip(right) {
                    *sum += a * i32::from(b as i8);
                }
            }
            Self::load(sums.as_ptr().cast())
        }
    }

    /// Sums of lanes that hold 32-bit integers, as [`dot_bytes`](Self::dot_bytes) makes them.
    #[inline(always)]
    unsafe fn add_integers(a: Self::V, b: Self::V) -> Self::V {
        let (mut sums, mut terms) = ([0_i32; WIDEST], [0_i32; WIDEST]);
        // SAFETY: the caller vouches for the instructions; no vector has more lanes.
        unsafe {
            Self::store(sums.as_mut_ptr().cast(), a);
            Self::store(terms.as_mut_ptr().cast(), b);
            for (sum, term) in sums.iter_mut().zip(terms) {
                *sum = sum.wrapping_add(term);
            }
            Self::load(sums.as_ptr().cast())
        }
    }

    /// Lanes that hold 32-bit integers, as f32 values.
    #[inline(always)]
    unsafe fn integers_to_floats(v: Self::V) -> Self::V {
        let mut integers = [0_i32; WIDEST];
        // SAFETY: the caller vouches for the instructions; no vector has more lanes.
        unsafe {
            Self::store(integers.as_mut_ptr().cast(), v);
            let floats = integers.map(|integer| integer as f32);
            Self::load(floats.as_ptr())
        }
    }

    /// Whether two rows of two words each are multiplied by two columns in one instruction: words of bf16 pairs where
    /// [`DOT_BF16`](Self::DOT_BF16) holds, and of four bytes. Only vectors of four lanes have it, and only with it are
    /// the following functions called.
    const MATRIX_PRODUCTS: bool = false;

    /// Two words at `first`, then two at `second`.
    #[inline(always)]
    unsafe fn two_rows(_first: *const u32, _second: *const u32) -> Self::V {
        // SAFETY: the caller vouches for the instructions.
        unsafe { Self::splat(0.0) }
    }

    /// The lanes of `a` and `b` in turn: those of the lower halves, those of the upper halves.
    #[inline(always)]
    unsafe fn in_turn(a: Self::V, b: Self::V) -> (Self::V, Self::V) {
        (a, b)
    }

    /// The lower halves of `a` and `b`, then the upper halves.
    #[inline(always)]
    unsafe fn halves(a: Self::V, b: Self::V) -> (Self::V, Self::V) {
        (a, b)
    }

    /// `acc + rows · columns` on words of bf16 pairs, the same as [`dot_bf16`](Self::dot_bf16) word after word. The
    /// lanes of the result are row 0 with column 0, row 0 with column 1, row 1 with column 0, row 1 with column 1.
    #[inline(always)]
    unsafe fn matrix_bf16(acc: Self::V, _rows: Self::V, _columns: Self::V) -> Self::V {
        acc
    }

    /// [`matrix_bf16`](Self::matrix_bf16) on words of bytes, as [`dot_bytes`](Self::dot_bytes) multiplies them.
    #[inline(always)]
    unsafe fn matrix_bytes(acc: Self::V, _rows: Self::V, _columns: Self::V) -> Self::V {
        acc
    }

    /// Splits x, which may be anything, into its nearest integer n, limited from below to about -125, and x - n, which
    /// lies within [-1/2, 1/2] unless x is below the limit or NaN. The integer comes in the form that
    /// [`raise`](Self::raise) takes.
    #[inline(always)]
    unsafe fn split_power(x: Self::V) -> (Self::V, Self::V) {
        // SAFETY: the caller vouches for the instructions.
        unsafe {
            // The constant comes first, so that NaN in `x` stays.
            let x = Self::max(Self::splat(-125.0), x);
            let n = Self::round(x);
            (n, Self::sub(x, n))
        }
    }

    /// `x * 2^n` for x within 1/2 and 2 and the n of [`split_power`](Self::split_power), up to 127.
    #[inline(always)]
    unsafe fn raise(x: Self::V, n: Self::V) -> Self::V {
        // SAFETY: the caller vouches for the instructions.
        unsafe { Self::scale_by_power(x, n) }
    }

    /// Transposes a block of [`WIDTH`](Self::WIDTH) rows of as many 32-bit words; the strides are words from row to
    /// row. The rows of the result are written one after the other, so they may overlap: the later one stays.
    #[inline(always)]
    unsafe fn transpose(from: *const u32, from_stride: usize, to: *mut u32, to_stride: usize) {
        for column in 0..Self::WIDTH {
            for row in 0..Self::WIDTH {
                // SAFETY: the caller vouches for both blocks.
                unsafe { *to.add(column * to_stride + row) = *from.add(row * from_stride + column) };
            }
        }
    }

    /// Tells the processor that the memory at `p`, which need not be valid, will be needed.
    #[inline(always)]
    unsafe fn prefetch(_p: *const u8) {}

    /// [`prefetch`](Self::prefetch) into a cache further away, for what is needed later.
    #[inline(always)]
    unsafe fn prefetch_far(p: *const u8) {
        // SAFETY: the caller vouches for the instructions.
        unsafe { Self::prefetch(p) }
    }
}

/// Lanes of the widest vector.
const WIDEST: usize = 16;

/// A computation written once over [`Lanes`] and compiled for each instruction set.
pub(crate) trait Kernel {
    /// What it returns.
    type Output;

    /// The computation. Implementations are `#[inline(always)]`, so that they are compiled inside the
    /// function that enables the instructions.
    ///
    /// # Safety
    /// The processor has the instructions of `L`, and what the implementation asks of its own fields holds.
    unsafe fn run<L: Lanes>(self) -> Self::Output;
}

/// 2^x, relative error about 1 unit in the last place; zero below -127, infinity from 128, NaN for NaN.
#[cfg(feature = "gradients")]
#[inline(always)]
pub(crate) unsafe fn exp2<L: Lanes>(x: L::V) -> L::V {
    // Interpolation of 2^f at the Chebyshev nodes of [-1/2, 1/2]; relative error 2.6e-9.
    const C: [f32; 6] = [
        1.546_144_5e-4,
        1.340_042_8e-3,
        9.618_057e-3,
        5.550_327e-2,
        2.402_265e-1,
        6.931_472e-1,
    ];
    // SAFETY: the caller vouches for the instructions.
    unsafe {
        // The constant comes first, so that NaN in `x` stays.
        let x = L::min(L::splat(128.0), L::max(L::splat(-127.0), x));
        let n = L::round(x);
        let f = L::sub(x, n);
        let mut p = L::splat(C[0]);
        for c in &C[1..] {
            p = L::fma(p, f, L::splat(*c));
        }
        L::scale_by_power(L::fma(p, f, L::splat(1.0)), n)
    }
}

/// 2^x for x up to 127 to 24 bits or, with `COARSE`, to 13 bits: a relative error of 1e-4, and exact where x is an
/// integer. About 2^-125 for what is below, NaN for NaN.
#[inline(always)]
pub(crate) unsafe fn exp2_bounded<L: Lanes, const COARSE: bool>(x: L::V) -> L::V {
    // Minimax in the relative error on [-1/2, 1/2], with 2^0 = 1.
    const C: [f32; 6] = [
        1.535_336_3e-4,
        1.339_887_4e-3,
        9.618_437e-3,
        5.550_332_5e-2,
        2.402_264_8e-1,
        6.931_472e-1,
    ];
    const FEW: [f32; 3] = [5.500_893e-2, 2.422_109_6e-1, 6.932_829e-1];
    let coefficients = if COARSE { &FEW[..] } else { &C[..] };
    // SAFETY: the caller vouches for the instructions.
    unsafe {
        let (n, f) = L::split_power(x);
        let mut p = L::splat(coefficients[0]);
        for c in &coefficients[1..] {
            p = L::fma(p, f, L::splat(*c));
        }
        L::raise(L::fma(p, f, L::splat(1.0)), n)
    }
}

/// e^x, relative error about 1 unit in the last place; zero below -88, NaN for NaN.
#[inline(always)]
pub(crate) unsafe fn exp<L: Lanes>(x: L::V) -> L::V {
    // Interpolation of e^r at the Chebyshev nodes of [-ln(2)/2, ln(2)/2]; relative error 2.6e-9.
    const C: [f32; 5] = [1.394_110_8e-3, 8.375_126e-3, 4.166_635e-2, 1.666_641_6e-1, 5e-1];
    // ln(2) in two parts; the first has few bits, so that its product with n is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // SAFETY: the caller vouches for the instructions.
    unsafe {
        let x = L::min(L::splat(89.0), L::max(L::splat(-88.0), x));
        let n = L::round(L::mul(x, L::splat(std::f32::consts::LOG2_E)));
        let r = L::fma(n, L::splat(-LN2_HIGH), x);
        let r = L::fma(n, L::splat(-LN2_LOW), r);
        let mut p = L::splat(C[0]);
        for c in &C[1..] {
            p = L::fma(p, r, L::splat(*c));
        }
        p = L::fma(p, L::mul(r, r), r);
        L::scale_by_power(L::add(p, L::splat(1.0)), n)
    }
}

/// Loads `count` lanes, which may be all; the others are zero.
///
/// # Safety
/// `count` values are readable; `L`'s instructions exist.
#[inline(always)]
pub(crate) unsafe fn load_first<L: Lanes>(p: *const f32, count: usize) -> L::V {
    // SAFETY: the caller vouches for `count` values.
    unsafe {
        if count == L::WIDTH {
            L::load(p)
        } else {
            L::load_partial(p, count)
        }
    }
}

/// Stores `count` lanes, which may be all.
///
/// # Safety
/// `count` values are writable; `L`'s instructions exist.
#[inline(always)]
pub(crate) unsafe fn store_first<L: Lanes>(p: *mut f32, v: L::V, count: usize) {
    // SAFETY: the caller vouches for `count` values.
    unsafe {
        if count == L::WIDTH {
            L::store(p, v);
        } else {
            L::store_partial(p, v, count);
        }
    }
}

/// Loads a full vector of elements and widens it.
#[inline(always)]
pub(crate) unsafe fn load_element<L: Lanes>(p: *const u8, element: Element) -> L::V {
    // SAFETY: the caller vouches for the instructions and the memory.
    unsafe {
        match element {
            Element::F32 => L::load(p.cast()),
            Element::F16 => L::load_f16(p.cast()),
            Element::BF16 => L::load_bf16(p.cast()),
        }
    }
}

/// Narrows a vector and stores it.
#[inline(always)]
pub(crate) unsafe fn store_element<L: Lanes>(p: *mut u8, element: Element, v: L::V) {
    // SAFETY: the caller vouches for the instructions and the memory.
    unsafe {
        match element {
            Element::F32 => L::store(p.cast(), v),
            Element::F16 => L::store_f16(p.cast(), v),
            Element::BF16 => L::store_bf16(p.cast(), v),
        }
    }
}

/// One element as f32.
///
/// # Safety
/// `p` points to an element; no alignment is needed.
#[inline(always)]
pub(crate) unsafe fn load_one(p: *const u8, element: Element) -> f32 {
    // SAFETY: the caller vouches for the memory.
    unsafe {
        match element {
            Element::F32 => p.cast::<f32>().read_unaligned(),
            Element::F16 => half::f16::from_bits(p.cast::<u16>().read_unaligned()).to_f32(),
            Element::BF16 => half::bf16::from_bits(p.cast::<u16>().read_unaligned()).to_f32(),
        }
    }
}

/// Narrows one value, to nearest even, and stores it.
///
/// # Safety
/// `p` points to an element; no alignment is needed.
#[inline(always)]
pub(crate) unsafe fn store_one(p: *mut u8, element: Element, value: f32) {
    // SAFETY: the caller vouches for the memory.
    unsafe {
        match element {
            Element::F32 => p.cast::<f32>().write_unaligned(value),
            Element::F16 => p.cast::<u16>().write_unaligned(half::f16::from_f32(value).to_bits()),
            Element::BF16 => p.cast::<u16>().write_unaligned(half::bf16::from_f32(value).to_bits()),
        }
    }
}

/// Widens `count` consecutive elements to f32.
#[inline(always)]
pub(crate) unsafe fn widen<L: Lanes>(from: *const u8, element: Element, to: *mut f32, count: usize) {
    let size = element.size();
    // SAFETY: the caller vouches for the instructions and `count` elements on both sides.
    unsafe {
        let mut i = 0;
        while i + L::WIDTH <= count {
            L::store(to.add(i), load_element::<L>(from.add(i * size), element));
            i += L::WIDTH;
        }
        while i < count {
            *to.add(i) = load_one(from.add(i * size), element);
            i += 1;
        }
    }
}
