//! The judge of identities: a published face recogniser that took no part in training.
//!
//! MobileFaceNet (Chen, Liu, Gao, Han: "MobileFaceNets", 2018), weights of foamliu/MobileFaceNet. **For evaluation
//! only**: its embeddings are no training signal, and its weights are not shipped. The recipe of input and embedding is
//! that of the published weights.

mod network;

use crate::data::CropTemplate;
use candle_core::{DType, Device};
use image::{imageops, RgbImage};
use network::Network;
use omniid::checkpoint::Checkpoint;
use omniid::face::crop::Similarity;
use omniid::photo::ImageProcessor;
use omniid::Limits;
use omniid::{Error, Result};
use std::path::Path;

/// Side of the aligned face that the network sees.
const SIDE: u32 = 112;

/// Numbers of an embedding.
pub const EMBEDDING: usize = 128;

/// Faces that pass the network together, each with its mirror image.
const BATCH: usize = 8;

/// A direction on the unit sphere; two are compared by their scalar product.
pub type Embedding = [f32; EMBEDDING];

/// MobileFaceNet on the CPU. Immutable; may be used from any number of threads at once.
pub struct Verifier {
    network: Network,
}

impl Verifier {
    /// Reads the weights: 102 f32 tensors with batch normalisation folded.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](omniid::ErrorKind::Io) and [`ErrorKind::Format`](omniid::ErrorKind::Format), also for files
    /// that hold something else.
    pub fn open(path: &Path) -> Result<Self> {
        let checkpoint = Checkpoint::open(path, &Limits::default())?;
        let (builder, usage) = checkpoint.var_builder(DType::F32, &Device::Cpu);
        let network = Network::load(builder).map_err(|error| error.context(path.display()))?;
        usage.expect_all_used().map_err(|error| error.context(path.display()))?;
        Ok(Self { network })
    }

    /// Embeddings of faces that lie on the ArcFace template, 112 × 112 pixels: the sum of the network's outputs for the
    /// face and its mirror image, normalised.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](omniid::ErrorKind::Mismatch) for pictures of another size.
    pub fn embed_aligned(&self, faces: &[RgbImage]) -> Result<Vec<Embedding>> {
        let mut embeddings = Vec::with_capacity(faces.len());
        for faces in faces.chunks(BATCH) {
            let raw = self.raw(faces)?;
            let mirrored: Vec<RgbImage> = faces.iter().map(imageops::flip_horizontal).collect();
            for (a, b) in raw.iter().zip(self.raw(&mirrored)?) {
                embeddings.push(unit(std::array::from_fn(|i| a[i] + b[i])));
            }
        }
        Ok(embeddings)
    }

    /// As [`Verifier::embed_aligned`], for square crops cut by `template`, of any size.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](omniid::ErrorKind::InvalidArgument) for pictures without pixels.
    pub fn embed_crops(&self, crops: &[&RgbImage], template: &CropTemplate) -> Result<Vec<Embedding>> {
        let mut embeddings = Vec::with_capacity(crops.len());
        for crops in crops.chunks(BATCH) {
            let faces = crops
                .iter()
                .map(|crop| to_template(crop, template))
                .collect::<Result<Vec<_>>>()?;
            embeddings.extend(self.embed_aligned(&faces)?);
        }
        Ok(embeddings)
    }

    /// The network's outputs, not normalised.
    fn raw(&self, faces: &[RgbImage]) -> Result<Vec<Embedding>> {
        if let Some(face) = faces.iter().find(|face| face.dimensions() != (SIDE, SIDE)) {
            return Err(Error::mismatch(format!(
                "verifier: a face of {}x{} pixels, expected {SIDE}x{SIDE}",
                face.width(),
                face.height()
            )));
        }
        let normalise = ImageProcessor {
            size: SIDE,
            ..ImageProcessor::imagenet(SIDE)
        };
        let planes = faces.iter().map(|face| normalise.normalise(face)).collect::<Vec<_>>();
        self.network.forward(&planes, SIDE as usize)
    }
}

/// Cosine of two embeddings.
pub fn cosine(a: &Embedding, b: &Embedding) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

fn unit(vector: Embedding) -> Embedding {
    let norm = vector.iter().map(|value| value * value).sum::<f32>().sqrt().max(1e-12);
    vector.map(|value| value / norm)
}

