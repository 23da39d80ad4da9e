//! A person's identity: a fixed set of tokens, where they came from, and how to keep them.
//!
//! An [`Identity`] is what the encoder makes of one person's photos. It lives in host memory in f32, is
//! immutable, and can be shared between threads. [`mod@file`] stores it without pickle, [`similarity`] compares two.

mod combine;
pub mod file;
mod kept;
pub mod similarity;

pub use combine::Combine;
pub use kept::{Kept, Making};

use crate::encoder::EncoderKind;
use crate::error::{Error, Result};
use crate::face_embedding::FaceEmbedding;
use candle_core::{DType, Device, Storage, Tensor};
use std::time::{Duration, SystemTime};

/// What is known about an identity besides its numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Provenance {
    /// Fingerprint of the backbone and encoder that made it; see [`crate::tensor_file::Checkpoint::fingerprint`].
    pub model: String,
    /// Photos that went in.
    pub photos: usize,
    /// A display name. Empty if none was given.
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
#[derive(Debug, Clone)]
pub struct Identity {
    kind: EncoderKind,
    tokens: usize,
    width: usize,
    values: Vec<f32>,
    kept: Kept,
    making: Making,
    provenance: Provenance,
}

/// Equal when every number and all that is known is equal.
impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        let same = |a: &Tensor, b: &Tensor| {
            a.dims() == b.dims()
                && with_values(a, |a| with_values(b, |b| a == b))
                    .flatten()
                    .unwrap_or(false)
        };
        let same_all = |a: &[Tensor], b: &[Tensor]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b));
        let all = |a: &Self| (a.kind, a.tokens, a.width, a.making);
        all(self) == all(other)
            && self.provenance == other.provenance
            && self.values == other.values
            && self.kept.embeddings == other.kept.embeddings
            && same_all(&self.kept.features, &other.kept.features)
            && same_all(&self.kept.class_embeddings, &other.kept.class_embeddings)
    }
}

impl Identity {
    /// Puts an identity together: the tokens as `values` `[tokens, width]` row by row, and each photo's features
    /// `[feature tokens, feature width]`, or none. Features are kept in host memory as f32.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) when the numbers do not fill
    /// `[tokens, width]`, are not finite, or the features do not belong to the photos.
    pub fn new(
        kind: EncoderKind,
        shape: [usize; 2],
        values: Vec<f32>,
        features: Vec<Tensor>,
        provenance: Provenance,
    ) -> Result<Self> {
        let kept = Kept {
            features,
            ..Kept::default()
        };
        Self::with_kept(kind, shape, values, kept, Making::default(), provenance)
    }

    /// [`Identity::new`] with everything that may be kept of the photos, and how they were made into an identity.
    ///
    /// # Errors
    /// As [`Identity::new`].
    pub fn with_kept(
        kind: EncoderKind,
        [tokens, width]: [usize; 2],
        values: Vec<f32>,
        kept: Kept,
        making: Making,
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
        if !making.shortcut_scale.is_finite() {
            return Err(Error::invalid(format!(
                "identity: shortcut scale {}, expected a finite number",
                making.shortcut_scale
            )));
        }
        let identity = Self {
            kind,
            tokens,
            width,
            values,
            kept: kept.checked(provenance.photos)?,
            making,
            provenance,
        };
        if tokens % identity.groups() != 0 {
            return Err(Error::invalid(format!(
                "identity: {tokens} tokens cannot be divided among {} photos",
                identity.provenance.photos
            )));
        }
        Ok(identity)
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

    /// Features of each photo as the image encoder gave them, in the order of the photos: `[tokens, width]`, the class
    /// token first or 1 pooled embedding, f32 in host memory. Empty when they were not kept.
    ///
    /// With them photos can be added later at the price of one backbone pass each.
    pub fn features(&self) -> &[Tensor] {
        &self.kept.features
    }

    /// Face embeddings of each photo, in the order of the photos; `None` for a photo of which there is none. Empty when
    /// none were kept.
    pub fn embeddings(&self) -> &[Option<FaceEmbedding>] {
        &self.kept.embeddings
    }

    /// Everything that is kept of the photos.
    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    /// How the photos were made into the identity.
    pub fn making(&self) -> Making {
        self.making
    }

    /// Groups of tokens: one for each photo, or one for all.
    pub(crate) fn groups(&self) -> usize {
        match self.kind.is_fixed_size() || self.making.combine != Combine::Concatenate {
            true => 1,
            false => self.provenance.photos,
        }
    }

    /// Where it came from.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// The same identity without the photos' features and face embeddings: smaller, cannot be extended by models that
    /// read all photos at once, nor compared by a face recognition network.
    pub fn without_features(mut self) -> Self {
        self.kept = Kept::default();
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
            "{} was made by model {}, but this engine holds model {fingerprint}: encode the photos again \
             with this model",
            self.title(),
            self.provenance.model
        )))
    }

    /// What to call the identity in messages.
    pub(crate) fn title(&self) -> String {
        match self.provenance.label.as_str() {
            "" => "the identity (it has no label)".to_string(),
            label => format!("identity {label:?}"),
        }
    }
}

/// One photo's features in host memory, as f32 without gaps.
fn check_features(photo: Tensor) -> Result<Tensor> {
    if photo.rank() != 2 || photo.elem_count() == 0 {
        return Err(Error::invalid(format!(
            "shape {:?}, expected [tokens, width] with values",
            photo.dims()
        )));
    }
    let photo = photo.to_dtype(DType::F32)?.to_device(&Device::Cpu)?.contiguous()?;
    if with_values(&photo, |values| values.iter().any(|value| !value.is_finite()))? {
        return Err(Error::invalid("holds values that are not finite"));
    }
    Ok(photo)
}

/// Hands the values of features, which [`check_features`] made, to `look`.
fn with_values<T>(features: &Tensor, look: impl FnOnce(&[f32]) -> T) -> Result<T> {
    let (storage, layout) = features.storage_and_layout();
    let values = match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(storage), Some((first, last))) => storage.as_slice::<f32>()?.get(first..last),
        _ => None,
    };
    values
        .map(look)
        .ok_or_else(|| Error::internal("features of a photo are not contiguous in host memory"))
}

/// The present moment as RFC 3339 text in UTC, to the second.
pub(crate) fn now() -> String {
    rfc3339(SystemTime::now())
}

/// Times before 1970 become 1970, those after 9999 the end of that year: the text has four digits for it.
fn rfc3339(time: SystemTime) -> String {
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_seconds(time.clamp(SystemTime::UNIX_EPOCH, last)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        // Independent source: `date -u -d @N +%FT%TZ`.
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (1_000_000_000, "2001-09-09T01:46:40Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (300_000_000_000, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }
}
