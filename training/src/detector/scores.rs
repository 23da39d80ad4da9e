//! How well a face detector finds faces whose truth is known.

use super::truth::TrueFace;
use crate::evaluate::Progress;
use image::RgbImage;
use omniid::face::{DetectOptions, Face, FaceBox, FaceDetector};
use omniid::Result;
use serde::{Deserialize, Serialize};

/// Boxes that overlap by less (intersection over union) are of different faces.
const SAME: f32 = 0.5;

/// Least confidence of the faces that average precision ranks.
const FAINTEST: f32 = 0.02;

/// A face in a picture and what is known about it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelledFace {
    /// Box and points; a face that does not count may be found or not.
    pub face: TrueFace,
    /// To the side, radians.
    pub yaw: Option<f32>,
}

/// A picture and all faces in it.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelledPicture {
    /// The picture.
    pub image: RgbImage,
    /// Its faces.
    pub faces: Vec<LabelledFace>,
}

/// A group of faces, by size or angle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaceGroup {
    /// Which.
    pub name: String,
    /// How many.
    pub faces: usize,
    /// Part of them that was found; 0 of none.
    pub recall: f64,
    /// Mean distance of the five points from the truth, over the found ones, in distances between the eyes. The eyes of
    /// turned faces come together in the picture: the distance counts as at least a quarter of the box's longer side.
    pub landmark_error: Option<f64>,
}

/// What a detector is worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DetectionScores {
    /// Pictures searched.
    pub pictures: usize,
    /// Part of what was found that are faces; faces that need not be found are left out. 1 if nothing was found.
    pub precision: f64,
    /// Area under the curve of precision over recall, from all confidences, at an intersection over union of 0.5.
    pub average_precision: f64,
    /// Mean intersection over union of found faces with the truth.
    pub mean_overlap: f64,
    /// All faces.
    pub all: FaceGroup,
    /// By the longer side of the box, pixels.
    pub by_size: Vec<FaceGroup>,
    /// By the angle to the side, degrees.
    pub by_yaw: Vec<FaceGroup>,
}

/// Limits of the longer side, pixels.
const SIZES: [f32; 6] = [0.0, 16.0, 32.0, 64.0, 128.0, f32::INFINITY];

/// Limits of the angle, degrees.
const ANGLES: [f32; 5] = [0.0, 20.0, 40.0, 60.0, 180.0];

/// A true face and how it was found.
struct Outcome {
    size: f32,
    yaw: Option<f32>,
    /// Landmark error, if it was found.
    found: Option<f64>,
}

/// Searches the pictures with `options` and compares with the truth. A found face is the true face that it overlaps
/// most, at least by half; each true face is found once, by the most confident.
///
/// # Errors
/// As [`FaceDetector::detect`]; [`ErrorKind::Cancelled`](omniid::ErrorKind::Cancelled) when `progress` says so.
pub fn evaluate_detector(
    detector: &FaceDetector,
    pictures: &[LabelledPicture],
    options: &DetectOptions,
    progress: &mut Progress<'_>,
) -> Result<DetectionScores> {
    let mut outcomes = Vec::new();
    // Confidence and whether it is a face, of every one that was found, even faintly.
    let mut ranked = Vec::new();
    let mut overlaps = Vec::new();
    for (number, picture) in pictures.iter().enumerate() {
        progress.report("pictures searched", number, pictures.len())?;
        let faint = (*options).with_score_threshold(FAINTEST.min(options.score_threshold));
        let found = detector.detect(&picture.image, &faint)?;
        let matched = assign(&picture.faces, &found);
        for (face, truth) in found.iter().zip(&matched) {
            match truth {
                Match::Face(_) => ranked.push((face.score, true)),
                Match::Nothing => ranked.push((face.score, false)),
                Match::Uncounted => {}
            }
        }
        for (place, truth) in picture.faces.iter().enumerate() {
            if !truth.face.counts {
                continue;
            }
            let by = found.iter().zip(&matched).find(|(face, matched)| {
                matches!(matched, Match::Face(at) if *at == place) && face.score >= options.score_threshold
            });
            if let Some((face, _)) = by {
                overlaps.push(f64::from(face.bounds.overlap(&bounds(truth))));
            }
            outcomes.push(Outcome {
                size: truth.face.size(),
                yaw: truth.yaw,
                found: by.map(|(face, _)| landmark_error(truth, face)),
            });
        }
    }
    progress.report("pictures searched", pictures.len(), pictures.len())?;
    let sure: Vec<bool> = ranked
        .iter()
        .filter(|(score, _)| *score >= options.score_threshold)
        .map(|(_, face)| *face)
        .collect();
    let right = sure.iter().filter(|face| **face).count();
    Ok(DetectionScores {
        pictures: pictures.len(),
        precision: if sure.is_empty() {
            1.0
        } else {
            right as f64 / sure.len() as f64
        },
        average_precision: average_precision(ranked, outcomes.len()),
        mean_overlap: overlaps.iter().sum::<f64>() / overlaps.len().max(1) as f64,
        all: group("all", outcomes.iter()),
        by_size: groups(&SIZES, "px", &outcomes, |outcome| Some(outcome.size)),
        by_yaw: groups(&ANGLES, "°", &outcomes, |outcome| {
            outcome.yaw.map(|yaw| yaw.abs().to_degrees())
        }),
    })
}

