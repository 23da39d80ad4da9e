//! Painted skin, lips, brows, lashes, hairline and eyes of ICT heads.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::assets::Ict;
use super::features::{FaceTexel, BACK_SIDE, EYE_SIDE, FACE_SIDE};
use crate::render::look::{hash, normal, Look};
use crate::render::marks::Marks;
use crate::render::noise::Noise;
use crate::render::texture::{to_srgb, Level, Texture};
use crate::render::vector::{length, mix, smoothstep, Vec3};

/// sRGB 0…255 from light to dark skin.
const SKIN: [Vec3; 7] = [
    [247.0, 218.0, 202.0],
    [237.0, 199.0, 176.0],
    [222.0, 177.0, 148.0],
    [198.0, 147.0, 114.0],
    [161.0, 110.0, 80.0],
    [112.0, 73.0, 53.0],
    [72.0, 47.0, 37.0],
];

/// sRGB 0…255 of irises: dark brown, brown, hazel, green, grey, blue, light blue.
const IRIS: [Vec3; 7] = [
    [52.0, 30.0, 18.0],
    [92.0, 55.0, 28.0],
    [120.0, 92.0, 48.0],
    [98.0, 116.0, 76.0],
    [122.0, 130.0, 134.0],
    [78.0, 112.0, 150.0],
    [128.0, 166.0, 190.0],
];

/// Colours and forms of a painted face.
pub(crate) struct Paint {
    /// 0 light, 1 dark.
    pub tone: f32,
    skin: Vec3,
    lips: Vec3,
    lip_strength: f32,
    iris: Vec3,
    iris_size: f32,
    /// Width, height over the ridge, arch, length at both ends, density.
    brow: [f32; 6],
    /// Redness of lids, shade under the eyes.
    lids: f32,
    under_eyes: f32,
    lashes: f32,
    /// Height of the hairline, how far it recedes at the temples.
    hairline: [f32; 2],
    /// Cover of the scalp by painted hair, 0…1.
    pub scalp: f32,
}

impl Paint {
    pub fn draw(rng: &mut ChaCha8Rng, male: bool) -> Self {
        let tone: f32 = rng.random_range(0.0f32..1.0).powf(1.25);
        let place = tone * (SKIN.len() - 1) as f32;
        let first = (place as usize).min(SKIN.len() - 2);
        let base = mix(SKIN[first], SKIN[first + 1], place - first as f32);
        let warmth = 0.03 * normal(rng);
        let olive = 0.02 * normal(rng);
        let light = 0.04 * normal(rng);
        let skin = [
            base[0] * (1.0 + warmth + light),
            base[1] * (1.0 + olive + light),
            base[2] * (1.0 - 1.3 * warmth - olive + light),
        ];
        let painted = !male && rng.random_bool(0.35);
        let natural = [skin[0] * 0.86, skin[1] * 0.62, skin[2] * 0.63];
        let lips = if painted {
            let dark = rng.random_range(0.5..1.0);
            [
                185.0 * dark,
                rng.random_range(25.0..80.0) * dark,
                rng.random_range(40.0..90.0) * dark,
            ]
        } else {
            natural
        };
        let iris_place = if tone > 0.45 || rng.random_bool(0.3) {
            rng.random_range(0.0..1.6f32)
        } else {
            rng.random_range(0.5..5.99f32)
        };
        let iris_first = iris_place as usize;
        Self {
            tone,
            skin,
            lips,
            lip_strength: rng.random_range(0.55..1.0),
            iris: mix(IRIS[iris_first], IRIS[iris_first + 1], iris_place.fract()),
            iris_size: rng.random_range(0.93..1.05),
            brow: [
                if male {
                    rng.random_range(0.32..0.62)
                } else {
                    rng.random_range(0.18..0.42)
                },
                rng.random_range(-0.35..0.25),
                rng.random_range(-0.25..0.35),
                rng.random_range(-0.12..0.12),
                rng.random_range(0.85..1.12),
                rng.random_range(0.55..1.0),
            ],
            lids: rng.random_range(0.0..1.0),
            under_eyes: rng.random_range(0.0f32..1.0).powi(2),
            lashes: if male {
                rng.random_range(0.3..0.7)
            } else {
                rng.random_range(0.55..1.0)
            },
            hairline: [
                rng.random_range(-0.9..1.4),
                if male {
                    rng.random_range(0.0f32..1.0).powi(2) * 3.5
                } else {
                    rng.random_range(0.0..0.8)
                },
            ],
            scalp: 0.0,
        }
    }

