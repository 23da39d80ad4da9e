//! AdamW with clipping, on the CPU as one pass over the numbers, on other devices as tensor operations.

use super::buffer::{with_values, Buffer};
use super::parameters::{ParameterGroup, Parameters};
use crate::config::OptimiserConfig;
use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, DType, Device, InplaceOp2, Layout, Tensor};
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
    pub fn new(
        config: OptimiserConfig,
        groups: Vec<ParameterGroup>,
        parameters: &Parameters,
    ) -> Result<Self> {
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
        let mut sum = 0.0;
        for (_, _, variable) in parameters.trained() {
            if let Some(gradient) = gradients.get(variable) {
                sum += squares(gradient)?;
            }
        }
        Ok(sum.sqrt())
    }

    /// One update with learning rate `rate` (before the groups' factors). `length` is that of
    /// [`AdamW::gradient_length`]; a gradient longer than the clip is scaled down to it. A tensor without a gradient
    /// stays as it is.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](omniid::ErrorKind::Internal) when a gradient has another shape than its tensor.
    pub fn update(
        &mut self,
        parameters: &Parameters,
        gradients: &GradStore,
        rate: f64,
        length: f64,
    ) -> Result<()> {
        self.updates += 1;
        let config = &self.config;
        let clip = if config.clip > 0.0 && length > config.clip {
            config.clip / length
        } else {
            1.0
        };
        let correction = |beta: f64| 1.0 - beta.powf(self.updates as f64);
        for (name, parameter, variable) in parameters.trained() {
            let (Some(gradient), Some(group)) = (gradients.get(variable), self.groups.get(parameter.group))
            else {
                continue;
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
            match self.moments.get_mut(name) {
                Some([Buffer::Host(first), Buffer::Host(second)]) => {
                    let gradient = gradient.contiguous()?;
                    let operation = Fused {
                        step,
                        moments: RefCell::new((first, second)),
                    };
                    variable.as_tensor().inplace_op2(&gradient, &operation)?;
                }
                Some([Buffer::Device(first), Buffer::Device(second)]) => {
                    let gradient = (gradient.to_dtype(DType::F32)? * f64::from(step.clip))?;
                    *first = ((&*first * config.beta1)? + (&gradient * (1.0 - config.beta1))?)?;
                    *second = ((&*second * config.beta2)? + (gradient.sqr()? * (1.0 - config.beta2))?)?;
                    let root = ((&*second * f64::from(step.second))?.sqrt()? + config.epsilon)?;
                    let change = ((&*first * f64::from(step.rate))? / root)?;
                    let kept = (variable.as_tensor() * f64::from(step.keep))?;
                    variable.set(&(kept - change)?)?;
                }
                _ => return Err(Error::internal(format!("no moments for {name:?}"))),
            }
        }
        Ok(())
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
            return Err(candle_core::Error::msg(
                "a gradient has another size than its tensor",
            ));
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
mod tests {
    use super::*;
    use crate::optimisation::ParameterSpec;
    use omniid_kernels::layers::{Initial, TensorSpec};

    fn groups() -> Vec<ParameterGroup> {
        vec![
            ParameterGroup {
                name: "plain".to_string(),
                rate: 1.0,
                weight_decay: 0.1,
            },
            ParameterGroup {
                name: "slow".to_string(),
                rate: 0.2,
                weight_decay: 0.0,
            },
        ]
    }

    fn parameters(count: usize) -> Result<Parameters> {
        let spec = |name: &str, shape: &[usize], group, decays| ParameterSpec {
            spec: TensorSpec::new(name, shape, Initial::Constant(0.5)),
            group,
            decays,
            trained: true,
        };
        Parameters::new(
            &[
                spec("a.weight", &[1, count], 0, true),
                spec("b", &[count], 1, true),
            ],
            &groups(),
            1,
            &Device::Cpu,
        )
    }

    fn config() -> OptimiserConfig {
        OptimiserConfig {
            beta1: 0.9,
            beta2: 0.95,
            epsilon: 1e-8,
            clip: 0.0,
            ..OptimiserConfig::default()
        }
    }

    fn first(parameters: &Parameters, name: &str) -> Result<f64> {
        let tensor = parameters.get(name).expect("a parameter").tensor();
        Ok(f64::from(tensor.flatten_all()?.to_vec1::<f32>()?[0]))
    }

    #[test]
    fn updates_follow_the_formula() -> Result<()> {
        let parameters = parameters(1)?;
        let mut optimiser = AdamW::new(config(), groups(), &parameters)?;
        let (mut a, mut b) = (0.5f64, 0.5f64);
        let (mut m, mut v, mut n, mut u) = (0.0, 0.0, 0.0, 0.0);
        for (step, factor) in [3.0f64, -1.0, 0.5, 2.0].into_iter().enumerate() {
            let get = |name: &str| parameters.get(name).expect("a parameter").tensor();
            let loss = ((get("a.weight").sqr()? * factor)?.sum_all()? + (get("b") * factor)?.sum_all()?)?;
            let gradients = loss.backward()?;
            let length = optimiser.gradient_length(&parameters, &gradients)?;
            let (ga, gb) = (2.0 * factor * a, factor);
            assert!((length - ga.hypot(gb)).abs() < 1e-5 * length);
            optimiser.update(&parameters, &gradients, 0.01, length)?;
            // Written out by hand in f64.
            let t = step as i32 + 1;
            m = 0.9 * m + 0.1 * ga;
            v = 0.95 * v + 0.05 * ga * ga;
            n = 0.9 * n + 0.1 * gb;
            u = 0.95 * u + 0.05 * gb * gb;
            let adam =
                |m: f64, v: f64| (m / (1.0 - 0.9f64.powi(t))) / ((v / (1.0 - 0.95f64.powi(t))).sqrt() + 1e-8);
            a = a - 0.01 * 0.1 * a - 0.01 * adam(m, v);
            b -= 0.2 * 0.01 * adam(n, u);
            assert!((first(&parameters, "a.weight")? - a).abs() < 1e-6);
            assert!((first(&parameters, "b")? - b).abs() < 1e-6);
        }
        // The first step of Adam has the length of the learning rate.
        assert_eq!(optimiser.updates, 4);
        Ok(())
    }

    #[test]
    fn long_gradients_are_clipped() -> Result<()> {
        // After clipping to length 1 both runs see the same gradient.
        let mut ends = Vec::new();
        for factor in [10.0, 1000.0] {
            let parameters = parameters(1)?;
            let mut optimiser = AdamW::new(
                OptimiserConfig {
                    clip: 1.0,
                    ..config()
                },
                groups(),
                &parameters,
            )?;
            let loss = (parameters.get("b").expect("b").tensor() * factor)?.sum_all()?;
            let gradients = loss.backward()?;
            let length = optimiser.gradient_length(&parameters, &gradients)?;
            assert!((length - factor).abs() < 1e-3);
            optimiser.update(&parameters, &gradients, 0.01, length)?;
            let [Buffer::Host(mean), _] = &optimiser.moments["b"] else {
                panic!("on the CPU")
            };
            ends.push(mean[0]);
            assert_eq!(first(&parameters, "a.weight")?, 0.5, "no gradient, no change");
        }
        assert!(
            (ends[0] - 0.1).abs() < 1e-6 && (ends[1] - 0.1).abs() < 1e-6,
            "{ends:?}"
        );
        Ok(())
    }

    #[test]
    fn device_and_host_updates_agree() -> Result<()> {
        let count = 3 * CHUNK + 17;
        let (host, device) = (parameters(count)?, parameters(count)?);
        let mut on_host = AdamW::new(config(), groups(), &host)?;
        let mut on_device = AdamW::new(config(), groups(), &device)?;
        for moments in on_device.moments.values_mut() {
            let zeros = Tensor::zeros(count, DType::F32, &Device::Cpu)?;
            *moments = [zeros.clone(), zeros].map(Buffer::Device);
        }
        if let Some(moments) = on_device.moments.get_mut("a.weight") {
            let zeros = Tensor::zeros((1, count), DType::F32, &Device::Cpu)?;
            *moments = [zeros.clone(), zeros].map(Buffer::Device);
        }
        let weights = TensorSpec::new("w", &[1, count], Initial::Normal(1.0)).tensor(3)?;
        for _ in 0..3 {
            for (parameters, optimiser) in [(&host, &mut on_host), (&device, &mut on_device)] {
                let a = parameters.get("a.weight").expect("a").tensor();
                let gradients = (a.sqr()? * &weights)?.sum_all()?.backward()?;
                let length = optimiser.gradient_length(parameters, &gradients)?;
                optimiser.update(parameters, &gradients, 0.01, length)?;
            }
        }
        let get = |parameters: &Parameters| {
            parameters
                .get("a.weight")
                .expect("a")
                .tensor()
                .flatten_all()?
                .to_vec1::<f32>()
        };
        for (a, b) in get(&host)?.iter().zip(get(&device)?) {
            assert!((a - b).abs() < 1e-6, "{a} against {b}");
        }
        Ok(())
    }

    #[test]
    fn a_gradient_that_is_not_finite_is_seen() -> Result<()> {
        let parameters = parameters(2)?;
        let optimiser = AdamW::new(config(), groups(), &parameters)?;
        let loss = (parameters.get("b").expect("b").tensor() * f64::NAN)?.sum_all()?;
        let length = optimiser.gradient_length(&parameters, &loss.backward()?)?;
        assert!(!length.is_finite());
        Ok(())
    }
}
