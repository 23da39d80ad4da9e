//! From gradients to weights: the trained tensors, AdamW, the learning rate over time, the moving average.

mod adamw;
mod average;
mod parameters;
pub mod schedule;

pub use adamw::AdamW;
pub(crate) use adamw::Moments;
pub(crate) use average::Slot;
pub use average::{decay_after, Average};
pub use parameters::{Parameter, ParameterGroup, ParameterSpec, Parameters};
