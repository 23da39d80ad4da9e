//! Faces compared by their histograms of oriented gradients, in the directions that a checkpoint brings.
//!
//! A second descriptor beside the identity, for the plain question whether two photos show one person. It sees edges
//! and where they run, knows nothing of tokens, and nothing can be drawn from it.

use super::Engine;
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::face::hog::{self, CROP, SIDE, VALUES};
use crate::face::{prepare, CropOptions};
use crate::identity::similarity::SimilaritySpace;
use crate::photo::Photo;
use crate::remedy;
use candle_core::{DType, Device};
use image::RgbImage;

const MEAN: &str = "mean";
const PROJECTION: &str = "projection";

/// The space of a checkpoint's part `histograms`: `mean` `[1764]` and `projection` `[directions, 1764]`. The part is no
/// part of the fingerprint: identities do not depend on it.
pub(super) fn histogram_space(part: &Checkpoint) -> Result<SimilaritySpace> {
    if let Some(name) = part.names().find(|name| ![MEAN, PROJECTION].contains(name)) {
        return Err(Error::format(format!("unexpected tensor histograms.{name}")));
    }
    let directions = match (part.shape(MEAN), part.shape(PROJECTION)) {
        (Some([VALUES]), Some([directions, VALUES])) if (1..=VALUES).contains(directions) => *directions,
        (mean, projection) => {
            return Err(Error::format(format!(
            "tensors histograms.{MEAN} and histograms.{PROJECTION} have shapes {mean:?} and {projection:?}, expected \
                 [{VALUES}] and [directions, {VALUES}] with 1 to {VALUES} directions"
        )))
        }
    };
    let read = |name| -> Result<Vec<f32>> {
        let tensor = part.read_weights(name, DType::F32, &Device::Cpu, false)?;
        Ok(tensor.flatten_all()?.to_vec1::<f32>()?)
    };
    SimilaritySpace::new(Some(read(MEAN)?), directions, read(PROJECTION)?)
        .map_err(|error| error.context("tensors histograms.*"))
}

