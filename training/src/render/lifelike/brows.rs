//! Eyebrows: their form, and their hairs.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::features::BrowPlace;
use super::lock_texture::COLUMNS;
use super::locks::{along_surface, Strand};
use super::scatter::{Ground, Root};
use super::traits::Traits;
use crate::render::look::normal;
use crate::render::vector::{add, fused, normalize, scale, smoothstep, Vec3};

const ROWS: usize = 3;

/// The form of a pair of brows; it stays for life.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct BrowForm {
    /// Half of the height, centimetres.
    thickness: f32,
    /// Above the brow ridge's middle line, centimetres.
    height: f32,
    arch: f32,
    /// Where the arch is highest, 0…1 from the nose.
    peak: f32,
    /// Ends along the ridge, 0 at the nose, 1 at the temple.
    ends: [f32; 2],
    /// How much the outer end narrows, 0…1.
    taper: f32,
    density: f32,
    /// Hairs between the brows, 0…1.
    joined: f32,
    length: f32,
    /// One side differs a little from the other.
    uneven: f32,
}

impl BrowForm {
    pub fn draw(life: &mut ChaCha8Rng, traits: &Traits) -> Self {
        let plucked = !traits.male && life.random_bool(0.55);
        let thickness: f32 = if traits.male {
            life.random_range(0.22..0.45)
        } else if plucked {
            life.random_range(0.11..0.22)
        } else {
            life.random_range(0.17..0.33)
        };
        let old = smoothstep(50.0, 80.0, traits.years);
        Self {
            thickness,
            height: 0.16 * normal(life) + if traits.male { -0.08 } else { 0.08 },
            arch: if traits.male {
                0.08 + 0.10 * normal(life)
            } else {
                0.17 + 0.12 * normal(life)
            },
            peak: life.random_range(0.5..0.75),
            ends: [life.random_range(-0.08..0.14), life.random_range(0.84..1.12)],
            taper: life.random_range(0.4..0.95),
            density: (life.random_range(0.65f32..1.0) - 0.25 * old * f32::from(!traits.male)).max(0.25),
            joined: if traits.male && !plucked {
                life.random_range(0.0f32..1.0).powi(4)
            } else {
                0.0
            },
            length: if traits.male { 0.55 + 0.35 * old } else { 0.4 },
            uneven: 0.05 * normal(life),
        }
    }

    /// Cover at a place near a brow, 0…1.
    pub fn cover(&self, at: &BrowPlace) -> f32 {
        let [along, above] = [at.along, at.above - self.uneven * at.side];
        let [start, end] = self.ends;
        let s = (along - start) / (end - start);
        if above.abs() > 1.5 {
            return 0.0;
        }
        if at.between && s <= 0.05 {
            // Between the brows.
            return 0.6 * self.joined * smoothstep(0.9, 0.2, (above + 0.1).abs());
        }
        if !(-0.03..=1.03).contains(&s) {
            return 0.0;
        }
        let middle = self.height + self.arch * (1.0 - ((s - self.peak) / self.peak).powi(2)) - 0.12 * s;
        let thick = self.thickness * smoothstep(-0.12, 0.16, s) * (1.0 - self.taper * smoothstep(0.4, 1.0, s)) + 0.03;
        let across = (above - middle) / thick;
        smoothstep(1.2, 0.5, across.abs()) * smoothstep(-0.03, 0.1, s) * smoothstep(1.03, 0.9, s) * self.density
    }

    /// The hairs; `place` says where a point of the average head lies along the brows.
    pub fn grow(&self, ground: &Ground, place: &dyn Fn(Vec3) -> BrowPlace, rng: &mut ChaCha8Rng) -> Vec<Strand> {
        let near = |p: Vec3| p[1] > 4.2 && p[1] < 8.4 && p[2] > 4.0 && p[0].abs() < 7.5;
        let roots = ground.scatter(rng, 26.0, |p| if near(p) { self.cover(&place(p)) } else { 0.0 });
        let mut hair = |root: Root| {
            let at = place(root.mean);
            let s = at.along.clamp(0.0, 1.0);
            // Up at the nose, outwards along the ridge, a little down at the end.
            let rise = 1.1 - 1.5 * smoothstep(0.0, 0.45, s) - 0.25 * smoothstep(0.5, 1.0, s) + 0.15 * normal(rng);
            let lean = if at.above > self.height + 0.1 { -0.25 } else { 0.2 };
            let wanted = [root.mean[0].signum(), rise + lean, -0.25];
            let flow = along_surface(wanted, root.normal);
            let mut direction = normalize(add(scale(flow, 0.85), scale(root.normal, 0.16)));
            let length = self.length * rng.random_range(0.7..1.25) * (1.0 - 0.4 * smoothstep(0.6, 1.0, s));
            let mut point = fused(root.position, root.normal, 0.005);
            let mut points = vec![point];
            for _ in 1..ROWS {
                point = fused(point, direction, length / (ROWS - 1) as f32);
                direction = normalize(fused(direction, root.normal, -0.16));
                points.push(point);
            }
            Strand {
                root,
                points,
                width: rng.random_range(0.05..0.09),
                out: vec![root.normal; ROWS],
                twist: 0.3 * normal(rng),
                column: rng.random_range(0..COLUMNS),
            }
        };
        roots.into_iter().map(&mut hair).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::lifelike::traits::Moment;

    #[test]
    fn brows_end_and_mens_are_thicker() {
        let at = |along: f32, above: f32| BrowPlace {
            along,
            above,
            side: 1.0,
            between: false,
        };
        let mut heights = [0.0, 0.0];
        for seed in 0..300 {
            let traits = Traits::draw(seed, Moment::default());
            let form = BrowForm::draw(&mut Traits::shape_rng(seed), &traits);
            assert_eq!(form.cover(&at(0.4, 1.9)), 0.0);
            assert_eq!(form.cover(&at(1.4, 0.0)), 0.0);
            let covered = (0..60)
                .filter(|i| form.cover(&at(0.35, *i as f32 * 0.05 - 1.5)) > 0.1)
                .count();
            assert!(covered > 0, "{form:?}");
            heights[usize::from(traits.male)] += covered as f32;
        }
        assert!(heights[1] > 1.3 * heights[0], "{heights:?}");
    }
}
