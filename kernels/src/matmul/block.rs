//! One thread's part of a matrix product in floating point: some rows by some panels of the weights.

use super::epilogue::Epilogue;
use super::plan::MOST_PANELS;
use super::tile::{product, COLUMNS, DEPTH, ROWS, STRIDE};
use crate::element::Element;
use crate::simd::{load_first, store_first, widen, Kernel, Lanes};
use half::f16;
use std::ops::Range;

/// Where the weights come from.
#[derive(Clone, Copy)]
pub(super) enum Weights<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
    BF16(&'a [u32]),
}

/// Where the input comes from.
#[derive(Clone, Copy)]
pub(super) enum Left<'a> {
    /// `[rows, inputs]`, for products of f32.
    Rows(&'a [f32]),
    /// Pairs of bf16 in the order of [`left`](super::left), for dot products with bf16 weights.
    Pairs(*const u32),
}

/// Some rows and panels of a product.
pub(super) struct Block<'a> {
    pub(super) weights: Weights<'a>,
    pub(super) outputs: usize,
    pub(super) inputs: usize,
    pub(super) left: Left<'a>,
    /// All rows of the input.
    pub(super) all_rows: usize,
    pub(super) output: *mut f32,
    pub(super) rows: Range<usize>,
    pub(super) panels: Range<usize>,
    pub(super) epilogue: Epilogue<'a>,
    /// Working memory of [`SCRATCH`] values.
    pub(super) scratch: *mut f32,
}

/// Values of working memory for a task: rows of the input, a tile, the panels of a pass as f32.
pub(super) const SCRATCH: usize = ROWS * STRIDE + ROWS * COLUMNS + MOST_PANELS * DEPTH * COLUMNS;

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        // A word holds two values for the bf16 dot product.
        let step = match self.left {
            Left::Rows(_) => DEPTH,
            Left::Pairs(_) => 2 * DEPTH,
        };
        // SAFETY: the working memory has these three parts; rows and panels exist.
        unsafe {
            let copied = self.scratch;
            let tile = copied.add(ROWS * STRIDE);
            let widened = tile.add(ROWS * COLUMNS);
            let (mut start, mut pass) = (0, 0);
            while start < self.inputs {
                let depth = step.min(self.inputs - start);
                if matches!(self.left, Left::Rows(_)) {
                    for p in self.panels.clone() {
                        let to = widened.add((p - self.panels.start) * DEPTH * COLUMNS);
                        self.widen_panel::<L>(p, start, depth, to);
                    }
                }
                let mut row = self.rows.start;
                while row < self.rows.end {
                    let n = ROWS.min(self.rows.end - row);
                    // The rows stay in the nearest cache while the panels pass by.
                    let left = match self.left {
                        Left::Pairs(words) => words.add((pass * self.all_rows + row) * STRIDE),
                        Left::Rows(input) => {
                            for r in 0..n {
                                let from = input.as_ptr().add((row + r) * self.inputs + start);
                                widen::<L>(from.cast(), Element::F32, copied.add(r * STRIDE), depth);
                            }
                            copied.cast_const().cast()
                        }
                    };
                    for p in self.panels.clone() {
                        self.multiply::<L>(left, p, start, depth, n, widened, tile);
                        let last = start + depth == self.inputs;
                        self.finish::<L>(tile, row, n, p, start == 0, last);
                    }
                    row += n;
                }
                start += depth;
                pass += 1;
            }
        }
    }
}

impl Block<'_> {
    /// A tile `[n][COLUMNS]` of the pass: `n` rows of `left` by panel `p`.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)] // the operands of a matrix product
    unsafe fn multiply<L: Lanes>(
        &self,
        left: *const u32,
        p: usize,
        start: usize,
        depth: usize,
        n: usize,
        widened: *const f32,
        tile: *mut f32,
    ) {
        // SAFETY: the caller vouches for the operands; panels have COLUMNS columns, whole vectors.
        unsafe {
            let mut column = 0;
            while column < COLUMNS {
                let to = tile.add(column);
                match (self.left, self.weights) {
                    (Left::Pairs(_), Weights::BF16(words)) => {
                        let offset = (p * self.inputs.div_ceil(2) + start / 2) * COLUMNS + column;
                        let right = words.as_ptr().add(offset);
                        product::<L, u32, 2>(n, depth.div_ceil(2), left, right, COLUMNS, to, COLUMNS, false);
                    }
                    (_, weights) => {
                        let right = match weights {
                            Weights::F32(values) => values.as_ptr().add((p * self.inputs + start) * COLUMNS),
                            _ => widened.add((p - self.panels.start) * DEPTH * COLUMNS),
                        };
                        let right = right.add(column);
                        product::<L, f32, 2>(n, depth, left.cast(), right, COLUMNS, to, COLUMNS, false);
                    }
                }
                column += 2 * L::WIDTH;
            }
        }
    }

    /// Brings `depth` steps of a panel to `to` as f32 `[depth][COLUMNS]`, where they are stored in another type.
    #[inline(always)]
    unsafe fn widen_panel<L: Lanes>(&self, p: usize, start: usize, depth: usize, to: *mut f32) {
        // SAFETY: the panel exists; `to` takes DEPTH steps, and `depth` is at most DEPTH.
        unsafe {
            match self.weights {
                Weights::F32(_) => {}
                Weights::F16(values) => {
                    let from = values.as_ptr().add((p * self.inputs + start) * COLUMNS);
                    widen::<L>(from.cast(), Element::F16, to, depth * COLUMNS);
                }
                Weights::BF16(words) => {
                    // DEPTH is even, so a pass starts with a whole pair.
                    let words = words.as_ptr().add((p * self.inputs.div_ceil(2) + start / 2) * COLUMNS);
                    for i in 0..depth.div_ceil(2) {
                        let mut column = 0;
                        while column < COLUMNS {
                            let (even, odd) = L::split_bf16(words.add(i * COLUMNS + column));
                            L::store(to.add(2 * i * COLUMNS + column), even);
                            L::store(to.add((2 * i + 1) * COLUMNS + column), odd);
                            column += L::WIDTH;
                        }
                    }
                }
            }
        }
    }

    /// Adds a tile `[n][COLUMNS]` to the output; with the last pass, completes it.
    #[inline(always)]
    unsafe fn finish<L: Lanes>(&self, tile: *const f32, row: usize, n: usize, p: usize, first: bool, last: bool) {
        let columns = COLUMNS.min(self.outputs - p * COLUMNS);
        for r in 0..n {
            let offset = (row + r) * self.outputs + p * COLUMNS;
            let mut c = 0;
            while c < columns {
                let count = L::WIDTH.min(columns - c);
                // SAFETY: `count` values exist in the tile, the output, the bias and the residual.
                unsafe {
                    let to = self.output.add(offset + c);
                    let mut value = load_first::<L>(tile.add(r * COLUMNS + c), L::WIDTH);
                    if !first {
                        value = L::add(value, load_first::<L>(to, count));
                    }
                    if last {
                        value = self.epilogue.complete::<L>(value, p * COLUMNS + c, offset + c, count);
                    }
                    store_first::<L>(to, value, count);
                }
                c += L::WIDTH;
            }
        }
    }
}
