//! A person's identity: a fixed set of tokens, where they came from, and how to keep them.
//!
//! An [`Identity`] is what the encoder makes of one person's photos. It lives in host memory in f32, is
//! immutable, and can be shared between threads. [`mod@file`] stores it without pickle, [`similarity`] compares two.

pub mod file;
pub mod similarity;
mod time;

/// The present moment as RFC 3339 text, in UTC.
pub(crate) fn now() -> String {
    time::rfc3339(std::time::SystemTime::now())
}

use crate::encoder::EncoderKind;
use crate::error::{Error, Result};

/// Features of one photo as the image encoder gave them: `[tokens, width]`, row by row.
///
/// Kept with an identity so that photos can be added later at the price of one backbone pass each.
#[derive(Debug, Clone, PartialEq)]
pub struct PhotoFeatures {
    /// Rows: patch tokens with the class token first, or 1 for pooled embeddings.
    pub tokens: usize,
    /// Width of a row.
    pub width: usize,
    /// `tokens × width` values.
    pub values: Vec<f32>,
}

/// What is known about an identity besides its numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Provenance {
    /// Fingerprint of the backbone and encoder that made it; see [`crate::tensor_file::Checkpoint::fingerprint`].
    pub model: String,
    /// Photos that went in.
    pub photos: usize,
    /// A name for people. Empty if none was given.
    pub label: String,
    /// When it was made: UTC, RFC 3339, to the second.
    pub created: String,
    /// What the person agreed to, in the words of whoever made the file. Empty if none was given.
    pub consent: String,
}

/// The identity tokens of one person.
///
/// Shape `[tokens, width]`. For an Omni-ID model `tokens` is fixed (256 in the paper) whatever the number of
/// photos; for IP-Adapter checkpoints every photo contributes its own group of tokens, one after the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    kind: EncoderKind,
    tokens: usize,
    width: usize,
    values: Vec<f32>,
    features: Vec<PhotoFeatures>,
    provenance: Provenance,
}

impl Identity {
    /// Puts an identity together.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) when the numbers do not fill
    /// `[tokens, width]`, are not finite, or the features do not belong to the photos.
    pub fn new(
        kind: EncoderKind,
        [tokens, width]: [usize; 2],
        values: Vec<f32>,
        features: Vec<PhotoFeatures>,
        provenance: Provenance,
    ) -> Result<Self> {
        let expected = tokens.checked_mul(width).filter(|&count| count > 0);
        if expected != Some(values.len()) {
            return Err(Error::invalid(format!(
                "identity tokens: shape [{tokens}, {width}] does not hold {} values",
                values.len()
            )));
        }
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            return Err(Error::invalid(format!(
                "identity tokens: value {} in token {}, column {} is not finite",
                values[index],
                index / width,
                index % width
            )));
        }
        if provenance.photos == 0 {
            return Err(Error::invalid("identity: made of 0 photos, expected at least 1"));
        }
        if !kind.is_fixed_size() && tokens % provenance.photos != 0 {
            return Err(Error::invalid(format!(
                "identity: {tokens} tokens cannot be divided among {} photos",
                provenance.photos
            )));
        }
        if !features.is_empty() && features.len() != provenance.photos {
            return Err(Error::invalid(format!(
                "identity: features of {} photos, but made of {} photos",
                features.len(),
                provenance.photos
            )));
        }
        for (index, photo) in features.iter().enumerate() {
            if photo.tokens.checked_mul(photo.width) != Some(photo.values.len()) || photo.values.is_empty() {
                return Err(Error::invalid(format!(
                    "identity: features.{index}: shape [{}, {}] does not hold {} values",
                    photo.tokens,
                    photo.width,
                    photo.values.len()
                )));
            }
            if photo.values.iter().any(|value| !value.is_finite()) {
                return Err(Error::invalid(format!(
                    "identity: features.{index} holds values that are not finite"
                )));
            }
        }
        Ok(Self {
            kind,
            tokens,
            width,
            values,
            features,
            provenance,
        })
    }

    /// The encoder that made it.
    pub fn kind(&self) -> EncoderKind {
        self.kind
    }

    /// Number of tokens, all photos together.
    pub fn token_count(&self) -> usize {
        self.tokens
    }

    /// Width of a token.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The tokens, `[token_count, width]` row by row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Features of each photo, in the order of the photos; empty when they were not kept.
    pub fn features(&self) -> &[PhotoFeatures] {
        &self.features
    }

    /// Where it came from.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// The same identity without the photos' features: smaller, cannot be extended by an Omni-ID model.
    pub fn without_features(mut self) -> Self {
        self.features.clear();
        self
    }

    /// The same identity under another label and consent note.
    pub fn with_notes(mut self, label: impl Into<String>, consent: impl Into<String>) -> Self {
        self.provenance.label = label.into();
        self.provenance.consent = consent.into();
        self
    }

    /// Fails unless the identity was made by the model with this fingerprint.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) with both fingerprints.
    pub fn check_model(&self, fingerprint: &str) -> Result<()> {
        if self.provenance.model == fingerprint {
            return Ok(());
        }
        Err(Error::mismatch(format!(
            "identity {:?} was made by model {}, but this engine holds model {fingerprint}: encode the photos again \
             with this model",
            self.provenance.label, self.provenance.model
        )))
    }
}
