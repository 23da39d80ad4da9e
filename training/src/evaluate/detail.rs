//! Error on fine detail: the bands of a Laplacian pyramid (Burt and Adelson, 1983).

use super::image_error::{check_sizes, no_weight, Mask};
use image::RgbImage;
use omniid::Result;

/// Bands that count as detail: features of about 1–2 and 2–4 pixels.
const BANDS: usize = 2;

/// How the fine detail of a picture relates to the true one's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detail {
    /// √(Σ (b − t)² / Σ t²) over the finest bands b and t of both: 0 for equal detail, 1 for none at all, more for
    /// wrong detail.
    pub error: f64,
    /// Σ b² / Σ t²: 1 for as much detail as the truth has, 0 for none.
    pub energy: f64,
}

/// Compares the fine detail of the brightness (ITU-R BT.601) of two pictures.
///
/// The two finest bands of the pyramid, the coarser one enlarged to the size of the picture by repetition, so that the
/// mask weighs both. Zero error and energy 1 when neither picture has detail.
///
/// # Errors
/// [`ErrorKind::Mismatch`](omniid::ErrorKind::Mismatch) when the sizes differ or the mask weighs nothing.
pub fn detail(picture: &RgbImage, truth: &RgbImage, mask: Option<Mask<'_>>) -> Result<Detail> {
    check_sizes(picture, truth, mask)?;
    let (bands, expected) = (
        laplacian(&Plane::brightness(picture)),
        laplacian(&Plane::brightness(truth)),
    );
    let (width, height) = (truth.width() as usize, truth.height() as usize);
    let (mut wrong, mut energy, mut full, mut total) = (0.0, 0.0, 0.0, 0.0);
    for (level, (band, expected)) in bands.iter().zip(&expected).enumerate() {
        for place in 0..width * height {
            let weight = mask.map_or(1.0, |mask| f64::from(mask[place]) / 255.0);
            let (x, y) = ((place % width) >> level, (place / width) >> level);
            let (b, t) = (band.at(x, y), expected.at(x, y));
            wrong += weight * (b - t).powi(2);
            energy += weight * b * b;
            full += weight * t * t;
            total += weight;
        }
    }
    if total <= 0.0 {
        return Err(no_weight());
    }
    // Rounding alone leaves about 1e-12 on flat pictures.
    let none = 1e-9 * total;
    if full <= none {
        let equal = wrong <= none;
        return Ok(Detail {
            error: if equal { 0.0 } else { f64::INFINITY },
            energy: if equal { 1.0 } else { f64::INFINITY },
        });
    }
    Ok(Detail {
        error: (wrong / full).sqrt(),
        energy: energy / full,
    })
}

/// One channel, row-major.
struct Plane {
    width: usize,
    height: usize,
    values: Vec<f64>,
}

/// The generating kernel with a = 0.4 of Burt and Adelson is close to this binomial one, which is the usual choice.
const KERNEL: [f64; 5] = [1.0 / 16.0, 4.0 / 16.0, 6.0 / 16.0, 4.0 / 16.0, 1.0 / 16.0];

impl Plane {
    fn brightness(image: &RgbImage) -> Self {
        Self {
            width: image.width() as usize,
            height: image.height() as usize,
            values: image
                .chunks_exact(3)
                .map(|p| 0.299 * f64::from(p[0]) + 0.587 * f64::from(p[1]) + 0.114 * f64::from(p[2]))
                .collect(),
        }
    }

    fn at(&self, x: usize, y: usize) -> f64 {
        self.values[y.min(self.height - 1) * self.width + x.min(self.width - 1)]
    }

