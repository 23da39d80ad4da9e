//! What an identity keeps of its photos, and how they were made into one.

use super::{check_features, Combine};
use crate::error::{Error, Result};
use crate::face_embedding::FaceEmbedding;
use candle_core::Tensor;

/// What is kept of the photos, each for all of them or for none.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// Features of the image encoder, `[feature tokens, feature width]` per photo.
    pub features: Vec<Tensor>,
    /// Class embeddings `[1, width]` of an image encoder that is read at several layers, per photo.
    pub class_embeddings: Vec<Tensor>,
    /// Face embeddings per photo; `None` for a photo of which there is none.
    pub embeddings: Vec<Option<FaceEmbedding>>,
}

/// How photos were made into an identity, as far as its tokens depend on it.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Making {
    /// How several photos were combined.
    pub combine: Combine,
    /// Weight of the image features beside the face embedding, see
    /// [`EncodeOptions::shortcut_scale`](crate::engine::EncodeOptions::shortcut_scale).
    pub shortcut_scale: f32,
}

impl Default for Making {
    fn default() -> Self {
        Self {
            combine: Combine::Concatenate,
            shortcut_scale: 1.0,
        }
    }
}

impl Kept {
    /// Features in host memory as f32 without gaps.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) when something does not belong to `photos`
    /// photos, has a wrong shape or is not finite.
    pub(super) fn checked(self, photos: usize) -> Result<Self> {
        for (what, count) in [
            ("features", self.features.len()),
            ("class embeddings", self.class_embeddings.len()),
            ("face embeddings", self.embeddings.len()),
        ] {
            if count != 0 && count != photos {
                return Err(Error::invalid(format!(
                    "identity: {what} of {count} photos, but made of {photos} photos"
                )));
            }
        }
        let checked = |tensors: Vec<Tensor>, name: &str| {
            tensors
                .into_iter()
                .enumerate()
                .map(|(index, photo)| {
                    check_features(photo).map_err(|error| error.context(format!("identity: {name}.{index}")))
                })
                .collect::<Result<Vec<_>>>()
        };
        // None of any photo is the same as nothing kept.
        let any = self.embeddings.iter().any(Option::is_some);
        Ok(Self {
            features: checked(self.features, "features")?,
            class_embeddings: checked(self.class_embeddings, "class_embedding")?,
            embeddings: if any { self.embeddings } else { Vec::new() },
        })
    }
}

impl Making {
    /// Whether the identity is one of the time before combining and shortcuts.
    pub(super) fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}
