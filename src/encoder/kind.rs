//! What a kind of encoder says about itself.

use crate::error::Result;
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
    /// Tokens `[tokens, token width]` of one photo, whose features are `[feature tokens, feature width]`.
    fn encode_photo(&self, features: &Tensor) -> Result<Tensor>;

    /// Tokens `[tokens, token width]` of the photos of one person; one after the other unless the kind reads them
    /// together.
    fn encode(&self, photos: &[Tensor]) -> Result<Tensor> {
        let tokens = photos
            .iter()
            .map(|photo| self.encode_photo(photo))
            .collect::<Result<Vec<_>>>()?;
        Ok(Tensor::cat(&tokens, 0)?)
    }

    /// The mean identity of the training data, `[tokens, token width]`, if there is one.
    fn token_mean(&self) -> Option<&Tensor> {
        None
    }
}

/// What goes into an encoder and what comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Interface {
    /// What it reads from the image encoder.
    pub input: EncoderInput,
    /// Width of what it reads.
    pub input_width: usize,
    /// How many tokens come out.
    pub tokens: TokenCount,
    /// Width of a token.
    pub token_width: usize,
}

/// What an encoder reads from the image encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EncoderInput {
    /// Hidden state −2, class token first: `[tokens, width]` per photo.
    Penultimate,
    /// The projected class token: `[projection]` per photo.
    ImageEmbeds,
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
