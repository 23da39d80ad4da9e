//! Backgrounds with the statistics of photographs: things of all sizes in front of each other, out of focus.
//!
//! Opaque shapes whose sizes follow a power law, each hiding what lies behind it, have the spectrum and the edges of
//! natural pictures (the dead leaves model; Lee, Mumford, Huang 2001).

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::render::look::normal;
use crate::render::noise::Noise;
use crate::render::vector::{mix, Vec3};

/// A background of `size` × `size` pixels in sRGB 0…1, row by row. The same at every size, but for its finest detail.
pub(crate) fn backdrop(seed: u64, size: u32) -> Vec<Vec3> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let palette = palette(&mut rng);
    let side = size as f32;
    let noise = Noise::new(seed);
    let kind: f32 = rng.random();
    let ends = [palette[0], mix(palette[0], palette[1], rng.random_range(0.0..0.6))];
    let (sin, cos) = rng.random_range(0.0..std::f32::consts::TAU).sin_cos();
    let grain = rng.random_range(0.0f32..1.0).powi(2) * 0.08;
    let mut pixels: Vec<Vec3> = (0..size * size)
        .map(|place| {
            let (u, v) = uv(place, size);
            let t = ((u - 0.5) * cos + (v - 0.5) * sin + 0.5).clamp(0.0, 1.0);
            let value = noise.at(u * 5.0, v * 5.0) + 0.5 * noise.at(u * 17.0 + 5.0, v * 17.0);
            mix(ends[0], ends[1], t).map(|c| c + 0.6 * grain * value)
        })
        .collect();
    if kind > 0.45 {
        let count = rng.random_range(6..28);
        for _ in 0..count {
            shape(&mut rng, &palette, &noise, &mut pixels, size);
        }
        // Mostly out of focus.
        let defocus = rng.random_range(0.12f32..1.0).powi(2) * 0.08 * side;
        for _ in 0..2 {
            pixels = box_blur(&pixels, size as usize, defocus);
        }
    }
    for pixel in &mut pixels {
        *pixel = pixel.map(|c| c.clamp(0.0, 1.0));
    }
    pixels
}

fn uv(place: u32, size: u32) -> (f32, f32) {
    (
        ((place % size) as f32 + 0.5) / size as f32,
        ((place / size) as f32 + 0.5) / size as f32,
    )
}

/// Colours that occur together: related hues, mostly dull, from dark to bright.
fn palette(rng: &mut ChaCha8Rng) -> Vec<Vec3> {
    let (warm, green) = (0.05 * normal(rng), 0.02 * normal(rng));
    let key: f32 = rng.random_range(0.08..0.92);
    (0..6)
        .map(|i| {
            let spread = if i == 0 { 0.0 } else { 0.24 * normal(rng) };
            let grey = (key + spread).clamp(0.03, 0.97);
            let vivid = if rng.random_bool(0.1) { 0.13 } else { 0.03 };
            let own = [normal(rng), normal(rng), normal(rng)].map(|n| vivid * n);
            [grey + warm + own[0], grey + green + own[1], grey - warm + own[2]].map(|c| c.clamp(0.02, 0.98))
        })
        .collect()
}

