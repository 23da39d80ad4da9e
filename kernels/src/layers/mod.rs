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
mod outline;
mod random;
mod weights;

pub use crate::Activation;
pub use attention::{attention, attention_weights};
pub use layer_norm::LayerNorm;
pub use linear::Linear;
#[cfg(feature = "gradients")]
pub use ops::autocast;
pub use outline::Outline;
pub use random::{random_tensors, Initial, TensorSpec};
pub use weights::Weights;

use crate::error::Result;
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
    let tensor = weights::read(vb, name, shape, init)?;
    let dtype = activation_dtype(tensor.device(), tensor.dtype());
    Ok(tensor.to_dtype(dtype)?)
}
