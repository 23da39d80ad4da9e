//! From a photo to the square picture that the encoder sees.

use super::crop::{box_of_landmarks, crop_aligned, crop_box, crop_center, quarter_turns};
use super::detector::{turn, DetectOptions, Detection, FaceDetector};
use super::mode::CropMode;
use super::report::PhotoReport;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;
use crate::photo::{Decoded, Face, FaceBox, FaceHint, ImageProcessor, Landmarks, Photo, PhotoFit, PhotoNote};
use crate::remedy;
use crate::setters::setters;
use image::RgbImage;

/// Largest crop, in pixels a side.
const MAX_SIZE: u32 = 4096;

/// Faces of a photo that are looked at, the largest.
pub(crate) const MAX_FACES: usize = 8;

/// How photos are cut to what the encoder sees.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct CropOptions {
    /// How the photo is cut.
    pub mode: CropMode,
    /// Side of the result in pixels.
    pub size: u32,
    /// Smallest face, by the longer side of its box in pixels of the photo, that is of any use. Default 24.
    pub min_face: f32,
    /// How faces are searched.
    pub detect: DetectOptions,
    /// How the whole photo becomes a square in mode [`CropMode::None`]. Default: the centre is cut out.
    pub fit: PhotoFit,
}

impl CropOptions {
    /// The defaults for crops of `size` × `size` pixels.
    pub fn new(mode: CropMode, size: u32) -> Self {
        Self {
            mode,
            size,
            min_face: 24.0,
            detect: DetectOptions::default(),
            fit: PhotoFit::Centre,
        }
    }

    /// Fails for values that no photo could be cut with.
    pub(crate) fn check(&self) -> Result<()> {
        self.mode.check()?;
        if !(1..=MAX_SIZE).contains(&self.size) {
            return Err(Error::invalid(format!(
                "crop of {} pixels must be between 1 and {MAX_SIZE}",
                self.size
            )));
        }
        if !(self.min_face >= 0.0 && self.min_face.is_finite()) {
            return Err(Error::invalid(format!(
                "smallest face of {} pixels must be 0 or more",
                self.min_face
            )));
        }
        self.detect.check()
    }
}

setters!(CropOptions {
    with_min_face: min_face = plain f32,
    with_detect: detect = plain DetectOptions,
    with_fit: fit = plain PhotoFit,
});

/// Decodes a photo and cuts it for the encoder: `size` × `size` pixels, and how that was done.
///
/// Whether a photo can be used is the result: `Err` says why not, and concerns this photo only.
///
/// - [`CropMode::None`] and [`CropMode::Center`] look for no face. They refuse [`FaceHint::Index`], which asks for a
///   choice that they do not make; a box or landmarks say where the face is, and are not needed.
/// - [`FaceHint::Detect`] takes the largest face, [`FaceHint::Index`] the n-th largest. The landmarks of a face that was
///   found are those of a second look, see [`FaceDetector::refine`].
/// - [`FaceHint::Box`] and [`FaceHint::Landmarks`] need no detector. With only a box, an aligned crop falls back to a
///   face crop with a margin of 0.25, and a note says so.
/// - A face smaller than [`CropOptions::min_face`] counts as not found.
/// - A face that fills the photo or reaches out of it is cut with the photo's border repeated.
///
/// # Errors
/// Those of [`Photo::decode`]; [`ErrorKind::NoFace`] when there is no usable face, or fewer than the index needs;
/// [`ErrorKind::InvalidArgument`] when a face is needed and there is neither detector nor box nor landmarks, or when a
/// hint or an option is out of range. The message begins with the photo's name.
pub fn prepare(
    photo: &Photo<'_>,
    options: &CropOptions,
    detector: Option<&FaceDetector>,
    limits: &Limits,
) -> Result<(RgbImage, PhotoReport)> {
    let Prepared { image, report, .. } = prepare_photo(photo, options, detector, limits)?;
    Ok((image, report))
}

/// A photo that was cut, and what it was cut from.
pub(crate) struct Prepared {
    pub(crate) image: RgbImage,
    pub(crate) report: PhotoReport,
    pub(crate) decoded: Decoded,
}

/// [`prepare`], which also gives the decoded photo, to cut other faces out of it.
pub(crate) fn prepare_photo(
    photo: &Photo<'_>,
    options: &CropOptions,
    detector: Option<&FaceDetector>,
    limits: &Limits,
) -> Result<Prepared> {
    options.check()?;
    // Before the costly decoding: this can never work.
    check_hint(photo.face, options.mode, detector.is_some()).map_err(|error| error.context(photo.name()))?;
    let decoded = photo.decode_with_notes(limits)?;
    let (image, mut report) =
        cut_decoded(&decoded, photo.face, options, detector).map_err(|error| error.context(photo.name()))?;
    report.name = photo.name();
    report.notes.splice(0..0, decoded.notes.iter().cloned());
    Ok(Prepared { image, report, decoded })
}

