//! The Resampler of InstantX' IP-Adapter for Stable Diffusion 3.5, whose tokens depend on the denoising timestep.

use super::block::{FeedForward, EPSILON};
use super::check::{check_features, check_sizes};
use super::kind::{Description, EncoderInput, Interface, Network, TokenCount};
use super::perceiver::{PerceiverAttention, PerceiverSizes};
use super::{EncodeSettings, Features};
use crate::error::{Error, Result};
use crate::tensor_file::Shapes;
use candle_core::{DType, Device, Tensor};
use omniid_kernels::layers::{Activation, Initial, LayerNorm, Linear, Weights};
use serde::{Deserialize, Serialize};

/// Longest wavelength of the timestep's sines.
const MOST_PERIOD: f64 = 10_000.0;

/// Of the 160 frequencies of the published width, those that PyTorch's `exp` on x86 rounds up where the lower neighbour is
/// nearer, by 0.002 to 0.02 units in the last place. At timestep 1000 such a unit is 6e-5 of the angle, which moved the
/// tokens by 2e-5.
const ROUNDED_UP: (usize, [usize; 3]) = (160, [2, 15, 42]);

/// Sizes of a [`TimeResampler`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeResamplerConfig {
    /// Width of a feature token.
    pub feature_width: usize,
    /// Width inside the Resampler, and of the time embedding.
    pub width: usize,
    /// Number of layers.
    pub depth: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of a head; 64 in every published file.
    pub head_width: usize,
    /// Width inside the feed-forward part.
    pub inner_width: usize,
    /// Sines and cosines of the timestep.
    pub time_width: usize,
    /// Tokens per photo.
    pub tokens: usize,
    /// Width of a token.
    pub token_width: usize,
}

impl TimeResamplerConfig {
    /// The sizes of `InstantX/SD3.5-Large-IP-Adapter`.
    pub fn published() -> Self {
        Self {
            feature_width: 1152,
            width: 1280,
            depth: 4,
            heads: 20,
            head_width: 64,
            inner_width: 5120,
            time_width: 320,
            tokens: 64,
            token_width: 2432,
        }
    }

    fn validate(&self) -> Result<()> {
        check_sizes(
            "SD3.5",
            &[
                ("feature_width", self.feature_width),
                ("width", self.width),
                ("depth", self.depth),
                ("heads", self.heads),
                ("head_width", self.head_width),
                ("inner_width", self.inner_width),
                ("time_width", self.time_width),
                ("tokens", self.tokens),
                ("token_width", self.token_width),
            ],
        )?;
        if !self.time_width.is_multiple_of(2) {
            return Err(Error::format(format!(
                "time_width of the SD3.5 encoder is {}; it must be even",
                self.time_width
            )));
        }
        Ok(())
    }
}

/// A Resampler in which the timestep is added to the image features and modulates every norm of the latents.
///
/// The time embedding is Linear(SiLU(Linear(cos ‖ sin))) of the timestep; each layer makes of it a shift and a scale for
/// its attention and for its feed-forward part. Several photos: tokens one after the other. Keys are those of a
/// [`Resampler`](super::Resampler), with `time_embedding.linear_{1,2}` and `layers.{d}.2.1` (the modulation). Source:
/// `IPAdapterTimeImageProjection` of diffusers.
#[derive(Debug)]
pub struct TimeResampler {
    config: TimeResamplerConfig,
    latents: Tensor,
    time: [Linear; 2],
    proj_in: Linear,
    layers: Vec<Layer>,
    proj_out: Linear,
    norm_out: LayerNorm,
    dtype: DType,
}

#[derive(Debug)]
struct Layer {
    attention: PerceiverAttention,
    feed_forward: FeedForward,
    /// Rows: shift and scale of the attention, shift and scale of the feed-forward part.
    modulation: Linear,
}

impl Description for TimeResampler {
    type Config = TimeResamplerConfig;

    const TITLE: &'static str = "InstantX SD3.5 IP-Adapter";

    fn infer(shapes: &Shapes) -> Result<TimeResamplerConfig> {
        let [_, tokens, _] = shapes.dims("latents")?;
        let [_, time_width] = shapes.dims("time_embedding.linear_1.weight")?;
        let sizes = PerceiverSizes::infer(shapes)?;
        let config = TimeResamplerConfig {
            feature_width: sizes.feature_width,
            width: sizes.width,
            depth: sizes.depth,
            heads: sizes.heads,
            head_width: sizes.head_width,
            inner_width: sizes.inner_width,
            time_width,
            tokens,
            token_width: sizes.token_width,
        };
        config.validate()?;
        Ok(config)
    }

    fn interface(config: &TimeResamplerConfig) -> Interface {
        let tokens = TokenCount::PerPhoto(config.tokens);
        let input = EncoderInput::Penultimate;
        Interface {
            timestep: true,
            ..Interface::of_image(input, config.feature_width, tokens, config.token_width)
        }
    }

