//! Keeping the attention of a block, and how much of it lies along the output.

use super::block::{padded, Block, Keep, Scratch};
use crate::simd::{load_element, load_one, Lanes};

impl Block<'_> {
    /// Keeps the attention of rows whose place in the group begins at `index`.
    #[inline(always)]
    pub(super) unsafe fn keep<L: Lanes>(&self, scratch: &Scratch, rows: &[usize], index: usize, keep: Keep) {
        // SAFETY: the rows exist; the creator of the block vouches for the places to keep them.
        unsafe {
            let totals = scratch.total.add(index);
            for (r, &row) in rows.iter().enumerate() {
                let total = totals.add(r);
                *total = 1.0 / *total;
                if !keep.leading.is_null() {
                    *keep.leading.add(row) = *scratch.leading.add(index + r) / *scratch.plain_total.add(index + r);
                }
            }
            let mut d = 0;
            if self.output.column == 1 {
                // Whole cache lines of f32 where the head has them.
                while d + 2 * L::WIDTH <= self.head_dim {
                    self.keep_columns::<L, 2>(scratch.rows, totals, rows, keep, d);
                    d += 2 * L::WIDTH;
                }
                while d + L::WIDTH <= self.head_dim {
                    self.keep_columns::<L, 1>(scratch.rows, totals, rows, keep, d);
                    d += L::WIDTH;
                }
            }
            let dim = padded(self.head_dim);
            let step = self.output.column * self.output.element.size() as isize;
            while d < self.head_dim {
                let (mut along, mut own) = (0.0, 0.0);
                for (r, &row) in rows.iter().enumerate() {
                    let value = *scratch.rows.add(r * dim + d) * *totals.add(r);
                    *keep.attention.add(row * dim + d) = value;
                    let from = self.output.at(row).wrapping_offset(d as isize * step);
                    let output = load_one(from, self.output.element);
                    along += output * value;
                    own += output * output;
                }
                *keep.sums.add(d) += along;
                *keep.sums.add(dim + d) += own;
                d += 1;
            }
        }
    }

    /// Keeps `N` vectors of columns from `d` on. The sums of these rows are formed before they join the others: sums
    /// of few rows lose less.
    #[inline(always)]
    unsafe fn keep_columns<L: Lanes, const N: usize>(
        &self,
        attention: *const f32,
        totals: *const f32,
        rows: &[usize],
        keep: Keep,
        d: usize,
    ) {
        let dim = padded(self.head_dim);
        let (element, size) = (self.output.element, self.output.element.size());
        // SAFETY: as in `keep`; the columns exist and lie next to each other.
        unsafe {
            let (mut along, mut own) = ([L::splat(0.0); N], [L::splat(0.0); N]);
            for (r, &row) in rows.iter().enumerate() {
                let factor = L::splat(*totals.add(r));
                let from = self.output.at(row).add(d * size);
                for n in 0..N {
                    let at = d + n * L::WIDTH;
                    let value = L::mul(L::load(attention.add(r * dim + at)), factor);
                    L::store(keep.attention.add(row * dim + at), value);
                    let output = load_element::<L>(from.add(n * L::WIDTH * size), element);
                    along[n] = L::fma(output, value, along[n]);
                    own[n] = L::fma(output, output, own[n]);
                }
            }
            for n in 0..N {
                for (sums, sum) in [(keep.sums, along[n]), (keep.sums.add(dim), own[n])] {
                    let to = sums.add(d + n * L::WIDTH);
                    L::store(to, L::add(L::load(to), sum));
                }
            }
        }
    }
}
