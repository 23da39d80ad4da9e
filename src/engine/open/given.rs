//! Parts that native and published checkpoints have alike, and those that the caller names.

use crate::adapter::AdapterLayout;
use crate::checkpoint::{Checkpoint, Source};
use crate::encoder::{EncoderConfig, EncoderInput};
use crate::engine::options::EngineOptions;
use crate::engine::AdapterSource;
use crate::error::{Error, Result};
use crate::face::parsing::{FaceParser, ParserConfig};
use crate::face::CropMode;
use crate::lora::is_lora_tensor;
use crate::recogniser::{FaceRecogniser, RecogniserConfig};

/// Beginnings of the names of an adapter's layers: native, IP-Adapter, PuLID for FLUX, WithAnyone.
const ADAPTER_NAMES: [&str; 5] = ["adapter.", "ip_adapter.", "pulid_ca.", "ipa_arc.", "ipa_sig."];

/// The adapter of a checkpoint, if it has one: its tensors under their full names, and how they are called.
pub(super) fn adapter_source(checkpoint: &Checkpoint) -> Result<Option<AdapterSource>> {
    let begins = |name: &str, with: &[&str]| with.iter().any(|begin| name.starts_with(begin));
    // Published FaceID files number their LoRA among the adapter's layers.
    let ours = |name: &str| begins(name, &ADAPTER_NAMES) && !is_lora_tensor(name);
    let only = |wanted: &dyn Fn(&str) -> bool| checkpoint.renamed(|name| wanted(name).then(|| name.to_string()));
    // How many tokens WithAnyone's layers see is known by the projections that make them.
    let described = only(&|name| ours(name) || begins(name, &["image_proj.arcface_in_"]))?;
    let Some(layout) = AdapterLayout::infer(&described)? else {
        return Ok(None);
    };
    let checkpoint = only(&ours)?;
    Ok(Some(AdapterSource { checkpoint, layout }))
}

/// Models that read face embeddings see the aligned face, whatever else they read.
pub(super) fn default_crop(crop: CropMode, encoder: &EncoderConfig) -> CropMode {
    match (crop, encoder.face()) {
        (CropMode::None, Some(_)) => CropMode::aligned(),
        _ => crop,
    }
}

/// The face recogniser that the caller names.
pub(super) fn given_recogniser(options: &EngineOptions) -> Result<Option<(RecogniserConfig, Checkpoint)>> {
    let given = options.face_recogniser.as_ref();
    let read = |source: &Source| FaceRecogniser::read(source.clone(), &options.limits);
    given
        .map(read)
        .transpose()
        .map_err(|error| error.context("face recogniser"))
}

/// The face parser that the caller names, refused for models that see the face as it is.
pub(super) fn given_parser(
    options: &EngineOptions,
    encoder: &EncoderConfig,
) -> Result<Option<(ParserConfig, Checkpoint)>> {
    let Some(source) = &options.face_parser else {
        return Ok(None);
    };
    if encoder.input() != EncoderInput::HiddenStates {
        return Err(Error::invalid(format!(
            "a face parser is given, which has no effect on {}: only PuLID sees faces without background",
            encoder.kind().title()
        )));
    }
    let read = FaceParser::read(source.clone(), &options.limits);
    read.map(Some).map_err(|error| error.context("face parser"))
}
