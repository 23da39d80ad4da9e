//! What stands behind the last block: the norm and the image embedding.

use super::block::Starts;
use super::{VisionConfig, VisionFamily};
use crate::error::{Error, Result};
use crate::onnx::{Graph, Value};
use candle_core::Tensor;
use omniid_kernels::layers::{attention, Initial, LayerNorm, Linear, Weights};

/// From the tokens of the last block to the image embedding.
#[derive(Debug)]
pub(super) struct Head {
    norm: LayerNorm,
    pooling: Pooling,
}

#[derive(Debug)]
enum Pooling {
    /// The class token as it is.
    ClassToken,
    /// The class token, projected.
    Projection(Linear),
    /// SigLIP's attention of one learned query over all tokens.
    Attention(Box<AttentionPooling>),
    /// There is no image embedding.
    None,
}

impl Head {
    /// `None` for a CLIP model without a projection; the norm before it is part of the model all the same.
    pub fn build(config: &VisionConfig, starts: &Starts, weights: &Weights) -> Result<Option<Self>> {
        let family = config.family;
        if family == VisionFamily::Clip && config.projection_dim.is_none() && !weights.is_list() {
            return Ok(None);
        }
        let width = config.hidden_size;
        let model = weights.pp("vision_model");
        let norm = model.layer_norm("post_layernorm", width, config.layer_norm_eps)?;
        let pooling = match (family, config.projection_dim) {
            (VisionFamily::Clip, None) => return Ok(None),
            (_, None) => Pooling::None,
            (VisionFamily::Siglip, Some(_)) => {
                Pooling::Attention(Box::new(AttentionPooling::build(config, starts, &model.pp("head"))?))
            }
            (VisionFamily::Dinov2 { .. }, Some(_)) => Pooling::ClassToken,
            (VisionFamily::Clip | VisionFamily::Eva02, Some(projection)) => {
                let bias = family == VisionFamily::Eva02;
                let shape = [projection, width];
                Pooling::Projection(weights.linear_from("visual_projection", &shape, bias, starts.plain.clone())?)
            }
        };
        Ok(Some(Self { norm, pooling }))
    }

    /// The norm of all tokens, `[batch, tokens, width]`.
    pub fn normalise(&self, last: &Tensor) -> Result<Tensor> {
        self.norm.forward(last)
    }

    /// The image embedding `[batch, projection]` of the last block's output; `None` when the model has none.
    pub fn pool(&self, last: &Tensor) -> Result<Option<Tensor>> {
        let class = || -> Result<Tensor> { self.norm.forward(&last.narrow(1, 0, 1)?.squeeze(1)?.contiguous()?) };
        match &self.pooling {
            Pooling::ClassToken => class().map(Some),
            Pooling::Projection(projection) => projection.forward(&class()?).map(Some),
            Pooling::Attention(pooling) => pooling.forward(&self.norm.forward(last)?).map(Some),
            Pooling::None => Ok(None),
        }
    }

    /// [`Head::pool`] of CLIP in a graph: `[batch, projection]`.
    pub fn graph(&self, graph: &mut Graph, last: &Value) -> Result<Value> {
        let Pooling::Projection(projection) = &self.pooling else {
            return Err(Error::internal("the graph of a head that is not CLIP's"));
        };
        let class = graph.slice(last, 1, 0, Some(1));
        let class = graph.reshape(&class, &[0, -1]);
        let class = graph.layer_norm(&self.norm, &class)?;
        graph.linear(projection, &class)
    }
}

/// One learned query looks at all tokens; a feed-forward part follows (`SiglipMultiheadAttentionPoolingHead`).
#[derive(Debug)]
struct AttentionPooling {
    /// [1, 1, width]
    probe: Tensor,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    heads: usize,
    norm: LayerNorm,
    up: Linear,
    down: Linear,
}

impl AttentionPooling {
    fn build(config: &VisionConfig, starts: &Starts, weights: &Weights) -> Result<Self> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let linear =
            |name: &str, shape: [usize; 2], start: &Initial| weights.linear_from(name, &shape, true, start.clone());
        let square = |name: &str| linear(name, [width, width], &starts.plain);
        let std = 1.0 / (width as f32).sqrt();
        Ok(Self {
            probe: weights.parameter("probe", &[1, 1, width], Initial::Normal(std))?,
            query: square("attention.q_proj")?,
            key: square("attention.k_proj")?,
            value: square("attention.v_proj")?,
            out: square("attention.out_proj")?,
            heads: config.num_attention_heads,
            norm: weights.layer_norm("layernorm", width, config.layer_norm_eps)?,
            up: linear("mlp.fc1", [inner, width], &starts.plain)?.with_activation(config.hidden_act),
            down: linear("mlp.fc2", [width, inner], &starts.damped)?,
        })
    }

    /// `[batch, tokens, width]`, normalised, to `[batch, width]`.
    fn forward(&self, tokens: &Tensor) -> Result<Tensor> {
        let query = self.query.forward(&self.probe.repeat((tokens.dim(0)?, 1, 1))?)?;
        let (key, value) = (self.key.forward(tokens)?, self.value.forward(tokens)?);
        let seen = self.out.forward(&attention(&query, &key, &value, self.heads)?)?;
        let inner = self.up.forward(&self.norm.forward(&seen)?)?;
        Ok(self.down.forward_add(&inner, &seen)?.squeeze(1)?)
    }
}
