//! Programmatically drawn "people": coloured shapes that a small model can tell apart. For tests and for trying the
//! machinery where no assets are at hand.

use crate::data::{Dataset, PersonPictures, Picture, Role};
use crate::random::{stream, Purpose};
use omniid_minihost::View;
use rand::Rng;

/// `count` people of `pictures` pictures of side `size`.
///
/// A person is a disc (the head) with two eyes and a mouth: its colours, radius, eye distance and mouth width are the
/// identity. Place, light and background of a picture vary; [`View`] tells them. All pictures serve as inputs and
/// as targets.
pub fn toy_people(count: usize, pictures: usize, size: u32, seed: u64) -> Dataset {
    let people = (0..count).map(|n| {
        let mut generator = stream(seed, Purpose::Pictures, n as u64);
        let mut colour = || -> [f32; 3] { std::array::from_fn(|_| generator.random_range(0.1..0.9)) };
        let (skin, eyes, mouth) = (colour(), colour(), colour());
        let shape = Shape {
            skin,
            eyes,
            mouth,
            radius: generator.random_range(0.55..0.85),
            eye_distance: generator.random_range(0.2..0.45),
            mouth_width: generator.random_range(0.15..0.5),
        };
        PersonPictures {
            family: "toy".to_string(),
            name: format!("{seed}-{n}"),
            pictures: (0..pictures).map(|_| shape.picture(size, &mut generator)).collect(),
        }
    });
    Dataset {
        size,
        people: people.collect(),
    }
}

struct Shape {
    skin: [f32; 3],
    eyes: [f32; 3],
    mouth: [f32; 3],
    radius: f32,
    eye_distance: f32,
    mouth_width: f32,
}

impl Shape {
    fn picture(&self, size: u32, generator: &mut impl Rng) -> Picture {
        let yaw = generator.random_range(-0.6..0.6f32);
        let pitch = generator.random_range(-0.3..0.3f32);
        let light = generator.random_range(0.6..1.0f32);
        let background: [f32; 3] = std::array::from_fn(|_| generator.random_range(0.0..1.0));
        let (dx, dy) = (0.3 * yaw, -0.3 * pitch);
        let points = [
            [dx - self.eye_distance, dy - 0.2],
            [dx + self.eye_distance, dy - 0.2],
            [dx, dy + 0.1],
            [dx - self.mouth_width, dy + 0.4],
            [dx + self.mouth_width, dy + 0.4],
        ];
        let average = [[-0.3, -0.2], [0.3, -0.2], [0.0, 0.1], [-0.3, 0.4], [0.3, 0.4]];
        let view = View {
            yaw,
            pitch,
            points: average.map(|[x, y]| [x + dx, y + dy]),
            light: [[light; 3], [0.0; 3], [0.0; 3], [0.0; 3]],
            background: [background; 2],
            ..View::default()
        };
        let (mut pixels, mut mask) = (Vec::new(), Vec::new());
        for row in 0..size {
            for column in 0..size {
                let place = |at: u32| (at as f32 + 0.5) / size as f32 * 2.0 - 1.0;
                let (x, y) = (place(column), place(row));
                let near = |point: [f32; 2], radius: f32| (x - point[0]).hypot(y - point[1]) < radius;
                let head = near([dx, dy], self.radius);
                let colour = if near(points[0], 0.13) || near(points[1], 0.13) {
                    self.eyes
                } else if (y - points[3][1]).abs() < 0.08 && x > points[3][0] && x < points[4][0] {
                    self.mouth
                } else {
                    self.skin
                };
                let colour = if head {
                    colour.map(|value| value * light)
                } else {
                    background
                };
                pixels.extend(colour.map(|value| (value * 255.0).round() as u8));
                mask.push(if head { 255 } else { 0 });
            }
        }
        Picture {
            pixels,
            mask,
            view,
            points,
            role: Role::Both,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toy_people_are_sound_and_repeatable() -> omniid::Result<()> {
        let people = toy_people(3, 4, 16, 1);
        people.validate()?;
        assert_eq!(people, toy_people(3, 4, 16, 1));
        assert_ne!(people.people[0].pictures, people.people[1].pictures);
        assert_ne!(people.people[0].pictures[0].pixels, people.people[0].pictures[1].pixels);
        Ok(())
    }
}
