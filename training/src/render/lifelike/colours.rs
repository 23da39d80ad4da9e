//! Colours of skin, hair and eyes.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::render::look::normal;
use crate::render::texture::linear_colour;
use crate::render::vector::{mix, Vec3};

/// sRGB 0…255 from light to dark skin in even light.
const SKIN: [Vec3; 8] = [
    [229.0, 200.0, 189.0],
    [220.0, 187.0, 173.0],
    [207.0, 170.0, 154.0],
    [187.0, 148.0, 130.0],
    [158.0, 119.0, 102.0],
    [125.0, 90.0, 77.0],
    [96.0, 68.0, 59.0],
    [69.0, 50.0, 44.0],
];

/// sRGB 0…255 of irises: dark brown, brown, hazel, green, grey, blue, light blue.
const IRIS: [Vec3; 7] = [
    [46.0, 28.0, 18.0],
    [86.0, 52.0, 28.0],
    [116.0, 88.0, 48.0],
    [98.0, 112.0, 76.0],
    [118.0, 126.0, 132.0],
    [78.0, 110.0, 148.0],
    [124.0, 158.0, 184.0],
];

/// sRGB 0…1 of hair from black to light blond.
const HAIR: [Vec3; 7] = [
    [0.055, 0.048, 0.045],
    [0.11, 0.08, 0.065],
    [0.19, 0.13, 0.09],
    [0.29, 0.19, 0.125],
    [0.42, 0.30, 0.19],
    [0.58, 0.45, 0.29],
    [0.74, 0.63, 0.45],
];

/// sRGB 0…255 of a skin with this pigment; `hue` are three normal numbers that vary it.
pub(crate) fn skin(pigment: f32, hue: [f32; 3]) -> Vec3 {
    let base = along(&SKIN, pigment * (SKIN.len() - 1) as f32);
    let grey = 0.3 * base[0] + 0.6 * base[1] + 0.1 * base[2];
    let base = mix(base, [grey; 3], 0.05);
    let (warm, olive, light) = (0.018 * hue[0], 0.012 * hue[1], 0.03 * hue[2]);
    [
        base[0] * (1.0 + warm + light),
        base[1] * (1.0 + olive + light),
        base[2] * (1.0 - 1.3 * warm - olive + light),
    ]
}

/// Linear natural colour.
pub(crate) fn hair(rng: &mut ChaCha8Rng, origin: &[f32; 3], pigment: f32) -> Vec3 {
    let european = origin[2] * (1.0 - pigment);
    let place = (rng.random::<f32>().powf(0.9) * 6.0 * european.sqrt()).min(5.99) * f32::from(european > 0.3)
        + rng.random_range(0.0..0.9) * f32::from(european <= 0.3);
    let red = rng.random::<f32>() < 0.06 * european;
    let shade = (0.1 * normal(rng)).exp();
    let colour = if red { [0.46, 0.20, 0.09] } else { along(&HAIR, place) };
    linear_colour(colour.map(|c| c * shade))
}

/// Linear colour of dyed hair.
pub(crate) fn dyed(rng: &mut ChaCha8Rng, natural: Vec3) -> Vec3 {
    let choice: f32 = rng.random();
    if choice < 0.4 {
        natural.map(|c| (0.8 * c + 0.01).min(0.6))
    } else if choice < 0.9 {
        linear_colour(along(&HAIR, rng.random_range(0.5..5.99)))
    } else {
        linear_colour([0.35, 0.10, 0.09])
    }
}

/// sRGB 0…255.
pub(crate) fn iris(rng: &mut ChaCha8Rng, origin: &[f32; 3], pigment: f32) -> Vec3 {
    let light = origin[2] * (1.0 - 1.5 * pigment).max(0.0);
    let brown = rng.random::<f32>() > 0.85 * light;
    let place = if brown {
        rng.random_range(0.0..1.7)
    } else {
        rng.random_range(1.5..5.99)
    };
    along(&IRIS, place)
}

fn along(colours: &[Vec3], place: f32) -> Vec3 {
    let first = (place.max(0.0) as usize).min(colours.len() - 2);
    mix(
        colours[first],
        colours[first + 1],
        (place - first as f32).clamp(0.0, 1.0),
    )
}
