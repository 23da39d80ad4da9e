//! A face parsing network with its weights: from an aligned face to a label per pixel.

use super::bisenet::BiSeNet;
use super::config::{ParserConfig, CLASSES};
use super::file;
use crate::error::{Error, Result};
use crate::face::warp::{robust_similarity, warp, warp_into};
use crate::limits::Limits;
use crate::photo::{FaceMask, Landmarks};
use crate::tensor_file::{Checkpoint, Source};
use candle_core::{DType, Device};
use image::RgbImage;
use omniid_kernels::layers::{TensorSpec, Weights};
use omniid_kernels::ThreadPool;
use std::sync::Arc;

/// Side of the picture that the network was trained on, in pixels.
const SIDE: u32 = 512;

/// Longest side of a picture that is parsed.
const MOST_PIXELS: u32 = 2048;

/// What both sides must be a multiple of.
const STEP: u32 = 32;

/// ImageNet's mean and standard deviation.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

/// Where the landmarks of an aligned face lie in the picture of 512 × 512 pixels (facexlib `face_restoration_helper.py`,
/// for faces as in FFHQ).
const TEMPLATE: [[f32; 2]; 5] = [
    [192.98138, 239.94708],
    [318.90277, 240.1936],
    [256.63416, 314.01935],
    [201.26117, 371.41043],
    [313.08905, 371.15118],
];

/// The grey that facexlib puts beyond the photo's border, as red, green, blue.
const OUTSIDE: [u8; 3] = [132, 133, 135];

/// A label per pixel, row by row.
///
/// The labels are those of CelebAMask-HQ: 0 background, 1 skin, 2 and 3 left and right eyebrow, 4 and 5 left and right eye,
/// 6 glasses, 7 and 8 left and right ear, 9 earring, 10 nose, 11 mouth, 12 and 13 upper and lower lip, 14 neck,
/// 15 necklace, 16 clothes, 17 hair, 18 hat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelMap {
    width: u32,
    height: u32,
    labels: Vec<u8>,
}

impl LabelMap {
    /// Labels that somebody else found: `[height, width]`.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for another number of labels, and a label above 18.
    pub fn new(width: u32, height: u32, labels: Vec<u8>) -> Result<Self> {
        if labels.len() as u64 != u64::from(width) * u64::from(height) {
            return Err(Error::invalid(format!(
                "{} labels for {width} x {height} pixels",
                labels.len()
            )));
        }
        if let Some(wrong) = labels.iter().find(|&&label| usize::from(label) >= CLASSES) {
            return Err(Error::invalid(format!("a label of {wrong}, expected 0 to 18")));
        }
        Ok(Self { width, height, labels })
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The labels: `[height, width]`.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }
}

/// The face parsing network BiSeNet. Immutable; may be used from any number of threads at once. Clones share the weights.
///
/// It runs on the processor, in f32.
#[derive(Debug, Clone)]
pub struct FaceParser {
    network: Arc<BiSeNet>,
    config: ParserConfig,
}

/// [`FaceParser::crop`], which needs no network.
///
/// # Errors
/// As [`FaceParser::crop`].
pub(crate) fn align(photo: &RgbImage, landmarks: &Landmarks) -> Result<RgbImage> {
    let place = robust_similarity(landmarks, &TEMPLATE)?;
    Ok(warp(photo, &place, SIDE, OUTSIDE))
}

/// Which pixels of the aligned face are the face, by a mask of the photo that `landmarks` belong to: row by row. Half of
/// a pixel decides.
///
/// # Errors
/// As [`FaceParser::crop`].
pub(crate) fn align_mask(mask: &FaceMask<'_>, landmarks: &Landmarks) -> Result<Vec<bool>> {
    let place = robust_similarity(landmarks, &TEMPLATE)?;
    let mut aligned = vec![[0u8]; (SIDE * SIDE) as usize];
    warp_into(&mut aligned, SIDE, &place, |x, y| {
        [if mask.is_face(x, y) { 255 } else { 0 }]
    });
    Ok(aligned.into_iter().map(|[value]| value >= 128).collect())
}

impl FaceParser {
    /// Opens a file: facexlib's `parsing_bisenet.pth`, the same as safetensors, the network as ONNX, or a native
    /// checkpoint with a face parser in it.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io); [`Format`](crate::ErrorKind::Format) for damaged files and other networks, naming the
    /// first tensor or node that does not fit; [`LimitExceeded`](crate::ErrorKind::LimitExceeded) above 1 GiB or with a
    /// header beyond `limits`.
    pub fn open(source: impl Into<Source>, limits: &Limits) -> Result<Self> {
        let (config, weights) = Self::read(source, limits)?;
        Self::from_file(&config, &weights)
    }

    /// The network of a file, and its weights under the names that [`FaceParser::load`] takes.
    pub(crate) fn read(source: impl Into<Source>, limits: &Limits) -> Result<(ParserConfig, Checkpoint)> {
        file::read(&source.into(), limits)
    }

    /// A parser from its own tensors: nothing else may be among them.
    pub(crate) fn from_file(config: &ParserConfig, weights: &Checkpoint) -> Result<Self> {
        weights.build(DType::F32, &Device::Cpu, |weights| Self::load(config, weights))
    }

