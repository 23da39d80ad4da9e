//! Finding faces: scales, turned photos, post-processing.

use super::network::{Level, Network};
use crate::error::{Error, Result};
use crate::photo::resample::{resize, Filter};
use crate::photo::{Face, FaceBox, Landmarks};
use crate::setters::setters;
use image::{imageops, RgbImage};
use omniid_kernels::layers::{TensorSpec, Weights};
use std::sync::Arc;

/// Longest side, in working pixels, of a face that the network was made to find.
const LARGEST_FACE: f32 = 300.0;

/// How [`FaceDetector::detect`] searches.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct DetectOptions {
    /// Least confidence of a face, 0 to 1. Default 0.6.
    pub score_threshold: f32,
    /// Of two boxes that overlap by more than this intersection over union, the less confident is dropped.
    /// Default 0.45.
    pub overlap_threshold: f32,
    /// Longer side, in pixels, to which larger photos are scaled down for the first search. Default 640.
    pub side: u32,
    /// Longer side for the second search, which finds faces that the first makes too small. Default 1920.
    pub fine_side: u32,
    /// Make the second search even if the first found faces. Default false.
    pub exhaustive: bool,
    /// Unless the photo is upright beyond doubt, compare it with itself turned by 90, 180 and 270 degrees, and take the
    /// orientation that shows faces best. Default true.
    pub turn: bool,
}

impl Default for DetectOptions {
    fn default() -> Self {
        Self {
            score_threshold: 0.6,
            overlap_threshold: 0.45,
            side: 640,
            fine_side: 1920,
            exhaustive: false,
            turn: true,
        }
    }
}

impl DetectOptions {
    /// Fails for values out of range.
    pub(crate) fn check(&self) -> Result<()> {
        let unit = 0.0..=1.0;
        if !unit.contains(&self.score_threshold) || !unit.contains(&self.overlap_threshold) {
            return Err(Error::invalid(format!(
                "score threshold {} and overlap threshold {} must be between 0 and 1",
                self.score_threshold, self.overlap_threshold
            )));
        }
        for side in [self.side, self.fine_side] {
            if !(32..=4096).contains(&side) {
                return Err(Error::invalid(format!(
                    "detector side of {side} pixels must be between 32 and 4096"
                )));
            }
        }
        Ok(())
    }
}

setters!(DetectOptions {
    with_score_threshold: score_threshold = plain f32,
    with_overlap_threshold: overlap_threshold = plain f32,
    with_side: side = plain u32,
    with_fine_side: fine_side = plain u32,
    with_exhaustive: exhaustive = plain bool,
    with_turn: turn = plain bool,
});

/// What [`FaceDetector::detect_oriented`] finds.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Detection {
    /// The faces, largest first, in pixels of the image as it is.
    pub faces: Vec<Face>,
    /// Degrees clockwise by which the image has to be turned for these faces to be upright: 0, 90, 180 or 270.
    pub rotation: u32,
    /// Whether another orientation is nearly as likely, or what was found hardly looks like a face.
    pub doubtful: bool,
}

/// The YuNet face detector. Immutable; may be used from any number of threads at once. Clones share the weights.
#[derive(Debug, Clone)]
pub struct FaceDetector {
    network: Arc<Network>,
}

