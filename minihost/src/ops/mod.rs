//! Differentiable operations on tokens `[batch, tokens, channels]` that candle lacks or runs on one thread.
//!
//! Each runs on the CPU through the process' thread pool, with the same result for every number of threads. Other
//! devices take a way of candle's own operations.

mod add_rows;
mod group_norm;
mod im2col;
mod transpose;

#[cfg(test)]
mod tests;

pub(crate) use add_rows::add_rows;
pub(crate) use group_norm::group_norm;
pub(crate) use im2col::im2col;
pub(crate) use transpose::taps_first;

use candle_core::{CpuStorage, DType, Error, Layout, Result, Storage, Tensor};
use omniid_kernels::ThreadPool;

/// [`ThreadPool::fill_parts`] on the pool of the process.
fn for_parts<T: Send>(output: &mut [T], size: usize, fill: &(dyn Fn(usize, &mut [T]) + Sync)) {
    ThreadPool::global().fill_parts(output, size, fill);
}

/// Whether these tensors are for the operations of this module.
fn on_cpu(tensors: &[&Tensor]) -> bool {
    tensors
        .iter()
        .all(|tensor| tensor.device().is_cpu() && tensor.dtype() == DType::F32)
}

/// The elements of a contiguous tensor on the CPU.
fn elements<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let values = storage.as_slice::<f32>()?;
    layout
        .contiguous_offsets()
        .and_then(|(start, end)| values.get(start..end))
        .ok_or_else(|| Error::Msg(format!("a tensor of layout {layout:?} is not contiguous")))
}

/// Hands the elements of a tensor on the CPU to `f`, copying only what is not contiguous.
fn with_elements<R>(tensor: &Tensor, f: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => f(elements(storage, layout)?),
        _ => Err(Error::Msg("a tensor is not on the CPU".to_string())),
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use candle_core::{Device, Result, Tensor};
    use omniid_kernels::layers::{Initial, TensorSpec};

    /// Normal random numbers from a name.
    pub fn random(name: &str, shape: &[usize]) -> Tensor {
        TensorSpec::new(name, shape, Initial::Normal(1.0)).tensor(3).unwrap()
    }

    /// The largest distance between two tensors of one shape.
    pub fn distance(a: &Tensor, b: &Tensor) -> Result<f32> {
        assert_eq!(a.dims(), b.dims());
        let (a, b) = (a.to_device(&Device::Cpu)?, b.to_device(&Device::Cpu)?);
        (a - b)?.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>()
    }
}
