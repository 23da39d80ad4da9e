//! The register tile that every matrix product here is made of.

use super::ahead::Ahead;
use super::factor::Factor;
use super::matrix_tile::matrix_tile;
use crate::simd::Lanes;

/// Rows that the left operand is blocked by. Its blocks always have this many rows in memory.
pub(crate) const ROWS: usize = 12;

/// Columns of a panel of the right operand: two AVX-512 vectors.
pub(crate) const COLUMNS: usize = 32;

/// The longest part of the inner dimension in one pass.
pub(crate) const DEPTH: usize = 512;

/// Distance between the rows of the left operand. Not a power of two: twelve rows would fall into the same
/// few sets of the cache. A constant, so that the row offsets are part of the instructions.
pub(crate) const STRIDE: usize = DEPTH + 16;

/// How far before its use a line of the right operand is asked for, in bytes.
const DISTANCE: usize = 1024;

/// Bytes of a line of the cache.
const LINE: usize = 64;

/// `R` rows by `N` vectors of `a · b` over `depth` steps. The factors of `a` for one step lie `ROW` apart, its steps
/// `a_step` apart; `b` has rows of `b_stride`.
///
/// # Safety
/// `a` is readable for `R` rows of `depth` factors, `b` for `depth` rows of `N` vectors; `L`'s instructions exist.
#[inline(always)]
unsafe fn tile<L: Lanes, F: Factor<L>, const R: usize, const N: usize, const ROW: usize>(
    depth: usize,
    a: *const F,
    a_step: usize,
    b: *const F,
    b_stride: usize,
    ahead: Ahead,
) -> [[L::V; N]; R] {
    // SAFETY: the caller vouches for the memory and the instructions.
    unsafe {
        let mut acc = [[L::splat(0.0); N]; R];
        let mut a = a;
        let mut b = b;
        let [mut weights, mut left] = ahead.addresses;
        for _ in 0..depth {
            for line in 0..(4 * N * L::WIDTH).div_ceil(LINE) {
                L::prefetch(b.cast::<u8>().wrapping_add(DISTANCE + line * LINE));
            }
            L::prefetch_far(weights);
            L::prefetch_far(left);
            weights = weights.wrapping_add(ahead.steps[0]);
            left = left.wrapping_add(ahead.steps[1]);
            let mut right = [F::vector(b); N];
            for (n, vector) in right.iter_mut().enumerate().skip(1) {
                *vector = F::vector(b.add(n * L::WIDTH));
            }
            for (r, row) in acc.iter_mut().enumerate() {
                let left = *a.add(r * ROW);
                for n in 0..N {
                    row[n] = left.multiply_add(right[n], row[n]);
                }
            }
            a = a.add(a_step);
            b = b.add(b_stride);
        }
        acc
    }
}

/// Whether the accumulators of an `rows` by `n` tile, `n` operands and one broadcast value fit in registers. Products of
/// small matrices hold two steps of the right operand, as they come and sorted.
#[inline(always)]
fn fits<L: Lanes, F: Factor<L>>(rows: usize, n: usize) -> bool {
    rows * n + if F::MATRIX { 4 * n } else { n } < L::REGISTERS
}

/// `c = a · b` or `c += a · b` for `rows` rows by `N` vectors; `a` in rows of [`STRIDE`], see [`tile`].
///
/// # Safety
/// As [`tile`] for `rows` rows; `c` is writable for `rows` rows of `N` vectors at distance `c_stride`.
#[cfg(feature = "gradients")]
#[inline(always)]
#[allow(clippy::too_many_arguments)] // the arguments of a matrix product
pub(crate) unsafe fn product<L: Lanes, F: Factor<L>, const N: usize>(
    rows: usize,
    depth: usize,
    a: *const F,
    b: *const F,
    b_stride: usize,
    c: *mut f32,
    c_stride: usize,
    accumulate: bool,
) {
    // SAFETY: the caller vouches for the memory and the instructions.
    unsafe { tiles::<L, F, N, STRIDE>(rows, depth, a, 1, b, b_stride, c, c_stride, accumulate, Ahead::none(b)) }
}

/// Where a product goes: rows at a distance, overwritten or added to.
#[derive(Clone, Copy)]
pub(super) struct Goal {
    pub(super) start: *mut f32,
    pub(super) stride: usize,
    pub(super) accumulate: bool,
}

impl Goal {
    /// A tile `[rows][COLUMNS]`.
    pub(super) fn tile(start: *mut f32) -> Self {
        Self {
            start,
            stride: COLUMNS,
            accumulate: false,
        }
    }

    /// The same from another column on.
    pub(super) fn at_column(self, column: usize) -> Self {
        Self {
            start: self.start.wrapping_add(column),
            ..self
        }
    }
}

