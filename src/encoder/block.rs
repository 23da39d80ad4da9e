//! The feed-forward part shared by the encoders, and joining of attention inputs.

use crate::error::Result;
use candle_core::Tensor;
use candle_nn::VarBuilder;
use omniid_kernels::layers::{Activation, LayerNorm, Linear};

/// LayerNorm → Linear → GELU (erf) → Linear, both linear layers without bias, as in IP-Adapter's Resampler.
pub(super) struct FeedForward {
    norm: LayerNorm,
    up: Linear,
    down: Linear,
}

impl FeedForward {
    /// Reads the three layers `names` (norm, up, down) under the prefix of `vb`.
    pub fn load(width: usize, inner: usize, names: [&str; 3], vb: VarBuilder) -> Result<Self> {
        let [norm, up, down] = names;
        Ok(Self {
            norm: LayerNorm::load(width, 1e-5, vb.pp(norm))?,
            up: Linear::load(width, inner, false, vb.pp(up))?.with_activation(Activation::Gelu),
            down: Linear::load(inner, width, false, vb.pp(down))?,
        })
    }

    /// `x` plus the feed-forward of `x`; `[batch, tokens, width]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let inner = self.up.forward(&self.norm.forward(x)?)?;
        self.down.forward_add(&inner, x)
    }
}
