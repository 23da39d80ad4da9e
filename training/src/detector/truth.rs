//! Which cell answers for which face.

use super::network::STRIDES;

/// A face in a picture, in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrueFace {
    /// Left, top, right, bottom.
    pub bounds: [f32; 4],
    /// Eye at image left, eye at image right, nose tip, mouth corner left, mouth corner right.
    pub points: [[f32; 2]; 5],
    /// Whether the detector must find it. One that is too small or mostly cut off need be neither found nor missed.
    pub counts: bool,
}

impl TrueFace {
    /// The longer side of the box.
    pub fn size(&self) -> f32 {
        let [left, top, right, bottom] = self.bounds;
        (right - left).max(bottom - top)
    }

    /// As a detector that finds it exactly would say it.
    pub fn found(&self) -> omniid::face::Face {
        let [left, top, right, bottom] = self.bounds;
        omniid::face::Face {
            bounds: omniid::face::FaceBox {
                left,
                top,
                right,
                bottom,
            },
            landmarks: omniid::face::Landmarks(self.points),
            score: 1.0,
        }
    }

    fn centre(&self) -> [f32; 2] {
        let [left, top, right, bottom] = self.bounds;
        [(left + right) / 2.0, (top + bottom) / 2.0]
    }
}

/// Longer sides, in pixels, that a level answers for. They overlap, so that no size falls between two levels.
const SIZES: [(f32, f32); 3] = [(0.0, 48.0), (32.0, 112.0), (80.0, f32::INFINITY)];

/// Sizes beyond a level's by up to this factor may be found by it or not: a border to the pixel could not be learnt.
const TOLERANCE: f32 = 1.35;

/// Cells whose reference point is this near to a face's centre, in cells along each axis, learn its box and points.
const REACH: f32 = 1.5;

/// How sure a cell should be of a face whose centre is so many cells away: of a near one wholly, and less and less
/// until it is another cell's.
fn certainty(cells: f32) -> f32 {
    (1.75 - cells).clamp(0.0, 1.0)
}

/// What the cells of some pictures should answer. Places count over all pictures: picture · cells + cell.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Truth {
    /// Of each cell, how sure it should be of a face: 1 beside its centre, 0 without.
    pub object: Vec<f32>,
    /// Of each cell, 0 where a face need be neither found nor missed, else 1.
    pub weight: Vec<f32>,
    /// The cells with a face.
    pub places: Vec<u32>,
    /// Of each of them, its reference point and its stride, in pixels.
    pub cells: Vec<[f32; 3]>,
    /// Of each of them, the face.
    pub faces: Vec<TrueFace>,
}

/// Cells of a picture with this side.
pub fn cell_count(side: usize) -> usize {
    STRIDES.iter().map(|stride| (side / stride).pow(2)).sum()
}

