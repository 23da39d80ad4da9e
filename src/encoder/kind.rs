//! What a kind of encoder says about itself.

use super::{EncodeSettings, Features};
use crate::error::{Error, Result};
use crate::face_embedding::{EmbeddingForm, FaceArchitecture};
use crate::onnx::{Graph, Value};
use crate::tensor_file::Shapes;
use candle_core::Tensor;
use omniid_kernels::layers::Weights;

/// The description of one kind of encoder. Everything else in the library works from it.
pub(super) trait Description: Network + Sized {
    /// The sizes.
    type Config: Clone;

    /// What a public file with this encoder is called.
    const TITLE: &'static str;

    /// Whether an identity has the same number of tokens however many photos it is made of.
    const FIXED_SIZE: bool = false;

    /// Whether [`Network::graph`] is there.
    const HAS_GRAPH: bool = false;

    /// Whether a public file that has the kind's key is of this kind: for kinds whose key others have too.
    fn recognises(_: &Shapes) -> bool {
        true
    }

    /// Reads the sizes off the tensors of a public file.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) when tensors are missing or contradict each other.
    fn infer(shapes: &Shapes) -> Result<Self::Config>;

    /// What goes in and what comes out.
    fn interface(config: &Self::Config) -> Interface;

    /// What a summary says besides, as a title and a text.
    fn detail(_: &Self::Config) -> Option<(&'static str, String)> {
        None
    }

    /// Takes every tensor from `weights`: names, shapes and initialisation stand here and nowhere else.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) when the sizes are impossible, or a tensor is missing or has
    /// another shape.
    fn build(config: &Self::Config, weights: &Weights) -> Result<Self>;

    /// The sizes that it was built with.
    fn config(&self) -> &Self::Config;
}

/// An encoder at work.
pub(super) trait Network {
    /// Tokens `[tokens, token width]` of one photo, which brings what the [`Interface`] asks for, the embedding in the
    /// form that it says.
    fn encode_photo(&self, photo: &Features, settings: &EncodeSettings) -> Result<Tensor>;

    /// Tokens `[tokens, token width]` of the photos of one person; one after the other unless the kind reads them
    /// together.
    fn encode(&self, photos: &[Features], settings: &EncodeSettings) -> Result<Tensor> {
        let tokens = photos
            .iter()
            .map(|photo| self.encode_photo(photo, settings))
            .collect::<Result<Vec<_>>>()?;
        Ok(Tensor::cat(&tokens, 0)?)
    }

    /// Tokens of one person in a graph, `[tokens, token width]` as [`Network::encode`] gives them with the default
    /// settings.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for kinds without [`Description::HAS_GRAPH`].
    fn graph(&self, _: &mut Graph, _: &GraphInputs) -> Result<Value> {
        Err(Error::unsupported("this kind of encoder has no graph"))
    }

    /// The embedding of a denoising timestep, `[1, width]`, by which the host's layers are modulated too.
    fn time_embedding(&self, _timestep: f32) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// The mean identity of the training data, `[tokens, token width]`, if there is one.
    fn token_mean(&self) -> Option<&Tensor> {
        None
    }
}

/// What an encoder reads in a graph, of all photos.
#[derive(Debug, Default)]
pub(crate) struct GraphInputs {
    /// `[photos, feature tokens, feature width]`, or `[photos, feature width]` of pooled features.
    pub image: Option<Value>,
    /// `[photos, dimension]`, in the form that the [`Interface`] says.
    pub embedding: Option<Value>,
}

impl GraphInputs {
    pub(super) fn image(&self) -> Result<&Value> {
        self.image
            .as_ref()
            .ok_or_else(|| Error::internal("a graph without image features"))
    }

    pub(super) fn embedding(&self) -> Result<&Value> {
        self.embedding
            .as_ref()
            .ok_or_else(|| Error::internal("a graph without face embeddings"))
    }
}

/// What goes into an encoder and what comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Interface {
    /// What it reads from the image encoder.
    pub input: EncoderInput,
    /// Width of what it reads; 0 for [`EncoderInput::Nothing`].
    pub input_width: usize,
    /// The face embedding that it reads, if it reads one.
    pub face: Option<FaceInput>,
    /// Whether [`EncodeSettings::shortcut_scale`] has an effect.
    pub shortcut: bool,
    /// Whether the tokens depend on [`EncodeSettings::timestep`].
    pub timestep: bool,
    /// How many tokens come out.
    pub tokens: TokenCount,
    /// Width of a token.
    pub token_width: usize,
}

