//! What lies where on the mean face: per texel of the painted textures, measured once.

use rayon::prelude::*;

use crate::render::mesh::Topology;
use crate::render::polyline::{inside, polyline};
use crate::render::unwrap::unwrap;
use crate::render::vector::{dot, normalize, sub, Vec3};

/// Sides in texels: of the painted face, of the back of the head, of an eyeball.
pub(crate) const FACE_SIDE: u32 = 512;
pub(crate) const BACK_SIDE: u32 = 256;
pub(crate) const EYE_SIDE: u32 = 128;

/// A texel of the face.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FaceTexel {
    /// Centimetres from the pivot; NaN where nothing is.
    pub position: Vec3,
    /// Distance from the lips' outline, centimetres, positive inside.
    pub lips: f32,
    /// Distance from the line between the lips.
    pub slit: f32,
    /// Distance from the nearer eye's upper and lower lid edge.
    pub lids: [f32; 2],
    /// Along the nearer brow from the nose (0) to the temple (1), and distance above its middle line.
    pub brow: [f32; 2],
}

/// A texel of an eyeball.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EyeTexel {
    /// Angle from the axis and around it, radians; NaN where nothing is.
    pub angle: f32,
    pub around: f32,
}

/// Features of all texels of the face.
pub(crate) fn face(topology: &Topology, positions: &[Vec3], landmarks: &[Vec3]) -> Vec<FaceTexel> {
    let flat =
        |range: &[usize]| -> Vec<[f32; 2]> { range.iter().map(|&i| [landmarks[i][0], landmarks[i][1]]).collect() };
    let outline = flat(&[48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 48]);
    let slit = flat(&[60, 61, 62, 63, 64]);
    let upper = [flat(&[36, 37, 38, 39]), flat(&[45, 44, 43, 42])];
    let lower = [flat(&[36, 41, 40, 39]), flat(&[45, 46, 47, 42])];
    let brows = [flat(&[21, 20, 19, 18, 17]), flat(&[22, 23, 24, 25, 26])];
    unwrap(topology, positions, FACE_SIDE, FACE_SIDE)
        .into_par_iter()
        .map(|position| {
            let mut texel = FaceTexel {
                position,
                lips: -9.0,
                slit: 9.0,
                lids: [9.0; 2],
                brow: [0.0, 9.0],
            };
            if position[0].is_nan() || position[2] < 4.0 {
                return texel;
            }
            let p = [position[0], position[1]];
            let side = usize::from(p[0] > 0.0);
            if p[1] < 0.0 && p[1] > -6.0 && p[0].abs() < 4.0 {
                let distance = polyline(&outline, p).0;
                texel.lips = if inside(&outline, p) { distance } else { -distance };
                texel.slit = polyline(&slit, p).0;
            }
            if p[1] > 2.0 && p[1] < 6.0 && position[2] > 6.0 {
                texel.lids = [polyline(&upper[side], p).0, polyline(&lower[side], p).0];
            }
            if p[1] > 4.0 && p[1] < 9.0 {
                let (distance, along, above) = polyline(&brows[side], p);
                texel.brow = [along, if above { distance } else { -distance }];
            }
            texel
        })
        .collect()
}

/// Features of an eyeball's texels; `side` 0 is the person's left.
pub(crate) fn eye(topology: &Topology, positions: &[Vec3], side: usize) -> Vec<EyeTexel> {
    let sign = if side == 0 { 1.0 } else { -1.0 };
    let centre = [3.106 * sign, 4.0, 8.0];
    let axis = normalize([0.116 * sign, -0.007, 0.993]);
    unwrap(topology, positions, EYE_SIDE, EYE_SIDE)
        .into_iter()
        .map(|position| {
            let direction = normalize(sub(position, centre));
            EyeTexel {
                angle: dot(direction, axis).clamp(-1.0, 1.0).acos(),
                around: direction[1].atan2(direction[0]),
            }
        })
        .collect()
}
