//! What lies where on an average face, from its landmarks.

use rayon::prelude::*;

use crate::render::polyline::{inside, polyline};
use crate::render::vector::Vec3;

/// A place near a brow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct BrowPlace {
    /// Along the ridge from the nose (0) to the temple (1).
    pub along: f32,
    /// Above the ridge's middle line, centimetres.
    pub above: f32,
    /// −1 or 1.
    pub side: f32,
    /// Nearer to the middle of the face than either brow.
    pub between: bool,
}

/// A texel of the skin and what is near it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Texel {
    /// Number in the texture.
    pub place: u32,
    /// Centimetres from the pivot of the average head.
    pub position: Vec3,
    pub brow: Option<BrowPlace>,
    /// Distance from the lips' outline, centimetres, positive inside.
    pub lips: f32,
    /// Distance from the line between the lips.
    pub slit: f32,
    /// Distance from the nearer eye's upper and lower lid edge.
    pub lids: [f32; 2],
}

type Line = Vec<[f32; 2]>;

/// Lines of an average face, seen from the front.
pub(crate) struct FaceMap {
    outline: Line,
    slit: Line,
    upper: [Line; 2],
    lower: [Line; 2],
    brows: [Line; 2],
    pub landmarks: Vec<Vec3>,
}

impl FaceMap {
    /// From the 68 landmarks, centimetres from the pivot.
    pub fn new(landmarks: &[Vec3]) -> Self {
        let flat = |range: &[usize]| -> Line { range.iter().map(|&i| [landmarks[i][0], landmarks[i][1]]).collect() };
        Self {
            outline: flat(&[48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 48]),
            slit: flat(&[60, 61, 62, 63, 64]),
            upper: [flat(&[36, 37, 38, 39]), flat(&[45, 44, 43, 42])],
            lower: [flat(&[36, 41, 40, 39]), flat(&[45, 46, 47, 42])],
            brows: [flat(&[21, 20, 19, 18, 17]), flat(&[22, 23, 24, 25, 26])],
            landmarks: landmarks.to_vec(),
        }
    }

    /// Where a place lies along the brows.
    pub fn brow(&self, p: Vec3) -> BrowPlace {
        let line = &self.brows[usize::from(p[0] > 0.0)];
        let (distance, along, above) = polyline(line, [p[0], p[1]]);
        BrowPlace {
            along,
            above: if above { distance } else { -distance },
            side: if p[0] > 0.0 { 1.0 } else { -1.0 },
            between: p[0].abs() < line[0][0].abs(),
        }
    }

    /// What is near a place.
    fn texel(&self, place: u32, position: Vec3) -> Texel {
        let mut texel = Texel {
            place,
            position,
            brow: None,
            lips: -9.0,
            slit: 9.0,
            lids: [9.0; 2],
        };
        if position[2] < 4.0 {
            return texel;
        }
        let p = [position[0], position[1]];
        let side = usize::from(p[0] > 0.0);
        if p[1] < 0.0 && p[1] > -6.0 && p[0].abs() < 4.0 {
            let distance = polyline(&self.outline, p).0;
            texel.lips = if inside(&self.outline, p) { distance } else { -distance };
            texel.slit = polyline(&self.slit, p).0;
        }
        if p[1] > 2.0 && p[1] < 6.0 && position[2] > 6.0 {
            texel.lids = [polyline(&self.upper[side], p).0, polyline(&self.lower[side], p).0];
        }
        if p[1] > 4.0 && p[1] < 8.6 {
            texel.brow = Some(self.brow(position));
        }
        texel
    }

    /// The texels of a texture that lie on the skin. `positions` are their places on the average head, NaN elsewhere.
    pub fn texels(&self, positions: &[Vec3]) -> Vec<Texel> {
        positions
            .par_iter()
            .enumerate()
            .filter(|(_, position)| !position[0].is_nan())
            .map(|(place, &position)| self.texel(place as u32, position))
            .collect()
    }
}

/// Every second texel of a texture of this width, in both directions.
pub(crate) fn every_second<T: Copy>(texels: &[T], width: u32) -> Vec<T> {
    let width = width as usize;
    let rows = texels.chunks_exact(width).step_by(2);
    rows.flat_map(|row| row.iter().step_by(2).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found() {
        let mut landmarks = vec![[0.0, 0.0, 9.0]; 68];
        for i in 0..5 {
            landmarks[21 - i] = [-1.0 - i as f32, 6.0, 10.0];
            landmarks[22 + i] = [1.0 + i as f32, 6.0, 10.0];
        }
        let map = FaceMap::new(&landmarks);
        let at = map.brow([3.0, 6.4, 10.0]);
        assert!((at.along - 0.5).abs() < 1e-5 && (at.above - 0.4).abs() < 1e-5 && !at.between);
        assert!(map.brow([0.4, 6.0, 10.0]).between);
        let texels = map.texels(&[[f32::NAN; 3], [3.0, 6.0, 9.0], [0.0, 0.0, -5.0]]);
        assert_eq!(texels.iter().map(|t| t.place).collect::<Vec<_>>(), [1, 2]);
        assert!(texels[0].brow.is_some() && texels[1].brow.is_none());
        assert_eq!(
            every_second(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], 4),
            [0, 2, 8, 10]
        );
    }
}
