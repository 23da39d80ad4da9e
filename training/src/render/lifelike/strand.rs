//! Hair of the head: locks that leave the scalp, lie the way they are combed, hang down, and keep off the head.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::haircut::{Comb, Haircut};
use super::hairline::Hairline;
use super::lock_texture::COLUMNS;
use super::locks::{along_surface, Strand};
use super::scatter::{Ground, Root};
use crate::render::look::normal;
use crate::render::radius_map::RadiusMap;
use crate::render::vector::{add, cross, fused, length, mix, normalize, scale, smoothstep, sub, Vec3};

/// The middle of the skull, centimetres from the pivot; as `RadiusMap` has it.
pub(super) const MIDDLE: Vec3 = [0.0, 3.0, -0.5];
/// Where hair turns on the crown, on an average head.
pub(super) const CROWN: Vec3 = [0.6, 12.2, -4.5];
/// Points of a lock.
const ROWS: usize = 8;
const DOWN: Vec3 = [0.0, -1.0, 0.0];

/// What the growth of a head of hair follows.
pub(crate) struct Scalp<'a> {
    pub ground: &'a Ground<'a>,
    /// How far the surface of the head is from its middle.
    pub surface: &'a RadiusMap,
    pub line: &'a Hairline,
    pub cut: &'a Haircut,
    /// Hairs per area, 0…1.
    pub fullness: f32,
    /// No hair grows above this height, centimetres from the pivot.
    pub hidden_above: f32,
}

