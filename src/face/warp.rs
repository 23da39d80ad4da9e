//! Aligned crops as other projects cut them: `norm_crop` of insightface, `alignCrop` of OpenCV, `align_warp_face` of
//! facexlib.
//!
//! All take the photo to a template by a similarity of the five landmarks and OpenCV's `warpAffine`, bilinear, with one
//! colour outside the photo. OpenCV 4 computes with whole numbers: positions in 1/32 pixel from products in 1/1024. So does
//! this: all but a few values per crop are the same. (OpenCV 5 computes in another way, and differs from OpenCV 4 by a
//! few levels in a few percent of the values.)

use super::crop::Similarity;
use crate::error::Result;
use crate::photo::Landmarks;
use image::{Rgb, RgbImage};

/// Bits of a position's fraction while it is computed, and when a pixel is looked up.
const POSITION_BITS: u32 = 10;
const FRACTION_BITS: u32 = 5;

/// Positions per pixel.
const FRACTIONS: i64 = 1 << FRACTION_BITS;

/// The similarity that takes the landmarks to a template with the least sum of squares (Umeyama 1991).
///
/// # Errors
/// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) when the landmarks do not determine where the face is.
pub(crate) fn template_similarity(landmarks: &Landmarks, template: &[[f32; 2]; 5]) -> Result<Similarity> {
    let [from, to] = [&landmarks.0, template].map(|points| points.map(|point| point.map(f64::from)));
    Similarity::fit(&from, &to)
}

/// The picture of `size` × `size` pixels that a similarity makes of a photo; `outside` is the colour beyond its border.
pub(crate) fn warp(photo: &RgbImage, place: &Similarity, size: u32, outside: [u8; 3]) -> RgbImage {
    let back = place.inverse();
    // As OpenCV rounds: half to even.
    let fixed = |value: f64| (value * f64::from(1 << POSITION_BITS)).round_ties_even() as i64;
    let round = 1 << (POSITION_BITS - FRACTION_BITS - 1);
    let sum = |a: f64, b: f64| fixed(a).saturating_add(fixed(b)).saturating_add(round);
    RgbImage::from_fn(size, size, |x, y| {
        let (x, y) = (f64::from(x), f64::from(y));
        let column = sum(back.a * x, back.tx - back.b * y);
        let line = sum(back.b * x, back.a * y + back.ty);
        let shift = POSITION_BITS - FRACTION_BITS;
        sample(photo, column >> shift, line >> shift, outside)
    })
}

/// The bilinear mean at a position in 1/32 pixels.
fn sample(photo: &RgbImage, column: i64, line: i64, outside: [u8; 3]) -> Rgb<u8> {
    let (x, y) = (column.div_euclid(FRACTIONS), line.div_euclid(FRACTIONS));
    let (right, below) = (column.rem_euclid(FRACTIONS), line.rem_euclid(FRACTIONS));
    let pixel = |x: i64, y: i64| match (u32::try_from(x), u32::try_from(y)) {
        (Ok(x), Ok(y)) if x < photo.width() && y < photo.height() => photo.get_pixel(x, y).0,
        _ => outside,
    };
    let corners = [
        (pixel(x, y), (FRACTIONS - right) * (FRACTIONS - below)),
        (pixel(x + 1, y), right * (FRACTIONS - below)),
        (pixel(x, y + 1), (FRACTIONS - right) * below),
        (pixel(x + 1, y + 1), right * below),
    ];
    let half = FRACTIONS * FRACTIONS / 2;
    Rgb(std::array::from_fn(|channel| {
        let sum: i64 = corners
            .iter()
            .map(|(pixel, weight)| i64::from(pixel[channel]) * weight)
            .sum();
        ((sum + half) / (FRACTIONS * FRACTIONS)) as u8
    }))
}

#[cfg(test)]
mod tests {
    use super::super::crop::ARCFACE_TEMPLATE;
    use super::*;

    fn norm_crop(photo: &RgbImage, landmarks: &Landmarks) -> Result<RgbImage> {
        let place = template_similarity(landmarks, &ARCFACE_TEMPLATE)?;
        Ok(warp(photo, &place, 112, [0, 0, 9]))
    }

    /// A photo whose face lies on the template already is cut out as it is; beyond its border it has one colour.
    #[test]
    fn a_face_on_the_template_is_its_own_crop() {
        let photo = RgbImage::from_fn(112, 100, |x, y| Rgb([x as u8, y as u8, (x ^ y) as u8]));
        let crop = norm_crop(&photo, &Landmarks(ARCFACE_TEMPLATE)).unwrap();
        assert_eq!(crop.dimensions(), (112, 112));
        for (x, y, pixel) in crop.enumerate_pixels() {
            let expected = if y < 100 {
                *photo.get_pixel(x, y)
            } else {
                Rgb([0, 0, 9])
            };
            assert_eq!(*pixel, expected, "{x} {y}");
        }
        assert!(norm_crop(&photo, &Landmarks([[5.0; 2]; 5])).is_err());
    }

    /// Half a pixel to the right and a quarter down: the weighted means of four pixels.
    #[test]
    fn positions_between_pixels_are_weighted() {
        let photo = RgbImage::from_fn(130, 130, |x, y| Rgb([(2 * (x % 100)) as u8, (y % 2 * 200) as u8, 7]));
        let landmarks = Landmarks(ARCFACE_TEMPLATE.map(|[x, y]| [x + 0.5, y + 0.25]));
        let crop = norm_crop(&photo, &landmarks).unwrap();
        assert_eq!(crop.get_pixel(10, 20).0, [21, 50, 7]);
        assert_eq!(crop.get_pixel(11, 21).0, [23, 150, 7]);
    }
}