fn shape(rng: &mut ChaCha8Rng, palette: &[Vec3], noise: &Noise, pixels: &mut [Vec3], size: u32) {
    // Density of radii falls with the cube.
    let (least, most) = (0.07f32, 0.7f32);
    let t: f32 = rng.random();
    let radius = 1.0 / (t / (least * least) + (1.0 - t) / (most * most)).sqrt();
    let centre = [rng.random_range(-0.15..1.15), rng.random_range(-0.15f32..1.15)];
    let colour = palette[rng.random_range(0..palette.len())].map(|c| c + 0.04 * normal(rng));
    let round = rng.random_bool(0.35);
    // Things stand upright more often than not.
    let angle = if rng.random_bool(0.65) {
        0.02 * normal(rng)
    } else {
        rng.random_range(0.0..3.2)
    };
    let stretch = (0.8 * normal(rng)).exp().clamp(0.12, 7.0);
    let half = [radius * stretch.sqrt(), radius / stretch.sqrt()];
    let (sin, cos) = angle.sin_cos();
    let slope = 0.35 * normal(rng);
    let rough = if rng.random_bool(0.4) {
        rng.random_range(0.0..0.16)
    } else {
        0.0
    };
    let stripes = if rng.random_bool(0.12) {
        rng.random_range(0.03..0.15)
    } else {
        0.0
    };
    let fine = rng.random_range(8.0..40.0);
    let reach = half[0].hypot(half[1]);
    let bound = |c: f32, sign: f32| ((c + sign * reach) * size as f32).clamp(0.0, size as f32) as u32;
    let soft = 0.7 / size as f32;
    for y in bound(centre[1], -1.0)..bound(centre[1], 1.0) {
        for x in bound(centre[0], -1.0)..bound(centre[0], 1.0) {
            let place = y * size + x;
            let (u, v) = uv(place, size);
            let (dx, dy) = (u - centre[0], v - centre[1]);
            let local = [dx * cos + dy * sin, dy * cos - dx * sin];
            let inside = if round {
                let d = (local[0] / half[0]).hypot(local[1] / half[1]);
                (1.0 - d) * half[0].min(half[1])
            } else {
                (half[0] - local[0].abs()).min(half[1] - local[1].abs())
            };
            let cover = (0.5 + 0.5 * inside / soft).clamp(0.0, 1.0);
            if cover <= 0.0 {
                continue;
            }
            let mut shade = 1.0 + slope * (local[1] / half[1]) * 0.5;
            shade += rough * noise.at(u * fine, v * fine) + stripes * (local[0] * fine * 6.0).sin();
            let pixel = &mut pixels[place as usize];
            *pixel = mix(*pixel, colour.map(|c| c * shade), cover);
        }
    }
}

/// A running mean of `2 radius + 1` pixels along rows, then columns.
fn box_blur(pixels: &[Vec3], side: usize, radius: f32) -> Vec<Vec3> {
    let reach = radius.round() as usize;
    if reach == 0 {
        return pixels.to_vec();
    }
    let pass = |from: &[Vec3], step: usize, line: usize| -> Vec<Vec3> {
        let mut out = vec![[0.0; 3]; from.len()];
        let share = 1.0 / (2 * reach + 1) as f32;
        for first in 0..side {
            let at = |i: isize| from[first * line + i.clamp(0, side as isize - 1) as usize * step];
            let mut sum = [0.0f32; 3];
            for i in -(reach as isize)..=reach as isize {
                let pixel = at(i);
                (0..3).for_each(|c| sum[c] += pixel[c]);
            }
            for i in 0..side {
                out[first * line + i * step] = sum.map(|s| s * share);
                let (enters, leaves) = (at((i + reach + 1) as isize), at(i as isize - reach as isize));
                (0..3).for_each(|c| sum[c] += enters[c] - leaves[c]);
            }
        }
        out
    };
    let rows = pass(pixels, 1, side);
    pass(&rows, side, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blur_keeps_the_mean_of_a_spot_and_backdrops_repeat() {
        let mut pixels = vec![[0.0f32; 3]; 32 * 32];
        pixels[16 * 32 + 16] = [1.0; 3];
        let blurred = box_blur(&pixels, 32, 3.0);
        let sum: f32 = blurred.iter().map(|p| p[0]).sum();
        assert!((sum - 1.0).abs() < 1e-3, "{sum}");
        assert!((blurred[16 * 32 + 16][0] - 1.0 / 49.0).abs() < 1e-5);
        assert_eq!(backdrop(7, 32), backdrop(7, 32));
        assert_ne!(backdrop(7, 32), backdrop(8, 32));
    }

    /// Power falls with about the square of the frequency: neighbouring pixels are nearly alike, far ones are not.
    #[test]
    fn differences_grow_with_distance() {
        let (mut near, mut far) = (0.0, 0.0);
        for seed in 0..60 {
            let pixels = backdrop(seed, 64);
            for y in 0..64 {
                for x in 0..32 {
                    let at = |x: usize| pixels[y * 64 + x][1];
                    near += (at(x) - at(x + 1)).powi(2);
                    far += (at(x) - at(x + 16)).powi(2);
                }
            }
        }
        assert!(far > 5.0 * near && near > 0.0, "{near} {far}");
    }
}
