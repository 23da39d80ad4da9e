//! Where an identity comes from: which query looks where in which photo.

use super::options::EncodeOptions;
use super::Engine;
use crate::encoder::Encoder;
use crate::error::{Error, Result};
use crate::face::PhotoReport;
use crate::photo::Photo;
use crate::progress::{self, ProgressFn};
use crate::vit::VisionConfig;
use image::RgbImage;

/// Which query of an Omni-ID encoder looks where in each photo.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AttentionMaps {
    /// Queries of the encoder, which are the tokens of an identity.
    pub queries: usize,
    /// Blocks of the encoder; each looks at the photos once.
    pub blocks: usize,
    /// Patches along a side of the crop.
    pub side: usize,
    /// One for each photo that could be used, in the order they were given.
    pub photos: Vec<PhotoAttention>,
    /// Photos that could not be used, and why.
    pub left_out: Vec<PhotoReport>,
}

/// The attention that one photo gets.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PhotoAttention {
    /// Name, face and notes, as [`Engine::encode`] reports them.
    pub report: PhotoReport,
    /// What the encoder saw of it.
    pub crop: RgbImage,
    /// `[blocks, queries, side · side]`, rows of patches from the top left. Over all photos, patches and, where the
    /// encoder reads it, the class token, the shares of one query in one block have sum 1.
    shares: Vec<f32>,
    queries: usize,
    patches: usize,
}

impl PhotoAttention {
    /// The shares `[side · side]` that `query` gives to this photo's patches in `block`; empty if there is no such
    /// query or block.
    pub fn shares(&self, block: usize, query: usize) -> &[f32] {
        if query >= self.queries {
            return &[];
        }
        let first = (block * self.queries + query) * self.patches;
        self.shares.get(first..first + self.patches).unwrap_or_default()
    }

    /// The mean share `[side · side]` of all queries in `block`.
    pub fn mean(&self, block: usize) -> Vec<f32> {
        let mut mean = vec![0.0; self.patches];
        for query in 0..self.queries {
            for (sum, share) in mean.iter_mut().zip(self.shares(block, query)) {
                *sum += share / self.queries as f32;
            }
        }
        mean
    }
}

impl Engine {
    /// Looks at the cross-attention of an Omni-ID encoder while it reads `photos`: which query looks where.
    ///
    /// Photos are cropped, and left out or refused, as by [`Engine::encode`]. Memory grows with
    /// photos × queries × patches.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for models whose encoder is not Omni-ID; as
    /// [`Engine::encode`].
    pub fn attention_maps<'p, P: Into<Photo<'p>>>(
        &self,
        photos: impl IntoIterator<Item = P>,
        options: &EncodeOptions,
    ) -> Result<AttentionMaps> {
        self.attention_maps_with_progress(photos, options, &mut progress::ignore)
    }

    /// [`Engine::attention_maps`], with a callback that is told about each photo and can cancel between two.
    ///
    /// # Errors
    /// As [`Engine::attention_maps`]; [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled).
    pub fn attention_maps_with_progress<'p, P: Into<Photo<'p>>>(
        &self,
        photos: impl IntoIterator<Item = P>,
        options: &EncodeOptions,
        progress: ProgressFn<'_>,
    ) -> Result<AttentionMaps> {
        let photos: Vec<Photo<'p>> = photos.into_iter().map(P::into).collect();
        let Encoder::OmniId(encoder) = &self.inner.encoder else {
            return Err(Error::unsupported(format!(
                "attention maps: the model's encoder is {}; only Omni-ID encoders have queries that look at all photos",
                self.inner.info.kind.name()
            )));
        };
        self.check_photo_count(photos.len(), 0)?;
        let options = EncodeOptions {
            batch_size: 1,
            ..options.clone()
        };
        let mut crops = vec![RgbImage::default(); photos.len()];
        let (records, reports) = self.records(&photos, &[], &options, progress, |index, crop| crops[index] = crop)?;
        let features: Vec<_> = records.into_iter().filter_map(|record| record.image).collect();
        let maps = encoder.attention_maps(&features)?;
        let told = crops.into_iter().zip(reports);
        let (used, left_out): (Vec<_>, Vec<_>) = told.partition(|(_, report)| report.is_used());
        let config = encoder.config();
        let side = self
            .inner
            .info
            .backbone
            .as_ref()
            .map_or(0, VisionConfig::patches_per_side);
        let patches = side * side;
        // The class token, where it is read, is the first key.
        let skip = usize::from(config.include_class_token);
        let mut all = Vec::with_capacity(used.len());
        for (index, (crop, report)) in used.into_iter().enumerate() {
            let mut shares = Vec::with_capacity(maps.len() * config.queries * patches);
            for map in &maps {
                let map = map.get(index)?.narrow(1, skip, patches)?;
                shares.extend(map.flatten_all()?.to_vec1::<f32>()?);
            }
            all.push(PhotoAttention {
                report,
                crop,
                shares,
                queries: config.queries,
                patches,
            });
        }
        Ok(AttentionMaps {
            queries: config.queries,
            blocks: maps.len(),
            side,
            photos: all,
            left_out: left_out.into_iter().map(|(_, report)| report).collect(),
        })
    }
}
