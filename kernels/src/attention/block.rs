//! The attention of some query rows of one head: packing, scores, softmax, values, output.

use super::rows::Rows;
use super::softmax::{correction, powers};
use super::take::{Ahead, Scores, Sums};
use super::tile::{product, tile_rows, Step, MOST_ROWS, PADDING, VECTORS};
use crate::element::Element;
#[cfg(feature = "gradients")]
use crate::matmul::COLUMNS;
use crate::matmul::DEPTH;
use crate::simd::{Kernel, Lanes};

/// The largest head dimension.
pub(crate) const MAX_HEAD_DIM: usize = DEPTH;

/// Query rows that share one walk over the blocks of tokens: their sums stay in the second cache.
const GROUP: usize = 4 * MOST_ROWS;

/// Most tokens of a block: the scores of its query rows fit into the first cache. A few more than 256: image encoders
/// have a class token and registers besides so many patches.
const MOST_TOKENS: usize = 272;

/// What happens to the output rows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteMode {
    Overwrite,
    /// `output += factor · weight[row] · attention`
    Add,
    /// The output stays as it is; the attention is kept.
    Keep,
}

/// What happens to the output rows, and with what.
///
/// Every field has a value whatever the mode is: compilers look at one before they know whether it counts, which memory
/// checkers report.
#[derive(Clone, Copy)]
pub(super) struct Write<'a> {
    pub(super) mode: WriteMode,
    /// Of [`WriteMode::Add`].
    pub(super) factor: f32,
    /// Of [`WriteMode::Add`]: a weight for each row; all are 1 when it is empty.
    pub(super) row_weights: &'a [f32],
    /// Of [`WriteMode::Keep`].
    pub(super) keep: Keep,
}

impl<'a> Write<'a> {
    pub(super) const OVERWRITE: Self = Self {
        mode: WriteMode::Overwrite,
        factor: 1.0,
        row_weights: &[],
        keep: Keep {
            attention: std::ptr::null_mut(),
            sums: std::ptr::null_mut(),
            leading_tokens: 0,
            leading: std::ptr::null_mut(),
        },
    };

    pub(super) fn add(factor: f32, row_weights: Option<&'a [f32]>) -> Self {
        Self {
            mode: WriteMode::Add,
            factor,
            row_weights: row_weights.unwrap_or_default(),
            ..Self::OVERWRITE
        }
    }

    pub(super) fn keep(keep: Keep) -> Self {
        Self {
            mode: WriteMode::Keep,
            keep,
            ..Self::OVERWRITE
        }
    }
}

/// Where the attention of a head is kept, with what the orthogonal modes need to know about it.
#[derive(Clone, Copy)]
pub(super) struct Keep {
    /// `[rows][padded head_dim]`
    pub(super) attention: *mut f32,
    /// `[2][padded head_dim]`: over the block's rows the sums of output × attention and of output × output.
    pub(super) sums: *mut f32,
    /// How many tokens lead.
    pub(super) leading_tokens: usize,
    /// `[rows]` for the leading tokens' share of the softmax without the factor on the scores; null: nobody asks.
    pub(super) leading: *mut f32,
}

/// The attention of query rows `first..last` of one head.
pub(super) struct Block<'a> {
    pub(super) query: Rows,
    pub(super) keys: Rows,
    pub(super) values: Rows,
    /// Written, although [`Rows`] holds a pointer to read.
    pub(super) output: Rows,
    pub(super) first: usize,
    pub(super) last: usize,
    pub(super) tokens: usize,
    pub(super) head_dim: usize,
    /// Factor on the scores.
    pub(super) scale: f32,
    /// Number of further tokens with zero keys and values.
    pub(super) zero_tokens: f32,
    pub(super) write: Write<'a>,
    /// Working memory of [`scratch_len`] values.
    pub(super) scratch: *mut f32,
}

/// The head dimension, rounded up to whole vectors.
pub(super) fn padded(dim: usize) -> usize {
    dim.next_multiple_of(PADDING)
}

