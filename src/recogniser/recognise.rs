//! A face recognition network with its weights: from aligned crops to embeddings.

use super::config::{ChannelOrder, RecogniserConfig, SIDE};
use super::mobile::Mobile;
use super::residual::Residual;
use super::{file, licence};
use crate::convolution::{Buffers, Size};
use crate::error::{Error, Result};
use crate::face::crop::ARCFACE_TEMPLATE;
use crate::face::warp::{template_similarity, warp};
use crate::face_embedding::{EmbeddingForm, FaceArchitecture, FaceEmbedding, FaceNetwork};
use crate::limits::Limits;
use crate::photo::Landmarks;
use crate::tensor_file::{Checkpoint, Source};
use candle_core::{DType, Device};
use image::RgbImage;
use omniid_kernels::layers::{TensorSpec, Weights};
use std::sync::{Arc, Mutex, PoisonError};

/// Pictures that go through the network together.
const BATCH: usize = 4;

/// A face recognition network. Immutable; may be used from any number of threads at once. Clones share the weights.
///
/// It runs on the processor, in f32.
#[derive(Debug, Clone)]
pub struct FaceRecogniser {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    network: FaceNetwork,
    config: RecogniserConfig,
    layers: Layers,
    /// Working memory that no call uses just now.
    buffers: Mutex<Vec<Buffers>>,
}

#[derive(Debug)]
enum Layers {
    Residual(Residual),
    Mobile(Mobile),
}

impl Layers {
    fn build(config: &RecogniserConfig, weights: &Weights) -> Result<Self> {
        Ok(match config.architecture {
            FaceArchitecture::SFace => Self::Mobile(Mobile::build(config, weights)?),
            _ => Self::Residual(Residual::build(config, weights)?),
        })
    }

    fn forward(&self, buffers: &mut Buffers, size: Size) -> Result<Vec<Vec<f32>>> {
        match self {
            Self::Residual(layers) => layers.forward(buffers, size),
            Self::Mobile(layers) => layers.forward(buffers, size),
        }
    }
}

