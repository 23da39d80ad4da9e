//! The parts of a native checkpoint.

use super::given::{adapter_source, default_crop, given_parser, given_recogniser};
use super::parts::Parts;
use crate::checkpoint::{Checkpoint, FINGERPRINT_KEY};
use crate::engine::config::NativeConfig;
use crate::engine::host_config::HostConfig;
use crate::engine::options::EngineOptions;
use crate::engine::{fingerprint, variant};
use crate::error::{Error, Result};
use crate::lora::Lora;

/// Takes a native checkpoint apart.
pub(super) fn native(checkpoint: &Checkpoint, options: &EngineOptions) -> Result<Parts> {
    const PREFIXES: [&str; 9] = [
        "backbone.",
        "encoder.",
        "similarity.",
        "histograms.",
        "adapter.",
        "detector.",
        "recogniser.",
        "parser.",
        "lora.",
    ];
    if let Some(name) = checkpoint
        .names()
        .find(|name| !PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
    {
        return Err(Error::format(format!(
            "native checkpoint: unexpected tensor {name:?}, names begin with one of {}",
            PREFIXES.join(", ")
        )));
    }
    let config = NativeConfig::from_metadata(checkpoint.metadata())?;
    let has = |prefix: &str| checkpoint.names().any(|name| name.starts_with(prefix));
    let adapter = if has("adapter.") {
        if config.host.is_none() {
            return Err(Error::format(
                "native checkpoint: holds adapter tensors, but its configuration names no host",
            ));
        }
        adapter_source(checkpoint)?
    } else {
        None
    };
    let own = config.host.as_ref().map(HostConfig::resolve).transpose()?;
    let host = options.host.clone().or(own);
    if let (Some(adapter), Some(host)) = (&adapter, &host) {
        adapter.layout.check_host(host)?;
    }
    if let Some(chosen) = options.variant {
        variant::check_native(&config.encoder, chosen)?;
    }
    let crop = default_crop(config.crop, &config.encoder);
    let recogniser = match given_recogniser(options)? {
        Some(given) => Some(given),
        None => config.recogniser.map(|config| (config, checkpoint.sub("recogniser"))),
    };
    let parser = match given_parser(options, &config.encoder)? {
        Some(given) => Some(given),
        None => config.parser.map(|config| (config, checkpoint.sub("parser"))),
    };
    let stated = checkpoint.metadata().contains_key(FINGERPRINT_KEY);
    let fingerprint = match config.encoder.face() {
        None => checkpoint.fingerprint(&["backbone.", "encoder."])?,
        Some(_) => {
            let backbone = config.backbone.as_ref().map(|_| checkpoint.sub("backbone"));
            let model = match stated {
                true => checkpoint.fingerprint(&["backbone.", "encoder."])?,
                false => fingerprint::of_faces(&checkpoint.sub("encoder"), &config.encoder, backbone.as_ref())?,
            };
            fingerprint::with(&model, recogniser.as_ref())
        }
    };
    Ok(Parts {
        name: config.name,
        backbone: config.backbone.map(|config| (checkpoint.sub("backbone"), config)),
        encoder: checkpoint.sub("encoder"),
        encoder_config: config.encoder,
        similarity: has("similarity.").then(|| checkpoint.sub("similarity")),
        histograms: has("histograms.").then(|| checkpoint.sub("histograms")),
        detector: has("detector.").then(|| checkpoint.sub("detector")),
        recogniser,
        parser,
        lora: match &host {
            Some(host) => Lora::find(checkpoint, host)?,
            None => None,
        },
        adapter,
        host,
        pixels: config.pixels,
        crop,
        fingerprint,
    })
}
