//! One thread's part of a matrix product in floating point: some rows by some panels of the weights.

use super::ahead::{Ahead, Later};
use super::epilogue::Epilogue;
use super::left::{computed, next_rows};
use super::plan::{group_len, MOST_PANELS};
use super::tile::{product_ahead, Goal, COLUMNS, DEPTH, ROWS, STRIDE};
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

/// Some rows and panels of a product.
pub(super) struct Block<'a> {
    pub(super) weights: Weights<'a>,
    pub(super) outputs: usize,
    pub(super) inputs: usize,
    /// The input in the order of [`left`](super::left).
    pub(super) left: *const u32,
    /// Whether its words are pairs of bf16, for dot products with bf16 weights; else they are f32 values.
    pub(super) pairs: bool,
    /// All rows of the input.
    pub(super) all_rows: usize,
    pub(super) output: *mut f32,
    /// Whether the output has the order of [`left`](super::left), a value to a word; then there is no residual.
    pub(super) is_left: bool,
    pub(super) rows: Range<usize>,
    pub(super) panels: Range<usize>,
    /// Weights and panels of the task that follows, whose beginning is asked for in time.
    pub(super) after: Option<(Weights<'a>, Range<usize>)>,
    pub(super) epilogue: Epilogue<'a>,
    /// Working memory of [`SCRATCH`] values.
    pub(super) scratch: *mut f32,
}

/// Values of working memory for a task: a tile, the panels of a pass as f32.
pub(super) const SCRATCH: usize = ROWS * COLUMNS + MOST_PANELS * DEPTH * COLUMNS;

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        // A word holds two values for the bf16 dot product.
        let step = if self.pairs { 2 * DEPTH } else { DEPTH };
        let group = group_len(self.panels.len());
        for first in self.panels.clone().step_by(group) {
            let panels = first..self.panels.end.min(first + group);
            let mut start = 0;
            while start < self.inputs {
                let depth = step.min(self.inputs - start);
                let next = if start + depth < self.inputs {
                    Some((self.weights, first..self.panels.end, start + depth))
                } else if panels.end < self.panels.end {
                    Some((self.weights, panels.end..self.panels.end, 0))
                } else {
                    self.after.clone().map(|(weights, panels)| (weights, panels, 0))
                };
                let pass = Pass {
                    panels: panels.clone(),
                    number: start / step,
                    start,
                    depth,
                    next: next.map(|(weights, panels, start)| Next {
                        weights,
                        panels,
                        start,
                        depth: step.min(self.inputs - start),
                    }),
                };
                // SAFETY: rows and panels exist.
                unsafe { self.pass::<L>(&pass) };
                start += depth;
            }
        }
    }
}

/// A part of the inner dimension of a group of panels.
struct Pass<'a> {
    panels: Range<usize>,
    number: usize,
    start: usize,
    depth: usize,
    next: Option<Next<'a>>,
}

/// What the pass that follows reads: a part of the inner dimension of the first of these panels.
struct Next<'a> {
    weights: Weights<'a>,
    panels: Range<usize>,
    start: usize,
    depth: usize,
}

