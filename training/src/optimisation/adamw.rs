//! AdamW with clipping, on the CPU as one pass over the numbers, on other devices as tensor operations.

use super::buffer::{with_values, Buffer};
use super::parameters::{ParameterGroup, Parameters};
use crate::config::OptimiserConfig;
use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, DType, Device, InplaceOp2, Layout, Tensor, Var};
use omniid::{Error, Result};
use rayon::prelude::*;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Numbers that one task of the thread pool handles. Fixed, so that results do not depend on the number of threads.
pub(super) const CHUNK: usize = 16 * 1024;

/// AdamW (Loshchilov and Hutter 2019), and Adam's bias correction.
///
/// w ← w − rate · decay · w − rate · m̂ / (√v̂ + ε), with one learning rate per parameter group.
pub struct AdamW {
    config: OptimiserConfig,
    groups: Vec<ParameterGroup>,
    /// Updates so far.
    pub(crate) updates: u64,
    /// Per tensor the running means of gradient and squared gradient.
    pub(crate) moments: BTreeMap<String, [Buffer; 2]>,
}

impl AdamW {
    /// An optimiser that has made no update.
    ///
    /// # Errors
    /// [`ErrorKind::Device`](omniid::ErrorKind::Device) from the GPU.
    pub fn new(config: OptimiserConfig, groups: Vec<ParameterGroup>, parameters: &Parameters) -> Result<Self> {
        let moments = parameters
            .trained()
            .map(|(name, _, variable)| {
                let zeros = Buffer::of(&variable.zeros_like()?, variable.device())?;
                Ok((name.to_string(), [zeros.clone(), zeros]))
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            config,
            groups,
            updates: 0,
            moments,
        })
    }

    /// Length of the gradient over all trained tensors; not finite when any number in it is not.
    ///
    /// # Errors
    /// [`ErrorKind::Device`](omniid::ErrorKind::Device) from the GPU.
    pub fn gradient_length(&self, parameters: &Parameters, gradients: &GradStore) -> Result<f64> {
        let trained = parameters.trained().map(|(_, _, variable)| variable);
        let gradients = trained
            .filter_map(|variable| gradients.get(variable))
            .collect::<Vec<_>>();
        // Added in the order of the names, so that the sum does not depend on the number of threads.
        let sums: Vec<f64> = if parameters.device().is_cpu() {
            gradients.into_par_iter().map(squares).collect::<Result<_>>()?
        } else {
            gradients.into_iter().map(squares).collect::<Result<_>>()?
        };
        Ok(sums.into_iter().sum::<f64>().sqrt())
    }

    /// One update with learning rate `rate` (before the groups' factors). `length` is that of
    /// [`AdamW::gradient_length`]; a gradient longer than the clip is scaled down to it. A tensor without a gradient
    /// stays as it is.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](omniid::ErrorKind::Internal) when a gradient has another shape than its tensor.
    pub fn update(&mut self, parameters: &Parameters, gradients: &GradStore, rate: f64, length: f64) -> Result<()> {
        self.updates += 1;
        let config = &self.config;
        let clip = if config.clip > 0.0 && length > config.clip {
            config.clip / length
        } else {
            1.0
        };
        let correction = |beta: f64| 1.0 - beta.powf(self.updates as f64);
        let groups = &self.groups;
        let update = |(name, moments): (&String, &mut [Buffer; 2])| -> Result<()> {
            let parameter = parameters.get(name);
            let Some((parameter, variable)) = parameter.and_then(|found| Some((found, found.variable()?))) else {
                return Err(Error::internal(format!("moments for {name:?}, which is not trained")));
            };
            let (Some(gradient), Some(group)) = (gradients.get(variable), groups.get(parameter.group)) else {
                return Ok(());
            };
            let rate = rate * group.rate;
            let decay = if parameter.decays { group.weight_decay } else { 0.0 };
            let step = Step {
                clip: clip as f32,
                beta1: config.beta1 as f32,
                beta2: config.beta2 as f32,
                keep: (1.0 - rate * decay) as f32,
                rate: (rate / correction(config.beta1)) as f32,
                second: (1.0 / correction(config.beta2)) as f32,
                epsilon: config.epsilon as f32,
            };
            step.update(variable, gradient, moments, config)
        };
        if parameters.device().is_cpu() {
            // Tensors side by side: most are too small to be divided.
            let moments: Vec<_> = self.moments.iter_mut().collect();
            return moments.into_par_iter().try_for_each(update);
        }
        self.moments.iter_mut().try_for_each(update)
    }
}

