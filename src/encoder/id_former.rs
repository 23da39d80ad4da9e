//! IDFormer: the identity encoder of PuLID for SDXL, version 1.1, and for FLUX.

use super::check::check_sizes;
use super::kind::{Description, EncoderInput, Interface, Network, TokenCount};
use super::perceiver::{PerceiverLayer, HEAD_WIDTH};
use super::pulid_mapping::{sizes_of, Mapping};
use super::pulid_v1::{face_of, levels_of};
use super::{EncodeSettings, Features};
use crate::error::{Error, Result};
use crate::tensor_file::Shapes;
use candle_core::{DType, Tensor};
use omniid_kernels::layers::{Initial, Weights};
use serde::{Deserialize, Serialize};

/// Sizes of an [`IdFormer`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdFormerConfig {
    /// Width of the face embedding and the image encoder's class embedding together.
    pub embedding_width: usize,
    /// Widths between the linear layers that read the embedding.
    pub embedding_mapping_widths: [usize; 2],
    /// Width of a feature token.
    pub feature_width: usize,
    /// Layers of the image encoder that are read.
    pub levels: usize,
    /// Widths between the linear layers that read a level.
    pub mapping_widths: [usize; 2],
    /// Width of the latents.
    pub width: usize,
    /// Number of attention layers, a multiple of the levels.
    pub depth: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of a head; 64 in every published file.
    pub head_width: usize,
    /// Width inside the feed-forward part.
    pub inner_width: usize,
    /// Tokens made of each photo's embedding, which the latents read and which do not come out.
    pub id_tokens: usize,
    /// Tokens that come out.
    pub tokens: usize,
    /// Width of a token.
    pub token_width: usize,
}

impl IdFormerConfig {
    /// The sizes of the published files, `pulid_v1.1.safetensors` and `pulid_flux_v0.9.{0,1}.safetensors`.
    pub fn published() -> Self {
        Self {
            embedding_width: 1280,
            embedding_mapping_widths: [1024; 2],
            feature_width: 1024,
            levels: 5,
            mapping_widths: [1024; 2],
            width: 1024,
            depth: 10,
            heads: 16,
            head_width: HEAD_WIDTH,
            inner_width: 4096,
            id_tokens: 5,
            tokens: 32,
            token_width: 2048,
        }
    }

    fn validate(&self) -> Result<()> {
        check_sizes(
            "IDFormer",
            &[
                ("embedding_width", self.embedding_width),
                ("embedding_mapping_widths", self.embedding_mapping_widths[0]),
                ("embedding_mapping_widths", self.embedding_mapping_widths[1]),
                ("feature_width", self.feature_width),
                ("levels", self.levels),
                ("mapping_widths", self.mapping_widths[0]),
                ("mapping_widths", self.mapping_widths[1]),
                ("width", self.width),
                ("depth", self.depth),
                ("heads", self.heads),
                ("head_width", self.head_width),
                ("inner_width", self.inner_width),
                ("id_tokens", self.id_tokens),
                ("tokens", self.tokens),
                ("token_width", self.token_width),
            ],
        )?;
        if !self.depth.is_multiple_of(self.levels) {
            return Err(Error::format(format!(
                "an IDFormer of {} layers for {} layers of the image encoder; it needs the same number for each",
                self.depth, self.levels
            )));
        }
        Ok(())
    }
}

/// IDFormer (PuLID, `pulid/encoders_transformer.py`): learned latents that read a person's photos.
///
/// The embedding of each photo becomes a few tokens. They stand behind the latents, and before the features of every
/// level. Each level of the image encoder, mapped, is read by its own layers, in one softmax with the latents. The
/// latents come out, times `proj_out`. Any number of photos is read together, in any order. "No identity" is the tokens
/// of one photo that is all zero.
///
/// Keys: `latents`, `proj_out` `[width, token width]`, `id_embedding_mapping`, `mapping_{j}`, `layers.{d}.0` (attention)
/// and `layers.{d}.1` (feed-forward).
#[derive(Debug)]
pub struct IdFormer {
    config: IdFormerConfig,
    /// [1, tokens, width]
    latents: Tensor,
    /// [width, token width]
    proj_out: Tensor,
    id_embedding_mapping: Mapping,
    mappings: Vec<Mapping>,
    layers: Vec<PerceiverLayer>,
    dtype: DType,
}

impl Description for IdFormer {
    type Config = IdFormerConfig;

    const TITLE: &'static str = "PuLID v1.1 or PuLID for FLUX";

    const FIXED_SIZE: bool = true;

