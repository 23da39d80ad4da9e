//! Cutting a square out of a photo: around a face, at the centre, or aligned to a template.

use crate::error::{Error, Result};
use crate::photo::resample::{resize_square, Filter};
use crate::photo::{FaceBox, Landmarks};
use image::{imageops, GenericImageView, Rgb, RgbImage};

/// Where the five landmarks of an upright frontal face lie in a 112 × 112 crop: the template of ArcFace (Deng et al.
/// 2019; InsightFace `face_align.py`). Order as in [`Landmarks`].
pub const ARCFACE_TEMPLATE: [[f32; 2]; 5] = [
    [38.2946, 51.6963],
    [73.5318, 51.5014],
    [56.0252, 71.7366],
    [41.5493, 92.3655],
    [70.7299, 92.2041],
];

/// Side of the picture that [`ARCFACE_TEMPLATE`] is given for.
pub(super) const TEMPLATE_SIDE: f64 = 112.0;

/// The middle of that picture.
pub const TEMPLATE_CENTER: [f32; 2] = [56.0; 2];

/// Where the detector's box lies relative to the template, in template pixels: left, top, right, bottom. Measured on
/// the detector's own results for frontal faces.
pub(super) const TEMPLATE_BOX: [f64; 4] = [16.0, 10.0, 96.0, 116.0];

/// A rotation with uniform scaling and a shift: (x, y) → (a x − b y + tx, b x + a y + ty).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Similarity {
    /// Scale times cosine of the angle.
    pub a: f64,
    /// Scale times sine of the angle.
    pub b: f64,
    /// Shift along x.
    pub tx: f64,
    /// Shift along y.
    pub ty: f64,
}

impl Similarity {
    /// The similarity that takes `from` to `to` with the least sum of squared distances (Umeyama 1991; in the plane
    /// and without reflections it has this closed form).
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) when the points do not determine one, because they
    /// coincide.
    pub fn fit(from: &[[f64; 2]], to: &[[f64; 2]]) -> Result<Self> {
        let count = from.len().min(to.len()).max(1) as f64;
        let mean = |points: &[[f64; 2]]| {
            let sum = points
                .iter()
                .fold([0.0; 2], |sum, point| [sum[0] + point[0], sum[1] + point[1]]);
            [sum[0] / count, sum[1] / count]
        };
        let (center_from, center_to) = (mean(from), mean(to));
        let (mut dot, mut cross, mut spread) = (0.0, 0.0, 0.0);
        for (p, q) in from.iter().zip(to) {
            let p = [p[0] - center_from[0], p[1] - center_from[1]];
            let q = [q[0] - center_to[0], q[1] - center_to[1]];
            dot += p[0] * q[0] + p[1] * q[1];
            cross += p[0] * q[1] - p[1] * q[0];
            spread += p[0] * p[0] + p[1] * p[1];
        }
        let (a, b) = (dot / spread, cross / spread);
        let scale = a.hypot(b);
        if !scale.is_finite() || scale < 1e-9 {
            return Err(Error::invalid(
                "the landmarks do not determine where the face is: they coincide or lie in disorder",
            ));
        }
        let [x, y] = center_from;
        Ok(Self {
            a,
            b,
            tx: center_to[0] - (a * x - b * y),
            ty: center_to[1] - (b * x + a * y),
        })
    }

    /// The scale: target pixels per source pixel.
    pub fn scale(&self) -> f64 {
        self.a.hypot(self.b)
    }

    /// The image of a point.
    pub fn apply(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        [self.a * x - self.b * y + self.tx, self.b * x + self.a * y + self.ty]
    }

    /// The inverse. The scale is never 0.
    pub fn inverse(&self) -> Self {
        let square = self.a * self.a + self.b * self.b;
        let (a, b) = (self.a / square, -self.b / square);
        Self {
            a,
            b,
            tx: -(a * self.tx - b * self.ty),
            ty: -(b * self.tx + a * self.ty),
        }
    }
}

