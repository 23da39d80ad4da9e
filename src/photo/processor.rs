//! The preparation that image encoders were trained with.

use super::resample::{resize_window, Filter, Window};
use crate::bicubic::Bicubic;
use image::RgbImage;

/// How a whole photo becomes a square.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PhotoFit {
    /// The short side becomes `size`, the long side ⌊size · long / short⌋, and the centre is cut out.
    #[default]
    Centre,
    /// Both sides become `size`, so that the photo is squeezed: SigLIP sees all of it.
    Stretch,
}

/// Turns an image into the input of an image encoder.
///
/// Equals `transformers`' `CLIPImageProcessor` and `SiglipImageProcessor` with their Pillow backend: the image is fitted
/// by Pillow's bicubic filter; samples are divided by 255 and normalised per channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ImageProcessor {
    /// Side of the square input, in pixels.
    pub size: u32,
    /// Mean of red, green, blue on the scale 0…1.
    pub mean: [f32; 3],
    /// Standard deviation of red, green, blue on the scale 0…1.
    pub std: [f32; 3],
    /// How a whole photo becomes a square.
    pub fit: PhotoFit,
}

impl ImageProcessor {
    /// The constants of OpenAI's CLIP, which all CLIP and OpenCLIP encoders use.
    pub fn clip(size: u32) -> Self {
        Self {
            size,
            mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
            std: [0.268_629_54, 0.261_302_6, 0.275_777_1],
            fit: PhotoFit::Centre,
        }
    }

    /// The preparation of SigLIP: mean and standard deviation 0.5, nothing is cut off.
    pub fn siglip(size: u32) -> Self {
        Self {
            size,
            mean: [0.5; 3],
            std: [0.5; 3],
            fit: PhotoFit::Stretch,
        }
    }

    /// The constants of ImageNet, which DINOv2 uses.
    pub fn imagenet(size: u32) -> Self {
        Self {
            size,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
            fit: PhotoFit::Centre,
        }
    }

    /// Resizes the image as [`ImageProcessor::fit`] says: `size` × `size` pixels.
    ///
    /// An image without pixels gives black.
    pub fn resize_crop(&self, image: &RgbImage) -> RgbImage {
        let (width, height) = image.dimensions();
        if width == 0 || height == 0 {
            return RgbImage::new(self.size, self.size);
        }
        if self.fit == PhotoFit::Stretch {
            let whole = Window {
                left: 0,
                top: 0,
                width: self.size,
                height: self.size,
            };
            let size = u64::from(self.size);
            return resize_window(image, size, size, whole, Filter::Bicubic);
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

    /// The encoder's input, f32 `[3, size, size]`, of a square picture of floating-point samples, 0 to 1, `[3, side,
    /// side]`: torchvision's `resize` with its bicubic filter and antialiasing, then the normalisation.
    ///
    /// This is PuLID's way from the face on grey, 512 × 512, to its image encoder. Samples are not rounded in between.
    /// Planes of another length than 3 · side · side give black.
    pub fn process_planes(&self, planes: &[f32], side: usize) -> Vec<f32> {
        let size = self.size as usize;
        if side == 0 || Some(planes.len()) != side.checked_mul(side).and_then(|area| area.checked_mul(3)) {
            return self.normalise(&RgbImage::new(self.size, self.size));
        }
        let mut out = Vec::with_capacity(3 * size * size);
        for (channel, plane) in planes.chunks_exact(side * side).enumerate() {
            let plane = Bicubic::Antialiased.resize_plane(plane, side, side, size);
            let (mean, std) = (self.mean[channel], self.std[channel]);
            out.extend(plane.into_iter().map(|sample| (sample - mean) / std));
        }
        out
    }

    /// The encoder's input: f32 `[3, size, size]`.
    pub fn process(&self, image: &RgbImage) -> Vec<f32> {
        self.normalise(&self.resize_crop(image))
    }
}
