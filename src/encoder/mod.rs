//! Identity encoders: from image features of a person's photos to identity tokens.
//!
//! Which one a checkpoint needs follows from its keys, never from its file name.
//!
//! | encoder | reads | tokens | several photos |
//! |---|---|---|---|
//! | [`OmniId`] | hidden state −2 | fixed number per identity | read together, in any order |
//! | [`Resampler`] (IP-Adapter Plus, Plus-Face) | hidden state −2 | fixed number per photo | concatenated |
//! | [`FullFace`] (IP-Adapter full-face) | hidden state −2 | one per feature token and photo | concatenated |
//! | [`Projection`] (base IP-Adapter, XLabs FLUX) | `image_embeds` | fixed number per photo | concatenated |

mod attention_maps;
mod block;
mod full_face;
mod kind;
mod omni_id;
mod omni_id_config;
mod projection;
mod resampler;
mod tensors;

pub use full_face::{FullFace, FullFaceConfig};
pub use kind::{EncoderInput, EncoderKind, TokenCount};
pub use omni_id::OmniId;
pub use omni_id_config::OmniIdConfig;
pub use projection::{Projection, ProjectionConfig};
pub use resampler::{Resampler, ResamplerConfig};
pub use tensors::{full_face_tensors, omni_id_tensors, projection_tensors, resampler_tensors};

use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use omniid_kernels::layers::TensorSpec;
use serde::{Deserialize, Serialize};

/// Kind and sizes of an encoder, as stored in a native checkpoint's metadata.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EncoderConfig {
    /// The native encoder.
    OmniId(OmniIdConfig),
    /// IP-Adapter Plus and Plus-Face.
    Resampler(ResamplerConfig),
    /// IP-Adapter full-face.
    FullFace(FullFaceConfig),
    /// Base IP-Adapter, XLabs FLUX.
    Projection(ProjectionConfig),
}

impl EncoderConfig {
    /// Finds kind and sizes of a public IP-Adapter projection in `checkpoint`, whose names begin with `latents`,
    /// `proj.` and so on; a view of a part is fine. See [`EncoderConfig::infer_shapes`].
    ///
    /// # Errors
    /// As [`EncoderConfig::infer_shapes`].
    pub fn infer(checkpoint: &Checkpoint) -> Result<Self> {
        Self::infer_shapes(&|name| checkpoint.shape(name).map(<[usize]>::to_vec), "")
    }

