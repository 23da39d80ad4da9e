//! Multi-head attention with its gradients.

use super::storage::{candle, require};
use crate::error::{Error, Result};
use crate::{
    self as kernel, attention_gradient, AttentionGradientInput, AttentionGradients, AttentionInput, KeyValue,
    OutputMode, TensorView, TensorViewMut, ThreadPool,
};
use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Storage, Tensor};

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
        && (1..=512).contains(&(q[2] / heads));
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
    /// A tensor `[batch, tokens, heads · d]` with any strides as `[batch, tokens, heads, d]`.
    fn view<'a>(&self, storage: &'a CpuStorage, layout: &Layout) -> candle_core::Result<TensorView<'a>> {
        let values = storage
            .as_slice::<f32>()?
            .get(layout.start_offset()..)
            .unwrap_or_default();
        let (batch, tokens, inner) = layout.shape().dims3()?;
        let &[by_batch, by_token, by_value] = layout.stride() else {
            candle_core::bail!("attention takes tensors of three dimensions");
        };
        let dim = inner / self.heads;
        TensorView::new(
            values,
            [batch, tokens, self.heads, dim],
            [by_batch, by_token, dim * by_value, by_value],
        )
        .map_err(candle)
    }

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
        let set = KeyValue {
            keys: self.view(key, key_layout)?,
            values: self.view(value, value_layout)?,
        };
        let input = AttentionInput {
            query: self.view(query, query_layout)?,
            key_values: std::slice::from_ref(&set),
            select: None,
            scale: None,
        };
        let mut output = vec![0.0_f32; query_layout.shape().elem_count()];
        let mut target = TensorViewMut::contiguous(&mut output, input.query.shape()).map_err(candle)?;
        kernel::attention(ThreadPool::global(), &input, &mut target, OutputMode::Overwrite)
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
            match &**storage {
                Storage::Cpu(storage) => views.push(self.view(storage, layout)?),
                _ => candle_core::bail!("a gradient on the CPU got a tensor on another device"),
            }
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
