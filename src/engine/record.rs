//! What the networks make of one photo.

use super::Engine;
use crate::encoder::{EncoderInput, Features};
use crate::error::{Error, Result};
use crate::face_embedding::{EmbeddingForm, FaceEmbedding};
use crate::identity::{Combine, Kept};
use candle_core::{Device, Tensor};

/// What the networks make of one photo: what the identity encoder reads, and what an identity may keep.
#[derive(Debug, Clone, Default)]
pub(super) struct PhotoRecord {
    /// `[feature tokens, feature width]` of the image encoder.
    pub(super) image: Option<Tensor>,
    /// `[1, width]`: the class embedding of an image encoder that is read at several layers.
    pub(super) class_embedding: Option<Tensor>,
    /// The face embedding.
    pub(super) embedding: Option<FaceEmbedding>,
}

impl PhotoRecord {
    /// Features of an image encoder alone.
    pub(super) fn of_image(image: Tensor) -> Self {
        Self {
            image: Some(image),
            ..Self::default()
        }
    }

    /// The records of `photos` photos of which an identity kept something.
    pub(super) fn of_kept(kept: &Kept, photos: usize) -> Vec<Self> {
        let record = |index: usize| Self {
            image: kept.features.get(index).cloned(),
            class_embedding: kept.class_embeddings.get(index).cloned(),
            embedding: kept.embeddings.get(index).cloned().flatten(),
        };
        (0..photos).map(record).collect()
    }

    /// What an identity keeps of its photos. With `image`, the features of the image encoder too.
    pub(super) fn keep(records: &[Self], image: bool) -> Kept {
        let all = |part: fn(&Self) -> &Option<Tensor>| -> Vec<Tensor> {
            let tensors: Option<Vec<Tensor>> = records.iter().map(|record| part(record).clone()).collect();
            tensors.filter(|_| image).unwrap_or_default()
        };
        Kept {
            features: all(|record| &record.image),
            class_embeddings: all(|record| &record.class_embedding),
            embeddings: records.iter().map(|record| record.embedding.clone()).collect(),
        }
    }
}

impl Engine {
    /// What the identity encoder reads of a photo, on the engine's device.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) for a normalised embedding where the raw one is needed;
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) for a record without what the encoder reads.
    pub(super) fn features_of(&self, record: &PhotoRecord) -> Result<Features> {
        let encoder = &self.inner.encoder;
        let image = match encoder.input() {
            EncoderInput::Nothing => None,
            _ => record.image.as_ref().map(|image| self.place(image)).transpose()?,
        };
        let mut features = Features {
            image,
            ..Features::default()
        };
        let Some(face) = encoder.face() else {
            return Ok(features);
        };
        let embedding = record
            .embedding
            .as_ref()
            .ok_or_else(|| Error::internal("a photo without its face embedding"))?;
        let values = Tensor::from_slice(embedding.values(), embedding.dimension(), &Device::Cpu)?;
        features.form = embedding.form();
        let mut parts = vec![self.place(&values)?];
        if let Some(class) = &record.class_embedding {
            // Only the face's part has a form; the class embedding has length 1 as the image encoder gives it.
            embedding.raw()?;
            parts.push(self.place(&class.flatten_all()?)?);
        }
        features.embedding = Some(Tensor::cat(&parts, 0)?);
        features.in_form(face.form)
    }

    /// One photo of several.
    pub(super) fn combined(&self, photos: &[Features], combine: Combine) -> Result<Features> {
        let all = |part: fn(&Features) -> &Option<Tensor>| -> Result<Option<Tensor>> {
            let tensors: Option<Vec<Tensor>> = photos.iter().map(|photo| part(photo).clone()).collect();
            tensors.map(|tensors| combine.apply(&tensors)).transpose()
        };
        Ok(Features {
            image: all(|photo| &photo.image)?,
            embedding: all(|photo| &photo.embedding)?,
            form: photos.first().map_or(EmbeddingForm::Raw, |photo| photo.form),
        })
    }
}