/// The similarity from the photo to an aligned crop of `size` × `size`.
///
/// `scale` 1 and `center` [`TEMPLATE_CENTER`] put the landmarks exactly where ArcFace wants them. A smaller scale shows
/// more around the face; `center` is the point of the template, in its pixels, that becomes the middle of the crop.
///
/// # Errors
/// As [`Similarity::fit`].
pub fn alignment(landmarks: &Landmarks, size: u32, scale: f32, center: [f32; 2]) -> Result<Similarity> {
    let from = landmarks.0.map(|[x, y]| [f64::from(x), f64::from(y)]);
    let place = |value: f32, center: f32| {
        (f64::from(value - center) / TEMPLATE_SIDE * f64::from(scale) + 0.5) * f64::from(size)
    };
    let to = ARCFACE_TEMPLATE.map(|[x, y]| [place(x, center[0]), place(y, center[1])]);
    Similarity::fit(&from, &to)
}

/// The box of a face of which only the landmarks are known.
///
/// # Errors
/// As [`Similarity::fit`].
pub fn box_of_landmarks(landmarks: &Landmarks) -> Result<FaceBox> {
    let to_photo = alignment(landmarks, TEMPLATE_SIDE as u32, 1.0, TEMPLATE_CENTER)?.inverse();
    let [left, top, right, bottom] = TEMPLATE_BOX;
    let corners = [[left, top], [right, top], [right, bottom], [left, bottom]].map(|corner| to_photo.apply(corner));
    let range = |axis: usize| {
        let values = corners.map(|corner| corner[axis] as f32);
        (
            values.iter().copied().fold(f32::MAX, f32::min),
            values.iter().copied().fold(f32::MIN, f32::max),
        )
    };
    let ((left, right), (top, bottom)) = (range(0), range(1));
    Ok(FaceBox {
        left,
        top,
        right,
        bottom,
    })
}

/// Clockwise quarter turns of the photo after which the face is nearest to upright.
pub fn quarter_turns(landmarks: &Landmarks) -> u32 {
    let [left_eye, right_eye, _, left_mouth, right_mouth] = landmarks.0;
    // From the mouth to the eyes: up, in an upright face.
    let x = left_eye[0] + right_eye[0] - left_mouth[0] - right_mouth[0];
    let y = left_eye[1] + right_eye[1] - left_mouth[1] - right_mouth[1];
    if y.abs() >= x.abs() {
        if y <= 0.0 {
            0
        } else {
            2
        }
    } else if x < 0.0 {
        1
    } else {
        3
    }
}

/// Cuts the largest square out of the middle and resizes it.
pub fn crop_center(image: &RgbImage, size: u32) -> RgbImage {
    let (width, height) = (f64::from(image.width()), f64::from(image.height()));
    let side = width.min(height);
    let (left, top) = (((width - side) / 2.0).floor(), ((height - side) / 2.0).floor());
    resize_square(image, left, top, side, size, Filter::Bicubic)
}

/// Cuts a square around a box and resizes it.
///
/// The square has the box's centre; its side is the box's longer side and `margin` times that on either side, but not
/// longer than the photo's longer side. Where it reaches out of the photo, the photo's border is repeated.
pub fn crop_box(image: &RgbImage, bounds: &FaceBox, margin: f32, size: u32) -> RgbImage {
    let photo = FaceBox {
        left: 0.0,
        top: 0.0,
        right: image.width() as f32,
        bottom: image.height() as f32,
    };
    let bounds = bounds.intersection(&photo);
    let longest = f64::from(image.width().max(image.height()));
    let side = (f64::from(bounds.side()) * (1.0 + 2.0 * f64::from(margin)))
        .clamp(1.0, longest)
        .round();
    let center = |a: f32, b: f32| (f64::from(a) + f64::from(b)) / 2.0;
    let left = (center(bounds.left, bounds.right) - side / 2.0).round();
    let top = (center(bounds.top, bounds.bottom) - side / 2.0).round();
    resize_square(image, left, top, side, size, Filter::Bicubic)
}

