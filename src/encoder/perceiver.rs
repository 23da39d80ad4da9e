//! The stack of attention layers that the Resampler and FaceID-Plus share.

use super::block::{FeedForward, EPSILON};
use crate::error::{Error, Result};
use crate::onnx::{Graph, Value};
use crate::tensor_file::Shapes;
use candle_core::Tensor;
use omniid_kernels::layers::{attention, LayerNorm, Linear, Weights};

/// Width of an attention head in every published file. Shapes do not tell it.
pub(super) const HEAD_WIDTH: usize = 64;

/// Sizes of a [`Perceiver`].
#[derive(Debug, Clone, Copy)]
pub(super) struct PerceiverSizes {
    /// Width of a feature token.
    pub feature_width: usize,
    /// Width of the latents.
    pub width: usize,
    /// Number of layers.
    pub depth: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of a head.
    pub head_width: usize,
    /// Width inside the feed-forward part.
    pub inner_width: usize,
    /// Width of what comes out.
    pub token_width: usize,
}

impl PerceiverSizes {
    /// Reads the sizes off the tensors below the perceiver's prefix.
    pub fn infer(shapes: &Shapes) -> Result<Self> {
        let [width, feature_width] = shapes.dims("proj_in.weight")?;
        let [token_width] = shapes.dims("norm_out.weight")?;
        let [rows, _] = shapes.dims("layers.0.0.to_q.weight")?;
        let [inner_width, _] = shapes.dims("layers.0.1.1.weight")?;
        if rows % HEAD_WIDTH != 0 {
            return Err(Error::format(format!(
                "tensor {} has {rows} rows; a Resampler has heads of {HEAD_WIDTH}",
                shapes.quoted("layers.0.0.to_q.weight")
            )));
        }
        Ok(Self {
            feature_width,
            width,
            depth: shapes.count(|d| format!("layers.{d}.0.to_q.weight")),
            heads: rows / HEAD_WIDTH,
            head_width: HEAD_WIDTH,
            inner_width,
            token_width,
        })
    }
}

/// Latents that read image features, layer by layer, and are projected to tokens.
///
/// In each layer one softmax spans the features and the latents themselves. The features never change; there is no
/// position embedding, so any number of feature tokens is legal and their order does not matter. The keys are those of
/// the public files: `proj_in`, `layers.{d}.0` (attention), `layers.{d}.1` (feed-forward), `proj_out`, `norm_out`.
#[derive(Debug)]
pub(super) struct Perceiver {
    proj_in: Linear,
    layers: Vec<PerceiverLayer>,
    proj_out: Linear,
    norm_out: LayerNorm,
}

/// Latents read features and each other in one softmax, then pass a feed-forward part; both are added to them. The keys
/// are `0` (attention) and `1` (feed-forward).
#[derive(Debug)]
pub(super) struct PerceiverLayer {
    attention: PerceiverAttention,
    feed_forward: FeedForward,
}

/// Attention of latents over features and the latents themselves.
#[derive(Debug)]
pub(super) struct PerceiverAttention {
    norm_features: LayerNorm,
    norm_latents: LayerNorm,
    to_q: Linear,
    /// Rows: all keys, then all values.
    to_kv: Linear,
    to_out: Linear,
    heads: usize,
    inner: usize,
}

impl PerceiverAttention {
    /// Keys `norm1`, `norm2`, `to_q`, `to_kv`, `to_out`; features and latents are `width` wide.
    pub fn build(width: usize, heads: usize, head_width: usize, weights: &Weights) -> Result<Self> {
        let inner = heads * head_width;
        let linear = |name: &str, input, output| weights.linear(name, input, output, false);
        Ok(Self {
            norm_features: weights.layer_norm("norm1", width, EPSILON)?,
            norm_latents: weights.layer_norm("norm2", width, EPSILON)?,
            to_q: linear("to_q", width, inner)?,
            to_kv: linear("to_kv", width, 2 * inner)?,
            to_out: linear("to_out", inner, width)?,
            heads,
            inner,
        })
    }

