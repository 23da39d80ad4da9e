//! Numbers beside the weights: the optimiser's means and the moving average.

use candle_core::{CpuStorage, Device, Storage, Tensor};
use omniid::{Error, Result};

/// One tensor's numbers, where the weights are.
#[derive(Debug, Clone)]
pub(crate) enum Buffer {
    /// In host memory, for loops of our own.
    Host(Vec<f32>),
    /// On another device, for tensor operations.
    Device(Tensor),
}

impl Buffer {
    /// A copy of `tensor`, to lie beside weights on `device`.
    ///
    /// # Errors
    /// [`ErrorKind::Device`](omniid::ErrorKind::Device) from the GPU.
    pub fn of(tensor: &Tensor, device: &Device) -> Result<Self> {
        Ok(if device.is_cpu() {
            Self::Host(tensor.flatten_all()?.to_vec1::<f32>()?)
        } else {
            Self::Device(tensor.to_device(device)?.copy()?.detach())
        })
    }

    /// The numbers as a tensor of this shape.
    ///
    /// # Errors
    /// [`ErrorKind::Device`](omniid::ErrorKind::Device) from the GPU.
    pub fn tensor(&self, shape: &[usize]) -> Result<Tensor> {
        Ok(match self {
            Self::Host(values) => Tensor::from_slice(values, shape, &Device::Cpu)?,
            Self::Device(tensor) => tensor.clone(),
        })
    }
}

/// What `read` makes of the numbers of a contiguous f32 tensor on the CPU.
///
/// # Errors
/// [`ErrorKind::Internal`](omniid::ErrorKind::Internal) for any other tensor.
pub(crate) fn with_values<R>(tensor: &Tensor, read: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    let values = match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(values)), Some((from, to))) => values.get(from..to),
        _ => None,
    };
    let values = values.ok_or_else(|| {
        Error::internal(format!(
            "expected contiguous f32 on the CPU, got {:?} on {:?}",
            tensor.dtype(),
            tensor.device().location()
        ))
    })?;
    Ok(read(values))
}
