//! Face detectors: from files, from inside identity models, and the one inside the program.

use crate::failure::{Failure, Outcome};
use crate::remedy;
use candle_core::{DType, Device};
use omniid::checkpoint::Checkpoint;
use omniid::engine::Source;
use omniid::face::{Detection, FaceDetector};
use omniid::photo::PhotoNote;
use omniid::{ErrorKind, Limits};
use std::path::Path;

/// The detector in `file`, else the one in `model`, else the one inside the program.
pub fn of(file: Option<&Path>, model: &Source, limits: &Limits) -> Outcome<FaceDetector> {
    if file.is_none() {
        let part = Checkpoint::open(model, limits)?.sub("detector");
        if !part.is_empty() {
            let (builder, _) = part.var_builder(DType::F32, &Device::Cpu);
            return Ok(FaceDetector::load(builder)?);
        }
    }
    named_or_built_in(file, limits)
}

/// The detector in `file`, else the one inside the program.
pub fn named_or_built_in(file: Option<&Path>, limits: &Limits) -> Outcome<FaceDetector> {
    match file {
        Some(path) => Ok(FaceDetector::open(path, limits)?),
        None => FaceDetector::built_in().map_err(|error| match error.kind() {
            ErrorKind::Unsupported => Failure::usage(error.message()).with_remedy(remedy::DETECTOR),
            _ => error.into(),
        }),
    }
}

/// What is to be said about how the faces of a photo lie.
pub fn notes(detection: &Detection) -> Vec<String> {
    let (rotation, score) = (detection.rotation, detection.faces.first().map(|face| face.score));
    let turned = (rotation != 0).then_some(PhotoNote::Turned { rotation });
    let doubtful = score
        .filter(|_| detection.doubtful)
        .map(|score| PhotoNote::DoubtfulFace { score });
    [turned, doubtful].iter().flatten().map(ToString::to_string).collect()
}
