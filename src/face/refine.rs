//! A second look at a face, which places its landmarks more exactly.

use super::crop::{alignment, crop_by, Part, TEMPLATE_BOX, TEMPLATE_SIDE};
use super::detector::{DetectOptions, FaceDetector};
use super::select::MAX_FACES;
use crate::error::Result;
use crate::photo::{Face, FaceBox, Landmarks};
use image::{imageops, RgbImage};

/// Sides, in pixels, of the pictures in which a face is looked at again: its box has about 100 and 128 pixels there, well
/// within what YuNet was made for.
const SMALLEST: u32 = 224;
const LARGEST: u32 = 288;

/// Scale of the crop in the terms of [`alignment`]: the box of a face fills 1 / 2.25 of the side.
const SCALE: f32 = 0.47;

/// Middle of the crop: that of the box.
const CENTER: [f32; 2] = [
    ((TEMPLATE_BOX[0] + TEMPLATE_BOX[2]) / 2.0) as f32,
    ((TEMPLATE_BOX[1] + TEMPLATE_BOX[3]) / 2.0) as f32,
];

/// Least intersection over union of the box that is expected with the one that counts.
const LEAST_OVERLAP: f32 = 0.3;

/// Where a landmark goes when a face is mirrored.
const MIRRORED: [usize; 5] = [1, 0, 2, 4, 3];

impl FaceDetector {
    /// Looks again at a face that [`FaceDetector::detect`] has found, and places its landmarks more exactly: at the mean
    /// of what the detector sees in four pictures of the face, upright and at two sizes, as it is and mirrored. Box and
    /// score stay those of `face`. A face that is not found again is given back as it is.
    ///
    /// [`prepare`](super::prepare) and [`cut`](super::cut) do this with the face that they cut out;
    /// [`detect`](FaceDetector::detect) itself gives the network's own landmarks.
    ///
    /// # Errors
    /// As [`FaceDetector::detect`].
    pub fn refine(&self, image: &RgbImage, face: &Face, options: &DetectOptions) -> Result<Face> {
        options.check()?;
        // Landmarks that do not make a face cannot say where to look.
        let Ok(largest) = alignment(&face.landmarks, LARGEST, SCALE, CENTER) else {
            return Ok(*face);
        };
        // A large photo is reduced once for all pictures.
        let part = Part::under(image, &largest, LARGEST);
        let points = face.landmarks.0.map(|point| part.to_part(point.map(f64::from)));
        let points = Landmarks(points.map(|point| point.map(|value| value as f32)));
        let mut sum = [[0f64; 2]; 5];
        let mut looks = 0;
        for side in [SMALLEST, LARGEST] {
            let transform = alignment(&points, side, SCALE, CENTER)?;
            let (upright, back) = (crop_by(part.image(), &transform, side), transform.inverse());
            for mirrored in [false, true] {
                let Some(seen) = self.look(&upright, mirrored, options)? else {
                    continue;
                };
                looks += 1;
                for (sum, point) in sum.iter_mut().zip(seen.0) {
                    let [x, y] = part.to_photo(back.apply(point.map(f64::from)));
                    sum[0] += x;
                    sum[1] += y;
                }
            }
        }
        if looks == 0 {
            return Ok(*face);
        }
        let mean = sum.map(|point| point.map(|value| (value / f64::from(looks)) as f32));
        Ok(Face {
            landmarks: Landmarks(mean),
            ..*face
        })
    }

    /// [`FaceDetector::refine`] for all that may be cut out of a photo: the first [`MAX_FACES`], which are the largest.
    ///
    /// # Errors
    /// As [`FaceDetector::refine`].
    pub(crate) fn refine_largest(&self, image: &RgbImage, faces: &mut [Face], options: &DetectOptions) -> Result<()> {
        for face in faces.iter_mut().take(MAX_FACES) {
            *face = self.refine(image, face, options)?;
        }
        Ok(())
    }

    /// The landmarks of the face in the middle of an upright picture, in its pixels.
    fn look(&self, upright: &RgbImage, mirrored: bool, options: &DetectOptions) -> Result<Option<Landmarks>> {
        let side = upright.width() as f32;
        let found = if mirrored {
            self.search_scale(&imageops::flip_horizontal(upright), 1.0, options)?
        } else {
            self.search_scale(upright, 1.0, options)?
        };
        // The box of a face that lies as the template.
        let pixel = f64::from(SCALE) / TEMPLATE_SIDE * f64::from(side);
        let [left, top, right, bottom] = TEMPLATE_BOX;
        let half = |from: f64, to: f64| ((to - from) / 2.0 * pixel) as f32;
        let (half_width, half_height) = (half(left, right), half(top, bottom));
        let expected = FaceBox {
            left: side / 2.0 - half_width,
            top: side / 2.0 - half_height,
            right: side / 2.0 + half_width,
            bottom: side / 2.0 + half_height,
        };
        let best = found
            .iter()
            .map(|face| (face.bounds.overlap(&expected), face.landmarks))
            .filter(|(overlap, _)| *overlap >= LEAST_OVERLAP)
            .max_by(|a, b| a.0.total_cmp(&b.0));
        Ok(best.map(|(_, landmarks)| {
            if mirrored {
                Landmarks(MIRRORED.map(|index| {
                    let [x, y] = landmarks.0[index];
                    [side - 1.0 - x, y]
                }))
            } else {
                landmarks
            }
        }))
    }
}