    fn detail(config: &TimeResamplerConfig) -> Option<(&'static str, String)> {
        let TimeResamplerConfig {
            width, heads, depth, ..
        } = config;
        let text = format!("width {width}, {heads} heads, depth {depth}; depends on the timestep");
        Some(("resampler", text))
    }

    fn build(config: &TimeResamplerConfig, weights: &Weights) -> Result<Self> {
        config.validate()?;
        let width = config.width;
        let layer = |d: usize| -> Result<Layer> {
            let layer = weights.pp("layers").pp(d);
            Ok(Layer {
                attention: PerceiverAttention::build(width, config.heads, config.head_width, &layer.pp("0"))?,
                feed_forward: FeedForward::build(width, config.inner_width, ["0", "1", "3"], &layer.pp("1"))?,
                modulation: layer.linear("2.1", width, 4 * width, true)?,
            })
        };
        let time = weights.pp("time_embedding");
        let start = Initial::Normal(1.0 / (width as f32).sqrt());
        Ok(Self {
            config: config.clone(),
            latents: weights.parameter("latents", &[1, config.tokens, width], start)?,
            time: [
                time.linear("linear_1", config.time_width, width, true)?
                    .with_activation(Activation::Silu),
                time.linear("linear_2", width, width, true)?,
            ],
            proj_in: weights.linear("proj_in", config.feature_width, width, true)?,
            layers: (0..config.depth).map(layer).collect::<Result<_>>()?,
            proj_out: weights.linear("proj_out", width, config.token_width, true)?,
            norm_out: weights.layer_norm("norm_out", config.token_width, EPSILON)?,
            dtype: weights.activation_dtype(),
        })
    }

    fn config(&self) -> &TimeResamplerConfig {
        &self.config
    }
}

impl Network for TimeResampler {
    fn encode_photo(&self, photo: &Features, settings: &EncodeSettings) -> Result<Tensor> {
        let timestep = settings
            .timestep
            .ok_or_else(|| Error::invalid("tokens of the SD3.5 encoder depend on the denoising timestep, got none"))?;
        Ok(self.forward(&photo.image()?.unsqueeze(0)?, timestep)?.squeeze(0)?)
    }

    fn time_embedding(&self, timestep: f32) -> Result<Option<Tensor>> {
        self.time_embedding(timestep).map(Some)
    }
}

impl TimeResampler {
    /// The embedding of a timestep, 0 to 1000: `[1, width]`. The host's layers are modulated by it as well.
    ///
    /// # Errors
    /// Those of the device.
    pub fn time_embedding(&self, timestep: f32) -> Result<Tensor> {
        let half = self.config.time_width / 2;
        let angle = |n: usize| f64::from(timestep * frequency(n, half));
        let cosines = (0..half).map(|n| angle(n).cos() as f32);
        let values: Vec<f32> = cosines.chain((0..half).map(|n| angle(n).sin() as f32)).collect();
        let waves = Tensor::from_vec(values, (1, 2 * half), &Device::Cpu)?;
        let waves = waves.to_device(self.latents.device())?.to_dtype(self.dtype)?;
        let [first, second] = &self.time;
        second.forward(&first.forward(&waves)?)
    }

    /// `[photos, feature tokens, feature width]` to `[photos, tokens, token width]` at a timestep, 0 to 1000.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when the features have another shape.
    pub fn forward(&self, features: &Tensor, timestep: f32) -> Result<Tensor> {
        check_features(features, self.config.feature_width, "SD3.5")?;
        let width = self.config.width;
        let time = self.time_embedding(timestep)?;
        let active = Activation::Silu.forward(&time)?;
        let x = self.proj_in.forward(&features.to_dtype(self.dtype)?)?;
        let x = x.broadcast_add(&time)?;
        let mut z = self.latents.repeat((features.dim(0)?, 1, 1))?;
        for layer in &self.layers {
            let changes = layer.modulation.forward(&active)?;
            let part = |n: usize| changes.narrow(1, n * width, width);
            let modulate = |x: Tensor, shift: usize| -> Result<Tensor> {
                let scale = part(shift + 1)?.affine(1.0, 1.0)?;
                Ok(x.broadcast_mul(&scale)?.broadcast_add(&part(shift)?)?)
            };
            z = layer.attention.forward(&x, &z, |latents| modulate(latents, 0))?;
            z = layer
                .feed_forward
                .forward_modulated(&z, |latents| modulate(latents, 2))?;
        }
        self.norm_out.forward(&self.proj_out.forward(&z)?)
    }
}

/// The frequency of pair `n` of `count` pairs of sine and cosine, rounded where PyTorch rounds to f32: an angle of 1000 has
/// few digits behind the point.
fn frequency(n: usize, count: usize) -> f32 {
    let exponent = -(MOST_PERIOD.ln() as f32) * n as f32 / count as f32;
    let nearest = f64::from(exponent).exp() as f32;
    match count == ROUNDED_UP.0 && ROUNDED_UP.1.contains(&n) {
        true => nearest.next_up(),
        false => nearest,
    }
}
