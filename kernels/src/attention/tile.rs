//! The products of attention. Query rows are the lanes of the vectors: whatever the head dimension and the number of
//! tokens, no lane is wasted, and the softmax needs no operation across lanes.

use super::rows::Rows;
use crate::element::Element;
use crate::simd::{exp2_bounded, Lanes};

/// Vectors of query rows in a block.
pub(super) const VECTORS: usize = 2;

/// Lanes of the widest vector: what layouts are padded to.
pub(super) const PADDING: usize = 16;

/// Most query rows of a block.
pub(super) const MOST_ROWS: usize = VECTORS * PADDING;

/// Rows of a register tile, which the left operands are laid out for: at most a vector, or whole vectors.
pub(super) const fn tile_rows<L: Lanes>() -> usize {
    match L::REGISTERS >= 32 {
        true => 8,
        false if L::WIDTH >= 8 => 6,
        false => 4,
    }
}

/// What the products multiply: f32 values, or pairs of bf16 in 32-bit words.
pub(super) trait Step<L: Lanes>: Copy {
    /// Values in a step.
    const VALUES: usize;
    /// Whether the factor on the scores is applied to the query, which must not lose bits by it.
    const SCALES_QUERY: bool;

    /// `sum + self · right` in every lane.
    ///
    /// # Safety
    /// A vector is readable at `right`; `L`'s instructions exist.
    unsafe fn multiply_add(self, right: *const Self, sum: L::V) -> L::V;

    /// Reads `dim` values of a row as steps; what is left of the last one is zero.
    ///
    /// # Safety
    /// The row exists; `to` takes as many steps; `L`'s instructions exist.
    unsafe fn read(rows: &Rows, row: usize, dim: usize, to: *mut Self);

    /// One step from each of two consecutive tokens' values, or from the first ones alone: `low` and `high` are
    /// vectors of f32.
    ///
    /// # Safety
    /// A vector is readable at `low` and `high`, and writable at `to`; `L`'s instructions exist.
    unsafe fn join(low: *const f32, high: *const f32, to: *mut Self);

    /// Turns `len` rows of scores into 2 to the power of `factor` times their distance from the greatest, as steps in
    /// the same memory. Returns their sums. The factor is 1 where [`SCALES_QUERY`](Self::SCALES_QUERY) holds.
    ///
    /// # Safety
    /// `scores` holds `len` rows of [`VECTORS`] vectors, and an even number of rows is writable; `L`'s instructions
    /// exist.
    unsafe fn exponentials<const N: usize>(
        scores: *mut f32,
        len: usize,
        greatest: [L::V; VECTORS],
        factor: f32,
    ) -> [L::V; VECTORS];
}

impl<L: Lanes> Step<L> for f32 {
    const VALUES: usize = 1;
    const SCALES_QUERY: bool = true;

    #[inline(always)]
    unsafe fn multiply_add(self, right: *const Self, sum: L::V) -> L::V {
        // SAFETY: the caller vouches for the memory and the instructions.
        unsafe { L::fma(L::splat(self), L::load(right), sum) }
    }

    #[inline(always)]
    unsafe fn read(rows: &Rows, row: usize, dim: usize, to: *mut Self) {
        // SAFETY: the caller vouches for the row and the target.
        unsafe { rows.read::<L>(row, dim, to) }
    }

    #[inline(always)]
    unsafe fn join(low: *const f32, _high: *const f32, to: *mut Self) {
        // SAFETY: the caller vouches for the memory and the instructions.
        unsafe { L::store(to, L::load(low)) }
    }

    #[inline(always)]
    unsafe fn exponentials<const N: usize>(
        scores: *mut f32,
        len: usize,
        greatest: [L::V; VECTORS],
        _factor: f32,
    ) -> [L::V; VECTORS] {
        // SAFETY: the caller vouches for the memory and the instructions.
        unsafe {
            let mut totals = [L::splat(0.0); VECTORS];
            for t in 0..len {
                for n in 0..N {
                    let at = scores.add((t * VECTORS + n) * L::WIDTH);
                    let value = exp2_bounded::<L, false>(L::sub(L::load(at), greatest[n]));
                    L::store(at, value);
                    totals[n] = L::add(totals[n], value);
                }
            }
            totals
        }
    }
}

/// Only where `L::DOT_BF16` holds, and for rows of bf16.
impl<L: Lanes> Step<L> for u32 {
    const VALUES: usize = 2;
    const SCALES_QUERY: bool = false;

    #[inline(always)]
    unsafe fn multiply_add(self, right: *const Self, sum: L::V) -> L::V {
        // SAFETY: the caller vouches for the memory and the instructions.
        unsafe { L::dot_bf16(sum, self, right) }
    }

