//! Parts that are fitted to the base mesh: hair, brows, lashes, eyes, teeth.

use std::path::Path;
use std::sync::Arc;

use omniid::{Error, Result};

use super::clothes::{Clothes, MhMaterial};
use super::files::stem;
use crate::render::light::LUMINANCE;
use crate::render::mesh::{Layer, Surface, Topology};
use crate::render::obj::Obj;
use crate::render::raster::{Visibility, EMPTY};
use crate::render::texture::Texture;
use crate::render::vector::{dot, Vec3};

/// A part that is fitted to the base mesh.
#[derive(Debug)]
pub(crate) struct FittedPart {
    pub name: String,
    pub clothes: Clothes,
    pub topology: Arc<Topology>,
    pub texture: Option<Arc<Texture>>,
    /// Mean linear brightness of what is visible of the texture.
    pub brightness: f32,
    pub alpha: bool,
    pub two_sided: bool,
}

impl FittedPart {
    /// Reads a `.mhclo` file with the mesh, material and texture that it names, for a base mesh of `vertices` vertices.
    pub fn read(path: &Path, vertices: usize, texture_side: u32) -> Result<Self> {
        let clothes = Clothes::read(path, vertices)?;
        let obj = Obj::read(&clothes.obj_file)?;
        if obj.positions.len() != clothes.anchors.len() {
            return Err(Error::mismatch(format!(
                "{}: {} rows, but {} has {} vertices",
                path.display(),
                clothes.anchors.len(),
                clothes.obj_file.display(),
                obj.positions.len()
            )));
        }
        let material = match &clothes.material {
            // Parts whose material is chosen elsewhere name files that need not be there.
            Some(material) if material.exists() => MhMaterial::read(material)?,
            _ => MhMaterial::parse(""),
        };
        let texture = match &material.texture {
            Some(texture) if texture.exists() => Some(Arc::new(Texture::read(texture, texture_side)?)),
            _ => None,
        };
        Ok(Self {
            name: stem(path),
            brightness: texture
                .as_ref()
                .map_or(0.5, |t| dot(t.mean_colour(), LUMINANCE))
                .max(0.004),
            topology: Arc::new(obj.topology(|_| true)),
            clothes,
            texture,
            alpha: material.transparent,
            two_sided: material.two_sided,
        })
    }

    /// The factor that gives the texture this mean colour.
    pub fn tint(&self, colour: Vec3) -> Vec3 {
        colour.map(|c| c / self.brightness)
    }

    /// The part as a layer, with its own texture or another one.
    pub fn layer(&self, first_vertex: usize, texture: Option<Arc<Texture>>, tint: Vec3, surface: Surface) -> Layer {
        Layer {
            texture: texture.or_else(|| self.texture.clone()),
            alpha: self.alpha || surface == Surface::Eye,
            two_sided: self.two_sided || self.alpha,
            ..Layer::new(self.topology.clone(), first_vertex, tint, surface)
        }
    }

    /// Share of the eyes' landmarks that hair hides from the front, on the average head (centimetres from the pivot).
    pub fn eye_cover(&self, positions: &[Vec3], landmarks: &[Vec3]) -> f32 {
        const SIDE: u32 = 128;
        const SCALE: f32 = 6.0;
        let project = |p: Vec3| [64.0 + p[0] * SCALE, 64.0 - p[1] * SCALE, -p[2]];
        let mut buffer = Visibility::new(SIDE, SIDE);
        let level = self.texture.as_ref().filter(|_| self.alpha).map(|t| t.level(4.0));
        let topology = &self.topology;
        for (triangle, uvs) in topology.triangles.iter().zip(&topology.uv_triangles) {
            let corners = triangle.map(|i| project(positions[i as usize]));
            buffer.triangle(corners, 0, true, |w, _, _| {
                level.is_none_or(|level| {
                    let [a, b, c] = uvs.map(|i| topology.uvs[i as usize]);
                    level.alpha(std::array::from_fn(|k| w[0] * a[k] + w[1] * b[k] + w[2] * c[k])) > 110
                })
            });
        }
        let hidden = landmarks[36..48].iter().filter(|&&landmark| {
            let [x, y, depth] = project(landmark);
            let place = y as usize * SIDE as usize + x as usize;
            buffer.id[place] != EMPTY && buffer.depth[place] < depth
        });
        hidden.count() as f32 / 12.0
    }
}
