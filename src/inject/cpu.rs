//! Injection on the CPU.

use super::{role_of, InjectCall, Pass};
use crate::conditioning::{Conditioning, Injection, Role};
use crate::error::{Error, Result};
use candle_core::{CpuStorage, Storage, Tensor};
use omniid_kernels::{attention, AttentionInput, KeyValue, OutputMode, TensorView, TensorViewMut, ThreadPool};
use std::ops::Range;

/// Batch rows up to which a call needs no memory from the heap.
const USUAL_BATCH: usize = 64;

/// Rows that the kernel works on at once.
const ROWS_AT_ONCE: usize = 32;

pub(super) fn inject(conditioning: &Conditioning, mut call: InjectCall<'_>) -> Result<()> {
    let [batch, rows, ..] = call.query.shape();
    let (part, count) = (call.part, call.part_count);
    // In the orthogonal modes the rows of a picture depend on each other.
    let by_picture = conditioning.injection() != Injection::Add;
    let pictures = move |row: usize| !by_picture || row % count == part;
    let tokens = match by_picture {
        true => 0..rows,
        false => share(rows, part, count),
    };
    if tokens.is_empty() || !(0..batch).any(pictures) {
        // Its errors are those of every part.
        return conditioning.passes(&call).map(|_| ());
    }
    let name = conditioning.layer_name(call.layer)?;
    let mut unchecked = call.check_query;
    let mut work = || {
        for pass in conditioning.passes(&call)? {
            let query = call.query.rows(tokens.clone())?;
            // Only a query that is used is looked at, and only once.
            if std::mem::take(&mut unchecked) {
                check_finite(name, &query, tokens.start)?;
            }
            let mut pass = pass?;
            pass.tokens = tokens.clone();
            let mut output = call.output.rows(tokens.clone())?;
            attend(conditioning, query, &mut output, call.roles, &pictures, &pass)?;
        }
        Ok(())
    };
    // The host's threads do the work, unless there are fewer pictures than threads to do it.
    match count > 1 && !(by_picture && batch < count) {
        true => ThreadPool::in_place(work),
        false => work(),
    }
}

/// The rows of one part of a call: even shares in whole steps of the kernel's, so that nothing is computed twice.
fn share(rows: usize, part: usize, count: usize) -> Range<usize> {
    let steps = rows.div_ceil(ROWS_AT_ONCE);
    // Widened: both may be as large as the caller likes.
    let at = |part: usize| {
        let step = (steps as u128 * part as u128 / count as u128) as usize;
        rows.min(step * ROWS_AT_ONCE)
    };
    at(part)..at(part + 1)
}

/// Looks at queries of the layer `name` whose first row is the layer's row `first`.
pub(super) fn check_finite(name: &str, query: &TensorView<'_>, first: usize) -> Result<()> {
    match query.find_non_finite()? {
        Some([row, token, head, i]) => Err(Error::invalid(format!(
            "layer {name:?}: the query of batch row {row}, token {} (head {head}, element {i}) is not a finite number; \
             nothing was injected",
            first + token
        ))),
        None => Ok(()),
    }
}

/// out[b, s] += factor · mask[s] · softmax(q Kᵀ / √d) V for those of `pictures` that have keys in their role, in the
/// conditioning's way of injection. Query and output are the rows `pass.tokens` of the layer.
fn attend(
    conditioning: &Conditioning,
    query: TensorView<'_>,
    output: &mut TensorViewMut<'_>,
    roles: &[Role],
    pictures: &dyn Fn(usize) -> bool,
    pass: &Pass<'_>,
) -> Result<()> {
    let batch = query.shape()[0];
    let (mut few_rows, mut few_factors) = ([None; USUAL_BATCH], [0.0; USUAL_BATCH]);
    let (mut many_rows, mut many_factors);
    let (rows, factors) = if batch <= USUAL_BATCH {
        (&mut few_rows[..batch], &mut few_factors[..batch])
    } else {
        (many_rows, many_factors) = (vec![None; batch], vec![0.0; batch]);
        (&mut many_rows[..], &mut many_factors[..])
    };
    factors.fill(pass.factor);
    let has_conditional = pass.entry.conditional.is_some();
    for (i, row) in rows.iter_mut().enumerate() {
        let role = role_of(roles, i);
        // The conditional set, if there is one, comes first in the list of sets.
        *row = pass
            .entry
            .side(role)
            .filter(|_| pictures(i))
            .map(|_| usize::from(role == Role::Unconditional && has_conditional));
    }
    let row_weights = pass.weights();
    let orthogonal = |leading_tokens| OutputMode::AddOrthogonal {
        factors,
        row_weights,
        leading_tokens,
    };
    let mode = match conditioning.injection() {
        Injection::Add => OutputMode::Add { factors, row_weights },
        Injection::Orthogonal => orthogonal(None),
        Injection::OrthogonalV2 => orthogonal(Some(Injection::ATTENTION_TOKENS)),
    };
    let mut run = |sets: &[KeyValue<TensorView<'_>>]| {
        let input = AttentionInput {
            query,
            key_values: sets,
            select: Some(rows),
            scale: None,
            zero_tokens: conditioning.zero_tokens(),
        };
        attention(ThreadPool::global(), &input, output, mode)
    };
    let shape = query.shape();
    match (&pass.entry.conditional, &pass.entry.unconditional) {
        (Some(first), Some(second)) => with_set(first, shape, |first| {
            with_set(second, shape, |second| run(&[first, second]))
        }),
        (Some(only), None) | (None, Some(only)) => with_set(only, shape, |only| run(&[only])),
        (None, None) => Ok(()),
    }
}

pub(super) fn with_set<R>(
    pair: &KeyValue<Tensor>,
    query_shape: [usize; 4],
    run: impl FnOnce(KeyValue<TensorView<'_>>) -> Result<R>,
) -> Result<R> {
    with_view(&pair.keys, query_shape, |keys| {
        with_view(&pair.values, query_shape, |values| run(KeyValue { keys, values }))
    })
}

/// The tensor `[tokens, heads * head_dim]` as a view `[1, tokens, heads, head_dim]`.
fn with_view<R>(
    tensor: &Tensor,
    [_, _, heads, head_dim]: [usize; 4],
    run: impl FnOnce(TensorView<'_>) -> Result<R>,
) -> Result<R> {
    let shape = [1, tensor.dim(0)?, heads, head_dim];
    let (storage, layout) = tensor.storage_and_layout();
    let (start, end) = layout
        .contiguous_offsets()
        .ok_or_else(|| Error::internal("keys or values are not contiguous"))?;
    let view = match &*storage {
        Storage::Cpu(CpuStorage::F32(values)) => values.get(start..end).map(|v| TensorView::contiguous(v, shape)),
        Storage::Cpu(CpuStorage::F16(values)) => values.get(start..end).map(|v| TensorView::contiguous(v, shape)),
        Storage::Cpu(CpuStorage::BF16(values)) => values.get(start..end).map(|v| TensorView::contiguous(v, shape)),
        _ => None,
    };
    run(view.ok_or_else(|| Error::internal("keys or values are not floats on the CPU"))??)
}