impl FaceRecogniser {
    /// Opens a file. The content decides which of these it is:
    /// - an IResNet of insightface as ONNX (`w600k_r50.onnx`, `glintr100.onnx`, AuraFace's `glintr100.onnx`) or under
    ///   the names of its training code (`backbone.pth`, or safetensors);
    /// - SFace of OpenCV as ONNX (`face_recognition_sface_2021dec.onnx`);
    /// - IR-SE50 of facexlib (`recognition_arcface_ir_se50.pth`, or safetensors);
    /// - a native checkpoint with a face recogniser in it.
    ///
    /// What the authors of the weights state about their use is written to the log; see [`FaceNetwork::licence`].
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io); [`Format`](crate::ErrorKind::Format) for damaged files and other networks, naming the
    /// first tensor or node that does not fit; [`LimitExceeded`](crate::ErrorKind::LimitExceeded) above 2 GiB or with a
    /// header beyond `limits`.
    pub fn open(source: impl Into<Source>, limits: &Limits) -> Result<Self> {
        let (config, weights) = Self::read(source, limits)?;
        Self::from_file(&config, &weights)
    }

    /// The network of a file, and its weights under the names that [`FaceRecogniser::load`] takes.
    pub(crate) fn read(source: impl Into<Source>, limits: &Limits) -> Result<(RecogniserConfig, Checkpoint)> {
        file::read(&source.into(), limits)
    }

    /// A recogniser from its own tensors: nothing else may be among them.
    pub(crate) fn from_file(config: &RecogniserConfig, weights: &Checkpoint) -> Result<Self> {
        weights.build(DType::F32, &Device::Cpu, |weights| Self::load(config, weights))
    }

    /// Takes the weights that `config` describes, with batch normalisations folded.
    ///
    /// # Errors
    /// [`Format`](crate::ErrorKind::Format) for a missing tensor or a wrong shape, and sizes that no network has.
    pub fn load<'a>(config: &RecogniserConfig, weights: impl Into<Weights<'a>>) -> Result<Self> {
        let weights = weights.into().to_dtype(DType::F32);
        let layers = Layers::build(config, &weights).map_err(|error| error.context("face recogniser"))?;
        let network = FaceNetwork {
            architecture: config.architecture,
            name: config.name.clone(),
            dimension: config.dimension,
            fingerprint: config.fingerprint.clone(),
            licence: match config.licence.as_str() {
                "" => licence::UNKNOWN.to_string(),
                licence => licence.to_string(),
            },
        };
        Ok(Self {
            inner: Arc::new(Inner {
                network,
                config: config.clone(),
                layers,
                buffers: Mutex::default(),
            }),
        })
    }

    /// Every tensor of the network that `config` describes.
    ///
    /// # Errors
    /// [`Format`](crate::ErrorKind::Format) for sizes that no network has.
    pub fn tensors(config: &RecogniserConfig) -> Result<Vec<TensorSpec>> {
        Weights::list(|weights| Self::load(config, weights))
    }

    /// Which network it is.
    pub fn network(&self) -> &FaceNetwork {
        &self.inner.network
    }

    /// What a native checkpoint says about it.
    pub fn config(&self) -> &RecogniserConfig {
        &self.inner.config
    }

    /// Side of the crops that [`FaceRecogniser::embed`] takes, in pixels: 112.
    pub fn size(&self) -> u32 {
        SIDE as u32
    }

    /// Cuts the face with these landmarks out of a photo, as the network wants it: 112 × 112 pixels, the landmarks on
    /// ArcFace's template, black beyond the photo (`norm_crop` of insightface, `alignCrop` of OpenCV).
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) when the landmarks do not determine where the face is.
    pub fn crop(&self, photo: &RgbImage, landmarks: &Landmarks) -> Result<RgbImage> {
        let place = template_similarity(landmarks, &ARCFACE_TEMPLATE)?;
        Ok(warp(photo, &place, self.size(), [0; 3]))
    }

    /// The raw embeddings of aligned crops, one for each.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a crop of another size;
    /// [`Format`](crate::ErrorKind::Format) when an embedding is not finite or zero, because the weights are damaged.
    pub fn embed(&self, crops: &[RgbImage]) -> Result<Vec<FaceEmbedding>> {
        let side = self.size();
        if let Some(wrong) = crops.iter().find(|crop| crop.dimensions() != (side, side)) {
            return Err(Error::invalid(format!(
                "a crop of {} x {} pixels, expected {side} x {side}",
                wrong.width(),
                wrong.height()
            )));
        }
        let tag = self.network().to_string();
        let mut buffers = self.lock().pop().unwrap_or_default();
        let mut embeddings = Vec::with_capacity(crops.len());
        for crops in crops.chunks(BATCH) {
            self.fill(crops, buffers.picture.take(crops.len() * SIDE * SIDE * 3));
            let rows = self.inner.layers.forward(&mut buffers, [crops.len(), SIDE, SIDE])?;
            for values in rows {
                let embedding = FaceEmbedding::new(tag.clone(), EmbeddingForm::Raw, values);
                embeddings.push(
                    embedding.map_err(|error| {
                        Error::format(format!("{tag}: its weights are damaged: {}", error.message()))
                    })?,
                );
            }
        }
        self.lock().push(buffers);
        Ok(embeddings)
    }

    /// The pixels as the network reads them: `[batch, height, width, 3]`.
    fn fill(&self, crops: &[RgbImage], input: &mut [f32]) {
        let config = &self.inner.config;
        let values = crops.iter().flat_map(|crop| crop.as_raw().chunks_exact(3));
        for (to, pixel) in input.chunks_exact_mut(3).zip(values) {
            for (channel, to) in to.iter_mut().enumerate() {
                let value = match config.channel_order {
                    ChannelOrder::Rgb => pixel[channel],
                    ChannelOrder::Bgr => pixel[2 - channel],
                };
                *to = f32::from(value) * config.pixel_scale + config.pixel_shift;
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Buffers>> {
        // Buffers have no meaning between calls.
        self.inner.buffers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
