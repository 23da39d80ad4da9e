//! Aligned crops as other projects cut them: `norm_crop` of insightface, `alignCrop` of OpenCV, `align_warp_face` of
//! facexlib.
//!
//! All take the photo to a template by a similarity of the five landmarks and OpenCV's `warpAffine`, bilinear, with one
//! colour outside the photo. OpenCV 4 computes with whole numbers: positions in 1/32 pixel from products in 1/1024. So does
//! this: all but a few values per crop are the same. (OpenCV 5 computes in another way, and differs from OpenCV 4 by a
//! few levels in a few percent of the values.)

use super::crop::{Similarity, ARCFACE_TEMPLATE};
use crate::error::Result;
use crate::photo::Landmarks;
use image::RgbImage;

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

/// How often [`robust_similarity`] draws: OpenCV's number for two points, 45 % outliers and a confidence of 99 %.
const DRAWS: usize = 13;

/// The similarity that takes most landmarks to a template: `estimateAffinePartial2D` of OpenCV with the least median of
/// squares (Rousseeuw 1984).
///
/// Of the similarities of two landmarks each, drawn as OpenCV's generator draws them, the one with the least median
/// distance says which landmarks count; the result has the least sum of squares over those.
///
/// # Errors
/// As [`template_similarity`].
pub(crate) fn robust_similarity(landmarks: &Landmarks, template: &[[f32; 2]; 5]) -> Result<Similarity> {
    let [from, to] = [&landmarks.0, template].map(|points| points.map(|point| point.map(f64::from)));
    let squares = |place: &Similarity| -> [f64; 5] {
        std::array::from_fn(|i| {
            let [x, y] = place.apply(from[i]);
            (x - to[i][0]).powi(2) + (y - to[i][1]).powi(2)
        })
    };
    let mut state = u64::MAX;
    let mut draw = || {
        state = (state & 0xffff_ffff) * 4_164_903_690 + (state >> 32);
        (state as u32 % 5) as usize
    };
    let mut best: Option<(f64, [f64; 5])> = None;
    for _ in 0..DRAWS {
        let first = draw();
        let mut second = draw();
        // The generator's period is far longer than any run of one number.
        while second == first {
            second = draw();
        }
        let Ok(place) = Similarity::fit(&[from[first], from[second]], &[to[first], to[second]]) else {
            continue;
        };
        let distances = squares(&place);
        let mut sorted = distances;
        sorted.sort_by(f64::total_cmp);
        if best.is_none_or(|(median, _)| sorted[2] < median) {
            best = Some((sorted[2], distances));
        }
    }
    let Some((median, distances)) = best else {
        return Similarity::fit(&from, &to);
    };
    // 2.5 standard deviations, which are estimated from the median of the five.
    let limit = (2.5 * 1.4826 * (1.0 + 5.0 / 3.0) * median.sqrt()).max(0.001).powi(2);
    let counted = |points: &[[f64; 2]; 5]| -> Vec<[f64; 2]> {
        let pairs = points.iter().zip(&distances);
        pairs
            .filter(|(_, &distance)| distance <= limit)
            .map(|(point, _)| *point)
            .collect()
    };
    Similarity::fit(&counted(&from), &counted(&to))
}

/// The face with these landmarks on ArcFace's template, `size` × `size` pixels: insightface's `norm_crop`, which for sizes
/// that are no multiple of 112 puts a template of 96 × 112 into the middle.
///
/// # Errors
/// As [`template_similarity`].
pub(crate) fn norm_crop(photo: &RgbImage, landmarks: &Landmarks, size: u32) -> Result<RgbImage> {
    let (ratio, shift) = match size.is_multiple_of(112) {
        true => (size as f32 / 112.0, 0.0),
        false => (size as f32 / 128.0, 8.0 * size as f32 / 128.0),
    };
    let template = ARCFACE_TEMPLATE.map(|[x, y]| [x * ratio + shift, y * ratio]);
    Ok(warp(photo, &template_similarity(landmarks, &template)?, size, [0; 3]))
}

