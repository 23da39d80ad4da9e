//! Seeded random weights, the same on every machine and independent of candle's generator.

use crate::error::Result;
use candle_core::{Device, Tensor};

/// How a tensor starts when no checkpoint gives it values.
#[derive(Debug, Clone, PartialEq)]
pub enum Initial {
    /// Every element has this value.
    Constant(f32),
    /// Normal distribution with mean 0 and this standard deviation.
    Normal(f32),
    /// Normal distribution with mean 0 and this standard deviation, redrawn beyond two standard deviations.
    TruncatedNormal(f32),
    /// These values, in row-major order.
    Values(Vec<f32>),
    /// A matrix drawn column by column from the named stream, truncated normal with this standard deviation.
    /// Two matrices of one stream and equally many rows agree, up to their scale, in the columns both have.
    Columns {
        /// Name of the stream.
        stream: String,
        /// Standard deviation.
        std: f32,
    },
}

/// Name, shape and initialisation of one tensor of a network, as [`Weights::list`](super::Weights::list) finds them.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorSpec {
    /// Name in the checkpoint.
    pub name: String,
    /// Dimensions.
    pub shape: Vec<usize>,
    /// Values at the start of training.
    pub initial: Initial,
    /// Whether a checkpoint may lack the tensor. A new model has none.
    pub optional: bool,
}

impl Initial {
    /// Truncated normal with standard deviation 1/√`inputs`: a layer keeps the variance of what it reads.
    pub fn fan_in(inputs: usize) -> Self {
        Self::TruncatedNormal(1.0 / (inputs.max(1) as f32).sqrt())
    }
}

impl TensorSpec {
    /// A tensor of a model.
    pub fn new(name: impl Into<String>, shape: &[usize], initial: Initial) -> Self {
        Self {
            name: name.into(),
            shape: shape.to_vec(),
            initial,
            optional: false,
        }
    }

    /// `weight [output, input]` of a linear layer, truncated normal with standard deviation 1/√input.
    pub fn linear(name: impl Into<String>, output: usize, input: usize) -> Self {
        Self::new(name, &[output, input], Initial::fan_in(input))
    }

    /// The random values for `seed`: an f32 tensor on the CPU.
    ///
    /// They depend on the seed, the name and the shape only, never on what was drawn before.
    pub fn tensor(&self, seed: u64) -> Result<Tensor> {
        let count = self.shape.iter().product();
        if let Initial::Columns { stream, std } = &self.initial {
            let columns = self.shape.iter().rev().copied().collect::<Vec<_>>();
            let values = draw(&Initial::TruncatedNormal(*std), stream, count, seed);
            return Ok(Tensor::from_vec(values, columns, &Device::Cpu)?.t()?.contiguous()?);
        }
        let values = draw(&self.initial, &self.name, count, seed);
        Ok(Tensor::from_vec(values, self.shape.as_slice(), &Device::Cpu)?)
    }
}

/// Random values for every tensor of a new model, so without the optional ones.
pub fn random_tensors(specs: &[TensorSpec], seed: u64) -> Result<Vec<(String, Tensor)>> {
    specs
        .iter()
        .filter(|spec| !spec.optional)
        .map(|spec| Ok((spec.name.clone(), spec.tensor(seed)?)))
        .collect()
}

fn draw(initial: &Initial, name: &str, count: usize, seed: u64) -> Vec<f32> {
    match initial {
        Initial::Constant(value) => vec![*value; count],
        Initial::Values(values) => values.clone(),
        Initial::Normal(std) => {
            let mut generator = Generator::new(seed, name);
            (0..count).map(|_| generator.normal() as f32 * std).collect()
        }
        Initial::TruncatedNormal(std) | Initial::Columns { std, .. } => {
            let mut generator = Generator::new(seed, name);
            let mut draw = || loop {
                let value = generator.normal();
                if value.abs() <= 2.0 {
                    return value as f32 * std;
                }
            };
            (0..count).map(|_| draw()).collect()
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014) with the Box-Muller transform.
struct Generator {
    state: u64,
    spare: Option<f64>,
}

impl Generator {
    /// The stream of one tensor: the FNV-1a hash of its name, mixed with the seed.
    fn new(seed: u64, name: &str) -> Self {
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let mut generator = Self {
            state: seed,
            spare: None,
        };
        generator.state = generator.next() ^ hash;
        generator
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in (0, 1].
    fn uniform(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * self.uniform()).sin_cos();
        self.spare = Some(radius * sin);
        radius * cos
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_has_its_moments_and_truncation_its_bounds() -> Result<()> {
        let normal = TensorSpec::new("a", &[100_000], Initial::Normal(2.0))
            .tensor(1)?
            .to_vec1::<f32>()?;
        let mean = normal.iter().map(|v| *v as f64).sum::<f64>() / 1e5;
        let variance = normal.iter().map(|v| (*v as f64).powi(2)).sum::<f64>() / 1e5;
        // Five standard errors: 2/√1e5 for the mean, 4·√(2/1e5) for the variance.
        assert!(mean.abs() < 5.0 * 2.0 / 1e5f64.sqrt(), "mean {mean}");
        assert!(
            (variance - 4.0).abs() < 5.0 * 4.0 * (2.0f64 / 1e5).sqrt(),
            "variance {variance}"
        );
        let truncated = TensorSpec::new("a", &[10_000], Initial::TruncatedNormal(0.5)).tensor(1)?;
        let truncated = truncated.to_vec1::<f32>()?;
        assert!(truncated.iter().all(|v| v.abs() <= 1.0));
        assert!(truncated.iter().any(|v| v.abs() > 0.9));
        Ok(())
    }

    #[test]
    fn matrices_of_one_stream_share_their_columns() -> Result<()> {
        let columns = |name: &str, width: usize| {
            let initial = Initial::Columns {
                stream: "both".to_string(),
                std: 1.0,
            };
            TensorSpec::new(name, &[3, width], initial).tensor(5)
        };
        let (wide, narrow) = (columns("wide", 6)?, columns("narrow", 4)?);
        assert_eq!(wide.dims(), [3, 6]);
        assert_eq!(wide.narrow(1, 0, 4)?.to_vec2::<f32>()?, narrow.to_vec2::<f32>()?);
        Ok(())
    }

    #[test]
    fn streams_depend_on_seed_and_name_only() -> Result<()> {
        let spec = |name: &str| TensorSpec::new(name, &[8], Initial::Normal(1.0));
        let value = |name: &str, seed| spec(name).tensor(seed)?.to_vec1::<f32>().map_err(crate::Error::from);
        assert_eq!(value("a", 3)?, value("a", 3)?);
        assert_ne!(value("a", 3)?, value("a", 4)?);
        assert_ne!(value("a", 3)?, value("b", 3)?);
        let both = random_tensors(&[spec("b"), spec("a")], 3)?;
        assert_eq!(both[1].1.to_vec1::<f32>()?, value("a", 3)?);
        Ok(())
    }
}
