//! Which hair styles suit whom.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::assets::{FittedPart, MakeHuman};
use crate::render::raster::{Visibility, EMPTY};
use crate::render::vector::Vec3;

/// Share of the eyes' landmarks that a style hides from the front, on the average head (centimetres from the pivot).
pub(crate) fn eye_cover(style: &FittedPart, positions: &[Vec3], landmarks: &[Vec3]) -> f32 {
    const SIDE: u32 = 128;
    const SCALE: f32 = 6.0;
    let project = |p: Vec3| [64.0 + p[0] * SCALE, 64.0 - p[1] * SCALE, -p[2]];
    let mut buffer = Visibility::new(SIDE, SIDE);
    let level = style
        .texture
        .as_ref()
        .filter(|_| style.alpha)
        .map(|t| t.level(4.0));
    let topology = &style.topology;
    for (triangle, uvs) in topology.triangles.iter().zip(&topology.uv_triangles) {
        let corners = triangle.map(|i| project(positions[i as usize]));
        buffer.triangle(corners, 0, true, |w, _, _| {
            level.is_none_or(|level| {
                let [a, b, c] = uvs.map(|i| topology.uvs[i as usize]);
                level.alpha(std::array::from_fn(|k| w[0] * a[k] + w[1] * b[k] + w[2] * c[k])) > 110
            })
        });
    }
    let hidden = landmarks[36..48].iter().filter(|&&landmark| {
        let [x, y, depth] = project(landmark);
        let place = y as usize * SIDE as usize + x as usize;
        buffer.id[place] != EMPTY && buffer.depth[place] < depth
    });
    hidden.count() as f32 / 12.0
}

impl MakeHuman {
    /// A hair style that suits; `afro` is how often tight curls are drawn. Styles that hide an eye are rare: they hide
    /// who it is.
    pub fn draw_hair_style(&self, rng: &mut ChaCha8Rng, male: bool, afro: f32) -> Option<usize> {
        let weights: Vec<f32> = self
            .hair
            .iter()
            .zip(&self.eye_cover)
            .map(|(hair, &cover)| {
                let short = hair.name.starts_with("short");
                let suits = if hair.name.starts_with("afro") {
                    0.05 + 1.5 * afro
                } else if short == male {
                    1.0
                } else if male {
                    0.08
                } else {
                    0.3
                };
                if cover > 0.2 {
                    0.05 * suits
                } else {
                    suits
                }
            })
            .collect();
        let sum: f32 = weights.iter().sum();
        if sum <= 0.0 {
            return None;
        }
        let mut choice = rng.random_range(0.0..sum);
        for (i, weight) in weights.iter().enumerate() {
            choice -= weight;
            if choice < 0.0 {
                return Some(i);
            }
        }
        Some(self.hair.len() - 1)
    }
}
