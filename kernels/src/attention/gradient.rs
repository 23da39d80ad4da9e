//! The gradient of attention.

use super::block::MAX_HEAD_DIM;
use super::gradient_block::{scratch_len, Block, Gradients};
use super::rows::{head_rows, Rows};
use crate::element::Element;
use crate::error::{Error, Result};
use crate::simd::{dispatch, Isa};
use crate::threads::{with_scratch, ThreadPool};
use crate::view::{TensorView, TensorViewMut};

/// Groups of batch rows whose gradients of shared keys are summed first. A constant, so that the sums do not depend
/// on the number of threads.
const SHARED_PARTS: usize = 8;

/// What [`attention_gradient`] reads: the operands of [`attention`](super::attention) with one set of keys, its
/// result, and the gradient of that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttentionGradientInput<'a> {
    /// `[batch, rows, heads, head_dim]`
    pub query: TensorView<'a>,
    /// `[batch or 1, tokens, heads, head_dim]`
    pub keys: TensorView<'a>,
    /// Of the shape of the keys.
    pub values: TensorView<'a>,
    /// Of the shape of the query.
    pub output: TensorView<'a>,
    /// Of the shape of the query.
    pub output_gradient: TensorView<'a>,
}

/// What [`attention_gradient`] overwrites, all f32.
#[derive(Debug)]
pub(crate) struct AttentionGradients<'a> {
    /// Of the shape of the query.
    pub query: TensorViewMut<'a>,
    /// Of the shape of the keys; with a key batch of 1 the sum over the batch.
    pub keys: TensorViewMut<'a>,
    /// Of the shape of the keys.
    pub values: TensorViewMut<'a>,
}

/// The gradients of `softmax(Q Kᵀ / √head_dim) V`.
///
/// The probabilities are computed again, group by group of query rows (Dao et al. 2022), so that no more than one
/// group of them is in memory per thread. All sums are f32 in a fixed order: the same operands give the same bits on
/// any number of threads.
///
/// # Errors
/// `InvalidArgument` when shapes or the head dimension (1 to 512) do not fit, there are no tokens, or a gradient is
/// not f32; nothing is written then.
pub(crate) fn attention_gradient(
    pool: &ThreadPool,
    input: &AttentionGradientInput<'_>,
    gradients: &mut AttentionGradients<'_>,
) -> Result<()> {
    let [batch, rows, heads, head_dim] = input.query.shape();
    let to = Gradients {
        query: gradients.query.as_view(),
        keys: gradients.keys.as_view(),
        values: gradients.values.as_view(),
    };
    check(input, &to)?;
    let [key_batch, tokens, ..] = input.keys.shape();
    let isa = Isa::current();
    // Batch rows with keys of their own are tasks of their own; shared keys sum over several.
    let shared = key_batch == 1 && batch > 1;
    let parts = if shared { SHARED_PARTS.min(batch) } else { batch };
    let part_shape = [parts, tokens, heads, head_dim];
    let part_len: usize = part_shape[1..].iter().product();
    let mut partial = if shared {
        vec![0.0_f32; 2 * parts * part_len]
    } else {
        Vec::new()
    };
    let half = partial.len() / 2;
    let (part_keys, part_values) = partial.split_at_mut(half);
    let partial_views = if shared {
        Some((
            TensorViewMut::contiguous(part_keys, part_shape)?,
            TensorViewMut::contiguous(part_values, part_shape)?,
        ))
    } else {
        None
    };
    let (to_keys, to_values) = match &partial_views {
        Some((keys, values)) => (keys.as_view(), values.as_view()),
        None => (to.keys, to.values),
    };
    let task = |index: usize| {
        let (part, head) = (index / heads, index % heads);
        let (first, last) = (part * batch / parts, (part + 1) * batch / parts);
        let of = |view: &TensorView<'_>, batch: usize| head_rows(view, batch, head);
        with_scratch(scratch_len(tokens, head_dim), |scratch| {
            let block = Block {
                query: input.query,
                output: input.output,
                output_gradient: input.output_gradient,
                head,
                batches: first..last,
                keys: of(&input.keys, first),
                values: of(&input.values, first),
                query_gradient: &to.query,
                key_gradient: of(&to_keys, part),
                value_gradient: of(&to_values, part),
                rows,
                tokens,
                head_dim,
                scratch,
            };
            // SAFETY: the views vouch for their memory, the shapes were checked, no other task writes these batch
            // rows or this part of this head, and the working memory has the length that the block asks for.
            unsafe { dispatch(isa, block) }
        });
    };
    pool.run(parts * heads, &task);
    if shared {
        let (part_keys, part_values) = partial.split_at(half);
        sum_parts(part_keys, parts, &to.keys);
        sum_parts(part_values, parts, &to.values);
    }
    Ok(())
}

/// Writes the sum of the parts, in their order.
fn sum_parts(parts: &[f32], count: usize, to: &TensorView<'_>) {
    let [_, tokens, heads, dim] = to.shape();
    let len = tokens * heads * dim;
    for token in 0..tokens {
        for head in 0..heads {
            let rows: Rows = head_rows(to, 0, head);
            for c in 0..dim {
                let at = (token * heads + head) * dim + c;
                let sum: f32 = (0..count).map(|part| parts[part * len + at]).sum();
                // SAFETY: the index lies inside the view, which is f32 and writable.
                unsafe { rows.put_one(token, c, sum) };
            }
        }
    }
}

fn check(input: &AttentionGradientInput<'_>, to: &Gradients<'_>) -> Result<()> {
    let read = [
        input.query,
        input.keys,
        input.values,
        input.output,
        input.output_gradient,
    ];
    for view in read.iter().chain([&to.query, &to.keys, &to.values]) {
        view.require_cpu()?;
    }
    let query = input.query.shape();
    let keys = input.keys.shape();
    let [batch, _, heads, head_dim] = query;
    let fits = (1..=MAX_HEAD_DIM).contains(&head_dim)
        && keys[1] > 0
        && keys[2..] == query[2..]
        && (keys[0] == batch || keys[0] == 1)
        && heads > 0
        && [input.output, input.output_gradient, to.query]
            .iter()
            .all(|view| view.shape() == query)
        && [input.values, to.keys, to.values]
            .iter()
            .all(|view| view.shape() == keys);
    if !fits {
        return Err(Error::invalid(format!(
            "the gradient of attention got query {query:?}, keys {keys:?}, values {:?}, output {:?} and its gradient \
             {:?}, and writes {:?}, {:?} and {:?}",
            input.values.shape(),
            input.output.shape(),
            input.output_gradient.shape(),
            to.query.shape(),
            to.keys.shape(),
            to.values.shape()
        )));
    }
    if [to.query, to.keys, to.values]
        .iter()
        .any(|view| view.element() != Element::F32)
    {
        return Err(Error::invalid("gradients of attention are f32"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
