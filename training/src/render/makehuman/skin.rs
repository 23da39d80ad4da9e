//! The parts of MakeHuman's skin texture that a head uses, packed into an atlas and painted per person.

use std::path::Path;

use omniid::Result;

use crate::render::mesh::Topology;
use crate::render::texture::{Level, Texture};
use crate::render::unwrap::unwrap;
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
            topology.uvs.push([place(0) / WIDTH as f32, place(1) / HEIGHT as f32]);
            topology.uvs.len() as u32 - 1
        });
    }
}

/// Where on the head each texel of the atlas lies; NaN where nothing uses it. A few texels around every island are
/// filled from their neighbours, so that painting has no seams.
pub(crate) fn texel_positions(topology: &Topology, positions: &[Vec3]) -> Vec<Vec3> {
    unwrap(topology, positions, WIDTH, HEIGHT)
}

/// A texture from painted texels.
pub(crate) fn texture(texels: Vec<[u8; 4]>, width: u32, height: u32) -> Texture {
    Texture::new(Level { width, height, texels })
}