    /// Takes the weights that `config` describes, with batch normalisations folded.
    ///
    /// # Errors
    /// [`Format`](crate::ErrorKind::Format) for a missing tensor or a wrong shape, and sizes that no network has.
    pub fn load<'a>(config: &ParserConfig, weights: impl Into<Weights<'a>>) -> Result<Self> {
        let weights = weights.into().to_dtype(DType::F32);
        let network = BiSeNet::build(config, &weights).map_err(|error| error.context("face parser"))?;
        Ok(Self {
            network: Arc::new(network),
            config: config.clone(),
        })
    }

    /// Every tensor of the network that `config` describes.
    ///
    /// # Errors
    /// [`Format`](crate::ErrorKind::Format) for sizes that no network has.
    pub fn tensors(config: &ParserConfig) -> Result<Vec<TensorSpec>> {
        Weights::list(|weights| Self::load(config, weights))
    }

    /// What a native checkpoint says about it.
    pub fn config(&self) -> &ParserConfig {
        &self.config
    }

    /// Side of the pictures that the network was trained on, in pixels: 512.
    pub fn size(&self) -> u32 {
        SIDE
    }

    /// Cuts the face with these landmarks out of a photo, as the network knows faces: 512 × 512 pixels, the landmarks on
    /// the template for faces as in FFHQ, grey beyond the photo (`align_warp_face` of facexlib). A landmark that lies far
    /// from where the others put it does not count.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) when the landmarks do not determine where the face is.
    pub fn crop(&self, photo: &RgbImage, landmarks: &Landmarks) -> Result<RgbImage> {
        align(photo, landmarks)
    }

    /// The label of each pixel of an aligned face: the one with the greatest score, of equal ones the first.
    ///
    /// # Errors
    /// As [`FaceParser::scores`].
    pub fn parse(&self, face: &RgbImage) -> Result<LabelMap> {
        let (width, height) = face.dimensions();
        let scores = self.scores(face)?;
        let labels = scores.chunks_exact(CLASSES).map(|scores| {
            let first_of_greatest = |best: usize, label: usize| if scores[label] > scores[best] { label } else { best };
            (0..CLASSES).reduce(first_of_greatest).unwrap_or(0) as u8
        });
        LabelMap::new(width, height, labels.collect())
    }

    /// The score of each label at each pixel: f32 `[height, width, 19]`.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a picture whose sides are no multiples of 32, or longer
    /// than 2048 pixels.
    pub fn scores(&self, face: &RgbImage) -> Result<Vec<f32>> {
        let (width, height) = face.dimensions();
        let fits = |side: u32| side > 0 && side <= MOST_PIXELS && side.is_multiple_of(STEP);
        if !fits(width) || !fits(height) {
            return Err(Error::invalid(format!(
                "a face of {width} x {height} pixels, expected {SIDE} x {SIDE} (or sides that are multiples of {STEP}, at \
                 most {MOST_PIXELS})"
            )));
        }
        let table: [[f32; 256]; 3] = std::array::from_fn(|channel| {
            std::array::from_fn(|level| (level as f32 / 255.0 - MEAN[channel]) / STD[channel])
        });
        let values = face.as_raw().iter().enumerate();
        let values = values
            .map(|(index, &level)| table[index % 3][usize::from(level)])
            .collect();
        let (width, height) = (width as usize, height as usize);
        let scores = self.network.forward(values, height, width)?;
        Ok(enlarge(&scores, [height / 8, width / 8], [height, width]))
    }
}

/// Bilinear enlargement whose corners stay in place (PyTorch's `interpolate` with `align_corners`).
fn enlarge(scores: &[f32], [height, width]: [usize; 2], [out_height, out_width]: [usize; 2]) -> Vec<f32> {
    // Below and above, and how far between them.
    let place = |at: usize, side: usize, out: usize| {
        let step = (side - 1) as f32 / (out - 1) as f32;
        let position = step * at as f32;
        let low = (position as usize).min(side - 1);
        (low, (low + 1).min(side - 1), position - low as f32)
    };
    let columns: Vec<_> = (0..out_width).map(|x| place(x, width, out_width)).collect();
    let line = out_width * CLASSES;
    let mut output = vec![0.0; out_height * line];
    ThreadPool::global().fill_parts(&mut output, line, &|y, line| {
        let (top, bottom, down) = place(y, height, out_height);
        let pixel = |y: usize, x: usize| &scores[(y * width + x) * CLASSES..][..CLASSES];
        for (to, &(left, right, across)) in line.chunks_exact_mut(CLASSES).zip(&columns) {
            let [a, b] = [pixel(top, left), pixel(top, right)];
            let [c, d] = [pixel(bottom, left), pixel(bottom, right)];
            for (label, to) in to.iter_mut().enumerate() {
                let above = (1.0 - across) * a[label] + across * b[label];
                let below = (1.0 - across) * c[label] + across * d[label];
                *to = (1.0 - down) * above + down * below;
            }
        }
    });
    output
}