    fn infer(shapes: &Shapes) -> Result<IdFormerConfig> {
        let [_, tokens, width] = shapes.dims("latents")?;
        let [_, token_width] = shapes.dims("proj_out")?;
        let (embedding_width, embedding_mapping_widths, rows) = sizes_of(shapes, "id_embedding_mapping")?;
        let (feature_width, mapping_widths, _) = sizes_of(shapes, "mapping_0")?;
        let [inner, _] = shapes.dims("layers.0.0.to_q.weight")?;
        let [inner_width, _] = shapes.dims("layers.0.1.1.weight")?;
        let multiple = |name: &str, rows: usize, of: usize, what: &str| match rows % of {
            0 => Ok(rows / of),
            _ => Err(Error::format(format!(
                "tensor {} has {rows} rows, which is no multiple of {what} {of}",
                shapes.quoted(name)
            ))),
        };
        let config = IdFormerConfig {
            embedding_width,
            embedding_mapping_widths,
            feature_width,
            levels: shapes.count(|level| format!("mapping_{level}.0.weight")),
            mapping_widths,
            width,
            depth: shapes.count(|d| format!("layers.{d}.0.to_q.weight")),
            heads: multiple("layers.0.0.to_q.weight", inner, HEAD_WIDTH, "the head width")?,
            head_width: HEAD_WIDTH,
            inner_width,
            id_tokens: multiple("id_embedding_mapping.6.weight", rows, width, "the width")?,
            tokens,
            token_width,
        };
        config.validate()?;
        Ok(config)
    }

    fn interface(config: &IdFormerConfig) -> Interface {
        let tokens = TokenCount::PerIdentity(config.tokens);
        let input = EncoderInput::HiddenStates;
        Interface {
            face: Some(face_of(config.embedding_width)),
            ..Interface::of_image(input, config.feature_width, tokens, config.token_width)
        }
    }

    fn detail(config: &IdFormerConfig) -> Option<(&'static str, String)> {
        let IdFormerConfig {
            width, heads, depth, ..
        } = config;
        Some(("IDFormer", format!("width {width}, {heads} heads, depth {depth}")))
    }

    fn build(config: &IdFormerConfig, weights: &Weights) -> Result<Self> {
        config.validate()?;
        let width = config.width;
        let start = Initial::Normal(1.0 / (width as f32).sqrt());
        let layer = |d: usize| {
            let (heads, head_width, inner) = (config.heads, config.head_width, config.inner_width);
            PerceiverLayer::build(width, heads, head_width, inner, &weights.pp("layers").pp(d))
        };
        let mapping = |level: usize| {
            let inner = config.mapping_widths;
            Mapping::build(
                config.feature_width,
                inner,
                width,
                &weights.pp(format!("mapping_{level}")),
            )
        };
        let id_embedding_mapping = Mapping::build(
            config.embedding_width,
            config.embedding_mapping_widths,
            config.id_tokens * width,
            &weights.pp("id_embedding_mapping"),
        )?;
        Ok(Self {
            config: config.clone(),
            latents: weights.parameter("latents", &[1, config.tokens, width], start.clone())?,
            proj_out: weights.parameter("proj_out", &[width, config.token_width], start)?,
            id_embedding_mapping,
            mappings: (0..config.levels).map(mapping).collect::<Result<_>>()?,
            layers: (0..config.depth).map(layer).collect::<Result<_>>()?,
            dtype: weights.activation_dtype(),
        })
    }

    fn config(&self) -> &IdFormerConfig {
        &self.config
    }
}

impl Network for IdFormer {
    fn encode_photo(&self, photo: &Features, settings: &EncodeSettings) -> Result<Tensor> {
        self.encode(std::slice::from_ref(photo), settings)
    }

    fn encode(&self, photos: &[Features], _: &EncodeSettings) -> Result<Tensor> {
        let config = &self.config;
        let embeddings: Vec<Tensor> = photos
            .iter()
            .map(|photo| Ok(photo.embedding()?.to_dtype(self.dtype)?))
            .collect::<Result<_>>()?;
        let levels: Vec<Vec<Tensor>> = photos
            .iter()
            .map(|photo| levels_of(photo.image()?, config.levels, config.feature_width))
            .collect::<Result<_>>()?;
        let identity = self.id_embedding_mapping.forward(&Tensor::stack(&embeddings, 0)?)?;
        let identity = identity.reshape((1, photos.len() * config.id_tokens, config.width))?;
        let mut latents = Tensor::cat(&[&self.latents, &identity], 1)?;
        let layers = self.layers.chunks(config.depth / config.levels);
        for (level, (mapping, layers)) in self.mappings.iter().zip(layers).enumerate() {
            let states: Vec<&Tensor> = levels.iter().filter_map(|photo| photo.get(level)).collect();
            let states = Tensor::cat(&states, 0)?.to_dtype(self.dtype)?;
            let features = mapping.forward(&states.unsqueeze(0)?)?;
            let context = Tensor::cat(&[&identity, &features], 1)?;
            for layer in layers {
                latents = layer.forward(&context, &latents)?;
            }
        }
        let tokens = latents.narrow(1, 0, config.tokens)?.squeeze(0)?.contiguous()?;
        Ok(tokens.matmul(&self.proj_out)?)
    }
}
