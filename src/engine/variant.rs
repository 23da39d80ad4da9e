//! Which of two published models a checkpoint is, where they share all tensors.

use crate::encoder::{EncoderConfig, EncoderKind, Variant};
use crate::error::{Error, Result};
use crate::face_embedding::FaceArchitecture;

/// The model that the tensors of `config` are, as `chosen` says where two have the same tensors: FaceID-Plus or PlusV2,
/// InstantID or Portrait-unnorm. Without a choice it is PlusV2; InstantID, unless the face recogniser is the network of
/// Portrait-unnorm.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for a variant that the tensors cannot be.
pub(super) fn resolve(
    config: EncoderConfig,
    chosen: Option<Variant>,
    recogniser: Option<FaceArchitecture>,
) -> Result<EncoderConfig> {
    let is_possible = match chosen {
        None => true,
        Some(Variant::Base | Variant::XlabsFlux) => config.kind() == EncoderKind::Projection,
        Some(Variant::Plus) => config.kind() == EncoderKind::Resampler,
        Some(Variant::FullFace) => config.kind() == EncoderKind::FullFace,
        Some(Variant::FaceId | Variant::FaceIdPortrait) => config.kind() == EncoderKind::FaceId,
        // SDXL has PlusV2 only.
        Some(Variant::FaceIdPlus) => config.kind() == EncoderKind::FaceIdPlus && config.token_width() <= 1024,
        Some(Variant::FaceIdPlusV2) => config.kind() == EncoderKind::FaceIdPlus,
        Some(Variant::InstantId | Variant::FaceIdPortraitUnnorm) => {
            matches!(
                config.kind(),
                EncoderKind::InstantId | EncoderKind::FaceIdPortraitUnnorm
            )
        }
        Some(Variant::InstantXFlux) => config.kind() == EncoderKind::InstantXFlux,
        Some(Variant::InstantXSd35) => config.kind() == EncoderKind::TimeResampler,
        Some(Variant::PulidV1) => config.kind() == EncoderKind::PulidV1,
        Some(Variant::PulidV11 | Variant::PulidFlux) => config.kind() == EncoderKind::IdFormer,
        Some(Variant::WithAnyone) => config.kind() == EncoderKind::WithAnyone,
    };
    if let (Some(chosen), false) = (chosen, is_possible) {
        return Err(Error::invalid(format!(
            "variant {} is chosen, but the tensors are those of {}",
            chosen.name(),
            config.kind().title()
        )));
    }
    Ok(match config {
        EncoderConfig::FaceIdPlus(mut plus) => {
            plus.shortcut = chosen != Some(Variant::FaceIdPlus);
            if chosen.is_none() && plus.token_width <= 1024 {
                log::info!("taken for FaceID PlusV2; FaceID Plus has the same tensors: variant faceid-plus");
            }
            EncoderConfig::FaceIdPlus(plus)
        }
        EncoderConfig::InstantId(sizes) | EncoderConfig::FaceIdPortraitUnnorm(sizes) => {
            let portrait = match chosen {
                Some(chosen) => chosen == Variant::FaceIdPortraitUnnorm,
                None => recogniser == Some(FaceArchitecture::IResNet { layers: 50 }),
            };
            if chosen.is_none() {
                let (taken, other) = match portrait {
                    true => (Variant::FaceIdPortraitUnnorm, Variant::InstantId),
                    false => (Variant::InstantId, Variant::FaceIdPortraitUnnorm),
                };
                log::info!(
                    "taken for {taken}; {other} has the same tensors: variant {}",
                    other.name()
                );
            }
            match portrait {
                true => EncoderConfig::FaceIdPortraitUnnorm(sizes),
                false => EncoderConfig::InstantId(sizes),
            }
        }
        config => config,
    })
}

/// Fails unless a native checkpoint, which says itself what it is, is the model that is chosen.
pub(super) fn check_native(config: &EncoderConfig, chosen: Variant) -> Result<()> {
    let resolved = resolve(config.clone(), Some(chosen), None)?;
    if resolved == *config {
        return Ok(());
    }
    let own = match config {
        EncoderConfig::FaceIdPlus(_) if chosen == Variant::FaceIdPlusV2 => Variant::FaceIdPlus,
        EncoderConfig::FaceIdPlus(_) => Variant::FaceIdPlusV2,
        EncoderConfig::InstantId(_) => Variant::InstantId,
        _ => Variant::FaceIdPortraitUnnorm,
    };
    Err(Error::invalid(format!(
        "native checkpoint: variant {} is chosen, but the file says that it is {} ({own})",
        chosen.name(),
        own.name()
    )))
}
