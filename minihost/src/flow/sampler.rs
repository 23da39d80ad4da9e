//! From noise to pictures in a few steps.

use super::{noise, Prediction};
use crate::hook::IdentityHook;
use crate::model::Conditions;
use crate::pixels::{from_tokens, to_tokens};
use crate::Minihost;
use candle_core::Tensor;
use omniid::{Error, Result};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// How the velocity is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Solver {
    /// One pass through the network per step.
    #[default]
    Euler,
    /// Two passes per step, of which the second corrects the first (Heun's method); the last step is Euler's.
    Heun,
}

/// How pictures are sampled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleOptions {
    /// Steps from noise to picture.
    pub steps: usize,
    /// How the velocity is followed.
    pub solver: Solver,
    /// Classifier-free guidance: the prediction moves this far from nobody's towards the person's (Ho and Salimans
    /// 2022). 1 is the person's own prediction and costs half.
    pub guidance: f64,
    /// Moves the steps' times: above 1 more steps at noisy times, below 1 more at clean ones. 1 spaces them evenly.
    /// t' = t / (t + shift·(1 − t)) (Esser et al. 2024, section 5.3.2, for time running the other way).
    pub shift: f64,
    /// Seed of the noise. Picture i of a batch gets the noise of `seed + i`, so that it does not depend on the others.
    pub seed: u64,
    /// Gives all pictures the noise of `seed`.
    pub same_noise: bool,
}

impl Default for SampleOptions {
    /// 4 Euler steps, guidance 1.25, evenly spaced, seed 0. Of 3 to 8 steps and guidance 1 to 2, these come nearest
    /// to the true pictures with the built-in weights: further steps add a grain that is nobody's.
    fn default() -> Self {
        Self {
            steps: 4,
            solver: Solver::Euler,
            guidance: 1.25,
            shift: 1.0,
            seed: 0,
            same_noise: false,
        }
    }
}

/// Most steps; more than any solver has use for.
const MAX_STEPS: usize = 10_000;

impl SampleOptions {
    /// Fails unless the numbers make sense.
    ///
    /// # Errors
    /// [`InvalidArgument`](omniid::ErrorKind::InvalidArgument) naming the number.
    pub fn check(&self) -> Result<()> {
        if self.steps == 0 || self.steps > MAX_STEPS {
            return Err(Error::invalid(format!(
                "sampling in {} steps; 1 to {MAX_STEPS} are possible",
                self.steps
            )));
        }
        if !self.guidance.is_finite() {
            return Err(Error::invalid(format!(
                "a guidance of {}; it must be a finite number",
                self.guidance
            )));
        }
        if !self.shift.is_finite() || self.shift <= 0.0 {
            return Err(Error::invalid(format!(
                "a time shift of {}; it must be above 0",
                self.shift
            )));
        }
        Ok(())
    }
}

/// The times that a sampler visits: `steps + 1` numbers from 0 to 1.
pub fn times(steps: usize, shift: f64) -> Vec<f64> {
    (0..=steps)
        .map(|i| {
            let t = i as f64 / steps.max(1) as f64;
            t / (t + shift * (1.0 - t))
        })
        .collect()
}

/// Samples one picture per row of `views` `[batch, 46]`: `[batch, 3, size, size]`, about −1…1.
///
/// `hook` must be made for these pictures. `report(done, passes)` is called after every pass through the network and
/// can stop by an error.
///
/// # Errors
/// [`InvalidArgument`](omniid::ErrorKind::InvalidArgument) for options that make no sense; as [`Minihost::predict`];
/// whatever `report` returns.
pub fn sample(
    host: &Minihost,
    views: &Tensor,
    hook: Option<&dyn IdentityHook>,
    options: &SampleOptions,
    mut report: impl FnMut(usize, usize) -> Result<()>,
) -> Result<Tensor> {
    options.check()?;
    let config = host.config();
    let detached = hook.map(Detached);
    let hook = detached.as_ref().map(|hook| hook as &dyn IdentityHook);
    let (batch, device) = (views.dim(0)?, host.device());
    let single = host.conditions(views)?;
    // Without an identity there is nothing to guide towards.
    let guided = options.guidance != 1.0 && hook.is_some();
    let conditions = if guided { single.twice()? } else { single };
    let pictures = (0..batch)
        .map(|i| {
            let mut rng =
                ChaCha8Rng::seed_from_u64(options.seed.wrapping_add(if options.same_noise { 0 } else { i as u64 }));
            noise(&[1, 3, config.size, config.size], &mut rng, device)
        })
        .collect::<Result<Vec<_>>>()?;
    let start = to_tokens(&Tensor::cat(&pictures, 0)?, config.block)?.to_dtype(views.dtype())?;
    let passes = match options.solver {
        Solver::Euler => options.steps,
        Solver::Heun => 2 * options.steps - 1,
    };
    let mut done = 0;
    let end = follow(start, options, config.prediction, |x, t| {
        let prediction = guide(host, x, t, &conditions, hook, guided.then_some(options.guidance))?;
        done += 1;
        report(done, passes)?;
        Ok(prediction)
    })?;
    from_tokens(&end, config.block, config.size, config.size)
}

/// A hook without its gradients, which sampling has no use for and packed layers do not take.
struct Detached<'a>(&'a dyn IdentityHook);

impl IdentityHook for Detached<'_> {
    fn apply(&self, layer: usize, query: &Tensor, output: Tensor) -> Result<Tensor> {
        Ok(self.0.apply(layer, query, output)?.detach())
    }
}

/// The network's prediction at one time, guided if asked.
fn guide(
    host: &Minihost,
    x: &Tensor,
    t: f64,
    conditions: &Conditions,
    hook: Option<&dyn IdentityHook>,
    guidance: Option<f64>,
) -> Result<Tensor> {
    let batch = x.dim(0)?;
    let time = |rows: usize| Tensor::full(t as f32, rows, x.device());
    let Some(guidance) = guidance else {
        return host.predict_tokens(x, &time(batch)?, conditions, hook);
    };
    let both = Tensor::cat(&[x, x], 0)?;
    let both = host.predict_tokens(&both, &time(2 * batch)?, conditions, hook)?;
    let (person, nobody) = (both.narrow(0, 0, batch)?, both.narrow(0, batch, batch)?);
    Ok((&nobody + ((person - &nobody)? * guidance)?)?)
}

/// Follows the velocity from time 0 to 1. `predict(x, t)` is the network.
pub(super) fn follow(
    start: Tensor,
    options: &SampleOptions,
    prediction: Prediction,
    mut predict: impl FnMut(&Tensor, f64) -> Result<Tensor>,
) -> Result<Tensor> {
    let times = times(options.steps, options.shift);
    let mut x = start;
    for pair in times.windows(2) {
        let (now, next) = (pair[0], pair[1]);
        let predicted = predict(&x, now)?.detach();
        let velocity = prediction.velocity(&predicted, &x, now)?;
        let ahead = (&x + (&velocity * (next - now))?)?;
        // At time 1 a velocity that comes from a predicted picture is not defined: the last step stays Euler's.
        x = if options.solver == Solver::Heun && next < 1.0 {
            let predicted = predict(&ahead, next)?.detach();
            let there = prediction.velocity(&predicted, &ahead, next)?;
            (&x + ((velocity + there)? * (0.5 * (next - now)))?)?
        } else {
            ahead
        };
    }
    Ok(x)
}