impl Block<'_> {
    /// All rows by the panels of a pass.
    #[inline(always)]
    unsafe fn pass<L: Lanes>(&self, pass: &Pass<'_>) {
        // SAFETY: the working memory has these two parts; the caller vouches for rows and panels.
        unsafe {
            let tile = self.scratch;
            let widened = tile.add(ROWS * COLUMNS);
            if !self.pairs {
                for p in pass.panels.clone() {
                    let to = widened.add((p - pass.panels.start) * DEPTH * COLUMNS);
                    self.widen_panel::<L>(p, pass.start, pass.depth, to);
                }
            }
            let tiles = self.rows.len().div_ceil(ROWS);
            let last = pass.start + pass.depth == self.inputs;
            for t in 0..tiles {
                let row = self.rows.start + t * ROWS;
                let n = ROWS.min(self.rows.end - row);
                // The rows stay in the nearest cache while the panels pass by.
                let left = self.left.add((pass.number * self.all_rows + row) * STRIDE);
                for p in pass.panels.clone() {
                    // What is not complete yet goes to the output at once, where a whole tile has room.
                    let direct = !last && computed(n) == n && (p + 1) * COLUMNS <= self.outputs;
                    let goal = match direct {
                        true => {
                            let (offset, stride) = self.place(row, p);
                            Goal {
                                start: self.output.add(offset),
                                stride,
                                accumulate: pass.start > 0,
                            }
                        }
                        false => Goal::tile(tile),
                    };
                    self.multiply::<L>(left, p, pass, (t, tiles), computed(n), goal);
                    if !direct {
                        self.finish::<L>(tile, row, n, p, pass.start == 0, last);
                    }
                }
            }
        }
    }

    /// Where a row begins in the output of panel `p`, and the distance of the rows.
    #[inline(always)]
    fn place(&self, row: usize, p: usize) -> (usize, usize) {
        let column = p * COLUMNS;
        match self.is_left {
            // Passes are made of whole panels.
            true => (
                ((column / DEPTH) * self.all_rows + row) * STRIDE + column % DEPTH,
                STRIDE,
            ),
            false => (row * self.outputs + column, self.outputs),
        }
    }

    /// A tile of the pass: `n` rows of `left` by panel `p`. It is tile `part.0` of `part.1`.
    #[inline(always)]
    unsafe fn multiply<L: Lanes>(
        &self,
        left: *const u32,
        p: usize,
        pass: &Pass<'_>,
        part: (usize, usize),
        n: usize,
        goal: Goal,
    ) {
        let depth = if self.pairs { pass.depth.div_ceil(2) } else { pass.depth };
        let index = p - pass.panels.start;
        let halves = COLUMNS / (2 * L::WIDTH);
        let widened = self.scratch.wrapping_add(ROWS * COLUMNS + index * DEPTH * COLUMNS);
        // SAFETY: the caller vouches for the operands; panels have COLUMNS columns, whole vectors.
        unsafe {
            for half in 0..halves {
                let column = half * 2 * L::WIDTH;
                let to = goal.at_column(column);
                let mut ahead = Ahead::none(left);
                if let Some(next) = pass.next.as_ref().filter(|next| index < next.panels.len()) {
                    let piece = self.later(next, next.panels.start + index);
                    ahead.part(0, piece, (part.0 * halves + half, part.1 * halves), depth);
                }
                let count = pass.panels.len() * halves;
                ahead.part(1, next_rows(left), (index * halves + half, count), depth);
                match self.weights {
                    Weights::BF16(words) if self.pairs => {
                        let offset = (p * self.inputs.div_ceil(2) + pass.start / 2) * COLUMNS + column;
                        product_ahead::<L, u32>(n, depth, left, words.as_ptr().add(offset), to, ahead);
                    }
                    weights => {
                        let right = match weights {
                            Weights::F32(values) => values.as_ptr().add((p * self.inputs + pass.start) * COLUMNS),
                            _ => widened.cast_const(),
                        };
                        product_ahead::<L, f32>(n, depth, left.cast(), right.add(column), to, ahead);
                    }
                }
            }
        }
    }

    /// The weights of panel `p` that the next pass reads, as they are stored.
    #[inline(always)]
    fn later(&self, next: &Next<'_>, p: usize) -> Later {
        let (start, depth) = (next.start, next.depth);
        let at = (p * self.inputs + start) * COLUMNS;
        match next.weights {
            Weights::F32(values) => Later {
                start: values.as_ptr().wrapping_add(at).cast(),
                bytes: 4 * depth * COLUMNS,
            },
            Weights::F16(values) => Later {
                start: values.as_ptr().wrapping_add(at).cast(),
                bytes: 2 * depth * COLUMNS,
            },
            Weights::BF16(words) => {
                let at = (p * self.inputs.div_ceil(2) + start / 2) * COLUMNS;
                Later {
                    start: words.as_ptr().wrapping_add(at).cast(),
                    bytes: 4 * depth.div_ceil(2) * COLUMNS,
                }
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
        let (start, stride) = self.place(row, p);
        for r in 0..n {
            let offset = start + r * stride;
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
