//! Identity encoders: from image features and face embeddings of a person's photos to identity tokens.
//!
//! Which one a checkpoint needs follows from its keys, never from its file name. Where two published models have the
//! same tensors, [`Variant`] tells them apart.
//!
//! | encoder | reads | tokens | several photos |
//! |---|---|---|---|
//! | [`OmniId`] | hidden state −2 | fixed number per identity | read together, in any order |
//! | [`Resampler`] (IP-Adapter Plus, Plus-Face) | hidden state −2 | fixed number per photo | concatenated |
//! | [`FullFace`] (IP-Adapter full-face) | hidden state −2 | one per feature token and photo | concatenated |
//! | [`Projection`] (base IP-Adapter, XLabs FLUX) | `image_embeds` | fixed number per photo | concatenated |
//! | [`FaceId`] (IP-Adapter FaceID, FaceID Portrait) | face embedding | fixed number per photo | concatenated |
//! | [`FaceIdPlus`] (FaceID-Plus, PlusV2) | face embedding, hidden state −2 | fixed number per photo | concatenated |
//! | [`InstantId`] | raw face embedding | fixed number per photo | concatenated |
//! | [`FaceIdPortraitUnnorm`] | raw face embeddings | fixed number per identity | read together |
//! | [`PulidV1`] (PuLID v1) | face and class embedding, five layers' hidden states | fixed number per photo | concatenated |
//! | [`IdFormer`] (PuLID v1.1, PuLID-FLUX) | the same | fixed number per identity | read together |
//! | [`TimeResampler`] (InstantX SD3.5) | hidden state −2, timestep | fixed number per photo | concatenated |
//! | [`WithAnyone`] | raw face embedding, last hidden state | fixed number per photo | concatenated |
//! | [`InstantXFlux`] | pooled image embedding | fixed number per photo | concatenated |

mod attention_maps;
mod block;
mod check;
mod embedding_mlp;
mod face_id;
mod face_id_plus;
mod face_resampler;
mod features;
mod full_face;
mod id_former;
mod instant_x;
mod kind;
mod omni_id;
mod omni_id_config;
mod omni_id_places;
mod perceiver;
mod projection;
mod pulid_mapping;
mod pulid_v1;
mod resampler;
mod time_resampler;
mod variant;
mod with_anyone;

pub use face_id::{FaceId, FaceIdConfig};
pub use face_id_plus::{FaceIdPlus, FaceIdPlusConfig};
pub use face_resampler::{FaceIdPortraitUnnorm, InstantId};
pub use features::{EncodeSettings, Features};
pub use full_face::{FullFace, FullFaceConfig};
pub use id_former::{IdFormer, IdFormerConfig};
pub use instant_x::{InstantXFlux, InstantXFluxConfig};
pub(crate) use kind::GraphInputs;
pub use kind::{EncoderInput, FaceInput, TokenCount};
pub use omni_id::OmniId;
pub use omni_id_config::OmniIdConfig;
pub use projection::{Projection, ProjectionConfig};
pub use pulid_v1::{PulidV1, PulidV1Config};
pub use resampler::{Resampler, ResamplerConfig};
pub use time_resampler::{TimeResampler, TimeResamplerConfig};
pub use variant::Variant;
pub use with_anyone::{WithAnyone, WithAnyoneConfig};

use crate::error::{Error, Result};
use crate::face_embedding::EmbeddingForm;
use crate::onnx::{Graph, Value};
use crate::tensor_file::Shapes;
use candle_core::{DType, Device, Tensor};
use kind::{Description, Interface, Network};
use omniid_kernels::layers::{TensorSpec, Weights};
use serde::{Deserialize, Serialize};

