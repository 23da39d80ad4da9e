//! Flow matching on straight paths from noise to pictures (Lipman et al. 2023, "Flow Matching for Generative Modeling";
//! Liu et al. 2023, "Flow Straight and Fast").
//!
//! At time t from 0 to 1 a picture x and noise ε are mixed to x_t = t·x + (1−t)·ε. A network that predicts x (or the
//! velocity x − ε) from x_t turns noise into a picture when its velocity is followed from 0 to 1.

mod loss;
mod sampler;

#[cfg(test)]
mod tests;

pub use crate::prediction::{Prediction, NEAREST_END};
pub use loss::{draw_noise, training_loss, FlowOptions, TrainingPictures};
pub use sampler::{sample, times, SampleOptions, Solver};

use candle_core::{Device, Tensor};
use omniid::Result;
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

/// Normal noise of a shape, from a generator of random numbers; drawn on the CPU, so that every device gets the same.
pub(crate) fn noise(shape: &[usize], rng: &mut impl Rng, device: &Device) -> Result<Tensor> {
    let count = shape.iter().product::<usize>();
    let values: Vec<f32> = StandardNormal.sample_iter(rng).take(count).collect();
    Ok(Tensor::from_vec(values, shape, &Device::Cpu)?.to_device(device)?)
}
