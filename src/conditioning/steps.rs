//! When during sampling an identity is injected.

use crate::error::{Error, Result};

/// ComfyUI's stand-in for "before everything": no sampler starts at a larger sigma.
const BEFORE_EVERYTHING: f64 = 999_999_999.9;

/// Where sampling stands at a call of `inject`. Each value is needed only if some identity's [`StepRange`] uses it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Step {
    /// Noise level, in the host's own scale: large at the start, 0 at the end.
    pub sigma: Option<f64>,
    /// Fraction of sampling that is done: 0 at the first step, 1 at the end.
    pub fraction: Option<f64>,
}

/// The part of sampling in which an identity is injected. Both ends belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum StepRange {
    /// Every step.
    #[default]
    Always,
    /// While `end <= sigma <= start`: `start` is the larger number.
    Sigma {
        /// Noise level from which on the identity is injected.
        start: f64,
        /// Noise level down to which it is injected.
        end: f64,
    },
    /// While `start <= fraction <= end`, both within 0 to 1.
    Fraction {
        /// First fraction.
        start: f64,
        /// Last fraction.
        end: f64,
    },
}

impl StepRange {
    /// The range between two fractions of sampling, as sigmas of a model: what ComfyUI's `start_at` and `end_at` mean.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn from_percent(start: f64, end: f64, schedule: &NoiseSchedule) -> Result<Self> {
        Self::Fraction { start, end }.check()?;
        let range = Self::Sigma {
            start: schedule.percent_to_sigma(start),
            end: schedule.percent_to_sigma(end),
        };
        range.check()?;
        Ok(range)
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a bound that is not a number, a fraction outside
    /// 0 to 1, or ends in the wrong order.
    pub fn check(&self) -> Result<()> {
        match *self {
            Self::Always => Ok(()),
            Self::Sigma { start, end } if start >= end && end >= 0.0 => Ok(()),
            Self::Sigma { start, end } => Err(Error::invalid(format!(
                "step range by sigma from {start} to {end}: start must be the larger one and neither may be negative"
            ))),
            Self::Fraction { start, end } if 0.0 <= start && start <= end && end <= 1.0 => Ok(()),
            Self::Fraction { start, end } => Err(Error::invalid(format!(
                "step range by fraction from {start} to {end}: both must lie in 0 to 1, start first"
            ))),
        }
    }

    /// Whether the identity is injected at `step`.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) when the range needs a value that `step` lacks, or the
    /// value is not a number.
    pub fn contains(&self, step: &Step) -> Result<bool> {
        let known = |value: Option<f64>, name: &str| match value {
            Some(value) if !value.is_nan() => Ok(value),
            Some(value) => Err(Error::invalid(format!("the step's {name} is {value}"))),
            None => Err(Error::invalid(format!(
                "an identity is limited to a range of {name}, but the call does not say the step's {name}"
            ))),
        };
        match *self {
            Self::Always => Ok(true),
            Self::Sigma { start, end } => {
                let sigma = known(step.sigma, "sigma")?;
                Ok(end <= sigma && sigma <= start)
            }
            Self::Fraction { start, end } => {
                let fraction = known(step.fraction, "fraction")?;
                Ok(start <= fraction && fraction <= end)
            }
        }
    }
}

/// The noise levels of a model, to turn a fraction of sampling into a sigma.
#[derive(Debug, Clone, PartialEq)]
pub enum NoiseSchedule {
    /// ε and v prediction (SD1.5, SDXL): sigma of each training timestep.
    Discrete(Vec<f64>),
    /// Flow matching with a shift, as in SD3 (shift 3).
    Flow {
        /// α of the time shift; 1 is none.
        shift: f64,
    },
    /// FLUX: flow matching with an exponential shift.
    Flux {
        /// μ; ComfyUI's default is 1.15.
        mu: f64,
    },
}

impl NoiseSchedule {
    /// Sigmas √((1 − ᾱ) / ᾱ) from the cumulative products ᾱ of the training schedule, first timestep first.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for an empty list or a value outside (0, 1).
    pub fn from_alphas_cumprod(alphas: &[f64]) -> Result<Self> {
        if alphas.is_empty() {
            return Err(Error::invalid("a noise schedule needs at least one timestep"));
        }
        if let Some((i, alpha)) = alphas
            .iter()
            .enumerate()
            .find(|(_, &alpha)| !(alpha > 0.0 && alpha < 1.0))
        {
            return Err(Error::invalid(format!(
                "alphas_cumprod[{i}] is {alpha}; it must lie between 0 and 1"
            )));
        }
        Ok(Self::Discrete(
            alphas.iter().map(|alpha| ((1.0 - alpha) / alpha).sqrt()).collect(),
        ))
    }

    /// The schedule of SD1.5 and SDXL: 1000 steps, betas linear in their square roots from 0.00085 to 0.012.
    pub fn stable_diffusion() -> Self {
        let (first, last) = (0.00085f64.sqrt(), 0.012f64.sqrt());
        let mut alpha = 1.0;
        let sigma = |i: u32| {
            let beta = first + (last - first) * f64::from(i) / 999.0;
            alpha *= 1.0 - beta * beta;
            ((1.0 - alpha) / alpha).sqrt()
        };
        Self::Discrete((0..1000).map(sigma).collect())
    }

