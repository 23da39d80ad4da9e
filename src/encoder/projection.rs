//! The base IP-Adapter's projection: one image embedding to a few tokens.

use super::check_sizes;
use super::tensors::Shapes;
use crate::error::{Error, Result};
use candle_core::{DType, Tensor};
use candle_nn::VarBuilder;
use omniid_kernels::layers::{activation_dtype, LayerNorm, Linear};
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
    /// Reads the sizes off the tensors.
    pub(super) fn infer(shapes: &Shapes) -> Result<Self> {
        let [rows, feature_width] = shapes.need("proj.weight")?;
        let [token_width] = shapes.need("norm.weight")?;
        if token_width == 0 || rows % token_width != 0 {
            return Err(Error::format(format!(
                "{} has {rows} rows, which is no multiple of the token width {token_width} of norm.weight",
                shapes.name("proj.weight")
            )));
        }
        let config = Self {
            feature_width,
            tokens: rows / token_width,
            token_width,
        };
        config.validate()?;
        Ok(config)
    }

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
pub struct Projection {
    config: ProjectionConfig,
    projection: Linear,
    norm: LayerNorm,
    dtype: DType,
}

impl Projection {
    /// Reads the layers under the prefix of `vb`.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) when a tensor is missing or has another shape.
    pub fn load(config: &ProjectionConfig, vb: VarBuilder) -> Result<Self> {
        config.validate()?;
        let rows = config.tokens * config.token_width;
        Ok(Self {
            config: config.clone(),
            projection: Linear::load(config.feature_width, rows, true, vb.pp("proj"))?,
            norm: LayerNorm::load(config.token_width, 1e-5, vb.pp("norm"))?,
            dtype: activation_dtype(vb.device(), vb.dtype()),
        })
    }

    /// The sizes.
    pub fn config(&self) -> &ProjectionConfig {
        &self.config
    }

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
