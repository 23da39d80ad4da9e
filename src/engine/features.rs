//! Features of photos, and identities made of features: for hosts that run the image encoder themselves, and for
//! combining photos before the identity encoder sees them.

use super::encode::to_host;
use super::options::EncodeOptions;
use super::record::PhotoRecord;
use super::Engine;
use crate::encoder::EncoderInput;
use crate::error::{Error, Result};
use crate::face::PhotoReport;
use crate::identity::Identity;
use crate::photo::Photo;
use crate::progress::{self, ProgressFn};
use candle_core::{DType, Device, Tensor};

/// What the image encoder makes of photos, and what became of each photo.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PhotoFeatures {
    /// `[photos, feature tokens, feature width]` of the photos that could be used, f32 in host memory: the hidden states
    /// before the last layer, the class token first; for encoders that take an image embedding, that as one token.
    pub features: Tensor,
    /// One entry per photo handed in, in that order.
    pub photos: Vec<PhotoReport>,
}

impl Engine {
    /// Runs the image encoder on photos, without the identity encoder. [`Engine::identity_from_features`] makes an
    /// identity of the result: the two together are [`Engine::encode`].
    ///
    /// # Errors
    /// As [`Engine::encode`].
    pub fn photo_features<'p, P: Into<Photo<'p>>>(
        &self,
        photos: impl IntoIterator<Item = P>,
        options: &EncodeOptions,
    ) -> Result<PhotoFeatures> {
        self.photo_features_with_progress(photos, options, &mut progress::ignore)
    }

    /// [`Engine::photo_features`], with a callback that is told about each photo and can cancel between two.
    ///
    /// # Errors
    /// As [`Engine::encode`]; [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled).
    pub fn photo_features_with_progress<'p, P: Into<Photo<'p>>>(
        &self,
        photos: impl IntoIterator<Item = P>,
        options: &EncodeOptions,
        progress: ProgressFn<'_>,
    ) -> Result<PhotoFeatures> {
        let photos: Vec<Photo<'p>> = photos.into_iter().map(P::into).collect();
        self.check_photo_count(photos.len(), 0)?;
        if !self.reads_image() {
            return Err(Error::unsupported(format!(
                "features of photos: {} reads face embeddings and no image encoder",
                self.title()
            )));
        }
        let (records, photos) = self.records(&photos, &[], options, progress, |_, _| ())?;
        let features: Vec<Tensor> = records.into_iter().filter_map(|record| record.image).collect();
        let features = Tensor::stack(&features, 0)?
            .to_dtype(DType::F32)?
            .to_device(&Device::Cpu)?;
        Ok(PhotoFeatures { features, photos })
    }

    /// Makes an identity of the features of one or many photos of the same person, `[photos, feature tokens, feature
    /// width]` as [`Engine::photo_features`] gives them, in any number type, on any device.
    ///
    /// The host may have run the same image encoder itself, or combined features: their mean is one photo that lies
    /// between them. Of `options`, label, consent note and [`keep_features`](EncodeOptions::keep_features) count.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) for another shape than the encoder's,
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for zero photos and values that are not finite,
    /// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for too many photos.
    pub fn identity_from_features(&self, features: &Tensor, options: &EncodeOptions) -> Result<Identity> {
        let encoder = &self.inner.encoder;
        if encoder.face().is_some() {
            return Err(Error::unsupported(format!(
                "an identity from features of an image encoder: {} reads face embeddings too",
                self.title()
            )));
        }
        let tokens = match encoder.input() {
            EncoderInput::ImageEmbeds => 1,
            _ => self.feature_tokens(),
        };
        let expected = [tokens, self.inner.info.encoder.input_width()];
        if features.rank() != 3 || features.dims().get(1..) != Some(&expected[..]) {
            return Err(Error::mismatch(format!(
                "features of shape {:?}; this model needs [photos, {}, {}]: the features of the image encoder that it was \
                 trained with",
                features.dims(),
                expected[0],
                expected[1]
            )));
        }
        let photos = features.dim(0)?;
        self.check_photo_count(photos, 0)?;
        if let Some(place) = to_host(features)?.iter().position(|value| !value.is_finite()) {
            let per_photo = expected[0] * expected[1];
            return Err(Error::invalid(format!(
                "features: a value of photo {} is not finite",
                place / per_photo
            )));
        }
        let photos = (0..photos)
            .map(|photo| Ok(PhotoRecord::of_image(features.get(photo)?)))
            .collect::<Result<Vec<_>>>()?;
        self.assemble(photos, None, options)
    }
}