/// Moves a crop onto the template, bilinear; beyond the crop its border is repeated.
fn to_template(crop: &RgbImage, template: &CropTemplate) -> Result<RgbImage> {
    if crop.width() == 0 || crop.width() != crop.height() {
        return Err(Error::invalid(format!(
            "verifier: a crop of {}x{} pixels, expected a square",
            crop.width(),
            crop.height()
        )));
    }
    // A crop much larger than the template is halved first, so that no pixel is skipped.
    let mut side = crop.width();
    let mut source = std::borrow::Cow::Borrowed(crop);
    while template.placement(side).scale() > 2.0 {
        side /= 2;
        source = std::borrow::Cow::Owned(omniid::photo::resample::resize(
            &source,
            side,
            side,
            omniid::photo::resample::Filter::Bilinear,
        ));
    }
    let to_crop = template.placement(side);
    Ok(RgbImage::from_fn(SIDE, SIDE, |x, y| bilinear(&source, &to_crop, x, y)))
}

fn bilinear(image: &RgbImage, transform: &Similarity, x: u32, y: u32) -> image::Rgb<u8> {
    let [x, y] = transform.apply([f64::from(x), f64::from(y)]);
    let last = f64::from(image.width() - 1);
    let (x, y) = (x.clamp(0.0, last), y.clamp(0.0, last));
    let (left, top) = (x.floor() as u32, y.floor() as u32);
    let (right, bottom) = ((left + 1).min(image.width() - 1), (top + 1).min(image.width() - 1));
    let (fx, fy) = (x - f64::from(left), y - f64::from(top));
    let at = |x, y, channel: usize| f64::from(image.get_pixel(x, y)[channel]);
    image::Rgb(std::array::from_fn(|channel| {
        let upper = at(left, top, channel) * (1.0 - fx) + at(right, top, channel) * fx;
        let lower = at(left, bottom, channel) * (1.0 - fx) + at(right, bottom, channel) * fx;
        (upper * (1.0 - fy) + lower * fy).round() as u8
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use omniid_test_support::assets;

    #[test]
    fn equals_onnx_runtime_on_a_rendered_face() {
        let Some(folder) = assets("eval/mobilefacenet.safetensors") else {
            return;
        };
        let folder = folder.join("eval");
        let verifier = Verifier::open(&folder.join("mobilefacenet.safetensors")).unwrap();
        let face = image::open(folder.join("test/aligned_112.png")).unwrap().to_rgb8();
        let text = std::fs::read_to_string(folder.join("test/expected.json")).unwrap();
        let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
        let numbers = |name: &str| -> Vec<f32> {
            let list = expected[name].as_array().unwrap();
            list.iter().map(|value| value.as_f64().unwrap() as f32).collect()
        };
        let mirrored = imageops::flip_horizontal(&face);
        let found = verifier.raw(&[face.clone(), mirrored]).unwrap();
        for (found, name) in found.iter().zip(["embedding", "embedding_of_flipped_image"]) {
            let expected = numbers(name);
            assert_eq!(expected.len(), EMBEDDING);
            let worst = found
                .iter()
                .zip(&expected)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max);
            assert!(worst <= 1e-4, "{name}: {worst}");
        }
        let embedding = &verifier.embed_aligned(std::slice::from_ref(&face)).unwrap()[0];
        assert!((cosine(embedding, embedding) - 1.0).abs() < 1e-5);
        assert!(verifier.embed_aligned(&[RgbImage::new(111, 112)]).is_err());
    }

    #[test]
    fn a_crop_on_the_template_itself_is_not_moved() {
        let face = RgbImage::from_fn(SIDE, SIDE, |x, y| image::Rgb([x as u8, y as u8, (x ^ y) as u8]));
        let template = CropTemplate {
            scale: 1.0,
            center: [56.0, 56.0],
        };
        assert_eq!(to_template(&face, &template).unwrap(), face);
        // On a ramp, bilinear sampling is exact: the pixel shows the coordinate it came from.
        let template = CropTemplate::default();
        let ramp = RgbImage::from_fn(96, 96, |x, y| image::Rgb([2 * x as u8, 2 * y as u8, 0]));
        let moved = to_template(&ramp, &template).unwrap();
        for (x, y) in [(20, 30), (56, 62), (90, 100)] {
            let expected = [
                (f64::from(x) - 56.0) * 0.98 / 112.0 * 96.0 + 48.0,
                (f64::from(y) - 62.0) * 0.98 / 112.0 * 96.0 + 48.0,
            ];
            let pixel = moved.get_pixel(x, y);
            for axis in 0..2 {
                assert!(
                    (f64::from(pixel[axis]) - 2.0 * expected[axis]).abs() <= 0.51,
                    "{x} {y} {pixel:?}"
                );
            }
        }
    }
}
