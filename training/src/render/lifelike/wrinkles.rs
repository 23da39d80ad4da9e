//! Lines that years and habits draw: on the forehead, between the brows, beside and under the eyes, from nose to mouth.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::traits::Traits;
use crate::render::look::normal;
use crate::render::polyline::polyline;
use crate::render::vector::Vec3;

/// One furrow (or, with a negative depth, one bulge) on a face seen from the front.
struct Furrow {
    points: Vec<[f32; 2]>,
    /// Centimetres.
    depth: f32,
    width: f32,
    /// Left, right, bottom, top, with room for the width.
    bounds: [f32; 4],
}

/// The lines of a face.
pub(crate) struct Wrinkles {
    furrows: Vec<Furrow>,
}

impl Wrinkles {
    /// `life` draws where lines form, the traits how deep they are by now. `landmarks`: 68 of the average head.
    pub fn draw(life: &mut ChaCha8Rng, traits: &Traits, landmarks: &[Vec3]) -> Self {
        let mut face = Drawing {
            rng: life,
            furrows: Vec::new(),
        };
        let at = |i: usize| [landmarks[i][0], landmarks[i][1]];
        let age = traits.wrinkles;
        let heavy = traits.weight.max(0.0);
        face.forehead(age, at(19)[1].max(at(24)[1]));
        for side in [-1.0f32, 1.0] {
            let left = side < 0.0;
            let pick = |l: usize, r: usize| if left { at(l) } else { at(r) };
            face.between_brows(age, side, pick(21, 22));
            face.beside_eye(age, side, pick(36, 45));
            face.under_eye(age, pick(39, 42), pick(36, 45));
            face.nose_to_mouth(age, heavy, side, pick(31, 35), pick(48, 54));
        }
        face.chin(age, at(57));
        Self { furrows: face.furrows }
    }

    /// Height of the skin, centimetres; 0 where nothing is.
    pub fn height(&self, p: Vec3) -> f32 {
        if p[2] < 1.5 {
            return 0.0;
        }
        let mut height = 0.0;
        for furrow in &self.furrows {
            let [left, right, bottom, top] = furrow.bounds;
            if p[0] < left || p[0] > right || p[1] < bottom || p[1] > top {
                continue;
            }
            let (distance, along, _) = polyline(&furrow.points, [p[0], p[1]]);
            // Lines fade at their ends.
            let fade = (4.0 * along.min(1.0 - along)).clamp(0.15, 1.0);
            height -= furrow.depth * fade * (-(distance / furrow.width).powi(2)).exp();
        }
        height
    }
}

struct Drawing<'a> {
    rng: &'a mut ChaCha8Rng,
    furrows: Vec<Furrow>,
}