/// The picture of `size` × `size` pixels that a similarity makes of a photo; `outside` is the colour beyond its border.
pub(crate) fn warp(photo: &RgbImage, place: &Similarity, size: u32, outside: [u8; 3]) -> RgbImage {
    let pixel = |x: i64, y: i64| match (u32::try_from(x), u32::try_from(y)) {
        (Ok(x), Ok(y)) if x < photo.width() && y < photo.height() => photo.get_pixel(x, y).0,
        _ => outside,
    };
    let mut out = RgbImage::new(size, size);
    let pixels = out.as_mut().as_chunks_mut::<3>().0;
    warp_into(pixels, size, place, pixel);
    out
}

/// What a similarity makes of the plane that `pixel` gives for any place: `size` rows of `size` pixels.
pub(crate) fn warp_into<const CHANNELS: usize>(
    out: &mut [[u8; CHANNELS]],
    size: u32,
    place: &Similarity,
    pixel: impl Fn(i64, i64) -> [u8; CHANNELS],
) {
    let back = place.inverse();
    // As OpenCV rounds: half to even.
    let fixed = |value: f64| (value * f64::from(1 << POSITION_BITS)).round_ties_even() as i64;
    let round = 1 << (POSITION_BITS - FRACTION_BITS - 1);
    let sum = |a: f64, b: f64| fixed(a).saturating_add(fixed(b)).saturating_add(round);
    let shift = POSITION_BITS - FRACTION_BITS;
    let places = (0..size).flat_map(|y| (0..size).map(move |x| (f64::from(x), f64::from(y))));
    for (out, (x, y)) in out.iter_mut().zip(places) {
        let column = sum(back.a * x, back.tx - back.b * y);
        let line = sum(back.b * x, back.a * y + back.ty);
        *out = sample(&pixel, column >> shift, line >> shift);
    }
}

/// The bilinear mean at a position in 1/32 pixels.
fn sample<const CHANNELS: usize>(
    pixel: &impl Fn(i64, i64) -> [u8; CHANNELS],
    column: i64,
    line: i64,
) -> [u8; CHANNELS] {
    let (x, y) = (column.div_euclid(FRACTIONS), line.div_euclid(FRACTIONS));
    let (right, below) = (column.rem_euclid(FRACTIONS), line.rem_euclid(FRACTIONS));
    let corners = [
        (pixel(x, y), (FRACTIONS - right) * (FRACTIONS - below)),
        (pixel(x + 1, y), right * (FRACTIONS - below)),
        (pixel(x, y + 1), (FRACTIONS - right) * below),
        (pixel(x + 1, y + 1), right * below),
    ];
    let half = FRACTIONS * FRACTIONS / 2;
    std::array::from_fn(|channel| {
        let sum: i64 = corners
            .iter()
            .map(|(pixel, weight)| i64::from(pixel[channel]) * weight)
            .sum();
        ((sum + half) / (FRACTIONS * FRACTIONS)) as u8
    })
}

#[cfg(test)]
mod tests {
    use super::super::crop::ARCFACE_TEMPLATE;
    use super::*;
    use image::Rgb;

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

    /// Values of OpenCV 4.11's `estimateAffinePartial2D` with `LMEDS`: for five landmarks near the template, and with the nose
    /// far off it.
    #[test]
    fn outliers_do_not_count() {
        let template = [
            [192.98138, 239.94708],
            [318.90277, 240.1936],
            [256.63416, 314.01935],
            [201.26117, 371.41043],
            [313.08905, 371.15118],
        ];
        for (nose, [a, b, tx, ty]) in [
            ([140.0, 100.0], [2.12705639, -0.65501053, -99.65406681, 188.47394131]),
            ([190.0, 60.0], [2.12921274, -0.66006616, -98.69223292, 187.81839049]),
        ] {
            let landmarks = [[120.5, 60.25], [170.0, 75.5], nose, [105.75, 120.0], [150.0, 135.0]];
            let place = robust_similarity(&Landmarks(landmarks), &template).unwrap();
            let differences = [
                place.a - a,
                place.b - b,
                (place.tx - tx) / 100.0,
                (place.ty - ty) / 100.0,
            ];
            assert!(
                differences.iter().all(|difference| difference.abs() < 1e-5),
                "{place:?}"
            );
        }
        assert!(robust_similarity(&Landmarks([[5.0; 2]; 5]), &template).is_err());
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
