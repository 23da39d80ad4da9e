//! The Resampler of IP-Adapter Plus.

use super::block::{FeedForward, EPSILON};
use super::check::{check_features, check_sizes};
use super::kind::{Description, EncoderInput, Interface, Network, TokenCount};
use super::{EncodeSettings, Features};
use crate::error::{Error, Result};
use crate::tensor_file::Shapes;
use candle_core::{DType, Tensor};
use omniid_kernels::layers::{attention, Initial, LayerNorm, Linear, Weights};
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

    fn validate(&self) -> Result<()> {
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
    proj_in: Linear,
    layers: Vec<Layer>,
    proj_out: Linear,
    norm_out: LayerNorm,
    dtype: DType,
}

#[derive(Debug)]
struct Layer {
    norm_features: LayerNorm,
    norm_latents: LayerNorm,
    to_q: Linear,
    /// Rows: all keys, then all values.
    to_kv: Linear,
    to_out: Linear,
    feed_forward: FeedForward,
}

impl Description for Resampler {
    type Config = ResamplerConfig;

    const TITLE: &'static str = "IP-Adapter Plus";

    /// Shapes do not tell the width of a head; it is 64 by convention.
    fn infer(shapes: &Shapes) -> Result<ResamplerConfig> {
        let head_width = 64;
        let [_, tokens, width] = shapes.dims("latents")?;
        let [_, feature_width] = shapes.dims("proj_in.weight")?;
        let [token_width] = shapes.dims("norm_out.weight")?;
        let [rows, _] = shapes.dims("layers.0.0.to_q.weight")?;
        let [inner_width, _] = shapes.dims("layers.0.1.1.weight")?;
        if rows % head_width != 0 {
            return Err(Error::format(format!(
                "tensor {} has {rows} rows; a Resampler has heads of {head_width}",
                shapes.quoted("layers.0.0.to_q.weight")
            )));
        }
        let config = ResamplerConfig {
            feature_width,
            width,
            depth: shapes.count(|d| format!("layers.{d}.0.to_q.weight")),
            heads: rows / head_width,
            head_width,
            inner_width,
            tokens,
            token_width,
        };
        config.validate()?;
        Ok(config)
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
        let ResamplerConfig {
            width, heads, depth, ..
        } = config;
        Some(("resampler", format!("width {width}, {heads} heads, depth {depth}")))
    }

    fn build(config: &ResamplerConfig, weights: &Weights) -> Result<Self> {
        config.validate()?;
        let (width, inner) = (config.width, config.heads * config.head_width);
        let layer = |d: usize| -> Result<Layer> {
            let layer = weights.pp("layers").pp(d);
            let attention = layer.pp("0");
            let linear = |name: &str, input, output| attention.linear(name, input, output, false);
            Ok(Layer {
                norm_features: attention.layer_norm("norm1", width, EPSILON)?,
                norm_latents: attention.layer_norm("norm2", width, EPSILON)?,
                to_q: linear("to_q", width, inner)?,
                to_kv: linear("to_kv", width, 2 * inner)?,
                to_out: linear("to_out", inner, width)?,
                feed_forward: FeedForward::build(width, config.inner_width, ["0", "1", "3"], &layer.pp("1"))?,
            })
        };
        Ok(Self {
            latents: weights.parameter(
                "latents",
                &[1, config.tokens, width],
                Initial::Normal(1.0 / (width as f32).sqrt()),
            )?,
            proj_in: weights.linear("proj_in", config.feature_width, width, true)?,
            layers: (0..config.depth).map(layer).collect::<Result<_>>()?,
            proj_out: weights.linear("proj_out", width, config.token_width, true)?,
            norm_out: weights.layer_norm("norm_out", config.token_width, EPSILON)?,
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
}

impl Resampler {
    /// `[photos, feature tokens, feature width]` to `[photos, tokens, token width]`.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when the features have another shape.
    pub fn forward(&self, features: &Tensor) -> Result<Tensor> {
        check_features(features, self.config.feature_width, "Resampler")?;
        let photos = features.dim(0)?;
        let inner = self.config.heads * self.config.head_width;
        let x = self.proj_in.forward(&features.to_dtype(self.dtype)?)?;
        let mut z = self.latents.repeat((photos, 1, 1))?;
        for layer in &self.layers {
            let latents = layer.norm_latents.forward(&z)?;
            let all = Tensor::cat(&[&layer.norm_features.forward(&x)?, &latents], 1)?;
            let q = layer.to_q.forward(&latents)?;
            let kv = layer.to_kv.forward(&all)?;
            let k = kv.narrow(2, 0, inner)?;
            let v = kv.narrow(2, inner, inner)?;
            z = layer
                .to_out
                .forward_add(&attention(&q, &k, &v, self.config.heads)?, &z)?;
            z = layer.feed_forward.forward(&z)?;
        }
        self.norm_out.forward(&self.proj_out.forward(&z)?)
    }
}