/// [`product`] of two vectors of a panel of [`COLUMNS`] columns, which asks for memory that comes next.
///
/// # Safety
/// As [`product`].
#[inline(always)]
pub(super) unsafe fn product_ahead<L: Lanes, F: Factor<L>>(
    rows: usize,
    depth: usize,
    a: *const F,
    b: *const F,
    c: Goal,
    ahead: Ahead,
) {
    // SAFETY: the caller vouches for the memory and the instructions.
    unsafe { tiles::<L, F, 2, STRIDE>(rows, depth, a, 1, b, COLUMNS, c.start, c.stride, c.accumulate, ahead) }
}

/// [`product`] that overwrites `c`, with `a` in rows of `ROW` values.
///
/// # Safety
/// As [`product`].
#[inline(always)]
pub(crate) unsafe fn product_in_rows<L: Lanes, F: Factor<L>, const N: usize, const ROW: usize>(
    rows: usize,
    depth: usize,
    a: *const F,
    b: *const F,
    b_stride: usize,
    c: *mut f32,
    c_stride: usize,
) {
    // SAFETY: the caller vouches for the memory and the instructions.
    unsafe { tiles::<L, F, N, ROW>(rows, depth, a, 1, b, b_stride, c, c_stride, false, Ahead::none(b)) }
}

/// [`product`] with a transposed left operand: step `i` of row `r` lies at `a[i * a_step + r]`.
///
/// # Safety
/// As [`product`].
#[cfg(feature = "gradients")]
#[inline(always)]
#[allow(clippy::too_many_arguments)] // the arguments of a matrix product
pub(crate) unsafe fn product_transposed<L: Lanes, F: Factor<L>, const N: usize>(
    rows: usize,
    depth: usize,
    a: *const F,
    a_step: usize,
    b: *const F,
    b_stride: usize,
    c: *mut f32,
    c_stride: usize,
    accumulate: bool,
) {
    // SAFETY: the caller vouches for the memory and the instructions.
    unsafe {
        tiles::<L, F, N, 1>(
            rows,
            depth,
            a,
            a_step,
            b,
            b_stride,
            c,
            c_stride,
            accumulate,
            Ahead::none(b),
        )
    }
}

#[inline(always)]
#[allow(clippy::too_many_arguments)] // the arguments of a matrix product
unsafe fn tiles<L: Lanes, F: Factor<L>, const N: usize, const ROW: usize>(
    rows: usize,
    depth: usize,
    a: *const F,
    a_step: usize,
    b: *const F,
    b_stride: usize,
    c: *mut f32,
    c_stride: usize,
    accumulate: bool,
    ahead: Ahead,
) {
    // The conditions on `fits` are constants: tiles that spill registers are not even compiled.
    macro_rules! tile_of {
        ($rows:literal, $a:expr, $c:expr) => {{
            // The steps of a row that lies in one piece follow each other.
            let sums = if F::MATRIX && ROW > 1 && $rows % 2 == 0 {
                matrix_tile::<L, F, $rows, N, ROW>(depth, $a, b, b_stride)
            } else {
                tile::<L, F, $rows, N, ROW>(depth, $a, a_step, b, b_stride, ahead)
            };
            put::<L, $rows, N>(sums, $c, c_stride, accumulate)
        }};
    }
    // SAFETY: the caller vouches for the memory and the instructions; tiles stay inside `rows`.
    unsafe {
        let mut row = 0;
        while row < rows {
            let left = rows - row;
            let a = a.add(row * ROW);
            let c = c.add(row * c_stride);
            if fits::<L, F>(12, N) && left >= 12 {
                tile_of!(12, a, c);
                row += 12;
            } else if fits::<L, F>(8, N) && left >= 8 {
                tile_of!(8, a, c);
                row += 8;
            } else if fits::<L, F>(6, N) && left >= 6 {
                tile_of!(6, a, c);
                row += 6;
            } else if left >= 4 {
                tile_of!(4, a, c);
                row += 4;
            } else if left >= 2 {
                tile_of!(2, a, c);
                row += 2;
            } else {
                tile_of!(1, a, c);
                row += 1;
            }
        }
    }
}

/// Stores a tile, or adds it to what is there.
#[inline(always)]
unsafe fn put<L: Lanes, const R: usize, const N: usize>(
    acc: [[L::V; N]; R],
    c: *mut f32,
    c_stride: usize,
    accumulate: bool,
) {
    // SAFETY: the caller vouches for the memory and the instructions.
    unsafe {
        for (r, row) in acc.iter().enumerate() {
            for (n, sum) in row.iter().enumerate() {
                let to = c.add(r * c_stride + n * L::WIDTH);
                let sum = if accumulate { L::add(L::load(to), *sum) } else { *sum };
                L::store(to, sum);
            }
        }
    }
}
