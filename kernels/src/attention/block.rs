//! The attention of some query rows of one head: packing, scores, softmax, values, output.

use super::rows::Rows;
use super::softmax::{powers, softmax};
use crate::matmul::{product, COLUMNS, DEPTH, ROWS, STRIDE};
use crate::simd::{load_element, load_one, store_element, store_one, Kernel, Lanes};

/// The largest head dimension: one pass of the score product.
pub(crate) const MAX_HEAD_DIM: usize = DEPTH;

/// Query rows that share one walk over the blocks of tokens.
const GROUP: usize = 8 * ROWS;

/// Width to which rows of values and outputs are padded: the widest vector.
const PADDING: usize = 16;

/// What happens to the output rows.
#[derive(Clone, Copy)]
pub(super) enum Write<'a> {
    Overwrite,
    /// `output += factor · weight[row] · attention`
    Add {
        factor: f32,
        row_weights: Option<&'a [f32]>,
    },
    /// The output stays as it is; the attention is kept.
    Keep(Keep),
}

/// Where the attention of a head is kept, with what the orthogonal modes need to know about it.
#[derive(Clone, Copy)]
pub(super) struct Keep {
    /// `[rows][padded head_dim]`
    pub(super) attention: *mut f32,
    /// `[2][padded head_dim]`: over the block's rows the sums of output × attention and of output × output.
    pub(super) sums: *mut f32,
    /// A number of tokens, and `[rows]` for their share of the softmax without the factor on the scores.
    pub(super) leading: Option<(usize, *mut f32)>,
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

/// Tokens per block, as even as whole panels allow, at most [`DEPTH`].
pub(super) fn block_len(tokens: usize) -> usize {
    let blocks = tokens.div_ceil(DEPTH).max(1);
    tokens.div_ceil(blocks).next_multiple_of(COLUMNS)
}

/// Values of working memory for a head.
pub(super) fn scratch_len(tokens: usize, head_dim: usize) -> usize {
    let block = block_len(tokens);
    let dim = padded(head_dim);
    2 * ROWS * STRIDE + block * dim + block * dim + GROUP * dim + 4 * GROUP
}

/// Pointers into the working memory.
pub(super) struct Scratch {
    /// `[ROWS][STRIDE]` scaled queries
    query: *mut f32,
    /// `[ROWS][STRIDE]` scores, then probabilities
    scores: *mut f32,
    /// `[panel][head_dim][COLUMNS]`
    keys: *mut f32,
    /// `[token][padded head_dim]`
    values: *mut f32,
    /// `[GROUP][padded head_dim]` sums of the values
    pub(super) sums: *mut f32,
    /// `[GROUP]` greatest score so far
    greatest: *mut f32,
    /// `[GROUP]` sum of the exponentials
    pub(super) total: *mut f32,
    /// `[GROUP]` sum of the exponentials without the factor on the scores
    pub(super) plain_total: *mut f32,
    /// `[GROUP]` the leading tokens' part of it
    pub(super) leading: *mut f32,
}

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        // SAFETY: the creator of the block vouches for all rows and for the working memory.
        unsafe {
            let dim = padded(self.head_dim);
            let block = block_len(self.tokens);
            let scores = self.scratch.add(ROWS * STRIDE);
            let keys = scores.add(ROWS * STRIDE);
            let values = keys.add(block * dim);
            let sums = values.add(block * dim);
            let greatest = sums.add(GROUP * dim);
            let total = greatest.add(GROUP);
            let scratch = Scratch {
                query: self.scratch,
                scores,
                keys,
                values,
                sums,
                greatest,
                total,
                plain_total: total.add(GROUP),
                leading: total.add(2 * GROUP),
            };
            if let Write::Keep(keep) = self.write {
                for d in 0..2 * dim {
                    *keep.sums.add(d) = 0.0;
                }
            }
            let single = self.tokens <= block;
            if single {
                self.pack::<L>(&scratch, 0, self.tokens);
            }
            let mut rows = [0_usize; GROUP];
            let mut next = self.first;
            loop {
                let mut count = 0;
                while next < self.last && count < GROUP {
                    rows[count] = next;
                    count += usize::from(self.weight(next) != 0.0);
                    next += 1;
                }
                if count == 0 {
                    return;
                }
                let mut start = 0;
                while start < self.tokens {
                    let len = block.min(self.tokens - start);
                    if !single {
                        self.pack::<L>(&scratch, start, len);
                    }
                    let mut row = 0;
                    while row < count {
                        let n = ROWS.min(count - row);
                        self.attend::<L>(&scratch, &rows[row..row + n], row, len, start == 0);
                        row += n;
                    }
                    start += len;
                }
                if let Write::Keep(keep) = self.write {
                    self.keep::<L>(&scratch, &rows[..count], keep);
                    continue;
                }
                for (index, &row) in rows[..count].iter().enumerate() {
                    self.finish::<L>(scratch.sums.add(index * dim), *scratch.total.add(index), row);
                }
            }
        }
    }
}

