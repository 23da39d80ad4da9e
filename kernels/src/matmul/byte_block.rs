//! One thread's part of a product of bytes: some rows by some panels of the weights.

use super::ahead::{Ahead, Later};
use super::epilogue::Epilogue;
use super::factor::Quad;
use super::left::{computed, next_rows};
use super::plan::group_len;
use super::tile::{product_ahead, Goal, COLUMNS, DEPTH, ROWS, STRIDE};
use crate::pages::Pages;
use crate::simd::{load_first, store_first, Kernel, Lanes};
use std::ops::Range;

/// A matrix `[outputs, inputs]` as bytes: a weight is its byte times the scale of its row.
#[derive(Debug, Clone)]
pub(super) struct Quantised {
    /// `[panel][in / 4][COLUMNS]`, four neighbours along `in` per word.
    pub(super) words: Pages<u32>,
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
    /// Weights and panels of the task that follows, whose beginning is asked for in time.
    pub(super) after: Option<(&'a Quantised, Range<usize>)>,
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
        let words = self.inputs.div_ceil(4);
        let group = group_len(self.panels.len());
        for first in self.panels.clone().step_by(group) {
            let panels = first..self.panels.end.min(first + group);
            let mut start = 0;
            while start < words {
                let depth = DEPTH.min(words - start);
                let next = if start + depth < words {
                    Some((self.weights, first..self.panels.end, start + depth))
                } else if panels.end < self.panels.end {
                    Some((self.weights, panels.end..self.panels.end, 0))
                } else {
                    self.after.clone().map(|(weights, panels)| (weights, panels, 0))
                };
                let pass = Pass {
                    panels: panels.clone(),
                    start,
                    depth,
                    next,
                };
                // SAFETY: rows and panels exist.
                unsafe { self.pass::<L>(&pass) };
                start += depth;
            }
        }
    }
}

/// A part of the inner dimension, in words, of a group of panels.
struct Pass<'a> {
    panels: Range<usize>,
    start: usize,
    depth: usize,
    /// What the pass that follows reads: weights of the first of these panels, from a word on.
    next: Option<(&'a Quantised, Range<usize>, usize)>,
}

impl ByteBlock<'_> {
    /// All rows by the panels of a pass.
    #[inline(always)]
    unsafe fn pass<L: Lanes>(&self, pass: &Pass<'_>) {
        let words = self.inputs.div_ceil(4);
        let tile = self.scratch;
        let tiles = self.rows.len().div_ceil(ROWS);
        let halves = COLUMNS / (2 * L::WIDTH);
        let last = pass.start + pass.depth == words;
        let right = |weights: &Quantised, p: usize, start: usize| {
            weights.words.as_ptr().wrapping_add((p * words + start) * COLUMNS)
        };
        for t in 0..tiles {
            let row = self.rows.start + t * ROWS;
            let n = ROWS.min(self.rows.end - row);
            let left = self
                .left
                .wrapping_add((pass.start / DEPTH * self.all_rows + row) * STRIDE);
            for p in pass.panels.clone() {
                let index = p - pass.panels.start;
                for half in 0..halves {
                    let mut ahead = Ahead::none(left);
                    ahead.part(
                        1,
                        next_rows(left),
                        (index * halves + half, pass.panels.len() * halves),
                        pass.depth,
                    );
                    if let Some((weights, panels, start)) = pass.next.as_ref().filter(|next| index < next.1.len()) {
                        let piece = Later {
                            start: right(weights, panels.start + index, *start).cast(),
                            bytes: 4 * DEPTH.min(words - start) * COLUMNS,
                        };
                        ahead.part(0, piece, (t * halves + half, tiles * halves), pass.depth);
                    }
                    let column = half * 2 * L::WIDTH;
                    // SAFETY: rows and panels exist; the working memory is a tile.
                    unsafe {
                        let right = right(self.weights, p, pass.start).add(column);
                        product_ahead::<L, Quad>(
                            computed(n),
                            pass.depth,
                            left.cast(),
                            right.cast(),
                            Goal::tile(tile).at_column(column),
                            ahead,
                        );
                    }
                }
                // SAFETY: as above; the tile is complete.
                unsafe { self.finish::<L>(tile, row, n, p, pass.start == 0, last) };
            }
        }
    }

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
