//! What a part of a batch adds to a step.

use super::objective::Loss;
use crate::optimisation::Parameters;
use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor};
use omniid::{Error, Result};

/// Loss and gradients of a part, already divided by the number of parts: a step's are their sum.
pub(crate) struct Part {
    pub loss: f64,
    /// The parts of the loss, unweighted.
    pub parts: Vec<(&'static str, f64)>,
    pub gradients: GradStore,
}

impl Part {
    /// `share` of a loss, and the backward pass of that.
    ///
    /// # Errors
    /// [`ErrorKind::Device`](omniid::ErrorKind::Device) from the GPU.
    pub fn of(loss: &Loss, share: f64) -> Result<Self> {
        let parts = loss
            .parts
            .iter()
            .map(|(name, part)| Ok((*name, share * number(part)?)))
            .collect::<Result<_>>()?;
        Ok(Self {
            loss: share * number(&loss.total)?,
            parts,
            gradients: (&loss.total * share)?.backward()?,
        })
    }

    /// The sum of parts, each added as soon as it is there.
    ///
    /// # Errors
    /// The first error among `parts`; [`ErrorKind::Internal`](omniid::ErrorKind::Internal) when there is none of them.
    pub fn sum(mut parts: impl Iterator<Item = Result<Self>>, parameters: &Parameters) -> Result<Self> {
        let first = parts
            .next()
            .ok_or_else(|| Error::internal("a step without a batch"))??;
        parts.try_fold(first, |sum, part| sum.plus(part?, parameters))
    }

    fn plus(self, other: Self, parameters: &Parameters) -> Result<Self> {
        let parts = self.parts.into_iter().zip(other.parts);
        Ok(Self {
            loss: self.loss + other.loss,
            parts: parts.map(|((name, a), (_, b))| (name, a + b)).collect(),
            gradients: parameters.add_gradients(self.gradients, &other.gradients)?,
        })
    }
}

/// The value of a tensor that holds one number.
fn number(tensor: &Tensor) -> Result<f64> {
    Ok(f64::from(tensor.to_dtype(DType::F32)?.to_scalar::<f32>()?))
}