/// Turns, scales and shifts the face onto the template; see [`alignment`].
///
/// Bilinear; a photo much larger than the crop is halved first, so that no pixel is skipped. Beyond the photo its
/// border is repeated.
///
/// # Errors
/// As [`Similarity::fit`].
pub fn crop_aligned(
    image: &RgbImage,
    landmarks: &Landmarks,
    scale: f32,
    center: [f32; 2],
    size: u32,
) -> Result<RgbImage> {
    Ok(crop_by(image, &alignment(landmarks, size, scale, center)?, size))
}

/// The crop of `size` × `size` pixels to which `transform` takes the photo; as [`crop_aligned`].
pub(super) fn crop_by(image: &RgbImage, transform: &Similarity, size: u32) -> RgbImage {
    let part = Part::under(image, transform, size);
    let back = part.transform(transform).inverse();
    let source = part.image();
    RgbImage::from_fn(size, size, |x, y| {
        sample(source, back.apply([f64::from(x), f64::from(y)]))
    })
}

/// What is left of a photo where a crop makes it smaller than by half: only the part under the crop, halved as often as
/// needed. Its pixels are those that the whole photo would have after halving.
pub(super) struct Part<'a> {
    whole: &'a RgbImage,
    halved: Option<RgbImage>,
    /// Pixels of the photo along a pixel of the part.
    scale: f64,
    /// Where the middle of the part's first pixel lies in the photo, in pixel centres.
    origin: [f64; 2],
}

impl<'a> Part<'a> {
    /// The part that `transform` takes to a crop of `size` × `size` pixels.
    pub(super) fn under(image: &'a RgbImage, transform: &Similarity, size: u32) -> Self {
        let whole = Self {
            whole: image,
            halved: None,
            scale: 1.0,
            origin: [0.0; 2],
        };
        let (width, height) = image.dimensions();
        let (mut halvings, mut scale) = (0u32, transform.scale());
        while scale < 0.5 && width.min(height) >> halvings >= 2 {
            halvings += 1;
            scale *= 2.0;
        }
        if halvings == 0 {
            return whole;
        }
        // From and to a multiple of what becomes a pixel, with room for the neighbours that are sampled.
        let block = 1u32 << halvings;
        let (back, end) = (transform.inverse(), f64::from(size));
        let corners = [[0.0, 0.0], [end, 0.0], [0.0, end], [end, end]].map(|corner| back.apply(corner));
        let range = |axis: usize, side: u32| {
            let values = corners.map(|corner| corner[axis]);
            let least = values.into_iter().fold(f64::INFINITY, f64::min) - 2.0 * f64::from(block);
            let most = values.into_iter().fold(f64::NEG_INFINITY, f64::max) + 2.0 * f64::from(block);
            // At least two blocks, also of a crop that lies outside of the photo.
            let first = (least.max(0.0) as u32).min(side.saturating_sub(2 * block)) / block * block;
            let last = (most.clamp(0.0, f64::from(side)) as u32).max(first + 2 * block);
            (first, last.next_multiple_of(block).min(side) - first)
        };
        let ((left, wide), (top, high)) = (range(0, width), range(1, height));
        // Halved as it is read: a copy of a large photo at full size would be the largest thing in memory.
        let mut part = halve(&*imageops::crop_imm(image, left, top, wide, high));
        for _ in 1..halvings {
            part = halve(&part);
        }
        // Coordinates are pixel centres: pixel i of the half covers 2i and 2i + 1, and its centre is 2i + 0.5.
        let middle = (f64::from(block) - 1.0) / 2.0;
        Self {
            halved: Some(part),
            scale: f64::from(block),
            origin: [f64::from(left) + middle, f64::from(top) + middle],
            ..whole
        }
    }

