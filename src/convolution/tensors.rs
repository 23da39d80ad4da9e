//! Weights on their way from a published file to the form that the networks take: batch normalisations are folded.

use crate::error::Result;
use crate::limits::Limits;
use crate::tensor_file::{safetensors_to_bytes, Checkpoint};
use candle_core::{Device, Tensor};
use std::collections::BTreeMap;

/// A batch normalisation as factor and summand of each channel.
pub(crate) struct BatchNorm {
    pub scale: Vec<f64>,
    pub shift: Vec<f64>,
}

impl BatchNorm {
    /// From its four vectors of one length.
    pub fn new(weight: &[f32], bias: &[f32], mean: &[f32], variance: &[f32], epsilon: f64) -> Self {
        let scale: Vec<f64> = weight
            .iter()
            .zip(variance)
            .map(|(&weight, &variance)| f64::from(weight) / (f64::from(variance) + epsilon).sqrt())
            .collect();
        let shift = (bias.iter().zip(mean).zip(&scale))
            .map(|((&bias, &mean), scale)| f64::from(bias) - f64::from(mean) * scale)
            .collect();
        Self { scale, shift }
    }

    /// The factors and summands as a layer takes them.
    pub fn vectors(&self) -> [Vec<f32>; 2] {
        [&self.scale, &self.shift].map(|values| values.iter().map(|&value| value as f32).collect())
    }
}

/// A layer `[outputs, …]` with a bias: a convolution or a matrix.
pub(crate) struct Affine {
    pub shape: Vec<usize>,
    pub weight: Vec<f32>,
    pub bias: Vec<f64>,
}

impl Affine {
    /// A layer from its weight and what bias it has.
    pub fn new(shape: Vec<usize>, weight: Vec<f32>, bias: Option<Vec<f32>>) -> Self {
        let outputs = shape.first().copied().unwrap_or(0);
        let bias = bias.map_or(vec![0.0; outputs], |bias| bias.into_iter().map(f64::from).collect());
        Self { shape, weight, bias }
    }

    /// Number of outputs.
    pub fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// Values per output.
    fn row(&self) -> usize {
        self.weight.len() / self.bias.len().max(1)
    }

    /// Folds the batch normalisation of its outputs.
    pub fn then(mut self, norm: &BatchNorm) -> Self {
        let row = self.row().max(1);
        let factors = norm.scale.iter().zip(&norm.shift);
        for ((weights, bias), (scale, shift)) in self.weight.chunks_exact_mut(row).zip(&mut self.bias).zip(factors) {
            weights
                .iter_mut()
                .for_each(|weight| *weight = (f64::from(*weight) * scale) as f32);
            *bias = *bias * scale + shift;
        }
        self
    }

    /// Folds the batch normalisation of its inputs, each channel of which has as many columns. Not for a convolution
    /// with padding.
    pub fn after(mut self, norm: &BatchNorm) -> Self {
        let row = self.row().max(1);
        let per_channel = (row / norm.scale.len().max(1)).max(1);
        for (weights, bias) in self.weight.chunks_exact_mut(row).zip(&mut self.bias) {
            let channels = weights.chunks_exact_mut(per_channel).zip(&norm.scale).zip(&norm.shift);
            for ((weights, scale), shift) in channels {
                for weight in weights {
                    *bias += f64::from(*weight) * shift;
                    *weight = (f64::from(*weight) * scale) as f32;
                }
            }
        }
        self
    }
}

/// Named tensors.
#[derive(Default)]
pub(crate) struct Tensors(Vec<(String, Tensor)>);

impl Tensors {
    pub fn push(&mut self, name: &str, shape: &[usize], values: Vec<f32>) -> Result<()> {
        let tensor = Tensor::from_vec(values, shape, &Device::Cpu)?;
        self.0.push((name.to_string(), tensor));
        Ok(())
    }

    pub fn vector(&mut self, name: &str, values: Vec<f32>) -> Result<()> {
        let count = values.len();
        self.push(name, &[count], values)
    }

    /// `{name}.weight` and `{name}.bias`.
    pub fn affine(&mut self, name: &str, layer: Affine) -> Result<()> {
        self.push(&format!("{name}.weight"), &layer.shape, layer.weight)?;
        let bias = layer.bias.into_iter().map(|value| value as f32).collect();
        self.vector(&format!("{name}.bias"), bias)
    }

    /// `{name}.scale` and `{name}.shift`.
    pub fn norm(&mut self, name: &str, norm: &BatchNorm) -> Result<()> {
        let [scale, shift] = norm.vectors();
        self.vector(&format!("{name}.scale"), scale)?;
        self.vector(&format!("{name}.shift"), shift)
    }

    /// The tensors as a checkpoint in memory.
    pub fn into_checkpoint(self) -> Result<Checkpoint> {
        let bytes = safetensors_to_bytes(&self.0, &BTreeMap::new())?;
        drop(self.0);
        Checkpoint::open(bytes, &Limits::default())
    }
}
