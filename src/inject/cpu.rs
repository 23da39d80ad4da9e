//! Injection on the CPU.

use super::{InjectCall, Pass};
use crate::conditioning::{Conditioning, Injection, Role};
use crate::error::{Error, Result};
use candle_core::{CpuStorage, Storage, Tensor};
use omniid_kernels::{attention, AttentionInput, KeyValue, OutputMode, TensorView, TensorViewMut, ThreadPool};

/// Batch rows up to which a call needs no memory from the heap.
const USUAL_BATCH: usize = 64;

pub(super) fn inject(conditioning: &Conditioning, mut call: InjectCall<'_>) -> Result<()> {
    let mut unchecked = call.check_query;
    for pass in conditioning.passes(&call)? {
        // Only a query that is used is looked at, and only once.
        if std::mem::take(&mut unchecked) {
            check_finite(&call.query)?;
        }
        attend(conditioning, call.query, &mut call.output, call.roles, &pass?)?;
    }
    Ok(())
}

pub(super) fn check_finite(query: &TensorView<'_>) -> Result<()> {
    match query.find_non_finite()? {
        Some([row, token, head, i]) => Err(Error::invalid(format!(
            "the query of batch row {row}, token {token} (head {head}, element {i}) is not a finite number; \
             nothing was injected"
        ))),
        None => Ok(()),
    }
}

/// out[b, s] += factor · mask[s] · softmax(q Kᵀ / √d) V for the batch rows that have keys in their role, in the
/// conditioning's way of injection.
fn attend(
    conditioning: &Conditioning,
    query: TensorView<'_>,
    output: &mut TensorViewMut<'_>,
    roles: &[Role],
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
        let role = roles.get(i).copied().unwrap_or_default();
        // The conditional set, if there is one, comes first in the list of sets.
        *row = pass
            .entry
            .side(role)
            .map(|_| usize::from(role == Role::Unconditional && has_conditional));
    }
    let row_weights = pass.mask.as_deref();
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
