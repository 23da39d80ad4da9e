//! Which way up a photo is: the four orientations compared where faces may be.

use super::detector::{decode, scaled, to_planes, turn, turn_back, FaceDetector};
use crate::error::Result;
use crate::photo::{Face, FaceBox};
use image::{imageops, RgbImage};

/// Sides of the squares, in pixels, at which orientations are compared. They are multiples of the network's stride, so
/// that nothing is padded. The first alone settles most photos.
const SQUARES: [f32; 3] = [96.0, 128.0, 192.0];

/// Side of the square around a face, as a multiple of the face's longer side.
const SURROUNDINGS: f32 = 96.0 / 44.0;

/// Places of a photo that are looked at.
const PLACES: usize = 4;

/// Two faces that overlap by more are one place.
const SAME_PLACE: f32 = 0.3;

/// Evidence by which the upright orientation must lead at the first look to be beyond doubt. Chosen on 176 photos, real
/// and rendered, of half the people of three sets: no wrong orientation led as far, and the upright one failed to in 8.
/// On 172 photos of the other half it was 0 and 11.
const BEYOND_DOUBT: f32 = 1.0;

/// Score from which on a face that was found in the photo as it is may settle the matter.
const SURE_SCORE: f32 = 0.85;

/// Lead below which an orientation is doubtful after all looks.
const DOUBTFUL_LEAD: f32 = 0.3;

/// Score of the network near the face below which an upright face is doubtful.
const DOUBTFUL_SCORE: f32 = 0.5;

/// Score below which what was not found in the photo as it is, or only faintly, is no face.
const WEAK_SCORE: f32 = 0.6;

/// How sure the network is of a face in each orientation: the logarithm of the odds, index 1 for a photo turned by 90
/// degrees clockwise, and so on.
pub(super) type Evidence = [f32; 4];

/// What the orientations of a photo say.
pub(super) struct Verdict {
    /// Quarter turns clockwise after which the photo is upright.
    pub turns: u32,
    /// Whether it may be another one, or no face.
    pub doubtful: bool,
}

