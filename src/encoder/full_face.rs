//! The full-face projection of IP-Adapter: a small network applied to every feature token.

use super::tensors::Shapes;
use super::{check_features, check_sizes};
use crate::error::Result;
use candle_core::{DType, Tensor};
use candle_nn::VarBuilder;
use omniid_kernels::layers::{activation_dtype, Activation, LayerNorm, Linear};
use serde::{Deserialize, Serialize};

/// Sizes of a [`FullFace`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FullFaceConfig {
    /// Width of a feature token.
    pub feature_width: usize,
    /// Width between the two linear layers; equal to the feature width in every file that diffusers loads.
    pub inner_width: usize,
    /// Width of a token: the host's context width.
    pub token_width: usize,
}

impl FullFaceConfig {
    /// The sizes that the public loaders accept: inner width = feature width.
    pub fn new(feature_width: usize, token_width: usize) -> Self {
        Self {
            feature_width,
            inner_width: feature_width,
            token_width,
        }
    }

    /// Reads the sizes off the tensors.
    pub(super) fn infer(shapes: &Shapes) -> Result<Self> {
        let [inner_width, feature_width] = shapes.need("proj.0.weight")?;
        let [token_width] = shapes.need("proj.3.weight")?;
        let config = Self {
            feature_width,
            inner_width,
            token_width,
        };
        config.validate()?;
        Ok(config)
    }

    fn validate(&self) -> Result<()> {
        check_sizes(
            "full-face",
            &[
                ("feature_width", self.feature_width),
                ("inner_width", self.inner_width),
                ("token_width", self.token_width),
            ],
        )
    }
}

/// Per token: LayerNorm(Linear(GELU(Linear(x)))).
///
/// It is IP-Adapter's full-face encoder, where x are image features, and the projection of a native adapter, where x
/// are identity tokens. Any number of tokens. Keys: `proj.0.{weight,bias}`, `proj.2.{weight,bias}`,
/// `proj.3.{weight,bias}` (the norm).
pub struct FullFace {
    config: FullFaceConfig,
    up: Linear,
    down: Linear,
    norm: LayerNorm,
    dtype: DType,
}

impl FullFace {
    /// Reads the layers under the prefix of `vb`.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) when a tensor is missing or has another shape.
    pub fn load(config: &FullFaceConfig, vb: VarBuilder) -> Result<Self> {
        config.validate()?;
        let up = Linear::load(config.feature_width, config.inner_width, true, vb.pp("proj.0"))?;
        Ok(Self {
            config: config.clone(),
            up: up.with_activation(Activation::Gelu),
            down: Linear::load(config.inner_width, config.token_width, true, vb.pp("proj.2"))?,
            norm: LayerNorm::load(config.token_width, 1e-5, vb.pp("proj.3"))?,
            dtype: activation_dtype(vb.device(), vb.dtype()),
        })
    }

    /// The sizes.
    pub fn config(&self) -> &FullFaceConfig {
        &self.config
    }

    /// `[photos, tokens, feature width]` to `[photos, tokens, token width]`.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when the features have another shape.
    pub fn forward(&self, features: &Tensor) -> Result<Tensor> {
        check_features(features, self.config.feature_width, "full-face")?;
        let inner = self.up.forward(&features.to_dtype(self.dtype)?)?;
        self.norm.forward(&self.down.forward(&inner)?)
    }
}