    /// The pixels.
    pub(super) fn image(&self) -> &RgbImage {
        self.halved.as_ref().unwrap_or(self.whole)
    }

    /// A point of the photo in the part.
    pub(super) fn to_part(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        [(x - self.origin[0]) / self.scale, (y - self.origin[1]) / self.scale]
    }

    /// A point of the part in the photo.
    pub(super) fn to_photo(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        [x * self.scale + self.origin[0], y * self.scale + self.origin[1]]
    }

    /// A transform of the photo as one of the part.
    fn transform(&self, whole: &Similarity) -> Similarity {
        let [tx, ty] = whole.apply(self.origin);
        Similarity {
            a: whole.a * self.scale,
            b: whole.b * self.scale,
            tx,
            ty,
        }
    }
}

/// Mean of each 2 × 2 block; an odd last row or column is dropped.
fn halve(image: &impl GenericImageView<Pixel = Rgb<u8>>) -> RgbImage {
    RgbImage::from_fn(image.width() / 2, image.height() / 2, |x, y| {
        let block = [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(dx, dy)| image.get_pixel(2 * x + dx, 2 * y + dy).0);
        Rgb(std::array::from_fn(|c| {
            (block.iter().map(|pixel| u32::from(pixel[c])).sum::<u32>() + 2).div_euclid(4) as u8
        }))
    })
}

/// Bilinear sample at a point given in pixel centres, clamped to the image.
fn sample(image: &RgbImage, [x, y]: [f64; 2]) -> Rgb<u8> {
    let x = x.clamp(0.0, f64::from(image.width() - 1));
    let y = y.clamp(0.0, f64::from(image.height() - 1));
    let (x0, y0) = (x.floor() as u32, y.floor() as u32);
    let (x1, y1) = ((x0 + 1).min(image.width() - 1), (y0 + 1).min(image.height() - 1));
    let (fx, fy) = ((x - f64::from(x0)) as f32, (y - f64::from(y0)) as f32);
    let [a, b, c, d] = [(x0, y0), (x1, y0), (x0, y1), (x1, y1)].map(|(x, y)| image.get_pixel(x, y).0.map(f32::from));
    Rgb(std::array::from_fn(|i| {
        let top = a[i] + (b[i] - a[i]) * fx;
        let bottom = c[i] + (d[i] - c[i]) * fx;
        (top + (bottom - top) * fy).round() as u8
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture in which every place looks different.
    fn picture(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            let wave = |along: f64| (127.5 + 127.0 * along.sin()) as u8;
            let (x, y) = (f64::from(x), f64::from(y));
            Rgb([wave(x / 23.0), wave(y / 31.0), wave((x + 2.0 * y) / 57.0)])
        })
    }

    /// Only the part under the crop is halved, and the crop is the one of the halved photo.
    #[test]
    fn a_part_of_the_photo_gives_the_crop_of_the_whole() {
        // Odd sides, in the middle, in the corners and beside the photo.
        for (width, height) in [(1003, 805), (640, 1201)] {
            let image = picture(width, height);
            let quarter = halve(&halve(&image));
            for (x, y) in [
                (400.0, 420.0),
                (30.0, 10.0),
                (600.0, 780.0),
                (-500.0, 300.0),
                (300.0, 5000.0),
            ] {
                let points = ARCFACE_TEMPLATE.map(|[u, v]| [x + 4.0 * u - 0.7 * v, y + 0.7 * u + 4.0 * v]);
                let reduced = points.map(|point| point.map(|value| (value - 1.5) / 4.0));
                let crop = |image, points| crop_aligned(image, &Landmarks(points), 0.8, TEMPLATE_CENTER, 96).unwrap();
                let (ours, theirs) = (crop(&image, points), crop(&quarter, reduced));
                let apart = ours.iter().zip(theirs.iter()).map(|(a, b)| a.abs_diff(*b)).max();
                assert!(apart <= Some(1), "{width}x{height} at {x}, {y}: {apart:?}");
            }
        }
    }
}
