//! Photos to an identity, and more photos to an identity that exists.

use super::options::{EncodeOptions, Encoded};
use super::Engine;
use crate::error::{Error, Result};
use crate::identity::{Identity, Provenance};
use crate::photo::Photo;
use crate::progress::{self, ProgressFn};
use crate::remedy;
use candle_core::{DType, Device, Tensor};

impl Engine {
    /// Makes one identity of one or many photos of the same person.
    ///
    /// A photo that cannot be used is left out and reported, unless [`EncodeOptions::bad_photo`] says otherwise.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for zero photos, [`NoFace`](crate::ErrorKind::NoFace) when
    /// no photo shows a face, the first photo's own error when none could be used for other reasons,
    /// [`LimitExceeded`](crate::ErrorKind::LimitExceeded) for too many photos.
    pub fn encode<'p, P: Into<Photo<'p>>>(
        &self,
        photos: impl IntoIterator<Item = P>,
        options: &EncodeOptions,
    ) -> Result<Encoded> {
        self.encode_with_progress(photos, options, &mut progress::ignore)
    }

    /// [`Engine::encode`], with a callback that is told about each photo and can cancel between two.
    ///
    /// # Errors
    /// As [`Engine::encode`]; [`Cancelled`](crate::ErrorKind::Cancelled).
    pub fn encode_with_progress<'p, P: Into<Photo<'p>>>(
        &self,
        photos: impl IntoIterator<Item = P>,
        options: &EncodeOptions,
        progress: ProgressFn<'_>,
    ) -> Result<Encoded> {
        let photos: Vec<Photo<'p>> = photos.into_iter().map(P::into).collect();
        self.check_photo_count(photos.len(), 0)?;
        let (features, photos) = self.features(&photos, &[], options, progress, |_, _| {})?;
        let identity = self.assemble(features, None, options)?;
        Ok(Encoded { identity, photos })
    }

    /// Adds photos to an identity. Equal to encoding all photos at once, at the price of the new ones.
    ///
    /// Label and consent note of `identity` stay unless `options` gives new ones.
    ///
    /// # Errors
    /// As [`Engine::encode`]; [`Mismatch`](crate::ErrorKind::Mismatch) when another model made the identity,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) when an Omni-ID identity was kept without its photos' features.
    pub fn extend<'p, P: Into<Photo<'p>>>(
        &self,
        identity: &Identity,
        photos: impl IntoIterator<Item = P>,
        options: &EncodeOptions,
    ) -> Result<Encoded> {
        self.extend_with_progress(identity, photos, options, &mut progress::ignore)
    }

    /// [`Engine::extend`], with a callback that is told about each photo and can cancel between two.
    ///
    /// # Errors
    /// As [`Engine::extend`]; [`Cancelled`](crate::ErrorKind::Cancelled).
    pub fn extend_with_progress<'p, P: Into<Photo<'p>>>(
        &self,
        identity: &Identity,
        photos: impl IntoIterator<Item = P>,
        options: &EncodeOptions,
        progress: ProgressFn<'_>,
    ) -> Result<Encoded> {
        let photos: Vec<Photo<'p>> = photos.into_iter().map(P::into).collect();
        identity.check_model(&self.inner.info.fingerprint)?;
        let had = identity.provenance().photos;
        self.check_photo_count(photos.len(), had)?;
        if identity.kind().is_fixed_size() && identity.features().len() != had {
            return Err(Error::unsupported(format!(
                "extending {}: the features of its {had} photos were not kept; encode all photos again \
                 with features kept",
                identity.title()
            )));
        }
        let (features, photos) = self.features(&photos, identity.features(), options, progress, |_, _| {})?;
        let identity = self.assemble(features, Some(identity), options)?;
        Ok(Encoded { identity, photos })
    }

    pub(super) fn check_photo_count(&self, new: usize, old: usize) -> Result<()> {
        if new == 0 {
            return Err(Error::invalid("encoding: 0 photos given, expected at least 1"));
        }
        let limit = self.inner.limits.max_photos;
        if (new as u64).saturating_add(old as u64) > limit {
            return Err(Error::limit(format!(
                "encoding: {} photos, at most {limit} allowed",
                new.saturating_add(old)
            )));
        }
        Ok(())
    }

    /// Runs the encoder on the photos' features and puts the identity together.
    pub(super) fn assemble(
        &self,
        new: Vec<Tensor>,
        old: Option<&Identity>,
        options: &EncodeOptions,
    ) -> Result<Identity> {
        let kind = self.inner.info.kind;
        let photos = new.len() + old.map_or(0, |old| old.provenance().photos);
        let (values, features) = if kind.is_fixed_size() {
            let mut all = old.map_or_else(Vec::new, |old| old.features().to_vec());
            all.extend(new);
            let values = self.encode_features(&all)?;
            (values, if options.keep_features { all } else { Vec::new() })
        } else {
            let mut values = old.map_or_else(Vec::new, |old| old.values().to_vec());
            values.extend(self.encode_features(&new)?);
            (values, Vec::new())
        };
        let width = self.inner.info.token_width;
        let note = |given: &str, kept: Option<&str>| match kept {
            Some(kept) if given.is_empty() => kept.to_string(),
            _ => given.to_string(),
        };
        if values.iter().all(|&value| value == 0.0) {
            return Err(Error::format(
                "the model's output is unusable: all identity tokens are zero, so are weights that \
                 make them",
            )
            .with_remedy(remedy::DAMAGED_WEIGHTS));
        }
        let kept = old.map(Identity::provenance);
        let provenance = Provenance {
            model: self.inner.info.fingerprint.clone(),
            photos,
            label: note(&options.label, kept.map(|kept| kept.label.as_str())),
            created: crate::identity::now(),
            consent: note(&options.consent, kept.map(|kept| kept.consent.as_str())),
        };
        Identity::new(kind, [values.len() / width, width], values, features, provenance).map_err(|error| {
            // Photos cannot make the model's output infinite or empty: only its weights can.
            Error::format(format!(
                "the model's output is unusable, are its weights intact? {error}"
            ))
        })
    }

    /// Identity tokens `[tokens, token width]` of photos' features.
    pub(super) fn encode_features(&self, photos: &[Tensor]) -> Result<Vec<f32>> {
        let features = photos
            .iter()
            .map(|photo| Ok(self.place(photo)?.into()))
            .collect::<Result<Vec<_>>>()?;
        to_host(&self.inner.encoder.encode(&features)?)
    }

    /// Moves a tensor to the engine's device, in the type of its activations: f32 on the CPU, whatever the weights
    /// are. Nothing is copied that is there already.
    pub(super) fn place(&self, tensor: &Tensor) -> Result<Tensor> {
        let dtype = match self.inner.device {
            Device::Cpu => DType::F32,
            _ => self.inner.info.precision.dtype(),
        };
        Ok(tensor.to_device(&self.inner.device)?.to_dtype(dtype)?)
    }
}

/// All values of a tensor as f32 in host memory.
pub(super) fn to_host(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor
        .to_dtype(DType::F32)?
        .to_device(&Device::Cpu)?
        .flatten_all()?
        .to_vec1::<f32>()?)
}