    /// The sigma at which the fraction `percent` of sampling is done, as ComfyUI's models define it.
    ///
    /// Sources: `comfy/model_sampling.py`, classes `ModelSamplingDiscrete`, `ModelSamplingDiscreteFlow`,
    /// `ModelSamplingFlux`.
    pub fn percent_to_sigma(&self, percent: f64) -> f64 {
        let rest = 1.0 - percent;
        match self {
            Self::Discrete(_) if percent <= 0.0 => BEFORE_EVERYTHING,
            Self::Discrete(_) if percent >= 1.0 => 0.0,
            // The factor is 999 whatever the number of timesteps.
            Self::Discrete(sigmas) => interpolate_log(sigmas, rest * 999.0),
            Self::Flow { .. } | Self::Flux { .. } if percent <= 0.0 => 1.0,
            Self::Flow { .. } | Self::Flux { .. } if percent >= 1.0 => 0.0,
            Self::Flow { shift } => shift * rest / (1.0 + (shift - 1.0) * rest),
            Self::Flux { mu } => mu.exp() / (mu.exp() + 1.0 / rest - 1.0),
        }
    }
}

/// The sigma at a fractional timestep, linear in its logarithm.
fn interpolate_log(sigmas: &[f64], timestep: f64) -> f64 {
    let last = sigmas.len().saturating_sub(1);
    let position = timestep.clamp(0.0, last as f64);
    let (low, part) = (position.floor() as usize, position.fract());
    let log = |i: usize| sigmas.get(i.min(last)).map_or(0.0, |sigma| sigma.ln());
    ((1.0 - part) * log(low) + part * log(low + 1)).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_belong_to_a_range() {
        let range = StepRange::Sigma { start: 10.0, end: 2.0 };
        let at = |sigma| {
            range
                .contains(&Step {
                    sigma: Some(sigma),
                    fraction: None,
                })
                .unwrap()
        };
        assert_eq!([10.1, 10.0, 5.0, 2.0, 1.9].map(at), [false, true, true, true, false]);
        let range = StepRange::Fraction { start: 0.25, end: 0.5 };
        let at = |fraction| {
            range
                .contains(&Step {
                    sigma: None,
                    fraction: Some(fraction),
                })
                .unwrap()
        };
        assert_eq!([0.0, 0.25, 0.3, 0.5, 0.51].map(at), [false, true, true, true, false]);
        assert!(StepRange::Always.contains(&Step::default()).unwrap());
    }

    #[test]
    fn a_missing_position_is_an_error_that_names_it() {
        let error = StepRange::Sigma { start: 1.0, end: 0.0 }
            .contains(&Step::default())
            .unwrap_err();
        assert!(error.message().contains("sigma"), "{error}");
        let nan = Step {
            sigma: None,
            fraction: Some(f64::NAN),
        };
        assert!(StepRange::Fraction { start: 0.0, end: 1.0 }.contains(&nan).is_err());
    }

    #[test]
    fn disordered_ranges_are_refused() {
        let bad = [
            StepRange::Sigma { start: 1.0, end: 2.0 },
            StepRange::Sigma {
                start: f64::NAN,
                end: 0.0,
            },
            StepRange::Sigma { start: 1.0, end: -1.0 },
            StepRange::Fraction { start: 0.5, end: 0.4 },
            StepRange::Fraction { start: 0.5, end: 1.1 },
        ];
        assert!(bad.iter().all(|range| range.check().is_err()));
    }

    #[test]
    fn stable_diffusion_has_its_published_noise_range() {
        // The k-diffusion schedule of SD1.5 runs from 14.6146 to 0.0292.
        let NoiseSchedule::Discrete(sigmas) = NoiseSchedule::stable_diffusion() else {
            unreachable!()
        };
        assert!((sigmas[999] - 14.6146).abs() < 1e-3 && (sigmas[0] - 0.0292).abs() < 1e-4);
        let schedule = NoiseSchedule::stable_diffusion();
        assert_eq!(schedule.percent_to_sigma(0.0), 999_999_999.9);
        assert_eq!(schedule.percent_to_sigma(1.0), 0.0);
        let half = schedule.percent_to_sigma(0.5);
        assert!((half - (sigmas[499] * sigmas[500]).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn flow_schedules_follow_their_formulas() {
        let flow = NoiseSchedule::Flow { shift: 3.0 };
        assert_eq!([flow.percent_to_sigma(0.0), flow.percent_to_sigma(1.0)], [1.0, 0.0]);
        assert!((flow.percent_to_sigma(0.5) - 0.75).abs() < 1e-12);
        let flux = NoiseSchedule::Flux { mu: 1.15 };
        assert!((flux.percent_to_sigma(0.5) - 1.0 / (1.0 + (-1.15f64).exp())).abs() < 1e-12);
        let range = StepRange::from_percent(0.0, 0.5, &flow).unwrap();
        assert_eq!(range, StepRange::Sigma { start: 1.0, end: 0.75 });
        assert!(NoiseSchedule::from_alphas_cumprod(&[0.5, 0.0]).is_err());
    }
}