impl Drawing<'_> {
    fn add(&mut self, points: Vec<[f32; 2]>, depth: f32, width: f32) {
        if depth.abs() < 0.003 {
            return;
        }
        let range = |axis: usize| {
            points.iter().fold((f32::MAX, f32::MIN), |(low, high), p| {
                (low.min(p[axis]), high.max(p[axis]))
            })
        };
        let ((left, right), (bottom, top)) = (range(0), range(1));
        let room = 2.5 * width;
        self.furrows.push(Furrow {
            points,
            depth,
            width,
            bounds: [left - room, right + room, bottom - room, top + room],
        });
    }

    fn strength(&mut self) -> f32 {
        self.rng.random_range(0.2f32..1.3)
    }

    fn forehead(&mut self, age: f32, brows: f32) {
        let habit = self.strength();
        let count = self.rng.random_range(2..5);
        for line in 0..count {
            let y = brows + 1.0 + 2.9 * (line as f32 + 0.35 * normal(self.rng) + 0.5) / count as f32;
            let reach = self.rng.random_range(2.2..4.6);
            let shift = 0.6 * normal(self.rng);
            let phase: f32 = self.rng.random_range(0.0..6.3);
            let bow = 0.15 * normal(self.rng);
            let points = (0..9)
                .map(|i| {
                    let t = i as f32 / 4.0 - 1.0;
                    [shift + reach * t, y + 0.1 * (phase + 5.0 * t).sin() + bow * t * t]
                })
                .collect();
            let own = self.strength();
            self.add(points, 0.055 * age * habit * own, 0.11);
        }
    }

    fn between_brows(&mut self, age: f32, side: f32, brow: [f32; 2]) {
        let habit = self.strength();
        let x = side * self.rng.random_range(0.3..0.75);
        let points = vec![[x, brow[1] - 0.9], [1.1 * x, brow[1]], [1.2 * x, brow[1] + 0.9]];
        self.add(points, 0.06 * age * habit * habit, 0.12);
    }

    fn beside_eye(&mut self, age: f32, side: f32, corner: [f32; 2]) {
        let habit = self.strength();
        for (ray, slope) in [0.45f32, 0.1, -0.3, -0.7].into_iter().enumerate() {
            let long = self.rng.random_range(0.8..1.9);
            let slope = slope + 0.12 * normal(self.rng);
            let start = [corner[0] + 0.35 * side, corner[1] + 0.25 * slope];
            let end = [start[0] + side * long, start[1] + slope * long - 0.15];
            let bend = [0.5 * (start[0] + end[0]), 0.5 * (start[1] + end[1]) + 0.08];
            let late = if ray == 1 || ray == 2 { 1.0 } else { 0.8 };
            self.add(vec![start, bend, end], 0.045 * age * habit * late, 0.09);
        }
    }

    fn under_eye(&mut self, age: f32, inner: [f32; 2], outer: [f32; 2]) {
        let bag = self.strength() * (0.25 + 0.9 * age);
        let hollow = self.strength();
        let arc = |drop: f32, reach: f32| -> Vec<[f32; 2]> {
            (0..6)
                .map(|i| {
                    let t = i as f32 / 5.0 * reach;
                    let sag = (std::f32::consts::PI * (0.12 + 0.8 * t)).sin();
                    [
                        inner[0] + (outer[0] - inner[0]) * t,
                        inner[1] + (outer[1] - inner[1]) * t - drop * sag - 0.25,
                    ]
                })
                .collect()
        };
        self.add(arc(0.75, 1.0), -0.045 * bag, 0.3);
        self.add(arc(1.2, 0.9), 0.05 * (0.3 * hollow + bag) * (0.4 + age), 0.2);
        self.add(arc(0.45, 1.0), 0.03 * age * hollow, 0.08);
    }

    fn nose_to_mouth(&mut self, age: f32, heavy: f32, side: f32, wing: [f32; 2], corner: [f32; 2]) {
        let habit = self.strength();
        let out = self.rng.random_range(0.7..1.15);
        let low = self.rng.random_range(0.2..1.2);
        let points = vec![
            [wing[0] + 0.75 * side, wing[1] + 0.55],
            [
                0.5 * (wing[0] + corner[0]) + 0.95 * side,
                0.5 * (wing[1] + corner[1]) + 0.3,
            ],
            [corner[0] + out * side, corner[1] + 0.15],
            [corner[0] + 0.9 * out * side, corner[1] - low],
        ];
        let depth = (0.012 + 0.09 * age + 0.015 * heavy) * habit;
        self.add(points.clone(), depth, 0.2);
        // The cheek bulges over it.
        let beside = points.iter().map(|p| [p[0] + 0.55 * side, p[1] + 0.1]).collect();
        self.add(beside, -0.5 * depth, 0.4);
        let mouth = vec![
            [corner[0] + 0.25 * side, corner[1] - 0.15],
            [corner[0] + 0.45 * side, corner[1] - 0.9],
            [corner[0] + 0.5 * side, corner[1] - 1.9],
        ];
        let down = self.strength();
        self.add(mouth, 0.07 * (age - 0.15).max(0.0) * down, 0.15);
    }

    fn chin(&mut self, age: f32, lip: [f32; 2]) {
        let strength = self.strength();
        let points = vec![
            [lip[0] - 1.5, lip[1] - 0.95],
            [lip[0], lip[1] - 0.7],
            [lip[0] + 1.5, lip[1] - 0.95],
        ];
        self.add(points, (0.015 + 0.04 * age) * strength, 0.2);
        if self.rng.random::<f32>() < 0.15 {
            let x = 0.1 * normal(self.rng);
            self.add(vec![[x, lip[1] - 1.9], [x, lip[1] - 3.2]], 0.06, 0.2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::lifelike::traits::Moment;

    #[test]
    fn years_deepen_lines_where_they_were() {
        let mut landmarks = vec![[0.0, 0.0, 9.0]; 68];
        for (i, x, y) in [
            (19, -3.0, 6.3),
            (24, 3.0, 6.3),
            (21, -1.2, 6.0),
            (22, 1.2, 6.0),
            (36, -4.5, 4.0),
        ] {
            landmarks[i] = [x, y, 9.0];
        }
        let traits = |wrinkles: f32| Traits {
            wrinkles,
            ..Traits::draw(4, Moment::default())
        };
        let rough = |wrinkles: f32| {
            let lines = Wrinkles::draw(&mut Traits::shape_rng(4), &traits(wrinkles), &landmarks);
            (0..2000)
                .map(|i| {
                    lines
                        .height([(i % 50) as f32 * 0.2 - 5.0, (i / 50) as f32 * 0.1 + 6.5, 9.0])
                        .powi(2)
                })
                .sum::<f32>()
        };
        assert!(rough(0.0) < 1e-3 * rough(1.0));
        assert!(rough(0.5) < rough(1.0));
        let lines = Wrinkles::draw(&mut Traits::shape_rng(4), &traits(1.0), &landmarks);
        assert_eq!(lines.height([0.0, 8.0, -5.0]), 0.0);
    }
}
