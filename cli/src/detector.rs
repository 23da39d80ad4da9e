//! Face detectors: from files, from inside identity models, and the one inside the program.

use crate::failure::{Failure, Outcome};
use crate::remedy;
use candle_core::{DType, Device};
use omniid::checkpoint::Checkpoint;
use omniid::engine::Source;
use omniid::face::{Detection, FaceDetector};
use omniid::photo::{Decoded, PhotoNote};
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

/// What is to be said about a photo that was read, and about how its faces lie if they were looked for.
pub fn notes(decoded: &Decoded, detection: Option<&Detection>) -> Vec<String> {
    let turned = detection.and_then(|found| match found.rotation {
        0 => None,
        rotation => Some(PhotoNote::Turned { rotation }),
    });
    let doubtful = detection.filter(|found| found.doubtful).and_then(|found| {
        let score = found.faces.first()?.score;
        Some(PhotoNote::DoubtfulFace { score })
    });
    let notes = decoded.notes.iter().chain(&turned).chain(&doubtful);
    notes.map(ToString::to_string).collect()
}
