//! The feed-forward part that Omni-ID and the Resampler share.

use crate::error::Result;
use crate::onnx::{Graph, Value};
use candle_core::Tensor;
use omniid_kernels::layers::{Activation, LayerNorm, Linear, Weights};

/// Epsilon of every layer normalisation of an encoder: PyTorch's default.
pub(super) const EPSILON: f64 = 1e-5;

/// LayerNorm → Linear → GELU (erf) → Linear, both linear layers without bias, as in IP-Adapter's Resampler.
#[derive(Debug)]
pub(super) struct FeedForward {
    norm: LayerNorm,
    up: Linear,
    down: Linear,
}

impl FeedForward {
    /// Reads the three layers `names` (norm, up, down).
    pub fn build(width: usize, inner: usize, names: [&str; 3], weights: &Weights) -> Result<Self> {
        let [norm, up, down] = names;
        Ok(Self {
            norm: weights.layer_norm(norm, width, EPSILON)?,
            up: weights
                .linear(up, width, inner, false)?
                .with_activation(Activation::Gelu),
            down: weights.linear(down, inner, width, false)?,
        })
    }

    /// `x` plus the feed-forward of `x`; `[batch, tokens, width]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_modulated(x, Ok)
    }

    /// [`FeedForward::forward`] in a graph.
    pub fn graph(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        let normal = graph.layer_norm(&self.norm, x)?;
        let inner = graph.linear(&self.up, &normal)?;
        graph.linear_add(&self.down, &inner, x)
    }

    /// [`FeedForward::forward`] with `modulate` after the norm.
    pub fn forward_modulated(&self, x: &Tensor, modulate: impl Fn(Tensor) -> Result<Tensor>) -> Result<Tensor> {
        self.up
            .forward_then_add(&self.down, &modulate(self.norm.forward(x)?)?, x)
    }
}
