//! The residual stream on the CPU, in blocks of rows.

use super::{Conditioning, HostLayer, Pass, Residual, ResidualCall};
use crate::adapter::ResidualLayer;
use crate::conditioning::Role;
use crate::error::{Error, Result};
use crate::inject::cpu::with_set;
use omniid_kernels::{attention, AttentionInput, OutputMode, TensorView, TensorViewMut, ThreadPool};
use std::ops::Range;

/// Image tokens of one block: the weights are read from memory once for that many, and 14 MB of working memory do for a
/// hidden state of 3072.
const BLOCK: usize = 256;

pub(super) fn inject(
    conditioning: &Conditioning,
    residual: &Residual,
    layer: &HostLayer,
    mut call: ResidualCall<'_>,
) -> Result<()> {
    if call.check_hidden {
        check_finite(&call.source())?;
    }
    let (batch, rows) = call.counts();
    let [.., width] = call.output.as_view().shape();
    let block = rows.min(BLOCK);
    // The hidden state, its normalised form, the sum and a spare one; queries and attention.
    let len = block * (4 * width + 2 * layer.inner);
    residual.with_memory(len, |memory| {
        for row in 0..batch {
            for first in (0..rows).step_by(block) {
                let range = first..rows.min(first + block);
                let sum = block_sum(conditioning, residual, layer, &call, row, range.clone(), memory)?;
                if let Some(sum) = sum {
                    call.output.add_rows(ThreadPool::global(), row, range, sum)?;
                }
            }
        }
        Ok(())
    })
}

fn check_finite(hidden: &TensorView<'_>) -> Result<()> {
    match hidden.find_non_finite()? {
        Some([_, row, token, i]) => Err(Error::invalid(format!(
            "the hidden state of batch row {row}, token {token} (element {i}) is not a finite number; nothing was \
             injected"
        ))),
        None => Ok(()),
    }
}

/// What is added to some rows of one batch entry; `None` when nothing is.
fn block_sum<'m>(
    conditioning: &Conditioning,
    residual: &Residual,
    layer: &HostLayer,
    call: &ResidualCall<'_>,
    batch: usize,
    rows: Range<usize>,
    memory: &'m mut [f32],
) -> Result<Option<&'m [f32]>> {
    let (role, count) = (call.role(batch), rows.len());
    let [.., width] = call.output.as_view().shape();
    let (hidden, memory) = memory.split_at_mut(count * width);
    let (normal, memory) = memory.split_at_mut(count * width);
    let (sum, memory) = memory.split_at_mut(count * width);
    let (other, memory) = memory.split_at_mut(count * width);
    let (query, memory) = memory.split_at_mut(count * layer.inner);
    let (attended, _) = memory.split_at_mut(count * layer.inner);
    let (mut sum, mut other) = (sum, other);
    let (mut is_read, mut any) = (false, false);
    for (set, weights) in residual.layers(call.layer).enumerate() {
        let mut attends = false;
        for identity in conditioning.identities() {
            let pass = call.pass(identity, set)?;
            let Some(pass) = pass.filter(|pass| pass.entry.side(role).is_some()) else {
                continue;
            };
            if !is_read {
                call.source()
                    .widen_rows(ThreadPool::global(), batch, rows.clone(), hidden)?;
                is_read = true;
            }
            if !attends {
                project(weights, hidden, normal, query)?;
                attended.fill(0.0);
                attends = true;
            }
            let part = Part {
                shape: [1, count, layer.heads, layer.head_dim],
                rows: rows.clone(),
                zero_tokens: conditioning.zero_tokens(),
            };
            attend(query, attended, part, role, &pass)?;
        }
        if attends {
            let before = any.then_some(&*sum);
            weights.to_out.forward_rows(attended, other, before)?;
            std::mem::swap(&mut sum, &mut other);
            any = true;
        }
    }
    Ok(any.then_some(&*sum))
}

fn project(weights: &ResidualLayer, hidden: &[f32], normal: &mut [f32], query: &mut [f32]) -> Result<()> {
    weights.norm.forward_rows(hidden, normal)?;
    weights.to_q.forward_rows(normal, query, None)
}

/// A block of one batch entry.
struct Part {
    /// Of its queries.
    shape: [usize; 4],
    rows: Range<usize>,
    zero_tokens: usize,
}

/// attended += factor · mask · softmax(q Kᵀ / √d) V.
fn attend(query: &[f32], attended: &mut [f32], part: Part, role: Role, pass: &Pass<'_>) -> Result<()> {
    let (shape, rows) = (part.shape, part.rows);
    let Some(pair) = pass.entry.side(role) else {
        return Ok(());
    };
    with_set(pair, shape, |set| {
        let input = AttentionInput {
            query: TensorView::contiguous(query, shape)?,
            key_values: std::slice::from_ref(&set),
            select: None,
            scale: None,
            zero_tokens: part.zero_tokens,
        };
        let mode = OutputMode::Add {
            factors: &[pass.factor],
            row_weights: pass.mask.as_deref().and_then(|mask| mask.get(rows)),
        };
        let mut output = TensorViewMut::contiguous(attended, shape)?;
        attention(ThreadPool::global(), &input, &mut output, mode)
    })
}
