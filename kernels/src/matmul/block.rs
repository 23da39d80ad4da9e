//! One thread's part of a matrix product: some rows by some panels of the weights.

use super::tile::{product, COLUMNS, DEPTH, ROWS, STRIDE};
use crate::element::Element;
use crate::elementwise::Activation;
use crate::simd::{load_first, store_first, widen, Kernel, Lanes};
use half::{bf16, f16};

/// Input rows of one task: their part of one pass fills half of a second-level cache of 1 MiB.
pub(super) const LARGEST_ROWS: usize = 264;

/// What happens to the product before it becomes the output.
#[derive(Debug, Clone, Copy, Default)]
pub struct Epilogue<'a> {
    /// Added to every row: `[out]`.
    pub bias: Option<&'a [f32]>,
    /// Applied after the bias.
    pub activation: Option<Activation>,
    /// A tensor `[rows, out]` that the result is added to, after the activation.
    pub residual: Option<&'a [f32]>,
}

/// Where the weights come from.
#[derive(Clone, Copy)]
pub(super) enum Weights<'a> {
    PackedF32(&'a [f32]),
    PackedF16(&'a [f16]),
    PackedBF16(&'a [u32]),
}

/// Rows `first_row..last_row` and panels `first_panel..last_panel` of a product.
pub(super) struct Block<'a> {
    pub(super) weights: Weights<'a>,
    pub(super) outputs: usize,
    pub(super) inputs: usize,
    pub(super) input: &'a [f32],
    pub(super) output: *mut f32,
    pub(super) first_row: usize,
    pub(super) last_row: usize,
    pub(super) first_panel: usize,
    pub(super) last_panel: usize,
    pub(super) epilogue: Epilogue<'a>,
    /// Working memory of [`scratch_len`] values.
    pub(super) scratch: *mut f32,
}

/// Values of working memory for a task of so many rows.
pub(super) fn scratch_len(rows: usize) -> usize {
    rows * STRIDE + DEPTH * COLUMNS + ROWS * COLUMNS
}

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let rows = self.last_row - self.first_row;
        let dot = L::DOT_BF16 && matches!(self.weights, Weights::PackedBF16(_));
        // A word holds two values for the bf16 dot product.
        let step = if dot { 2 * DEPTH } else { DEPTH };
        // SAFETY: the working memory has these three parts; rows and panels exist.
        unsafe {
            let left = self.scratch;
            let panel = left.add(rows * STRIDE);
            let result = panel.add(DEPTH * COLUMNS);
            let mut start = 0;
            while start < self.inputs {
                let depth = step.min(self.inputs - start);
                for r in 0..rows {
                    let from = self.input.as_ptr().add((self.first_row + r) * self.inputs + start);
                    let to = left.add(r * STRIDE);
                    if dot {
                        pairs::<L>(from, depth, to.cast());
                    } else {
                        widen::<L>(from.cast(), Element::F32, to, depth);
                    }
                }
                for p in self.first_panel..self.last_panel {
                    let right = if dot {
                        std::ptr::null()
                    } else {
                        self.panel::<L>(p, start, depth, panel)
                    };
                    let mut row = 0;
                    while row < rows {
                        let n = ROWS.min(rows - row);
                        let a = left.add(row * STRIDE);
                        let mut column = 0;
                        while column < COLUMNS {
                            let to = result.add(column);
                            match self.weights {
                                Weights::PackedBF16(words) if dot => {
                                    let offset = (p * self.inputs.div_ceil(2) + start / 2) * COLUMNS + column;
                                    let b = words.as_ptr().add(offset);
                                    let depth = depth.div_ceil(2);
                                    product::<L, u32, 2>(n, depth, a.cast(), b, COLUMNS, to, COLUMNS, false);
                                }
                                _ => {
                                    let b = right.add(column);
                                    product::<L, f32, 2>(n, depth, a, b, COLUMNS, to, COLUMNS, false);
                                }
                            }
                            column += 2 * L::WIDTH;
                        }
                        let last = start + depth == self.inputs;
                        self.finish::<L>(result, row, n, p, start == 0, last);
                        row += n;
                    }
                }
                start += depth;
            }
        }
    }
}

impl Block<'_> {
    /// A panel of `depth` steps as f32 `[depth][COLUMNS]`: in place, or brought into `scratch`.
    #[inline(always)]
    unsafe fn panel<L: Lanes>(&self, p: usize, start: usize, depth: usize, scratch: *mut f32) -> *const f32 {
        let offset = (p * self.inputs + start) * COLUMNS;
        // SAFETY: the panel exists; `scratch` takes DEPTH steps, and `depth` is at most DEPTH.
        unsafe {
            match self.weights {
                Weights::PackedF32(values) => return values.as_ptr().add(offset),
                Weights::PackedF16(values) => {
                    widen::<L>(
                        values.as_ptr().add(offset).cast(),
                        Element::F16,
                        scratch,
                        depth * COLUMNS,
                    );
                }
                Weights::PackedBF16(words) => {
                    // DEPTH is even, so a pass starts with a whole pair.
                    let words = words.as_ptr().add((p * self.inputs.div_ceil(2) + start / 2) * COLUMNS);
                    for i in 0..depth.div_ceil(2) {
                        let mut column = 0;
                        while column < COLUMNS {
                            let (even, odd) = L::split_bf16(words.add(i * COLUMNS + column));
                            L::store(scratch.add(2 * i * COLUMNS + column), even);
                            L::store(scratch.add((2 * i + 1) * COLUMNS + column), odd);
                            column += L::WIDTH;
                        }
                    }
                }
            }
        }
        scratch
    }

    /// Adds a tile `[n][COLUMNS]` to the output; with the last pass, completes it.
    #[inline(always)]
    unsafe fn finish<L: Lanes>(&self, tile: *const f32, row: usize, n: usize, p: usize, first: bool, last: bool) {
        let columns = COLUMNS.min(self.outputs - p * COLUMNS);
        for r in 0..n {
            let offset = (self.first_row + row + r) * self.outputs + p * COLUMNS;
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
                        if let Some(bias) = self.epilogue.bias {
                            value = L::add(value, load_first::<L>(bias.as_ptr().add(p * COLUMNS + c), count));
                        }
                        if let Some(activation) = self.epilogue.activation {
                            value = activation.vector::<L>(value);
                        }
                        if let Some(residual) = self.epilogue.residual {
                            value = L::add(value, load_first::<L>(residual.as_ptr().add(offset + c), count));
                        }
                    }
                    store_first::<L>(to, value, count);
                }
                c += L::WIDTH;
            }
        }
    }
}

/// Rounds `count` values to bf16, two per word; an odd rest gets a zero.
#[inline(always)]
unsafe fn pairs<L: Lanes>(from: *const f32, count: usize, to: *mut u32) {
    // SAFETY: the caller vouches for `count` values and half as many words, rounded up.
    unsafe {
        let to = to.cast::<u16>();
        let mut i = 0;
        while i + L::WIDTH <= count {
            L::store_bf16(to.add(i), L::load(from.add(i)));
            i += L::WIDTH;
        }
        while i < count.next_multiple_of(2) {
            let value = if i < count { *from.add(i) } else { 0.0 };
            *to.add(i) = bf16::from_f32(value).to_bits();
            i += 1;
        }
    }
}