    /// Blurs by the kernel, mirrored at the borders, and keeps every second row and column.
    fn reduce(&self) -> Self {
        let (width, height) = (self.width.div_ceil(2), self.height.div_ceil(2));
        let mut values = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                let mut sum = 0.0;
                for (dy, wy) in KERNEL.iter().enumerate() {
                    let row = mirror((2 * y + dy) as isize - 2, self.height);
                    for (dx, wx) in KERNEL.iter().enumerate() {
                        let column = mirror((2 * x + dx) as isize - 2, self.width);
                        sum += wy * wx * self.values[row * self.width + column];
                    }
                }
                values.push(sum);
            }
        }
        Self { width, height, values }
    }

    /// Doubles the size: zeros between the samples, then four times the kernel.
    fn expand(&self, width: usize, height: usize) -> Self {
        let mut values = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                let (mut sum, mut weights) = (0.0, 0.0);
                for (dy, wy) in KERNEL.iter().enumerate() {
                    let row = y as isize + dy as isize - 2;
                    for (dx, wx) in KERNEL.iter().enumerate() {
                        let column = x as isize + dx as isize - 2;
                        if row % 2 != 0 || column % 2 != 0 {
                            continue;
                        }
                        let row = mirror(row / 2, self.height);
                        let column = mirror(column / 2, self.width);
                        sum += wy * wx * self.values[row * self.width + column];
                        weights += wy * wx;
                    }
                }
                values.push(sum / weights);
            }
        }
        Self { width, height, values }
    }
}

/// Mirrors an index at the first and the last sample, without repeating them.
fn mirror(index: isize, length: usize) -> usize {
    let last = length as isize - 1;
    if last == 0 {
        return 0;
    }
    let folded = index.rem_euclid(2 * last);
    folded.min(2 * last - folded) as usize
}

/// The finest bands, the finest first.
fn laplacian(plane: &Plane) -> Vec<Plane> {
    let mut bands = Vec::with_capacity(BANDS);
    let mut current = Plane {
        width: plane.width,
        height: plane.height,
        values: plane.values.clone(),
    };
    for _ in 0..BANDS {
        let smaller = current.reduce();
        let mut band = smaller.expand(current.width, current.height);
        for (band, value) in band.values.iter_mut().zip(&current.values) {
            *band = value - *band;
        }
        bands.push(band);
        current = smaller;
    }
    bands
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    fn grey(width: u32, height: u32, level: impl Fn(u32, u32) -> f64) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([level(x, y).round() as u8; 3]))
    }

    #[test]
    fn flat_pictures_have_no_detail() {
        let (a, b) = (grey(16, 12, |_, _| 90.0), grey(16, 12, |_, _| 120.0));
        let found = detail(&a, &b, None).unwrap();
        assert_eq!((found.error, found.energy), (0.0, 1.0));
        let flat = detail(&a, &grey(16, 12, |x, y| f64::from((x + y) % 2 * 200)), None).unwrap();
        assert!((flat.error - 1.0).abs() < 1e-9 && flat.energy < 1e-9, "{flat:?}");
    }

    #[test]
    fn contrast_scales_the_energy() {
        // A chessboard lies wholly in the finest band: half of the contrast is a quarter of the energy and half of it
        // is missing.
        let board = |contrast: f64| {
            grey(32, 32, move |x, y| {
                128.0 + if (x + y) % 2 == 0 { contrast } else { -contrast }
            })
        };
        let found = detail(&board(40.0), &board(80.0), None).unwrap();
        assert!(
            (found.error - 0.5).abs() < 1e-6 && (found.energy - 0.25).abs() < 1e-6,
            "{found:?}"
        );
        // The opposite phase has the right energy and is twice as wrong as nothing.
        let found = detail(&board(-80.0), &board(80.0), None).unwrap();
        assert!(
            (found.error - 2.0).abs() < 1e-6 && (found.energy - 1.0).abs() < 1e-6,
            "{found:?}"
        );
    }

    #[test]
    fn a_slow_ramp_is_no_detail_beside_a_fine_pattern() {
        let truth = grey(32, 32, |x, y| 100.0 + f64::from(x) + f64::from((x + y) % 2 * 60));
        let ramped = grey(32, 32, |x, y| 80.0 + 2.0 * f64::from(x) + f64::from((x + y) % 2 * 60));
        let found = detail(&ramped, &truth, None).unwrap();
        assert!(found.error < 0.1, "{found:?}");
    }
}
