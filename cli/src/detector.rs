//! Face detectors, from files of their own and from inside identity models.

use crate::failure::{Failure, Outcome};
use candle_core::{DType, Device};
use omniid::checkpoint::{recognise, Checkpoint, CheckpointKind};
use omniid::engine::Source;
use omniid::face::FaceDetector;
use omniid::{Error, Limits};
use std::path::Path;

/// The detector in `file`, else the one in `model`.
pub fn of(file: Option<&Path>, model: Option<&Source>, limits: &Limits) -> Outcome<FaceDetector> {
    match (file, model) {
        (Some(path), _) => open(path, limits),
        (None, Some(Source::Path(path))) => inside(&Checkpoint::open(path, limits)?),
        (None, Some(Source::Bytes(bytes))) => inside(&Checkpoint::from_bytes(bytes.clone(), limits)?),
        (None, None) => Err(Failure::usage("no face detector: give --detector FILE")),
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
        return Err(Error::unsupported(format!(
            "{} has no face detector in it; give --detector FILE",
            file.label()
        ))
        .into());
    }
    let (builder, _) = part.var_builder(DType::F32, &Device::Cpu);
    Ok(FaceDetector::load(builder)?)
}
