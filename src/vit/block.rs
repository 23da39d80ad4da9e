//! A pre-norm transformer block.

use super::rotary::Rotary;
use super::VisionConfig;
use crate::error::{Error, Result};
use crate::onnx::{Graph, Value};
use candle_core::Tensor;
use omniid_kernels::layers::{attention, Initial, LayerNorm, Linear, Weights};

/// How the matrices of a block start.
#[derive(Debug)]
pub(super) struct Starts {
    pub plain: Initial,
    /// Of projections into the residual stream.
    pub damped: Initial,
}

/// Attention and a feed-forward part, each added to the tokens.
#[derive(Debug)]
pub(super) struct Block {
    norm1: LayerNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    /// Norm of what attention gives, before it is projected.
    inner_norm: Option<LayerNorm>,
    out: Linear,
    /// What attention adds is multiplied by it, `[width]`.
    scale1: Option<Tensor>,
    heads: usize,
    norm2: LayerNorm,
    feed_forward: FeedForward,
    /// The same for the feed-forward part.
    scale2: Option<Tensor>,
}

#[derive(Debug)]
enum FeedForward {
    Plain {
        up: Linear,
        down: Linear,
    },
    /// SwiGLU: the gate has the activation.
    Gated {
        gate: Linear,
        up: Linear,
        norm: Option<LayerNorm>,
        down: Linear,
    },
}

impl Block {
    pub fn build(config: &VisionConfig, starts: &Starts, weights: &Weights) -> Result<Self> {
        let (family, width, epsilon) = (config.family, config.hidden_size, config.layer_norm_eps);
        let square =
            |name: &str, bias: bool, start: &Initial| weights.linear_from(name, &[width, width], bias, start.clone());
        let inner_norm = |name: &str, width: usize| match family.has_inner_norms() {
            true => weights.layer_norm(name, width, epsilon).map(Some),
            false => Ok(None),
        };
        let scale = |name: &str| match family.has_layer_scale() {
            true => weights.parameter(name, &[width], Initial::Constant(1.0)).map(Some),
            false => Ok(None),
        };
        Ok(Self {
            norm1: weights.layer_norm("layer_norm1", width, epsilon)?,
            query: square("self_attn.q_proj", true, &starts.plain)?,
            key: square("self_attn.k_proj", family.has_key_bias(), &starts.plain)?,
            value: square("self_attn.v_proj", true, &starts.damped)?,
            inner_norm: inner_norm("self_attn.inner_attn_ln", width)?,
            out: square("self_attn.out_proj", true, &starts.plain)?,
            scale1: scale("layer_scale1.lambda1")?,
            heads: config.num_attention_heads,
            norm2: weights.layer_norm("layer_norm2", width, epsilon)?,
            feed_forward: FeedForward::build(config, starts, &weights.pp("mlp"))?,
            scale2: scale("layer_scale2.lambda1")?,
        })
    }

    /// `[batch, tokens, width]` to the same. What is no longer needed is dropped at once: these are the largest tensors.
    pub fn forward(&self, x: Tensor, rotary: Option<&Rotary>) -> Result<Tensor> {
        let mixed = self.mixed(&x, rotary)?;
        let x = add(&self.out, &mixed, self.scale1.as_ref(), x)?;
        drop(mixed);
        let normal = self.norm2.forward(&x)?;
        if let (FeedForward::Plain { up, down }, None) = (&self.feed_forward, &self.scale2) {
            return up.forward_then_add(down, &normal, &x);
        }
        let (inner, down) = self.feed_forward.inner(&normal)?;
        drop(normal);
        add(down, &inner, self.scale2.as_ref(), x)
    }

    /// What attention gives, before it is projected.
    fn mixed(&self, x: &Tensor, rotary: Option<&Rotary>) -> Result<Tensor> {
        let normal = self.norm1.forward(x)?;
        let [mut q, mut k, v] = Linear::forward_all([&self.query, &self.key, &self.value], &normal)?;
        if let Some(rotary) = rotary {
            (q, k) = (rotary.turn(&q)?, rotary.turn(&k)?);
        }
        let mixed = attention(&q, &k, &v, self.heads)?;
        match &self.inner_norm {
            Some(norm) => norm.forward(&mixed),
            None => Ok(mixed),
        }
    }

    /// [`Block::forward`] of CLIP in a graph.
    pub fn graph(&self, graph: &mut Graph, x: &Value) -> Result<Value> {
        let FeedForward::Plain { up, down } = &self.feed_forward else {
            return Err(Error::internal("the graph of a block that is not CLIP's"));
        };
        let normal = graph.layer_norm(&self.norm1, x)?;
        let q = graph.linear(&self.query, &normal)?;
        let k = graph.linear(&self.key, &normal)?;
        let v = graph.linear(&self.value, &normal)?;
        let mixed = graph.attention(&q, &k, &v, self.heads, self.query.output_width());
        let x = graph.linear_add(&self.out, &mixed, x)?;
        let normal = graph.layer_norm(&self.norm2, &x)?;
        let inner = graph.linear(up, &normal)?;
        graph.linear_add(down, &inner, &x)
    }
}

/// `residual` plus what `layer` makes of `x`, scaled per channel.
fn add(layer: &Linear, x: &Tensor, scale: Option<&Tensor>, residual: Tensor) -> Result<Tensor> {
    match scale {
        None => layer.forward_add(x, &residual),
        Some(scale) => Ok((layer.forward(x)?.broadcast_mul(scale)? + residual)?),
    }
}

impl FeedForward {
    fn build(config: &VisionConfig, starts: &Starts, weights: &Weights) -> Result<Self> {
        let (family, width, inner) = (config.family, config.hidden_size, config.intermediate_size);
        let linear =
            |name: &str, shape: [usize; 2], start: &Initial| weights.linear_from(name, &shape, true, start.clone());
        if !family.is_gated() {
            return Ok(Self::Plain {
                up: linear("fc1", [inner, width], &starts.plain)?.with_activation(config.hidden_act),
                down: linear("fc2", [width, inner], &starts.damped)?,
            });
        }
        Ok(Self::Gated {
            gate: linear("gate_proj", [inner, width], &starts.plain)?.with_activation(config.hidden_act),
            up: linear("up_proj", [inner, width], &starts.plain)?,
            norm: match family.has_inner_norms() {
                true => Some(weights.layer_norm("ffn_ln", inner, config.layer_norm_eps)?),
                false => None,
            },
            down: linear("down_proj", [width, inner], &starts.damped)?,
        })
    }

    /// What the last layer reads, and that layer.
    fn inner(&self, x: &Tensor) -> Result<(Tensor, &Linear)> {
        match self {
            Self::Plain { up, down } => Ok((up.forward(x)?, down)),
            Self::Gated { gate, up, norm, down } => {
                let [gate, up] = Linear::forward_all([gate, up], x)?;
                let inner = (gate * up)?;
                let inner = match norm {
                    Some(norm) => norm.forward(&inner)?,
                    None => inner,
                };
                Ok((inner, down))
            }
        }
    }
}
