//! The parts of MakeHuman's skin texture that a head uses, packed into an atlas and painted per person.

use std::path::Path;

use omniid::error::Result;

use crate::render::mesh::Topology;
use crate::render::raster::Visibility;
use crate::render::texture::{Level, Texture};
use crate::render::vector::Vec3;

/// Side of the skin textures that the rectangles below are given for.
const SIDE: f32 = 1024.0;
pub(crate) const WIDTH: u32 = 416;
pub(crate) const HEIGHT: u32 = 1168;

/// A rectangle of the skin texture and where it lies in the atlas.
struct Island {
    source: [i32; 2],
    size: [i32; 2],
    place: [i32; 2],
}

/// Head with mouth cavity, eye sockets, neck part of the torso.
const ISLANDS: [Island; 3] = [
    Island {
        source: [608, 0],
        size: [416, 1024],
        place: [0, 0],
    },
    Island {
        source: [0, 350],
        size: [160, 144],
        place: [0, 1024],
    },
    Island {
        source: [252, 0],
        size: [256, 144],
        place: [160, 1024],
    },
];

/// The picture of a skin in the atlas's layout, sRGB.
pub(crate) struct Atlas {
    pub texels: Vec<[u8; 3]>,
}

impl Atlas {
    /// Reads a skin of any size.
    pub fn read(path: &Path) -> Result<Self> {
        let texture = Texture::read(path, SIDE as u32)?;
        let source = &texture.levels[0];
        let mut texels = vec![[0; 3]; (WIDTH * HEIGHT) as usize];
        for island in &ISLANDS {
            for y in 0..island.size[1] {
                for x in 0..island.size[0] {
                    let u = (island.source[0] + x) as f32 + 0.5;
                    let v = (island.source[1] + y) as f32 + 0.5;
                    let colour = source.sample([u / SIDE, v / SIDE]);
                    let place = (island.place[1] + y) * WIDTH as i32 + island.place[0] + x;
                    texels[place as usize] = [0, 1, 2].map(|c: usize| colour[c].round() as u8);
                }
            }
        }
        Ok(Self { texels })
    }
}

/// Moves texture coordinates of the skin texture into the atlas.
pub(crate) fn remap(topology: &mut Topology) {
    let uvs = std::mem::take(&mut topology.uvs);
    for triangle in &mut topology.uv_triangles {
        let corners = triangle.map(|i| uvs[i as usize].map(|c| c * SIDE));
        let least = corners.iter().fold(f32::MAX, |m, c| m.min(c[0]));
        let most = corners.iter().fold(f32::MIN, |m, c| m.max(c[0]));
        let middle = corners.iter().map(|c| c[1]).sum::<f32>() / 3.0;
        let island = if least >= 640.0 {
            &ISLANDS[0]
        } else if most < 160.0 && (345.0..500.0).contains(&middle) {
            &ISLANDS[1]
        } else {
            &ISLANDS[2]
        };
        *triangle = corners.map(|corner| {
            let place = |axis: usize| {
                let inside = corner[axis] - island.source[axis] as f32;
                inside.clamp(1.0, island.size[axis] as f32 - 1.0) + island.place[axis] as f32
            };
            topology
                .uvs
                .push([place(0) / WIDTH as f32, place(1) / HEIGHT as f32]);
            topology.uvs.len() as u32 - 1
        });
    }
}

/// Where on the head each texel of the atlas lies; NaN where nothing uses it. A few texels around every island are
/// filled from their neighbours, so that painting has no seams.
pub(crate) fn texel_positions(topology: &Topology, positions: &[Vec3]) -> Vec<Vec3> {
    unwrap(topology, positions, WIDTH, HEIGHT)
}

/// The same for any texture: positions by texel of a picture of `width` × `height`.
pub(crate) fn unwrap(topology: &Topology, positions: &[Vec3], width: u32, height: u32) -> Vec<Vec3> {
    let mut texels = vec![[f32::NAN; 3]; (width * height) as usize];
    let mut buffer = Visibility::new(width, height);
    for (triangle, uvs) in topology.triangles.iter().zip(&topology.uv_triangles) {
        let corners = uvs.map(|i| {
            let [u, v] = topology.uvs[i as usize];
            [u * width as f32, v * height as f32, 0.0]
        });
        buffer.triangle(corners, 0, true, |w, x, y| {
            let [a, b, c] = triangle.map(|i| positions[i as usize]);
            texels[(y * width + x) as usize] =
                std::array::from_fn(|k| w[0] * a[k] + w[1] * b[k] + w[2] * c[k]);
            false
        });
    }
    for _ in 0..4 {
        let before = texels.clone();
        for y in 0..height as i32 {
            for x in 0..width as i32 {
                let place = (y * width as i32 + x) as usize;
                if !before[place][0].is_nan() {
                    continue;
                }
                for (dx, dy) in [(1, 0), (-1, 0), (0, 1), (0, -1)] {
                    let (nx, ny) = (x + dx, y + dy);
                    if nx < 0 || ny < 0 || nx >= width as i32 || ny >= height as i32 {
                        continue;
                    }
                    let neighbour = before[(ny * width as i32 + nx) as usize];
                    if !neighbour[0].is_nan() {
                        texels[place] = neighbour;
                        break;
                    }
                }
            }
        }
    }
    texels
}

/// A texture from painted texels.
pub(crate) fn texture(texels: Vec<[u8; 4]>, width: u32, height: u32) -> Texture {
    Texture::new(Level {
        width,
        height,
        texels,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unwrapping_finds_positions() {
        let topology = Topology {
            triangles: vec![[0, 1, 2]],
            uv_triangles: vec![[0, 1, 2]],
            uvs: vec![[0.25, 0.25], [0.75, 0.25], [0.25, 0.75]],
        };
        let positions = [[0.0, 0.0, 0.0], [8.0, 0.0, 1.0], [0.0, 8.0, 1.0]];
        let texels = unwrap(&topology, &positions, 32, 32);
        let at = texels[10 * 32 + 12];
        assert!((at[0] - 4.5).abs() < 0.05 && (at[1] - 2.5).abs() < 0.05, "{at:?}");
        assert!(texels[31 * 32 + 31][0].is_nan());
        assert!(!texels[10 * 32 + 5][0].is_nan());
    }
}
