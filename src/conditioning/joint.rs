//! What layers need at every step whose identity tokens are attended to together with the image's own keys.

use super::memory::Memory;
use super::{Conditioning, Step};
use crate::adapter::{Adapter, JointLayer};
use crate::error::{Error, Result};
use candle_core::{DType, Device, Tensor};

/// How far a step may be from a timestep of the table, of 1000.
const TOLERANCE: f64 = 1.0;

/// Timesteps for each unit of sigma: the noise levels of flow matching run from 1 to 0, its timesteps from 1000 to 0.
const TIMESTEPS: f64 = 1000.0;

/// The adapter's normalisations of the host's queries and keys, and working memory.
#[derive(Debug)]
pub(crate) struct Joint {
    /// By layer: weights of the normalisation of queries and of keys, `[head_dim]` each.
    norms: Vec<[Vec<f32>; 2]>,
    pub(crate) memory: Memory,
}

impl Joint {
    /// That of an adapter; `None` when its layers attend to the identity alone.
    pub(super) fn of(adapter: &Adapter) -> Result<Option<Self>> {
        let layers: Option<Vec<&JointLayer>> = adapter.layers().iter().map(|layer| layer.joint.as_ref()).collect();
        let Some(layers) = layers.filter(|layers| !layers.is_empty()) else {
            return Ok(None);
        };
        let values = |tensor: &Tensor| -> Result<Vec<f32>> {
            Ok(tensor.to_dtype(DType::F32)?.to_device(&Device::Cpu)?.to_vec1()?)
        };
        let norms = layers
            .into_iter()
            .map(|layer| Ok([values(&layer.query_norm)?, values(&layer.key_norm)?]))
            .collect::<Result<_>>()?;
        Ok(Some(Self {
            norms,
            memory: Memory::default(),
        }))
    }

    /// Weights of the normalisation of a layer's queries and keys.
    pub(crate) fn norms(&self, layer: usize) -> Result<&[Vec<f32>; 2]> {
        self.norms
            .get(layer)
            .ok_or_else(|| Error::internal("a layer without its normalisation"))
    }
}

impl Conditioning {
    /// Index of the keys and values for a step in the table of timesteps; 0 where nothing depends on them.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) when the step does not say its sigma although there are
    /// several timesteps, or when none of them is within 1 of it.
    pub(crate) fn table_place(&self, step: &Step) -> Result<usize> {
        let timesteps = self.timesteps();
        let Some(sigma) = step.sigma.filter(|_| !timesteps.is_empty()) else {
            return match timesteps.len() {
                0 | 1 => Ok(0),
                several => Err(Error::invalid(format!(
                    "the conditioning holds keys and values for {several} timesteps, but the call does not say the \
                     step's sigma"
                ))),
            };
        };
        let distance = |timestep: f32| (f64::from(timestep) - TIMESTEPS * sigma).abs();
        let nearest = (0..timesteps.len()).min_by(|&a, &b| distance(timesteps[a]).total_cmp(&distance(timesteps[b])));
        match nearest.filter(|&place| distance(timesteps[place]) <= TOLERANCE) {
            Some(place) => Ok(place),
            None => Err(Error::invalid(format!(
                "sigma {sigma} is timestep {}, for which the conditioning holds no keys and values; it was made for {}",
                TIMESTEPS * sigma,
                match timesteps {
                    [one] => format!("timestep {one}"),
                    several => format!("{} timesteps, none within 1 of it", several.len()),
                }
            ))),
        }
    }
}
