//! Portraits: one face that fills the picture, as identity cards, staff pages and collections of faces have them.

use super::canvas::{Canvas, Fill, Form, Placement, Shape};
use super::clutter::between;
use super::heads::{Head, HeadPool};
use image::imageops::{resize, FilterType};
use image::RgbImage;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use std::f32::consts::TAU;

/// Longer side of the face's box, in sides of the picture.
const SIZES: (f32, f32) = (0.45, 1.0);

/// Standard deviation of its centre, in sides of the picture, and how far it may be.
const SHIFT: (f32, f32) = (0.06, 0.15);

/// Heads turned further to the side are taken for portraits only now and then.
const TURNED: f32 = 0.8;

/// Portraits in front of a plain wall; the others have any background.
const PLAIN: f64 = 0.6;

/// Portraits that are, or were at some time, black and white.
const GREY: f32 = 0.6;

/// Portraits with fewer pixels than the picture: they were enlarged.
const ENLARGED: f64 = 0.5;

/// Fewest pixels along the side of an enlarged picture.
const FEWEST: f32 = 48.0;

fn normal(rng: &mut ChaCha8Rng) -> f32 {
    StandardNormal.sample(rng)
}

/// Whose portrait it is, and where the head lies in a picture of `side` pixels. `rotation` is the head's, radians.
pub fn sitter<'a>(rng: &mut ChaCha8Rng, pool: &'a HeadPool, side: usize, rotation: f32) -> (&'a Head, Placement) {
    let heads = pool.heads();
    let mut head = &heads[rng.random_range(0..heads.len())];
    for _ in 0..6 {
        if head.face && head.yaw.abs() < TURNED {
            break;
        }
        head = &heads[rng.random_range(0..heads.len())];
    }
    let extent = side as f32;
    let [left, top, right, bottom] = head.bounds();
    let size = extent * rng.random_range(SIZES.0..SIZES.1);
    let (deviation, limit) = SHIFT;
    let placement = Placement {
        centre: [(); 2].map(|()| extent * (0.5 + (deviation * normal(rng)).clamp(-limit, limit))),
        scale: size / (right - left).max(bottom - top),
        angle: rotation,
        mirrored: rng.random_bool(0.5),
    };
    (head, placement)
}

/// Whether the portrait has a plain wall behind it.
pub fn is_plain(rng: &mut ChaCha8Rng) -> bool {
    rng.random_bool(PLAIN)
}

/// A plain wall, lit from somewhere, with the shadow of nothing in particular.
pub fn wall(rng: &mut ChaCha8Rng, side: usize) -> Canvas {
    let extent = side as f32;
    let grey = rng.random_range(10.0f32..245.0);
    let vivid = 40.0 * rng.random_range(0.0f32..1.0).powi(2);
    let colour: [f32; 3] = std::array::from_fn(|_| (grey + vivid * normal(rng)).clamp(0.0, 255.0));
    let mut shade = |by: f32| colour.map(|c| (c + by * normal(rng)).clamp(0.0, 255.0));
    let (light, spots) = ([shade(15.0), shade(15.0)], [shade(10.0), shade(10.0)]);
    let mut canvas = Canvas::new(side, colour);
    for (fill, opacity) in [
        (Fill::Gradient(light), 1.0),
        (Fill::Noise(spots, rng.random_range(0.5..4.0), rng.random()), 0.5),
    ] {
        canvas.draw(&Shape {
            form: Form::Rectangle,
            centre: [extent / 2.0; 2],
            radii: [extent; 2],
            angle: rng.random_range(0.0..TAU),
            softness: 1.0,
            opacity,
            fill,
        });
    }
    canvas
}

/// Whether the portrait is black and white.
pub fn is_grey(rng: &mut ChaCha8Rng) -> bool {
    rng.random::<f32>() < GREY
}

/// Pixels along the side of the camera's or scanner's picture, at most `side`.
pub fn original_side(rng: &mut ChaCha8Rng, side: usize) -> usize {
    if rng.random_bool(ENLARGED) {
        between(rng, FEWEST.min(side as f32), side as f32).round() as usize
    } else {
        side
    }
}

/// What `faults` do to the picture at `original` pixels along the side, from which it is enlarged again.
pub fn enlarged(image: &RgbImage, original: usize, faults: impl FnOnce(&mut RgbImage)) -> RgbImage {
    let side = image.width();
    let original = original as u32;
    if original == side {
        let mut image = image.clone();
        faults(&mut image);
        return image;
    }
    let mut small = resize(image, original, original, FilterType::Triangle);
    faults(&mut small);
    resize(&small, side, side, FilterType::CatmullRom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    #[test]
    fn an_enlarged_picture_keeps_its_places_and_loses_its_detail() {
        // Black left of column 36, white right of it, and a pattern of single pixels below.
        let image = RgbImage::from_fn(96, 96, |x, y| match y < 48 {
            true => Rgb([if x < 36 { 0 } else { 255 }; 3]),
            false => Rgb([255 * ((x + y) % 2) as u8; 3]),
        });
        let mut seen = 0;
        let out = enlarged(&image, 24, |small| seen = small.width());
        assert_eq!((seen, out.dimensions()), (24, (96, 96)));
        for x in 0..96 {
            let value = out.get_pixel(x, 20).0[0];
            assert!((x >= 33 || value < 40) && (x < 39 || value > 215), "{x}: {value}");
            assert!(out.get_pixel(x, 75).0[0].abs_diff(128) < 12);
        }
        assert_eq!(enlarged(&image, 96, |_| {}), image);
    }
}
