//! Histograms of oriented gradients (Dalal and Triggs, 2005): a descriptor that has learnt nothing.

use super::CropMode;
use crate::error::{Error, Result};
use crate::photo::resample::{resize_square, Filter};
use image::imageops::flip_horizontal;
use image::RgbImage;

/// The crop of [`face_histograms`]: chin, brows and some hair are inside.
pub const CROP: CropMode = CropMode::Aligned {
    scale: 0.98,
    center: [56.0, 62.0],
};

/// Side of the crop of [`face_histograms`], in pixels.
pub const SIDE: u32 = 64;

/// Values of [`face_histograms`]: 7 × 7 blocks of 2 × 2 cells with 9 orientations.
pub const VALUES: usize = 1764;

/// The histograms of a face, cut out with the crop [`CROP`] in any size of at least [`SIDE`]: the mean of [`hog`] of the
/// crop at 64 × 64 pixels and of its mirror image, `[1764]`. A head that turns left then looks like one that turns right.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for a picture that is not square or is smaller.
pub fn face_histograms(crop: &RgbImage) -> Result<Vec<f32>> {
    let (width, height) = crop.dimensions();
    if width != height || width < SIDE {
        return Err(Error::invalid(format!(
            "a face of {width} × {height} pixels, orientation histograms need a square of at least {SIDE}"
        )));
    }
    let small;
    let face = match width == SIDE {
        true => crop,
        false => {
            small = resize_square(crop, 0.0, 0.0, f64::from(width), SIDE, Filter::Bilinear);
            &small
        }
    };
    let mut values = hog(face);
    for (value, mirrored) in values.iter_mut().zip(hog(&flip_horizontal(face))) {
        *value = 0.5 * (*value + mirrored);
    }
    Ok(values)
}

const CELL: usize = 8;
const BINS: usize = 9;
/// Cells a side of a block.
const BLOCK: usize = 2;

/// The descriptor of a picture: 9 unsigned orientations, cells of 8 × 8 pixels, overlapping blocks of 2 × 2 cells with
/// L2-Hys normalisation, on the brightness (ITU-R BT.601).
///
/// The conventions are scikit-image's: central differences, zero at the border, no interpolation between bins. Blocks
/// row by row, in each the cells row by row. Empty for pictures under 16 × 16 pixels.
pub fn hog(image: &RgbImage) -> Vec<f32> {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let brightness: Vec<f64> = image
        .chunks_exact(3)
        .map(|p| 0.299 * f64::from(p[0]) + 0.587 * f64::from(p[1]) + 0.114 * f64::from(p[2]))
        .collect();
    normalise_blocks(&cells(&brightness, width, height), width / CELL, height / CELL)
}

/// Histogram of every cell, row by row.
fn cells(brightness: &[f64], width: usize, height: usize) -> Vec<[f64; BINS]> {
    let (columns, rows) = (width / CELL, height / CELL);
    let mut histograms = vec![[0.0; BINS]; columns * rows];
    let at = |x: usize, y: usize| brightness[y * width + x];
    for y in 0..rows * CELL {
        for x in 0..columns * CELL {
            let dx = if x == 0 || x + 1 == width {
                0.0
            } else {
                at(x + 1, y) - at(x - 1, y)
            };
            let dy = if y == 0 || y + 1 == height {
                0.0
            } else {
                at(x, y + 1) - at(x, y - 1)
            };
            let degrees = dy.atan2(dx).to_degrees().rem_euclid(180.0);
            let bin = ((degrees / (180.0 / BINS as f64)) as usize).min(BINS - 1);
            histograms[(y / CELL) * columns + x / CELL][bin] += dx.hypot(dy) / (CELL * CELL) as f64;
        }
    }
    histograms
}

fn normalise_blocks(cells: &[[f64; BINS]], columns: usize, rows: usize) -> Vec<f32> {
    if columns < BLOCK || rows < BLOCK {
        return Vec::new();
    }
    let mut out = Vec::with_capacity((columns - 1) * (rows - 1) * BLOCK * BLOCK * BINS);
    for y in 0..=rows - BLOCK {
        for x in 0..=columns - BLOCK {
            let mut block: Vec<f64> = (0..BLOCK * BLOCK)
                .flat_map(|cell| cells[(y + cell / BLOCK) * columns + x + cell % BLOCK])
                .collect();
            normalise(&mut block);
            // Hys: clipped, so that one strong edge does not rule the block, and normalised again.
            block.iter_mut().for_each(|value| *value = value.min(0.2));
            normalise(&mut block);
            out.extend(block.into_iter().map(|value| value as f32));
        }
    }
    out
}

