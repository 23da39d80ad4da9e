//! The training objective.

use super::noise;
use crate::hook::IdentityHook;
use crate::pixels::to_tokens;
use crate::Minihost;
use candle_core::{DType, Tensor};
use omniid::error::{Error, Result};
use rand::Rng;
use rand_distr::{Distribution, Normal};
use serde::{Deserialize, Serialize};

/// How times are drawn and errors weighed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FlowOptions {
    /// Times are the logistic function of normal numbers of this mean: below 0, more noise.
    pub time_mean: f64,
    /// Their standard deviation.
    pub time_std: f64,
    /// Errors of the clean picture are divided by max(1 − t, this)²: 0.1 gives errors at the velocity's scale, without
    /// letting the last tenth of the path outweigh all others.
    pub nearest_weight: f64,
}

impl Default for FlowOptions {
    /// Mean −0.6, standard deviation 0.9, weights up to t = 0.9.
    fn default() -> Self {
        Self {
            time_mean: -0.6,
            time_std: 0.9,
            nearest_weight: 0.1,
        }
    }
}

impl FlowOptions {
    /// Fails unless the numbers make sense.
    ///
    /// # Errors
    /// [`InvalidArgument`](omniid::ErrorKind::InvalidArgument) naming the numbers.
    pub fn check(&self) -> Result<()> {
        let sound = self.time_mean.is_finite()
            && self.time_std.is_finite()
            && self.time_std >= 0.0
            && self.nearest_weight > 0.0
            && self.nearest_weight <= 1.0;
        if sound {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "flow matching: time_mean {}, time_std {}, nearest_weight {}; the second must be at least 0, the third \
             above 0 and at most 1",
            self.time_mean, self.time_std, self.nearest_weight
        )))
    }

    /// One time for each of `count` pictures.
    pub(super) fn times(&self, count: usize, rng: &mut impl Rng) -> Result<Vec<f32>> {
        self.check()?;
        let normal = Normal::new(self.time_mean, self.time_std)
            .map_err(|error| Error::invalid(format!("flow matching: {error}")))?;
        let time = |value: f64| (1.0 / (1.0 + (-value).exp())) as f32;
        Ok(normal.sample_iter(rng).take(count).map(time).collect())
    }
}

/// A batch to learn from.
#[derive(Debug, Clone, Copy)]
pub struct TrainingPictures<'a> {
    /// `[batch, 3, size, size]`, −1…1.
    pub pictures: &'a Tensor,
    /// What they show beside the identity, `[batch, 46]` by [`View::to_vector`](crate::View::to_vector).
    pub views: &'a Tensor,
    /// Weight of each pixel's error `[batch, 1, size, size]`, at least 0 and not all 0. Equal weights without.
    pub weights: Option<&'a Tensor>,
}

/// The flow matching loss of a batch, a differentiable scalar: the mean of w · (x̂ − x)² / max(1 − t, 0.1)² over all
/// pictures and pixels, divided by the mean of w.
///
/// Times and noise come from `rng` on the CPU. The hook, if any, must be made for these pictures.
///
/// # Errors
/// [`Mismatch`](omniid::ErrorKind::Mismatch) for shapes that do not fit the host or each other.
pub fn training_loss(
    host: &Minihost,
    batch: &TrainingPictures<'_>,
    hook: Option<&dyn IdentityHook>,
    options: &FlowOptions,
    rng: &mut impl Rng,
) -> Result<Tensor> {
    let config = host.config();
    let count = batch.pictures.dim(0)?;
    let expected = [count, 3, config.size, config.size];
    if batch.pictures.dims() != expected {
        return Err(Error::mismatch(format!(
            "training pictures of shape {:?}, expected {expected:?}",
            batch.pictures.dims()
        )));
    }
    let device = host.device();
    let x = to_tokens(batch.pictures, config.block)?;
    let times = options.times(count, rng)?;
    let weigh = |t: &f32| 1.0 / (1.0 - t).max(options.nearest_weight as f32).powi(2);
    let weights: Vec<f32> = times.iter().map(weigh).collect();
    let per_picture = |values: &[f32]| Tensor::from_slice(values, (count, 1, 1), device)?.to_dtype(x.dtype());
    let t = per_picture(&times)?;
    let rest = (1.0 - &t)?;
    let epsilon = noise(x.dims(), rng, device)?.to_dtype(x.dtype())?;
    let x_t = (x.broadcast_mul(&t)? + epsilon.broadcast_mul(&rest)?)?;
    let conditions = host.conditions(batch.views)?;
    let prediction = host.predict_tokens(&x_t, &t.reshape(count)?, &conditions, hook)?;
    let clean = config.prediction.clean(&prediction, &x_t, &rest)?;
    let errors = (clean - &x)?.to_dtype(DType::F32)?.sqr()?;
    let weights = Tensor::from_vec(weights, (count, 1, 1), device)?;
    let (errors, total) = match batch.weights {
        None => (errors.broadcast_mul(&weights)?, errors.elem_count() as f64),
        Some(pixels) => {
            let expected = [count, 1, config.size, config.size];
            if pixels.dims() != expected {
                return Err(Error::mismatch(format!(
                    "weights of pixels of shape {:?}, expected {expected:?}",
                    pixels.dims()
                )));
            }
            let pixels = to_tokens(&pixels.to_dtype(DType::F32)?.repeat((1, 3, 1, 1))?, config.block)?;
            let sum = f64::from(pixels.sum_all()?.to_scalar::<f32>()?);
            if sum.is_nan() || sum <= 0.0 {
                return Err(Error::invalid(format!(
                    "the weights of the pixels add up to {sum}; they must be at least 0 and not all 0"
                )));
            }
            (errors.mul(&pixels.broadcast_mul(&weights)?)?, sum)
        }
    };
    Ok((errors.sum_all()? / total)?)
}
