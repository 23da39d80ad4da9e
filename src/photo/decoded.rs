//! A photo that has been read.

use super::{Face, FaceBox, FaceHint, Landmarks, PhotoNote};
use image::RgbImage;

/// A photo as it was read: the upright picture, and what should be known about it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Decoded {
    /// The upright picture: 8-bit sRGB. Smaller than the photo by [`Decoded::reduction`].
    pub image: RgbImage,
    /// Width and height of the upright photo at its full size, in pixels.
    pub full_size: (u32, u32),
    /// Pixels of the photo, in each direction, that one pixel of the picture stands for: 1, or 2, 4 or 8 for a photo
    /// that was too large for the limits at full size.
    pub reduction: u32,
    /// What should be known about the photo, such as a missing part. Usually empty.
    pub notes: Vec<PhotoNote>,
}

impl Decoded {
    /// A photo at full size, without notes.
    pub(super) fn whole(image: RgbImage) -> Self {
        Self {
            full_size: image.dimensions(),
            image,
            reduction: 1,
            notes: Vec::new(),
        }
    }

    /// A face found in [`Decoded::image`], in pixels of the photo at its full size.
    pub fn full_face(&self, face: &Face) -> Face {
        face.scaled(self.reduction as f32)
    }
}

impl FaceBox {
    /// The box in a photo that is `factor` times as large.
    pub fn scaled(self, factor: f32) -> Self {
        Self {
            left: self.left * factor,
            top: self.top * factor,
            right: self.right * factor,
            bottom: self.bottom * factor,
        }
    }
}

impl Landmarks {
    /// The points in a photo that is `factor` times as large.
    pub fn scaled(self, factor: f32) -> Self {
        Self(self.0.map(|point| point.map(|place| place * factor)))
    }
}

impl Face {
    /// The face in a photo that is `factor` times as large.
    pub fn scaled(self, factor: f32) -> Self {
        Self {
            bounds: self.bounds.scaled(factor),
            landmarks: self.landmarks.scaled(factor),
            ..self
        }
    }
}

impl FaceHint {
    /// The hint for a photo that is `factor` times as large.
    pub(crate) fn scaled(self, factor: f32) -> Self {
        match self {
            Self::Detect | Self::Index(_) => self,
            Self::Box(bounds) => Self::Box(bounds.scaled(factor)),
            Self::Landmarks(points) => Self::Landmarks(points.scaled(factor)),
        }
    }
}
