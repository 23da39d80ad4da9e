//! Tensors on the CPU as the kernels take them.

use crate::attention::attention_of;
use crate::error::{Error, Result};
use crate::{KeyValue, TensorView, ThreadPool};
use candle_core::{CpuStorage, DType, Layout, Storage, Tensor, WithDType};

/// Whether the kernels take these tensors as they are: f32 on the CPU.
pub(super) fn is_f32(tensors: &[&Tensor]) -> bool {
    tensors.iter().all(|x| x.device().is_cpu() && x.dtype() == DType::F32)
}

/// Hands the values of a tensor to `f`, in row-major order; copies only what is not contiguous.
pub(super) fn with_values<T: WithDType, R>(tensor: &Tensor, f: impl FnOnce(&[T]) -> Result<R>) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    let values = match layout.contiguous_offsets() {
        Some((first, last)) => on_cpu(&storage)?.as_slice::<T>()?.get(first..last),
        None => None,
    };
    f(values.ok_or_else(|| Error::internal("a contiguous tensor has no contiguous values"))?)
}

/// The storage of a tensor that must be on the CPU.
pub(super) fn on_cpu(storage: &Storage) -> Result<&CpuStorage> {
    match storage {
        Storage::Cpu(storage) => Ok(storage),
        _ => Err(Error::mismatch("a layer on the CPU got a tensor on another device")),
    }
}

/// An f32 tensor `[batch, tokens, heads · d]` with any strides as `[batch, tokens, heads, d]`.
pub(super) fn split_heads<'a>(storage: &'a CpuStorage, layout: &Layout, heads: usize) -> Result<TensorView<'a>> {
    let (shape, strides) = (layout.dims().try_into(), layout.stride().try_into());
    let (Ok(shape), Ok(strides)) = (shape, strides) else {
        return Err(Error::internal("attention takes tensors of three dimensions"));
    };
    let values = storage.as_slice::<f32>()?.get(layout.start_offset()..);
    TensorView::new::<_, 3>(values.unwrap_or_default(), shape, strides)?.split_last(heads)
}

/// Attention of a query `[batch, queries, heads · d]` to keys and values `[batch or 1, tokens, heads · d]`, all f32:
/// the values of the result, which has the shape of the query.
pub(super) fn attend(
    query: (&CpuStorage, &Layout),
    key: (&CpuStorage, &Layout),
    value: (&CpuStorage, &Layout),
    heads: usize,
) -> Result<Vec<f32>> {
    let view = |(storage, layout)| split_heads(storage, layout, heads);
    let set = KeyValue {
        keys: view(key)?,
        values: view(value)?,
    };
    attention_of(ThreadPool::global(), view(query)?, set)
}