impl FaceDetector {
    /// Takes the weights `backbone.…`, `neck.…`, `head.…` (118 tensors, batch norm folded).
    ///
    /// # Errors
    /// [`Format`](crate::ErrorKind::Format) for a missing tensor or a wrong shape.
    pub fn load<'a>(weights: impl Into<Weights<'a>>) -> Result<Self> {
        Ok(Self {
            network: Network::build(&weights.into())
                .map_err(|error| error.context("face detector"))?
                .into(),
        })
    }

    /// Every tensor of the detector, with a start for training.
    ///
    /// # Errors
    /// None that the caller could cause.
    pub fn tensors() -> Result<Vec<TensorSpec>> {
        Weights::list(Network::build)
    }

    /// Finds the faces of an image, largest first (by the longer side of the box): those of
    /// [`FaceDetector::detect_oriented`].
    ///
    /// # Errors
    /// As [`FaceDetector::detect_oriented`].
    pub fn detect(&self, image: &RgbImage, options: &DetectOptions) -> Result<Vec<Face>> {
        Ok(self.detect_oriented(image, options)?.faces)
    }

    /// Finds the faces of an image, and which way up it is.
    ///
    /// YuNet finds faces of about 10 to 300 pixels. The image is therefore searched at several scales; it is never
    /// enlarged:
    /// 1. scaled down so that the longer side is at most `options.side`;
    /// 2. at half that scale, of which only faces that would be larger than 300 pixels in search 1 count;
    /// 3. with the longer side at most `options.fine_side`, if that is larger, when nothing was found or
    ///    `options.exhaustive` asks for it.
    ///
    /// A face that lies on its side or on its head may be found, too, with landmarks that are not where eyes and mouth
    /// are. If `options.turn` allows it, the surest face is therefore looked at again in all four orientations, at a
    /// small size. Unless the upright one leads beyond doubt, searches 1 to 3 are made with the image turned by 90,
    /// 180 and 270 degrees as well. The orientation in which all places that look like a face are surest counts for
    /// the whole image: its faces are mapped back; the landmarks keep their meaning for the upright face, so that
    /// their order shows how the face is turned. Somebody who hangs upside down looks like a photo that does.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for options out of range; failures of the device.
    pub fn detect_oriented(&self, image: &RgbImage, options: &DetectOptions) -> Result<Detection> {
        options.check()?;
        let longer = image.width().max(image.height());
        if image.width() == 0 || image.height() == 0 {
            return Ok(Detection::default());
        }
        // All searches start from what the finest one needs; turning a 100 megapixel photo would be a waste.
        let finest = options.side.max(options.fine_side);
        let factor = scale_to(longer, finest);
        let reduced;
        let base = if factor < 1.0 {
            reduced = scaled(image, factor);
            &reduced
        } else {
            image
        };
        let mut detection = Detection {
            faces: self.search(base, options)?,
            ..Detection::default()
        };
        if options.turn && !self.beyond_doubt(base, &detection.faces)? {
            detection = self.best_orientation(base, detection.faces, options)?;
        }
        let x = image.width() as f32 / base.width() as f32;
        let y = image.height() as f32 / base.height() as f32;
        for face in &mut detection.faces {
            *face = map(face, |[px, py]| [px * x, py * y]);
        }
        detection
            .faces
            .sort_by(|a, b| b.bounds.side().total_cmp(&a.bounds.side()));
        Ok(detection)
    }

    /// Searches the turned image as well; `upright` was found in it as it is.
    fn best_orientation(&self, image: &RgbImage, upright: Vec<Face>, options: &DetectOptions) -> Result<Detection> {
        let (width, height) = (image.width() as f32, image.height() as f32);
        let mut found = [upright, Vec::new(), Vec::new(), Vec::new()];
        for quarter_turns in 1..4 {
            let faces = self.search(&turn(image, quarter_turns), options)?;
            found[quarter_turns as usize] = faces
                .iter()
                .map(|face| turn_back(face, quarter_turns, width, height))
                .collect();
        }
        let faint = found[0].is_empty();
        if faint && found.iter().any(|faces| !faces.is_empty()) {
            // Most photos are upright: there, a doubtful face counts as well.
            let doubtful = DetectOptions {
                score_threshold: 0.5 * options.score_threshold,
                ..*options
            };
            found[0] = self.search(image, &doubtful)?;
        }
        Ok(match self.judge(image, &found, faint)? {
            None => Detection::default(),
            Some(verdict) => Detection {
                faces: std::mem::take(&mut found[verdict.turns as usize]),
                rotation: 90 * verdict.turns,
                doubtful: verdict.doubtful,
            },
        })
    }

    pub(super) fn network(&self) -> &Network {
        &self.network
    }

    /// Searches 1 to 3 of [`FaceDetector::detect`].
    fn search(&self, image: &RgbImage, options: &DetectOptions) -> Result<Vec<Face>> {
        let longer = image.width().max(image.height());
        let factor = scale_to(longer, options.side);
        let normal = self.search_scale(image, factor, options)?;
        let largest = LARGEST_FACE / factor as f32;
        // A face beyond the network's range is measured better at half the scale.
        let mut faces = Vec::new();
        if f64::from(longer) * factor > f64::from(LARGEST_FACE) {
            faces = self.search_scale(image, factor / 2.0, options)?;
            faces.retain(|face| face.bounds.side() > largest);
        }
        merge(&mut faces, normal, options.overlap_threshold);
        let fine = scale_to(longer, options.fine_side);
        if fine > factor && (faces.is_empty() || options.exhaustive) {
            let mut small = self.search_scale(image, fine, options)?;
            small.retain(|face| face.bounds.side() <= LARGEST_FACE / fine as f32);
            merge(&mut faces, small, options.overlap_threshold);
        }
        Ok(faces)
    }

    /// One pass of the network at one scale; results in pixels of `image`.
    pub(super) fn search_scale(&self, image: &RgbImage, factor: f64, options: &DetectOptions) -> Result<Vec<Face>> {
        let reduced;
        let input = if factor < 1.0 {
            reduced = scaled(image, factor);
            &reduced
        } else {
            image
        };
        let (planes, width, height) = to_planes(input);
        let levels = self.network.forward(planes, width, height)?;
        let mut faces: Vec<Face> = levels
            .iter()
            .flat_map(|level| decode(level, options.score_threshold))
            .collect();
        faces = suppress(faces, options.overlap_threshold);
        let x = image.width() as f32 / input.width() as f32;
        let y = image.height() as f32 / input.height() as f32;
        Ok(faces
            .iter()
            .map(|face| map(face, |[px, py]| [px * x, py * y]))
            .collect())
    }
}

