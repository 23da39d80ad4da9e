//! Flow matching on straight paths from noise to pictures (Lipman et al. 2023, "Flow Matching for Generative Modeling";
//! Liu et al. 2023, "Flow Straight and Fast").
//!
//! At time t from 0 to 1 a picture x and noise ε are mixed to x_t = t·x + (1−t)·ε. A network that predicts x (or the
//! velocity x − ε) from x_t turns noise into a picture when its velocity is followed from 0 to 1.

mod loss;
mod sampler;

#[cfg(test)]
mod tests;

pub use loss::{training_loss, FlowOptions, TrainingPictures};
pub use sampler::{sample, times, SampleOptions, Solver};

use candle_core::{Device, Tensor};
use omniid::error::Result;
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

/// What a network predicts from x_t.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prediction {
    /// The clean picture x.
    #[default]
    Sample,
    /// The velocity x − ε.
    Velocity,
}

/// Times closer to 1 than this count as this close where something is divided by the distance.
pub const NEAREST_END: f64 = 1e-4;

impl Prediction {
    /// The clean picture, from the prediction at `x_t` and `rest` = 1 − t, which broadcasts over the pictures.
    pub(crate) fn clean(self, prediction: &Tensor, x_t: &Tensor, rest: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::Sample => prediction.clone(),
            Self::Velocity => (x_t + prediction.broadcast_mul(rest)?)?,
        })
    }

    /// The velocity, from the prediction at `x_t` and time `t`.
    pub(crate) fn velocity(self, prediction: &Tensor, x_t: &Tensor, t: f64) -> Result<Tensor> {
        Ok(match self {
            Self::Sample => ((prediction - x_t)? * (1.0 / (1.0 - t).max(NEAREST_END)))?,
            Self::Velocity => prediction.clone(),
        })
    }
}

/// Normal noise of a shape, from a generator of random numbers; drawn on the CPU, so that every device gets the same.
pub(crate) fn noise(shape: &[usize], rng: &mut impl Rng, device: &Device) -> Result<Tensor> {
    let count = shape.iter().product::<usize>();
    let values: Vec<f32> = StandardNormal.sample_iter(rng).take(count).collect();
    Ok(Tensor::from_vec(values, shape, &Device::Cpu)?.to_device(device)?)
}
