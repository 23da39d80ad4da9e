//! What both families share of a person's looks: hair colour, marks on the skin, beard, clothes.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::glasses::Frame;
use super::texture::linear_colour;
use super::vector::{smoothstep, Vec3};

/// A normal number.
pub(crate) fn normal(rng: &mut ChaCha8Rng) -> f32 {
    StandardNormal.sample(rng)
}

/// One of some things.
pub(crate) fn pick<'a, T>(rng: &mut ChaCha8Rng, things: &'a [T]) -> &'a T {
    &things[rng.random_range(0..things.len())]
}

/// Where a beard grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beard {
    None,
    Moustache,
    Goatee,
    Full,
}

/// Hair colour, skin marks, beard, clothes.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    /// Linear.
    pub hair: Vec3,
    /// Linear; brows are often darker than hair.
    pub brows: Vec3,
    /// Mirror-like part of the skin's light.
    pub gloss: f32,
    /// Linear.
    pub cloth: Vec3,
    /// Depth of the neckline in front, centimetres.
    pub neckline: f32,
    pub beard: Beard,
    /// 0 shaved, 0.3 stubble, 1 dense.
    pub beard_strength: f32,
    /// 0 none, 1 many.
    pub freckles: f32,
    /// Places on the skin (centimetres from the pivot), radius, strength.
    pub moles: Vec<(Vec3, f32, f32)>,
    /// Redness of cheeks and nose.
    pub flush: f32,
    /// The glasses that the person has, worn or not.
    pub glasses: Frame,
    /// Of the noise on the skin.
    pub noise_seed: u64,
    /// Strength of smooth differences of tone.
    pub blotches: f32,
}

/// sRGB hair colours with how often dark-haired and other people have them.
const HAIR: [([f32; 3], f32, f32); 11] = [
    ([0.07, 0.06, 0.06], 6.0, 1.0),
    ([0.13, 0.09, 0.07], 4.0, 2.0),
    ([0.22, 0.14, 0.09], 1.5, 3.0),
    ([0.33, 0.21, 0.13], 0.4, 3.0),
    ([0.45, 0.31, 0.19], 0.1, 2.5),
    ([0.60, 0.46, 0.29], 0.1, 2.0),
    ([0.75, 0.63, 0.43], 0.1, 1.5),
    ([0.84, 0.76, 0.60], 0.0, 0.7),
    ([0.45, 0.17, 0.07], 0.0, 0.8),
    ([0.60, 0.27, 0.11], 0.0, 0.7),
    ([0.28, 0.09, 0.08], 0.1, 0.3),
];

/// A hair colour, linear. `dark` 1: only dark ones; `grey`: how grey, 0…1.
pub(crate) fn hair_colour(rng: &mut ChaCha8Rng, dark: f32, grey: f32) -> Vec3 {
    let weight = |(_, a, b): &([f32; 3], f32, f32)| a * dark + b * (1.0 - dark);
    let mut choice = rng.random_range(0.0..HAIR.iter().map(weight).sum::<f32>());
    let mut colour = HAIR[0].0;
    for entry in &HAIR {
        colour = entry.0;
        choice -= weight(entry);
        if choice < 0.0 {
            break;
        }
    }
    let silver = rng.random_range(0.5..0.88);
    let shade = 1.0 + 0.15 * normal(rng);
    linear_colour(std::array::from_fn(|c| {
        let own = colour[c] * shade;
        own + (silver - own) * grey
    }))
}

/// Linear colours of frames.
const FRAMES: [Vec3; 6] = [
    [0.01, 0.01, 0.01],
    [0.015, 0.012, 0.01],
    [0.10, 0.035, 0.012],
    [0.35, 0.33, 0.30],
    [0.30, 0.02, 0.02],
    [0.02, 0.04, 0.20],
];