/// The types that know every kind, from one line per kind.
macro_rules! encoders {
    ($($(#[$doc:meta])* $kind:ident($config:ident) = $number:literal, $name:literal, $key:expr;)*) => {
        /// The kind of an identity encoder. Its number is the one of the C ABI.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum EncoderKind {
            $($(#[$doc])* #[serde(rename = $name)] $kind = $number,)*
        }

        impl EncoderKind {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// The name in files.
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => $name),* }
            }

            /// What a public file with this encoder is called.
            pub fn title(self) -> &'static str {
                match self { $(Self::$kind => $kind::TITLE),* }
            }

            /// Whether an identity has the same number of tokens however many photos it is made of.
            pub fn is_fixed_size(self) -> bool {
                match self { $(Self::$kind => $kind::FIXED_SIZE),* }
            }

            /// Whether [`Encoder::graph`] is there.
            pub(crate) fn has_graph(self) -> bool {
                match self { $(Self::$kind => $kind::HAS_GRAPH),* }
            }

            /// The tensor that tells a public file of this kind from those of the kinds after it.
            fn key(self) -> Option<&'static str> {
                match self { $(Self::$kind => $key),* }
            }

            fn recognises(self, shapes: &Shapes) -> bool {
                match self { $(Self::$kind => $kind::recognises(shapes)),* }
            }

            pub(crate) fn infer(self, shapes: &Shapes) -> Result<EncoderConfig> {
                match self { $(Self::$kind => $kind::infer(shapes).map(EncoderConfig::$kind)),* }
            }
        }

        /// Kind and sizes of an encoder, as stored in a native checkpoint's metadata.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        #[non_exhaustive]
        pub enum EncoderConfig {
            $($(#[$doc])* #[serde(rename = $name)] $kind($config),)*
        }

        impl EncoderConfig {
            /// The kind.
            pub fn kind(&self) -> EncoderKind {
                match self { $(Self::$kind(_) => EncoderKind::$kind),* }
            }

            fn interface(&self) -> Interface {
                match self { $(Self::$kind(config) => $kind::interface(config)),* }
            }

            /// What is special about the kind, as a title and a text.
            fn detail(&self) -> Option<(&'static str, String)> {
                match self { $(Self::$kind(config) => $kind::detail(config)),* }
            }
        }

        /// An identity encoder of any kind. Immutable; may be used from several threads at once.
        #[derive(Debug)]
        #[non_exhaustive]
        pub enum Encoder {
            $($(#[$doc])* $kind($kind),)*
        }

        impl Encoder {
            /// Reads an encoder.
            ///
            /// # Errors
            /// [`ErrorKind::Format`](crate::ErrorKind::Format) when the sizes are impossible, or a tensor is missing
            /// or has another shape.
            pub fn load<'a>(config: &EncoderConfig, weights: impl Into<Weights<'a>>) -> Result<Self> {
                Ok(match config { $(EncoderConfig::$kind(config) => Self::$kind($kind::load(config, weights)?)),* })
            }

            /// Kind and sizes.
            pub fn config(&self) -> EncoderConfig {
                match self { $(Self::$kind(encoder) => EncoderConfig::$kind(encoder.config().clone())),* }
            }

            fn network(&self) -> &dyn Network {
                match self { $(Self::$kind(encoder) => encoder),* }
            }
        }

        $(impl $kind {
            /// Reads the encoder. Variables stay differentiable.
            ///
            /// # Errors
            /// [`ErrorKind::Format`](crate::ErrorKind::Format) when the sizes are impossible, or a tensor is missing
            /// or has another shape.
            pub fn load<'a>(config: &$config, weights: impl Into<Weights<'a>>) -> Result<Self> {
                Self::build(config, &weights.into())
            }

            /// Every tensor of the encoder.
            ///
            /// # Errors
            /// [`ErrorKind::Format`](crate::ErrorKind::Format) when the sizes are impossible.
            pub fn tensors(config: &$config) -> Result<Vec<TensorSpec>> {
                Weights::list(|weights| Self::build(config, weights))
            }

            /// The sizes.
            pub fn config(&self) -> &$config {
                Description::config(self)
            }
        })*
    };
}

// Kind and configuration, number in the C ABI, name in files, and the tensor by which a public file is known. Lines
// are tried in this order.
encoders! {
    /// The native encoder: all photos at once, a fixed number of tokens.
    OmniId(OmniIdConfig) = 0, "omni_id", None;
    /// PuLID for SDXL, version 1.
    PulidV1(PulidV1Config) = 8, "pulid_v1", Some("mapping_patch_0.0.weight");
    /// PuLID for SDXL, version 1.1, and for FLUX: IDFormer.
    IdFormer(IdFormerConfig) = 9, "id_former", Some("id_embedding_mapping.0.weight");
    /// InstantX SD3.5, whose tokens depend on the timestep.
    TimeResampler(TimeResamplerConfig) = 10, "time_resampler", Some("time_embedding.linear_1.weight");
    /// WithAnyone for FLUX.
    WithAnyone(WithAnyoneConfig) = 11, "with_anyone", Some("siglip_in_sig.0.weight");
    /// InstantID.
    InstantId(ResamplerConfig) = 6, "instant_id", Some("latents");
    /// IP-Adapter FaceID Portrait (unnorm), which has all tensors of InstantID.
    FaceIdPortraitUnnorm(ResamplerConfig) = 7, "face_id_portrait_unnorm", None;
    /// IP-Adapter Plus and Plus-Face.
    Resampler(ResamplerConfig) = 1, "resampler", Some("latents");
    /// IP-Adapter FaceID-Plus and PlusV2.
    FaceIdPlus(FaceIdPlusConfig) = 5, "face_id_plus", Some("perceiver_resampler.proj_in.weight");
    /// IP-Adapter full-face.
    FullFace(FullFaceConfig) = 2, "full_face", Some("proj.3.weight");
    /// Base IP-Adapter and XLabs FLUX.
    Projection(ProjectionConfig) = 3, "projection", Some("proj.weight");
    /// InstantX FLUX.
    InstantXFlux(InstantXFluxConfig) = 15, "instant_x_flux", Some("proj.2.weight");
    /// IP-Adapter FaceID and FaceID Portrait.
    FaceId(FaceIdConfig) = 4, "face_id", Some("proj.2.weight");
}

