//! What makes a face its own beyond what the families of heads can say: smooth bumps of the surface and smooth patches
//! of tone, on both sides nearly alike. They stay for life.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::traits::Traits;
use crate::render::look::normal;
use crate::render::vector::{dot, fused, mix, smoothstep, sub, Vec3};

/// Middles of the eyeballs of average heads, centimetres from the pivot.
const EYES: [Vec3; 2] = [[-3.05, 4.0, 8.0], [3.05, 4.0, 8.0]];

/// Random numbers for the variation.
const STREAM: u64 = 20;

/// Radius (centimetres), pairs of both sides, standard deviation of the movement (centimetres).
const BUMPS: [(f32, usize, f32); 3] = [(7.5, 7, 0.26), (4.2, 10, 0.20), (2.4, 16, 0.10)];
/// Radius (centimetres), pairs of both sides, standard deviation of brightness (share).
const PATCHES: [(f32, usize, f32); 3] = [(5.5, 6, 0.045), (3.0, 10, 0.04), (1.6, 16, 0.03)];
/// Difference of the sides, as a share of what they have in common.
const ASYMMETRY: f32 = 0.25;

struct Place<T> {
    centre: Vec3,
    radius: f32,
    value: T,
}

impl<T> Place<T> {
    /// 1 in the middle, 0 from the radius on.
    #[inline]
    fn share(&self, p: Vec3) -> f32 {
        let d = sub(p, self.centre);
        let left = 1.0 - dot(d, d) / (self.radius * self.radius);
        if left > 0.0 {
            left * left
        } else {
            0.0
        }
    }
}

/// Bumps and patches on an average face (centimetres from the pivot).
pub(crate) struct Variation {
    bumps: Vec<Place<Vec3>>,
    /// Brightness and redness.
    patches: Vec<Place<[f32; 2]>>,
    at_eyes: [Vec3; 2],
}

impl Variation {
    /// The variation of a person.
    pub fn draw(traits: &Traits) -> Self {
        let rng = &mut traits.life_rng(STREAM);
        let mut bumps = Vec::new();
        for (radius, count, deviation) in BUMPS {
            for _ in 0..count {
                let centre = on_face(rng);
                let common = [0.6, 0.8, 1.0].map(|s: f32| s * deviation * normal(rng));
                for side in [1.0, -1.0] {
                    let own = [0.6, 0.8, 1.0].map(|s: f32| s * deviation * ASYMMETRY * normal(rng));
                    bumps.push(Place {
                        centre: [side * centre[0], centre[1], centre[2]],
                        radius,
                        value: [side * (common[0] + own[0]), common[1] + own[1], common[2] + own[2]],
                    });
                }
            }
        }
        let mut patches = Vec::new();
        for (radius, count, deviation) in PATCHES {
            for _ in 0..count {
                let centre = on_face(rng);
                let common = [deviation * normal(rng), 0.5 * deviation * normal(rng)];
                for side in [1.0, -1.0] {
                    patches.push(Place {
                        centre: [side * centre[0], centre[1], centre[2]],
                        radius,
                        value: common.map(|c| c + ASYMMETRY * deviation * normal(rng)),
                    });
                }
            }
        }
        let mut variation = Self {
            bumps,
            patches,
            at_eyes: [[0.0; 3]; 2],
        };
        variation.at_eyes = EYES.map(|eye| variation.plain(eye));
        variation
    }

    fn plain(&self, p: Vec3) -> Vec3 {
        self.bumps
            .iter()
            .fold([0.0; 3], |sum, bump| fused(sum, bump.value, bump.share(p)))
    }

    /// How a point of the average head moves, centimetres. Eyes and lids move as a whole.
    pub fn movement(&self, p: Vec3) -> Vec3 {
        let mut movement = self.plain(p);
        for (eye, whole) in EYES.iter().zip(self.at_eyes) {
            let d = sub(p, *eye);
            movement = mix(movement, whole, smoothstep(3.2, 1.9, dot(d, d).sqrt()));
        }
        movement
    }

    /// Movement of an eyeball: 0 at x < 0, 1 at x > 0.
    pub fn eye(&self, side: usize) -> Vec3 {
        self.at_eyes[side]
    }

    /// Factors on a skin's red, green and blue.
    pub fn tone(&self, p: Vec3) -> Vec3 {
        let mut sum = [0.0f32; 2];
        for patch in &self.patches {
            let share = patch.share(p);
            sum[0] += share * patch.value[0];
            sum[1] += share * patch.value[1];
        }
        let bright = sum[0].clamp(-0.3, 0.3).exp();
        let red = sum[1].clamp(-0.15, 0.15);
        [
            bright * (1.0 + 0.4 * red),
            bright * (1.0 - 0.4 * red),
            bright * (1.0 - 0.3 * red),
        ]
    }
}

/// A place on the right half of an average face.
fn on_face(rng: &mut ChaCha8Rng) -> Vec3 {
    let (x, y) = (rng.random_range(0.0f32..7.0), rng.random_range(-8.0f32..9.5));
    [x, y, 11.0 - 0.09 * x * x - 0.02 * (y - 1.0) * (y - 1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::lifelike::traits::Moment;
    use crate::render::vector::length;

    #[test]
    fn variation_stays_for_life_moves_eyes_as_a_whole_and_has_the_stated_size() {
        let (mut square, mut tone) = (0.0, 0.0);
        for seed in 0..60 {
            let at = |number| Variation::draw(&Traits::draw(seed, Moment { number, years: 9.0 }));
            let (now, later) = (at(0), at(2));
            for p in [[1.0, 0.0, 11.5], [4.0, -5.0, 9.0], [2.0, 7.0, 10.0]] {
                assert_eq!(now.movement(p), later.movement(p));
                assert_eq!(now.tone(p), later.tone(p));
                square += length(now.movement(p)).powi(2) / 180.0;
                tone += now.tone(p)[1].ln().powi(2) / 180.0;
            }
            let lid = now.movement([3.05, 4.9, 9.2]);
            assert!(length(sub(lid, now.eye(1))) < 1e-4, "{lid:?}");
            assert_eq!(now.movement([0.0, 3.0, -9.0]), [0.0; 3]);
        }
        let (movement, tone) = (square.sqrt(), tone.sqrt());
        assert!((0.2..0.8).contains(&movement), "{movement}");
        assert!((0.03..0.15).contains(&tone), "{tone}");
    }
}
