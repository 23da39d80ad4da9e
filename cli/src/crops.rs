//! What a model saw of photos, to show it to people.

use crate::failure::Outcome;
use image::RgbImage;
use omniid::engine::{Encoded, PhotoOutcome};
use omniid::face::{prepare, CropMode, FaceSelection};
use omniid::photo::{FaceHint, Photo};
use omniid::Limits;
use std::path::Path;

/// File name and crop, `side` pixels wide and high, of every photo that went into an identity.
pub fn of(
    photos: &[Photo<'static>],
    encoded: &Encoded,
    mode: CropMode,
    side: u32,
    limits: &Limits,
) -> Outcome<Vec<(String, RgbImage)>> {
    let mut crops = Vec::new();
    for (photo, report) in photos.iter().zip(&encoded.photos) {
        let PhotoOutcome::Used { face, bounds, .. } = &report.outcome else {
            continue;
        };
        // The face that was found; looking for it again would need the detector.
        let hint = match (face, bounds) {
            (Some(face), _) => FaceHint::Landmarks(face.landmarks),
            (None, Some(bounds)) => FaceHint::Box(*bounds),
            (None, None) => FaceHint::Detect,
        };
        let selection = FaceSelection {
            min_face: 0.0,
            ..FaceSelection::new(mode, side)
        };
        let prepared = prepare(&photo.clone().with_face(hint), &selection, None, limits)?;
        let name = Path::new(&report.name).file_name();
        crops.push((
            name.map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default(),
            prepared.image,
        ));
    }
    Ok(crops)
}