    /// Finds kind and sizes of a public IP-Adapter projection by its tensors.
    ///
    /// `shape` gives a tensor's dimensions by full name, `None` if the file does not hold it; names begin with
    /// `prefix` (`image_proj`, `ip_adapter_proj_model`). A native Omni-ID encoder is not found this way: its
    /// configuration stands in the checkpoint's metadata.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) when the keys are of no supported kind;
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) when tensors are missing or contradict each other.
    pub fn infer_shapes(shape: &dyn Fn(&str) -> Option<Vec<usize>>, prefix: &str) -> Result<Self> {
        let shapes = tensors::Shapes { shape, prefix };
        if shapes.has("perceiver_resampler.proj_in.weight") || shapes.has("time_embedding.linear_1.weight") {
            return Err(Error::unsupported(format!(
                "the projection under {prefix:?} is of the FaceID-Plus or SD3.5 family, which needs inputs besides \
                 image features; supported are base, full-face and Plus"
            )));
        }
        if shapes.has("latents") {
            return Ok(Self::Resampler(ResamplerConfig::infer(&shapes)?));
        }
        if shapes.has("proj.3.weight") {
            return Ok(Self::FullFace(FullFaceConfig::infer(&shapes)?));
        }
        if shapes.has("proj.weight") {
            return Ok(Self::Projection(ProjectionConfig::infer(&shapes)?));
        }
        Err(Error::unsupported(format!(
            "no known projection under {prefix:?}: none of latents, proj.3.weight and proj.weight is there"
        )))
    }

    /// The kind.
    pub fn kind(&self) -> EncoderKind {
        match self {
            Self::OmniId(_) => EncoderKind::OmniId,
            Self::Resampler(_) => EncoderKind::Resampler,
            Self::FullFace(_) => EncoderKind::FullFace,
            Self::Projection(_) => EncoderKind::Projection,
        }
    }

    /// What the encoder reads from the image encoder.
    pub fn input(&self) -> EncoderInput {
        self.kind().input()
    }

    /// Width of the image features that the encoder reads.
    pub fn input_width(&self) -> usize {
        match self {
            Self::OmniId(config) => config.feature_width,
            Self::Resampler(config) => config.feature_width,
            Self::FullFace(config) => config.feature_width,
            Self::Projection(config) => config.feature_width,
        }
    }

    /// Width of an identity token.
    pub fn token_width(&self) -> usize {
        match self {
            Self::OmniId(config) => config.token_width,
            Self::Resampler(config) => config.token_width,
            Self::FullFace(config) => config.token_width,
            Self::Projection(config) => config.token_width,
        }
    }

    /// How many tokens come out.
    pub fn tokens(&self) -> TokenCount {
        match self {
            Self::OmniId(config) => TokenCount::PerIdentity(config.queries),
            Self::Resampler(config) => TokenCount::PerPhoto(config.tokens),
            Self::FullFace(_) => TokenCount::PerFeatureToken,
            Self::Projection(config) => TokenCount::PerPhoto(config.tokens),
        }
    }

    /// Every tensor of the encoder with its start for training.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) when the sizes are impossible.
    pub fn tensors(&self) -> Result<Vec<TensorSpec>> {
        match self {
            Self::OmniId(config) => omni_id_tensors(config),
            Self::Resampler(config) => Ok(resampler_tensors(config)),
            Self::FullFace(config) => Ok(full_face_tensors(config)),
            Self::Projection(config) => Ok(projection_tensors(config)),
        }
    }
}

/// An identity encoder of any kind. Immutable; may be used from several threads at once.
pub enum Encoder {
    /// The native encoder.
    OmniId(OmniId),
    /// IP-Adapter Plus and Plus-Face.
    Resampler(Resampler),
    /// IP-Adapter full-face.
    FullFace(FullFace),
    /// Base IP-Adapter, XLabs FLUX.
    Projection(Projection),
}

impl Encoder {
    /// Reads an encoder whose keys begin at the prefix of `vb`.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) when a tensor is missing or has another shape.
    pub fn load(config: &EncoderConfig, vb: VarBuilder) -> Result<Self> {
        Ok(match config {
            EncoderConfig::OmniId(config) => Self::OmniId(OmniId::load(config, vb)?),
            EncoderConfig::Resampler(config) => Self::Resampler(Resampler::load(config, vb)?),
            EncoderConfig::FullFace(config) => Self::FullFace(FullFace::load(config, vb)?),
            EncoderConfig::Projection(config) => Self::Projection(Projection::load(config, vb)?),
        })
    }

    /// Kind and sizes.
    pub fn config(&self) -> EncoderConfig {
        match self {
            Self::OmniId(encoder) => EncoderConfig::OmniId(encoder.config().clone()),
            Self::Resampler(encoder) => EncoderConfig::Resampler(encoder.config().clone()),
            Self::FullFace(encoder) => EncoderConfig::FullFace(encoder.config().clone()),
            Self::Projection(encoder) => EncoderConfig::Projection(encoder.config().clone()),
        }
    }

    /// The kind.
    pub fn kind(&self) -> EncoderKind {
        self.config().kind()
    }

    /// What the encoder reads from the image encoder.
    pub fn input(&self) -> EncoderInput {
        self.kind().input()
    }

    /// Width of the image features that the encoder reads.
    pub fn input_width(&self) -> usize {
        self.config().input_width()
    }

