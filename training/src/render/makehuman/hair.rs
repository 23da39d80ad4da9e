//! Which hair styles suit whom.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::assets::MakeHuman;

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
