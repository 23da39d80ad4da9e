//! Boxes and landmarks in pixels of the upright photo.

use crate::error::{Error, Result};

/// An axis-parallel box in pixels; an integer is the border between two pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FaceBox {
    /// Left border.
    pub left: f32,
    /// Upper border.
    pub top: f32,
    /// Right border.
    pub right: f32,
    /// Lower border.
    pub bottom: f32,
}

impl FaceBox {
    /// Width in pixels; negative when the borders are swapped.
    pub fn width(&self) -> f32 {
        self.right - self.left
    }

    /// Height in pixels; negative when the borders are swapped.
    pub fn height(&self) -> f32 {
        self.bottom - self.top
    }

    /// The longer side in pixels: the size of a face everywhere in this library.
    pub fn side(&self) -> f32 {
        self.width().max(self.height())
    }

    /// Area in square pixels; 0 for a box without content.
    pub fn area(&self) -> f32 {
        self.width().max(0.0) * self.height().max(0.0)
    }

    /// Intersection over union with `other`, from 0 (apart) to 1 (equal).
    pub fn overlap(&self, other: &Self) -> f32 {
        let intersection = self.intersection(other).area();
        let union = self.area() + other.area() - intersection;
        if union > 0.0 {
            intersection / union
        } else {
            0.0
        }
    }

    /// What two boxes share; without content when they are apart.
    pub fn intersection(&self, other: &Self) -> Self {
        Self {
            left: self.left.max(other.left),
            top: self.top.max(other.top),
            right: self.right.min(other.right),
            bottom: self.bottom.min(other.bottom),
        }
    }

    /// Checks a box from outside against an image of `width` × `height` pixels.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) when a border is not finite, the box is empty or lies
    /// wholly outside the image.
    pub fn check(&self, width: u32, height: u32) -> Result<()> {
        let borders = [self.left, self.top, self.right, self.bottom];
        if borders.iter().any(|border| !border.is_finite()) || self.width() <= 0.0 || self.height() <= 0.0 {
            return Err(Error::invalid(format!(
                "face box {borders:?} (left, top, right, bottom) must be finite, with left < right and top < bottom"
            )));
        }
        let image = Self {
            left: 0.0,
            top: 0.0,
            right: width as f32,
            bottom: height as f32,
        };
        let shared = self.intersection(&image);
        if shared.width() <= 0.0 || shared.height() <= 0.0 {
            return Err(Error::invalid(format!(
                "face box {borders:?} (left, top, right, bottom) lies outside the photo of {width}x{height} pixels"
            )));
        }
        Ok(())
    }
}

/// Five points of a face, x and y in pixels: eye on the image's left, eye on the image's right, nose tip, mouth corner
/// on the left, mouth corner on the right. Left and right are those of the upright face as the viewer sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Landmarks(pub [[f32; 2]; 5]);

impl Landmarks {
    /// Checks points from outside.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) when a coordinate is not finite or absurdly large, or
    /// all points coincide.
    pub fn check(&self) -> Result<()> {
        let bound = 4.0 * super::MAX_SIDE as f32;
        // NaN fails the comparison.
        if !self.0.iter().flatten().all(|value| value.abs() <= bound) {
            return Err(Error::invalid(format!(
                "landmarks {:?} must be finite and within {bound} pixels of the origin",
                self.0
            )));
        }
        let first = self.0[0];
        let spread = self
            .0
            .iter()
            .map(|point| (point[0] - first[0]).hypot(point[1] - first[1]))
            .fold(0.0, f32::max);
        if spread < 1.0 {
            return Err(Error::invalid(format!(
                "landmarks {:?} lie within one pixel: they cannot place a face",
                self.0
            )));
        }
        Ok(())
    }
}

/// A face in a photo.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Face {
    /// The smallest upright box around the face. It may reach out of the photo.
    pub bounds: FaceBox,
    /// The five points.
    pub landmarks: Landmarks,
    /// The detector's confidence, 0 to 1; 1 for a face that the host named.
    pub score: f32,
}
