//! Meshes as the renderer uses them: shared topology, layers with materials, a posed shape.

use std::sync::Arc;

use super::texture::Texture;
use super::vector::{add, cross, sub, Vec3};

/// Triangles of a mesh, apart from where its vertices are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Topology {
    /// Indices of the vertices, counter-clockwise seen from outside.
    pub triangles: Vec<[u32; 3]>,
    /// Indices of the texture coordinates, same order.
    pub uv_triangles: Vec<[u32; 3]>,
    /// Texture coordinates, v downwards.
    pub uvs: Vec<[f32; 2]>,
}

impl Topology {
    /// Leaves out vertices that no triangle uses; returns, per kept vertex, its old index.
    pub(crate) fn compact(&mut self) -> Vec<u32> {
        let count = self.triangles.iter().flatten().max().map_or(0, |&m| m as usize + 1);
        let mut new = vec![u32::MAX; count];
        let mut old = Vec::new();
        for index in self.triangles.iter().flatten() {
            if new[*index as usize] == u32::MAX {
                new[*index as usize] = 0;
                old.push(*index);
            }
        }
        old.sort_unstable();
        for (place, &index) in old.iter().enumerate() {
            new[index as usize] = place as u32;
        }
        for index in self.triangles.iter_mut().flatten() {
            *index = new[*index as usize];
        }
        old
    }

    /// Adds the triangles' normals, weighted by area, to their vertices.
    pub(crate) fn add_normals(&self, positions: &[Vec3], out: &mut [Vec3]) {
        for &[a, b, c] in &self.triangles {
            let (pa, pb, pc) = (positions[a as usize], positions[b as usize], positions[c as usize]);
            let normal = cross(sub(pb, pa), sub(pc, pa));
            for index in [a, b, c] {
                out[index as usize] = add(out[index as usize], normal);
            }
        }
    }

    /// Texels of a texture of `width` × `height` per unit of length, on average over the surface.
    pub(crate) fn texel_density(&self, positions: &[Vec3], width: f32, height: f32) -> f32 {
        let (mut surface, mut texels) = (0.0f64, 0.0f64);
        for (triangle, uv) in self.triangles.iter().zip(&self.uv_triangles) {
            let [a, b, c] = triangle.map(|i| positions[i as usize]);
            let [ua, ub, uc] = uv.map(|i| self.uvs[i as usize]);
            surface += f64::from(super::vector::length(cross(sub(b, a), sub(c, a))));
            let (x1, y1) = ((ub[0] - ua[0]) * width, (ub[1] - ua[1]) * height);
            let (x2, y2) = ((uc[0] - ua[0]) * width, (uc[1] - ua[1]) * height);
            texels += f64::from((x1 * y2 - x2 * y1).abs());
        }
        (texels / surface.max(1e-12)).sqrt() as f32
    }
}

/// How a layer answers to light.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Surface {
    Skin,
    Hair,
    /// Brows and lashes.
    Strand,
    Eye,
    /// Teeth, gums, tongue.
    Mouth,
    /// Inside of the mouth and of the eye sockets.
    Cavity,
    Cloth,
    /// Frames of glasses.
    Frame,
    /// Grown hair of the head, in ribbons.
    Lock,
    /// Grown beards and brows, in ribbons.
    Whisker,
}

/// One mesh with its material.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub topology: Arc<Topology>,
    /// Place of the mesh's first vertex in the posed shape.
    pub first_vertex: u32,
    pub texture: Option<Arc<Texture>>,
    /// Colour without a texture, factor with one; linear. Hair, brows and lashes take only brightness from the texture.
    pub tint: Vec3,
    /// The texture's alpha says where there is something.
    pub alpha: bool,
    pub two_sided: bool,
    pub surface: Surface,
    /// Texels per centimetre.
    pub density: f32,
    /// Height per step of the texture's alpha, centimetres; 0 for surfaces as smooth as their mesh.
    pub relief: f32,
}

impl Layer {
    /// A mesh in one colour, closed and opaque.
    pub(crate) fn new(topology: Arc<Topology>, first_vertex: usize, tint: Vec3, surface: Surface) -> Self {
        Self {
            topology,
            first_vertex: first_vertex as u32,
            texture: None,
            tint,
            alpha: false,
            two_sided: false,
            surface,
            density: 0.0,
            relief: 0.0,
        }
    }

    /// A sheet in one colour, seen from both sides.
    pub(crate) fn sheet(topology: Topology, first_vertex: usize, tint: Vec3, surface: Surface) -> Self {
        Self {
            two_sided: true,
            ..Self::new(Arc::new(topology), first_vertex, tint, surface)
        }
    }
}

/// A head in its own coordinates: centimetres, origin at the pivot between the ears, y up, z out of the face.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shape {
    pub positions: Vec<Vec3>,
    pub normals: Vec<Vec3>,
    /// The 68 landmarks.
    pub landmarks: Vec<Vec3>,
}