    /// Skin with smooth differences of tone and fine grain.
    fn base(&self, p: Vec3, look: &Look, noise: &Noise, x: u32, y: u32, seed: u32) -> Vec3 {
        let (u, v) = (p[0] * 0.33 + 11.0, p[1] * 0.33 + p[2] * 0.12 + 17.0);
        let blotch = noise.at(u, v) + 0.5 * noise.at(2.7 * u + 3.0, 2.7 * v);
        let red = noise.at(0.8 * u + 20.0, 0.8 * v + 5.0);
        let grain = 1.0 + 0.045 * (hash(x as i32, y as i32, 3, seed) - 0.5);
        let shade = grain * (1.0 + 0.035 * look.blotches * blotch);
        let mut colour = [
            self.skin[0] * shade * (1.0 + 0.025 * look.blotches * red),
            self.skin[1] * shade,
            self.skin[2] * shade * (1.0 - 0.025 * look.blotches * red),
        ];
        // Ears and the neck's front differ a little.
        let ear = smoothstep(7.3, 8.6, p[0].abs()) * smoothstep(7.5, 5.5, p[1]);
        colour[1] *= 1.0 - 0.1 * ear;
        colour[2] *= 1.0 - 0.1 * ear;
        colour
    }

    /// Where hair grows on the head, 0…1.
    fn hair_at(&self, p: Vec3) -> f32 {
        let x = p[0].abs();
        let [height, recession] = self.hairline;
        // Forehead: the hairline is high in the middle and comes down at the temples.
        let temple = smoothstep(2.0, 4.8, x);
        let front = 9.9 + height + recession * temple * (1.0 - smoothstep(5.6, 6.8, x)) - 3.5 * smoothstep(5.0, 7.0, x);
        let above = smoothstep(front - 0.45, front + 0.45, p[1]);
        // Sides: behind a line that runs down before the ear; and never on the ear itself.
        let side = smoothstep(4.6, 3.6, p[2] - 0.12 * (p[1] - 4.0)) * smoothstep(1.2, 2.4, p[1] + 0.2 * x - 1.0);
        let nape = smoothstep(-5.5, -3.5, p[1]) * smoothstep(-1.8, -3.2, p[2]);
        let ear = if x > 7.5 && p[1] < 6.6 && p[2] > -3.4 && p[2] < 3.6 {
            0.0
        } else {
            1.0
        };
        let sides = side * smoothstep(5.0, 6.0, x + 2.0 * smoothstep(0.0, -3.0, p[2])).max(nape);
        (above.max(sides).max(nape)) * ear
    }

    fn scalp(&self, p: Vec3, colour: Vec3, look: &Look, x: u32, y: u32, seed: u32) -> Vec3 {
        if self.scalp <= 0.0 {
            return colour;
        }
        let grown = self.hair_at(p);
        if grown <= 0.0 {
            return colour;
        }
        let grain = 0.7 + 0.6 * hash(x as i32, y as i32, 5, seed);
        let hair = look.hair.map(|c| to_srgb(c * 0.8));
        mix(colour, hair, (grown * self.scalp * grain).min(0.9))
    }

    /// The face.
    pub fn face(&self, assets: &Ict, look: &Look) -> Texture {
        let noise = Noise::new(look.noise_seed);
        let seed = look.noise_seed as u32;
        let marks = Marks::new(look);
        let beard_colour = look.brows.map(|c| to_srgb(c * 0.8));
        let texels = assets
            .face_texels
            .iter()
            .enumerate()
            .map(|(place, texel)| {
                let p = texel.position;
                if p[0].is_nan() {
                    return opaque(self.skin);
                }
                let (x, y) = (place as u32 % FACE_SIDE, place as u32 / FACE_SIDE);
                let mut colour = self.base(p, look, &noise, x, y, seed);
                colour = self.eyes_region(texel, colour);
                colour = marks.apply(p, colour, marks.beard(p, x, y, seed), beard_colour, seed);
                colour = self.lips(texel, colour, x, y, seed);
                colour = self.scalp(p, colour, look, x, y, seed);
                colour = self.brows(texel, colour, look, seed);
                opaque(colour)
            })
            .collect();
        Texture::new(Level {
            width: FACE_SIDE,
            height: FACE_SIDE,
            texels,
        })
    }

    /// Back of the head, ears, neck.
    pub fn back(&self, assets: &Ict, look: &Look) -> Texture {
        let noise = Noise::new(look.noise_seed);
        let seed = look.noise_seed as u32;
        let texels = assets
            .back_texels
            .iter()
            .enumerate()
            .map(|(place, &p)| {
                if p[0].is_nan() {
                    return opaque(self.skin);
                }
                let (x, y) = (place as u32 % BACK_SIDE, place as u32 / BACK_SIDE);
                let colour = self.base(p, look, &noise, x, y, seed);
                opaque(self.scalp(p, colour, look, x, y, seed))
            })
            .collect();
        Texture::new(Level {
            width: BACK_SIDE,
            height: BACK_SIDE,
            texels,
        })
    }

