//! The full-face projection of IP-Adapter: a small network applied to every feature token.

use super::block::EPSILON;
use super::check::{check_features, check_sizes};
use super::kind::{Description, EncoderInput, GraphInputs, Interface, Network, TokenCount};
use super::{EncodeSettings, Features};
use crate::error::Result;
use crate::onnx::{Graph, Value};
use crate::tensor_file::Shapes;
use candle_core::{DType, Tensor};
use omniid_kernels::layers::{Activation, LayerNorm, Linear, Weights};
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
#[derive(Debug, Clone)]
pub struct FullFace {
    config: FullFaceConfig,
    up: Linear,
    down: Linear,
    norm: LayerNorm,
    dtype: DType,
}

impl Description for FullFace {
    type Config = FullFaceConfig;

    const TITLE: &'static str = "IP-Adapter full-face";

    const HAS_GRAPH: bool = true;

    fn infer(shapes: &Shapes) -> Result<FullFaceConfig> {
        let [inner_width, feature_width] = shapes.dims("proj.0.weight")?;
        let [token_width] = shapes.dims("proj.3.weight")?;
        let config = FullFaceConfig {
            feature_width,
            inner_width,
            token_width,
        };
        config.validate()?;
        Ok(config)
    }

    fn interface(config: &FullFaceConfig) -> Interface {
        let tokens = TokenCount::PerFeatureToken;
        Interface::of_image(
            EncoderInput::Penultimate,
            config.feature_width,
            tokens,
            config.token_width,
        )
    }

    fn detail(config: &FullFaceConfig) -> Option<(&'static str, String)> {
        Some(("projection", format!("inner width {}", config.inner_width)))
    }

    fn build(config: &FullFaceConfig, weights: &Weights) -> Result<Self> {
        config.validate()?;
        let up = weights.linear("proj.0", config.feature_width, config.inner_width, true)?;
        Ok(Self {
            config: config.clone(),
            up: up.with_activation(Activation::Gelu),
            down: weights.linear("proj.2", config.inner_width, config.token_width, true)?,
            norm: weights.layer_norm("proj.3", config.token_width, EPSILON)?,
            dtype: weights.activation_dtype(),
        })
    }

    fn config(&self) -> &FullFaceConfig {
        &self.config
    }
}

impl Network for FullFace {
    fn encode_photo(&self, photo: &Features, _: &EncodeSettings) -> Result<Tensor> {
        Ok(self.forward(&photo.image()?.unsqueeze(0)?)?.squeeze(0)?)
    }

    fn graph(&self, graph: &mut Graph, inputs: &GraphInputs) -> Result<Value> {
        let inner = graph.linear(&self.up, inputs.image()?)?;
        let tokens = graph.linear(&self.down, &inner)?;
        let tokens = graph.layer_norm(&self.norm, &tokens)?;
        Ok(graph.reshape(&tokens, &[-1, self.config.token_width as i64]))
    }
}

impl FullFace {
    /// `[photos, tokens, feature width]` to `[photos, tokens, token width]`.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when the features have another shape.
    pub fn forward(&self, features: &Tensor) -> Result<Tensor> {
        check_features(features, self.config.feature_width, "full-face")?;
        self.project(&features.to_dtype(self.dtype)?)
    }

    /// `[…, feature width]` to `[…, token width]`, in the dtype of the input.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when the input has another width.
    pub fn project(&self, x: &Tensor) -> Result<Tensor> {
        let inner = self.up.forward(x)?;
        self.norm.forward(&self.down.forward(&inner)?)
    }
}