impl Interface {
    /// The interface of an encoder that reads an image encoder and nothing else.
    pub(super) fn of_image(input: EncoderInput, input_width: usize, tokens: TokenCount, token_width: usize) -> Self {
        Self {
            input,
            input_width,
            face: None,
            shortcut: false,
            timestep: false,
            tokens,
            token_width,
        }
    }

    /// The interface of an encoder that reads a face embedding and nothing else.
    pub(super) fn of_face(face: FaceInput, tokens: TokenCount, token_width: usize) -> Self {
        Self {
            face: Some(face),
            ..Self::of_image(EncoderInput::Nothing, 0, tokens, token_width)
        }
    }
}

/// What an encoder reads from the image encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EncoderInput {
    /// Hidden state −2, class token first: `[tokens, width]` per photo.
    Penultimate,
    /// The projected class token: `[projection]` per photo.
    ImageEmbeds,
    /// The inputs of blocks 4, 8, 12, 16 and 20 of PuLID's EVA02-CLIP-L/14-336, one after the other, each with its class
    /// token first: `[5 · tokens, width]` per photo. The L2-normalised class embedding of the last layer follows the
    /// face embedding, see [`FaceInput::dimension`].
    HiddenStates,
    /// The output of the last block after the norm that follows it, `last_hidden_state` of SigLIP: `[tokens, width]` per
    /// photo.
    LastHiddenState,
    /// Nothing: the encoder reads a face embedding only.
    Nothing,
}

/// The face embedding that an encoder reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FaceInput {
    /// Values of [`Features::embedding`]. For [`EncoderInput::HiddenStates`] the raw embedding and the class embedding
    /// of the image encoder, one after the other: 512 + 768 = 1280 for PuLID.
    pub dimension: usize,
    /// The form that the encoder was trained on, and in which its network gets it.
    pub form: EmbeddingForm,
    /// The architecture of the network that the encoder was trained with.
    pub network: FaceArchitecture,
}

impl FaceInput {
    /// Fails unless `embedding` is `[dimension]`.
    pub(super) fn check(&self, embedding: &Tensor) -> Result<()> {
        match *embedding.dims() {
            [dimension] if dimension == self.dimension => Ok(()),
            _ => Err(Error::mismatch(format!(
                "the identity encoder takes a face embedding of shape [{}], got {:?}",
                self.dimension,
                embedding.dims()
            ))),
        }
    }
}

impl EncodeSettings {
    /// Fails for settings that are not finite or do nothing to an encoder of this kind.
    pub(super) fn check(&self, interface: &Interface, kind: super::EncoderKind) -> Result<()> {
        let no_effect = |what: &str| {
            Err(Error::invalid(format!(
                "{what} has no effect on the {} encoder",
                kind.name()
            )))
        };
        if !self.shortcut_scale.is_finite() {
            return Err(Error::invalid(format!(
                "shortcut scale {}, expected a finite number",
                self.shortcut_scale
            )));
        }
        if self.shortcut_scale != 1.0 && !interface.shortcut {
            return no_effect(&format!("shortcut scale {}", self.shortcut_scale));
        }
        match self.timestep {
            None if interface.timestep => Err(Error::invalid(format!(
                "tokens of the {} encoder depend on the denoising timestep, got none",
                kind.name()
            ))),
            Some(timestep) if !interface.timestep => no_effect(&format!("timestep {timestep}")),
            Some(timestep) if !timestep.is_finite() => {
                Err(Error::invalid(format!("timestep {timestep}, expected a finite number")))
            }
            _ => Ok(()),
        }
    }
}

/// How many tokens come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenCount {
    /// This many for an identity, however many photos there are.
    PerIdentity(usize),
    /// This many for each photo.
    PerPhoto(usize),
    /// As many as the image encoder gives, for each photo.
    PerFeatureToken,
}

impl TokenCount {
    /// The number of tokens for `photos` photos of `feature_tokens` feature tokens each.
    pub fn of(self, photos: usize, feature_tokens: usize) -> usize {
        match self {
            TokenCount::PerIdentity(tokens) => tokens,
            TokenCount::PerPhoto(tokens) => tokens.saturating_mul(photos),
            TokenCount::PerFeatureToken => feature_tokens.saturating_mul(photos),
        }
    }
}
