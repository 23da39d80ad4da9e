//! Where the face lies in the pictures of a training set.

use image::RgbImage;
use omniid::face::crop::{alignment, crop_aligned, Similarity};
use omniid::face::Landmarks;
use omniid::Result;

/// Side of the picture that the ArcFace template is given for.
const TEMPLATE_SIDE: f64 = 112.0;

/// An aligned crop: the ArcFace template of 112 pixels, scaled about a point that becomes the middle of the crop.
///
/// The default keeps chin, brows and some hair inside.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CropTemplate {
    /// 1 shows as much as the template as published, 0.5 twice as much.
    pub scale: f32,
    /// The point of the template, in its pixels, that lies in the middle of the crop.
    pub center: [f32; 2],
}

impl Default for CropTemplate {
    fn default() -> Self {
        Self {
            scale: 0.98,
            center: [56.0, 62.0],
        }
    }
}

impl CropTemplate {
    /// From pixels of the 112-pixel template to pixels of a crop of this side.
    pub fn placement(&self, size: u32) -> Similarity {
        let a = f64::from(self.scale) * f64::from(size) / TEMPLATE_SIDE;
        let shift = |center: f32| f64::from(size) / 2.0 - a * f64::from(center);
        Similarity {
            a,
            b: 0.0,
            tx: shift(self.center[0]),
            ty: shift(self.center[1]),
        }
    }

    /// From the photo to a crop of this side: the similarity that puts the five landmarks nearest to the template.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](omniid::ErrorKind::InvalidArgument) when the landmarks coincide.
    pub fn similarity(&self, landmarks: &Landmarks, size: u32) -> Result<Similarity> {
        alignment(landmarks, size, self.scale, self.center)
    }

    /// Cuts a face out of a photo: `size` × `size` pixels.
    ///
    /// # Errors
    /// As [`CropTemplate::similarity`].
    pub fn cut(&self, image: &RgbImage, landmarks: &Landmarks, size: u32) -> Result<RgbImage> {
        crop_aligned(image, landmarks, self.scale, self.center, size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;
    use omniid::face::crop::ARCFACE_TEMPLATE;

    #[test]
    fn the_named_point_of_the_template_becomes_the_middle() {
        let template = CropTemplate::default();
        // A face turned by 30 degrees, three times the size of the template.
        let (sin, cos) = 30f64.to_radians().sin_cos();
        let placed = Similarity {
            a: 3.0 * cos,
            b: 3.0 * sin,
            tx: 200.0,
            ty: 90.0,
        };
        let landmarks = ARCFACE_TEMPLATE.map(|point| placed.apply(point.map(f64::from)).map(|v| v as f32));
        let found = template.similarity(&Landmarks(landmarks), 64).unwrap();
        let middle = found.apply(placed.apply([56.0, 62.0]));
        assert!(
            (middle[0] - 32.0).abs() < 1e-3 && (middle[1] - 32.0).abs() < 1e-3,
            "{middle:?}"
        );
        let expected = template.placement(64);
        for point in ARCFACE_TEMPLATE.map(|point| point.map(f64::from)) {
            let (a, b) = (found.apply(placed.apply(point)), expected.apply(point));
            assert!((a[0] - b[0]).abs() < 1e-3 && (a[1] - b[1]).abs() < 1e-3, "{a:?} {b:?}");
        }
        // The eye at the left: (38.2946 − 56) · 0.98 · 64 / 112 + 32.
        assert!((expected.apply([38.2946, 51.6963])[0] - 22.084_976).abs() < 1e-5);
    }

    #[test]
    fn the_cut_shows_the_named_point_in_the_middle() {
        let image = RgbImage::from_fn(160, 160, |x, y| Rgb([x as u8, y as u8, (x / 2 + y / 2) as u8]));
        let landmarks = Landmarks(ARCFACE_TEMPLATE.map(|[x, y]| [x + 20.0, y + 15.0]));
        let template = CropTemplate::default();
        let crop = template.cut(&image, &landmarks, 112).unwrap();
        // The middle shows the template's (56, 62), and 49 pixels of the crop are 50 of the photo.
        for (x, y, expected) in [(56, 56, [76, 77]), (7, 56, [26, 77]), (56, 105, [76, 127])] {
            let pixel = crop.get_pixel(x, y);
            assert!(
                pixel[0].abs_diff(expected[0]) <= 1 && pixel[1].abs_diff(expected[1]) <= 1,
                "{pixel:?}"
            );
        }
    }
}
