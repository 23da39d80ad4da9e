//! Rendered heads, kept in memory, that scenes are put together from.

use crate::render::{five_points, Assets, CutOut, Family, Framing, Person, PhotoDistribution, Style};
use omniid::{Error, Result};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::f32::consts::{PI, TAU};

/// Seed of the first person that is trained on. People judged on lie below.
pub const FIRST_TRAINED: u64 = 1 << 40;

/// One of so many heads is seen from behind: a head, but not a face.
const BACKS: usize = 16;

/// Faces turned further show too little to count. The renderer's photos stay below.
const FURTHEST: f32 = 1.6;

/// Lifelike people's photos in the even light of a studio; the others have light as anywhere.
const STUDIO: f64 = 0.3;

/// Points of the ellipse that stands for the outline of forehead and face.
const OUTLINE: usize = 24;

/// A picture with cover, at one size.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Side in pixels.
    pub side: usize,
    /// Red, green, blue, multiplied by the cover, and the cover.
    pub pixels: Vec<[u8; 4]>,
}

/// A head to be pasted.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// The picture, then again and again at half the side.
    pub levels: Vec<Layer>,
    /// The five points, pixels of the first level.
    pub points: [[f32; 2]; 5],
    /// Points around forehead, cheeks and chin, pixels of the first level; the face's box is around them, however the
    /// picture is turned.
    pub outline: Vec<[f32; 2]>,
    /// To the side, radians.
    pub yaw: f32,
    /// Whether a face is to be seen.
    pub face: bool,
}

/// Heads of many people. Immutable; shared between threads.
pub struct HeadPool {
    heads: Vec<Head>,
}

impl HeadPool {
    /// Renders `heads` heads of `size` × `size` pixels, `photos` of each person. People have the seeds from `first` on;
    /// families take turns; a part `lifelike` of the people, 0…1, is of that style, which their seeds decide. On all
    /// threads of the current rayon pool; the result does not depend on their number.
    ///
    /// # Errors
    /// As [`Assets::person`]; [`ErrorKind::InvalidArgument`](omniid::ErrorKind::InvalidArgument) for no heads.
    pub fn render(assets: &Assets, heads: usize, photos: usize, size: u32, first: u64, lifelike: f32) -> Result<Self> {
        if heads == 0 || photos == 0 {
            return Err(Error::invalid("a pool of heads needs at least one head"));
        }
        let families = assets.families();
        let people = heads.div_ceil(photos);
        let sets = (0..people)
            .into_par_iter()
            .map(|place| {
                let seed = first + place as u64;
                let count = photos.min(heads - place * photos);
                let family = families[place % families.len()];
                match style(seed, lifelike) {
                    Style::Classic => photograph(assets, seed, family, count, size, place * photos),
                    Style::Lifelike => photograph_lifelike(assets, seed, family, count, size, place * photos),
                }
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            heads: sets.into_iter().flatten().collect(),
        })
    }

    /// The heads.
    pub fn heads(&self) -> &[Head] {
        &self.heads
    }
}

/// The style of a person. Another stream of the seed than what the photos are drawn from.
fn style(seed: u64, lifelike: f32) -> Style {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(1);
    if rng.random::<f32>() < lifelike {
        Style::Lifelike
    } else {
        Style::Classic
    }
}

/// From what the heads' photos are drawn.
fn distribution() -> PhotoDistribution {
    PhotoDistribution {
        // Small: the scene turns the whole picture besides.
        roll: 0.1,
        ..PhotoDistribution::detector()
    }
}

fn photograph(assets: &Assets, seed: u64, family: Family, count: usize, size: u32, first: usize) -> Result<Vec<Head>> {
    let person = assets.person(seed, family)?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count)
        .map(|place| shoot(&person, &distribution(), &mut rng, size, first + place))
        .collect()
}

fn photograph_lifelike(
    assets: &Assets,
    seed: u64,
    family: Family,
    count: usize,
    size: u32,
    first: usize,
) -> Result<Vec<Head>> {
    let person = assets.lifelike_person(seed, family, 0, 0.0)?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let anywhere = distribution().styled(Style::Lifelike);
    (0..count)
        .map(|place| {
            let studio = rng.random_bool(STUDIO);
            shoot(
                &person,
                &PhotoDistribution { studio, ..anywhere },
                &mut rng,
                size,
                first + place,
            )
        })
        .collect()
}

/// One photo; `number` is the head's in the pool.
fn shoot(
    person: &Person,
    distribution: &PhotoDistribution,
    rng: &mut ChaCha8Rng,
    size: u32,
    number: usize,
) -> Result<Head> {
    let mut photo = distribution.sample(rng);
    let (close, turn) = (rng.random::<f32>() < 0.35, rng.random_range(-1.1f32..1.1));
    // Shoulders and all, or the face as large as it fits.
    photo.framing = if close {
        Framing::Loose {
            centre: [0.5, 0.52],
            head: 0.86,
        }
    } else {
        Framing::Loose {
            centre: [0.5, 0.42],
            head: 0.57,
        }
    };
    let face = number % BACKS != BACKS - 1;
    if !face {
        photo.view.yaw = PI + turn;
    }
    Ok(Head::new(person.cut_out(&photo, size)?, face))
}

