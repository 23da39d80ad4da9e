//! The residual stream on a GPU, by candle's operations on the engine's stream.

use super::{Conditioning, HostLayer, Residual, ResidualCall};
use crate::cuda;
use crate::error::Result;
use crate::inject::{TensorView, TensorViewMut};
use candle_core::{DType, Device, Tensor, D};
use omniid_kernels::layers::activation_dtype;
use std::sync::Arc;

pub(super) fn inject(
    conditioning: &Conditioning,
    residual: &Residual,
    layer: &HostLayer,
    mut call: ResidualCall<'_>,
) -> Result<()> {
    let device = conditioning.device();
    let before = import(&call.output.as_view(), device, &call)?;
    let hidden = match &call.hidden {
        Some(hidden) => import(hidden, device, &call)?,
        None => before.clone(),
    };
    let (batch, _) = call.counts();
    let mut rows = Vec::with_capacity(batch);
    for row in 0..batch {
        let hidden = hidden.narrow(0, row, 1)?;
        let old = before.narrow(0, row, 1)?.to_dtype(DType::F32)?;
        rows.push(match row_sum(conditioning, residual, layer, &call, row, &hidden)? {
            Some(sum) => (old + sum)?,
            None => old,
        });
    }
    let after = Tensor::cat(&rows, 0)?.to_dtype(before.dtype())?.contiguous()?;
    let stream = call.stream;
    copy_back(&after, &mut call.output, stream)
}

fn import(view: &TensorView<'_>, device: &Device, call: &ResidualCall<'_>) -> Result<Tensor> {
    cuda::import(view, device.as_cuda_device()?, call.stream)
}

fn copy_back(after: &Tensor, output: &mut TensorViewMut<'_>, stream: super::HostStream) -> Result<()> {
    cuda::copy_into(after, output, stream)
}

/// What is added to one batch entry `[1, rows, hidden]`, f32; `None` when nothing is.
fn row_sum(
    conditioning: &Conditioning,
    residual: &Residual,
    layer: &HostLayer,
    call: &ResidualCall<'_>,
    batch: usize,
    hidden: &Tensor,
) -> Result<Option<Tensor>> {
    let role = call.role(batch);
    let mut sum: Option<Tensor> = None;
    for (set, weights) in residual.layers(call.layer).enumerate() {
        let mut attended: Option<Tensor> = None;
        let mut query: Option<Tensor> = None;
        for identity in conditioning.identities() {
            let pass = call.pass(identity, set)?;
            let Some((pair, pass)) = pass.and_then(|pass| Some((pass.entry.side(role)?, pass))) else {
                continue;
            };
            let query = match &query {
                Some(query) => query.clone(),
                None => {
                    let wide = hidden.to_dtype(DType::F32)?;
                    let normal = weights.norm.forward(&wide)?;
                    let dtype = weights.to_q.weight().map_or(DType::F32, Tensor::dtype);
                    let normal = normal.to_dtype(activation_dtype(hidden.device(), dtype))?;
                    let projected = heads(&weights.to_q.forward(&normal)?.to_dtype(DType::F32)?, layer.heads)?;
                    query.insert(projected).clone()
                }
            };
            let keys = heads(&pair.keys.to_dtype(DType::F32)?.unsqueeze(0)?, layer.heads)?;
            let values = heads(&pair.values.to_dtype(DType::F32)?.unsqueeze(0)?, layer.heads)?;
            let scores = (query.matmul(&keys.t()?.contiguous()?)? / (layer.head_dim as f64).sqrt())?;
            let count = keys.dim(2)?;
            let scores = match conditioning.zero_tokens() {
                0 => scores,
                zeros => scores.pad_with_zeros(D::Minus1, 0, zeros)?,
            };
            let weights = candle_nn::ops::softmax(&scores, D::Minus1)?.narrow(D::Minus1, 0, count)?;
            let mixed = weights.contiguous()?.matmul(&values)?;
            let mut mixed = (mixed.transpose(1, 2)?.flatten_from(2)? * f64::from(pass.factor))?;
            if let Some(mask) = &pass.mask {
                mixed = mixed.broadcast_mul(&mask_column(mask, mixed.device())?)?;
            }
            attended = Some(match attended {
                Some(other) => (other + mixed)?,
                None => mixed,
            });
        }
        if let Some(attended) = attended {
            let dtype = weights.to_out.weight().map_or(DType::F32, Tensor::dtype);
            let added = weights
                .to_out
                .forward(&attended.to_dtype(dtype)?)?
                .to_dtype(DType::F32)?;
            sum = Some(match sum {
                Some(other) => (other + added)?,
                None => added,
            });
        }
    }
    Ok(sum)
}

/// `[1, rows, heads · head_dim]` as `[1, heads, rows, head_dim]`.
fn heads(x: &Tensor, heads: usize) -> Result<Tensor> {
    let (batch, rows, inner) = x.dims3()?;
    let split = x.reshape((batch, rows, heads, inner / heads.max(1)))?;
    Ok(split.transpose(1, 2)?.contiguous()?)
}

fn mask_column(mask: &Arc<[f32]>, device: &Device) -> Result<Tensor> {
    Ok(Tensor::from_slice(mask, (1, mask.len(), 1), device)?)
}
