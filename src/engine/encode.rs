//! Photos to an identity, and more photos to an identity that exists.

use super::options::{EncodeOptions, Encoded};
use super::record::PhotoRecord;
use super::Engine;
use crate::encoder::{EncodeSettings, EncoderInput, Features};
use crate::error::{Error, Result};
use crate::identity::{Combine, Identity, Making, Provenance};
use crate::photo::Photo;
use crate::progress::{self, ProgressFn};
use crate::remedy;
use candle_core::{DType, Device, Tensor};

/// The timestep of the tokens that an identity has whose tokens depend on it: the first one of sampling. Conditioning
/// makes the tokens of its own timesteps from the features that are kept.
const IDENTITY_TIMESTEP: f32 = 1000.0;

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
        let (records, photos) = self.records(&photos, &[], options, progress, |_, _| {})?;
        let identity = self.assemble(records, None, options)?;
        Ok(Encoded { identity, photos })
    }

    /// Adds photos to an identity. Equal to encoding all photos at once, at the price of the new ones.
    ///
    /// Label and consent note of `identity` stay unless `options` gives new ones. How its photos were combined and their
    /// shortcut scale stay too: options that say otherwise are refused.
    ///
    /// # Errors
    /// As [`Engine::encode`]; [`Mismatch`](crate::ErrorKind::Mismatch) when another model made the identity,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) when its model reads all photos at once, or its photos are combined,
    /// and it was kept without what that needs of them.
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
        self.check_identity(identity)?;
        let had = identity.provenance().photos;
        self.check_photo_count(photos.len(), had)?;
        let making = self.making(options, Some(identity))?;
        if self.reads_together(making) {
            self.check_kept(identity)?;
        }
        let (records, photos) = self.records(&photos, identity.features(), options, progress, |_, _| {})?;
        let identity = self.assemble(records, Some(identity), options)?;
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

    /// Whether all photos go through the identity encoder together, so that extending needs those of before.
    fn reads_together(&self, making: Making) -> bool {
        self.inner.info.kind.is_fixed_size() || making.combine != Combine::Concatenate
    }

    /// How photos are made into an identity, or added to one that exists.
    fn making(&self, options: &EncodeOptions, old: Option<&Identity>) -> Result<Making> {
        let making = Making {
            combine: options.combine,
            shortcut_scale: options.shortcut_scale,
        };
        let Some(old) = old else {
            self.settings(making)?;
            return Ok(making);
        };
        let (given, own, default) = (making, old.making(), Making::default());
        if given.combine != default.combine && given.combine != own.combine {
            return Err(Error::invalid(format!(
                "extending {}: its photos were combined by {}, the new ones shall be by {}",
                old.title(),
                own.combine.name(),
                given.combine.name()
            )));
        }
        if given.shortcut_scale != default.shortcut_scale && given.shortcut_scale != own.shortcut_scale {
            return Err(Error::invalid(format!(
                "extending {}: it was made with shortcut scale {}, the new photos shall have {}",
                old.title(),
                own.shortcut_scale,
                given.shortcut_scale
            )));
        }
        Ok(own)
    }

    /// The encoder's settings, refused where they have no effect.
    pub(super) fn settings(&self, making: Making) -> Result<EncodeSettings> {
        let scale = making.shortcut_scale;
        if !scale.is_finite() {
            return Err(Error::invalid(format!(
                "encoding: shortcut scale {scale}, expected a finite number"
            )));
        }
        if making.combine != Combine::Concatenate && self.inner.info.kind.is_fixed_size() {
            return Err(Error::invalid(format!(
                "encoding: combine {:?} is for models that read each photo by itself; {} reads all photos of a person \
                 together",
                making.combine.name(),
                self.title()
            )));
        }
        if scale != 1.0 && !self.inner.info.encoder.has_shortcut() {
            return Err(Error::invalid(format!(
                "encoding: shortcut scale {scale} has no effect on the {} encoder: only FaceID-PlusV2 has a shortcut",
                self.inner.info.kind.name()
            )));
        }
        Ok(EncodeSettings {
            shortcut_scale: scale,
            timestep: self.inner.info.encoder.needs_timestep().then_some(IDENTITY_TIMESTEP),
        })
    }

    /// Fails unless an identity kept what the encoder reads of its photos.
    fn check_kept(&self, identity: &Identity) -> Result<()> {
        let (had, kept, encoder) = (identity.provenance().photos, identity.kept(), &self.inner.encoder);
        let image = encoder.input() == EncoderInput::Nothing || kept.features.len() == had;
        let class = encoder.input() != EncoderInput::HiddenStates || kept.class_embeddings.len() == had;
        let faces = kept.embeddings.iter().flatten().count();
        if image && class && (encoder.face().is_none() || faces == had) {
            return Ok(());
        }
        Err(Error::unsupported(format!(
            "extending {}: the features of its {had} photos were not kept; encode all photos again \
             with features kept",
            identity.title()
        )))
    }

    /// Runs the encoder on what the networks made of the photos and puts the identity together.
    pub(super) fn assemble(
        &self,
        new: Vec<PhotoRecord>,
        old: Option<&Identity>,
        options: &EncodeOptions,
    ) -> Result<Identity> {
        let kind = self.inner.info.kind;
        let making = self.making(options, old)?;
        let had = old.map_or(0, |old| old.provenance().photos);
        let photos = new.len() + had;
        let mut all = old.map_or_else(Vec::new, |old| PhotoRecord::of_kept(old.kept(), had));
        let together = self.reads_together(making);
        let values = if together {
            all.extend(new);
            self.encode_records(&all, making)?
        } else {
            let mut values = old.map_or_else(Vec::new, |old| old.values().to_vec());
            values.extend(self.encode_records(&new, making)?);
            all.extend(new);
            values
        };
        let kept = match options.keep_features {
            true => PhotoRecord::keep(&all, together || self.inner.info.encoder.needs_timestep()),
            false => Default::default(),
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
        let before = old.map(Identity::provenance);
        let provenance = Provenance {
            model: self.inner.info.fingerprint.clone(),
            photos,
            label: note(&options.label, before.map(|before| before.label.as_str())),
            created: crate::identity::now(),
            consent: note(&options.consent, before.map(|before| before.consent.as_str())),
        };
        let shape = [values.len() / width, width];
        Identity::with_kept(kind, shape, values, kept, making, provenance).map_err(|error| self.unusable_output(&error))
    }

    /// Identity tokens `[tokens, token width]` of what the networks made of photos.
    fn encode_records(&self, photos: &[PhotoRecord], making: Making) -> Result<Vec<f32>> {
        let features = photos
            .iter()
            .map(|photo| self.features_of(photo))
            .collect::<Result<Vec<_>>>()?;
        let features = match making.combine {
            Combine::Concatenate => features,
            combine => vec![self.combined(&features, combine)?],
        };
        to_host(&self.inner.encoder.encode_with(&features, &self.settings(making)?)?)
    }

    /// Identity tokens `[tokens, token width]` of one photo's features of an image encoder.
    pub(super) fn encode_image(&self, image: &Tensor) -> Result<Vec<f32>> {
        let features = Features::of_image(self.place(image)?);
        to_host(
            &self
                .inner
                .encoder
                .encode_with(&[features], &self.settings(Making::default())?)?,
        )
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
