//! The demo's pictures.

use super::model::{IMAGE_SIDE, PATCH_SIDE};
use super::Person;
use crate::failure::Outcome;
use crate::picture::{overlay_heat, Canvas};
use image::RgbImage;
use omniid::engine::{Encoded, Engine};
use omniid::face::{prepare, CropMode, FaceDetector, FaceSelection};
use omniid::photo::Photo;
use omniid::Limits;
use std::path::Path;

/// Side of a thumbnail.
const THUMBNAIL: i64 = IMAGE_SIDE as i64;

/// Height of the line of text above a row.
const CAPTION: i64 = 16;

const PAPER: [u8; 3] = [250, 250, 248];
const INK: [u8; 3] = [40, 40, 40];

/// A photo as the image encoder sees it; `None` when it could not be used.
fn crop(path: &Path, mode: &CropMode, detector: Option<&FaceDetector>) -> Option<RgbImage> {
    let selection = FaceSelection::new(*mode, IMAGE_SIDE as u32);
    prepare(&Photo::from(path), &selection, detector, &Limits::default())
        .ok()
        .map(|photo| photo.image)
}

/// One row of thumbnails per person. A photo that was left out stays an empty place.
pub fn sheet(people: &[Person], mode: &CropMode, detector: Option<&FaceDetector>) -> Outcome<RgbImage> {
    const GAP: i64 = 4;
    let columns = people.iter().map(|person| person.photos.len()).max().unwrap_or(0) as i64;
    let row_height = CAPTION + THUMBNAIL + GAP;
    let (width, height) = (
        columns * (THUMBNAIL + GAP) + GAP,
        people.len() as i64 * row_height,
    );
    let mut canvas = Canvas::new(width as u32, height as u32, PAPER);
    for (row, person) in people.iter().enumerate() {
        let top = row as i64 * row_height;
        canvas.text(&person.name, GAP, top + 3, 2, INK);
        for (column, path) in person.photos.iter().enumerate() {
            let left = GAP + column as i64 * (THUMBNAIL + GAP);
            match crop(path, mode, detector) {
                Some(photo) => canvas.paste(&photo, left, top + CAPTION),
                None => canvas.frame(
                    [left, top + CAPTION, left + THUMBNAIL, top + CAPTION + THUMBNAIL],
                    1,
                    INK,
                ),
            }
        }
    }
    Ok(canvas.into_image())
}

/// The photos of an identity with the attention of a host layer over them. `attention` has one value per token; the
/// tokens of a photo are its class token and then its patches, row by row.
pub fn attention(
    engine: &Engine,
    person: &Person,
    encoded: &Encoded,
    mode: &CropMode,
    attention: &[f32],
    detector: Option<&Path>,
) -> Outcome<RgbImage> {
    let detector = match detector {
        Some(path) => Some(FaceDetector::open(path, engine.limits())?),
        None => None,
    };
    let columns = IMAGE_SIDE / PATCH_SIDE;
    let tokens = columns * columns + 1;
    let used: Vec<&Path> = encoded
        .photos
        .iter()
        .zip(&person.photos)
        .filter(|(report, _)| report.is_used())
        .map(|(_, path)| path.as_path())
        .collect();
    let mut canvas = Canvas::new(
        (used.len() as i64 * (THUMBNAIL + 4)) as u32,
        (2 * THUMBNAIL + CAPTION) as u32,
        PAPER,
    );
    canvas.text(&format!("{} - untrained", person.name), 4, 3, 2, INK);
    for (index, (path, values)) in used.iter().zip(attention.chunks_exact(tokens)).enumerate() {
        let left = index as i64 * (THUMBNAIL + 4);
        if let Some(photo) = crop(path, mode, detector.as_ref()) {
            canvas.paste(&photo, left, CAPTION);
            canvas.paste(
                &overlay_heat(&photo, &values[1..], columns),
                left,
                CAPTION + THUMBNAIL,
            );
        }
    }
    Ok(canvas.into_image())
}