/// The numbers of one tensor's update.
#[derive(Clone, Copy)]
struct Step {
    clip: f32,
    beta1: f32,
    beta2: f32,
    keep: f32,
    rate: f32,
    second: f32,
    epsilon: f32,
}

impl Step {
    fn update(
        self,
        variable: &Var,
        gradient: &Tensor,
        moments: &mut [Buffer; 2],
        config: &OptimiserConfig,
    ) -> Result<()> {
        match moments {
            [Buffer::Host(first), Buffer::Host(second)] => {
                let operation = Fused {
                    step: self,
                    moments: RefCell::new((first, second)),
                };
                variable.as_tensor().inplace_op2(&gradient.contiguous()?, &operation)?;
            }
            [Buffer::Device(first), Buffer::Device(second)] => {
                let gradient = (gradient.to_dtype(DType::F32)? * f64::from(self.clip))?;
                *first = ((&*first * config.beta1)? + (&gradient * (1.0 - config.beta1))?)?;
                *second = ((&*second * config.beta2)? + (gradient.sqr()? * (1.0 - config.beta2))?)?;
                let root = ((&*second * f64::from(self.second))?.sqrt()? + config.epsilon)?;
                let change = ((&*first * f64::from(self.rate))? / root)?;
                let kept = (variable.as_tensor() * f64::from(self.keep))?;
                variable.set(&(kept - change)?)?;
            }
            _ => return Err(Error::internal("moments on two devices")),
        }
        Ok(())
    }

    fn apply(&self, weights: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]) {
        let rows = weights.iter_mut().zip(gradient).zip(first).zip(second);
        for (((weight, gradient), first), second) in rows {
            let gradient = gradient * self.clip;
            *first = self.beta1 * *first + (1.0 - self.beta1) * gradient;
            *second = self.beta2 * *second + (1.0 - self.beta2) * gradient * gradient;
            let root = (*second * self.second).sqrt() + self.epsilon;
            *weight = *weight * self.keep - self.rate * *first / root;
        }
    }
}

/// [`Step::apply`] on the weights where they lie.
struct Fused<'a> {
    step: Step,
    moments: RefCell<(&'a mut Vec<f32>, &'a mut Vec<f32>)>,
}

impl InplaceOp2 for Fused<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(
        &self,
        weights: &mut CpuStorage,
        weights_layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> candle_core::Result<()> {
        let (CpuStorage::F32(weights), CpuStorage::F32(gradient)) = (weights, gradient) else {
            return Err(candle_core::Error::msg("AdamW takes f32 weights and gradients"));
        };
        let range = |layout: &Layout| layout.contiguous_offsets();
        let (Some((from, to)), Some((start, end))) = (range(weights_layout), range(gradient_layout)) else {
            return Err(candle_core::Error::msg("AdamW takes contiguous tensors"));
        };
        let (Some(weights), Some(gradient)) = (weights.get_mut(from..to), gradient.get(start..end)) else {
            return Err(candle_core::Error::msg("a layout reaches out of its storage"));
        };
        let mut moments = self.moments.borrow_mut();
        let (first, second) = &mut *moments;
        if weights.len() != gradient.len() || weights.len() != first.len() {
            return Err(candle_core::Error::msg("a gradient has another size than its tensor"));
        }
        let step = self.step;
        if weights.len() <= CHUNK {
            step.apply(weights, gradient, first, second);
        } else {
            weights
                .par_chunks_mut(CHUNK)
                .zip(gradient.par_chunks(CHUNK))
                .zip(first.par_chunks_mut(CHUNK))
                .zip(second.par_chunks_mut(CHUNK))
                .for_each(|(((weights, gradient), first), second)| {
                    step.apply(weights, gradient, first, second);
                });
        }
        Ok(())
    }
}

/// Sum of the squares of all numbers, in f64 on the CPU.
fn squares(tensor: &Tensor) -> Result<f64> {
    if !matches!(tensor.device(), Device::Cpu) {
        let sum = tensor.to_dtype(DType::F32)?.sqr()?.sum_all()?;
        return Ok(f64::from(sum.to_scalar::<f32>()?));
    }
    let sums = with_values(&tensor.contiguous()?, |values| {
        let square = |chunk: &[f32]| chunk.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>();
        values.par_chunks(CHUNK).map(square).collect::<Vec<_>>()
    })?;
    Ok(sums.into_iter().sum())
}

#[cfg(test)]
mod tests;
