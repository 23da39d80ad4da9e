//! Any checkpoint to one native file.

use crate::adapter::AdapterSpelling;
use crate::checkpoint::{Checkpoint, Content, OutputTensor, SafetensorsWriter, FINGERPRINT_KEY};
use crate::engine::{EngineOptions, HostConfig, NativeConfig, Parts};
use crate::error::{Error, Result};
use crate::face::hog::VALUES;
use crate::face::FaceDetector;
use crate::identity::similarity::SimilaritySpace;
use crate::precision::Precision;
use crate::progress::{self, report, ProgressFn, Stage};
use crate::remedy;
use crate::setters::setters;
use candle_core::{DType, Device, Tensor};
use std::path::Path;

/// How a native file is written.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct NativeOptions {
    /// A display name; `None` keeps the one that the checkpoint has.
    pub name: Option<String>,
    /// Number type of backbone, encoder and adapter; `None` keeps each tensor's own. The detector stays f32: it is
    /// small, and its boxes should not move.
    pub precision: Option<Precision>,
    /// Mean `[1764]` and directions `[directions, 1764]` in which faces are compared by orientation histograms
    /// ([`Engine::histogram_vector`](crate::engine::Engine::histogram_vector)), stored as f16; `None` keeps those that
    /// the checkpoint has.
    pub histograms: Option<SimilaritySpace>,
}

setters!(NativeOptions {
    with_name: name = option String,
    with_precision: precision = option Precision,
    with_histograms: histograms = some SimilaritySpace,
});

/// What a conversion wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Converted {
    /// Fingerprint of backbone and encoder, the same as before the conversion: identities stay valid.
    pub fingerprint: String,
    /// Number of tensors in the file.
    pub tensors: usize,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Whether there is an adapter in it.
    pub adapter: bool,
    /// Whether there is a face detector in it.
    pub detector: bool,
    /// Whether there is a face recognition network in it.
    pub recogniser: bool,
    /// Whether there is a LoRA in it, which the host has to apply.
    pub lora: bool,
}

/// Writes everything that an engine opened with `source` would use into one native file.
///
/// `source` names a public checkpoint with its image encoder, or a native checkpoint; a detector and a face recogniser,
/// if they are given, go into the file too, and so does the LoRA of a FaceID. Device and precision of `source` play no part. The engine's checks for sizes that do not
/// belong together are done when the file is opened.
///
/// # Errors
/// As [`Engine::open`](crate::engine::Engine::open) for files that cannot be read or do not belong together;
/// [`Mismatch`](crate::ErrorKind::Mismatch) for an adapter without a known host;
/// [`Io`](crate::ErrorKind::Io) when the file cannot be written. After an
/// error there is no new file.
pub fn to_native(source: &EngineOptions, options: &NativeOptions, output: impl AsRef<Path>) -> Result<Converted> {
    to_native_with_progress(source, options, output, &mut progress::ignore)
}

