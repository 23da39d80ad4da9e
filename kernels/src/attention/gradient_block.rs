//! The gradient of attention for one head of some batch rows that share their keys.

use super::block::{block_len, padded};
use super::rows::{head_rows, Rows};
use crate::matmul::{product, product_transposed, COLUMNS, ROWS, STRIDE};
use crate::simd::{exp2, Kernel, Lanes};
use crate::view::TensorView;
use std::ops::Range;

/// Query rows of one pass: the depth of the products that sum over query rows.
const GROUP: usize = 8 * ROWS;

/// Views to write, although a [`TensorView`] is for reading.
pub(super) struct Gradients<'a> {
    pub(super) query: TensorView<'a>,
    pub(super) keys: TensorView<'a>,
    pub(super) values: TensorView<'a>,
}

pub(super) struct Block<'a> {
    pub(super) query: TensorView<'a>,
    /// The result of the forward pass.
    pub(super) output: TensorView<'a>,
    pub(super) output_gradient: TensorView<'a>,
    pub(super) head: usize,
    pub(super) batches: Range<usize>,
    pub(super) keys: Rows,
    pub(super) values: Rows,
    /// Written, as are the two below.
    pub(super) query_gradient: &'a TensorView<'a>,
    pub(super) key_gradient: Rows,
    pub(super) value_gradient: Rows,
    pub(super) rows: usize,
    pub(super) tokens: usize,
    pub(super) head_dim: usize,
    /// Working memory of [`scratch_len`] values.
    pub(super) scratch: *mut f32,
}

/// Values of working memory for a head.
pub(super) fn scratch_len(tokens: usize, head_dim: usize) -> usize {
    let block = block_len(tokens);
    let blocks = tokens.div_ceil(block);
    let (all, dim) = (blocks * block, padded(head_dim));
    // Transposed and plain keys, transposed values, gradients of both; queries and output gradients; probabilities
    // and gradients of scores; gradients of queries; a row.
    5 * all * dim + 2 * GROUP * STRIDE + 2 * blocks * GROUP * STRIDE + GROUP * dim + STRIDE
}

/// Pointers into the working memory.
struct Scratch {
    /// `[panel][head_dim][COLUMNS]`
    keys_transposed: *mut f32,
    /// `[panel][head_dim][COLUMNS]`
    values_transposed: *mut f32,
    /// `[token][dim]`
    keys: *mut f32,
    /// `[token][dim]`
    key_sums: *mut f32,
    /// `[token][dim]`
    value_sums: *mut f32,
    /// `[GROUP][STRIDE]`, scaled
    query: *mut f32,
    /// `[GROUP][STRIDE]`
    gradient: *mut f32,
    /// `[block][GROUP][STRIDE]`
    probabilities: *mut f32,
    /// `[block][GROUP][STRIDE]`
    scores: *mut f32,
    /// `[GROUP][dim]`
    query_sums: *mut f32,
    /// One row.
    row: *mut f32,
}

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let dim = padded(self.head_dim);
        let block = block_len(self.tokens);
        let blocks = self.tokens.div_ceil(block);
        let all = blocks * block;
        // SAFETY: the creator of the block vouches for all rows and for the working memory, whose parts these are.
        unsafe {
            let mut next = self.scratch;
            let mut take = |len: usize| {
                let part = next;
                next = next.add(len);
                part
            };
            let scratch = Scratch {
                keys_transposed: take(all * dim),
                values_transposed: take(all * dim),
                keys: take(all * dim),
                key_sums: take(all * dim),
                value_sums: take(all * dim),
                query: take(GROUP * STRIDE),
                gradient: take(GROUP * STRIDE),
                probabilities: take(blocks * GROUP * STRIDE),
                scores: take(blocks * GROUP * STRIDE),
                query_sums: take(GROUP * dim),
                row: take(STRIDE),
            };
            self.pack::<L>(&scratch);
            for i in 0..self.tokens * dim {
                *scratch.key_sums.add(i) = 0.0;
                *scratch.value_sums.add(i) = 0.0;
            }
            // Groups as even as whole tiles allow.
            let groups = self.rows.div_ceil(GROUP).max(1);
            let group = self.rows.div_ceil(groups).next_multiple_of(ROWS).min(GROUP);
            for batch in self.batches.clone() {
                let mut first = 0;
                while first < self.rows {
                    let count = group.min(self.rows - first);
                    self.group::<L>(&scratch, batch, first, count);
                    first += count;
                }
            }
            for t in 0..self.tokens {
                // The queries were scaled for powers of two.
                let sums = scratch.key_sums.add(t * dim);
                self.key_gradient
                    .write::<L>(t, self.head_dim, sums, std::f32::consts::LN_2);
                let sums = scratch.value_sums.add(t * dim);
                self.value_gradient.write::<L>(t, self.head_dim, sums, 1.0);
            }
        }
    }
}