/// Cuts around a face that the detector has found, in pixels of the whole photo.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] when the landmarks do not make a face.
pub(crate) fn cut_face(decoded: &Decoded, face: &Face, options: &CropOptions) -> Result<(RgbImage, PhotoReport)> {
    options.check()?;
    let factor = decoded.reduction as f32;
    let report = PhotoReport {
        face: Some(face.scaled(1.0 / factor)),
        ..PhotoReport::new(options.mode)
    };
    let report = with_bounds(report, face.bounds.scaled(1.0 / factor));
    let (image, report) = cut_around(&decoded.image, report, options)?;
    Ok((image, report.scaled(factor)))
}

/// [`cut`] for a photo that may have been read at reduced size: hint, limits and report count pixels of the whole one.
fn cut_decoded(
    decoded: &Decoded,
    hint: FaceHint,
    options: &CropOptions,
    detector: Option<&FaceDetector>,
) -> Result<(RgbImage, PhotoReport)> {
    if decoded.reduction == 1 {
        return cut(&decoded.image, hint, options, detector);
    }
    let factor = decoded.reduction as f32;
    // Named in pixels of the whole photo, which the message should repeat.
    match hint {
        FaceHint::Box(bounds) => bounds.check(decoded.full_size.0, decoded.full_size.1)?,
        FaceHint::Landmarks(points) => points.check()?,
        FaceHint::Detect | FaceHint::Index(_) => {}
    }
    let reduced = options.with_min_face(options.min_face / factor);
    let (image, report) = cut(&decoded.image, hint.scaled(1.0 / factor), &reduced, detector)
        .map_err(|error| error.context(format!("read at 1/{factor} of its size")))?;
    Ok((image, report.scaled(factor)))
}

/// [`prepare`] for an image that is already decoded and upright.
///
/// # Errors
/// As [`prepare`], without the photo's name.
pub fn cut(
    image: &RgbImage,
    hint: FaceHint,
    options: &CropOptions,
    detector: Option<&FaceDetector>,
) -> Result<(RgbImage, PhotoReport)> {
    options.check()?;
    check_hint(hint, options.mode, detector.is_some())?;
    let (width, height) = image.dimensions();
    if width == 0 || height == 0 {
        return Err(Error::invalid("the image has no pixels"));
    }
    let report = match options.mode {
        CropMode::None | CropMode::Center => PhotoReport::new(options.mode),
        CropMode::Face { .. } | CropMode::Aligned { .. } => choose(image, hint, options, detector)?,
    };
    cut_around(image, report, options)
}

/// Cuts around the face that `report` names, if the crop needs one.
fn cut_around(image: &RgbImage, mut report: PhotoReport, options: &CropOptions) -> Result<(RgbImage, PhotoReport)> {
    let size = options.size;
    let missing = || Error::internal(format!("crop mode {} without a face", options.mode));
    let cut = match options.mode {
        CropMode::None => {
            let processor = ImageProcessor {
                fit: options.fit,
                ..ImageProcessor::clip(size)
            };
            processor.resize_crop(image)
        }
        CropMode::Center => crop_center(image, size),
        CropMode::Face { margin } => {
            let cut = crop_box(image, &report.bounds.ok_or_else(missing)?, margin, size);
            match report.rotation / 90 {
                0 => cut,
                turns => turn(&cut, turns),
            }
        }
        CropMode::Aligned { scale, center } => match &report.face {
            Some(face) => crop_aligned(image, &face.landmarks, scale, center, size)?,
            None => {
                let margin = 0.25;
                report.crop = CropMode::Face { margin };
                report.notes.push(PhotoNote::NoLandmarks);
                crop_box(image, &report.bounds.ok_or_else(missing)?, margin, size)
            }
        },
    };
    Ok((cut, report))
}

