//! Pictures of several people with the truth about every face.

use super::canvas::{Canvas, Placement, Tone};
use super::clutter::{background, between, cover, frame};
use super::heads::{bounds, Head, HeadPool};
use super::portrait;
use super::truth::TrueFace;
use crate::config::SceneConfig;
use crate::random::{stream, Purpose};
use crate::render::Augmentation;
use image::RgbImage;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Faces of which less is to be seen need not be found.
const LEAST_VISIBLE: f32 = 0.5;

/// Faces of which less is to be seen are none.
const HIDDEN: f32 = 0.08;

/// Tries to find a free place for a face.
const TRIES: usize = 12;

/// A face in a scene.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SceneFace {
    /// Box and points.
    pub face: TrueFace,
    /// To the side, radians.
    pub yaw: f32,
    /// Clockwise in the picture, radians.
    pub rotation: f32,
    /// Which part of the face is in the picture and not covered, 0…1.
    pub visible: f32,
}

/// A square picture and the faces in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    /// The picture.
    pub image: RgbImage,
    /// All faces of which something is to be seen.
    pub faces: Vec<SceneFace>,
}

/// Draws the scenes of a run.
pub struct Scenes<'a> {
    config: &'a SceneConfig,
    pool: &'a HeadPool,
    seed: u64,
}

impl<'a> Scenes<'a> {
    /// Scenes of the heads in `pool`.
    pub fn new(config: &'a SceneConfig, pool: &'a HeadPool, seed: u64) -> Self {
        Self { config, pool, seed }
    }

    /// Side of the pictures of a step, and how many they are.
    pub fn of_step(&self, step: u64) -> (usize, usize) {
        let mut rng = stream(self.seed, Purpose::Scenes, step << 16 | 0xffff);
        let side = self.config.sides[rng.random_range(0..self.config.sides.len())];
        let count = (self.config.pixels / (side * side)).clamp(1, 0xffff);
        (side, count)
    }

    /// Picture number `index` (below 65535) of step `step`. The same arguments give the same bytes.
    pub fn scene(&self, step: u64, index: u64, side: usize) -> Scene {
        let mut rng = stream(self.seed, Purpose::Scenes, step << 16 | index & 0xffff);
        let rng = &mut rng;
        // Without portraits no number is drawn for them, so that scenes are what they were before there were any.
        let portrait = self.config.portraits > 0.0 && rng.random::<f32>() < self.config.portraits;
        let mut canvas = if portrait && portrait::is_plain(rng) {
            portrait::wall(rng, side)
        } else {
            background(rng, side, self.pool.heads())
        };
        let mut people = if portrait {
            let rotation = self.rotation(rng);
            vec![portrait::sitter(rng, self.pool, side, rotation)]
        } else {
            self.people(rng, side)
        };
        for (number, (head, placement)) in people.iter().enumerate() {
            let tone = tone(rng);
            canvas.paste(head, placement, &tone, number as u16);
            if head.face && rng.random::<f32>() < self.config.occluded {
                cover(rng, &mut canvas, box_of(head, placement));
            }
        }
        if rng.random::<f32>() < self.config.framed {
            frame(rng, &mut canvas);
        }
        let faces = people
            .drain(..)
            .enumerate()
            .filter_map(|(number, (head, placement))| truth(&canvas, head, &placement, number as u16))
            .collect();
        let mut image = canvas.image();
        if portrait {
            let original = portrait::original_side(rng, side);
            let mut faults = self.faults(rng, original);
            faults.grey = f32::from(portrait::is_grey(rng));
            image = portrait::enlarged(&image, original, |image| faults.apply(image));
        } else {
            self.faults(rng, side).apply(&mut image);
        }
        Scene { image, faces }
    }

    /// Who stands where, the farthest first.
    fn people(&self, rng: &mut ChaCha8Rng, side: usize) -> Vec<(&'a Head, Placement)> {
        let config = self.config;
        if rng.random::<f32>() < config.empty {
            return Vec::new();
        }
        let extent = side as f32;
        let count = 1 + (rng.random::<f32>().powi(2) * config.most_people as f32) as usize;
        let mut sizes: Vec<f32> = (0..count.min(config.most_people))
            .map(|_| between(rng, config.smallest, extent))
            .collect();
        if rng.random_bool(0.5) {
            // Portraits are what is mostly searched.
            sizes[0] = between(rng, config.smallest.max(0.25 * extent), 0.95 * extent);
        }
        sizes.sort_by(f32::total_cmp);
        let mut placed: Vec<(&Head, Placement)> = Vec::new();
        for size in sizes {
            let head = &self.pool.heads()[rng.random_range(0..self.pool.heads().len())];
            let [left, top, right, bottom] = head.bounds();
            let mut placement = Placement {
                centre: [0.0; 2],
                scale: size / (right - left).max(bottom - top),
                angle: self.rotation(rng),
                mirrored: rng.random_bool(0.5),
            };
            // A cropped face has its centre in the picture, another one nearly all of its box.
            let margin = if rng.random::<f32>() < config.cropped {
                0.02 * extent
            } else {
                (0.45 * size).min(0.5 * extent - 1.0)
            };
            for _ in 0..TRIES {
                placement.centre = [(); 2].map(|()| rng.random_range(margin..extent - margin));
                let own = box_of(head, &placement);
                if placed.iter().all(|(head, place)| !meet(own, box_of(head, place))) {
                    placed.push((head, placement));
                    break;
                }
            }
        }
        placed
    }

