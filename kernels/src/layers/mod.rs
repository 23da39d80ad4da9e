//! Layers that the backbone, the encoders and the adapters are made of.
//!
//! Each layer has three ways to run. Weights that lie on the CPU and are not variables are for inference: they are
//! packed for [the CPU kernels](crate). With the feature `gradients`, variables on the CPU train through the same
//! kernels by the differentiable operations in `ops`. Everything else, such as tensors on a GPU, runs as candle
//! operations, all of them differentiable.
//!
//! **Dtypes.** On the CPU activations are f32, whatever the weights are stored in (f32, f16, bf16). On a GPU
//! activations have the dtype of the weights; softmax and layer normalisation compute in f32.

mod activation;
mod attention;
mod cpu;
mod layer_norm;
mod linear;
#[cfg(feature = "gradients")]
pub mod ops;
mod random;

pub use crate::Activation;
pub use attention::{attention, attention_weights};
pub use layer_norm::LayerNorm;
pub use linear::Linear;
#[cfg(feature = "gradients")]
pub use ops::autocast;
pub use random::{random_tensors, Initial, TensorSpec};

use crate::error::{Error, Result};
use candle_core::{DType, Device, Tensor};
use candle_nn::{Init, VarBuilder};

/// The dtype that activations have on `device` when weights are stored as `weights`.
pub fn activation_dtype(device: &Device, weights: DType) -> DType {
    if device.is_cpu() {
        DType::F32
    } else {
        weights
    }
}

/// Reads a small tensor (a bias, a norm, queries, a position table) in the dtype that activations have.
///
/// # Errors
/// [`ErrorKind::Format`](crate::ErrorKind::Format) when the tensor is missing or has another shape.
pub fn load_parameter(vb: &VarBuilder, shape: &[usize], name: &str, init: Init) -> Result<Tensor> {
    let tensor = load_tensor(vb, shape, name, init)?;
    let dtype = activation_dtype(tensor.device(), tensor.dtype());
    Ok(tensor.to_dtype(dtype)?)
}

/// Reads a tensor as the [`VarBuilder`] gives it, with an error that names it in full.
///
/// # Errors
/// [`ErrorKind::Format`](crate::ErrorKind::Format) when the tensor is missing or has another shape.
pub fn load_tensor(vb: &VarBuilder, shape: &[usize], name: &str, init: Init) -> Result<Tensor> {
    vb.get_with_hints(shape, name, init)
        .map_err(|error| match innermost(&error) {
            candle_core::Error::CannotFindTensor { path } => Error::format(format!(
                "tensor {path:?} is missing; the model needs it with shape {shape:?}"
            )),
            candle_core::Error::UnexpectedShape { expected, got, .. } => Error::format(format!(
                "tensor {:?} has shape {:?}, the model needs {:?}",
                full_name(vb, name),
                got.dims(),
                expected.dims()
            )),
            // A checkpoint's own error already names the tensor and the file.
            candle_core::Error::WrappedContext { .. } => Error::from(error),
            _ => Error::from(error).context(full_name(vb, name)),
        })
}

/// The error inside candle's wrappers for backtraces, paths and contexts.
fn innermost(error: &candle_core::Error) -> &candle_core::Error {
    match error {
        candle_core::Error::WithBacktrace { inner, .. }
        | candle_core::Error::WithPath { inner, .. }
        | candle_core::Error::Context { inner, .. } => innermost(inner),
        other => other,
    }
}

/// The name of a tensor in the checkpoint: the builder's prefix and the name.
fn full_name(vb: &VarBuilder, name: &str) -> String {
    let prefix = vb.prefix();
    if prefix.is_empty() {
        name.to_string()
    } else {
        format!("{prefix}.{name}")
    }
}