impl Scalp<'_> {
    /// All locks of the head.
    pub fn grow(&self, rng: &mut ChaCha8Rng) -> Vec<Strand> {
        let cut = self.cut;
        // Short locks are narrow and many.
        let width = (0.2 + 0.08 * cut.top.max(cut.sides)).clamp(0.24, 0.85) * if cut.lift > 0.9 { 0.7 } else { 1.0 };
        let per_area = (2.6 / (width * (0.5 + 0.25 * cut.top)).max(0.12)).clamp(1.9, 5.0) * self.fullness;
        let density = |p: Vec3| {
            if p[1] > self.hidden_above {
                return 0.0;
            }
            // The back of the head is hardly ever seen.
            let seen = if p[2] < -4.0 { 0.45 } else { 1.0 };
            seen * self.line.at(p).powf(0.6)
        };
        let roots = self.ground.scatter(rng, per_area, density);
        roots.into_iter().map(|root| self.lock(rng, root, width)).collect()
    }

    fn lock(&self, rng: &mut ChaCha8Rng, root: Root, width: f32) -> Strand {
        let cut = self.cut;
        let p = root.mean;
        let top = smoothstep(6.5, 10.5, p[1] - 0.25 * p[2].abs() * f32::from(p[2] < 0.0));
        let front = smoothstep(1.0, 5.0, p[2]) * smoothstep(9.5, 11.0, p[1] + 0.3 * p[2]);
        let in_fringe = cut.fringe > 0.0 && front > 0.3 && p[0].abs() < 5.2 && rng.random::<f32>() < 0.85;
        let mut reach = if in_fringe {
            cut.fringe * rng.random_range(0.82..1.1)
        } else {
            let spread = rng.random_range(1.0 - 0.25 * cut.loose - 0.08..1.05);
            (cut.sides + (cut.top - cut.sides) * top) * spread
        };
        if cut.comb == Comb::Up && !in_fringe {
            // The cap below makes the mass.
            reach *= 0.78;
        }
        // Fine hair at the edge is short, unless it is let grow.
        let edge = 0.55 + 0.45 * self.line.at(p);
        reach *= edge + (1.0 - edge) * smoothstep(6.0, 12.0, reach);
        let comb = if in_fringe { Comb::Forward } else { cut.comb };
        // Hair at the sides lies closer.
        let lift = (cut.lift * rng.random_range(0.6..1.3) * (0.45 + 0.55 * top)).clamp(0.02, 1.0);
        let lift = if cut.comb == Comb::Up {
            let kinky = cut.wave[1] < 1.5;
            lift.max(0.6 * cut.lift * if kinky { 1.0 } else { top })
        } else {
            lift
        };
        let phase = rng.random_range(0.0..std::f32::consts::TAU);
        let turn = 0.5 * cut.loose * normal(rng);
        // Upper locks lie over lower ones.
        let layer = 0.1 + cut.volume * (0.15 + 0.85 * rng.random::<f32>()) * (0.35 + 0.65 * top);
        let step = reach / (ROWS - 1) as f32;
        let mut place = fused(root.position, root.normal, -0.05);
        let mut points = vec![place];
        let mut out = vec![root.normal];
        let first = self.flow(comb, place, root.normal, turn);
        let mut direction = normalize(add(scale(first, 1.0 - lift), scale(root.normal, lift)));
        let falls = if comb == Comb::Up {
            0.12
        } else {
            0.25 + 0.035 * reach.min(20.0)
        };
        for row in 1..ROWS {
            let along = row as f32 / (ROWS - 1) as f32;
            let up = normalize(sub(place, MIDDLE));
            // Combed near the root, hanging farther out.
            let combed = (1.0 - along).powi(2) * (1.0 - 0.5 * lift);
            let gathered = matches!(comb, Comb::Gathered(_));
            // Hair that is combed away from the face does not fall before it gets to the side.
            let over_face = if matches!(comb, Comb::Forward | Comb::Up) {
                0.0
            } else {
                let free = cut.frame;
                smoothstep(0.5, 3.5, place[2]) * smoothstep(free + 0.5, free - 1.5, place[0].abs())
            };
            let pull = if gathered {
                0.9
            } else {
                (0.75 * combed).max(0.85 * over_face)
            };
            let flow = self.flow(comb, place, up, turn);
            let hang = if gathered {
                0.0
            } else {
                falls * step.min(1.6) * (0.4 + along) * (1.0 - over_face)
            };
            direction = normalize(add(
                add(direction, scale(flow, pull * step.min(1.2))),
                scale(DOWN, hang),
            ));
            place = fused(place, direction, step);
            place = self.keep_off(place, layer * (along * 3.0).min(1.0), gathered);
            let before = points[row - 1];
            let moved = sub(place, before);
            if length(moved) > 1e-4 {
                direction = normalize(mix(direction, normalize(moved), 0.6));
            }
            let side = cross(direction, up);
            let [radius, waves] = cut.wave;
            let swing = radius * along.min(0.6) * (phase + std::f32::consts::TAU * along * reach / waves).sin();
            points.push(fused(place, side, swing));
            out.push(up);
        }
        Strand {
            root,
            points,
            width: width * rng.random_range(0.7..1.3) * if in_fringe { 0.8 } else { 1.0 },
            out,
            // Every second lock of hanging hair stands across, so that the mass is closed from all sides.
            twist: (0.12 + 0.35 * cut.loose) * normal(rng)
                + if reach > 8.0 && rng.random_bool(0.5) { 1.4 } else { 0.0 },
            column: rng.random_range(0..COLUMNS),
        }
    }

    /// The direction in which hair is combed at a place whose surface looks to `up`.
    pub(super) fn flow(&self, comb: Comb, p: Vec3, up: Vec3, turn: f32) -> Vec3 {
        let swirl = sub(p, CROWN);
        let wanted: Vec3 = match comb {
            Comb::Forward => {
                // Forwards on the top, down at the sides and the back.
                let away = normalize(swirl);
                [
                    0.35 * away[0],
                    away[1].min(0.0) - 0.25,
                    away[2].max(-0.6) + 0.45 * smoothstep(4.0, 9.0, p[1]),
                ]
            }
            Comb::Back => [0.12 * p[0], -0.25 * smoothstep(8.0, 2.0, p[1]), -1.0],
            Comb::Aside(side) => {
                let high = smoothstep(5.0, 9.0, p[1]);
                [side * high, -1.0 + 0.8 * high, 0.35 * high - 0.25 * (1.0 - high)]
            }
            Comb::Parted(x) => {
                let from = p[0] - x * smoothstep(2.0, 9.0, p[1]);
                let away = (from / 0.8).clamp(-1.0, 1.0);
                let front = smoothstep(1.0, 5.0, p[2]);
                [
                    away,
                    -0.2 - 0.55 * smoothstep(10.0, 5.0, p[1]) * (1.0 - front),
                    -0.22 - 0.45 * front,
                ]
            }
            Comb::Gathered(height) => sub([0.0, height, -9.5], p),
            Comb::Up => add(scale(up, 0.6), [0.25 * swirl[0] * 0.1, 0.35, 0.1]),
        };
        if comb == Comb::Up {
            return normalize(fused(wanted, cross(up, [0.3, 0.2, 0.9]), turn));
        }
        let flat = along_surface(wanted, up);
        normalize(fused(flat, cross(up, flat), turn))
    }

    /// Out of the head, and off the face.
    fn keep_off(&self, place: Vec3, layer: f32, gathered: bool) -> Vec3 {
        let mut place = place;
        let from = sub(place, MIDDLE);
        let distance = length(from).max(1e-3);
        let least = self.surface.radius(place) + layer;
        if distance < least || (gathered && distance > least) {
            place = fused(MIDDLE, from, least / distance);
        }
        // Below the hairline, hair hangs beside the face.
        let below = smoothstep(8.6, 6.6, place[1]) * smoothstep(1.0, 4.0, place[2]);
        let free = self.cut.frame * (1.0 - 0.12 * smoothstep(0.0, -7.0, place[1]));
        if below > 0.0 && place[0].abs() < free && self.cut.sides > 4.0 {
            let wanted = if place[0] < 0.0 { -free } else { free };
            place[0] += (wanted - place[0]) * below;
        }
        place
    }
}

