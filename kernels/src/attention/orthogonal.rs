//! Attention added without what it shares with the output it is added to, in two passes.
//!
//! How much of it lies along the output is known only after the last row. The first pass keeps the attention of one
//! batch row in working memory, f32, along with its sums; the second one adds it. Computing it twice instead would
//! double the time: products and exponentials cost more than a walk through memory.

#[cfg(test)]
mod tests;

use super::block::{padded, scratch_len, Block, Keep, Write};
use super::rows::{head_rows, Rows};
use super::{chunks, set_of, AttentionInput};
use crate::simd::{dispatch, load_element, load_one, store_element, store_one, Isa, Kernel, Lanes};
use crate::threads::{with_scratch, with_shared_scratch, Target, ThreadPool};
use crate::view::TensorView;

/// How [`attention`](super::attention) adds in the orthogonal modes.
#[derive(Clone, Copy)]
pub(super) struct Orthogonal<'a> {
    /// One factor per batch row.
    pub(super) factors: &'a [f32],
    /// One weight per query row; without them 1.
    pub(super) row_weights: Option<&'a [f32]>,
    /// Tokens whose share of the attention keeps as much of the projection.
    pub(super) leading_tokens: Option<usize>,
}

/// Places in the working memory of one batch row.
struct Plan {
    heads: usize,
    rows: usize,
    head_dim: usize,
    /// Width of a row of attention, sums or projections.
    width: usize,
    /// Parts into which the rows of a head are split.
    parts: usize,
}

impl Plan {
    fn attention(&self, head: usize) -> usize {
        head * self.rows * self.width
    }

    /// Of each part of a head: `[2][width]` sums of output × attention and of output × output.
    fn sums(&self, head: usize, part: usize) -> usize {
        self.attention(self.heads) + (head * self.parts + part) * 2 * self.width
    }

    /// `[heads][width]` Σ output × attention / Σ output × output
    fn projections(&self) -> usize {
        self.sums(self.heads, 0)
    }

    /// `[heads][rows]` share of the leading tokens
    fn shares(&self, head: usize) -> usize {
        self.projections() + self.heads * self.width + head * self.rows
    }

    fn len(&self, with_shares: bool) -> usize {
        self.shares(if with_shares { self.heads } else { 0 })
    }
}

/// The orthogonal modes of [`attention`](super::attention), whose arguments were checked.
pub(super) fn add_orthogonal(
    pool: &ThreadPool,
    isa: Isa,
    scale: f32,
    input: &AttentionInput<'_>,
    output: &TensorView<'_>,
    how: Orthogonal<'_>,
) {
    let [batch, rows, heads, head_dim] = input.query.shape();
    for b in 0..batch {
        let factor = how.factors[b];
        let Some(set) = set_of(input, b).filter(|set| factor != 0.0 && set.keys.shape()[1] != 0) else {
            continue;
        };
        let tokens = set.keys.shape()[1];
        let split = chunks(pool, heads, rows, tokens, head_dim);
        let plan = Plan {
            heads,
            rows,
            head_dim,
            width: padded(head_dim),
            parts: split.count,
        };
        with_shared_scratch(plan.len(how.leading_tokens.is_some()), |memory| {
            let target = Target(memory);
            let first_pass = |index: usize| {
                let target = &target;
                let (h, part) = (index / plan.parts, index % plan.parts);
                with_scratch(scratch_len(tokens, head_dim), |scratch| {
                    // SAFETY: all places lie inside the memory, whose length the plan has given.
                    let keep = unsafe {
                        Keep {
                            attention: target.0.add(plan.attention(h)),
                            sums: target.0.add(plan.sums(h, part)),
                            leading_tokens: how.leading_tokens.unwrap_or_default(),
                            leading: match how.leading_tokens {
                                Some(_) => target.0.add(plan.shares(h)),
                                None => std::ptr::null_mut(),
                            },
                        }
                    };
                    let block = Block {
                        query: head_rows(&input.query, b, h),
                        keys: head_rows(&set.keys, b, h),
                        values: head_rows(&set.values, b, h),
                        output: head_rows(output, b, h),
                        first: part * split.rows,
                        last: rows.min((part + 1) * split.rows),
                        tokens,
                        head_dim,
                        scale,
                        zero_tokens: input.zero_tokens as f32,
                        write: Write::keep(keep),
                        scratch,
                    };
                    // SAFETY: the views vouch for their memory, the shapes were checked, every task has rows and
                    // sums of its own, and the working memory has the length that the block asks for.
                    unsafe { dispatch(isa, block) }
                });
            };
            split.run(pool, heads * plan.parts, &first_pass);
            // SAFETY: the first pass has filled all sums, and nobody else uses the memory now.
            unsafe { project(&plan, memory) };
            // Rows of all heads together: the share of the leading tokens is a mean over the heads.
            let part_rows = rows.div_ceil(if split.serial { 1 } else { 4 * pool.threads() });
            let second_pass = |part: usize| {
                let target = &target;
                let apply = Apply {
                    plan: &plan,
                    memory: target.0,
                    output,
                    batch: b,
                    first: part * part_rows,
                    last: rows.min((part + 1) * part_rows),
                    factor,
                    row_weights: how.row_weights,
                    with_shares: how.leading_tokens.is_some(),
                };
                // SAFETY: as above; every task has output rows of its own and only reads the working memory.
                unsafe { dispatch(isa, apply) }
            };
            split.run(pool, rows.div_ceil(part_rows), &second_pass);
        });
    }
}

