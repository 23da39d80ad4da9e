//! A whole training of the detector: configuration in, detector file out.

use super::objective::FaceDetection;
use crate::config::DetectorConfig;
use crate::render::Assets;
use crate::run::{start, RunOptions};
use crate::trainer::{Objective, Observer, Outcome};
use omniid::checkpoint::write_safetensors;
use omniid::{Error, Result};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The detector that a finished or stopped run leaves in its folder.
pub const DETECTOR_FILE: &str = "detector.safetensors";

/// The result of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct DetectorReport {
    /// How it ended.
    pub outcome: Outcome,
    /// Steps made in all.
    pub step: u64,
    /// Metrics on scenes of held-out people at the end, by name.
    pub metrics: Vec<(String, f64)>,
    /// The detector, for [`FaceDetector::open`](omniid::face::FaceDetector::open).
    pub detector: PathBuf,
}

/// Trains a face detector on scenes of people rendered from `assets`: starts or resumes, and writes the detector with
/// averaged weights (f32, whatever `options.model_dtype` says) at the end or when the observer stops the run. Always
/// on the CPU; equal configurations give equal weights, whatever the number of threads.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`](omniid::ErrorKind::InvalidArgument) when the folder holds a run and
/// `options.resume` is not set, or for a device other than the CPU;
/// [`ErrorKind::Mismatch`](omniid::ErrorKind::Mismatch) when the saved run had another configuration, naming the
/// value; as [`Trainer::run`](crate::trainer::Trainer::run).
pub fn train_detector(
    config: &DetectorConfig,
    assets: &Assets,
    options: &RunOptions,
    observer: &mut dyn Observer,
) -> Result<DetectorReport> {
    config.validate()?;
    if !options.device.is_cpu() {
        return Err(Error::invalid("the detector is trained on the CPU only"));
    }
    std::fs::create_dir_all(&options.folder).map_err(|error| Error::io(&options.folder, error))?;
    for line in assets.report() {
        observer.message(&line);
    }
    observer.message(&format!("rendering {} heads", config.scenes.heads));
    let objective = FaceDetection::new(config, assets)?;
    let mut trainer = start(&objective, config, options, observer)?;
    let outcome = trainer.run(&options.folder, observer)?;
    let model = trainer.averaged_model()?;
    let metrics = objective.evaluate(&model, &options.device)?;
    let detector = options.folder.join(DETECTOR_FILE);
    let tensors: Vec<_> = model.folded()?.into_iter().collect();
    write_safetensors(&detector, &tensors, &BTreeMap::new())?;
    Ok(DetectorReport {
        outcome,
        step: trainer.step(),
        metrics,
        detector,
    })
}