impl Block<'_> {
    /// The factor of a row's attention.
    #[inline(always)]
    fn weight(&self, row: usize) -> f32 {
        match self.write {
            Write::Overwrite | Write::Keep(_) => 1.0,
            Write::Add {
                factor,
                row_weights: None,
            } => factor,
            Write::Add {
                factor,
                row_weights: Some(weights),
            } => factor * weights[row],
        }
    }

    /// The greatest score before the first token: that of zero tokens is 0.
    #[inline(always)]
    fn start(&self) -> Option<f32> {
        (self.zero_tokens > 0.0).then_some(0.0)
    }

    /// Brings tokens `start..start + len` into the layout of the products.
    #[inline(always)]
    unsafe fn pack<L: Lanes>(&self, scratch: &Scratch, start: usize, len: usize) {
        let dim = padded(self.head_dim);
        // SAFETY: the tokens exist; the working memory holds whole panels of a block.
        unsafe {
            for t in 0..len.next_multiple_of(COLUMNS) {
                let to = scratch.keys.add((t / COLUMNS) * self.head_dim * COLUMNS + t % COLUMNS);
                if t < len {
                    // The score rows are free while keys are packed.
                    self.keys.read::<L>(start + t, self.head_dim, scratch.scores);
                    for d in 0..self.head_dim {
                        *to.add(d * COLUMNS) = *scratch.scores.add(d);
                    }
                } else {
                    for d in 0..self.head_dim {
                        *to.add(d * COLUMNS) = 0.0;
                    }
                }
            }
            for t in 0..len {
                let to = scratch.values.add(t * dim);
                self.values.read::<L>(start + t, self.head_dim, to);
                for d in self.head_dim..dim {
                    *to.add(d) = 0.0;
                }
            }
        }
    }

    /// Adds a block of `len` tokens to the state of up to [`ROWS`] rows; `index` is the first row's place.
    #[inline(always)]
    unsafe fn attend<L: Lanes>(&self, scratch: &Scratch, rows: &[usize], index: usize, len: usize, first: bool) {
        let dim = padded(self.head_dim);
        // SAFETY: rows and tokens exist; all offsets stay inside the working memory.
        unsafe {
            // exp(x) = 2^(x · log2 e), with the factor already on the query.
            let scale = L::splat(self.scale * std::f32::consts::LOG2_E);
            for (r, &row) in rows.iter().enumerate() {
                let to = scratch.query.add(r * STRIDE);
                self.query.read::<L>(row, self.head_dim, to);
                let mut d = 0;
                // Rows are STRIDE long, so whole vectors may be scaled.
                while d < self.head_dim {
                    L::store(to.add(d), L::mul(L::load(to.add(d)), scale));
                    d += L::WIDTH;
                }
            }
            let mut t = 0;
            while t < len {
                let panel = scratch.keys.add((t / COLUMNS) * self.head_dim * COLUMNS + t % COLUMNS);
                let to = scratch.scores.add(t);
                product::<L, _, 2>(
                    rows.len(),
                    self.head_dim,
                    scratch.query,
                    panel,
                    COLUMNS,
                    to,
                    STRIDE,
                    false,
                );
                t += 2 * L::WIDTH;
            }
            for r in 0..rows.len() {
                let state = index + r;
                let (greatest, total) = (scratch.greatest.add(state), scratch.total.add(state));
                let before = if first { self.start() } else { Some(*greatest) };
                let scores = scratch.scores.add(r * STRIDE);
                let leading = match self.write {
                    Write::Keep(Keep { leading, .. }) => leading,
                    _ => None,
                };
                // The queries are read; their row takes the scores that the softmax overwrites.
                let plain = scratch.query.add(r * STRIDE);
                if leading.is_some() {
                    std::ptr::copy_nonoverlapping(scores, plain, len);
                }
                let (now, sum) = softmax::<L>(scores, len, before);
                if let Some((count, _)) = leading {
                    // Without the factor, scores lie further apart.
                    let factor = 1.0 / self.scale;
                    let sum = powers::<L>(plain, len, now, factor);
                    let correction = before.map_or(0.0, |before| ((before - now) * factor).exp2());
                    let (total, share) = (scratch.plain_total.add(state), scratch.leading.add(state));
                    if first {
                        *total = self.zero_tokens * correction + sum;
                        // The leading tokens are in the first block; zero tokens come after the last token.
                        let zeros = self.zero_tokens.min(count.saturating_sub(self.tokens) as f32);
                        let own: f32 = (0..count.min(len)).map(|t| *plain.add(t)).sum();
                        *share = zeros * correction + own;
                    } else {
                        *total = *total * correction + sum;
                        *share *= correction;
                    }
                }
                match before {
                    None => *total = sum,
                    Some(before) if first => *total = self.zero_tokens * (before - now).exp2() + sum,
                    Some(before) => {
                        // What was summed so far had another maximum.
                        let correction = (before - now).exp2();
                        *total = *total * correction + sum;
                        let factor = L::splat(correction);
                        let sums = scratch.sums.add(state * dim);
                        let mut d = 0;
                        while d < dim {
                            L::store(sums.add(d), L::mul(L::load(sums.add(d)), factor));
                            d += L::WIDTH;
                        }
                    }
                }
                *greatest = now;
            }
            let sums = scratch.sums.add(index * dim);
            let rest = self.head_dim % L::WIDTH;
            if rest != 0 && rest <= L::WIDTH / 2 {
                self.weigh::<L::Narrow>(scratch, rows.len(), len, sums, !first);
            } else {
                self.weigh::<L>(scratch, rows.len(), len, sums, !first);
            }
        }
    }

    /// `sums (+)= probabilities · values`
    #[inline(always)]
    unsafe fn weigh<L: Lanes>(&self, scratch: &Scratch, rows: usize, len: usize, sums: *mut f32, add: bool) {
        let dim = padded(self.head_dim);
        let vectors = self.head_dim.div_ceil(L::WIDTH);
        // Four rows of six vectors fill 32 registers, of three vectors 16.
        let widest = if L::REGISTERS >= 32 { 6 } else { 3 };
        let groups = vectors.div_ceil(widest);
        let mut vector = 0;
        for group in 0..groups {
            let n = (vectors - vector).div_ceil(groups - group);
            // SAFETY: the caller vouches for the working memory; the last vector ends inside the padding.
            unsafe {
                let (p, v, to) = (
                    scratch.scores,
                    scratch.values.add(vector * L::WIDTH),
                    sums.add(vector * L::WIDTH),
                );
                match n {
                    1 => product::<L, _, 1>(rows, len, p, v, dim, to, dim, add),
                    2 => product::<L, _, 2>(rows, len, p, v, dim, to, dim, add),
                    3 => product::<L, _, 3>(rows, len, p, v, dim, to, dim, add),
                    4 => product::<L, _, 4>(rows, len, p, v, dim, to, dim, add),
                    5 => product::<L, _, 5>(rows, len, p, v, dim, to, dim, add),
                    _ => product::<L, _, 6>(rows, len, p, v, dim, to, dim, add),
                }
            }
            vector += n;
        }
    }

    /// Writes one output row from its sums.
    #[inline(always)]
    unsafe fn finish<L: Lanes>(&self, sums: *const f32, total: f32, row: usize) {
        let factor = self.weight(row) / total;
        let add = matches!(self.write, Write::Add { .. });
        let to = self.output.at(row).cast_mut();
        let (element, size) = (self.output.element, self.output.element.size());
        // SAFETY: the row exists and is writable; `sums` has `head_dim` values.
        unsafe {
            let mut d = 0;
            if self.output.column == 1 {
                let factors = L::splat(factor);
                while d + L::WIDTH <= self.head_dim {
                    let to = to.add(d * size);
                    let value = L::load(sums.add(d));
                    let value = if add {
                        L::fma(value, factors, load_element::<L>(to, element))
                    } else {
                        L::mul(value, factors)
                    };
                    store_element::<L>(to, element, value);
                    d += L::WIDTH;
                }
            }
            let step = self.output.column * size as isize;
            while d < self.head_dim {
                let to = to.wrapping_offset(d as isize * step);
                let value = *sums.add(d) * factor;
                let value = if add { load_one(to, element) + value } else { value };
                store_one(to, element, value);
                d += 1;
            }
        }
    }
}