impl FaceDetector {
    /// Whether the surest of the faces found in the photo as it is leaves no doubt that the photo is upright.
    pub(super) fn beyond_doubt(&self, image: &RgbImage, faces: &[Face]) -> Result<bool> {
        let Some(face) = faces.iter().max_by(|a, b| a.score.total_cmp(&b.score)) else {
            return Ok(false);
        };
        if face.score < SURE_SCORE {
            return Ok(false);
        }
        // The first look settles most photos; the mean of several settles most of the rest, for a fraction of what
        // searching all orientations costs.
        let mut mean = [0.0; 4];
        for (looks, square) in SQUARES.into_iter().enumerate() {
            let evidence = self.evidence(image, &face.bounds, square)?;
            for (mean, evidence) in mean.iter_mut().zip(evidence) {
                *mean += (evidence - *mean) / (looks + 1) as f32;
            }
            if lead(&mean, 0) >= BEYOND_DOUBT && mean[0] >= odds(DOUBTFUL_SCORE) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Compares the orientations by all faces that were found in any of them, `found[turns]` in pixels of the photo as
    /// it is; `faint` says that those of the photo as it is miss the score that was asked for. `None` when no
    /// orientation shows a face.
    pub(super) fn judge(&self, image: &RgbImage, found: &[Vec<Face>; 4], faint: bool) -> Result<Option<Verdict>> {
        let mut sums = [0.0f32; 4];
        let (mut weights, mut best) = (0.0, [f32::NEG_INFINITY; 4]);
        for bounds in places(found) {
            let mut mean = [0.0; 4];
            for square in SQUARES {
                let evidence = self.evidence(image, &bounds, square)?;
                for (mean, evidence) in mean.iter_mut().zip(evidence) {
                    *mean += evidence / SQUARES.len() as f32;
                }
            }
            // What is a face in no orientation has no say.
            let surest = mean.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let weight = probability(surest).powi(2);
            weights += weight;
            for turns in 0..4 {
                sums[turns] += weight * mean[turns];
                best[turns] = best[turns].max(mean[turns]);
            }
        }
        let candidates = (0..4).filter(|&turns| !found[turns].is_empty());
        let Some(turns) = candidates.max_by(|&a, &b| sums[a].total_cmp(&sums[b])) else {
            return Ok(None);
        };
        let weak = turns != 0 || faint;
        if weak && best[turns] < odds(WEAK_SCORE) {
            return Ok((!faint && !found[0].is_empty()).then_some(Verdict {
                turns: 0,
                doubtful: true,
            }));
        }
        let lead = lead(&sums, turns) / weights.max(f32::EPSILON);
        Ok(Some(Verdict {
            turns: turns as u32,
            doubtful: (faint && turns == 0) || lead < DOUBTFUL_LEAD || best[turns] < odds(DOUBTFUL_SCORE),
        }))
    }

    /// The network's odds of the face at `bounds` in each orientation, seen in a square of at most `square` pixels.
    fn evidence(&self, image: &RgbImage, bounds: &FaceBox, square: f32) -> Result<Evidence> {
        let side = bounds.side() * SURROUNDINGS;
        let center = [(bounds.left + bounds.right) / 2.0, (bounds.top + bounds.bottom) / 2.0];
        let (width, height) = (image.width() as f32, image.height() as f32);
        let [left, right] = [-0.5, 0.5].map(|part| (center[0] + part * side).clamp(0.0, width).round());
        let [top, bottom] = [-0.5, 0.5].map(|part| (center[1] + part * side).clamp(0.0, height).round());
        let (width, height) = ((right - left) as u32, (bottom - top) as u32);
        let mut evidence = [odds(0.0); 4];
        if width == 0 || height == 0 {
            return Ok(evidence);
        }
        let part = imageops::crop_imm(image, left as u32, top as u32, width, height).to_image();
        let factor = square / side;
        let small = if factor < 1.0 {
            scaled(&part, f64::from(factor))
        } else {
            part
        };
        let (width, height) = (small.width() as f32, small.height() as f32);
        let middle = [
            (center[0] - left) * width / (right - left),
            (center[1] - top) * height / (bottom - top),
        ];
        for (turns, evidence) in evidence.iter_mut().enumerate() {
            let turned;
            let seen = match turns {
                0 => &small,
                turns => {
                    turned = turn(&small, turns as u32);
                    &turned
                }
            };
            let (planes, columns, rows) = to_planes(seen);
            let levels = self.network().forward(planes, columns, rows)?;
            let hits = levels.iter().flat_map(|level| decode(level, 0.02));
            let score = hits
                .map(|hit| turn_back(&hit, turns as u32, width, height))
                // Another face in the square is none of this place.
                .filter(|hit| hit.bounds.left < middle[0] && middle[0] < hit.bounds.right)
                .filter(|hit| hit.bounds.top < middle[1] && middle[1] < hit.bounds.bottom)
                .map(|hit| hit.score)
                .fold(0.0, f32::max);
            *evidence = odds(score);
        }
        Ok(evidence)
    }
}

/// The places of the surest faces in any orientation.
fn places(found: &[Vec<Face>; 4]) -> Vec<FaceBox> {
    let mut all: Vec<&Face> = found.iter().flatten().collect();
    all.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut places: Vec<FaceBox> = Vec::new();
    for face in all {
        if places.len() < PLACES && places.iter().all(|place| place.overlap(&face.bounds) <= SAME_PLACE) {
            places.push(face.bounds);
        }
    }
    places
}

/// By how much an orientation leads the next best.
fn lead(evidence: &Evidence, turns: usize) -> f32 {
    let others = evidence.iter().enumerate().filter(|(other, _)| *other != turns);
    let next = others.map(|(_, evidence)| *evidence).fold(f32::NEG_INFINITY, f32::max);
    evidence[turns] - next
}

/// The logarithm of the odds, bounded so that scores of 0 and 1 are finite.
fn odds(score: f32) -> f32 {
    ((score + 0.02) / (1.02 - score)).ln()
}

/// The probability that belongs to a logarithm of odds.
fn probability(odds: f32) -> f32 {
    1.0 / (1.0 + (-odds).exp())
}
