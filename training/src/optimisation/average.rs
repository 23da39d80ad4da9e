//! Exponential moving average of the weights.

use super::adamw::CHUNK;
use super::buffer::{with_values, Buffer};
use super::parameters::{Parameter, Parameters};
use candle_core::{DType, Tensor};
use omniid::{Error, Result};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// The decay after `updates` updates: min(decay, (1 + n) / (10 + n)), so that the average soon forgets the start.
pub fn decay_after(decay: f64, updates: u64) -> f64 {
    let n = updates as f64;
    decay.min((1.0 + n) / (10.0 + n))
}

/// The moving average of every trained tensor.
pub struct Average {
    decay: f64,
    pub(crate) values: BTreeMap<String, Buffer>,
}

impl Average {
    /// Starts at the weights.
    ///
    /// # Errors
    /// [`ErrorKind::Device`](omniid::ErrorKind::Device) from the GPU.
    pub fn new(decay: f64, parameters: &Parameters) -> Result<Self> {
        let values = parameters
            .trained()
            .map(|(name, _, variable)| Ok((name.to_string(), Buffer::of(variable, variable.device())?)))
            .collect::<Result<_>>()?;
        Ok(Self { decay, values })
    }

    /// Takes the weights after update number `updates` in.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](omniid::ErrorKind::Internal) when a tensor is not what the average was made for.
    pub fn update(&mut self, parameters: &Parameters, updates: u64) -> Result<()> {
        let decay = decay_after(self.decay, updates);
        let part = (1.0 - decay) as f32;
        let update = |(name, values): (&String, &mut Buffer)| -> Result<()> {
            let variable = parameters.get(name).and_then(Parameter::variable);
            let variable =
                variable.ok_or_else(|| Error::internal(format!("an average of {name}, which is not trained")))?;
            match values {
                Buffer::Host(average) => with_values(variable, |weights| {
                    average
                        .par_chunks_mut(CHUNK)
                        .zip(weights.par_chunks(CHUNK))
                        .for_each(|(average, weights)| {
                            for (average, weight) in average.iter_mut().zip(weights) {
                                *average += part * (weight - *average);
                            }
                        });
                })?,
                Buffer::Device(average) => {
                    let change = ((variable.as_tensor() - &*average)? * f64::from(part))?;
                    *average = (&*average + change)?.detach();
                }
            }
            Ok(())
        };
        if parameters.device().is_cpu() {
            // Tensors side by side: most are too small to be divided.
            let values: Vec<_> = self.values.iter_mut().collect();
            return values.into_par_iter().try_for_each(update);
        }
        self.values.iter_mut().try_for_each(update)
    }

    /// Name and averaged tensor of every trained tensor, and the constants among `parameters` as they are.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](omniid::ErrorKind::Internal) when a tensor is not what the average was made for.
    pub fn tensors(&self, parameters: &Parameters) -> Result<BTreeMap<String, Tensor>> {
        parameters
            .iter()
            .map(|(name, parameter)| {
                let tensor = match self.values.get(name) {
                    Some(values) => values.tensor(parameter.tensor().dims())?,
                    None => parameter.tensor().to_dtype(DType::F32)?,
                };
                Ok((name.to_string(), tensor))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimisation::{ParameterGroup, ParameterSpec};
    use candle_core::Device;
    use omniid_kernels::layers::{Initial, TensorSpec};

    #[test]
    fn the_ramp_rises_to_the_decay() {
        assert_eq!(decay_after(0.998, 0), 0.1);
        assert_eq!(decay_after(0.998, 8), 0.5);
        assert!(decay_after(0.998, 1000) < 0.998);
        assert_eq!(decay_after(0.998, 10_000), 0.998);
        assert_eq!(decay_after(0.0, 5), 0.0);
    }

    #[test]
    fn the_average_follows_the_weights() -> Result<()> {
        let spec = ParameterSpec {
            spec: TensorSpec::new("w", &[2, 2], Initial::Constant(1.0)),
            group: 0,
            decays: false,
            trained: true,
        };
        let group = ParameterGroup {
            name: "all".to_string(),
            rate: 1.0,
            weight_decay: 0.0,
        };
        let mut parameters = Parameters::new(&[spec], &[group], 1, &Device::Cpu)?;
        let mut average = Average::new(0.5, &parameters)?;
        let mut on_device = Average::new(0.5, &parameters)?;
        on_device.values.insert(
            "w".to_string(),
            Buffer::Device(Tensor::ones((2, 2), DType::F32, &Device::Cpu)?),
        );
        let mut expected = 1.0f64;
        for (n, weight) in [3.0f64, -2.0, 0.5].into_iter().enumerate() {
            parameters.set("w", &(Tensor::ones((2, 2), DType::F32, &Device::Cpu)? * weight)?)?;
            let updates = n as u64 + 1;
            average.update(&parameters, updates)?;
            on_device.update(&parameters, updates)?;
            let decay = (1.0 + updates as f64) / (10.0 + updates as f64);
            expected = decay * expected + (1.0 - decay) * weight;
            for average in [&average, &on_device] {
                let value = average.tensors(&parameters)?["w"].to_vec2::<f32>()?[1][1];
                assert!((f64::from(value) - expected).abs() < 1e-6);
            }
        }
        Ok(())
    }
}
