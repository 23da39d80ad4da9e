//! Activations and layer normalisation, and their gradients.

mod activation;
#[cfg(feature = "gradients")]
mod activation_gradient;
mod layer_norm;
#[cfg(feature = "gradients")]
mod layer_norm_gradient;
mod rms_norm;

pub use activation::Activation;
#[cfg(feature = "gradients")]
pub(crate) use activation_gradient::{activate, activation_gradient, gate, gate_gradient};
pub use layer_norm::layer_norm;
pub(crate) use layer_norm::layer_norm_of;
#[cfg(feature = "gradients")]
pub(crate) use layer_norm_gradient::layer_norm_gradient;
pub use rms_norm::rms_norm;
