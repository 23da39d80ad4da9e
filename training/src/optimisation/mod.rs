//! From gradients to weights: the trained tensors, AdamW, the learning rate over time, the moving average.

mod adamw;
mod average;
mod buffer;
mod parameters;
pub mod schedule;

pub use adamw::AdamW;
pub use average::{decay_after, Average};
pub(crate) use buffer::Buffer;
pub use parameters::{Parameter, ParameterGroup, ParameterSpec, Parameters};