/// By how much to scale so that `longer` becomes at most `side`.
fn scale_to(longer: u32, side: u32) -> f64 {
    (f64::from(side) / f64::from(longer)).min(1.0)
}

pub(super) fn scaled(image: &RgbImage, factor: f64) -> RgbImage {
    let side = |side: u32| ((f64::from(side) * factor).round() as u32).max(1);
    resize(image, side(image.width()), side(image.height()), Filter::Bilinear)
}

/// Planes B, G, R with sides padded by zeros, right and below, to multiples of 32.
pub(super) fn to_planes(image: &RgbImage) -> (Vec<f32>, usize, usize) {
    let width = (image.width() as usize).next_multiple_of(32);
    let height = (image.height() as usize).next_multiple_of(32);
    let mut planes = vec![0f32; 3 * width * height];
    for (plane, channel) in planes.chunks_exact_mut(width * height).zip([2, 1, 0]) {
        let source = image.chunks_exact(image.width() as usize * 3);
        for (to, from) in plane.chunks_exact_mut(width).zip(source) {
            for (to, pixel) in to.iter_mut().zip(from.chunks_exact(3)) {
                *to = f32::from(pixel[channel]);
            }
        }
    }
    (planes, width, height)
}

/// Faces of one level with at least the given score.
pub(super) fn decode(level: &Level, threshold: f32) -> Vec<Face> {
    let stride = level.stride as f32;
    let mut faces = Vec::new();
    let scores = level
        .class
        .iter()
        .zip(&level.object)
        .map(|(class, object)| class * object);
    for (cell, ((score, offsets), points)) in scores.zip(&level.boxes).zip(&level.points).enumerate() {
        if score.is_nan() || score < threshold {
            continue;
        }
        let x = (cell % level.columns) as f32 * stride;
        let y = (cell / level.columns) as f32 * stride;
        let [center_x, center_y] = [x + stride * offsets[0], y + stride * offsets[1]];
        let [half_width, half_height] = [stride * offsets[2].exp() / 2.0, stride * offsets[3].exp() / 2.0];
        let bounds = FaceBox {
            left: center_x - half_width,
            top: center_y - half_height,
            right: center_x + half_width,
            bottom: center_y + half_height,
        };
        let landmarks = std::array::from_fn(|k| [x + stride * points[2 * k], y + stride * points[2 * k + 1]]);
        let finite = bounds.area().is_finite() && landmarks.iter().flatten().all(|v| v.is_finite());
        if finite {
            faces.push(Face {
                bounds,
                landmarks: Landmarks(landmarks),
                score,
            });
        }
    }
    faces
}

/// Greedy non-maximum suppression: the most confident first.
fn suppress(mut faces: Vec<Face>, overlap: f32) -> Vec<Face> {
    faces.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept = Vec::new();
    merge(&mut kept, faces, overlap);
    kept
}

/// Adds, in order, the faces that do not overlap one already kept.
fn merge(kept: &mut Vec<Face>, faces: Vec<Face>, overlap: f32) {
    for face in faces {
        if kept.iter().all(|other| other.bounds.overlap(&face.bounds) <= overlap) {
            kept.push(face);
        }
    }
}

/// Moves every point of a face.
fn map(face: &Face, f: impl Fn([f32; 2]) -> [f32; 2]) -> Face {
    let a = f([face.bounds.left, face.bounds.top]);
    let b = f([face.bounds.right, face.bounds.bottom]);
    Face {
        bounds: FaceBox {
            left: a[0].min(b[0]),
            top: a[1].min(b[1]),
            right: a[0].max(b[0]),
            bottom: a[1].max(b[1]),
        },
        landmarks: Landmarks(face.landmarks.0.map(f)),
        score: face.score,
    }
}

/// Turns clockwise by quarter turns.
pub(super) fn turn(image: &RgbImage, quarter_turns: u32) -> RgbImage {
    match quarter_turns % 4 {
        1 => imageops::rotate90(image),
        2 => imageops::rotate180(image),
        3 => imageops::rotate270(image),
        _ => image.clone(),
    }
}

/// From the turned image to the one before turning, which has `width` × `height` pixels.
pub(super) fn turn_back(face: &Face, quarter_turns: u32, width: f32, height: f32) -> Face {
    map(face, |[x, y]| match quarter_turns % 4 {
        1 => [y, height - x],
        2 => [width - x, height - y],
        3 => [width - y, x],
        _ => [x, y],
    })
}
