//! Backgrounds, and the mean colours of their halves.

use super::lifelike::backdrop;
use super::noise::Noise;
use super::photo::Background;
use super::vector::mix;

/// The background in sRGB 0…1, row by row.
pub(crate) fn paint(background: &Background, halves: &[[f32; 3]; 2], size: u32) -> Vec<[f32; 3]> {
    let side = size as f32;
    let mut pixels = Vec::with_capacity((size * size) as usize);
    match background {
        Background::Plain => {
            for y in 0..size {
                // Linear, with these means in the upper and the lower half.
                let t = 2.0 * (y as f32 + 0.5) / side - 0.5;
                let colour = mix(halves[0], halves[1], t).map(|c| c.clamp(0.0, 1.0));
                pixels.extend((0..size).map(|_| colour));
            }
        }
        Background::Busy {
            colours,
            angle,
            blobs,
            noise,
            seed,
        } => {
            let (sin, cos) = angle.sin_cos();
            let field = Noise::new(*seed);
            for y in 0..size {
                for x in 0..size {
                    let (u, v) = ((x as f32 + 0.5) / side, (y as f32 + 0.5) / side);
                    let t = ((u - 0.5) * cos + (v - 0.5) * sin) * 0.8 + 0.5;
                    let mut colour = mix(colours[0], colours[1], t.clamp(0.0, 1.0));
                    for &([bx, by, radius], paint, sharpness) in blobs {
                        let distance = ((u - bx).powi(2) + (v - by).powi(2)).sqrt() / radius;
                        let soft = 1.0 - sharpness;
                        let cover = ((1.0 + soft - distance) / (2.0 * soft + 0.05)).clamp(0.0, 1.0);
                        colour = mix(colour, paint, cover);
                    }
                    let value = field.at(u * 7.0, v * 7.0) + 0.5 * field.at(u * 23.0 + 5.0, v * 23.0);
                    pixels.push(colour.map(|c| (c + value * noise).clamp(0.0, 1.0)));
                }
            }
        }
        Background::Scene { seed } => return backdrop(*seed, size),
    }
    pixels
}

/// Mean colours of the upper and the lower half.
pub(crate) fn halves(pixels: &[[f32; 3]]) -> [[f32; 3]; 2] {
    let (upper, lower) = pixels.split_at(pixels.len() / 2);
    [upper, lower].map(|half| {
        let mut sum = [0.0f64; 3];
        for pixel in half {
            for c in 0..3 {
                sum[c] += f64::from(pixel[c]);
            }
        }
        sum.map(|s| (s / half.len().max(1) as f64) as f32)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_halves_have_the_asked_means() {
        let asked = [[0.2, 0.5, 0.7], [0.4, 0.3, 0.6]];
        let means = halves(&paint(&Background::Plain, &asked, 64));
        for h in 0..2 {
            for c in 0..3 {
                assert!((means[h][c] - asked[h][c]).abs() < 1e-3);
            }
        }
    }
}
