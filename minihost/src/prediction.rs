//! What a flow-matching network predicts, and how picture and velocity follow from it; see [`flow`](crate::flow).

use candle_core::Tensor;
use omniid::Result;
use serde::{Deserialize, Serialize};

/// What a network predicts from x_t.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prediction {
    /// The clean picture x.
    #[default]
    Sample,
    /// The velocity x − ε.
    Velocity,
}

/// Times closer to 1 than this count as this close where something is divided by the distance.
pub const NEAREST_END: f64 = 1e-4;

impl Prediction {
    /// The clean picture, from the prediction at `x_t` and `rest` = 1 − t, which broadcasts over the pictures.
    pub(crate) fn clean(self, prediction: &Tensor, x_t: &Tensor, rest: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::Sample => prediction.clone(),
            Self::Velocity => (x_t + prediction.broadcast_mul(rest)?)?,
        })
    }

    /// The velocity, from the prediction at `x_t` and time `t`.
    pub(crate) fn velocity(self, prediction: &Tensor, x_t: &Tensor, t: f64) -> Result<Tensor> {
        Ok(match self {
            Self::Sample => ((prediction - x_t)? * (1.0 / (1.0 - t).max(NEAREST_END)))?,
            Self::Velocity => prediction.clone(),
        })
    }
}
