//! Smooth noise in the plane.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Smooth noise in the plane, about −1…1.
pub(crate) struct Noise {
    values: Vec<f32>,
}

impl Noise {
    pub fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Self {
            values: (0..32 * 32).map(|_| rng.random_range(-1.0..1.0)).collect(),
        }
    }

    #[inline]
    pub fn at(&self, x: f32, y: f32) -> f32 {
        let (left, top) = (x.floor(), y.floor());
        let ease = |t: f32| t * t * (3.0 - 2.0 * t);
        let (fx, fy) = (ease(x - left), ease(y - top));
        let value = |dx: i32, dy: i32| {
            let (x, y) = ((left as i32 + dx) & 31, (top as i32 + dy) & 31);
            self.values[(y * 32 + x) as usize]
        };
        let upper = value(0, 0) + (value(1, 0) - value(0, 0)) * fx;
        let lower = value(0, 1) + (value(1, 1) - value(0, 1)) * fx;
        upper + (lower - upper) * fy
    }
}