    /// `latents` `[batch, tokens, width]` plus what they see in `features` `[batch, feature tokens, width]`; the
    /// normalised latents pass `modulate` before.
    pub fn forward(
        &self,
        features: &Tensor,
        latents: &Tensor,
        modulate: impl Fn(Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let normal = modulate(self.norm_latents.forward(latents)?)?;
        let all = Tensor::cat(&[&self.norm_features.forward(features)?, &normal], 1)?;
        let q = self.to_q.forward(&normal)?;
        let kv = self.to_kv.forward(&all)?;
        let k = kv.narrow(2, 0, self.inner)?;
        let v = kv.narrow(2, self.inner, self.inner)?;
        self.to_out.forward_add(&attention(&q, &k, &v, self.heads)?, latents)
    }

    /// [`PerceiverAttention::forward`] in a graph.
    fn graph(&self, graph: &mut Graph, features: &Value, latents: &Value) -> Result<Value> {
        let normal = graph.layer_norm(&self.norm_latents, latents)?;
        let features = graph.layer_norm(&self.norm_features, features)?;
        let all = graph.concatenate(&[&features, &normal], 1);
        let q = graph.linear(&self.to_q, &normal)?;
        let kv = graph.linear(&self.to_kv, &all)?;
        let k = graph.slice(&kv, 2, 0, Some(self.inner));
        let v = graph.slice(&kv, 2, self.inner, None);
        let seen = graph.attention(&q, &k, &v, self.heads, self.inner);
        graph.linear_add(&self.to_out, &seen, latents)
    }
}

impl PerceiverLayer {
    pub fn build(width: usize, heads: usize, head_width: usize, inner_width: usize, weights: &Weights) -> Result<Self> {
        Ok(Self {
            attention: PerceiverAttention::build(width, heads, head_width, &weights.pp("0"))?,
            feed_forward: FeedForward::build(width, inner_width, ["0", "1", "3"], &weights.pp("1"))?,
        })
    }

    /// `latents` `[batch, tokens, width]` after the layer; `features` are `[batch, feature tokens, width]`.
    pub fn forward(&self, features: &Tensor, latents: &Tensor) -> Result<Tensor> {
        self.feed_forward
            .forward(&self.attention.forward(features, latents, Ok)?)
    }

    /// [`PerceiverLayer::forward`] in a graph.
    fn graph(&self, graph: &mut Graph, features: &Value, latents: &Value) -> Result<Value> {
        let latents = self.attention.graph(graph, features, latents)?;
        self.feed_forward.graph(graph, &latents)
    }
}

impl Perceiver {
    /// Takes every tensor from `weights`.
    pub fn build(sizes: PerceiverSizes, weights: &Weights) -> Result<Self> {
        let width = sizes.width;
        let layer = |d: usize| {
            let (heads, head_width, inner) = (sizes.heads, sizes.head_width, sizes.inner_width);
            PerceiverLayer::build(width, heads, head_width, inner, &weights.pp("layers").pp(d))
        };
        Ok(Self {
            proj_in: weights.linear("proj_in", sizes.feature_width, width, true)?,
            layers: (0..sizes.depth).map(layer).collect::<Result<_>>()?,
            proj_out: weights.linear("proj_out", width, sizes.token_width, true)?,
            norm_out: weights.layer_norm("norm_out", sizes.token_width, EPSILON)?,
        })
    }

    /// `latents` `[photos, tokens, width]` and `features` `[photos, feature tokens, feature width]` to
    /// `[photos, tokens, token width]`. Both must have the dtype of the activations.
    pub fn forward(&self, latents: Tensor, features: &Tensor) -> Result<Tensor> {
        let x = self.proj_in.forward(features)?;
        let mut z = latents;
        for layer in &self.layers {
            z = layer.forward(&x, &z)?;
        }
        self.norm_out.forward(&self.proj_out.forward(&z)?)
    }

    /// [`Perceiver::forward`] in a graph.
    pub fn graph(&self, graph: &mut Graph, latents: Value, features: &Value) -> Result<Value> {
        let x = graph.linear(&self.proj_in, features)?;
        let mut z = latents;
        for layer in &self.layers {
            z = layer.graph(graph, &x, &z)?;
        }
        let z = graph.linear(&self.proj_out, &z)?;
        graph.layer_norm(&self.norm_out, &z)
    }
}
