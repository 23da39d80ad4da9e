//! What lies where on the base mesh hm08, in its vertices.

use std::ops::Range;

use crate::render::vector::{mean, scale, sub, Vec3};

/// Vertices of the group `body`; helpers follow.
pub(crate) const BODY_VERTICES: u32 = 13380;
/// Vertices of the hm08 base mesh.
pub(crate) const BASE_VERTICES: usize = 19158;
/// Vertices of the eye helpers: left, right.
pub(crate) const EYES: [Range<usize>; 2] = [14598..14670, 14670..14742];

/// The 68 landmarks in their usual order: jaw, brows, nose, eyes, lips; the person's right side first.
/// Chosen by us on the average head, seen from the front.
pub(crate) const LANDMARKS: [u32; 68] = [
    5424, 5727, 869, 912, 894, 761, 891, 914, 5296, 7616, 7593, 7480, 7596, 7614, 7574, 12324, 12023, 144, 1283, 1186,
    180, 166, 6943, 6956, 7878, 7975, 6922, 133, 131, 201, 5054, 334, 313, 317, 7076, 7096, 21, 6, 4865, 70, 1071,
    1067, 6854, 11483, 6790, 6805, 7759, 7763, 423, 448, 461, 467, 7220, 7208, 7183, 7233, 7235, 496, 480, 478, 3705,
    5362, 520, 11964, 10373, 7236, 523, 481,
];

/// The point between the ears of a shape in decimetres: about which heads turn.
pub(crate) fn pivot(shape: &[Vec3]) -> Vec3 {
    let eyes = mean(shape[EYES[0].start..EYES[1].end].iter().copied());
    sub(eyes, [0.0, 0.4, 0.8])
}

pub(crate) fn to_centimetres(position: Vec3, pivot: Vec3) -> Vec3 {
    scale(sub(position, pivot), 10.0)
}

/// The 68 landmarks of a shape in decimetres, centimetres from its pivot.
pub(crate) fn landmarks(shape: &[Vec3]) -> Vec<Vec3> {
    let origin = pivot(shape);
    LANDMARKS
        .iter()
        .map(|&i| to_centimetres(shape[i as usize], origin))
        .collect()
}
