//! Photos of a style.

use rand_chacha::ChaCha8Rng;

use super::distribution::PhotoDistribution;
use super::lifelike;
use super::photo::PhotoSpec;
use super::style::Style;

impl PhotoDistribution {
    /// Draws a photo.
    pub fn sample(&self, rng: &mut ChaCha8Rng) -> PhotoSpec {
        match self.style {
            Style::Classic => self.classic(rng),
            Style::Lifelike => lifelike::sample(self, rng),
        }
    }
}