/// Turns the sums of all parts into the projection of each channel.
///
/// # Safety
/// `memory` is laid out by the plan, its sums are filled, nobody else uses it.
unsafe fn project(plan: &Plan, memory: *mut f32) {
    for h in 0..plan.heads {
        for d in 0..plan.head_dim {
            let sum = |which: usize| -> f64 {
                // SAFETY: the caller vouches for the sums.
                (0..plan.parts)
                    .map(|part| f64::from(unsafe { *memory.add(plan.sums(h, part) + which * plan.width + d) }))
                    .sum()
            };
            let (along, own) = (sum(0), sum(1));
            // An output that is zero in all rows has no direction.
            let projection = if own == 0.0 { 0.0 } else { (along / own) as f32 };
            // SAFETY: as above.
            unsafe { *memory.add(plan.projections() + h * plan.width + d) = projection };
        }
    }
}

/// The second pass over rows `first..last` of one batch row.
struct Apply<'a> {
    plan: &'a Plan,
    memory: *const f32,
    output: &'a TensorView<'a>,
    batch: usize,
    first: usize,
    last: usize,
    factor: f32,
    row_weights: Option<&'a [f32]>,
    with_shares: bool,
}

impl Kernel for Apply<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let plan = self.plan;
        for row in self.first..self.last {
            let factor = self.factor * self.row_weights.map_or(1.0, |weights| weights[row]);
            if factor == 0.0 {
                continue;
            }
            // SAFETY: the creator vouches for the memory and the output.
            unsafe {
                let mut share = 0.0;
                if self.with_shares {
                    for h in 0..plan.heads {
                        share += *self.memory.add(plan.shares(h) + row);
                    }
                    share /= plan.heads as f32;
                }
                for h in 0..plan.heads {
                    let attention = self.memory.add(plan.attention(h) + row * plan.width);
                    let projections = self.memory.add(plan.projections() + h * plan.width);
                    let out = head_rows(self.output, self.batch, h);
                    add_row::<L>(&out, row, plan.head_dim, attention, projections, share - 1.0, factor);
                }
            }
        }
    }
}

/// `output += factor · (attention + part · projection · output)` for one row of one head.
///
/// # Safety
/// The row exists and is writable; attention and projections have `dim` values; `L`'s instructions exist.
#[inline(always)]
unsafe fn add_row<L: Lanes>(
    out: &Rows,
    row: usize,
    dim: usize,
    attention: *const f32,
    projections: *const f32,
    part: f32,
    factor: f32,
) {
    let to = out.at(row).cast_mut();
    let (element, size) = (out.element, out.element.size());
    // SAFETY: the caller vouches for the row and the values.
    unsafe {
        let mut d = 0;
        if out.column == 1 {
            let (parts, factors) = (L::splat(part), L::splat(factor));
            while d + L::WIDTH <= dim {
                let to = to.add(d * size);
                let before = load_element::<L>(to, element);
                let projected = L::mul(L::mul(parts, L::load(projections.add(d))), before);
                let added = L::add(L::load(attention.add(d)), projected);
                store_element::<L>(to, element, L::fma(added, factors, before));
                d += L::WIDTH;
            }
        }
        let step = out.column * size as isize;
        while d < dim {
            let to = to.wrapping_offset(d as isize * step);
            let before = load_one(to, element);
            let added = *attention.add(d) + part * *projections.add(d) * before;
            store_one(to, element, before + factor * added);
            d += 1;
        }
    }
}
