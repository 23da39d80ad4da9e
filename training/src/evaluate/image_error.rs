//! How far a picture is from the true one, sample by sample.

use image::RgbImage;
use omniid::{Error, Result};

/// The part of a picture that is judged: a weight per pixel, 0…255, row-major. 255 on the head, 0 on the background.
pub type Mask<'a> = &'a [u8];

/// Mean absolute difference of the samples, 0 (equal) to 1 (black against white).
///
/// With a mask every pixel counts by its weight.
///
/// # Errors
/// [`ErrorKind::Mismatch`](omniid::ErrorKind::Mismatch) when the sizes differ or the mask weighs nothing.
pub fn l1(picture: &RgbImage, truth: &RgbImage, mask: Option<Mask<'_>>) -> Result<f64> {
    mean_difference(picture, truth, mask, |difference| difference.abs() / 255.0)
}

/// Peak signal-to-noise ratio in dB: −10 log₁₀ of the mean squared difference of samples on the scale 0…1.
///
/// Infinite for equal pictures. With a mask every pixel counts by its weight.
///
/// # Errors
/// As [`l1`].
pub fn psnr(picture: &RgbImage, truth: &RgbImage, mask: Option<Mask<'_>>) -> Result<f64> {
    let mse = mean_difference(picture, truth, mask, |difference| (difference / 255.0).powi(2))?;
    Ok(-10.0 * mse.log10())
}

fn mean_difference(
    picture: &RgbImage,
    truth: &RgbImage,
    mask: Option<Mask<'_>>,
    of: impl Fn(f64) -> f64,
) -> Result<f64> {
    check_sizes(picture, truth, mask)?;
    let (mut sum, mut total) = (0.0, 0.0);
    let pairs = picture.chunks_exact(3).zip(truth.chunks_exact(3));
    for (place, (a, b)) in pairs.enumerate() {
        let weight = mask.map_or(1.0, |mask| f64::from(mask[place]) / 255.0);
        if weight > 0.0 {
            let pixel: f64 = a.iter().zip(b).map(|(a, b)| of(f64::from(*a) - f64::from(*b))).sum();
            sum += weight * pixel / 3.0;
            total += weight;
        }
    }
    if total > 0.0 {
        Ok(sum / total)
    } else {
        Err(no_weight())
    }
}

/// Fails unless both pictures and the mask have the same number of pixels.
pub(super) fn check_sizes(picture: &RgbImage, truth: &RgbImage, mask: Option<Mask<'_>>) -> Result<()> {
    if picture.dimensions() != truth.dimensions() {
        return Err(Error::mismatch(format!(
            "comparing a picture of {:?} pixels with one of {:?}: both must have the same size",
            picture.dimensions(),
            truth.dimensions()
        )));
    }
    let pixels = picture.width() as usize * picture.height() as usize;
    if let Some(mask) = mask.filter(|mask| mask.len() != pixels) {
        return Err(Error::mismatch(format!(
            "comparing pictures of {pixels} pixels under a mask of {}",
            mask.len()
        )));
    }
    Ok(())
}

pub(super) fn no_weight() -> Error {
    Error::mismatch("comparing pictures: there is no pixel to compare, the mask is 0 everywhere")
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    #[test]
    fn closed_forms() {
        let grey = |level| RgbImage::from_pixel(4, 3, Rgb([level; 3]));
        let (a, b) = (grey(100), grey(151));
        assert!((l1(&a, &b, None).unwrap() - 0.2).abs() < 1e-12);
        // A squared difference of 0.04 lies 10 log₁₀ 25 = 13.9794 dB below the peak.
        assert!((psnr(&a, &b, None).unwrap() - 13.979_400_086_720_377).abs() < 1e-9);
        assert_eq!(psnr(&a, &a, None).unwrap(), f64::INFINITY);
    }

    #[test]
    fn a_mask_weighs_pixels() {
        let mut a = RgbImage::from_pixel(2, 1, Rgb([0; 3]));
        let b = a.clone();
        a.put_pixel(1, 0, Rgb([255; 3]));
        assert_eq!(l1(&a, &b, Some(&[255, 0])).unwrap(), 0.0);
        assert_eq!(l1(&a, &b, Some(&[0, 255])).unwrap(), 1.0);
        assert!((l1(&a, &b, Some(&[255, 85])).unwrap() - 0.25).abs() < 1e-12);
        assert!(l1(&a, &b, Some(&[0, 0])).is_err());
        assert!(l1(&a, &b, Some(&[0])).is_err());
        assert!(l1(&a, &RgbImage::new(1, 2), None).is_err());
    }
}
