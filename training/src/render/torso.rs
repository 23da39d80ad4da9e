//! Shoulders in a shirt, for heads that come without.

use super::mesh::Topology;
use super::vector::Vec3;

/// Half width, half depth, height (centimetres from the pivot) and middle's z from the collar down.
const RINGS: [[f32; 4]; 8] = [
    [6.6, 6.3, -11.6, -2.6],
    [8.0, 7.4, -12.6, -2.9],
    [10.5, 8.2, -13.6, -3.2],
    [14.5, 8.8, -15.0, -3.4],
    [18.2, 9.4, -17.0, -3.4],
    [20.0, 10.0, -20.5, -3.2],
    [20.6, 10.8, -26.0, -2.8],
    [20.6, 11.2, -40.0, -2.6],
];
const AROUND: usize = 28;

/// The mesh; `width` and `depth` are factors.
pub(crate) fn torso(width: f32, depth: f32) -> (Topology, Vec<Vec3>) {
    let mut positions = Vec::new();
    for [w, d, y, z] in RINGS {
        for i in 0..AROUND {
            let angle = i as f32 / AROUND as f32 * std::f32::consts::TAU;
            positions.push([angle.sin() * w * width, y, angle.cos() * d * depth + z]);
        }
    }
    let mut topology = Topology {
        uvs: vec![[0.0; 2]],
        ..Topology::default()
    };
    for ring in 0..RINGS.len() - 1 {
        for i in 0..AROUND {
            let at = |r: usize, i: usize| (r * AROUND + i % AROUND) as u32;
            let (a, b) = (at(ring, i), at(ring, i + 1));
            let (c, d) = (at(ring + 1, i), at(ring + 1, i + 1));
            topology.triangles.extend([[a, c, d], [a, d, b]]);
            topology.uv_triangles.extend([[0; 3]; 2]);
        }
    }
    (topology, positions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::vector::dot;

    #[test]
    fn normals_point_outwards() {
        let (topology, positions) = torso(1.0, 1.0);
        let mut normals = vec![[0.0; 3]; positions.len()];
        topology.add_normals(&positions, &mut normals);
        for (p, n) in positions.iter().zip(&normals) {
            assert!(dot([p[0], 0.0, p[2] + 3.0], *n) > 0.0 || n[1] > 0.0);
        }
    }
}