    #[inline(always)]
    unsafe fn read(rows: &Rows, row: usize, dim: usize, to: *mut Self) {
        debug_assert_eq!(rows.element, Element::BF16);
        let from = rows.at(row);
        let words = dim / 2;
        // SAFETY: the caller vouches for the row and the target.
        unsafe {
            let one = |c: usize| {
                u32::from(
                    from.wrapping_offset(c as isize * rows.column * 2)
                        .cast::<u16>()
                        .read_unaligned(),
                )
            };
            let mut i = 0;
            if rows.column == 1 {
                let from = from.cast::<f32>();
                while i + L::WIDTH <= words {
                    // Words are moved, not computed with.
                    L::store(to.add(i).cast(), L::load(from.add(i)));
                    i += L::WIDTH;
                }
                if i < words {
                    L::store_partial(to.add(i).cast(), L::load_partial(from.add(i), words - i), words - i);
                    i = words;
                }
            }
            while i < words {
                *to.add(i) = one(2 * i) | one(2 * i + 1) << 16;
                i += 1;
            }
            if dim % 2 == 1 {
                *to.add(words) = one(dim - 1);
            }
        }
    }

    #[inline(always)]
    unsafe fn join(low: *const f32, high: *const f32, to: *mut Self) {
        // SAFETY: the caller vouches for the memory and the instructions.
        unsafe { L::store_bf16_pairs(to, L::load(low), L::load(high)) }
    }

    #[inline(always)]
    unsafe fn exponentials<const N: usize>(
        scores: *mut f32,
        len: usize,
        greatest: [L::V; VECTORS],
        factor: f32,
    ) -> [L::V; VECTORS] {
        // SAFETY: the caller vouches for the memory and the instructions. A step takes the place of scores that were
        // read.
        unsafe {
            let mut totals = [L::splat(0.0); VECTORS];
            let factor = L::splat(factor);
            let width = VECTORS * L::WIDTH;
            for step in 0..len.div_ceil(2) {
                for n in 0..N {
                    let at = scores.add(2 * step * width + n * L::WIDTH);
                    let low = exp2_bounded::<L, true>(L::mul(L::sub(L::load(at), greatest[n]), factor));
                    let high = if 2 * step + 1 < len {
                        exp2_bounded::<L, true>(L::mul(L::sub(L::load(at.add(width)), greatest[n]), factor))
                    } else {
                        L::splat(0.0)
                    };
                    L::store_bf16_pairs(scores.add(step * width + n * L::WIDTH).cast(), low, high);
                    totals[n] = L::add(totals[n], L::add(low, high));
                }
            }
            totals
        }
    }
}

/// What is done with the rows of a product as they come, a register tile at a time.
pub(super) trait Take<L: Lanes> {
    /// Takes rows `first..first + R`.
    ///
    /// # Safety
    /// As the implementation says; `L`'s instructions exist.
    unsafe fn take<const R: usize, const N: usize>(&mut self, first: usize, sums: [[L::V; N]; R]);
}

/// `R` rows by `N` vectors over `steps` steps.
///
/// # Safety
/// `left` has `steps` groups of [`tile_rows`] steps, of which `R` count, `right` as many rows of [`VECTORS`] vectors;
/// `L`'s instructions exist.
#[inline(always)]
unsafe fn tile<L: Lanes, F: Step<L>, const R: usize, const N: usize>(
    steps: usize,
    left: *const F,
    right: *const F,
) -> [[L::V; N]; R] {
    // SAFETY: the caller vouches for the memory and the instructions.
    unsafe {
        let mut sums = [[L::splat(0.0); N]; R];
        let (mut left, mut right) = (left, right);
        for _ in 0..steps {
            for (r, row) in sums.iter_mut().enumerate() {
                let factor = *left.add(r);
                for (n, sum) in row.iter_mut().enumerate() {
                    *sum = factor.multiply_add(right.add(n * L::WIDTH), *sum);
                }
            }
            left = left.add(tile_rows::<L>());
            right = right.add(VECTORS * L::WIDTH);
        }
        sums
    }
}

/// The product of `rows` rows, which lie as tiles `[steps][tile_rows]` at distance `tile_len`, with `N` vectors of
/// query rows `[steps][VECTORS · WIDTH]`.
///
/// # Safety
/// The operands are readable; what `take` asks holds; `L`'s instructions exist.
#[inline(always)]
pub(super) unsafe fn product<L: Lanes, F: Step<L>, T: Take<L>, const N: usize>(
    rows: usize,
    steps: usize,
    left: *const F,
    tile_len: usize,
    right: *const F,
    take: &mut T,
) {
    let most = tile_rows::<L>();
    let mut row = 0;
    // SAFETY: the caller vouches for the operands. The conditions on `most` are constants: tiles that would not fit
    // into the registers are not compiled.
    unsafe {
        while row < rows {
            let left = left.add(row / most * tile_len + row % most);
            let count = (rows - row).min(most - row % most);
            macro_rules! run {
                ($rows:literal) => {{
                    take.take::<$rows, N>(row, tile::<L, F, $rows, N>(steps, left, right));
                    row += $rows;
                }};
            }
            if most >= 8 && count >= 8 {
                run!(8)
            } else if most >= 6 && count >= 6 {
                run!(6)
            } else if count >= 4 {
                run!(4)
            } else if count >= 2 {
                run!(2)
            } else {
                run!(1)
            }
        }
    }
}
