//! What is transparent, and what is seen instead.
//!
//! The colour under full transparency is arbitrary: programs leave black, white or the cut-away background there. It
//! must not reach the encoder, so pictures are laid on one neutral colour.

use image::{DynamicImage, RgbImage};

/// The neutral colour, in all three channels: the middle grey of sRGB, which CLIP sees as nearly 0.
pub(super) const BACKGROUND: u8 = 128;

/// How opaque each pixel is: 0 to 255, rows from top to bottom.
pub(super) struct Opacity(Vec<u8>);

impl Opacity {
    /// The opacity of a picture; `None` when all of it is opaque.
    pub fn of(image: &DynamicImage) -> Option<Self> {
        let narrow = |alpha: u16| ((u32::from(alpha) + 128) / 257) as u8;
        let values: Vec<u8> = match image {
            DynamicImage::ImageRgba8(image) => {
                // By far the most frequent: nothing is allocated for an opaque one.
                if image.chunks_exact(4).all(|pixel| pixel[3] == u8::MAX) {
                    return None;
                }
                image.pixels().map(|pixel| pixel.0[3]).collect()
            }
            DynamicImage::ImageLumaA8(image) => image.pixels().map(|pixel| pixel.0[1]).collect(),
            DynamicImage::ImageLumaA16(image) => image.pixels().map(|pixel| narrow(pixel.0[1])).collect(),
            DynamicImage::ImageRgba16(image) => image.pixels().map(|pixel| narrow(pixel.0[3])).collect(),
            DynamicImage::ImageRgba32F(image) => image
                .pixels()
                .map(|pixel| (pixel.0[3].clamp(0.0, 1.0) * 255.0).round() as u8)
                .collect(),
            _ => return None,
        };
        Self::new(values)
    }

    /// From one value a pixel; `None` when all are 255.
    pub fn new(values: Vec<u8>) -> Option<Self> {
        values.iter().any(|&value| value < u8::MAX).then_some(Self(values))
    }

    /// Whether nothing is seen at all.
    pub fn is_nothing(&self) -> bool {
        self.0.iter().all(|&value| value == 0)
    }

    /// Undoes the multiplication of the colours with their opacity.
    pub fn unmultiply(&self, image: &mut RgbImage) {
        for (pixel, &alpha) in image.pixels_mut().zip(&self.0) {
            let alpha = u32::from(alpha);
            if alpha > 0 {
                pixel.0 = pixel
                    .0
                    .map(|value| ((u32::from(value) * 255 + alpha / 2) / alpha).min(255) as u8);
            }
        }
    }

    /// Lays the picture on the neutral colour. Blends the values as they are stored, which is what browsers do.
    pub fn blend(&self, image: &mut RgbImage) {
        for (pixel, &alpha) in image.pixels_mut().zip(&self.0) {
            pixel.0 = pixel.0.map(|value| blend(value, alpha));
        }
    }
}

fn blend(value: u8, alpha: u8) -> u8 {
    let (value, alpha, background) = (u32::from(value), u32::from(alpha), u32::from(BACKGROUND));
    ((value * alpha + background * (255 - alpha) + 127) / 255) as u8
}
