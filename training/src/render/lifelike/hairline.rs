//! Where hair grows on the scalp of an average head (centimetres from the pivot; the eyes lie at y = 4, z = 8).

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::traits::Traits;
use crate::render::look::normal;
use crate::render::vector::{smoothstep, Vec3};

/// The edge of the hair, and where it has become thin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Hairline {
    /// Up from an average forehead, centimetres.
    height: f32,
    /// How far it recedes at the temples.
    recession: f32,
    /// Point in the middle.
    peak: f32,
    /// How low hair grows before the ear.
    sideburn: f32,
    /// 0 full, 1 only a wreath.
    baldness: f32,
    softness: f32,
}

impl Hairline {
    /// `life` draws what stays: the form before any hair is lost.
    pub fn draw(life: &mut ChaCha8Rng, traits: &Traits) -> Self {
        let height = (0.45 * normal(life)).clamp(-0.9, 1.1);
        let temples = life.random_range(0.0f32..1.0).powi(2);
        let peak = (0.25 * normal(life)).clamp(-0.2, 0.7);
        let sideburn = life.random_range(0.0..2.2);
        let softness = life.random_range(0.25..0.6);
        let lost = traits.baldness;
        Self {
            height: height + 0.8 * lost,
            recession: if traits.male {
                0.4 + 1.4 * temples + 3.0 * lost
            } else {
                0.7 * temples
            },
            peak,
            sideburn: if traits.male { sideburn } else { 0.3 * sideburn },
            baldness: lost,
            softness,
        }
    }

    /// 0 bare, 1 dense.
    pub fn at(&self, p: Vec3) -> f32 {
        let x = p[0].abs();
        // Forehead: high in the middle, receding above the temples, then down beside them.
        let temple = smoothstep(1.6, 4.4, x) * (1.0 - smoothstep(5.4, 6.8, x));
        let front = 9.5 + self.height + self.recession * temple
            - self.peak * (1.0 - smoothstep(0.0, 1.3, x))
            - 3.6 * smoothstep(4.8, 6.9, x);
        let above = smoothstep(front - self.softness, front + self.softness, p[1]);
        // Sides: behind a line that runs down before the ear; never on the ear itself.
        let low = 2.4 - self.sideburn;
        let side = smoothstep(4.7, 3.7, p[2] - 0.12 * (p[1] - 4.0)) * smoothstep(low - 0.8, low + 0.4, p[1]);
        let nape = smoothstep(-5.5, -3.5, p[1]) * smoothstep(-1.8, -3.2, p[2]);
        let ear = x > 7.5 && p[1] < 6.6 && p[2] > -3.4 && p[2] < 3.0;
        let sides = side * smoothstep(5.0, 6.0, x + 2.0 * smoothstep(0.0, -3.0, p[2])).max(nape);
        let grown = above.max(sides).max(nape) * f32::from(!ear);
        // What goes first: above the temples and the crown, then all but the sides.
        let upper = smoothstep(8.2 - 0.6 * self.baldness, 10.0, p[1] + 0.1 * p[2]);
        let lost = smoothstep(0.25, 0.9, self.baldness) * upper;
        grown * (1.0 - 0.97 * lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::lifelike::traits::Moment;

    #[test]
    fn foreheads_are_bare_and_crowns_are_not() {
        for seed in 0..50 {
            let traits = Traits::draw(seed, Moment::default());
            let line = Hairline::draw(&mut Traits::shape_rng(seed), &traits);
            assert_eq!(line.at([0.0, 7.0, 10.5]), 0.0);
            assert_eq!(line.at([3.0, 4.0, 8.5]), 0.0);
            let crown = line.at([0.0, 13.0, -2.0]);
            if traits.baldness < 0.1 {
                assert!(crown > 0.9, "{crown}");
            }
            let back = line.at([2.0, 3.0, -8.5]);
            assert!(back > 0.9, "{back}");
        }
        let bald = Hairline {
            height: 0.0,
            recession: 0.0,
            peak: 0.0,
            sideburn: 0.0,
            baldness: 1.0,
            softness: 0.3,
        };
        assert!(bald.at([0.0, 13.0, -2.0]) < 0.1);
    }
}
