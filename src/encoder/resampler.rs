//! The Resampler of IP-Adapter Plus.

use super::check::{check_features, check_sizes};
use super::kind::{Description, EncoderInput, GraphInputs, Interface, Network, TokenCount};
use super::perceiver::{Perceiver, PerceiverSizes};
use super::{EncodeSettings, Features};
use crate::error::Result;
use crate::onnx::{Graph, Value};
use crate::tensor_file::Shapes;
use candle_core::{DType, Tensor};
use omniid_kernels::layers::{Initial, Weights};
use serde::{Deserialize, Serialize};

/// Sizes of a [`Resampler`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResamplerConfig {
    /// Width of a feature token.
    pub feature_width: usize,
    /// Width inside the Resampler.
    pub width: usize,
    /// Number of layers.
    pub depth: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of a head; 64 in every published file.
    pub head_width: usize,
    /// Width inside the feed-forward part.
    pub inner_width: usize,
    /// Tokens per photo.
    pub tokens: usize,
    /// Width of a token: the host's context width.
    pub token_width: usize,
}

impl ResamplerConfig {
    /// The sizes of the published Plus files: depth 4, heads of 64, `width` 768 for SD1.5 and 1280 for SDXL.
    pub fn plus(width: usize, tokens: usize, token_width: usize) -> Self {
        Self {
            feature_width: 1280,
            width,
            depth: 4,
            heads: width / 64,
            head_width: 64,
            inner_width: 4 * width,
            tokens,
            token_width,
        }
    }

    /// Reads the sizes off the tensors of a public file. Shapes do not tell the width of a head; it is 64 by
    /// convention.
    pub(super) fn infer(shapes: &Shapes) -> Result<Self> {
        let [_, tokens, width] = shapes.dims("latents")?;
        let sizes = PerceiverSizes::infer(shapes)?;
        let config = Self {
            feature_width: sizes.feature_width,
            width,
            depth: sizes.depth,
            heads: sizes.heads,
            head_width: sizes.head_width,
            inner_width: sizes.inner_width,
            tokens,
            token_width: sizes.token_width,
        };
        config.validate()?;
        Ok(config)
    }

    /// What a summary says about the sizes.
    pub(super) fn detail(&self) -> (&'static str, String) {
        let Self {
            width, heads, depth, ..
        } = self;
        ("resampler", format!("width {width}, {heads} heads, depth {depth}"))
    }

    pub(super) fn validate(&self) -> Result<()> {
        check_sizes(
            "Resampler",
            &[
                ("feature_width", self.feature_width),
                ("width", self.width),
                ("depth", self.depth),
                ("heads", self.heads),
                ("head_width", self.head_width),
                ("inner_width", self.inner_width),
                ("tokens", self.tokens),
                ("token_width", self.token_width),
            ],
        )
    }
}

/// Learned queries that read the image features: IP-Adapter Plus and Plus-Face.
///
/// In each layer one softmax spans the image features and the queries themselves. The features never change; there
/// is no position embedding, so any number of feature tokens is legal and their order does not matter. Keys are
/// those of the public files.
#[derive(Debug)]
pub struct Resampler {
    config: ResamplerConfig,
    latents: Tensor,
    perceiver: Perceiver,
    dtype: DType,
}

impl Description for Resampler {
    type Config = ResamplerConfig;

    const TITLE: &'static str = "IP-Adapter Plus";

    const HAS_GRAPH: bool = true;

    fn infer(shapes: &Shapes) -> Result<ResamplerConfig> {
        ResamplerConfig::infer(shapes)
    }

    fn interface(config: &ResamplerConfig) -> Interface {
        let tokens = TokenCount::PerPhoto(config.tokens);
        Interface::of_image(
            EncoderInput::Penultimate,
            config.feature_width,
            tokens,
            config.token_width,
        )
    }

    fn detail(config: &ResamplerConfig) -> Option<(&'static str, String)> {
        Some(config.detail())
    }

    fn build(config: &ResamplerConfig, weights: &Weights) -> Result<Self> {
        config.validate()?;
        let sizes = PerceiverSizes {
            feature_width: config.feature_width,
            width: config.width,
            depth: config.depth,
            heads: config.heads,
            head_width: config.head_width,
            inner_width: config.inner_width,
            token_width: config.token_width,
        };
        Ok(Self {
            latents: weights.parameter(
                "latents",
                &[1, config.tokens, config.width],
                Initial::Normal(1.0 / (config.width as f32).sqrt()),
            )?,
            perceiver: Perceiver::build(sizes, weights)?,
            dtype: weights.activation_dtype(),
            config: config.clone(),
        })
    }

    fn config(&self) -> &ResamplerConfig {
        &self.config
    }
}

impl Network for Resampler {
    fn encode_photo(&self, photo: &Features, _: &EncodeSettings) -> Result<Tensor> {
        Ok(self.forward(&photo.image()?.unsqueeze(0)?)?.squeeze(0)?)
    }

    fn graph(&self, graph: &mut Graph, inputs: &GraphInputs) -> Result<Value> {
        self.graph_of(graph, inputs.image()?)
    }
}

impl Resampler {
    /// `[photos, feature tokens, feature width]` to `[photos, tokens, token width]`.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when the features have another shape.
    pub fn forward(&self, features: &Tensor) -> Result<Tensor> {
        check_features(features, self.config.feature_width, "Resampler")?;
        let photos = features.dim(0)?;
        let latents = self.latents.repeat((photos, 1, 1))?;
        self.perceiver.forward(latents, &features.to_dtype(self.dtype)?)
    }

    /// [`Resampler::forward`] in a graph, all tokens one after the other: `[photos · tokens, token width]`.
    pub(super) fn graph_of(&self, graph: &mut Graph, features: &Value) -> Result<Value> {
        let latents = graph.parameter(&self.latents)?;
        let latents = graph.repeat_like(&latents, features);
        let tokens = self.perceiver.graph(graph, latents, features)?;
        Ok(graph.reshape(&tokens, &[-1, self.config.token_width as i64]))
    }
}
