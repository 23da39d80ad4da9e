//! Pictures with what was found drawn into them.

use image::{Rgb, RgbImage};
use omniid::face::Face;

/// Colours of the five points.
const COLOURS: [[u8; 3]; 5] = [
    [255, 60, 60],
    [60, 120, 255],
    [60, 220, 60],
    [255, 60, 255],
    [60, 240, 240],
];

/// A copy of `image` with the box and the five points of each face; the points are red, blue, green, magenta and cyan
/// in the order of [`Landmarks`](omniid::face::Landmarks).
pub fn draw_faces(image: &RgbImage, faces: &[Face]) -> RgbImage {
    let mut out = image.clone();
    for face in faces {
        let bounds = face.bounds;
        let [left, top, right, bottom] =
            [bounds.left, bounds.top, bounds.right, bounds.bottom].map(|v| v.round() as i64);
        for x in left..=right {
            dot(&mut out, [x, top], 0, [255, 230, 0]);
            dot(&mut out, [x, bottom], 0, [255, 230, 0]);
        }
        for y in top..=bottom {
            dot(&mut out, [left, y], 0, [255, 230, 0]);
            dot(&mut out, [right, y], 0, [255, 230, 0]);
        }
        let reach = i64::from(bounds.side() > 60.0);
        for (point, colour) in face.landmarks.0.iter().zip(COLOURS) {
            dot(&mut out, point.map(|c| c.floor() as i64), reach, colour);
        }
    }
    out
}

fn dot(image: &mut RgbImage, [x, y]: [i64; 2], reach: i64, colour: [u8; 3]) {
    for y in y - reach..=y + reach {
        for x in x - reach..=x + reach {
            let inside = (0..i64::from(image.width())).contains(&x) && (0..i64::from(image.height())).contains(&y);
            if inside {
                image.put_pixel(x as u32, y as u32, Rgb(colour));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use omniid::face::{FaceBox, Landmarks};

    #[test]
    fn box_and_points_are_drawn_and_the_border_cuts() {
        let image = RgbImage::new(40, 30);
        let face = Face {
            bounds: FaceBox {
                left: 5.0,
                top: -4.0,
                right: 50.0,
                bottom: 20.0,
            },
            landmarks: Landmarks([[10.2, 10.7], [20.0, 10.0], [15.0, 14.0], [11.0, 17.0], [99.0, 17.0]]),
            score: 1.0,
        };
        let drawn = draw_faces(&image, &[face]);
        assert_eq!(drawn.get_pixel(5, 12).0, [255, 230, 0]);
        assert_eq!(drawn.get_pixel(39, 20).0, [255, 230, 0]);
        assert_eq!(drawn.get_pixel(10, 10).0, COLOURS[0]);
        assert_eq!(drawn.get_pixel(30, 15).0, [0; 3]);
    }
}
