//! What a lock looks like from near: hairs side by side, of slightly different colours, thinning towards the tip.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::render::texture::{to_srgb, Level, Texture};
use crate::render::vector::{mix, Vec3};

/// Columns of a texture.
pub(crate) const COLUMNS: u32 = 16;
const WIDE: u32 = 16;
const HIGH: u32 = 64;

/// How the hairs of a growth look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fibre {
    /// Linear.
    pub colour: Vec3,
    /// Share of grey hairs.
    pub grey: f32,
    /// 0: a closed lock; 1: single hairs with gaps.
    pub open: f32,
    /// Differences of brightness.
    pub contrast: f32,
}

/// Locks beside each other, roots at the top, colour in sRGB and cover in alpha.
pub(crate) fn lock_texture(fibre: &Fibre, seed: u64) -> Texture {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (width, height) = (COLUMNS * WIDE, HIGH);
    let mut texels = vec![[0u8; 4]; (width * height) as usize];
    for column in 0..COLUMNS {
        let tone = 1.0 + fibre.contrast * 0.45 * rng.random_range(-1.0f32..1.0);
        // Grey comes lock by lock as well as hair by hair.
        let own_grey = (fibre.grey * rng.random_range(0.4f32..1.6)).clamp(0.0, 1.0);
        for x in 0..WIDE {
            // Hairs are finer than a texel.
            let grey = (own_grey + 0.25 * own_grey * (1.0 - own_grey) * rng.random_range(-1.0f32..1.0)).clamp(0.0, 1.0);
            let silver = rng.random_range(0.32f32..0.5);
            let bright = tone * (1.0 + fibre.contrast * rng.random_range(-0.55f32..0.55));
            let own = fibre.colour.map(|c| c * bright.max(0.1));
            let colour = mix(own, [silver, silver * 0.98, silver * 0.94], 0.9 * grey);
            let across = (x as f32 + 0.5) / WIDE as f32 * 2.0 - 1.0;
            let end = rng.random_range(0.8f32..1.15);
            let gap = rng.random::<f32>() < 0.75 * fibre.open;
            let edge = 1.0 - across.abs().powi(3) * (0.5 + 0.5 * rng.random::<f32>());
            let [r, g, b] = colour.map(|c| to_srgb(c.min(1.0)));
            for y in 0..HIGH {
                let along = (y as f32 + 0.5) / HIGH as f32;
                // Roots are a little darker, tips lighter and fewer.
                let shade = 0.86 + 0.2 * along;
                let tip = ((end - along) / 0.3).clamp(0.0, 1.0);
                let alpha = edge * tip * if gap { 0.15 } else { 1.0 };
                texels[(y * width + column * WIDE + x) as usize] = [
                    (r * shade).min(255.0) as u8,
                    (g * shade).min(255.0) as u8,
                    (b * shade).min(255.0) as u8,
                    (255.0 * alpha) as u8,
                ];
            }
        }
    }
    Texture::new(Level { width, height, texels })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_hair_is_brighter_and_tips_thin_out() {
        let fibre = |grey: f32| Fibre {
            colour: [0.01; 3],
            grey,
            open: 0.3,
            contrast: 0.5,
        };
        let (dark, grey) = (lock_texture(&fibre(0.0), 5), lock_texture(&fibre(0.9), 5));
        assert!(grey.mean_colour()[1] > 5.0 * dark.mean_colour()[1]);
        let alpha = |from: u32, to: u32| -> u32 {
            let level = &dark.levels[0];
            let row = level.width;
            level.texels[(from * row) as usize..(to * row) as usize]
                .iter()
                .map(|t| u32::from(t[3]))
                .sum()
        };
        assert!(alpha(0, 16) > 2 * alpha(48, 64));
    }
}