/// What a found face is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Match {
    /// The true face at this place.
    Face(usize),
    /// One that need not be found.
    Uncounted,
    /// None, or one that was found already.
    Nothing,
}

/// The true face of each found one.
fn assign(truth: &[LabelledFace], found: &[Face]) -> Vec<Match> {
    let mut order: Vec<usize> = (0..found.len()).collect();
    order.sort_by(|&a, &b| found[b].score.total_cmp(&found[a].score));
    let mut taken = vec![false; truth.len()];
    let mut out = vec![Match::Nothing; found.len()];
    for place in order {
        let best = |counts: bool, taken: &[bool]| {
            truth
                .iter()
                .enumerate()
                .filter(|(at, face)| face.face.counts == counts && !taken[*at])
                .map(|(at, face)| (at, found[place].bounds.overlap(&bounds(face))))
                .filter(|(_, overlap)| *overlap >= SAME)
                .max_by(|a, b| a.1.total_cmp(&b.1))
        };
        if let Some((at, _)) = best(true, &taken) {
            taken[at] = true;
            out[place] = Match::Face(at);
        } else if best(false, &taken).is_some() {
            out[place] = Match::Uncounted;
        }
    }
    out
}

fn bounds(face: &LabelledFace) -> FaceBox {
    let [left, top, right, bottom] = face.face.bounds;
    FaceBox {
        left,
        top,
        right,
        bottom,
    }
}

fn landmark_error(truth: &LabelledFace, found: &Face) -> f64 {
    let points = truth.face.points;
    landmark_distance(&points, &found.landmarks.0, truth.face.size())
}

/// Mean distance of five points from `truth`, in distances between its eyes, which count as at least a quarter of
/// `size`, the longer side of the box.
pub fn landmark_distance(truth: &[[f32; 2]; 5], points: &[[f32; 2]; 5], size: f32) -> f64 {
    let apart = |a: [f32; 2], b: [f32; 2]| (a[0] - b[0]).hypot(a[1] - b[1]);
    let scale = apart(truth[0], truth[1]).max(0.25 * size);
    let sum: f32 = truth.iter().zip(points).map(|(a, b)| apart(*a, *b)).sum();
    f64::from(sum / 5.0 / scale)
}

fn group<'a>(name: &str, outcomes: impl Iterator<Item = &'a Outcome>) -> FaceGroup {
    let (mut faces, mut errors) = (0, Vec::new());
    for outcome in outcomes {
        faces += 1;
        errors.extend(outcome.found);
    }
    FaceGroup {
        name: name.to_owned(),
        faces,
        recall: errors.len() as f64 / faces.max(1) as f64,
        landmark_error: (!errors.is_empty()).then(|| errors.iter().sum::<f64>() / errors.len() as f64),
    }
}