/// [`to_native`], with a callback that is told about each written tensor and can cancel between two.
///
/// # Errors
/// As [`to_native`]; [`Cancelled`](crate::ErrorKind::Cancelled).
pub fn to_native_with_progress(
    source: &EngineOptions,
    options: &NativeOptions,
    output: impl AsRef<Path>,
    progress: ProgressFn<'_>,
) -> Result<Converted> {
    let parts = Parts::find(source)?;
    parts.check_written()?;
    let dtype = options
        .precision
        .map(Precision::stored)
        .transpose()?
        .map(Precision::dtype);
    let mut tensors = match &parts.backbone {
        Some((backbone, _)) => below("backbone", backbone, dtype)?,
        None => Vec::new(),
    };
    tensors.extend(below("encoder", &parts.encoder, dtype)?);
    if let Some(part) = &parts.similarity {
        tensors.extend(below("similarity", part, dtype)?);
    }
    tensors.extend(histograms(options, &parts)?);
    if let Some((_, recogniser)) = &parts.recogniser {
        // As for the detector: small, and embeddings should not move.
        tensors.extend(below("recogniser", recogniser, None)?);
    }
    if let Some(lora) = &parts.lora {
        tensors.extend(lora.native_tensors(dtype)?);
    }
    if let Some((_, parser)) = &parts.parser {
        tensors.extend(below("parser", parser, None)?);
    }
    let before = tensors.len();
    tensors.extend(detector(source, &parts)?);
    let has_detector = tensors.len() > before;
    if let Some(adapter) = &parts.adapter {
        let host = parts.host.as_ref().ok_or_else(|| {
            Error::mismatch("converting a checkpoint: its adapter is for an unknown host")
                .with_remedy(remedy::HOST_TABLE)
        })?;
        for (found, name) in adapter.layout.renamed(host, AdapterSpelling::Native)? {
            tensors.push(OutputTensor::from_checkpoint(name, &adapter.checkpoint, &found, dtype)?);
        }
    }
    let (has_recogniser, has_lora) = (parts.recogniser.is_some(), parts.lora.is_some());
    let config = NativeConfig {
        name: options.name.clone().unwrap_or(parts.name),
        backbone: parts.backbone.map(|(_, config)| config),
        pixels: parts.pixels,
        crop: parts.crop,
        encoder: parts.encoder_config,
        recogniser: parts.recogniser.map(|(config, _)| config),
        parser: parts.parser.map(|(config, _)| config),
        host: parts
            .host
            .as_ref()
            .filter(|_| parts.adapter.is_some())
            .map(HostConfig::from),
    };
    let mut metadata = config.to_metadata()?;
    metadata.insert(FINGERPRINT_KEY.to_string(), parts.fingerprint.clone());
    let count = tensors.len();
    let writer = SafetensorsWriter::new(tensors, &metadata)?;
    report(progress, Stage::Save, 0, count)?;
    writer.save(output.as_ref(), |done, total| {
        report(progress, Stage::Save, done, total)
    })?;
    Ok(Converted {
        fingerprint: parts.fingerprint,
        tensors: count,
        bytes: writer.size() as u64,
        adapter: parts.adapter.is_some(),
        detector: has_detector,
        recogniser: has_recogniser,
        lora: has_lora,
    })
}

/// The directions that are given, else those that the checkpoint has, which stay as they are: they are small.
fn histograms(options: &NativeOptions, parts: &Parts) -> Result<Vec<OutputTensor>> {
    let Some(space) = &options.histograms else {
        let part = parts.histograms.as_ref();
        return part.map_or(Ok(Vec::new()), |part| below("histograms", part, None));
    };
    let (mean, directions) = (space.mean().unwrap_or_default(), space.directions());
    if mean.len() != VALUES || directions == 0 {
        return Err(Error::mismatch(format!(
            "orientation histograms: a mean of {} values and {directions} directions, expected {VALUES} and at least 1",
            mean.len()
        )));
    }
    let tensor = |name: &str, values: &[f32], shape: &[usize]| -> Result<OutputTensor> {
        let values = Tensor::from_slice(values, shape, &Device::Cpu)?.to_dtype(DType::F16)?;
        Ok(OutputTensor::new(format!("histograms.{name}"), &values))
    };
    Ok(vec![
        tensor("mean", mean, &[VALUES])?,
        tensor("projection", space.projection(), &[directions, VALUES])?,
    ])
}

/// The detector that is given, else the one that the checkpoint has.
fn detector(source: &EngineOptions, parts: &Parts) -> Result<Vec<OutputTensor>> {
    let file = match source.detector.as_ref().map(|source| &source.0) {
        Some(Content::Path(path)) => FaceDetector::read(path, &source.limits)?,
        Some(Content::Bytes(bytes)) => FaceDetector::read_bytes(bytes, &source.limits)?,
        None => {
            return parts
                .detector
                .as_ref()
                .map_or(Ok(Vec::new()), |part| below("detector", part, None))
        }
    };
    // Loading proves that it is a detector before anything is written.
    FaceDetector::from_file(&file)?;
    below("detector", &file, None)
}

/// All tensors of a part, under `prefix`.
fn below(prefix: &str, part: &Checkpoint, dtype: Option<DType>) -> Result<Vec<OutputTensor>> {
    part.names()
        .map(|name| {
            // Tensors that are no weights, such as position numbers, keep their type.
            let float = part.info(name).is_some_and(|info| info.dtype.is_float());
            OutputTensor::from_checkpoint(format!("{prefix}.{name}"), part, name, dtype.filter(|_| float))
        })
        .collect()
}
