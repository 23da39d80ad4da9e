//! The face on white that PuLID's image encoder looks at.

use super::parser::LabelMap;
use crate::error::{Error, Result};
use image::RgbImage;

/// Labels that become white: background, clothes, hat, ears, earring, neck, necklace.
const WHITE: [u8; 8] = [0, 16, 18, 7, 8, 9, 14, 15];

/// The face in grey, on white: f32 `[3, height, width]`, 0 to 1, three equal planes.
///
/// Pixels of the labels 0, 7, 8, 9, 14, 15, 16 and 18 (background, ears, earring, neck, necklace, clothes, hat) are white; every
/// other is its luma 0.299 R + 0.587 G + 0.114 B, in all channels (PuLID `pipeline_flux.py`, `get_id_embedding`).
///
/// # Errors
/// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) when the labels are those of a picture of another size.
pub fn grey_background(face: &RgbImage, labels: &LabelMap) -> Result<Vec<f32>> {
    if face.dimensions() != (labels.width(), labels.height()) {
        return Err(Error::invalid(format!(
            "a face of {} x {} pixels and labels of {} x {}",
            face.width(),
            face.height(),
            labels.width(),
            labels.height()
        )));
    }
    let is_face = labels.labels().iter().map(|label| !WHITE.contains(label));
    Ok(grey_where(face, is_face))
}

/// The face in grey where `is_face` says so, pixel by pixel, on white elsewhere: f32 `[3, height, width]`.
pub(crate) fn grey_where(face: &RgbImage, is_face: impl Iterator<Item = bool>) -> Vec<f32> {
    let pixels = face.as_raw().as_chunks::<3>().0.iter().zip(is_face);
    let plane = pixels.map(|(pixel, is_face)| match is_face {
        false => 1.0,
        true => {
            let [red, green, blue] = pixel.map(|level| f32::from(level) / 255.0);
            0.299 * red + 0.587 * green + 0.114 * blue
        }
    });
    let plane: Vec<f32> = plane.collect();
    plane.repeat(3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    #[test]
    fn the_background_is_white_and_the_face_grey() {
        let face = RgbImage::from_fn(19, 1, |_, _| Rgb([255, 128, 0]));
        let labels = LabelMap::new(19, 1, (0..19).collect()).unwrap();
        let planes = grey_background(&face, &labels).unwrap();
        assert_eq!(planes.len(), 3 * 19);
        let luma = 0.299 + 0.587 * 128.0 / 255.0;
        for (index, value) in planes.into_iter().enumerate() {
            let white = [0, 7, 8, 9, 14, 15, 16, 18].contains(&(index % 19));
            let expected: f32 = if white { 1.0 } else { luma };
            assert!((value - expected).abs() < 1e-6, "{index}: {value}");
        }
        let other = LabelMap::new(1, 19, vec![0; 19]).unwrap();
        assert!(grey_background(&face, &other).is_err());
        assert!(LabelMap::new(2, 1, vec![0, 19]).is_err());
        assert!(LabelMap::new(2, 2, vec![0; 3]).is_err());
    }
}
