//! What becomes of the rows of the two products.

use super::rows::Rows;
use super::tile::{Take, VECTORS};
use crate::simd::Lanes;

/// Rows to ask the memory for while there is other work.
pub(super) struct Ahead<'a> {
    pub(super) query: &'a Rows,
    pub(super) output: &'a Rows,
    pub(super) next: usize,
    pub(super) last: usize,
    pub(super) dim: usize,
    /// Rows at a time.
    pub(super) step: usize,
}

impl Ahead<'_> {
    #[inline(always)]
    unsafe fn prefetch<L: Lanes>(&mut self) {
        let end = self.last.min(self.next + self.step);
        while self.next < end {
            // SAFETY: the caller vouches for the instructions.
            unsafe {
                self.query.prefetch::<L>(self.next, self.dim);
                self.output.prefetch::<L>(self.next, self.dim);
            }
            self.next += 1;
        }
    }
}

/// Stores scores and looks for the greatest ones.
pub(super) struct Scores<'a, L: Lanes> {
    /// `[token][VECTORS · WIDTH]`
    pub(super) scores: *mut f32,
    pub(super) greatest: [L::V; VECTORS],
    pub(super) ahead: Ahead<'a>,
}

impl<L: Lanes> Take<L> for Scores<'_, L> {
    #[inline(always)]
    unsafe fn take<const R: usize, const N: usize>(&mut self, first: usize, sums: [[L::V; N]; R]) {
        // SAFETY: the caller vouches for the scores and the instructions.
        unsafe {
            for (r, row) in sums.iter().enumerate() {
                for (n, sum) in row.iter().enumerate() {
                    L::store(self.scores.add(((first + r) * VECTORS + n) * L::WIDTH), *sum);
                    self.greatest[n] = L::max(self.greatest[n], *sum);
                }
            }
            self.ahead.prefetch::<L>();
        }
    }
}

/// Stores sums of values, or adds them to the corrected ones of earlier tokens.
pub(super) struct Sums<L: Lanes> {
    /// `[head_dim][VECTORS · WIDTH]`
    pub(super) sums: *mut f32,
    pub(super) corrections: Option<[L::V; VECTORS]>,
}

impl<L: Lanes> Take<L> for Sums<L> {
    #[inline(always)]
    unsafe fn take<const R: usize, const N: usize>(&mut self, first: usize, sums: [[L::V; N]; R]) {
        // SAFETY: the caller vouches for the sums and the instructions.
        unsafe {
            for (r, row) in sums.iter().enumerate() {
                for (n, sum) in row.iter().enumerate() {
                    let to = self.sums.add(((first + r) * VECTORS + n) * L::WIDTH);
                    let sum = match self.corrections {
                        Some(corrections) => L::fma(L::load(to), corrections[n], *sum),
                        None => *sum,
                    };
                    L::store(to, sum);
                }
            }
        }
    }
}