impl Block<'_> {
    /// Brings keys and values into the layouts of the products.
    #[inline(always)]
    unsafe fn pack<L: Lanes>(&self, scratch: &Scratch) {
        let dim = padded(self.head_dim);
        // SAFETY: the tokens exist; the working memory holds whole panels.
        unsafe {
            for t in 0..self.tokens.next_multiple_of(COLUMNS) {
                let panel = (t / COLUMNS) * self.head_dim * COLUMNS + t % COLUMNS;
                let (to_keys, to_values) = (scratch.keys_transposed.add(panel), scratch.values_transposed.add(panel));
                if t >= self.tokens {
                    for d in 0..self.head_dim {
                        *to_keys.add(d * COLUMNS) = 0.0;
                        *to_values.add(d * COLUMNS) = 0.0;
                    }
                    continue;
                }
                let key = scratch.keys.add(t * dim);
                self.keys.read_padded::<L>(t, self.head_dim, dim, key);
                self.values.read_padded::<L>(t, self.head_dim, dim, scratch.row);
                for d in 0..self.head_dim {
                    *to_keys.add(d * COLUMNS) = *key.add(d);
                    *to_values.add(d * COLUMNS) = *scratch.row.add(d);
                }
            }
        }
    }

    /// Adds what query rows `first..first + count` contribute to the gradients of keys and values, and writes
    /// their own gradients.
    #[inline(always)]
    unsafe fn group<L: Lanes>(&self, scratch: &Scratch, batch: usize, first: usize, count: usize) {
        let dim = padded(self.head_dim);
        let block = block_len(self.tokens);
        let rows = |view: &TensorView<'_>| head_rows(view, batch, self.head);
        let query = rows(&self.query);
        let output = rows(&self.output);
        let output_gradient = rows(&self.output_gradient);
        let query_gradient = rows(self.query_gradient);
        let scale = 1.0 / (self.head_dim as f32).sqrt();
        // Σ output · gradient of every row
        let mut products = [0.0_f32; GROUP];
        // SAFETY: rows and tokens exist; all offsets stay inside the working memory.
        unsafe {
            // exp(x) = 2^(x · log2 e)
            let scales = L::splat(scale * std::f32::consts::LOG2_E);
            for (r, product) in products.iter_mut().enumerate().take(count) {
                let to = scratch.query.add(r * STRIDE);
                query.read_padded::<L>(first + r, self.head_dim, dim, to);
                let gradient = scratch.gradient.add(r * STRIDE);
                output_gradient.read_padded::<L>(first + r, self.head_dim, dim, gradient);
                output.read_padded::<L>(first + r, self.head_dim, dim, scratch.row);
                let mut sum = L::splat(0.0);
                let mut d = 0;
                while d < dim {
                    L::store(to.add(d), L::mul(L::load(to.add(d)), scales));
                    sum = L::fma(L::load(gradient.add(d)), L::load(scratch.row.add(d)), sum);
                    d += L::WIDTH;
                }
                *product = L::reduce_add(sum);
            }
            // No vector instruction in a closure: it would be compiled without the instruction set of the kernel.
            let each = |start: usize| {
                let offset = start / block * GROUP * STRIDE;
                (
                    block.min(self.tokens - start),
                    scratch.probabilities.add(offset),
                    scratch.scores.add(offset),
                )
            };
            for start in (0..self.tokens).step_by(block) {
                let (len, probabilities, scores) = each(start);
                let mut t = 0;
                while t < len {
                    let at = start + t;
                    let panel = (at / COLUMNS) * self.head_dim * COLUMNS + at % COLUMNS;
                    let keys = scratch.keys_transposed.add(panel);
                    let values = scratch.values_transposed.add(panel);
                    let (q, g) = (scratch.query, scratch.gradient);
                    let (to_p, to_s) = (probabilities.add(t), scores.add(t));
                    product::<L, _, 2>(count, self.head_dim, q, keys, COLUMNS, to_p, STRIDE, false);
                    product::<L, _, 2>(count, self.head_dim, g, values, COLUMNS, to_s, STRIDE, false);
                    t += 2 * L::WIDTH;
                }
            }
            for (r, product) in products.iter().enumerate().take(count) {
                self.softmax::<L>(r, *product, each);
            }
            for start in (0..self.tokens).step_by(block) {
                let (len, probabilities, scores) = each(start);
                let columns = [
                    (probabilities, scratch.gradient, scratch.value_sums),
                    (scores, scratch.query, scratch.key_sums),
                ];
                for (left, right, sums) in columns {
                    let mut d = 0;
                    while d < dim {
                        let (b, c) = (right.add(d), sums.add(start * dim + d));
                        if d + 2 * L::WIDTH <= dim {
                            product_transposed::<L, _, 2>(len, count, left, STRIDE, b, STRIDE, c, dim, true);
                            d += 2 * L::WIDTH;
                        } else {
                            product_transposed::<L, _, 1>(len, count, left, STRIDE, b, STRIDE, c, dim, true);
                            d += L::WIDTH;
                        }
                    }
                }
                let mut d = 0;
                while d < dim {
                    let (b, c) = (scratch.keys.add(start * dim + d), scratch.query_sums.add(d));
                    if d + 2 * L::WIDTH <= dim {
                        product::<L, _, 2>(count, len, scores, b, dim, c, dim, start > 0);
                        d += 2 * L::WIDTH;
                    } else {
                        product::<L, _, 1>(count, len, scores, b, dim, c, dim, start > 0);
                        d += L::WIDTH;
                    }
                }
            }
            for r in 0..count {
                let sums = scratch.query_sums.add(r * dim);
                query_gradient.write::<L>(first + r, self.head_dim, sums, scale);
            }
        }
    }

    /// Turns a row of scores (in powers of two) into probabilities P, and the gradient dP in the other row into that
    /// of the scores: P · (dP - Σ P · dP), where the sum is that of output and output gradient.
    #[inline(always)]
    unsafe fn softmax<L: Lanes>(&self, r: usize, product: f32, each: impl Fn(usize) -> (usize, *mut f32, *mut f32)) {
        let block = block_len(self.tokens);
        // SAFETY: rows are STRIDE long, so whole vectors may be used.
        unsafe {
            let mut greatest = L::splat(f32::NEG_INFINITY);
            for start in (0..self.tokens).step_by(block) {
                let (len, row, _) = each(start);
                let row = row.add(r * STRIDE);
                for t in len..len.next_multiple_of(L::WIDTH) {
                    *row.add(t) = f32::NEG_INFINITY;
                }
                for t in (0..len).step_by(L::WIDTH) {
                    greatest = L::max(greatest, L::load(row.add(t)));
                }
            }
            let greatest = L::splat(L::reduce_max(greatest));
            let mut total = L::splat(0.0);
            for start in (0..self.tokens).step_by(block) {
                let (len, row, _) = each(start);
                let row = row.add(r * STRIDE);
                for t in (0..len).step_by(L::WIDTH) {
                    let value = exp2::<L>(L::sub(L::load(row.add(t)), greatest));
                    L::store(row.add(t), value);
                    total = L::add(total, value);
                }
            }
            let factor = L::splat(1.0 / L::reduce_add(total));
            let product = L::splat(product);
            for start in (0..self.tokens).step_by(block) {
                let (len, row, scores) = each(start);
                let (row, scores) = (row.add(r * STRIDE), scores.add(r * STRIDE));
                for t in (0..len).step_by(L::WIDTH) {
                    let p = L::mul(L::load(row.add(t)), factor);
                    L::store(row.add(t), p);
                    let d = L::sub(L::load(scores.add(t)), product);
                    L::store(scores.add(t), L::mul(p, d));
                }
            }
        }
    }
}
