//! How hair is cut and combed.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::traits::Traits;
use crate::render::vector::smoothstep;

/// Which way hair lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Comb {
    /// From the crown to the forehead.
    Forward,
    /// Away from the forehead.
    Back,
    /// To one side: −1 or 1.
    Aside(f32),
    /// Away from a line at this x, centimetres.
    Parted(f32),
    /// To a knot at the back of this height.
    Gathered(f32),
    /// Away from the head.
    Up,
}

/// A haircut. Lengths in centimetres.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Haircut {
    pub comb: Comb,
    pub top: f32,
    pub sides: f32,
    /// Of hair that falls over the forehead; 0 for none.
    pub fringe: f32,
    /// 0 lies on the head, 1 stands.
    pub lift: f32,
    /// Thickness of the mass over the scalp.
    pub volume: f32,
    /// Radius and length of waves.
    pub wave: [f32; 2],
    /// 0 smooth, 1 dishevelled.
    pub loose: f32,
    /// Half width of the face that hair at the sides leaves free.
    pub frame: f32,
    /// Shine, 0…1.
    pub gloss: f32,
}

impl Haircut {
    /// Short hair is cut with a machine, and hardly grows in locks.
    pub fn is_cropped(&self) -> bool {
        self.top < 0.9
    }

    /// A haircut that suits.
    pub fn draw(rng: &mut ChaCha8Rng, traits: &Traits) -> Self {
        let old = smoothstep(45.0, 75.0, traits.years);
        let kinky = smoothstep(0.6, 0.85, traits.curl);
        let curl = traits.curl * rng.random_range(0.6..1.1);
        let wave = [
            (0.05 + 0.5 * smoothstep(0.1, 0.8, curl)) * rng.random_range(0.4..1.0),
            7.0 - 5.0 * curl.min(1.0) + rng.random_range(0.0..1.5),
        ];
        let side: f32 = if rng.random_bool(0.6) { 1.0 } else { -1.0 };
        let base = Self {
            comb: Comb::Forward,
            top: 4.0,
            sides: 2.0,
            fringe: 0.0,
            lift: 0.2,
            volume: rng.random_range(0.5..1.6),
            wave,
            loose: rng.random_range(0.1f32..0.6),
            frame: rng.random_range(6.2..8.0),
            gloss: rng.random_range(0.45..1.0) * (1.0 - 0.5 * old),
        };
        let choice: f32 = rng.random();
        let length: f32 = rng.random();
        let part = side * rng.random_range(1.5..4.0);
        if kinky > 0.5 && choice < 0.75 {
            return base.kinky(rng, traits.male, length, side);
        }
        if traits.male {
            base.man(rng, traits, choice, length, side, part)
        } else {
            base.woman(rng, choice, length, old, part)
        }
    }

    fn kinky(self, rng: &mut ChaCha8Rng, male: bool, length: f32, side: f32) -> Self {
        let afro = rng.random::<f32>();
        let top = match (male, afro < 0.3) {
            (true, false) => 0.3 + 0.9 * length,
            (true, true) => 1.5 + 3.5 * length,
            (false, false) => 1.5 + 3.0 * length,
            (false, true) => 4.0 + 7.0 * length,
        };
        if !male && afro > 0.6 {
            return Self {
                comb: Comb::Gathered(rng.random_range(3.0..9.0)),
                top: 12.0,
                sides: 12.0,
                volume: 0.35,
                wave: [0.12, 2.0],
                loose: 0.15,
                lift: 0.05,
                ..self
            };
        }
        Self {
            comb: if top > 6.0 && afro < 0.2 {
                Comb::Parted(2.0 * side)
            } else {
                Comb::Up
            },
            top,
            sides: top * if male { rng.random_range(0.3..0.9) } else { 0.95 },
            lift: 0.95,
            volume: 0.35 * top,
            wave: [0.28, 1.2],
            loose: 0.9,
            gloss: 0.25,
            ..self
        }
    }

