//! Locks of hair as textured ribbons that follow the skin at their roots.

use std::sync::Arc;

use super::scatter::Root;
use crate::render::mesh::{Surface, Topology};
use crate::render::texture::Texture;
use crate::render::vector::{add, cross, fused, length, mix, normalize, scale, sub, Vec3};

/// One lock: its middle line from the root to the tip.
#[derive(Debug, Clone)]
pub(crate) struct Strand {
    pub root: Root,
    /// Centimetres; as many for all strands of a growth, at least two. The first is the root.
    pub points: Vec<Vec3>,
    /// Full width, centimetres.
    pub width: f32,
    /// The direction away from what it lies on, per point.
    pub out: Vec<Vec3>,
    /// Turn about its own line, radians.
    pub twist: f32,
    /// Column of the texture.
    pub column: u32,
}

/// Ribbons, ready to be placed on a posed skin.
#[derive(Debug, Clone)]
pub(crate) struct Locks {
    pub topology: Arc<Topology>,
    pub surface: Surface,
    pub texture: Arc<Texture>,
    roots: Vec<([u32; 3], [f32; 3])>,
    /// From the root, per vertex.
    offsets: Vec<Vec3>,
    pub normals: Vec<Vec3>,
    pub tangents: Vec<Vec3>,
    /// Vertices per root.
    per_root: usize,
}

impl Locks {
    /// Ribbons along strands; the texture has `columns` columns of locks, roots at the top.
    pub fn new(strands: &[Strand], surface: Surface, texture: Arc<Texture>, columns: u32) -> Self {
        let rows = strands.first().map_or(2, |strand| strand.points.len());
        let mut topology = Topology::default();
        let count = strands.len() * rows * 2;
        let (mut offsets, mut normals, mut tangents) = (
            Vec::with_capacity(count),
            Vec::with_capacity(count),
            Vec::with_capacity(count),
        );
        for column in 0..columns {
            for row in 0..rows {
                let v = 0.02 + 0.96 * row as f32 / (rows - 1) as f32;
                // Half a texel of the column's border stays out.
                for u in [0.04, 0.96] {
                    topology.uvs.push([(column as f32 + u) / columns as f32, v]);
                }
            }
        }
        for (number, strand) in strands.iter().enumerate() {
            for row in 0..rows {
                let before = strand.points[row.saturating_sub(1)];
                let after = strand.points[(row + 1).min(rows - 1)];
                let tangent = normalize(sub(after, before));
                let out = strand.out[row];
                let flat = normalize(cross(tangent, out));
                let up = cross(flat, tangent);
                let (sin, cos) = strand.twist.sin_cos();
                let side = add(scale(flat, cos), scale(up, sin));
                let along = row as f32 / (rows - 1) as f32;
                let half = 0.5 * strand.width * (1.0 - 0.5 * along.powi(4));
                let offset = sub(strand.points[row], strand.root.position);
                let facing = normalize(mix(out, up, 0.3));
                for sign in [-1.0, 1.0] {
                    offsets.push(fused(offset, side, sign * half));
                    // A lock is round: its edges look aside.
                    normals.push(normalize(fused(facing, side, 0.35 * sign)));
                    tangents.push(tangent);
                }
            }
            let first = (number * rows * 2) as u32;
            let uv = strand.column % columns * rows as u32 * 2;
            for row in 0..rows as u32 - 1 {
                for corners in [[0, 2, 3], [0, 3, 1]] {
                    topology.triangles.push(corners.map(|c| first + 2 * row + c));
                    topology.uv_triangles.push(corners.map(|c| uv + 2 * row + c));
                }
            }
        }
        Self {
            topology: Arc::new(topology),
            surface,
            texture,
            roots: strands.iter().map(|s| (s.root.vertices, s.root.weights)).collect(),
            offsets,
            normals,
            tangents,
            per_root: 2 * rows,
        }
    }

    /// A surface each of whose vertices has a root of its own; `offsets`, `normals` and `tangents` per vertex.
    pub fn sheet(
        topology: Topology,
        surface: Surface,
        texture: Arc<Texture>,
        roots: Vec<([u32; 3], [f32; 3])>,
        offsets: Vec<Vec3>,
        normals: Vec<Vec3>,
        tangents: Vec<Vec3>,
    ) -> Self {
        Self {
            topology: Arc::new(topology),
            surface,
            texture,
            roots,
            offsets,
            normals,
            tangents,
            per_root: 1,
        }
    }

    /// Number of vertices.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Appends the vertices for a skin in any expression.
    pub fn place(&self, skin: &[Vec3], out: &mut Vec<Vec3>) {
        out.reserve(self.offsets.len());
        for ((vertices, weights), offsets) in self.roots.iter().zip(self.offsets.chunks_exact(self.per_root)) {
            let corners = vertices.map(|i| skin[i as usize]);
            let root: Vec3 = std::array::from_fn(|k| (0..3).map(|i| corners[i][k] * weights[i]).sum());
            out.extend(offsets.iter().map(|&offset| add(root, offset)));
        }
    }
}

/// The part of a direction that lies in a surface; length 1.
pub(crate) fn along_surface(direction: Vec3, normal: Vec3) -> Vec3 {
    let across = crate::render::vector::dot(direction, normal);
    let flat = fused(direction, normal, -across);
    if length(flat) < 1e-4 {
        return normalize(cross(normal, [0.31, 0.17, 0.93]));
    }
    normalize(flat)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::texture::Level;

    #[test]
    fn ribbons_follow_their_roots() {
        let root = Root {
            vertices: [0, 1, 2],
            weights: [0.5, 0.25, 0.25],
            mean: [0.25, 0.25, 0.0],
            position: [0.25, 0.25, 0.0],
            normal: [0.0, 0.0, 1.0],
        };
        let points = vec![root.position, [0.25, 0.25, 1.0], [0.25, 0.25, 2.0]];
        let strand = Strand {
            root,
            points,
            width: 0.2,
            out: vec![[1.0, 0.0, 0.0]; 3],
            twist: 0.0,
            column: 1,
        };
        let texture = Texture::new(Level {
            width: 32,
            height: 16,
            texels: vec![[9, 9, 9, 255]; 512],
        });
        let locks = Locks::new(&[strand], Surface::Lock, Arc::new(texture), 2);
        assert_eq!((locks.len(), locks.topology.triangles.len()), (6, 4));
        let skin = [[0.0, 0.0, 5.0], [1.0, 0.0, 5.0], [0.0, 1.0, 5.0]];
        let mut placed = Vec::new();
        locks.place(&skin, &mut placed);
        assert!((placed[4][2] - 7.0).abs() < 1e-5, "{placed:?}");
        assert!((length(sub(placed[0], placed[1])) - 0.2).abs() < 1e-5);
        assert!(locks.tangents.iter().all(|t| t[2] > 0.99));
        let uv = locks.topology.uvs[locks.topology.uv_triangles[0][0] as usize];
        assert!(uv[0] > 0.5, "{uv:?}");
        assert!(length(along_surface([0.0, 0.0, 1.0], [0.0, 0.0, 1.0])) > 0.9);
    }
}