impl EncoderKind {
    /// The kind of a name in files.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

impl EncoderConfig {
    /// Finds kind and sizes of a public IP-Adapter projection by its tensors, whose names begin with `latents`,
    /// `proj.` and so on: a [`Checkpoint`](crate::checkpoint::Checkpoint), a view of a part of one, or its shapes.
    ///
    /// A native Omni-ID encoder is not found this way: its configuration stands in the checkpoint's metadata.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) when the keys are of no supported kind;
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) when tensors are missing or contradict each other.
    pub fn infer(shapes: impl Into<Shapes>) -> Result<Self> {
        let shapes = shapes.into();
        let keys = || EncoderKind::ALL.iter().filter_map(|kind| Some((*kind, kind.key()?)));
        if let Some((kind, _)) = keys().find(|(kind, key)| shapes.has(key) && kind.recognises(&shapes)) {
            return kind.infer(&shapes);
        }
        let known = keys().map(|(_, key)| format!("{key:?}")).collect::<Vec<_>>();
        let found = shapes.iter().next().map(|(name, _)| shapes.quoted(name));
        Err(Error::unsupported(format!(
            "no known projection: none of {} is there, the first tensor is {}",
            known.join(", "),
            found.unwrap_or_else(|| "missing".to_string())
        )))
    }

    /// What the encoder reads from the image encoder.
    pub fn input(&self) -> EncoderInput {
        self.interface().input
    }

    /// Width of the image features that the encoder reads.
    pub fn input_width(&self) -> usize {
        self.interface().input_width
    }

    /// The face embedding that the encoder reads, if it reads one.
    pub fn face(&self) -> Option<FaceInput> {
        self.interface().face
    }

    /// Whether [`EncodeSettings::shortcut_scale`] has an effect.
    pub fn has_shortcut(&self) -> bool {
        self.interface().shortcut
    }

    /// Whether the tokens depend on [`EncodeSettings::timestep`].
    pub fn needs_timestep(&self) -> bool {
        self.interface().timestep
    }

    /// How many tokens come out.
    pub fn tokens(&self) -> TokenCount {
        self.interface().tokens
    }

    /// Width of an identity token.
    pub fn token_width(&self) -> usize {
        self.interface().token_width
    }

    /// What a summary says about the encoder, as titles and texts.
    pub(crate) fn details(&self) -> Vec<(&'static str, String)> {
        let tokens = match self.tokens() {
            TokenCount::PerIdentity(tokens) => format!("{tokens} per identity"),
            TokenCount::PerPhoto(tokens) => format!("{tokens} per photo"),
            TokenCount::PerFeatureToken => "one per image token".to_string(),
        };
        let which = match self.input() {
            EncoderInput::Penultimate => "all patches",
            EncoderInput::ImageEmbeds => "pooled",
            EncoderInput::HiddenStates => "all patches of five layers",
            EncoderInput::LastHiddenState => "all patches of the last layer",
            EncoderInput::Nothing => "",
        };
        let mut details = vec![("tokens", tokens)];
        if self.input() != EncoderInput::Nothing {
            details.push(("image features", format!("{} wide, {which}", self.input_width())));
        }
        if let Some(face) = self.face() {
            let FaceInput { network, form, .. } = face;
            details.push(("face network", format!("{network}, {form} embedding")));
        }
        details.extend(self.detail());
        details
    }

    /// Every tensor of the encoder.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) when the sizes are impossible.
    pub fn tensors(&self) -> Result<Vec<TensorSpec>> {
        Weights::list(|weights| Encoder::load(self, weights))
    }
}

impl Encoder {
    /// The kind.
    pub fn kind(&self) -> EncoderKind {
        self.config().kind()
    }

    /// What the encoder reads from the image encoder.
    pub fn input(&self) -> EncoderInput {
        self.config().input()
    }

    /// Width of the image features that the encoder reads.
    pub fn input_width(&self) -> usize {
        self.config().input_width()
    }