/// Tokens per block of the gradient, as even as whole panels allow, at most [`DEPTH`].
#[cfg(feature = "gradients")]
pub(super) fn block_len(tokens: usize) -> usize {
    let blocks = tokens.div_ceil(DEPTH).max(1);
    tokens.div_ceil(blocks).next_multiple_of(COLUMNS)
}

/// Tokens per block, as even as pairs allow, at most [`MOST_TOKENS`].
fn token_block(tokens: usize) -> usize {
    let blocks = tokens.div_ceil(MOST_TOKENS).max(1);
    tokens.div_ceil(blocks).next_multiple_of(2)
}

/// Places in the working memory, which are those of the widest vectors.
struct Plan {
    block: usize,
    dim: usize,
    group: usize,
}

impl Plan {
    fn new(tokens: usize, head_dim: usize) -> Self {
        let block = token_block(tokens);
        Self {
            block,
            dim: padded(head_dim),
            group: if tokens <= block { MOST_ROWS } else { GROUP },
        }
    }

    /// The last tile of the keys may be incomplete, and whole vectors are written from every step on.
    fn keys(&self) -> usize {
        (self.block + PADDING) * self.dim + PADDING * PADDING
    }

    /// Each tile is followed by what the last vector writes beyond it.
    fn values(&self) -> usize {
        (self.dim + PADDING) * (self.block + PADDING)
    }

    fn len(&self) -> usize {
        let rows = (MOST_ROWS + 1) * (self.dim + PADDING);
        let lanes = self.dim * MOST_ROWS + self.block * MOST_ROWS;
        rows + lanes + self.keys() + self.values() + self.group * self.dim + 4 * self.group
    }
}

/// Values of working memory for a head.
pub(super) fn scratch_len(tokens: usize, head_dim: usize) -> usize {
    Plan::new(tokens, head_dim).len()
}

/// Pointers into the working memory.
pub(super) struct Scratch {
    /// `[row][padded head_dim]`: rows in the host's order, before or after they are transposed.
    pub(super) rows: *mut f32,
    /// `[step][VECTORS · WIDTH]` queries, steps of [`Step`] for all of these
    pub(super) query: *mut f32,
    /// `[token][VECTORS · WIDTH]` scores, then probabilities
    scores: *mut f32,
    /// `[tile][step][tile_rows]`
    pub(super) keys: *mut f32,
    /// `[tile][step][tile_rows]`, steps along the tokens
    pub(super) values: *mut f32,
    /// `[block of rows][head_dim][VECTORS · WIDTH]` sums of the values
    sums: *mut f32,
    /// `[row of the group]` greatest score so far
    greatest: *mut f32,
    /// `[row of the group]` sum of the exponentials
    pub(super) total: *mut f32,
    /// `[row of the group]` sum of the exponentials without the factor on the scores
    pub(super) plain_total: *mut f32,
    /// `[row of the group]` the leading tokens' part of it
    pub(super) leading: *mut f32,
}

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        // Pairs are multiplied as they are: the factor is applied to the scores, whose greatest one must stay that.
        let brain = [&self.query, &self.keys, &self.values].map(|rows| rows.element == Element::BF16);
        // SAFETY: the creator of the block vouches for all rows and for the working memory.
        unsafe {
            if L::DOT_BF16 && brain == [true; 3] && self.scale >= 0.0 {
                self.attend::<L, u32>();
            } else {
                self.attend::<L, f32>();
            }
        }
    }
}