impl Look {
    /// Draws a look. `dark`: how dark-haired the people are, 0…1; `age` 0 (25 years)…1 (90 years).
    pub fn draw(rng: &mut ChaCha8Rng, male: bool, age: f32, dark: f32) -> Self {
        let grey_start = rng.random_range(0.15..0.6);
        let grey = smoothstep(grey_start, grey_start + 0.35, age) * rng.random_range(0.5..1.0);
        let hair = hair_colour(rng, dark, grey);
        let darker = rng.random_range(0.3..0.9);
        let beard = if male {
            *pick(
                rng,
                &[
                    Beard::None,
                    Beard::None,
                    Beard::None,
                    Beard::Moustache,
                    Beard::Goatee,
                    Beard::Full,
                    Beard::Full,
                ],
            )
        } else {
            Beard::None
        };
        let moles = (0..rng.random_range(0..5))
            .map(|_| {
                let place = [
                    rng.random_range(-6.0..6.0),
                    rng.random_range(-6.0..7.5),
                    rng.random_range(7.0..11.0),
                ];
                (place, rng.random_range(0.12..0.24), rng.random_range(0.35..0.8))
            })
            .collect();
        Self {
            hair,
            brows: hair.map(|c| c * darker),
            gloss: rng.random_range(0.02..0.11),
            cloth: linear_colour(std::array::from_fn(|_| rng.random_range(0.05..0.9))),
            neckline: rng.random_range(0.0..4.0),
            beard,
            beard_strength: if beard == Beard::None {
                if male {
                    rng.random_range(0.0..0.3)
                } else {
                    0.0
                }
            } else {
                rng.random_range(0.35..1.0)
            },
            freckles: if rng.random_bool(0.2) {
                rng.random_range(0.3..1.0)
            } else {
                0.0
            },
            moles,
            flush: rng.random_range(0.0..1.0),
            glasses: Frame {
                lens: [rng.random_range(2.1..2.8), rng.random_range(1.4..2.2)],
                roundness: rng.random_range(0.0..1.0),
                thickness: rng.random_range(0.06..0.17),
                colour: *pick(rng, &FRAMES),
            },
            noise_seed: rng.random(),
            blotches: rng.random_range(0.3..1.0),
        }
    }

    /// How dense the beard is at a place of an average head (centimetres from the pivot), 0…1.
    pub fn beard_at(&self, p: Vec3) -> f32 {
        let x = p[0].abs();
        // Only the front and the sides below the temples, down to the upper neck.
        if p[1] > 2.0 || p[1] < -10.0 || p[2] < 1.0 {
            return 0.0;
        }
        // The mouth: lips stay bare.
        let lips = ((x / 2.7).powi(2) + ((p[1] + 2.75) / 0.95).powi(2)).sqrt();
        let bare = smoothstep(0.92, 1.15, lips);
        // The upper edge: below the nose, then down beside the mouth, then up to the ears.
        let edge = -1.35 - 1.5 * smoothstep(1.6, 3.4, x) + 4.2 * smoothstep(4.2, 7.2, x);
        let below = smoothstep(edge + 0.6, edge - 0.6, p[1]);
        let throat = smoothstep(-9.5, -7.5, p[1]);
        let full = below * throat * bare;
        let moustache = full * smoothstep(3.4, 2.7, x) * smoothstep(-3.4, -2.6, p[1]);
        let chin = full * smoothstep(3.2, 2.2, x);
        match self.beard {
            Beard::None | Beard::Full => full,
            Beard::Moustache => 0.25 * full + 0.75 * moustache,
            Beard::Goatee => 0.2 * full + 0.8 * chin,
        }
    }
}

/// A number 0…1 that looks random, from a cell's place.
#[inline(always)]
pub(crate) fn hash(x: i32, y: i32, z: i32, seed: u32) -> f32 {
    let mut h = seed
        ^ (x as u32).wrapping_mul(0x9E37_79B1)
        ^ (y as u32).wrapping_mul(0x85EB_CA77)
        ^ (z as u32).wrapping_mul(0xC2B2_AE3D);
    h ^= h >> 15;
    h = h.wrapping_mul(0x2C1B_3C6D);
    h ^= h >> 12;
    h = h.wrapping_mul(0x297A_2D39);
    h ^= h >> 15;
    (h >> 8) as f32 / 16_777_216.0
}