/// How much two directions agree; for tests.
#[cfg(test)]
fn agreement(a: Vec3, b: Vec3) -> f32 {
    crate::render::vector::dot(normalize(a), normalize(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::lifelike::traits::{Moment, Traits};
    use rand::SeedableRng;

    /// A ball for a head.
    fn ball() -> (Vec<Vec3>, Vec<[u32; 3]>) {
        let (rings, around) = (24u32, 48u32);
        let mut points = Vec::new();
        for ring in 0..=rings {
            for i in 0..around {
                let (down, turn) = (
                    std::f32::consts::PI * ring as f32 / rings as f32,
                    std::f32::consts::TAU * i as f32 / around as f32,
                );
                let d = [down.sin() * turn.sin(), down.cos(), down.sin() * turn.cos()];
                points.push(fused(MIDDLE, d, 9.5));
            }
        }
        let mut triangles = Vec::new();
        for ring in 0..rings {
            for i in 0..around {
                let at = |r: u32, i: u32| r * around + i % around;
                triangles.push([at(ring, i), at(ring + 1, i), at(ring + 1, i + 1)]);
                triangles.push([at(ring, i), at(ring + 1, i + 1), at(ring, i + 1)]);
            }
        }
        (points, triangles)
    }

    #[test]
    fn locks_stay_outside_and_long_hair_hangs() {
        let (points, triangles) = ball();
        let ground = Ground {
            triangles: vec![&triangles[..]],
            mean: &points,
            own: &points,
        };
        let surface = RadiusMap::new(points.iter().copied());
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let traits = Traits::draw(1, Moment::default());
        let line = Hairline::draw(
            &mut rng,
            &Traits {
                baldness: 0.0,
                ..traits.clone()
            },
        );
        let mut cut = Haircut::draw(&mut rng, &traits);
        cut = Haircut {
            comb: Comb::Parted(0.0),
            top: 30.0,
            sides: 28.0,
            fringe: 0.0,
            lift: 0.15,
            ..cut
        };
        let scalp = Scalp {
            ground: &ground,
            surface: &surface,
            line: &line,
            cut: &cut,
            fullness: 1.0,
            hidden_above: 100.0,
        };
        let strands = scalp.grow(&mut rng);
        assert!((150..2500).contains(&strands.len()), "{}", strands.len());
        let mut hanging = 0;
        for strand in &strands {
            for &p in &strand.points[1..] {
                assert!(length(sub(p, MIDDLE)) > 8.6, "{p:?}");
            }
            let last = sub(strand.points[ROWS - 1], strand.points[ROWS - 2]);
            hanging += usize::from(agreement(last, DOWN) > 0.6);
        }
        assert!(hanging * 2 > strands.len(), "{hanging} of {}", strands.len());
        // The cap closes over the scalp, outside of the skin, and looks outwards.
        let texture = crate::render::texture::Level {
            width: 32,
            height: 32,
            texels: vec![[9, 9, 9, 255]; 1024],
        };
        let texture = std::sync::Arc::new(crate::render::texture::Texture::new(texture));
        let cap = scalp.cap(texture, 0.5, 1).expect("hair grows");
        let mut placed = Vec::new();
        cap.place(&points, &mut placed);
        assert!(placed.len() > 200, "{}", placed.len());
        for (&p, &normal) in placed.iter().zip(&cap.normals) {
            assert!(length(sub(p, MIDDLE)) > 9.5, "{p:?}");
            assert!(agreement(normal, sub(p, MIDDLE)) > 0.3, "{p:?} {normal:?}");
        }
        let again = scalp.grow(&mut ChaCha8Rng::seed_from_u64(9));
        let same = scalp.grow(&mut ChaCha8Rng::seed_from_u64(9));
        assert_eq!(again.len(), same.len());
        assert_eq!(again[3].points, same[3].points);
    }
}
