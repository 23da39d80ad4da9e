//! The Resampler of IP-Adapter Plus.

use super::block::FeedForward;
use super::tensors::Shapes;
use super::{check_features, check_sizes};
use crate::error::{Error, Result};
use candle_core::{DType, Tensor};
use candle_nn::{Init, VarBuilder};
use omniid_kernels::layers::{activation_dtype, attention, load_parameter, LayerNorm, Linear};
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

    /// Reads the sizes off the tensors. Shapes do not tell the width of a head; it is 64 by convention.
    pub(super) fn infer(shapes: &Shapes) -> Result<Self> {
        let head_width = 64;
        let [_, tokens, width] = shapes.need("latents")?;
        let [_, feature_width] = shapes.need("proj_in.weight")?;
        let [token_width] = shapes.need("norm_out.weight")?;
        let [rows, _] = shapes.need("layers.0.0.to_q.weight")?;
        let [inner_width, _] = shapes.need("layers.0.1.1.weight")?;
        if rows % head_width != 0 {
            return Err(Error::format(format!(
                "{} has {rows} rows; a Resampler has heads of {head_width}",
                shapes.name("layers.0.0.to_q.weight")
            )));
        }
        let depth = (0..1 << 16)
            .take_while(|d| shapes.has(&format!("layers.{d}.0.to_q.weight")))
            .count();
        let heads = rows / head_width;
        let config = Self {
            feature_width,
            width,
            depth,
            heads,
            head_width,
            inner_width,
            tokens,
            token_width,
        };
        config.validate()?;
        Ok(config)
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
/// those of the public files, listed by [`super::resampler_tensors`].
pub struct Resampler {
    config: ResamplerConfig,
    latents: Tensor,
    proj_in: Linear,
    layers: Vec<Layer>,
    proj_out: Linear,
    norm_out: LayerNorm,
    dtype: DType,
}

struct Layer {
    norm_features: LayerNorm,
    norm_latents: LayerNorm,
    to_q: Linear,
    /// Rows: all keys, then all values.
    to_kv: Linear,
    to_out: Linear,
    feed_forward: FeedForward,
}

impl Resampler {
    /// Reads the layers under the prefix of `vb`.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) when a tensor is missing or has another shape.
    pub fn load(config: &ResamplerConfig, vb: VarBuilder) -> Result<Self> {
        config.validate()?;
        let (width, inner) = (config.width, config.heads * config.head_width);
        let init = Init::Randn {
            mean: 0.0,
            stdev: 1.0 / (width as f64).sqrt(),
        };
        let layer = |d: usize| -> Result<Layer> {
            let attention = vb.pp(format!("layers.{d}.0"));
            Ok(Layer {
                norm_features: LayerNorm::load(width, 1e-5, attention.pp("norm1"))?,
                norm_latents: LayerNorm::load(width, 1e-5, attention.pp("norm2"))?,
                to_q: Linear::load(width, inner, false, attention.pp("to_q"))?,
                to_kv: Linear::load(width, 2 * inner, false, attention.pp("to_kv"))?,
                to_out: Linear::load(inner, width, false, attention.pp("to_out"))?,
                feed_forward: FeedForward::load(
                    width,
                    config.inner_width,
                    ["0", "1", "3"],
                    vb.pp(format!("layers.{d}.1")),
                )?,
            })
        };
        Ok(Self {
            latents: load_parameter(&vb, &[1, config.tokens, width], "latents", init)?,
            proj_in: Linear::load(config.feature_width, width, true, vb.pp("proj_in"))?,
            layers: (0..config.depth).map(layer).collect::<Result<_>>()?,
            proj_out: Linear::load(width, config.token_width, true, vb.pp("proj_out"))?,
            norm_out: LayerNorm::load(config.token_width, 1e-5, vb.pp("norm_out"))?,
            dtype: activation_dtype(vb.device(), vb.dtype()),
            config: config.clone(),
        })
    }

    /// The sizes.
    pub fn config(&self) -> &ResamplerConfig {
        &self.config
    }

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
