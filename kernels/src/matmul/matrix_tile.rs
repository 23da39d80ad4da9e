//! The register tile of processors that multiply two rows by two columns in one instruction.

use super::factor::Factor;
use crate::simd::Lanes;

/// Vectors of the right operand, sorted into pairs of columns.
type Columns<L> = (<L as Lanes>::V, <L as Lanes>::V);

/// `R` rows by `N` vectors of `a · b` over `depth` words, the same numbers as one word after the other: `R` is even,
/// the rows of `a` lie `ROW` apart, and `b` has rows of `b_stride`.
///
/// A word of the left operand's row and one of the right operand's column make half of what an instruction takes, so
/// two steps are made at once. The order of the operands in memory stays that of products word by word.
///
/// # Safety
/// `a` is readable for `R` rows of `depth` words, `b` for `depth` rows of `N` vectors; `L`'s instructions exist, and
/// `F::MATRIX` holds.
#[inline(always)]
pub(super) unsafe fn matrix_tile<L: Lanes, F: Factor<L>, const R: usize, const N: usize, const ROW: usize>(
    depth: usize,
    a: *const F,
    b: *const F,
    b_stride: usize,
) -> [[L::V; N]; R] {
    let (mut a, mut b) = (a.cast::<u32>(), b.cast::<f32>());
    // SAFETY: the caller vouches for the memory and the instructions.
    unsafe {
        let zero = L::splat(0.0);
        // Two rows by a vector's lower and upper two columns. A half of them is used: R / 2 is no constant yet.
        let mut sums = [[(zero, zero); N]; R];
        let mut columns = [(zero, zero); N];
        for _ in 0..depth / 2 {
            for (n, pair) in columns.iter_mut().enumerate() {
                let step = b.add(n * L::WIDTH);
                *pair = L::in_turn(L::load(step), L::load(step.add(b_stride)));
            }
            for (pair, sums) in sums.iter_mut().enumerate().take(R / 2) {
                let first = a.add(2 * pair * ROW);
                multiply_add::<L, F, N>(L::two_rows(first, first.add(ROW)), &columns, sums);
            }
            a = a.add(2);
            b = b.add(2 * b_stride);
        }
        if depth % 2 == 1 {
            for (n, pair) in columns.iter_mut().enumerate() {
                *pair = L::in_turn(L::load(b.add(n * L::WIDTH)), zero);
            }
            for (pair, sums) in sums.iter_mut().enumerate().take(R / 2) {
                let first = a.add(2 * pair * ROW);
                // What follows in memory is no part of the product.
                let (first, second) = ([*first, 0], [*first.add(ROW), 0]);
                multiply_add::<L, F, N>(L::two_rows(first.as_ptr(), second.as_ptr()), &columns, sums);
            }
        }
        let mut rows = [[zero; N]; R];
        for pair in 0..R / 2 {
            for n in 0..N {
                let (lower, upper) = sums[pair][n];
                (rows[2 * pair][n], rows[2 * pair + 1][n]) = L::halves(lower, upper);
            }
        }
        rows
    }
}

#[inline(always)]
unsafe fn multiply_add<L: Lanes, F: Factor<L>, const N: usize>(
    rows: L::V,
    columns: &[Columns<L>; N],
    sums: &mut [(L::V, L::V); N],
) {
    for (columns, sums) in columns.iter().zip(sums) {
        // SAFETY: the caller vouches for the instructions.
        unsafe {
            sums.0 = F::multiply_add_matrix(rows, columns.0, sums.0);
            sums.1 = F::multiply_add_matrix(rows, columns.1, sums.1);
        }
    }
}
