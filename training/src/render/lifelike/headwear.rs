//! Headscarves, hoods, woollen and other caps: cloth over the head with an edge that leaves the face free.

use std::f32::consts::TAU;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::render::look::normal;
use crate::render::mesh::Topology;
use crate::render::noise::Noise;
use crate::render::radius_map::RadiusMap;
use crate::render::texture::linear_colour;
use crate::render::vector::{add, fused, mix, normalize, scale, sub, Vec3};

/// The middle of the skull, centimetres from the pivot; as `RadiusMap` has it.
const MIDDLE: Vec3 = [0.0, 3.0, -0.5];
const AROUND: usize = 48;
const ROWS: usize = 14;

/// What covers the head.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Headwear {
    kind: Kind,
    /// Distance from the head, centimetres.
    thickness: f32,
    /// How deep folds are, centimetres.
    folds: f32,
    /// Up and outwards from the usual edge, centimetres.
    edge: [f32; 2],
    seed: u64,
    /// Linear.
    pub colour: Vec3,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Scarf,
    Hood,
    Cap,
}

impl Headwear {
    /// What somebody wears at a moment; mostly nothing.
    pub fn draw(rng: &mut ChaCha8Rng, male: bool) -> Option<Self> {
        let choice: f32 = rng.random();
        let thin = rng.random_range(0.3..0.8);
        let folds = rng.random_range(0.05..0.3);
        let edge = [0.5 * normal(rng), 0.35 * normal(rng)].map(|e: f32| e.clamp(-1.0, 1.0));
        let grey = rng.random_range(0.06f32..0.85);
        let colour = linear_colour(std::array::from_fn(|_| (grey + 0.12 * normal(rng)).clamp(0.03, 0.95)));
        let seed = rng.random();
        let scarves = if male { 0.0 } else { 0.045 };
        let (kind, thickness, folds) = if choice < scarves {
            (Kind::Scarf, thin + 0.3, folds)
        } else if choice < scarves + 0.02 {
            (Kind::Hood, thin + 1.3, 2.0 * folds)
        } else if choice < scarves + 0.055 {
            (Kind::Cap, thin + 0.4, 0.5 * folds)
        } else {
            return None;
        };
        Some(Self {
            kind,
            thickness,
            folds,
            edge,
            seed,
            colour,
        })
    }

    /// Above this height (centimetres from the pivot) no hair shows.
    pub fn hides_above(&self) -> f32 {
        match self.kind {
            Kind::Scarf | Kind::Hood => -100.0,
            Kind::Cap => 5.0,
        }
    }

    /// The edge at a turn around the face (or, of caps, around the head), and where the cloth comes together.
    fn edge(&self, turn: f32) -> Vec3 {
        let (sin, cos) = turn.sin_cos();
        let [up, out] = self.edge;
        match self.kind {
            Kind::Scarf | Kind::Hood => {
                let loose = if self.kind == Kind::Hood { 1.3 } else { 0.0 };
                let x = (6.7 + 0.5 * out + loose) * sin;
                let y = if cos > 0.0 {
                    0.8 + (8.6 + 0.7 * up + loose) * cos
                } else {
                    0.8 + (9.2 + 0.5 * loose) * cos
                };
                let flat = 1.0 - (x / 9.5).powi(2);
                [x, y, 1.5 + 8.0 * flat.max(0.05).sqrt() - 0.25 * (y - 3.0).abs() + loose]
            }
            Kind::Cap => {
                // Over the brows in front, over the ears at the sides, down the neck behind.
                let front = 0.5 + 0.5 * cos;
                let y = 2.2 + up + (6.2 - 0.3 * out) * front.powf(0.8);
                [9.0 * sin, y, 10.0 * cos - 0.5]
            }
        }
    }

    fn pole(&self) -> Vec3 {
        match self.kind {
            Kind::Scarf | Kind::Hood => [0.0, 5.0, -10.0],
            Kind::Cap => [0.0, 13.0, -1.5],
        }
    }

    /// The mesh on a head, centimetres.
    pub fn mesh(&self, surface: &RadiusMap) -> (Topology, Vec<Vec3>) {
        let noise = Noise::new(self.seed);
        let pole = normalize(sub(self.pole(), MIDDLE));
        let mut positions = Vec::with_capacity(AROUND * (ROWS + 1));
        for row in 0..=ROWS {
            // The first row is the hem, turned in to the head.
            let along = (row as f32 - 1.0).max(0.0) / (ROWS - 1) as f32;
            for i in 0..AROUND {
                let turn = TAU * i as f32 / AROUND as f32;
                let from = normalize(sub(self.edge(turn), MIDDLE));
                let direction = normalize(mix(from, scale(pole, 1.0), along.min(0.985)));
                let place = fused(MIDDLE, direction, 9.0);
                let fold = noise.at(6.0 * along + 3.0, turn * 2.2) + 0.5 * noise.at(11.0 * along, turn * 5.1 + 9.0);
                let off = if row == 0 {
                    -0.2
                } else {
                    self.thickness + self.folds * fold
                };
                positions.push(add(MIDDLE, scale(direction, surface.radius(place) + off)));
            }
        }
        let mut topology = Topology {
            uvs: vec![[0.0; 2]],
            ..Topology::default()
        };
        for row in 0..ROWS {
            for i in 0..AROUND {
                let at = |r: usize, i: usize| (r * AROUND + i % AROUND) as u32;
                let (a, b) = (at(row, i), at(row, i + 1));
                let (c, d) = (at(row + 1, i), at(row + 1, i + 1));
                topology.triangles.extend([[a, d, c], [a, b, d]]);
                topology.uv_triangles.extend([[0; 3]; 2]);
            }
        }
        (topology, positions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::vector::{dot, length};
    use rand::SeedableRng;

    #[test]
    fn cloth_lies_outside_the_head_and_leaves_the_face_free() {
        let head = RadiusMap::new((0..4000).map(|i| {
            let y = 1.0 - (2.0 * i as f32 + 1.0) / 4000.0;
            let (flat, angle) = ((1.0 - y * y).sqrt(), i as f32 * 2.399_963);
            fused(MIDDLE, [flat * angle.cos(), y, flat * angle.sin()], 9.0)
        }));
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let worn: Vec<Headwear> = (0..3000).filter_map(|i| Headwear::draw(&mut rng, i % 2 == 0)).collect();
        assert!((120..350).contains(&worn.len()), "{}", worn.len());
        for wear in worn.iter().take(30) {
            let (topology, positions) = wear.mesh(&head);
            assert_eq!(topology.triangles.len(), 2 * AROUND * ROWS);
            for p in &positions[AROUND..] {
                assert!(length(sub(*p, MIDDLE)) > 8.8);
                // Eyes, nose and mouth.
                let face = p[2] > 4.0 && p[0].abs() < 3.5 && (-3.2..5.0).contains(&p[1]);
                assert!(!face, "{wear:?} {p:?}");
            }
            let mut normals = vec![[0.0; 3]; positions.len()];
            topology.add_normals(&positions, &mut normals);
            let outwards = positions
                .iter()
                .zip(&normals)
                .skip(AROUND)
                .filter(|(p, n)| dot(sub(**p, MIDDLE), **n) > 0.0);
            let share = outwards.count() as f32 / (AROUND * ROWS) as f32;
            assert!(!(0.2..0.8).contains(&share), "{share}");
        }
    }
}
