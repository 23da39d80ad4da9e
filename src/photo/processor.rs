//! The preparation that CLIP image encoders were trained with.

use super::resample::{resize_window, Filter, Window};
use image::RgbImage;

/// Turns an image into the input of a CLIP image encoder.
///
/// Equals `transformers`' `CLIPImageProcessor` with its Pillow backend: the short side becomes `size`, the long side
/// ⌊size · long / short⌋, by Pillow's bicubic filter; the centre `size` × `size` is cut out; samples are divided by 255
/// and normalised per channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ImageProcessor {
    /// Side of the square input, in pixels.
    pub size: u32,
    /// Mean of red, green, blue on the scale 0…1.
    pub mean: [f32; 3],
    /// Standard deviation of red, green, blue on the scale 0…1.
    pub std: [f32; 3],
}

impl ImageProcessor {
    /// The constants of OpenAI's CLIP, which all CLIP and OpenCLIP encoders use.
    pub fn clip(size: u32) -> Self {
        Self {
            size,
            mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
            std: [0.268_629_54, 0.261_302_6, 0.275_777_1],
        }
    }

    /// Resizes the short side and cuts out the centre: `size` × `size` pixels.
    ///
    /// An image without pixels gives black.
    pub fn resize_crop(&self, image: &RgbImage) -> RgbImage {
        let (width, height) = image.dimensions();
        if width == 0 || height == 0 {
            return RgbImage::new(self.size, self.size);
        }
        let short = u64::from(width.min(height));
        let scaled = |side: u32| u64::from(self.size) * u64::from(side) / short;
        // Only the centre is computed: the long side of an extreme shape never exists as a whole.
        let (full_width, full_height) = (scaled(width), scaled(height));
        let window = Window {
            left: (full_width - u64::from(self.size)) / 2,
            top: (full_height - u64::from(self.size)) / 2,
            width: self.size,
            height: self.size,
        };
        resize_window(image, full_width, full_height, window, Filter::Bicubic)
    }

    /// Normalises the samples of an image, without resizing: f32 `[3, height, width]`.
    pub fn normalise(&self, image: &RgbImage) -> Vec<f32> {
        let pixels = image.width() as usize * image.height() as usize;
        let mut out = Vec::with_capacity(pixels * 3);
        for channel in 0..3 {
            let (mean, std) = (f64::from(self.mean[channel]), f64::from(self.std[channel]));
            let table: [f32; 256] = std::array::from_fn(|level| ((level as f64 / 255.0 - mean) / std) as f32);
            out.extend(image.chunks_exact(3).map(|pixel| table[usize::from(pixel[channel])]));
        }
        out
    }

    /// The encoder's input: f32 `[3, size, size]`.
    pub fn process(&self, image: &RgbImage) -> Vec<f32> {
        self.normalise(&self.resize_crop(image))
    }
}
