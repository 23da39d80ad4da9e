//! Where the person's face is in a photo, pixel by pixel, as a host has found out.

use crate::error::{Error, Result};
use std::borrow::Cow;

/// The value from which on a pixel belongs to the face.
const FACE: f32 = 0.5;

/// Which pixels of a photo are the person's face, hair included: what a host's own segmentation gives instead of a face
/// parsing network. PuLID sees the other pixels white.
#[derive(Debug, Clone, PartialEq)]
pub struct FaceMask<'a> {
    width: u32,
    height: u32,
    values: Cow<'a, [f32]>,
}

impl<'a> FaceMask<'a> {
    /// The mask of a photo of `width` × `height` pixels: `[height, width]` values from 0 to 1, row by row. Pixels from
    /// 0.5 on are the face. For photos from files it is the upright photo: after the EXIF orientation.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for another number of values, and a value outside 0 to 1.
    pub fn new(width: u32, height: u32, values: impl Into<Cow<'a, [f32]>>) -> Result<Self> {
        let values = values.into();
        let expected = u64::from(width) * u64::from(height);
        if values.len() as u64 != expected || expected == 0 {
            return Err(Error::invalid(format!(
                "a face mask of {} values for {width} x {height} pixels",
                values.len()
            )));
        }
        if let Some(place) = values.iter().position(|value| !(0.0..=1.0).contains(value)) {
            return Err(Error::invalid(format!(
                "a face mask with {} in row {}, column {}, expected 0 to 1",
                values[place],
                place / width as usize,
                place % width as usize
            )));
        }
        Ok(Self { width, height, values })
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The values: `[height, width]`.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Whether a pixel is the face; false beyond the photo.
    pub(crate) fn is_face(&self, x: i64, y: i64) -> bool {
        match (u32::try_from(x), u32::try_from(y)) {
            (Ok(x), Ok(y)) if x < self.width && y < self.height => {
                self.values[y as usize * self.width as usize + x as usize] >= FACE
            }
            _ => false,
        }
    }

    /// The same mask, borrowed.
    pub(super) fn borrowed(&self) -> FaceMask<'_> {
        FaceMask {
            width: self.width,
            height: self.height,
            values: Cow::Borrowed(&self.values),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_have_one_value_from_0_to_1_per_pixel() {
        let mask = FaceMask::new(3, 2, vec![0.0, 0.49, 0.5, 1.0, 0.0, 0.6]).unwrap();
        let faces = [(2, 0), (0, 1), (2, 1)];
        for (x, y) in (-1..4).flat_map(|x| (-1..3).map(move |y| (x, y))) {
            assert_eq!(mask.is_face(x, y), faces.contains(&(x, y)), "{x} {y}");
        }
        for (width, height, values) in [
            (3, 2, vec![0.0; 5]),
            (0, 0, vec![]),
            (u32::MAX, u32::MAX, vec![0.0; 5]),
            (2, 1, vec![0.0, f32::NAN]),
            (1, 2, vec![0.0, 255.0]),
        ] {
            let error = FaceMask::new(width, height, values).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::InvalidArgument, "{error}");
        }
    }
}