impl Block<'_> {
    #[inline(always)]
    unsafe fn attend<L: Lanes, F: Step<L>>(&self) {
        let plan = Plan::new(self.tokens, self.head_dim);
        // SAFETY: the creator of the block vouches for all rows and for the working memory, whose parts these are.
        unsafe {
            let mut next = self.scratch;
            let mut take = |len: usize| {
                let part = next;
                next = next.add(len);
                part
            };
            // What is read and written in whole vectors of 64 bytes comes first.
            let scratch = Scratch {
                query: take(plan.dim * MOST_ROWS),
                scores: take(plan.block * MOST_ROWS),
                sums: take(plan.group * plan.dim),
                greatest: take(plan.group),
                total: take(plan.group),
                plain_total: take(plan.group),
                leading: take(plan.group),
                rows: take((MOST_ROWS + 1) * (plan.dim + PADDING)),
                keys: take(plan.keys()),
                values: take(plan.values()),
            };
            if self.write.mode == WriteMode::Keep {
                for d in 0..2 * plan.dim {
                    *self.write.keep.sums.add(d) = 0.0;
                }
            }
            let lanes = VECTORS * L::WIDTH;
            let single = self.tokens <= plan.block;
            let most = if single { lanes } else { GROUP };
            if single {
                self.pack::<L, F>(&scratch, 0, self.tokens);
            }
            let mut rows = [0_usize; GROUP];
            let mut next = self.first;
            loop {
                let mut count = 0;
                while next < self.last && count < most {
                    rows[count] = next;
                    count += usize::from(self.weight(next) != 0.0);
                    next += 1;
                }
                if count == 0 {
                    return;
                }
                let mut start = 0;
                while start < self.tokens {
                    let len = plan.block.min(self.tokens - start);
                    if !single {
                        self.pack::<L, F>(&scratch, start, len);
                    }
                    let mut row = 0;
                    while row < count {
                        let n = lanes.min(count - row);
                        let part = Part {
                            index: row,
                            len,
                            first: start == 0,
                            ahead: if single { next } else { self.last },
                        };
                        if n <= L::WIDTH {
                            self.add_tokens::<L, F, 1>(&scratch, &rows[row..row + n], part);
                        } else {
                            self.add_tokens::<L, F, 2>(&scratch, &rows[row..row + n], part);
                        }
                        row += n;
                    }
                    start += len;
                }
                let mut row = 0;
                while row < count {
                    let n = lanes.min(count - row);
                    self.finish::<L>(&scratch, &rows[row..row + n], row);
                    row += n;
                }
            }
        }
    }

    /// The factor of a row's attention.
    #[inline(always)]
    fn weight(&self, row: usize) -> f32 {
        let Write {
            factor, row_weights, ..
        } = self.write;
        if row_weights.is_empty() {
            factor
        } else {
            factor * row_weights[row]
        }
    }

    /// Adds a block of tokens to the state of up to [`VECTORS`] vectors of rows.
    #[inline(always)]
    unsafe fn add_tokens<L: Lanes, F: Step<L>, const N: usize>(&self, scratch: &Scratch, rows: &[usize], part: Part) {
        // exp(x) = 2^(x · log2 e)
        let factor = self.scale * std::f32::consts::LOG2_E;
        let (on_query, on_scores) = if F::SCALES_QUERY { (factor, 1.0) } else { (1.0, factor) };
        let Part { index, len, first, .. } = part;
        let dim = padded(self.head_dim);
        // SAFETY: rows and tokens exist; all offsets stay inside the working memory.
        unsafe {
            self.read_query::<L, F>(scratch, rows, on_query);
            let state = |values: *mut f32, n: usize| values.add(index + n * L::WIDTH);
            // The score of a zero token is 0.
            let start = if self.zero_tokens > 0.0 { 0.0 } else { f32::NEG_INFINITY };
            let mut before = [L::splat(start); VECTORS];
            if !first {
                for (n, before) in before.iter_mut().enumerate().take(N) {
                    *before = L::load(state(scratch.greatest, n));
                }
            }
            let mut scores = Scores::<L> {
                scores: scratch.scores,
                greatest: before,
                ahead: Ahead {
                    query: &self.query,
                    output: &self.output,
                    next: part.ahead,
                    last: self.last.min(part.ahead + VECTORS * L::WIDTH),
                    dim: self.head_dim,
                    // All rows of the next block within this product.
                    step: (VECTORS * L::WIDTH * tile_rows::<L>()).div_ceil(len.max(1)),
                },
            };
            let steps = self.head_dim.div_ceil(F::VALUES);
            let (keys, query) = (scratch.keys.cast::<F>(), scratch.query.cast::<F>());
            product::<L, F, _, N>(len, steps, keys, steps * tile_rows::<L>(), query, &mut scores);
            let now = scores.greatest;
            if !self.write.keep.leading.is_null() {
                let count = self.write.keep.leading_tokens;
                // Without the factor, scores lie further apart.
                let factor = on_scores / self.scale;
                for n in 0..N {
                    let from = scratch.scores.add(n * L::WIDTH);
                    let (total, share) = (state(scratch.plain_total, n), state(scratch.leading, n));
                    let correction = correction::<L>(before[n], now[n], factor);
                    let sum = powers::<L>(from, len, now[n], factor);
                    let (old_total, old_share, own);
                    if first {
                        // The leading tokens are in the first block; zero tokens come after the last token.
                        let zeros = self.zero_tokens.min(count.saturating_sub(self.tokens) as f32);
                        (old_total, old_share) = (L::splat(self.zero_tokens), L::splat(zeros));
                        own = powers::<L>(from, count.min(len), now[n], factor);
                    } else {
                        (old_total, old_share) = (L::load(total), L::load(share));
                        own = L::splat(0.0);
                    }
                    L::store(total, L::fma(old_total, correction, sum));
                    L::store(share, L::fma(old_share, correction, own));
                }
            }
            let totals = F::exponentials::<N>(scratch.scores, len, now, on_scores);
            let mut corrections = [L::splat(1.0); VECTORS];
            for n in 0..N {
                let total = state(scratch.total, n);
                if first && self.zero_tokens == 0.0 {
                    L::store(total, totals[n]);
                } else {
                    corrections[n] = correction::<L>(before[n], now[n], on_scores);
                    let old = if first {
                        L::splat(self.zero_tokens)
                    } else {
                        L::load(total)
                    };
                    L::store(total, L::fma(old, corrections[n], totals[n]));
                }
                L::store(state(scratch.greatest, n), now[n]);
            }
            let mut sums = Sums::<L> {
                sums: scratch.sums.add(index * dim),
                corrections: (!first).then_some(corrections),
            };
            let (values, scores) = (scratch.values.cast::<F>(), scratch.scores.cast::<F>());
            let (steps, tile_len) = (len.div_ceil(F::VALUES), Self::value_tile::<L, F>(len));
            product::<L, F, _, N>(self.head_dim, steps, values, tile_len, scores, &mut sums);
        }
    }

    /// Writes the output rows whose sums begin at row `index` of the group.
    #[inline(always)]
    unsafe fn finish<L: Lanes>(&self, scratch: &Scratch, rows: &[usize], index: usize) {
        let dim = padded(self.head_dim);
        let lanes = VECTORS * L::WIDTH;
        // SAFETY: the rows exist and are writable; all offsets stay inside the working memory.
        unsafe {
            let sums = scratch.sums.add(index * dim);
            let mut r = 0;
            while r < rows.len() {
                let mut d = 0;
                while d < self.head_dim {
                    let from = sums.add(d * lanes + r);
                    L::transpose(from.cast(), lanes, scratch.rows.add(r * dim + d).cast(), dim);
                    d += L::WIDTH;
                }
                r += L::WIDTH;
            }
            if self.write.mode == WriteMode::Keep {
                return self.keep::<L>(scratch, rows, index, self.write.keep);
            }
            let add = self.write.mode == WriteMode::Add;
            for (r, &row) in rows.iter().enumerate() {
                let factor = self.weight(row) / *scratch.total.add(index + r);
                let values = scratch.rows.add(r * dim);
                self.output.put::<L>(row, self.head_dim, values, factor, add);
            }
        }
    }
}

/// A block of tokens for some rows of a group.
#[derive(Clone, Copy)]
struct Part {
    /// Place of the first row in the group.
    index: usize,
    /// Tokens of the block.
    len: usize,
    /// Whether it is the first block.
    first: bool,
    /// The next row that will be needed; the last one if that is far away.
    ahead: usize,
}
