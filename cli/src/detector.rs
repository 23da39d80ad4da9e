//! Face detectors, from files of their own and from inside identity models.

use crate::failure::{Failure, Outcome};
use crate::remedy;
use candle_core::{DType, Device};
use omniid::checkpoint::{recognise, Checkpoint, CheckpointKind};
use omniid::engine::{EngineOptions, Source};
use omniid::face::FaceDetector;
use omniid::{Error, Limits};
use std::path::Path;

/// The detector in `file`, else the one in `model`.
pub fn of(file: Option<&Path>, model: &Source, limits: &Limits) -> Outcome<FaceDetector> {
    match file {
        Some(path) => open(path, limits),
        None => inside(&Checkpoint::open(model, limits)?),
    }
}

/// The detector in `file`, else the one of the built-in model.
pub fn named_or_built_in(file: Option<&Path>, limits: &Limits) -> Outcome<FaceDetector> {
    match file {
        Some(path) => open(path, limits),
        None => {
            let options = EngineOptions::built_in()
                .map_err(|error| Failure::usage(error.message()).with_remedy(remedy::DETECTOR))?;
            of(None, &options.checkpoint, limits)
        }
    }
}

/// Opens a detector of its own, or the one inside a native checkpoint.
pub fn open(path: &Path, limits: &Limits) -> Outcome<FaceDetector> {
    match Checkpoint::open(path, limits) {
        Ok(file) if matches!(recognise(&file), Ok(CheckpointKind::Native)) => inside(&file),
        _ => Ok(FaceDetector::open(path, limits)?),
    }
}

fn inside(file: &Checkpoint) -> Outcome<FaceDetector> {
    let part = file.sub("detector");
    if part.is_empty() {
        return Err(
            Error::unsupported(format!("{} has no face detector in it", file.label()))
                .with_remedy(remedy::DETECTOR)
                .into(),
        );
    }
    let (builder, _) = part.var_builder(DType::F32, &Device::Cpu);
    Ok(FaceDetector::load(builder)?)
}