impl Engine {
    /// A unit vector of the face in a photo, by its histograms of oriented gradients
    /// ([`face_histograms`](crate::face::hog::face_histograms)) in the checkpoint's directions: `[directions]`. The dot
    /// product of two such vectors says how alike two faces are, −1 to 1: about 0 for strangers. Portraits from the front
    /// are told apart better than by [`Engine::similarity`] of identities of one photo each, faces that turn less well.
    ///
    /// Of several faces the largest counts, unless the photo says which. Vectors of one checkpoint belong together.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a checkpoint without such directions,
    /// [`ErrorKind::NoFace`](crate::ErrorKind::NoFace) for a photo without a face; those of [`prepare`].
    pub fn histogram_vector<'p>(&self, photo: impl Into<Photo<'p>>) -> Result<Vec<f32>> {
        self.histograms()?;
        let detector = self.detector().ok();
        let options = CropOptions::new(CROP, SIDE);
        let (crop, _) = prepare(&photo.into(), &options, detector.as_ref(), &self.inner.limits)?;
        self.histogram_vector_of_crop(&crop)
    }

    /// [`Engine::histogram_vector`] of a face that is cut out already, with the crop [`CROP`].
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a checkpoint without directions,
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for a crop that is not square.
    pub fn histogram_vector_of_crop(&self, crop: &RgbImage) -> Result<Vec<f32>> {
        self.histograms()?.embed_values(&hog::face_histograms(crop)?)
    }

    /// Directions of [`Engine::histogram_vector`]; 0 if the checkpoint has none.
    pub fn histogram_directions(&self) -> usize {
        let space = self.inner.histogram_space.as_ref();
        space.map_or(0, SimilaritySpace::directions)
    }

    fn histograms(&self) -> Result<&SimilaritySpace> {
        self.inner.histogram_space.as_ref().ok_or_else(|| {
            Error::unsupported("comparing faces by orientation histograms: the checkpoint has no histograms.projection")
                .with_remedy(remedy::HISTOGRAMS)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::safetensors_to_bytes;
    use crate::engine::{untrained_tensors, EngineOptions, NativeConfig, Source};
    use crate::face::crop::ARCFACE_TEMPLATE;
    use crate::photo::{FaceHint, Landmarks, PixelBuffer};
    use crate::{ErrorKind, Result};
    use candle_core::Tensor;

    /// A model as small as they come, and parts beside it.
    fn open(more: &[(&str, Tensor)]) -> Result<Engine> {
        let text = r#"{"backbone": {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2,
            "num_attention_heads": 1, "image_size": 8, "patch_size": 4, "hidden_act": "gelu"},
            "encoder": {"kind": "omni_id", "queries": 2, "width": 8, "depth": 1, "heads": 1, "head_width": 8,
            "feed_forward_multiplier": 1, "feature_width": 8, "feature_tokens": 5, "token_width": 4,
            "key_position": true, "include_class_token": true}}"#;
        let metadata = [("omniid.format", "1"), ("omniid.config", text)];
        let metadata = metadata.map(|(key, value)| (key.to_string(), value.to_string())).into();
        let mut tensors = untrained_tensors(&NativeConfig::from_metadata(&metadata)?, 1)?;
        tensors.extend(more.iter().map(|(name, tensor)| (name.to_string(), tensor.clone())));
        Engine::open(EngineOptions::new(Source::from(safetensors_to_bytes(
            &tensors, &metadata,
        )?)))
    }

    fn waves(count: usize, step: f32) -> Vec<f32> {
        (0..count).map(|place| (place as f32 * step).sin()).collect()
    }

    fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
        Tensor::from_slice(values, shape, &Device::Cpu).unwrap()
    }

    /// A picture with the ArcFace template's points at twice the size.
    fn picture() -> (RgbImage, Landmarks) {
        let image = RgbImage::from_fn(224, 224, |x, y| {
            image::Rgb([(127.5 + 120.0 * ((x * 2 + y) as f32 / 9.0).sin() * (y as f32 / 13.0).cos()) as u8; 3])
        });
        (
            image,
            Landmarks(ARCFACE_TEMPLATE.map(|point| point.map(|place| 2.0 * place))),
        )
    }

    #[test]
    fn vectors_are_histograms_in_the_directions() {
        let (mean, projection) = (waves(VALUES, 0.7), waves(3 * VALUES, 1.3));
        let parts = [
            ("histograms.mean", tensor(&mean, &[VALUES])),
            ("histograms.projection", tensor(&projection, &[3, VALUES])),
        ];
        let (plain, engine) = (open(&[]).unwrap(), open(&parts).unwrap());
        assert_eq!((plain.histogram_directions(), engine.histogram_directions()), (0, 3));
        assert_eq!(plain.info().fingerprint, engine.info().fingerprint);

        let (image, points) = picture();
        let pixels = PixelBuffer::new(image.as_raw().as_slice(), 224, 224, 0, crate::photo::ChannelOrder::Rgb).unwrap();
        let photo = Photo::from_pixels(pixels).with_face(FaceHint::Landmarks(points));
        let crop = crate::face::crop::crop_aligned(&image, &points, 0.98, [56.0, 62.0], SIDE).unwrap();
        let both = [hog::hog(&crop), hog::hog(&image::imageops::flip_horizontal(&crop))];
        let values: Vec<f32> = both[0].iter().zip(&both[1]).map(|(a, b)| (a + b) / 2.0).collect();
        let project = |direction: &[f32]| -> f64 {
            let each = direction.iter().zip(values.iter().zip(&mean));
            each.map(|(d, (v, m))| f64::from(*d) * f64::from(v - m)).sum()
        };
        let expected: Vec<f64> = projection.chunks(VALUES).map(project).collect();
        let length = expected.iter().map(|value| value * value).sum::<f64>().sqrt();
        for (found, expected) in engine.histogram_vector(photo.clone()).unwrap().iter().zip(&expected) {
            assert!((f64::from(*found) - expected / length).abs() < 1e-5);
        }
        let error = plain.histogram_vector(photo).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().contains("fit-histograms"), "{error}");
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        let (mean, projection) = (waves(VALUES, 0.7), waves(3 * VALUES, 1.3));
        let whole = tensor(&projection, &[3, VALUES]);
        let mean = tensor(&mean, &[VALUES]);
        let mut broken = projection.clone();
        broken[5] = f32::NAN;
        let wrong = [
            (vec![("histograms.mean", mean.clone())], "shapes"),
            (vec![("histograms.projection", whole.clone())], "shapes"),
            (
                vec![
                    ("histograms.mean", mean.clone()),
                    ("histograms.projection", tensor(&projection, &[VALUES, 3])),
                ],
                "expected [1764]",
            ),
            (
                vec![
                    ("histograms.mean", mean.clone()),
                    ("histograms.projection", tensor(&broken, &[3, VALUES])),
                ],
                "NaN",
            ),
            (
                vec![
                    ("histograms.mean", mean),
                    ("histograms.projection", whole.clone()),
                    ("histograms.more", whole),
                ],
                "histograms.more",
            ),
        ];
        for (parts, named) in wrong {
            let error = open(&parts).expect_err(named);
            assert_eq!(error.kind(), ErrorKind::Format);
            assert!(error.message().contains(named), "{error}");
        }
    }
}