    fn man(self, rng: &mut ChaCha8Rng, traits: &Traits, choice: f32, length: f32, side: f32, part: f32) -> Self {
        let sides = rng.random_range(0.4..2.2);
        if choice < 0.14 + 0.5 * traits.baldness {
            // Cropped all over.
            let top = rng.random_range(0.15..0.85);
            Self {
                top,
                sides: 0.8 * top,
                volume: 0.15,
                lift: 0.5,
                ..self
            }
        } else if choice < 0.36 {
            let fringe = if rng.random_bool(0.5) { 2.0 + 3.5 * length } else { 0.0 };
            Self {
                comb: Comb::Forward,
                top: 2.0 + 3.0 * length,
                sides,
                fringe,
                ..self
            }
        } else if choice < 0.60 {
            Self {
                comb: Comb::Aside(side),
                top: 3.0 + 4.0 * length,
                sides,
                lift: 0.35,
                ..self
            }
        } else if choice < 0.74 {
            let lift = rng.random_range(0.2..0.75);
            Self {
                comb: Comb::Back,
                top: 3.5 + 4.0 * length,
                sides,
                lift,
                ..self
            }
        } else if choice < 0.84 {
            Self {
                comb: Comb::Up,
                top: 1.2 + 2.2 * length,
                sides,
                lift: 0.8,
                loose: 0.6,
                ..self
            }
        } else if choice < 0.94 {
            Self {
                comb: Comb::Parted(part),
                top: 6.0 + 5.0 * length,
                sides: 4.0 + 3.0 * length,
                ..self
            }
        } else if choice < 0.98 {
            Self {
                comb: Comb::Parted(0.4 * part),
                top: 16.0 + 16.0 * length,
                sides: 18.0,
                ..self
            }
        } else {
            Self {
                comb: Comb::Gathered(5.0),
                top: 13.0,
                sides: 13.0,
                volume: 0.3,
                lift: 0.05,
                loose: 0.12,
                ..self
            }
        }
    }

    fn woman(self, rng: &mut ChaCha8Rng, choice: f32, length: f32, old: f32, part: f32) -> Self {
        let long = if choice < 0.14 + 0.32 * old {
            // Short.
            let fringe = if rng.random_bool(0.45) { 4.0 + 3.0 * length } else { 0.0 };
            let comb = match (length * 4.0) as u32 {
                0 => Comb::Forward,
                1 => Comb::Back,
                2 => Comb::Aside(part.signum()),
                _ => Comb::Parted(part),
            };
            return Self {
                comb,
                top: 5.0 + 3.0 * length,
                sides: 2.5 + 3.5 * length,
                fringe,
                lift: 0.4,
                ..self
            };
        } else if choice < 0.40 + 0.15 * old {
            // To the jaw.
            11.0 + 7.0 * length
        } else if choice < 0.78 {
            22.0 + 26.0 * length
        } else {
            let tight = rng.random_range(0.1..0.55);
            return Self {
                comb: Comb::Gathered(rng.random_range(0.0..9.0)),
                top: 13.0,
                sides: 13.0,
                fringe: if rng.random_bool(0.25) { 6.0 } else { 0.0 },
                volume: tight,
                lift: 0.06,
                loose: 0.3 * tight,
                wave: [0.5 * self.wave[0], self.wave[1]],
                ..self
            };
        };
        Self {
            comb: Comb::Parted(if rng.random_bool(0.45) { 0.1 * part } else { part }),
            top: long,
            sides: 0.85 * long,
            fringe: if rng.random_bool(0.27) {
                5.0 + 3.0 * rng.random::<f32>()
            } else {
                0.0
            },
            lift: 0.15,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::lifelike::traits::Moment;

    #[test]
    fn women_wear_longer_hair_and_all_lengths_occur() {
        let cuts: Vec<(bool, Haircut)> = (0..2000)
            .map(|seed| {
                let traits = Traits::draw(seed, Moment::default());
                (traits.male, Haircut::draw(&mut Traits::shape_rng(seed), &traits))
            })
            .collect();
        let mean = |male: bool| {
            let sides: Vec<f32> = cuts.iter().filter(|c| c.0 == male).map(|c| c.1.sides).collect();
            sides.iter().sum::<f32>() / sides.len() as f32
        };
        assert!(mean(false) > 3.0 * mean(true), "{} {}", mean(false), mean(true));
        assert!(cuts.iter().any(|c| c.1.is_cropped()) && cuts.iter().any(|c| c.1.top > 40.0));
        assert!(cuts.iter().filter(|c| c.1.fringe > 0.0).count() > 200);
        assert!(cuts.iter().filter(|c| matches!(c.1.comb, Comb::Gathered(_))).count() > 150);
    }
}
