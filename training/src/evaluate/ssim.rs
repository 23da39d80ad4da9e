//! Structural similarity (Wang, Bovik, Sheikh, Simoncelli: "Image quality assessment", 2004).

use super::image_error::{check_sizes, no_weight, Mask};
use image::RgbImage;
use omniid::{Error, Result};

/// Side of the window.
const WINDOW: usize = 11;
/// Standard deviation of the window's Gaussian in pixels.
const SIGMA: f64 = 1.5;

/// Mean structural similarity, at most 1 (equal): an 11 × 11 Gaussian window with σ = 1.5, K₁ = 0.01, K₂ = 0.03,
/// 8-bit samples, the mean over the places where the window fits and over the three channels.
///
/// With a mask, every place counts by the weight of the window's central pixel.
///
/// # Errors
/// [`ErrorKind::Mismatch`](omniid::ErrorKind::Mismatch) when the sizes differ or the mask weighs nothing,
/// [`ErrorKind::InvalidArgument`](omniid::ErrorKind::InvalidArgument) for pictures smaller than the window.
pub fn ssim(picture: &RgbImage, truth: &RgbImage, mask: Option<Mask<'_>>) -> Result<f64> {
    check_sizes(picture, truth, mask)?;
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    if width < WINDOW || height < WINDOW {
        return Err(Error::invalid(format!(
            "structural similarity of pictures of {width}x{height} pixels: the window needs {WINDOW}x{WINDOW}"
        )));
    }
    let window = gaussian();
    let (c1, c2) = ((0.01f64 * 255.0).powi(2), (0.03f64 * 255.0).powi(2));
    let (columns, rows) = (width - WINDOW + 1, height - WINDOW + 1);
    let border = WINDOW / 2;
    let weight = |place: usize| {
        mask.map_or(1.0, |mask| {
            let (x, y) = (place % columns + border, place / columns + border);
            f64::from(mask[y * width + x]) / 255.0
        })
    };
    let total: f64 = (0..columns * rows).map(weight).sum();
    if total <= 0.0 {
        return Err(no_weight());
    }
    let mut sum = 0.0;
    for channel in 0..3 {
        let plane =
            |image: &RgbImage| -> Vec<f64> { image.chunks_exact(3).map(|pixel| f64::from(pixel[channel])).collect() };
        let (a, b) = (plane(picture), plane(truth));
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).collect::<Vec<_>>();
        let blur = |plane: &[f64]| filter(plane, width, &window);
        let (mean_a, mean_b) = (blur(&a), blur(&b));
        let (aa, bb, ab) = (blur(&product(&a, &a)), blur(&product(&b, &b)), blur(&product(&a, &b)));
        for place in 0..columns * rows {
            let (ma, mb) = (mean_a[place], mean_b[place]);
            let variances = aa[place] - ma * ma + bb[place] - mb * mb;
            let covariance = ab[place] - ma * mb;
            let similarity =
                (2.0 * ma * mb + c1) * (2.0 * covariance + c2) / ((ma * ma + mb * mb + c1) * (variances + c2));
            sum += weight(place) * similarity;
        }
    }
    Ok(sum / (3.0 * total))
}

fn gaussian() -> [f64; WINDOW] {
    let centre = (WINDOW / 2) as f64;
    let window: [f64; WINDOW] = std::array::from_fn(|i| (-((i as f64 - centre) / SIGMA).powi(2) / 2.0).exp());
    let sum: f64 = window.iter().sum();
    window.map(|weight| weight / sum)
}

/// Separable filter over the places where the window fits.
fn filter(plane: &[f64], width: usize, window: &[f64; WINDOW]) -> Vec<f64> {
    let columns = width - WINDOW + 1;
    let rows: Vec<f64> = plane
        .chunks_exact(width)
        .flat_map(|row| {
            row.windows(WINDOW)
                .map(|part| part.iter().zip(window).map(|(x, w)| x * w).sum::<f64>())
        })
        .collect();
    let height = rows.len() / columns;
    let mut out = vec![0.0; columns * (height - WINDOW + 1)];
    for (y, out) in out.chunks_exact_mut(columns).enumerate() {
        for (row, weight) in rows[y * columns..].chunks_exact(columns).zip(window) {
            for (out, value) in out.iter_mut().zip(row) {
                *out += weight * value;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    /// Deterministic pictures that numpy can build too.
    fn pattern(seed: u32) -> RgbImage {
        RgbImage::from_fn(24, 20, |x, y| {
            Rgb([0u32, 1, 2].map(|c| ((x * 7 + y * 13 + c * 29 + seed * (x * y + 3 * c)) % 256) as u8))
        })
    }

    #[test]
    fn equals_scikit_image() {
        // skimage 0.26: structural_similarity(a, b, data_range=255, channel_axis=-1, gaussian_weights=True, sigma=1.5,
        // use_sample_covariance=False)
        for (a, b, expected) in GOLDEN {
            let value = ssim(&pattern(a), &pattern(b), None).unwrap();
            assert!((value - expected).abs() < 1e-9, "{a} {b}: {value} {expected}");
        }
    }

    const GOLDEN: [(u32, u32, f64); 3] = [
        (0, 1, -0.184_699_838_82),
        (1, 2, -0.144_986_982_82),
        (0, 3, 0.016_770_028_12),
    ];

    #[test]
    fn bounds_and_masks() {
        let (a, b) = (pattern(0), pattern(1));
        assert!((ssim(&a, &a, None).unwrap() - 1.0).abs() < 1e-12);
        let full = vec![255; 24 * 20];
        let plain = ssim(&a, &b, None).unwrap();
        assert!((ssim(&a, &b, Some(&full)).unwrap() - plain).abs() < 1e-12);
        // Only the border, where the window never fits.
        let mut border = vec![0; 24 * 20];
        border[0] = 255;
        assert!(ssim(&a, &b, Some(&border)).is_err());
        assert!(ssim(&RgbImage::new(10, 20), &RgbImage::new(10, 20), None).is_err());
    }
}
