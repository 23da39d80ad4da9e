//! Faults of cameras and files: blur, colour, noise, JPEG.

use image::codecs::jpeg::JpegEncoder;
use image::RgbImage;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What happens to a picture after it was rendered; the default is nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Augmentation {
    /// Standard deviation of a Gaussian blur, in widths of a 112-pixel picture's pixels.
    pub blur: f32,
    /// Factor per channel, sRGB.
    pub gain: [f32; 3],
    /// Exponent, sRGB.
    pub gamma: f32,
    /// 0 keeps the colours, 1 is grey.
    pub grey: f32,
    /// Standard deviation of noise, sRGB 0…1.
    pub noise: f32,
    /// Unsharp masking, as cameras do it: share of the detail that is added once more.
    pub sharpen: f32,
    /// JPEG quality 1…100; `None` leaves JPEG out.
    pub jpeg: Option<u8>,
    /// Of the noise.
    pub seed: u64,
}

impl Default for Augmentation {
    fn default() -> Self {
        Self {
            blur: 0.0,
            gain: [1.0; 3],
            gamma: 1.0,
            grey: 0.0,
            noise: 0.0,
            sharpen: 0.0,
            jpeg: None,
            seed: 0,
        }
    }
}

impl Augmentation {
    /// Applies everything, in the order in which it happens to real pictures: optics, sensor, processing, file.
    pub fn apply(&self, image: &mut RgbImage) {
        let width = image.width();
        if self.blur > 0.0 {
            blur(image, self.blur * width as f32 / 112.0);
        }
        if self.gain != [1.0; 3] || self.gamma != 1.0 || self.grey > 0.0 {
            self.colour(image);
        }
        if self.noise > 0.0 {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            for value in image.iter_mut() {
                // Sum of four uniform numbers: near enough to normal, variance 1/3 each.
                let bits: u32 = rng.random();
                let sum: f32 = (0..4).map(|i| (bits >> (8 * i) & 255) as f32 / 127.5 - 1.0).sum();
                let normal = sum * 0.866;
                *value = (f32::from(*value) + normal * self.noise * 255.0)
                    .round()
                    .clamp(0.0, 255.0) as u8;
            }
        }
        if self.sharpen > 0.0 {
            self.sharpen(image);
        }
        if let Some(quality) = self.jpeg {
            let mut file = Vec::new();
            let encoded = JpegEncoder::new_with_quality(&mut file, quality.clamp(1, 100)).encode_image(image);
            if let (Ok(()), Ok(decoded)) = (encoded, image::load_from_memory(&file)) {
                *image = decoded.into_rgb8();
            }
        }
    }

    fn sharpen(&self, image: &mut RgbImage) {
        let mut soft = image.clone();
        // About a pixel of the picture, whatever its size.
        blur(&mut soft, 0.8);
        for (value, soft) in image.iter_mut().zip(soft.iter()) {
            let detail = f32::from(*value) - f32::from(*soft);
            *value = (f32::from(*value) + self.sharpen * detail).round().clamp(0.0, 255.0) as u8;
        }
    }

    fn colour(&self, image: &mut RgbImage) {
        let tables: [[f32; 256]; 3] = std::array::from_fn(|c| {
            std::array::from_fn(|v| (v as f32 / 255.0 * self.gain[c]).max(0.0).powf(self.gamma) * 255.0)
        });
        for pixel in image.pixels_mut() {
            let value: [f32; 3] = std::array::from_fn(|c| tables[c][pixel.0[c] as usize]);
            let grey = 0.299 * value[0] + 0.587 * value[1] + 0.114 * value[2];
            pixel.0 = value.map(|v| (v + (grey - v) * self.grey).round().clamp(0.0, 255.0) as u8);
        }
    }
}

/// Separable Gaussian blur, repeating the border.
fn blur(image: &mut RgbImage, sigma: f32) {
    let radius = (2.5 * sigma).ceil() as i32;
    let mut kernel: Vec<f32> = (-radius..=radius)
        .map(|i| (-0.5 * (i as f32 / sigma).powi(2)).exp())
        .collect();
    let sum: f32 = kernel.iter().sum();
    kernel.iter_mut().for_each(|k| *k /= sum);
    let (width, height) = (image.width() as i32, image.height() as i32);
    let source: Vec<f32> = image.iter().map(|&v| f32::from(v)).collect();
    let pass = |source: &[f32], dx: i32, dy: i32| {
        let mut out = vec![0.0; source.len()];
        for y in 0..height {
            for x in 0..width {
                let mut sum = [0.0; 3];
                for (i, k) in (-radius..).zip(&kernel) {
                    let px = (x + i * dx).clamp(0, width - 1);
                    let py = (y + i * dy).clamp(0, height - 1);
                    let place = ((py * width + px) * 3) as usize;
                    for c in 0..3 {
                        sum[c] += k * source[place + c];
                    }
                }
                let place = ((y * width + x) * 3) as usize;
                out[place..place + 3].copy_from_slice(&sum);
            }
        }
        out
    };
    let rows = pass(&source, 1, 0);
    let both = pass(&rows, 0, 1);
    for (value, blurred) in image.iter_mut().zip(both) {
        *value = blurred.round().clamp(0.0, 255.0) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_changes_nothing_and_blur_keeps_the_mean() {
        let mut image = RgbImage::from_fn(16, 16, |x, y| image::Rgb([(x * 16) as u8, (y * 16) as u8, 100]));
        let before = image.clone();
        Augmentation::default().apply(&mut image);
        assert_eq!(image, before);
        Augmentation {
            blur: 14.0,
            ..Augmentation::default()
        }
        .apply(&mut image);
        assert!(image.get_pixel(8, 8).0[0].abs_diff(before.get_pixel(8, 8).0[0]) < 6);
        assert!(image.get_pixel(0, 0).0[0] > 10);
        assert_eq!(image.get_pixel(3, 3).0[2], 100);
    }

    #[test]
    fn grey_has_equal_channels_and_noise_repeats() {
        let mut image = RgbImage::from_pixel(8, 8, image::Rgb([200, 100, 50]));
        let fault = Augmentation {
            grey: 1.0,
            ..Augmentation::default()
        };
        fault.apply(&mut image);
        let p = image.get_pixel(0, 0).0;
        assert_eq!(p, [124, 124, 124]);
        let noisy = Augmentation {
            noise: 0.05,
            jpeg: Some(70),
            seed: 9,
            ..fault
        };
        let (mut a, mut b) = (image.clone(), image.clone());
        noisy.apply(&mut a);
        noisy.apply(&mut b);
        assert_eq!(a, b);
        assert_ne!(a, image);
    }
}
