//! Weights under the names of PyTorch modules, whose batch normalisations are folded on the way.

use super::tensors::{Affine, BatchNorm, Tensors};
use crate::error::{Error, Result};
use crate::tensor_file::Checkpoint;
use candle_core::{DType, Device};

/// PyTorch's epsilon of a batch normalisation.
const EPSILON: f64 = 1e-5;

/// Reads layers out of a file into tensors of other names.
pub(crate) struct TorchReader<'a> {
    pub file: &'a Checkpoint,
    pub tensors: Tensors,
}

impl TorchReader<'_> {
    pub fn values(&self, name: &str) -> Result<Vec<f32>> {
        let tensor = self.file.tensor(name, DType::F32, &Device::Cpu)?;
        Ok(tensor.flatten_all()?.to_vec1()?)
    }

    /// The first side of a tensor.
    pub fn width(&self, name: &str) -> Result<usize> {
        let shape = self.file.shape(name);
        shape.and_then(|shape| shape.first().copied()).ok_or_else(|| {
            Error::format(format!(
                "{}: tensor {name:?} is missing or has no dimensions",
                self.file.label()
            ))
        })
    }

    /// A batch normalisation of `channels`.
    pub fn norm(&self, name: &str, channels: usize) -> Result<BatchNorm> {
        let vector = |part: &str| {
            let name = format!("{name}.{part}");
            let values = self.values(&name)?;
            match values.len() == channels {
                true => Ok(values),
                false => Err(Error::format(format!(
                    "{}: tensor {name:?} has {} values for {channels} channels",
                    self.file.label(),
                    values.len()
                ))),
            }
        };
        let (weight, bias) = (vector("weight")?, vector("bias")?);
        let (mean, variance) = (vector("running_mean")?, vector("running_var")?);
        Ok(BatchNorm::new(&weight, &bias, &mean, &variance, EPSILON))
    }

    /// A layer with its bias, if it has one.
    pub fn layer(&self, name: &str) -> Result<Affine> {
        let weight = format!("{name}.weight");
        self.width(&weight)?;
        let shape = self.file.shape(&weight).unwrap_or_default().to_vec();
        let bias = format!("{name}.bias");
        let bias = match self.file.contains(&bias) {
            true => Some(self.values(&bias)?),
            false => None,
        };
        if bias.as_ref().is_some_and(|bias| Some(&bias.len()) != shape.first()) {
            return Err(Error::format(format!(
                "{}: the bias of {name} does not fit its weight",
                self.file.label()
            )));
        }
        Ok(Affine::new(shape, self.values(&weight)?, bias))
    }

    /// A convolution with the batch normalisation behind it.
    pub fn normed(&self, name: &str, norm: &str) -> Result<Affine> {
        let layer = self.layer(name)?;
        let channels = layer.outputs();
        Ok(layer.then(&self.norm(norm, channels)?))
    }
}
