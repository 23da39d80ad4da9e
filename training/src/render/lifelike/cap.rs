//! The mass of the hair: a closed surface over the scalp that single locks lie on, so that no skin shines through.

use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::haircut::Comb;
use super::lock_texture::Fibre;
use super::locks::Locks;
use super::strand::{Scalp, CROWN, MIDDLE};
use crate::render::mesh::{Surface, Topology};
use crate::render::noise::Noise;
use crate::render::texture::{to_srgb, Level, Texture};
use crate::render::vector::{add, cross, dot, fused, mix, normalize, scale, smoothstep, sub, Vec3};

const WIDE: u32 = 512;
const HIGH: u32 = 32;

impl Scalp<'_> {
    /// The mass of the hair; `None` where nothing grows. `curl` 0 straight … 1 tight.
    pub fn cap(&self, texture: Arc<Texture>, curl: f32, seed: u64) -> Option<Locks> {
        let ground = self.ground;
        let mut new = vec![u32::MAX; ground.own.len()];
        let mut old: Vec<u32> = Vec::new();
        let mut triangles = Vec::new();
        let grown = |i: u32| {
            let p = ground.mean[i as usize];
            p[1] < self.hidden_above && self.line.at(p) > 0.4
        };
        for triangle in ground.triangles.iter().flat_map(|part| part.iter()) {
            if triangle.iter().all(|&i| grown(i)) {
                triangles.push(triangle.map(|i| {
                    if new[i as usize] == u32::MAX {
                        new[i as usize] = old.len() as u32;
                        old.push(i);
                    }
                    new[i as usize]
                }));
            }
        }
        if triangles.is_empty() {
            return None;
        }
        let noise = Noise::new(seed);
        let skin: Vec<Vec3> = old.iter().map(|&i| ground.own[i as usize]).collect();
        let level: Vec<Vec3> = normals(&skin, &triangles);
        let places: Vec<Vec3> = old
            .iter()
            .zip(skin.iter().zip(&level))
            .map(|(&i, (&p, &normal))| {
                let mean = ground.mean[i as usize];
                let up = normalize(sub(p, MIDDLE));
                let thick = self.thickness(mean) * smoothstep(0.4, 1.0, self.line.at(mean));
                let lumps =
                    noise.at(0.9 * p[0] + 7.0, 0.9 * p[1] + 0.6 * p[2]) + 0.6 * noise.at(2.3 * p[0], 2.3 * p[1] - p[2]);
                let thick = thick * (1.0 + (0.08 + 0.22 * curl) * lumps);
                fused(p, normalize(mix(normal, up, 0.6)), thick.max(0.02))
            })
            .collect();
        let own = normals(&places, &triangles);
        let tangents = places
            .iter()
            .map(|&p| self.flow(self.cut.comb, p, normalize(sub(p, MIDDLE)), 0.0))
            .collect();
        let uvs: Vec<[f32; 2]> = places.iter().map(|&p| self.place(p)).collect();
        let mut topology = Topology {
            uv_triangles: triangles.clone(),
            triangles,
            uvs,
        };
        for corners in &mut topology.uv_triangles {
            let across = corners.map(|i| topology.uvs[i as usize][0]);
            let low = across.iter().fold(f32::MAX, |a, &b| a.min(b));
            if across.iter().any(|&u| u - low > 0.5) {
                // Where the texture's ends meet.
                *corners = corners.map(|i| {
                    let [u, v] = topology.uvs[i as usize];
                    topology.uvs.push([if u < 0.5 { u + 1.0 } else { u }, v]);
                    topology.uvs.len() as u32 - 1
                });
            }
        }
        let roots = old.iter().map(|&i| ([i; 3], [1.0, 0.0, 0.0])).collect();
        let offsets = places.iter().zip(&skin).map(|(&p, &s)| sub(p, s)).collect();
        Some(Locks::sheet(
            topology,
            Surface::Lock,
            texture,
            roots,
            offsets,
            own,
            tangents,
        ))
    }

    /// How high the hair stands over the scalp of the average head, centimetres.
    fn thickness(&self, p: Vec3) -> f32 {
        let cut = self.cut;
        let top = smoothstep(5.5, 10.0, p[1] - 0.25 * p[2].abs() * f32::from(p[2] < 0.0));
        let length = cut.sides + (cut.top - cut.sides) * top;
        if cut.comb == Comb::Up {
            return 0.62 * length.min(9.0) * cut.lift;
        }
        if cut.is_cropped() {
            return 0.35 * length;
        }
        let lying = 0.06 * length.min(4.0) + 0.55 * cut.volume * (0.25 + 0.75 * top);
        lying + 0.22 * cut.lift * length.min(5.0) * top
    }

    /// Place in the texture: across the hair, and along it.
    fn place(&self, p: Vec3) -> [f32; 2] {
        let q = sub(p, MIDDLE);
        let around = |axis: Vec3, front: Vec3| {
            let axis = normalize(axis);
            let side = normalize(cross(axis, front));
            let front = cross(side, axis);
            let angle = dot(q, side).atan2(dot(q, front));
            [0.5 + angle / std::f32::consts::TAU, 0.5 + dot(q, axis) / 24.0]
        };
        match self.cut.comb {
            Comb::Back => around([0.0, 0.0, 1.0], [0.0, 1.0, 0.0]),
            Comb::Forward | Comb::Up => around(sub(CROWN, MIDDLE), [0.0, 0.0, 1.0]),
            Comb::Gathered(height) => around(sub([0.0, height, -9.5], MIDDLE), [0.0, 1.0, 0.2]),
            Comb::Aside(_) | Comb::Parted(_) => [(p[2] + 12.0) / 25.0, 0.5 - q[1] / 24.0],
        }
    }
}