    /// How many tokens come out.
    pub fn tokens(&self) -> TokenCount {
        self.config().tokens()
    }

    /// Width of an identity token.
    pub fn token_width(&self) -> usize {
        self.config().token_width()
    }

    /// Identity tokens `[tokens, token width]` from the features of one person's photos.
    ///
    /// Features are `[feature tokens, feature width]` per photo for [`EncoderInput::Penultimate`], and
    /// `[feature width]` or `[1, feature width]` for [`EncoderInput::ImageEmbeds`]. Kinds other than Omni-ID concatenate the tokens of the
    /// photos in the order given.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for no photos;
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when features have another shape.
    pub fn encode(&self, features: &[Tensor]) -> Result<Tensor> {
        if features.is_empty() {
            return Err(Error::invalid(
                "an identity needs the features of at least one photo, got none",
            ));
        }
        let per_photo = |photo: &Tensor| -> Result<Tensor> {
            let tokens = match self {
                Self::OmniId(encoder) => encoder.forward(std::slice::from_ref(photo))?.unsqueeze(0)?,
                Self::Resampler(encoder) => encoder.forward(&photo.unsqueeze(0)?)?,
                Self::FullFace(encoder) => encoder.forward(&photo.unsqueeze(0)?)?,
                Self::Projection(encoder) if photo.rank() == 1 => encoder.forward(&photo.unsqueeze(0)?)?,
                Self::Projection(encoder) => encoder.forward(photo)?,
            };
            let (photos, count, width) = tokens.dims3()?;
            Ok(tokens.reshape((photos * count, width))?)
        };
        if let Self::OmniId(encoder) = self {
            return encoder.forward(features);
        }
        let tokens = features.iter().map(per_photo).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::cat(&tokens, 0)?)
    }

    /// Tokens `[tokens, token width]` of features that are all zero.
    ///
    /// This is "no identity" of the base projection (a zero embedding **through** the projection, as the original,
    /// diffusers and ComfyUI do) and of the Resampler in stable-diffusion.cpp (zero hidden states).
    /// `feature_tokens` is the number of feature tokens of one photo; a base projection ignores it.
    ///
    /// # Errors
    /// As [`Encoder::encode`].
    pub fn encode_zeros(&self, feature_tokens: usize, device: &Device) -> Result<Tensor> {
        let config = self.config();
        let width = config.input_width();
        let zeros = match config.input() {
            EncoderInput::Penultimate => Tensor::zeros((feature_tokens, width), DType::F32, device)?,
            EncoderInput::ImageEmbeds => Tensor::zeros(width, DType::F32, device)?,
        };
        self.encode(&[zeros])
    }

    /// The mean identity `[tokens, token width]`: "no identity" for an Omni-ID encoder, and subtracted before two
    /// identities are compared. `None` where the checkpoint has none.
    pub fn token_mean(&self) -> Option<&Tensor> {
        match self {
            Self::OmniId(encoder) => encoder.token_mean(),
            _ => None,
        }
    }
}

/// Features of a batch must be `[batch, tokens, width]`.
fn check_features(features: &Tensor, width: usize, encoder: &str) -> Result<()> {
    match *features.dims() {
        [batch, tokens, last] if batch > 0 && tokens > 0 && last == width => Ok(()),
        _ => Err(Error::mismatch(format!(
            "the {encoder} encoder takes features of shape [photos, tokens, {width}], got {:?}",
            features.dims()
        ))),
    }
}

/// Sizes from files must be positive and far from overflow.
fn check_sizes(encoder: &str, sizes: &[(&str, usize)]) -> Result<()> {
    const MOST: usize = 1 << 20;
    for (name, size) in sizes {
        if *size == 0 || *size > MOST {
            return Err(Error::format(format!(
                "{name} of the {encoder} encoder is {size}; it must be 1 to {MOST}"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "encoder_tests.rs"]
mod encoder_tests;
