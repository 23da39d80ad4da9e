//! Injection on the CPU.

use super::{Elements, InjectCall, Pass, QueryView, Request};
use crate::conditioning::{Conditioning, KeyValue, Role};
use crate::error::{Error, Result};
use candle_core::{CpuStorage, Storage, Tensor};
use half::{bf16, f16};

pub(super) fn inject(conditioning: &Conditioning, mut call: InjectCall<'_>) -> Result<()> {
    let request = Request {
        layer: call.layer,
        query_shape: call.query.layout.shape,
        output_shape: call.output.layout.shape,
        step: call.step,
        roles: call.roles,
        latent: call.latent,
        scale: call.scale,
    };
    if !conditioning.device().is_cpu() {
        return Err(Error::unsupported(
            "injecting into memory of the CPU: the keys and values of this conditioning are on a GPU",
        ));
    }
    if call.query.elements.dtype() != call.output.elements.dtype() {
        return Err(Error::mismatch(format!(
            "the query is {:?}, the output {:?}; they must have one number type",
            call.query.elements.dtype(),
            call.output.elements.dtype()
        )));
    }
    let (query, output, roles) = (&call.query, &mut call.output, call.roles);
    let mut unchecked = call.check_query;
    conditioning.passes(&request, |pass| {
        // Only a query that is used is looked at, and only once.
        if std::mem::take(&mut unchecked) {
            check_finite(query)?;
        }
        attend(query, output, roles, &pass)
    })
}

/// Looks for a query value that is not finite.
fn check_finite(query: &QueryView<'_>) -> Result<()> {
    let found = match query.elements {
        Elements::F32(values) => find(query, values, |value| value.is_finite()),
        Elements::F16(values) => find(query, values, |value| value.is_finite()),
        Elements::Bf16(values) => find(query, values, |value| value.is_finite()),
    };
    match found {
        Some([row, token, head, i]) => Err(Error::invalid(format!(
            "the query of batch row {row}, token {token} (head {head}, element {i}) is not a finite number; \
             nothing was injected"
        ))),
        None => Ok(()),
    }
}

fn find<T: Copy>(query: &QueryView<'_>, values: &[T], is_finite: impl Fn(T) -> bool) -> Option<[usize; 4]> {
    let [batch, rows, heads, width] = query.layout.shape;
    let strides = query.layout.strides;
    for row in 0..batch {
        for token in 0..rows {
            for head in 0..heads {
                let start = row * strides[0] + token * strides[1] + head * strides[2];
                let bad = if strides[3] == 1 {
                    // No early exit inside a head: the plain reduction runs on vectors.
                    let head = values.get(start..start + width)?;
                    !head.iter().fold(true, |all, value| all & is_finite(*value))
                } else {
                    true
                };
                if bad {
                    let place = (0..width)
                        .find(|i| values.get(start + i * strides[3]).is_some_and(|v| !is_finite(*v)));
                    if let Some(i) = place {
                        return Some([row, token, head, i]);
                    }
                }
            }
        }
    }
    None
}

/// out[b, s] += factor · mask[s] · softmax(q Kᵀ / √d) V for the batch rows that have keys in their role.
fn attend(
    query: &QueryView<'_>,
    output: &mut super::OutputView<'_>,
    roles: &[Role],
    pass: &Pass<'_>,
) -> Result<()> {
    for role in [Role::Conditional, Role::Unconditional] {
        let Some(pair) = pass.entry.side(role) else {
            continue;
        };
        with_pair(pair, |keys, values| {
            for row in 0..query.layout.shape[0] {
                if roles.get(row).copied().unwrap_or_default() == role {
                    reference(query, output, row, keys, values, pass);
                }
            }
        })?;
    }
    Ok(())
}

fn with_pair(pair: &KeyValue, run: impl FnOnce(Elements<'_>, Elements<'_>)) -> Result<()> {
    with_slice(&pair.keys, |keys| {
        with_slice(&pair.values, |values| run(keys, values))
    })?
}

fn with_slice<R>(tensor: &Tensor, run: impl FnOnce(Elements<'_>) -> R) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    let (start, end) = layout
        .contiguous_offsets()
        .ok_or_else(|| Error::internal("keys or values are not contiguous"))?;
    let elements = match &*storage {
        Storage::Cpu(CpuStorage::F32(values)) => values.get(start..end).map(Elements::F32),
        Storage::Cpu(CpuStorage::F16(values)) => values.get(start..end).map(Elements::F16),
        Storage::Cpu(CpuStorage::BF16(values)) => values.get(start..end).map(Elements::Bf16),
        _ => None,
    };
    Ok(run(elements.ok_or_else(|| {
        Error::internal("keys or values are not floats on the CPU")
    })?))
}

fn read(elements: &Elements<'_>, i: usize) -> f32 {
    match elements {
        Elements::F32(values) => values[i],
        Elements::F16(values) => values[i].to_f32(),
        Elements::Bf16(values) => values[i].to_f32(),
    }
}

fn reference(
    query: &QueryView<'_>,
    output: &mut super::OutputView<'_>,
    row: usize,
    keys: Elements<'_>,
    values: Elements<'_>,
    pass: &Pass<'_>,
) {
    let [_, rows, heads, width] = query.layout.shape;
    let inner = heads * width;
    let tokens = keys.len() / inner;
    let at = |strides: [usize; 4], s: usize, h: usize, d: usize| {
        row * strides[0] + s * strides[1] + h * strides[2] + d * strides[3]
    };
    let scale = 1.0 / (width as f32).sqrt();
    for s in 0..rows {
        let factor = pass.factor * pass.mask.as_ref().map_or(1.0, |mask| mask[s]);
        for h in 0..heads {
            let score = |t: usize| -> f32 {
                (0..width)
                    .map(|d| {
                        read(&query.elements, at(query.layout.strides, s, h, d))
                            * read(&keys, t * inner + h * width + d)
                    })
                    .sum::<f32>()
                    * scale
            };
            let max = (0..tokens).map(score).fold(f32::NEG_INFINITY, f32::max);
            let sum: f32 = (0..tokens).map(|t| (score(t) - max).exp()).sum();
            for d in 0..width {
                let mixed: f32 = (0..tokens)
                    .map(|t| (score(t) - max).exp() * read(&values, t * inner + h * width + d))
                    .sum::<f32>()
                    / sum;
                let place = at(output.layout.strides, s, h, d);
                match &mut output.elements {
                    super::ElementsMut::F32(out) => out[place] += factor * mixed,
                    super::ElementsMut::F16(out) => {
                        out[place] = f16::from_f32(out[place].to_f32() + factor * mixed)
                    }
                    super::ElementsMut::Bf16(out) => {
                        out[place] = bf16::from_f32(out[place].to_f32() + factor * mixed)
                    }
                }
            }
        }
    }
}
