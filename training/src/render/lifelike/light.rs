//! Light of photographs: studios, windows, lamps, flash, open sky, sun.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::render::light::{DirectionalLight, Lighting, LUMINANCE};
use crate::render::look::normal;
use crate::render::vector::{dot, fused, mul, normalize, scale, Vec3};

/// White of a colour temperature, as factors around 1: −1 warm … 1 cold; `green` tints.
fn white(temperature: f32, green: f32, strength: f32) -> Vec3 {
    [-0.13 * temperature, 0.02 * green, 0.13 * temperature].map(|c: f32| strength * c.exp())
}

fn light(direction: Vec3, colour: Vec3) -> DirectionalLight {
    DirectionalLight {
        direction: normalize(direction),
        colour,
    }
}

/// The light of any photo.
pub(crate) fn any(rng: &mut ChaCha8Rng) -> Lighting {
    let (warm, tint) = (0.35 * normal(rng), normal(rng));
    let side: f32 = if rng.random_bool(0.5) { 1.0 } else { -1.0 };
    let kind: f32 = rng.random();
    let mut lights = Vec::new();
    let (ambient, shadow);
    if kind < 0.36 {
        // Large lamps at both sides: even.
        let balance = rng.random_range(0.35..1.0);
        let high = rng.random_range(0.1..0.7);
        lights.push(light([0.75 * side, high, 1.0], white(warm, tint, 0.55)));
        lights.push(light([-0.75 * side, high, 1.0], white(warm, tint, 0.55 * balance)));
        lights.push(light([0.0, 1.0, 0.5], white(warm, tint, 0.25)));
        ambient = white(warm, tint, rng.random_range(0.25..0.6));
        shadow = false;
    } else if kind < 0.54 {
        // A window.
        let key = rng.random_range(0.7..1.2);
        lights.push(light(
            [side * rng.random_range(0.7..2.2), 0.35 + 0.3 * normal(rng), 0.8],
            white(warm + 0.4, tint, key),
        ));
        lights.push(light([-side, 0.1, 0.7], white(warm, tint, rng.random_range(0.05..0.3))));
        ambient = white(warm, tint, rng.random_range(0.12..0.35));
        shadow = rng.random_bool(0.5);
    } else if kind < 0.68 {
        // Lamps at the ceiling.
        let key = rng.random_range(0.5..0.95);
        lights.push(light(
            [0.5 * normal(rng), 1.3, 0.7 + 0.3 * normal(rng)],
            white(warm - 0.4, tint, key),
        ));
        lights.push(light([side, 0.8, 0.4], white(warm - 0.3, tint, 0.4 * key)));
        lights.push(light([-side, 0.1, 1.0], white(warm - 0.3, tint, 0.25)));
        ambient = white(warm - 0.3, tint, rng.random_range(0.2..0.45));
        shadow = rng.random_bool(0.6);
    } else if kind < 0.78 {
        // Flash beside the lens.
        lights.push(light([0.12 * normal(rng), 0.15, 1.0], white(0.2, 0.0, 1.0)));
        ambient = white(warm - 0.4, tint, rng.random_range(0.06..0.25));
        shadow = false;
    } else if kind < 0.92 {
        // Open sky.
        for direction in [
            [0.0, 1.0, 0.25],
            [0.9, 0.7, 0.5],
            [-0.9, 0.7, 0.5],
            [0.2 * side, 0.35, 1.0],
        ] {
            let strength = 0.26 * (0.25 * normal(rng)).exp();
            lights.push(light(direction, white(0.45 + 0.3 * warm, tint, strength)));
        }
        ambient = white(0.3, tint, rng.random_range(0.22..0.4));
        shadow = false;
    } else {
        // Sun.
        lights.push(light(
            [
                1.2 * normal(rng),
                rng.random_range(0.3..1.4),
                rng.random_range(0.1..1.0),
            ],
            white(-0.35, 0.0, 1.3),
        ));
        lights.push(light([0.0, 1.0, 0.3], white(0.9, 0.0, 0.2)));
        lights.push(light([0.0, -0.7, 0.6], white(-0.3, 0.0, 0.12)));
        ambient = white(0.5, 0.0, rng.random_range(0.15..0.3));
        shadow = true;
    }
    if rng.random_bool(0.18) {
        // From behind.
        let rim = rng.random_range(0.2..0.9);
        lights.push(light([1.5 * normal(rng), 0.6, -1.0], white(warm, tint, rim)));
    }
    let mut lighting = Lighting {
        ambient,
        lights,
        shadow,
    };
    balance(rng, &mut lighting);
    // Cameras expose for the face.
    exposed(lighting, rng.random_range(0.85..1.2))
}

/// The light at the strength in which a white face has this brightness.
pub(crate) fn exposed(mut lighting: Lighting, brightness: f32) -> Lighting {
    let exposure = brightness / lighting.brightness();
    lighting.ambient = scale(lighting.ambient, exposure);
    for light in &mut lighting.lights {
        light.colour = scale(light.colour, exposure);
    }
    lighting
}

/// White balance: most of the cast that a white face would have goes.
fn balance(rng: &mut ChaCha8Rng, lighting: &mut Lighting) {
    let mut sum = lighting.ambient;
    for light in &lighting.lights {
        sum = fused(sum, light.colour, (0.35 + 0.65 * light.direction[2]).max(0.05));
    }
    let grey = dot(sum, LUMINANCE).max(1e-3);
    let share = rng.random_range(0.7..1.05);
    let factor = sum.map(|c| (grey / c.max(1e-3)).powf(share));
    lighting.ambient = mul(lighting.ambient, factor);
    for light in &mut lighting.lights {
        light.colour = mul(light.colour, factor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn faces_are_exposed_and_sides_are_even_on_average() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (mut sideways, mut upwards) = (0.0, 0.0);
        for _ in 0..500 {
            let lighting = any(&mut rng);
            let brightness = lighting.brightness();
            assert!((0.8..1.25).contains(&brightness), "{brightness}");
            let harmonics = lighting.harmonics();
            sideways += harmonics[1][1] / 500.0;
            upwards += harmonics[2][1] / 500.0;
        }
        // Light comes from above.
        assert!(sideways.abs() < 0.05 && upwards > 0.05, "{sideways} {upwards}");
    }
}
