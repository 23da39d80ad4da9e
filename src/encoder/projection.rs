//! The base IP-Adapter's projection: one image embedding to a few tokens.

use super::block::EPSILON;
use super::check::check_sizes;
use super::kind::{Description, EncoderInput, GraphInputs, Interface, Network, TokenCount};
use super::{EncodeSettings, Features};
use crate::error::{Error, Result};
use crate::onnx::{Graph, Value};
use crate::tensor_file::Shapes;
use candle_core::{DType, Tensor};
use omniid_kernels::layers::{LayerNorm, Linear, Weights};
use serde::{Deserialize, Serialize};

/// Sizes of a [`Projection`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectionConfig {
    /// Width of `image_embeds`.
    pub feature_width: usize,
    /// Tokens per photo.
    pub tokens: usize,
    /// Width of a token: the host's context width.
    pub token_width: usize,
}

impl ProjectionConfig {
    fn validate(&self) -> Result<()> {
        check_sizes(
            "projection",
            &[
                ("feature_width", self.feature_width),
                ("tokens", self.tokens),
                ("token_width", self.token_width),
            ],
        )
    }
}

/// LayerNorm(reshape(Linear(embedding))): base IP-Adapter and XLabs FLUX.
///
/// Keys: `proj.{weight,bias}` `[tokens · token width, feature width]`, `norm.{weight,bias}` `[token width]`.
#[derive(Debug)]
pub struct Projection {
    config: ProjectionConfig,
    projection: Linear,
    norm: LayerNorm,
    dtype: DType,
}

impl Description for Projection {
    type Config = ProjectionConfig;

    const TITLE: &'static str = "IP-Adapter";

    const HAS_GRAPH: bool = true;

    fn infer(shapes: &Shapes) -> Result<ProjectionConfig> {
        let [rows, feature_width] = shapes.dims("proj.weight")?;
        let [token_width] = shapes.dims("norm.weight")?;
        if rows % token_width != 0 {
            return Err(Error::format(format!(
                "tensor {} has {rows} rows, which is no multiple of the token width {token_width} of {}",
                shapes.quoted("proj.weight"),
                shapes.quoted("norm.weight")
            )));
        }
        let config = ProjectionConfig {
            feature_width,
            tokens: rows / token_width,
            token_width,
        };
        config.validate()?;
        Ok(config)
    }

    fn interface(config: &ProjectionConfig) -> Interface {
        let tokens = TokenCount::PerPhoto(config.tokens);
        Interface::of_image(
            EncoderInput::ImageEmbeds,
            config.feature_width,
            tokens,
            config.token_width,
        )
    }

    fn build(config: &ProjectionConfig, weights: &Weights) -> Result<Self> {
        config.validate()?;
        let rows = config.tokens * config.token_width;
        Ok(Self {
            config: config.clone(),
            projection: weights.linear("proj", config.feature_width, rows, true)?,
            norm: weights.layer_norm("norm", config.token_width, EPSILON)?,
            dtype: weights.activation_dtype(),
        })
    }

    fn config(&self) -> &ProjectionConfig {
        &self.config
    }
}

impl Network for Projection {
    fn encode_photo(&self, photo: &Features, _: &EncodeSettings) -> Result<Tensor> {
        let features = photo.image()?;
        let embeds = match features.rank() {
            1 => features.unsqueeze(0)?,
            _ => features.clone(),
        };
        Ok(self.forward(&embeds)?.flatten_to(1)?)
    }

    fn graph(&self, graph: &mut Graph, inputs: &GraphInputs) -> Result<Value> {
        let tokens = graph.linear(&self.projection, inputs.image()?)?;
        let tokens = graph.reshape(&tokens, &[-1, self.config.token_width as i64]);
        graph.layer_norm(&self.norm, &tokens)
    }
}

impl Projection {
    /// `image_embeds` `[photos, feature width]` to `[photos, tokens, token width]`.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when the embeddings have another shape.
    pub fn forward(&self, embeds: &Tensor) -> Result<Tensor> {
        let &[photos, width] = embeds.dims() else {
            return Err(Error::mismatch(format!(
                "the projection takes image embeddings of shape [photos, {}], got {:?}",
                self.config.feature_width,
                embeds.dims()
            )));
        };
        if width != self.config.feature_width {
            return Err(Error::mismatch(format!(
                "the projection takes image embeddings of width {}, got {width}",
                self.config.feature_width
            )));
        }
        let tokens = self.projection.forward(&embeds.to_dtype(self.dtype)?)?;
        self.norm
            .forward(&tokens.reshape((photos, self.config.tokens, self.config.token_width))?)
    }
}
