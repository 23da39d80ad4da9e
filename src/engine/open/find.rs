//! Which parts a checkpoint has, by its kind.

use super::native::native;
use super::parts::Parts;
use super::published::published;
use super::source::read;
use crate::checkpoint::{recognise, Checkpoint, CheckpointKind};
use crate::encoder::EncoderKind;
use crate::engine::options::EngineOptions;
use crate::error::{Error, Result};
use crate::remedy;

impl Parts {
    /// Finds the parts that an engine opened with `options` would use, without reading their tensors.
    pub(crate) fn find(options: &EngineOptions) -> Result<Self> {
        Self::of(&read(&options.checkpoint, &options.limits)?, options)
    }

    /// The kind of the identity encoder in a published adapter, which is known before its image encoder is found;
    /// `None` for every other checkpoint.
    pub(crate) fn published_kind(options: &EngineOptions) -> Result<Option<EncoderKind>> {
        Ok(match recognise(&read(&options.checkpoint, &options.limits)?)? {
            CheckpointKind::IpAdapter { projection, .. } | CheckpointKind::XlabsFlux { projection, .. } => {
                Some(projection.kind())
            }
            _ => None,
        })
    }

    pub(super) fn of(checkpoint: &Checkpoint, options: &EngineOptions) -> Result<Self> {
        match recognise(checkpoint)? {
            CheckpointKind::Native if options.image_encoder.is_some() || options.image_encoder_config.is_some() => {
                Err(Error::invalid(format!(
                    "{}: an image encoder is given, but a native checkpoint contains its own",
                    checkpoint.label()
                ))
                .with_remedy(remedy::OWN_IMAGE_ENCODER))
            }
            CheckpointKind::Native => match checkpoint.prefixes_before(&["backbone.vision_model."]).as_slice() {
                [prefix] => native(&checkpoint.unwrapped(prefix), options),
                _ => native(checkpoint, options),
            },
            kind @ (CheckpointKind::IpAdapter { .. } | CheckpointKind::XlabsFlux { .. }) => {
                published(&checkpoint.adapter_view()?, &kind, options)
            }
            other => Err(Error::mismatch(format!(
                "{}: expected a native OmniID checkpoint, an IP-Adapter or an XLabs FLUX adapter, found: {}",
                checkpoint.label(),
                other.name()
            ))),
        }
    }
}
