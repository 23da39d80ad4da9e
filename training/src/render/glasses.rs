//! Frames of glasses, fitted to a face by its landmarks.

use super::mesh::Topology;
use super::vector::{add, cross, mean, normalize, scale, sub, Vec3};

/// Form of a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Frame {
    /// Half width and half height of a lens, centimetres.
    pub lens: [f32; 2],
    /// 0 nearly a rectangle, 1 an ellipse.
    pub roundness: f32,
    /// Radius of the rims, centimetres.
    pub thickness: f32,
    /// Linear.
    pub colour: Vec3,
}

const SEGMENTS: usize = 28;

/// The mesh of a frame for a neutral face with these 68 landmarks (centimetres).
pub(crate) fn glasses(landmarks: &[Vec3], frame: &Frame) -> (Topology, Vec<Vec3>) {
    let mut mesh = (
        Topology {
            uvs: vec![[0.0; 2]],
            ..Topology::default()
        },
        Vec::new(),
    );
    let eyes = [36..42, 42..48].map(|range| mean(landmarks[range].iter().copied()));
    let bridge = landmarks[27];
    let apart = 0.5 * (eyes[1][0] - eyes[0][0]);
    let middle = 0.5 * (eyes[0][0] + eyes[1][0]);
    let height = 0.5 * (eyes[0][1] + eyes[1][1]) - 0.25;
    // Before the bridge of the nose and before the lashes.
    let depth = (bridge[2] + 0.15).max(eyes[0][2].max(eyes[1][2]) + 1.3);
    let half = [frame.lens[0].min(apart - 0.55), frame.lens[1]];
    // Lenses follow the face: the farther out, the farther back.
    let curve = |x: f32, y: f32| [x, y, depth - 0.022 * (x - middle) * (x - middle)];
    let exponent = 2.0 / (2.0 + 3.5 * (1.0 - frame.roundness));
    for side in [-1.0f32, 1.0] {
        let centre = middle + side * (apart + 0.1);
        let rim: Vec<Vec3> = (0..SEGMENTS)
            .map(|i| {
                let (sin, cos) = (i as f32 / SEGMENTS as f32 * std::f32::consts::TAU).sin_cos();
                let form = |v: f32| v.signum() * v.abs().powf(exponent);
                curve(centre + form(cos) * half[0], height + form(sin) * half[1])
            })
            .collect();
        tube(&mut mesh, &rim, true, frame.thickness);
        let hinge = curve(centre + side * half[0], height + 0.45 * half[1]);
        let temple = landmarks[if side < 0.0 { 0 } else { 16 }];
        let ear = [temple[0] + side * 0.45, height + 0.5, temple[2]];
        let behind = [temple[0] + side * 0.55, height + 0.2, temple[2] - 5.0];
        tube(&mut mesh, &[hinge, ear, behind], false, 0.8 * frame.thickness);
    }
    let inner = apart + 0.1 - half[0];
    let arch = [-1.0f32, -0.5, 0.0, 0.5, 1.0].map(|t| {
        let lift = 0.35 * half[1] + 0.18 * (1.0 - t * t);
        curve(middle + t * inner, height + lift)
    });
    tube(&mut mesh, &arch, false, frame.thickness);
    mesh
}

/// A four-sided tube along points.
fn tube((topology, positions): &mut (Topology, Vec<Vec3>), points: &[Vec3], closed: bool, radius: f32) {
    let first = positions.len() as u32;
    let count = points.len();
    for i in 0..count {
        let before = if closed {
            points[(i + count - 1) % count]
        } else {
            points[i.saturating_sub(1)]
        };
        let after = if closed {
            points[(i + 1) % count]
        } else {
            points[(i + 1).min(count - 1)]
        };
        let along = normalize(sub(after, before));
        let helper = if along[2].abs() < 0.8 {
            [0.0, 0.0, 1.0]
        } else {
            [0.0, 1.0, 0.0]
        };
        let side = normalize(cross(along, helper));
        let up = cross(side, along);
        for (a, b) in [(1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)] {
            let offset = add(scale(side, a * radius), scale(up, b * radius));
            positions.push(add(points[i], offset));
        }
    }
    let rings = if closed { count } else { count - 1 };
    for ring in 0..rings as u32 {
        for corner in 0..4 {
            let at = |r: u32, c: u32| first + (r % count as u32) * 4 + c % 4;
            let (a, b) = (at(ring, corner), at(ring, corner + 1));
            let (c, d) = (at(ring + 1, corner), at(ring + 1, corner + 1));
            topology.triangles.extend([[a, c, d], [a, d, b]]);
            topology.uv_triangles.extend([[0; 3]; 2]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lenses_lie_around_the_eyes() {
        let mut landmarks = vec![[0.0, 0.0, 0.0]; 68];
        for i in 36..42 {
            landmarks[i] = [-3.0, 4.0, 9.0];
            landmarks[i + 6] = [3.0, 4.0, 9.0];
        }
        landmarks[27] = [0.0, 4.2, 10.5];
        landmarks[0] = [-7.0, 4.0, 3.0];
        landmarks[16] = [7.0, 4.0, 3.0];
        let frame = Frame {
            lens: [2.3, 1.8],
            roundness: 0.5,
            thickness: 0.1,
            colour: [0.0; 3],
        };
        let (topology, positions) = glasses(&landmarks, &frame);
        let rim = &positions[..SEGMENTS * 4];
        let middle = mean(rim.iter().copied());
        assert!(
            (middle[0] + 3.1).abs() < 0.05 && (middle[1] - 3.75).abs() < 0.05,
            "{middle:?}"
        );
        assert!(rim.iter().all(|p| p[2] > 9.3));
        let largest = topology.triangles.iter().flatten().max().copied();
        assert_eq!(largest, Some(positions.len() as u32 - 1));
    }
}