    fn eyes_region(&self, texel: &FaceTexel, colour: Vec3) -> Vec3 {
        let p = texel.position;
        if p[2] < 5.0 || p[1] < 0.5 || p[1] > 7.0 {
            return colour;
        }
        let mut colour = colour;
        let x = p[0].abs();
        let socket = smoothstep(1.25, 0.3, length([(x - 3.1) / 2.3, (p[1] - 4.2) / 1.5, 0.0]));
        let dark = 0.10 * self.lids * socket;
        colour = [
            colour[0] * (1.0 - dark),
            colour[1] * (1.0 - 1.4 * dark),
            colour[2] * (1.0 - 1.2 * dark),
        ];
        let below = smoothstep(1.2, 0.2, length([(x - 2.9) / 1.8, (p[1] - 2.75) / 0.75, 0.0]));
        let dark = 0.16 * self.under_eyes * below;
        colour = [
            colour[0] * (1.0 - dark),
            colour[1] * (1.0 - 1.1 * dark),
            colour[2] * (1.0 - 0.8 * dark),
        ];
        let [upper, lower] = texel.lids;
        let lash = self.lashes * (0.85 * smoothstep(0.13, 0.03, upper)).max(0.4 * smoothstep(0.08, 0.02, lower));
        mix(colour, [28.0, 20.0, 18.0], lash)
    }

    fn lips(&self, texel: &FaceTexel, colour: Vec3, x: u32, y: u32, seed: u32) -> Vec3 {
        if texel.lips < -0.3 {
            return colour;
        }
        let cover = smoothstep(-0.12, 0.16, texel.lips) * self.lip_strength;
        let grain = 1.0 + 0.08 * (hash(x as i32 / 2, y as i32 / 5, 11, seed) - 0.5);
        let mut colour = mix(colour, self.lips.map(|c| c * grain), cover);
        let dark = 0.5 * smoothstep(0.12, 0.0, texel.slit);
        colour = mix(colour, [colour[0] * 0.45, colour[1] * 0.3, colour[2] * 0.3], dark);
        colour
    }

    fn brows(&self, texel: &FaceTexel, colour: Vec3, look: &Look, seed: u32) -> Vec3 {
        let [along, above] = texel.brow;
        if above.abs() > 1.6 {
            return colour;
        }
        let [width, height, arch, start, end, density] = self.brow;
        let s = (along - start) / (end - start);
        if !(-0.02..=1.02).contains(&s) || (along <= 0.0 && s > 0.05 && texel.position[0].abs() < 0.75) {
            return colour;
        }
        let middle = height + arch * (1.0 - (2.0 * s - 1.2).powi(2));
        let thick = width * smoothstep(-0.05, 0.18, s) * (1.0 - 0.75 * smoothstep(0.45, 1.0, s)) + 0.04;
        let across = (above - middle) / thick;
        let cover = smoothstep(1.25, 0.45, across.abs()) * smoothstep(-0.02, 0.1, s) * smoothstep(1.03, 0.93, s);
        if cover <= 0.0 {
            return colour;
        }
        // Hairs run outwards and lean up at the nose.
        let hairs = hash(
            (s * 90.0 + across * 3.0) as i32,
            i32::from(texel.position[0] > 0.0),
            13,
            seed,
        );
        let strokes = density * (0.55 + 0.7 * hairs);
        mix(
            colour,
            look.brows.map(|c| to_srgb(c * 0.85)),
            (cover * strokes).min(0.95),
        )
    }

    /// An eyeball; `side` 0 is the person's left.
    pub fn eye(&self, assets: &Ict, side: usize, seed: u32) -> Texture {
        let texels = assets.eye_texels[side]
            .iter()
            .map(|texel| {
                let degrees = texel.angle.to_degrees() / self.iris_size;
                if degrees.is_nan() {
                    return [225, 218, 212, 255];
                }
                let ray = hash((texel.around * 14.0) as i32, 1, 17, seed);
                let fine = hash((texel.around * 37.0) as i32, 2, 17, seed);
                let sclera = mix(
                    [226.0, 221.0, 216.0],
                    [214.0, 178.0, 168.0],
                    smoothstep(38.0, 75.0, degrees),
                );
                let glow = 0.75 + 0.35 * smoothstep(9.0, 17.0, degrees) + 0.25 * (ray - 0.5) + 0.2 * (fine - 0.5);
                let ring = 1.0 - 0.65 * smoothstep(18.0, 22.5, degrees);
                let iris = self.iris.map(|c| c * glow * ring);
                let mut colour = mix(iris, sclera, smoothstep(21.0, 24.5, degrees));
                colour = mix([10.0, 8.0, 8.0], colour, smoothstep(8.0, 9.5, degrees));
                opaque(colour)
            })
            .collect();
        Texture::new(Level {
            width: EYE_SIDE,
            height: EYE_SIDE,
            texels,
        })
    }
}

fn opaque(colour: Vec3) -> [u8; 4] {
    let [r, g, b] = colour.map(|c| c.clamp(0.0, 255.0) as u8);
    [r, g, b, 255]
}
