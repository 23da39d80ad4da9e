//! The parts of a published adapter, and the image encoder that goes with it.

use super::given::{adapter_source, default_crop, given_parser, given_recogniser};
use super::parts::{check_widths, Parts};
use super::source::{config_beside, read_as};
use crate::checkpoint::{recognise, Checkpoint, CheckpointKind, Model, Role};
use crate::encoder::{EncoderConfig, EncoderInput};
use crate::engine::config::{processor_of, PixelConfig};
use crate::engine::options::EngineOptions;
use crate::engine::{fingerprint, variant};
use crate::error::{Error, Result};
use crate::face::CropMode;
use crate::lora::{is_lora_tensor, Lora};
use crate::remedy;
use crate::vit::VisionConfig;

/// Takes a public checkpoint, under unified names, and the image encoder that goes with it.
pub(super) fn published(checkpoint: &Checkpoint, kind: &CheckpointKind, options: &EngineOptions) -> Result<Parts> {
    let encoder = checkpoint.sub("image_proj");
    let projection = match kind {
        CheckpointKind::IpAdapter { projection, .. } | CheckpointKind::XlabsFlux { projection, .. } => {
            projection.clone()
        }
        _ => EncoderConfig::infer(&encoder)?,
    };
    let recogniser = given_recogniser(options)?;
    let architecture = recogniser.as_ref().map(|(config, _)| config.architecture);
    let encoder_config = variant::resolve(projection, options.variant, architecture)?;
    let encoder_config_has_face = encoder_config.face().is_some();
    let parser = given_parser(options, &encoder_config)?;
    let backbone = match encoder_config.input() {
        EncoderInput::Nothing => {
            if options.image_encoder.is_some() || options.image_encoder_config.is_some() {
                return Err(Error::invalid(format!(
                    "{}: an image encoder is given, but {} reads face embeddings only",
                    checkpoint.label(),
                    encoder_config.kind().title()
                ))
                .with_remedy(remedy::OWN_IMAGE_ENCODER));
            }
            None
        }
        _ => Some(image_encoder(checkpoint, kind, &encoder_config, options)?),
    };
    let fingerprint = match &backbone {
        // Half of each part's fingerprint: a pair is another model when either part is.
        Some((backbone, _)) if encoder_config.face().is_none() => format!(
            "{}{}",
            &backbone.fingerprint(&[])?[..16],
            &encoder.fingerprint(&[])?[..16]
        ),
        backbone => {
            let backbone = backbone.as_ref().map(|(backbone, _)| backbone);
            let model = fingerprint::of_faces(&encoder, &encoder_config, backbone)?;
            fingerprint::with(&model, recogniser.as_ref())
        }
    };
    let pixels = backbone.as_ref().map_or_else(PixelConfig::default, |(_, config)| {
        (&processor_of(config.family, 1)).into()
    });
    let adapter = adapter_source(checkpoint)?;
    let host = match (&options.host, &adapter) {
        (Some(host), Some(adapter)) => Some(host.clone().numbered_as(&adapter.layout.shapes)),
        (Some(host), None) => Some(host.clone()),
        (None, _) => adapter.as_ref().and_then(|adapter| adapter.layout.host()),
    };
    if let (Some(adapter), Some(host)) = (&adapter, &host) {
        adapter.layout.check_host(host)?;
    }
    Ok(Parts {
        name: String::new(),
        backbone,
        crop: default_crop(CropMode::None, &encoder_config),
        encoder,
        encoder_config,
        similarity: None,
        histograms: None,
        detector: None,
        recogniser,
        parser,
        lora: match &host {
            Some(host) if encoder_config_has_face => Lora::find(checkpoint, host)?,
            None if checkpoint.names().any(is_lora_tensor) => {
                log::warn!(
                    "{}: the LoRA in it is left out: its host is not known, and no layer table is given",
                    checkpoint.label()
                );
                None
            }
            _ => None,
        },
        adapter,
        host,
        pixels,
        fingerprint,
    })
}

/// The image encoder that goes with a public checkpoint, and its sizes.
fn image_encoder(
    checkpoint: &Checkpoint,
    kind: &CheckpointKind,
    encoder: &EncoderConfig,
    options: &EngineOptions,
) -> Result<(Checkpoint, VisionConfig)> {
    let trained_with = Model::image_encoder_of(checkpoint);
    let source = options.image_encoder.as_ref().ok_or_else(|| {
        let which = trained_with.as_ref().map_or(String::new(), |name| format!(", {name}"));
        Error::invalid(format!(
            "{}: checkpoints of the kind {} read the features of an image encoder{which}, and none is given",
            checkpoint.label(),
            kind.name()
        ))
        .with_remedy(remedy::IMAGE_ENCODER)
    })?;
    let file = read_as(source, Role::ImageEncoder, &options.limits)?;
    let whole = file.shard().is_none() && file.has_image_encoder()?;
    if !whole {
        let found = recognise(&file).map_err(|error| error.context("image encoder"))?;
        return Err(Error::mismatch(format!(
            "image encoder {}: expected a vision model, found: {}",
            file.label(),
            found.name()
        )));
    }
    let backbone = file.vision_view()?;
    let config_text = match &options.image_encoder_config {
        Some(text) => Some(text.clone()),
        None => config_beside(&file, &options.limits)?,
    };
    let backbone_config = vision_config(&backbone, config_text.as_deref())?;
    check_widths(encoder, &backbone_config).map_err(|error| match &trained_with {
        Some(name) => error.context(format!("{} was trained with {name}", checkpoint.label())),
        None => error,
    })?;
    Ok((backbone, backbone_config))
}

/// The backbone's sizes from its shapes and, if there is one, its configuration file.
fn vision_config(backbone: &Checkpoint, config_json: Option<&str>) -> Result<VisionConfig> {
    VisionConfig::infer(backbone, config_json).map_err(|error| error.context("image encoder"))
}
