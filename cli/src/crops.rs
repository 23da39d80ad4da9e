//! What a model saw of photos, to show it to people.

use crate::failure::Outcome;
use image::RgbImage;
use omniid::engine::{Encoded, PhotoReport};
use omniid::face::{prepare, CropOptions};
use omniid::photo::{FaceHint, Photo};
use omniid::Limits;
use std::path::Path;

/// File name and crop, `side` pixels wide and high, of every photo that went into an identity.
pub fn of(
    photos: &[Photo<'static>],
    encoded: &Encoded,
    side: u32,
    limits: &Limits,
) -> Outcome<Vec<(String, RgbImage)>> {
    let mut crops = Vec::new();
    for (photo, report) in photos.iter().zip(&encoded.photos) {
        if !report.is_used() {
            continue;
        }
        let hint = face_of(report);
        let options = CropOptions::new(report.crop, side).with_min_face(0.0);
        let (crop, _) = prepare(&photo.clone().with_face(hint), &options, None, limits)?;
        let name = Path::new(&report.name).file_name();
        crops.push((
            name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            crop,
        ));
    }
    Ok(crops)
}

/// The face that was found in a photo; looking for it again would need the detector.
pub fn face_of(report: &PhotoReport) -> FaceHint {
    match (report.face, report.bounds) {
        (Some(face), _) => FaceHint::Landmarks(face.landmarks),
        (None, Some(bounds)) => FaceHint::Box(bounds),
        (None, None) => FaceHint::Detect,
    }
}
