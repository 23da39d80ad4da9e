//! What a micro batch adds to a step.

use super::objective::Loss;
use crate::optimisation::Parameters;
use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor};
use omniid::{Error, Result};

/// Loss and gradients of a micro batch, already divided by their number: a step's are the sums.
pub(crate) struct LossAndGradients {
    pub loss: f64,
    /// The terms of the loss, unweighted.
    pub terms: Vec<(&'static str, f64)>,
    pub gradients: GradStore,
}

impl LossAndGradients {
    /// `share` of a loss, and the backward pass of that.
    ///
    /// # Errors
    /// [`ErrorKind::Device`](omniid::ErrorKind::Device) from the GPU.
    pub fn of(loss: &Loss, share: f64) -> Result<Self> {
        let terms = loss
            .terms
            .iter()
            .map(|(name, term)| Ok((*name, share * number(term)?)))
            .collect::<Result<_>>()?;
        Ok(Self {
            loss: share * number(&loss.total)?,
            terms,
            gradients: (&loss.total * share)?.backward()?,
        })
    }

    /// The sums over micro batches, each added as soon as it is there.
    ///
    /// # Errors
    /// The first error among `each`; [`ErrorKind::Internal`](omniid::ErrorKind::Internal) when there is none of them.
    pub fn sum(mut each: impl Iterator<Item = Result<Self>>, parameters: &Parameters) -> Result<Self> {
        let first = each.next().ok_or_else(|| Error::internal("a step without a batch"))??;
        each.try_fold(first, |sum, one| sum.plus(one?, parameters))
    }

    fn plus(self, other: Self, parameters: &Parameters) -> Result<Self> {
        let terms = self.terms.into_iter().zip(other.terms);
        Ok(Self {
            loss: self.loss + other.loss,
            terms: terms.map(|((name, a), (_, b))| (name, a + b)).collect(),
            gradients: parameters.add_gradients(self.gradients, &other.gradients)?,
        })
    }
}

/// The value of a tensor that holds one number.
fn number(tensor: &Tensor) -> Result<f64> {
    Ok(f64::from(tensor.to_dtype(DType::F32)?.to_scalar::<f32>()?))
}