    /// The face embedding that the encoder reads, if it reads one.
    pub fn face(&self) -> Option<FaceInput> {
        self.config().face()
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
    /// Each photo brings what [`EncoderConfig::input`] and [`EncoderConfig::face`] ask for. Kinds that do not read
    /// all photos together concatenate their tokens in the order given.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for no photos, and for a photo without
    /// features or embedding that the encoder reads;
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when features have another shape, and for a normalised
    /// embedding where the raw one is needed.
    pub fn encode(&self, photos: &[Features]) -> Result<Tensor> {
        self.encode_with(photos, &EncodeSettings::default())
    }

    /// [`Encoder::encode`] at a denoising timestep, 0 to 1000, for encoders whose tokens depend on it.
    ///
    /// # Errors
    /// As [`Encoder::encode_with`].
    pub fn encode_at(&self, photos: &[Features], timestep: f32) -> Result<Tensor> {
        let settings = EncodeSettings {
            timestep: Some(timestep),
            ..EncodeSettings::default()
        };
        self.encode_with(photos, &settings)
    }

    /// [`Encoder::encode`] with settings.
    ///
    /// # Errors
    /// As [`Encoder::encode`]; [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for settings that are
    /// not finite or have no effect on this kind, and for a missing timestep.
    pub fn encode_with(&self, photos: &[Features], settings: &EncodeSettings) -> Result<Tensor> {
        if photos.is_empty() {
            return Err(Error::invalid(
                "an identity needs the features of at least one photo, got none",
            ));
        }
        let interface = self.config().interface();
        settings.check(&interface, self.kind())?;
        let checked = |photo: &Features| -> Result<Features> {
            if interface.input != EncoderInput::Nothing {
                photo.image()?;
            }
            let Some(face) = interface.face else {
                return Ok(photo.clone());
            };
            face.check(photo.embedding()?)?;
            photo.clone().in_form(face.form)
        };
        let photos = photos.iter().map(checked).collect::<Result<Vec<_>>>()?;
        self.network().encode(&photos, settings)
    }

    /// Tokens `[tokens, token width]` of features that are all zero.
    ///
    /// This is "no identity" of the base projection (a zero embedding **through** the projection, as the original,
    /// diffusers and ComfyUI do) and of the Resampler in stable-diffusion.cpp (zero hidden states).
    /// A face embedding that the encoder reads is zero too. `feature_tokens` is the number of feature tokens of one
    /// photo; encoders that read an image embedding or no image ignore it.
    ///
    /// # Errors
    /// As [`Encoder::encode`].
    pub fn encode_zeros(&self, feature_tokens: usize, device: &Device) -> Result<Tensor> {
        self.encode_zeros_with(feature_tokens, device, &EncodeSettings::default())
    }

    /// [`Encoder::encode_zeros`] with settings.
    ///
    /// # Errors
    /// As [`Encoder::encode_with`].
    pub fn encode_zeros_with(
        &self,
        feature_tokens: usize,
        device: &Device,
        settings: &EncodeSettings,
    ) -> Result<Tensor> {
        let interface = self.config().interface();
        let width = interface.input_width;
        let image = match interface.input {
            EncoderInput::Penultimate | EncoderInput::HiddenStates | EncoderInput::LastHiddenState => {
                Some(Tensor::zeros((feature_tokens, width), DType::F32, device)?)
            }
            EncoderInput::ImageEmbeds => Some(Tensor::zeros(width, DType::F32, device)?),
            EncoderInput::Nothing => None,
        };
        let zeros = |face: FaceInput| Tensor::zeros(face.dimension, DType::F32, device);
        let embedding = interface.face.map(zeros).transpose()?;
        let form = interface.face.map_or(EmbeddingForm::Raw, |face| face.form);
        self.encode_with(&[Features { image, embedding, form }], settings)
    }

    /// Tokens of one person in a graph, `[tokens, token width]`. The encoder must be made of placeholders.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) unless [`EncoderKind::has_graph`].
    pub(crate) fn graph(&self, graph: &mut Graph, inputs: &GraphInputs) -> Result<Value> {
        self.network().graph(graph, inputs)
    }

    /// The embedding of a denoising timestep, 0 to 1000, `[1, width]`, by which the layers of the host are modulated as
    /// well; `None` for encoders that do not depend on it.
    ///
    /// # Errors
    /// Those of the device.
    pub fn time_embedding(&self, timestep: f32) -> Result<Option<Tensor>> {
        self.network().time_embedding(timestep)
    }

    /// The mean identity `[tokens, token width]`: "no identity" for an Omni-ID encoder, and subtracted before two
    /// identities are compared. `None` where the checkpoint has none.
    pub fn token_mean(&self) -> Option<&Tensor> {
        self.network().token_mean()
    }
}

#[cfg(test)]
mod tests;
