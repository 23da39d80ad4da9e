//! One thread's part of a product of bytes: some rows by some panels of the weights.

use super::epilogue::Epilogue;
use super::tile::{product, Quad, COLUMNS, DEPTH, ROWS, STRIDE};
use crate::simd::{load_first, store_first, Kernel, Lanes};
use std::ops::Range;

/// A matrix `[outputs, inputs]` as bytes: a weight is its byte times the scale of its row.
#[derive(Debug, Clone)]
pub(super) struct Quantised {
    /// `[panel][in / 4][COLUMNS]`, four neighbours along `in` per word.
    pub(super) words: Vec<u32>,
    /// One for each output, zero in the last panel's rest.
    pub(super) scales: Vec<f32>,
    /// -128 times the sum of each output's bytes.
    pub(super) corrections: Vec<i32>,
}

/// Some rows and panels of a product.
pub(super) struct ByteBlock<'a> {
    pub(super) weights: &'a Quantised,
    pub(super) outputs: usize,
    pub(super) inputs: usize,
    /// Bytes in the order of [`left`](super::left).
    pub(super) left: *const u32,
    /// The scales of the input's rows.
    pub(super) scales: *const f32,
    /// All rows of the input.
    pub(super) all_rows: usize,
    /// Holds 32-bit integers between passes.
    pub(super) output: *mut f32,
    pub(super) rows: Range<usize>,
    pub(super) panels: Range<usize>,
    pub(super) epilogue: Epilogue<'a>,
    /// Working memory of [`SCRATCH`] values.
    pub(super) scratch: *mut f32,
}

/// Values of working memory for a task: a tile.
pub(super) const SCRATCH: usize = ROWS * COLUMNS;

impl Kernel for ByteBlock<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let tile = self.scratch;
        let words = self.inputs.div_ceil(4);
        // SAFETY: rows and panels exist; the working memory is a tile.
        unsafe {
            let (mut start, mut pass) = (0, 0);
            while start < words {
                let depth = DEPTH.min(words - start);
                let mut row = self.rows.start;
                while row < self.rows.end {
                    let n = ROWS.min(self.rows.end - row);
                    let left = self.left.add((pass * self.all_rows + row) * STRIDE);
                    for p in self.panels.clone() {
                        let right = self.weights.words.as_ptr().add((p * words + start) * COLUMNS);
                        let mut column = 0;
                        while column < COLUMNS {
                            let (right, to) = (right.add(column), tile.add(column));
                            product::<L, Quad, 2>(n, depth, left.cast(), right.cast(), COLUMNS, to, COLUMNS, false);
                            column += 2 * L::WIDTH;
                        }
                        self.finish::<L>(tile, row, n, p, start == 0, start + depth == words);
                    }
                    row += n;
                }
                start += depth;
                pass += 1;
            }
        }
    }
}

impl ByteBlock<'_> {
    /// Adds a tile of integers `[n][COLUMNS]` to the output; with the last pass, scales and completes it.
    #[inline(always)]
    unsafe fn finish<L: Lanes>(&self, tile: *const f32, row: usize, n: usize, p: usize, first: bool, last: bool) {
        let columns = COLUMNS.min(self.outputs - p * COLUMNS);
        for r in 0..n {
            let offset = (row + r) * self.outputs + p * COLUMNS;
            let mut c = 0;
            while c < columns {
                let count = L::WIDTH.min(columns - c);
                let column = p * COLUMNS + c;
                // SAFETY: `count` values exist in the output, whole vectors in the tile and beside the weights, whose
                // tables have whole panels; there is a scale for every row.
                unsafe {
                    let to = self.output.add(offset + c);
                    let mut value = L::load(tile.add(r * COLUMNS + c));
                    if !first {
                        value = L::add_integers(value, load_first::<L>(to, count));
                    }
                    if last {
                        if L::BYTE_OFFSET != 0 {
                            let corrections = self.weights.corrections.as_ptr().add(column);
                            value = L::add_integers(value, L::load(corrections.cast()));
                        }
                        let scale = L::splat(*self.scales.add(row + r));
                        let scale = L::mul(scale, L::load(self.weights.scales.as_ptr().add(column)));
                        value = L::mul(L::integers_to_floats(value), scale);
                        value = self.epilogue.complete::<L>(value, column, offset + c, count);
                    }
                    store_first::<L>(to, value, count);
                }
                c += L::WIDTH;
            }
        }
    }
}
