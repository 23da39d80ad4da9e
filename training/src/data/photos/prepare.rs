//! From a file to a picture of the training set.

use super::pose::HeadPose;
use super::report::DropReason;
use super::PhotoOptions;
use crate::data::{Picture, Role};
use image::RgbImage;
use omniid::face::{Face, FaceDetector, Landmarks};
use omniid::photo::resample::{resize, Filter};
use omniid::Error;
use omniid::Photo;
use omniid_minihost::View;
use sha2::{Digest, Sha256};
use std::path::Path;

/// A photo that can be used.
pub(super) struct Prepared {
    pub picture: Picture,
    /// SHA-256 of the file.
    pub hash: [u8; 32],
}

/// Why a photo cannot be used.
pub(super) type Refusal = (DropReason, String);

pub(super) fn prepare(path: &Path, detector: &FaceDetector, options: &PhotoOptions) -> Result<Prepared, Refusal> {
    let unreadable = |error: Error| {
        // The report names the file by its path below the root already.
        let text = error.message();
        let prefix = format!("{}: ", path.display());
        (
            DropReason::Unreadable,
            text.strip_prefix(&prefix).unwrap_or(text).to_string(),
        )
    };
    let image = Photo::from(path).decode(&options.limits).map_err(unreadable)?;
    let bytes = std::fs::read(path).map_err(|error| (DropReason::Unreadable, error.to_string()))?;
    let hash = Sha256::digest(bytes).into();
    let face = find_face(&image, detector, options)?;
    let picture = picture(&image, &face.landmarks, options).map_err(unreadable)?;
    Ok(Prepared { picture, hash })
}

fn find_face(image: &RgbImage, detector: &FaceDetector, options: &PhotoOptions) -> Result<Face, Refusal> {
    let failed = |error: Error| (DropReason::Unreadable, error.to_string());
    // As it is first, for that is how `encode` sees the photo.
    let mut faces = detector.detect(image, &options.detect).map_err(failed)?;
    let longer = image.width().max(image.height());
    let factor = f64::from(options.enlarge_to) / f64::from(longer.max(1));
    if faces.is_empty() && factor > 1.0 {
        let side = |side: u32| (f64::from(side) * factor).round().max(1.0) as u32;
        let large = resize(image, side(image.width()), side(image.height()), Filter::Bilinear);
        let (x, y) = (
            image.width() as f32 / large.width() as f32,
            image.height() as f32 / large.height() as f32,
        );
        let found = detector.detect(&large, &options.detect).map_err(failed)?;
        faces = found.into_iter().map(|face| scaled(face, x, y)).collect();
    }
    faces.sort_by(|a, b| b.bounds.side().total_cmp(&a.bounds.side()));
    let Some(face) = faces.first() else {
        return Err((DropReason::NoFace, "no face found".to_string()));
    };
    let side = face.bounds.side();
    if side < options.min_face {
        return Err((
            DropReason::TooSmall,
            format!(
                "the largest face has {side:.0} pixels, at least {:.0} are needed",
                options.min_face
            ),
        ));
    }
    if let Some(second) = faces.get(1).map(|face| face.bounds.side()) {
        if second >= options.second_face * side {
            return Err((
                DropReason::SeveralFaces,
                format!("{} faces, the largest of {side:.0} and {second:.0} pixels", faces.len()),
            ));
        }
    }
    detector.refine(image, face, &options.detect).map_err(failed)
}

fn scaled(mut face: Face, x: f32, y: f32) -> Face {
    face.bounds.left *= x;
    face.bounds.right *= x;
    face.bounds.top *= y;
    face.bounds.bottom *= y;
    face.landmarks = Landmarks(face.landmarks.0.map(|[px, py]| [px * x, py * y]));
    face
}

/// The crop, and what can be said about it.
fn picture(image: &RgbImage, landmarks: &Landmarks, options: &PhotoOptions) -> omniid::Result<Picture> {
    let size = options.size;
    let crop = options.template.cut(image, landmarks, size)?;
    let to_crop = options.template.similarity(landmarks, size)?;
    let points = landmarks
        .0
        .map(|point| to_crop.apply(point.map(f64::from)).map(|value| value as f32));
    let pose = HeadPose::fit(&points);
    let relative = |value: f64| (2.0 * value / f64::from(size) - 1.0) as f32;
    let mask = head_mask(&pose, size);
    let view = View {
        yaw: pose.angles[0] as f32,
        pitch: pose.angles[1] as f32,
        roll: pose.angles[2] as f32,
        points: pose.points().map(|point| point.map(relative)),
        background: background(&crop, &mask),
        ..View::default()
    };
    Ok(Picture {
        pixels: crop.into_raw(),
        mask,
        view,
        points: points.map(|point| point.map(|value| relative(f64::from(value)))),
        role: Role::Both,
    })
}

/// Where an average head with hair lies: an ellipse. A guess; real photos come without a mask.
fn head_mask(pose: &HeadPose, size: u32) -> Vec<u8> {
    // Centre below the brows and behind the face; half axes of an average head with hair.
    let [x, y] = pose.project([0.0, -0.3, -0.3]);
    let (wide, high) = (1.25 * pose.scale, 1.75 * pose.scale);
    let (sin, cos) = pose.angles[2].sin_cos();
    (0..size * size)
        .map(|place| {
            let (dx, dy) = (f64::from(place % size) - x, f64::from(place / size) - y);
            let (across, along) = (dx * cos + dy * sin, dy * cos - dx * sin);
            let inside = (across / wide).powi(2) + (along / high).powi(2) <= 1.0;
            if inside {
                255
            } else {
                0
            }
        })
        .collect()
}

/// Mean colour of the background's upper and lower half, 0…1; grey where the head fills it.
fn background(crop: &RgbImage, mask: &[u8]) -> [[f32; 3]; 2] {
    let size = crop.width();
    let mut sums = [[0f64; 4]; 2];
    for ((_, y, pixel), mask) in crop.enumerate_pixels().zip(mask) {
        if *mask == 0 {
            let sum = &mut sums[usize::from(2 * y >= size)];
            for channel in 0..3 {
                sum[channel] += f64::from(pixel[channel]) / 255.0;
            }
            sum[3] += 1.0;
        }
    }
    sums.map(|[r, g, b, count]| [r, g, b].map(|sum| if count > 0.0 { (sum / count) as f32 } else { 0.5 }))
}
