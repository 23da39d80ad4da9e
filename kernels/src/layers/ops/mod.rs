//! Differentiable operations for training on the CPU, forward and backward through the [kernels](crate).
//!
//! All take and give f32 tensors on the CPU, of any strides, and compute on all threads of
//! [`ThreadPool::global`](crate::ThreadPool::global). Gradients flow to every argument that is a variable
//! or depends on one. The same values give the same bits, on any number of threads. Gradients of gradients do not
//! exist. The [layers](super) use these operations where they can.

mod activation;
mod attention;
mod autocast;
mod convolution;
mod layer_norm;
mod linear;
mod storage;
#[cfg(test)]
mod tests;

pub use activation::{activation, geglu};
pub use attention::attention;
pub use autocast::autocast;
pub use convolution::convolution;
pub use layer_norm::layer_norm;
pub use linear::{linear, linear_with_activation};