fn normals(places: &[Vec3], triangles: &[[u32; 3]]) -> Vec<Vec3> {
    let mut normals = vec![[0.0; 3]; places.len()];
    for triangle in triangles {
        let [a, b, c] = triangle.map(|i| places[i as usize]);
        let normal = cross(sub(b, a), sub(c, a));
        for &i in triangle {
            normals[i as usize] = add(normals[i as usize], normal);
        }
    }
    let out = |(normal, &p): (Vec3, &Vec3)| normalize(add(normalize(normal), scale(normalize(sub(p, MIDDLE)), 0.35)));
    normals.into_iter().zip(places).map(out).collect()
}

/// Hairs side by side over the width; tight curls show as lumps instead.
pub(crate) fn cap_texture(fibre: &Fibre, curl: f32, seed: u64) -> Texture {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut clumps = Vec::new();
    while clumps.len() < WIDE as usize {
        let tone = rng.random_range(-1.0f32..1.0);
        let grey = (fibre.grey * rng.random_range(0.6f32..1.4)).clamp(0.0, 1.0);
        clumps.extend(vec![(tone, grey); rng.random_range(2..9)]);
    }
    let kinky = smoothstep(0.6, 0.85, curl);
    let mut texels = vec![[0u8; 4]; (WIDE * HIGH) as usize];
    let silver = [0.40, 0.39, 0.37];
    for x in 0..WIDE {
        let (tone, grey) = clumps[x as usize];
        let fine = rng.random_range(-1.0f32..1.0);
        for y in 0..HIGH {
            let lump = rng.random_range(-1.0f32..1.0);
            let streak = (1.0 - kinky) * (0.6 * tone + 0.4 * fine) + (0.15 + 0.65 * kinky) * lump;
            let bright = (1.0 + fibre.contrast * streak).max(0.2);
            let colour = mix(fibre.colour, silver, 0.9 * grey).map(|c| to_srgb((c * bright).min(1.0)) as u8);
            texels[(y * WIDE + x) as usize] = [colour[0], colour[1], colour[2], 255];
        }
    }
    Texture::new(Level {
        width: WIDE,
        height: HIGH,
        texels,
    })
}