/// What the cells of pictures with this side should answer.
pub fn assign(pictures: &[Vec<TrueFace>], side: usize) -> Truth {
    let mut truth = Truth::default();
    for faces in pictures {
        for (stride, (smallest, largest)) in STRIDES.into_iter().zip(SIZES) {
            let columns = side / stride;
            for place in 0..columns * columns {
                let reference = [place % columns, place / columns].map(|index| (index * stride) as f32);
                let distance = |face: &TrueFace| {
                    let offset = face.centre().into_iter().zip(reference);
                    let pixels = offset.map(|(centre, at)| (centre - at).abs()).fold(0.0, f32::max);
                    pixels / stride as f32
                };
                // Where two faces meet, the smaller one is in front of the larger or would be lost.
                let nearest = faces
                    .iter()
                    .filter(|face| certainty(distance(face)) > 0.0)
                    .min_by(|a, b| a.size().total_cmp(&b.size()));
                let fits = |face: &&TrueFace, slack: f32| (smallest / slack..=largest * slack).contains(&face.size());
                let own = nearest.filter(|face| face.counts && fits(face, 1.0));
                truth.weight.push(match nearest {
                    Some(face) if !face.counts => 0.0,
                    Some(face) if own.is_none() && fits(&face, TOLERANCE) => 0.0,
                    _ => 1.0,
                });
                truth.object.push(own.map_or(0.0, |face| certainty(distance(face))));
                let own = own.filter(|face| distance(face) <= REACH);
                if let Some(face) = own {
                    truth.places.push((truth.object.len() - 1) as u32);
                    truth.cells.push([reference[0], reference[1], stride as f32]);
                    truth.faces.push(*face);
                }
            }
        }
    }
    truth
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(centre: [f32; 2], size: f32) -> TrueFace {
        let half = size / 2.0;
        TrueFace {
            bounds: [centre[0] - half, centre[1] - half, centre[0] + half, centre[1] + half],
            points: [centre; 5],
            counts: true,
        }
    }

    #[test]
    fn every_size_has_a_level_and_cells_lie_around_its_centre() {
        for size in [8.0, 30.0, 40.0, 60.0, 90.0, 150.0, 300.0] {
            let truth = assign(&[vec![face([70.0, 90.0], size)]], 160);
            assert_eq!(truth.object.len(), cell_count(160));
            assert!((9..=18).contains(&truth.places.len()), "{size}: {}", truth.places.len());
            for (&place, cell) in truth.places.iter().zip(&truth.cells) {
                let apart = (cell[0] - 70.0).abs().max((cell[1] - 90.0).abs()) / cell[2];
                assert_eq!(truth.object[place as usize], (1.75 - apart).min(1.0));
                assert!((cell[0] - 70.0).abs() <= 1.5 * cell[2] && (cell[1] - 90.0).abs() <= 1.5 * cell[2]);
            }
        }
    }

    #[test]
    fn the_smaller_of_two_faces_wins_and_uncounted_ones_are_left_alone() {
        let (small, large) = (face([80.0, 80.0], 40.0), face([82.0, 80.0], 46.0));
        let truth = assign(&[vec![large, small]], 160);
        let at_centre = truth.cells.iter().position(|cell| *cell == [80.0, 80.0, 8.0]).unwrap();
        assert_eq!(truth.faces[at_centre], small);
        let uncounted = TrueFace { counts: false, ..small };
        let truth = assign(&[vec![uncounted]], 160);
        assert!(truth.places.is_empty());
        let ignored = truth.weight.iter().filter(|weight| **weight == 0.0).count();
        // On the first level the centre lies on a cell, so that 3 x 3 are near; on the others up to 4 x 4 can be.
        assert!((9 + 2 * 4..=9 + 2 * 16).contains(&ignored), "{ignored}");
    }

    #[test]
    fn a_level_beside_the_right_one_is_left_alone_and_a_far_one_learns_there_is_nothing() {
        // 50 pixels: just too large for the first level, right for the second, far too small for the third.
        let truth = assign(&[vec![face([80.0, 80.0], 50.0)]], 160);
        let at = |stride: usize| {
            let levels = STRIDES.iter().take_while(|&&s| s < stride);
            let first: usize = levels.map(|s| (160 / s).pow(2)).sum();
            let place = first + (80 / stride) * (160 / stride) + 80 / stride;
            (truth.object[place], truth.weight[place])
        };
        assert_eq!(at(8), (0.0, 0.0));
        assert_eq!(at(16), (1.0, 1.0));
        assert_eq!(at(32), (0.0, 1.0));
    }

    #[test]
    fn places_count_over_pictures() {
        let truth = assign(&[Vec::new(), vec![face([16.0, 8.0], 20.0)]], 64);
        let cells = cell_count(64) as u32;
        assert!(truth.places.iter().all(|&place| place >= cells && place < 2 * cells));
        // The cell at row 1, column 2 of the first level of the second picture.
        assert!(truth.places.contains(&(cells + 8 + 2)));
    }
}
