//! What distinguishes the encoders for their users.

use serde::{Deserialize, Serialize};

/// The kind of an identity encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EncoderKind {
    /// The native encoder: all photos at once, a fixed number of tokens.
    OmniId,
    /// IP-Adapter Plus and Plus-Face.
    Resampler,
    /// IP-Adapter full-face.
    FullFace,
    /// Base IP-Adapter and XLabs FLUX.
    Projection,
}

impl EncoderKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::OmniId, Self::Resampler, Self::FullFace, Self::Projection];

    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::OmniId => "omni_id",
            Self::Resampler => "resampler",
            Self::FullFace => "full_face",
            Self::Projection => "projection",
        }
    }

    /// The kind of a name in files.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// What the encoder reads from the image encoder.
    pub fn input(self) -> EncoderInput {
        match self {
            Self::Projection => EncoderInput::ImageEmbeds,
            _ => EncoderInput::Penultimate,
        }
    }

    /// Whether an identity has the same number of tokens however many photos it is made of.
    pub fn is_fixed_size(self) -> bool {
        self == Self::OmniId
    }
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