fn normalise(block: &mut [f64]) {
    const SMALL: f64 = 1e-5;
    let norm = (block.iter().map(|value| value * value).sum::<f64>() + SMALL * SMALL).sqrt();
    block.iter_mut().for_each(|value| *value /= norm);
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    fn pattern(seed: u32) -> RgbImage {
        RgbImage::from_fn(32, 24, |x, y| {
            Rgb([((x * x * 3 + y * 11 + seed * x * y) % 251) as u8; 3])
        })
    }

    #[test]
    fn equals_scikit_image() {
        // skimage 0.26: hog(image, orientations=9, pixels_per_cell=(8, 8), cells_per_block=(2, 2),
        // block_norm="L2-Hys"): values 0…8, 100…105, the sum, and the sum of index times value.
        type Golden = (u32, [f64; 9], [f64; 6], f64, f64);
        let golden: [Golden; 2] = [
            (
                1,
                [
                    0.061141779,
                    0.286213613,
                    0.157531056,
                    0.0,
                    0.028023315,
                    0.0,
                    0.0,
                    0.0,
                    0.119935301,
                ],
                [0.189708038, 0.192959062, 0.0, 0.161334059, 0.264131606, 0.264131606],
                26.681647210382724,
                2919.9012858334854,
            ),
            (
                5,
                [
                    0.058935311,
                    0.286492999,
                    0.286492999,
                    0.0,
                    0.027012018,
                    0.0,
                    0.0,
                    0.055175951,
                    0.027019421,
                ],
                [0.038819599, 0.0, 0.245003125, 0.258842039, 0.060895781, 0.097876076],
                28.187159648428203,
                3026.6381794704803,
            ),
        ];
        for (seed, first, middle, sum, moment) in golden {
            let found = hog(&pattern(seed));
            assert_eq!(found.len(), 216);
            for (value, expected) in found[..9].iter().zip(first).chain(found[100..106].iter().zip(middle)) {
                assert!((f64::from(*value) - expected).abs() < 1e-6, "{value} {expected}");
            }
            let total: f64 = found.iter().map(|value| f64::from(*value)).sum();
            let weighted: f64 = found
                .iter()
                .enumerate()
                .map(|(i, value)| i as f64 * f64::from(*value))
                .sum();
            assert!(
                (total - sum).abs() < 1e-4 && (weighted - moment).abs() < 1e-2,
                "{total} {weighted}"
            );
        }
    }

    #[test]
    fn an_edge_is_in_the_bin_of_its_gradient() {
        // Brightness rises along a direction: all gradients have it, modulo half a turn. Bins have 20 degrees.
        for degrees in [10.0f64, 50.0, 90.0, 130.0, 170.0] {
            let (sin, cos) = degrees.to_radians().sin_cos();
            let ramp = RgbImage::from_fn(16, 16, |x, y| {
                Rgb([(128.0 + 6.0 * (cos * (f64::from(x) - 8.0) + sin * (f64::from(y) - 8.0))).round() as u8; 3])
            });
            let cells = hog(&ramp);
            assert_eq!(cells.len(), 36);
            let sum: f32 = cells.iter().sum();
            let bin = (degrees / 20.0) as usize;
            let own: f32 = cells.chunks(9).map(|cell| cell[bin]).sum();
            assert!(own > 0.5 * sum, "{degrees}: {own} of {sum}");
        }
    }

    #[test]
    fn faces_of_all_sizes_have_the_same_values() {
        let face = |side: u32| {
            RgbImage::from_fn(side, side, |x, y| {
                let at = |place: u32| f64::from(place) / f64::from(side);
                Rgb([(128.0 + 100.0 * (9.0 * at(x)).sin() * (7.0 * at(y)).cos()) as u8; 3])
            })
        };
        let small = face_histograms(&face(64)).unwrap();
        assert_eq!(small.len(), VALUES);
        assert_eq!(small, face_histograms(&flip_horizontal(&face(64))).unwrap());
        let large = face_histograms(&face(192)).unwrap();
        let dot: f32 = small.iter().zip(&large).map(|(a, b)| a * b).sum();
        let length = |values: &[f32]| values.iter().map(|value| value * value).sum::<f32>().sqrt();
        assert!(dot > 0.95 * length(&small) * length(&large), "{dot}");
        for wrong in [RgbImage::new(63, 63), RgbImage::new(64, 80)] {
            assert!(face_histograms(&wrong)
                .unwrap_err()
                .message()
                .contains("square of at least 64"));
        }
    }

    #[test]
    fn brightness_and_contrast_do_not_matter() {
        let dim = RgbImage::from_fn(32, 24, |x, y| {
            Rgb(pattern(1).get_pixel(x, y).0.map(|level| level / 4 * 2 + 10))
        });
        let full = RgbImage::from_fn(32, 24, |x, y| {
            Rgb(pattern(1).get_pixel(x, y).0.map(|level| level / 4 * 4))
        });
        for (a, b) in hog(&dim).iter().zip(hog(&full)) {
            assert!((a - b).abs() < 1e-4);
        }
        assert!(hog(&RgbImage::new(15, 40)).is_empty());
    }
}
