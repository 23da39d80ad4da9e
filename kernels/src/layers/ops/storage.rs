//! Access to the values of candle's tensors from inside custom operations.

use crate::error::Error;
use crate::layers::cpu::{is_f32, on_cpu};
use candle_core::{CpuStorage, Layout, Tensor};
use std::borrow::Cow;

/// An error that names the argument that is not an f32 tensor on the CPU.
pub(super) fn require(operation: &str, tensors: &[(&str, &Tensor)]) -> crate::error::Result<()> {
    match tensors.iter().find(|(_, tensor)| !is_f32(&[tensor])) {
        None => Ok(()),
        Some((name, tensor)) => Err(Error::mismatch(format!(
            "{operation} takes f32 tensors on the CPU; {name} is {:?} on {:?}",
            tensor.dtype(),
            tensor.device()
        ))),
    }
}

/// The values in row-major order: in place where they are contiguous, else copied.
pub(super) fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> candle_core::Result<Cow<'a, [f32]>> {
    let all = storage.as_slice::<f32>()?;
    if let Some((first, last)) = layout.contiguous_offsets() {
        return Ok(Cow::Borrowed(&all[first..last]));
    }
    let mut copy = Vec::with_capacity(layout.shape().elem_count());
    gather(all, layout.dims(), layout.stride(), layout.start_offset(), &mut copy);
    Ok(Cow::Owned(copy))
}

/// Appends the values of a strided block in row-major order.
fn gather(all: &[f32], dims: &[usize], strides: &[usize], first: usize, to: &mut Vec<f32>) {
    match (dims, strides) {
        // Whole rows at once: the usual case, a part of a wider tensor.
        (&[width], &[1]) => to.extend_from_slice(&all[first..first + width]),
        (&[width], &[stride]) => to.extend((0..width).map(|i| all[first + i * stride])),
        ([count, dims @ ..], [stride, strides @ ..]) => {
            for i in 0..*count {
                gather(all, dims, strides, first + i * stride, to);
            }
        }
        _ => to.push(all[first]),
    }
}

/// [`values`] of a tensor, handed to `f`.
pub(super) fn with_values<R>(
    tensor: &Tensor,
    f: impl FnOnce(&[f32]) -> candle_core::Result<R>,
) -> candle_core::Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    f(&values(on_cpu(&storage).map_err(candle)?, layout)?)
}

/// An error of a kernel as one of candle.
pub(super) fn candle(error: Error) -> candle_core::Error {
    candle_core::Error::wrap(error)
}