/// Which face: found by the detector, or named by the host.
fn choose(
    image: &RgbImage,
    hint: FaceHint,
    options: &CropOptions,
    detector: Option<&FaceDetector>,
) -> Result<PhotoReport> {
    let (width, height) = image.dimensions();
    let report = PhotoReport::new(options.mode);
    let (bounds, report) = match hint {
        FaceHint::Box(bounds) => {
            bounds.check(width, height)?;
            check_face_size(&bounds, options.min_face)?;
            (bounds, report)
        }
        FaceHint::Landmarks(landmarks) => {
            landmarks.check()?;
            let bounds = named_box(&landmarks, width, height)?;
            check_face_size(&bounds, options.min_face)?;
            let face = Face {
                bounds,
                landmarks,
                score: 1.0,
            };
            let face = Some(face);
            (bounds, PhotoReport { face, ..report })
        }
        FaceHint::Detect => detected(image, None, options, detector)?,
        FaceHint::Index(index) => detected(image, Some(index), options, detector)?,
    };
    Ok(with_bounds(report, bounds))
}

/// The report on a photo that is to be cut around `bounds`.
fn with_bounds(report: PhotoReport, bounds: FaceBox) -> PhotoReport {
    PhotoReport {
        bounds: Some(bounds),
        rotation: report.face.map_or(0, |face| 90 * quarter_turns(&face.landmarks)),
        ..report
    }
}

/// Fails when the face that is meant and the crop contradict each other.
fn check_hint(hint: FaceHint, mode: CropMode, has_detector: bool) -> Result<()> {
    match hint {
        FaceHint::Index(index) if !mode.needs_face() => Err(Error::invalid(format!(
            "face {index} was asked for, but crop mode {mode} takes no notice of faces"
        ))
        .with_remedy(remedy::FACE_CROP)),
        FaceHint::Detect | FaceHint::Index(_) if mode.needs_face() && !has_detector => Err(no_detector(mode)),
        _ => Ok(()),
    }
}

fn no_detector(mode: CropMode) -> Error {
    Error::invalid(format!("crop mode {mode} must know where the face is")).with_remedy(remedy::FACE_PLACE)
}

fn named_box(landmarks: &Landmarks, width: u32, height: u32) -> Result<FaceBox> {
    let bounds = box_of_landmarks(landmarks)?;
    bounds
        .check(width, height)
        .map_err(|error| error.context("box of the given landmarks"))?;
    Ok(bounds)
}

fn check_face_size(bounds: &FaceBox, min_face: f32) -> Result<()> {
    if bounds.side() < min_face {
        return Err(Error::new(
            ErrorKind::NoFace,
            format!(
                "the given face has {:.0} pixels, at least {min_face:.0} are needed",
                bounds.side()
            ),
        ));
    }
    Ok(())
}

/// The face of rank `named`, or the largest of those that may be the person's.
fn detected(
    image: &RgbImage,
    named: Option<usize>,
    options: &CropOptions,
    detector: Option<&FaceDetector>,
) -> Result<(FaceBox, PhotoReport)> {
    let detector = detector.ok_or_else(|| no_detector(options.mode))?;
    let index = named.unwrap_or(0);
    let mut detection = detector.detect_oriented(image, &options.detect)?;
    if index >= detection.faces.len() && !detection.faces.is_empty() && !options.detect.exhaustive {
        // The first searches may have passed over small faces, and one of those is asked for.
        let exhaustive = DetectOptions {
            exhaustive: true,
            ..options.detect
        };
        detection = detector.detect_oriented(image, &exhaustive)?;
    }
    let Detection {
        mut faces,
        rotation,
        doubtful,
    } = detection;
    let largest = faces.first().map(|face| face.bounds);
    faces.retain(|face| face.bounds.side() >= options.min_face);
    let found = faces.len();
    // Unless one is named, the engine may prefer another of several faces.
    let looked_at = match named {
        None => &mut faces[..],
        Some(named) => faces.get_mut(named).map_or(&mut [][..], std::slice::from_mut),
    };
    detector.refine_largest(image, looked_at, &options.detect)?;
    let message = match (faces.get(index), largest) {
        (Some(face), _) => {
            let notes = [
                (rotation != 0).then_some(PhotoNote::Turned { rotation }),
                doubtful.then_some(PhotoNote::DoubtfulFace { score: face.score }),
                (found > 1).then_some(PhotoNote::SeveralFaces { found, used: index }),
            ];
            let report = PhotoReport {
                face: Some(*face),
                faces_found: Some(found),
                candidates: faces.clone(),
                notes: notes.into_iter().flatten().collect(),
                ..PhotoReport::new(options.mode)
            };
            return Ok((face.bounds, report));
        }
        (None, None) => "no face found".to_owned(),
        (None, Some(largest)) if found == 0 => format!(
            "the largest face has {:.0} pixels, at least {:.0} are needed",
            largest.side(),
            options.min_face
        ),
        (None, Some(_)) => format!("face {index} was asked for (0 is the largest), {found} found"),
    };
    Err(Error::new(ErrorKind::NoFace, message))
}