    fn rotation(&self, rng: &mut ChaCha8Rng) -> f32 {
        let most = self.config.most_rotation;
        if most > 0.0 && rng.random::<f32>() < self.config.rotated {
            return rng.random_range(-most..most);
        }
        let normal: f32 = StandardNormal.sample(rng);
        (normal * self.config.rotation).clamp(-most, most)
    }

    fn faults(&self, rng: &mut ChaCha8Rng, side: usize) -> Augmentation {
        let config = self.config;
        let mut normal = |deviation: f32| {
            let normal: f32 = StandardNormal.sample(rng);
            (normal * deviation).exp()
        };
        let (gain, gamma) = (normal(0.2), normal(0.25));
        let gain = std::array::from_fn(|_| gain * normal(0.06));
        Augmentation {
            blur: if rng.random::<f32>() < config.blurred {
                // Of the scene's size, not of the faces': small ones lose more.
                let pixels = rng.random_range(0.0f32..1.0).powi(2) * (0.8 + side as f32 / 140.0) + 0.3;
                pixels * 112.0 / side as f32
            } else {
                0.0
            },
            gain,
            gamma,
            grey: if rng.random::<f32>() < config.grey { 1.0 } else { 0.0 },
            noise: if rng.random::<f32>() < config.noisy {
                rng.random_range(0.003..0.05)
            } else {
                0.0
            },
            sharpen: 0.0,
            jpeg: (rng.random::<f32>() < config.jpeg).then(|| rng.random_range(25..95)),
            seed: rng.random(),
        }
    }
}

/// The face of a pasted head, if anything of it is to be seen.
fn truth(canvas: &Canvas, head: &Head, placement: &Placement, owner: u16) -> Option<SceneFace> {
    if !head.face {
        return None;
    }
    let [left, top, right, bottom] = head.bounds();
    let middle = [(left + right) / 2.0, (top + bottom) / 2.0];
    let mut points = head.points.map(|point| placement.point(middle, point));
    if placement.mirrored {
        points.swap(0, 1);
        points.swap(3, 4);
    }
    // Looked at on a grid over the inner part of the face.
    let (mut seen, mut all) = (0.0, 0.0);
    for row in 0..10 {
        for column in 0..10 {
            let [u, v] = [column, row].map(|i| (i as f32 + 0.5) / 5.0 - 1.0);
            if u * u + v * v > 0.85 {
                continue;
            }
            let point = [
                middle[0] + u * (right - left) / 2.0,
                middle[1] + v * (bottom - top) / 2.0,
            ];
            all += 1.0;
            let place = canvas.place(placement.point(middle, point));
            seen += f32::from(place.is_some_and(|place| canvas.owner[place] == owner));
        }
    }
    let visible = seen / all;
    (visible > HIDDEN).then_some(SceneFace {
        face: TrueFace {
            bounds: box_of(head, placement),
            points,
            counts: visible >= LEAST_VISIBLE,
        },
        yaw: if placement.mirrored { -head.yaw } else { head.yaw },
        rotation: placement.angle,
        visible,
    })
}

/// The box of a face that was pasted.
fn box_of(head: &Head, placement: &Placement) -> [f32; 4] {
    let [left, top, right, bottom] = head.bounds();
    let middle = [(left + right) / 2.0, (top + bottom) / 2.0];
    bounds(head.outline.iter().map(|&point| placement.point(middle, point)))
}

/// Whether one box hides much of another.
fn meet(a: [f32; 4], b: [f32; 4]) -> bool {
    let width = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0);
    let height = (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
    let area = |[left, top, right, bottom]: [f32; 4]| (right - left) * (bottom - top);
    width * height > 0.2 * area(a).min(area(b))
}

fn tone(rng: &mut ChaCha8Rng) -> Tone {
    let mut normal = |deviation: f32| {
        let normal: f32 = StandardNormal.sample(rng);
        (normal * deviation).exp()
    };
    let (gain, gamma) = (normal(0.15), normal(0.15));
    Tone {
        gain: std::array::from_fn(|_| gain * normal(0.05)),
        gamma,
    }
}
