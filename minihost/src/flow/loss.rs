//! The training objective.

use super::noise;
use crate::hook::IdentityHook;
use crate::pixels::{from_tokens, to_tokens};
use crate::Minihost;
use candle_core::{DType, Device, Tensor};
use omniid::{Error, Result};
use rand::Rng;
use rand_distr::{Distribution, Normal};
use serde::{Deserialize, Serialize};

/// Greatest [`FlowOptions::detail_weight`]. Beyond it nothing but the finest waves would count.
const MAX_DETAIL_WEIGHT: f64 = 1000.0;

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
    /// How much the error's differences between neighbouring pixels count beside the error itself; 0 for not at all.
    ///
    /// Half of a picture's variance lies in its few coarsest waves, and so does the network's effort. A difference
    /// between neighbours weighs a wave by the square of its frequency, which undoes the fall of the spectrum of
    /// natural pictures. With equal weights of pixels the best prediction stays the same: every wave counts by its
    /// squared error.
    pub detail_weight: f64,
}

impl Default for FlowOptions {
    /// Mean −0.6, standard deviation 0.9, weights up to t = 0.9, no weight on detail.
    fn default() -> Self {
        Self {
            time_mean: -0.6,
            time_std: 0.9,
            nearest_weight: 0.1,
            detail_weight: 0.0,
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
            && self.nearest_weight <= 1.0
            && (0.0..=MAX_DETAIL_WEIGHT).contains(&self.detail_weight);
        if sound {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "flow matching: time_mean {}, time_std {}, nearest_weight {}, detail_weight {}; the second must be at least \
             0, the third above 0 and at most 1, the fourth 0 to {MAX_DETAIL_WEIGHT}",
            self.time_mean, self.time_std, self.nearest_weight, self.detail_weight
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
/// pictures and pixels, divided by the mean of w. With a [`FlowOptions::detail_weight`] d, w · d · (∂x̂ − ∂x)² / max(1
/// − t,
/// 0.1)² joins it for the differences ∂ between neighbours along rows and along columns.
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
    let error = from_tokens(
        &(clean - &x)?.to_dtype(DType::F32)?,
        config.block,
        config.size,
        config.size,
    )?;
    let mut weights = Tensor::from_vec(weights, (count, 1, 1, 1), device)?;
    let mut total = error.elem_count() as f64;
    if let Some(pixels) = batch.weights {
        let expected = [count, 1, config.size, config.size];
        if pixels.dims() != expected {
            return Err(Error::mismatch(format!(
                "weights of pixels of shape {:?}, expected {expected:?}",
                pixels.dims()
            )));
        }
        let pixels = pixels.to_dtype(DType::F32)?;
        let sum = f64::from(pixels.sum_all()?.to_scalar::<f32>()?);
        if sum.is_nan() || sum <= 0.0 {
            return Err(Error::invalid(format!(
                "the weights of the pixels add up to {sum}; they must be at least 0 and not all 0"
            )));
        }
        weights = pixels.broadcast_mul(&weights)?;
        total = sum * error.dim(1)? as f64;
    }
    let mut sum = weighted_sum(&error, &weights)?;
    if options.detail_weight > 0.0 {
        for axis in [2, 3] {
            sum = (sum + (differences(&error, &weights, axis)? * options.detail_weight)?)?;
        }
    }
    Ok((sum / total)?)
}

/// What [`training_loss`] draws from a generator for pictures of `[pictures, tokens, width]`: times `[pictures]` and
/// noise of that shape.
///
/// # Errors
/// [`InvalidArgument`](omniid::ErrorKind::InvalidArgument) for options that are not sound.
pub fn draw_noise(
    options: &FlowOptions,
    shape: [usize; 3],
    rng: &mut impl Rng,
    device: &Device,
) -> Result<[Tensor; 2]> {
    let times = options.times(shape[0], rng)?;
    Ok([Tensor::new(times, device)?, noise(&shape, rng, device)?])
}

/// The sum of weight · error², of errors `[batch, channels, height, width]` and weights that broadcast to them.
fn weighted_sum(error: &Tensor, weights: &Tensor) -> Result<Tensor> {
    Ok(error.sqr()?.broadcast_mul(weights)?.sum_all()?)
}

/// [`weighted_sum`] of the differences between neighbours along an axis. A difference has the weight of its first
/// pixel.
fn differences(error: &Tensor, weights: &Tensor, axis: usize) -> Result<Tensor> {
    let pairs = error.dim(axis)? - 1;
    let step = (error.narrow(axis, 1, pairs)? - error.narrow(axis, 0, pairs)?)?;
    if weights.dim(axis)? == 1 {
        return weighted_sum(&step, weights);
    }
    weighted_sum(&step, &weights.narrow(axis, 0, pairs)?)
}