impl Head {
    fn new(picture: CutOut, face: bool) -> Self {
        let yaw = picture.view.yaw;
        let outline = outline(&picture.landmarks68, picture.view.roll);
        let points = five_points(&picture.landmarks68);
        let mut levels = vec![Layer {
            side: picture.size as usize,
            pixels: picture.pixels,
        }];
        while let Some(half) = levels.last().and_then(Layer::halved) {
            levels.push(half);
        }
        Self {
            levels,
            points,
            outline,
            yaw,
            face: face && yaw.abs() < FURTHEST,
        }
    }

    /// The outline's box: left, top, right, bottom.
    pub fn bounds(&self) -> [f32; 4] {
        bounds(self.outline.iter().copied())
    }
}

/// The smallest upright box around points.
pub fn bounds(points: impl Iterator<Item = [f32; 2]>) -> [f32; 4] {
    points.fold([f32::MAX, f32::MAX, f32::MIN, f32::MIN], |[l, t, r, b], [x, y]| {
        [l.min(x), t.min(y), r.max(x), b.max(y)]
    })
}

/// The ellipse in the box around brows, cheeks, chin and forehead of a head tilted clockwise by `roll`. The forehead is
/// taken to be a third as high as the part below, which is where annotators of photos end a face: at the hairline.
fn outline(landmarks: &[[f32; 2]; 68], roll: f32) -> Vec<[f32; 2]> {
    let upright = bounds(landmarks.iter().map(|&p| turned(p, -roll)));
    let [left, mut top, right, bottom] = upright;
    top -= 0.3 * (bottom - top);
    let (x, y) = ((left + right) / 2.0, (top + bottom) / 2.0);
    let (width, height) = ((right - left) / 2.0, (bottom - top) / 2.0);
    (0..OUTLINE)
        .map(|i| {
            let (sin, cos) = (i as f32 / OUTLINE as f32 * TAU).sin_cos();
            turned([x + cos * width, y + sin * height], roll)
        })
        .collect()
}

/// A point turned clockwise about the picture's corner.
fn turned([x, y]: [f32; 2], angle: f32) -> [f32; 2] {
    let (sin, cos) = angle.sin_cos();
    [x * cos - y * sin, x * sin + y * cos]
}

impl Layer {
    /// Half as large, by averages of four; nothing below 8 pixels.
    fn halved(&self) -> Option<Self> {
        let side = self.side / 2;
        if side < 8 {
            return None;
        }
        let mut pixels = Vec::with_capacity(side * side);
        for y in 0..side {
            for x in 0..side {
                let first = 2 * y * self.side + 2 * x;
                let four = [first, first + 1, first + self.side, first + self.side + 1];
                pixels.push(std::array::from_fn(|channel| {
                    let sum: u16 = four.iter().map(|&at| u16::from(self.pixels[at][channel])).sum();
                    ((sum + 2) / 4) as u8
                }));
            }
        }
        Some(Self { side, pixels })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_averages() {
        let pixels = (0..256).map(|i| [i as u8, 0, 255, 100]).collect();
        let half = Layer { side: 16, pixels }.halved().expect("8 pixels");
        // Pixels 0, 1, 16, 17.
        assert_eq!(half.pixels[0], [9, 0, 255, 100]);
        assert_eq!((half.side, half.pixels.len()), (8, 64));
        assert_eq!(half.halved(), None);
    }

    #[test]
    fn seeds_decide_on_the_style_in_every_family() {
        assert!((0..100).all(|seed| style(seed, 0.0) == Style::Classic && style(seed, 1.0) == Style::Lifelike));
        // Families take turns.
        for family in 0..2 {
            let lifelike = |i: &u64| style(FIRST_TRAINED + 2 * i + family, 0.7) == Style::Lifelike;
            let count = (0..1000).filter(lifelike).count();
            // Four standard deviations.
            assert!((642..=758).contains(&count), "{count}");
        }
    }

    #[test]
    fn the_outline_of_a_tilted_head_is_the_tilted_outline() {
        let mut landmarks = [[50.0; 2]; 68];
        landmarks[0] = [30.0, 40.0];
        landmarks[1] = [70.0, 80.0];
        let straight = outline(&landmarks, 0.0);
        let box_of = |points: &[[f32; 2]]| bounds(points.iter().copied());
        for (got, expected) in box_of(&straight).iter().zip([30.0, 28.0, 70.0, 80.0]) {
            assert!((got - expected).abs() < 1e-3, "{got}");
        }
        let tilted = outline(&landmarks.map(|p| turned(p, 0.4)), 0.4);
        for (a, b) in tilted.iter().zip(&straight) {
            let b = turned(*b, 0.4);
            assert!((a[0] - b[0]).hypot(a[1] - b[1]) < 1e-3);
        }
    }
}
