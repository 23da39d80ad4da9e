//! Multi-head attention with its gradients.

use super::storage::{candle, require};
use crate::attention::{attention_gradient, AttentionGradientInput, AttentionGradients, MAX_HEAD_DIM};
use crate::error::{Error, Result};
use crate::layers::cpu::{attend, on_cpu, split_heads};
use crate::{TensorViewMut, ThreadPool};
use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor};

/// Scaled dot-product attention, softmax(q kᵀ / √d) v per head: `query` `[batch, queries, heads · d]`, `key` and
/// `value` `[batch or 1, tokens, heads · d]`, result `[batch, queries, heads · d]`. A key batch of 1 serves every
/// query batch, and its gradient is the sum over them.
///
/// Differentiable in all three. The backward pass computes the probabilities again instead of keeping them. Products
/// and softmax are f32.
///
/// # Errors
/// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when the shapes do not fit each other or the heads, a head is
/// wider than 512, or a tensor is not f32 on the CPU.
pub fn attention(query: &Tensor, key: &Tensor, value: &Tensor, heads: usize) -> Result<Tensor> {
    require(
        "attention",
        &[("the query", query), ("the key", key), ("the value", value)],
    )?;
    let (q, k, v) = (query.dims(), key.dims(), value.dims());
    let fits = q.len() == 3
        && k.len() == 3
        && k == v
        && (k[0] == q[0] || k[0] == 1)
        && k[1] > 0
        && k[2] == q[2]
        && heads > 0
        && q[2] % heads == 0
        && (1..=MAX_HEAD_DIM).contains(&(q[2] / heads));
    if !fits {
        return Err(Error::mismatch(format!(
            "attention with {heads} heads got query {q:?}, key {k:?} and value {v:?}"
        )));
    }
    Ok(query.apply_op3(key, value, Attention { heads })?)
}

struct Attention {
    heads: usize,
}

impl Attention {
    fn shape(&self, tensor: &Tensor) -> candle_core::Result<[usize; 4]> {
        let (batch, tokens, inner) = tensor.dims3()?;
        Ok([batch, tokens, self.heads, inner / self.heads])
    }
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        query: &CpuStorage,
        query_layout: &Layout,
        key: &CpuStorage,
        key_layout: &Layout,
        value: &CpuStorage,
        value_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let output = attend(
            (query, query_layout),
            (key, key_layout),
            (value, value_layout),
            self.heads,
        )
        .map_err(candle)?;
        Ok((CpuStorage::F32(output), query_layout.shape().clone()))
    }

    fn bwd(
        &self,
        query: &Tensor,
        key: &Tensor,
        value: &Tensor,
        result: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let tensors = [query, key, value, result, gradient];
        let parts = tensors.map(Tensor::storage_and_layout);
        let mut views = Vec::with_capacity(parts.len());
        for (storage, layout) in &parts {
            let view = on_cpu(storage).and_then(|storage| split_heads(storage, layout, self.heads));
            views.push(view.map_err(candle)?);
        }
        let [q, k, v] = [query, key, value].map(|x| vec![0.0_f32; x.elem_count()]);
        let (mut q, mut k, mut v) = (q, k, v);
        let input = AttentionGradientInput {
            query: views[0],
            keys: views[1],
            values: views[2],
            output: views[3],
            output_gradient: views[4],
        };
        let mut gradients = AttentionGradients {
            query: TensorViewMut::contiguous(&mut q, self.shape(query)?).map_err(candle)?,
            keys: TensorViewMut::contiguous(&mut k, self.shape(key)?).map_err(candle)?,
            values: TensorViewMut::contiguous(&mut v, self.shape(value)?).map_err(candle)?,
        };
        attention_gradient(ThreadPool::global(), &input, &mut gradients).map_err(candle)?;
        let give = |of: &Tensor, values: Vec<f32>| {
            of.track_op()
                .then(|| Tensor::from_vec(values, of.shape(), of.device()))
                .transpose()
        };
        Ok((give(query, q)?, give(key, k)?, give(value, v)?))
    }
}