/// Groups between limits; those without faces are left out.
fn groups(limits: &[f32], unit: &str, outcomes: &[Outcome], value: impl Fn(&Outcome) -> Option<f32>) -> Vec<FaceGroup> {
    limits
        .windows(2)
        .map(|pair| {
            let name = if pair[1].is_finite() {
                format!("{}–{} {unit}", pair[0], pair[1])
            } else {
                format!("from {} {unit}", pair[0])
            };
            let inside = |outcome: &&Outcome| value(outcome).is_some_and(|v| (pair[0]..pair[1]).contains(&v));
            group(&name, outcomes.iter().filter(inside))
        })
        .filter(|group| group.faces > 0)
        .collect()
}

/// Area under precision over recall, precision made monotonous, of `faces` true faces.
fn average_precision(mut ranked: Vec<(f32, bool)>, faces: usize) -> f64 {
    if faces == 0 {
        return 0.0;
    }
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut right, mut curve) = (0usize, Vec::new());
    for (place, (_, face)) in ranked.iter().enumerate() {
        right += usize::from(*face);
        curve.push((right, right as f64 / (place + 1) as f64));
    }
    let mut best = 0.0f64;
    for (_, precision) in curve.iter_mut().rev() {
        best = best.max(*precision);
        *precision = best;
    }
    let (mut area, mut before) = (0.0, 0);
    for (right, precision) in curve {
        area += (right - before) as f64 * precision;
        before = right;
    }
    area / faces as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use omniid::face::Landmarks;

    fn truth(left: f32, counts: bool) -> LabelledFace {
        LabelledFace {
            face: TrueFace {
                bounds: [left, 0.0, left + 20.0, 20.0],
                points: [[left + 5.0, 5.0], [left + 15.0, 5.0], [0.0; 2], [0.0; 2], [0.0; 2]],
                counts,
            },
            yaw: None,
        }
    }

    fn found(left: f32, score: f32) -> Face {
        Face {
            bounds: FaceBox {
                left,
                top: 0.0,
                right: left + 20.0,
                bottom: 20.0,
            },
            landmarks: Landmarks([[0.0; 2]; 5]),
            score,
        }
    }

    #[test]
    fn each_face_is_found_once_by_the_surest() {
        let truth = [truth(0.0, true), truth(100.0, true), truth(200.0, false)];
        let found = [
            found(2.0, 0.7),
            found(0.0, 0.6),
            found(103.0, 0.5),
            found(201.0, 0.9),
            found(300.0, 0.8),
        ];
        assert_eq!(
            assign(&truth, &found),
            [
                Match::Face(0),
                Match::Nothing,
                Match::Face(1),
                Match::Uncounted,
                Match::Nothing
            ]
        );
    }

    #[test]
    fn average_precision_of_a_small_example() {
        // Right, wrong, right, of three faces: 1/3 · 1 + 1/3 · 2/3.
        let ranked = vec![(0.5, true), (0.9, true), (0.7, false)];
        assert!((average_precision(ranked, 3) - (1.0 + 2.0 / 3.0) / 3.0).abs() < 1e-12);
        assert_eq!(average_precision(Vec::new(), 2), 0.0);
        assert_eq!(average_precision(vec![(0.3, true), (0.2, true)], 2), 1.0);
    }

    #[test]
    fn landmark_distance_is_in_eye_distances() {
        let truth = [[0.0, 0.0], [10.0, 0.0], [5.0, 5.0], [2.0, 9.0], [8.0, 9.0]];
        let moved = truth.map(|[x, y]| [x + 3.0, y + 4.0]);
        assert!((landmark_distance(&truth, &moved, 20.0) - 0.5).abs() < 1e-6);
        // Of a profile, whose eyes come together: a quarter of 40.
        let profile = [[0.0, 0.0], [1.0, 0.0], [5.0, 5.0], [2.0, 9.0], [3.0, 9.0]];
        let moved = profile.map(|[x, y]| [x + 3.0, y + 4.0]);
        assert!((landmark_distance(&profile, &moved, 40.0) - 0.5).abs() < 1e-6);
    }
}
