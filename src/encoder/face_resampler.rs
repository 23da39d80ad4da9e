//! Resamplers that read face embeddings instead of image features: InstantID and FaceID Portrait (unnorm).

use super::kind::{Description, FaceInput, GraphInputs, Interface, Network, TokenCount};
use super::resampler::{Resampler, ResamplerConfig};
use super::{EncodeSettings, Features};
use crate::error::Result;
use crate::onnx::{Graph, Value};
use crate::recogniser::{EmbeddingForm, FaceArchitecture};
use crate::tensor_file::Shapes;
use candle_core::Tensor;
use omniid_kernels::layers::Weights;

/// Width of the face embeddings of all published networks that such a Resampler was trained with. A Resampler with
/// this input width reads faces: no image encoder has features of it.
const EMBEDDING_WIDTH: usize = 512;

fn reads_faces(shapes: &Shapes) -> bool {
    shapes
        .get("proj_in.weight")
        .is_some_and(|shape| shape.get(1) == Some(&EMBEDDING_WIDTH))
}

/// Raw embeddings of an IResNet with so many layers.
fn raw_of(layers: usize, config: &ResamplerConfig) -> FaceInput {
    FaceInput {
        dimension: config.feature_width,
        form: EmbeddingForm::Raw,
        network: FaceArchitecture::IResNet { layers },
    }
}

/// The Resampler of InstantID (InstantID/InstantID): one raw face embedding as a sequence of one feature token.
///
/// The tokens go to the host's attention layers like those of IP-Adapter Plus, and are also what InstantID's
/// ControlNet reads in place of a text. Several photos: tokens one after the other. Keys are those of a
/// [`Resampler`].
#[derive(Debug)]
pub struct InstantId {
    resampler: Resampler,
}

impl Description for InstantId {
    type Config = ResamplerConfig;

    const TITLE: &'static str = "InstantID";

    const HAS_GRAPH: bool = true;

    fn recognises(shapes: &Shapes) -> bool {
        reads_faces(shapes)
    }

    fn infer(shapes: &Shapes) -> Result<ResamplerConfig> {
        ResamplerConfig::infer(shapes)
    }

    fn interface(config: &ResamplerConfig) -> Interface {
        let face = raw_of(100, config);
        Interface::of_face(face, TokenCount::PerPhoto(config.tokens), config.token_width)
    }

    fn detail(config: &ResamplerConfig) -> Option<(&'static str, String)> {
        Some(config.detail())
    }

    fn build(config: &ResamplerConfig, weights: &Weights) -> Result<Self> {
        let resampler = Resampler::build(config, weights)?;
        Ok(Self { resampler })
    }

    fn config(&self) -> &ResamplerConfig {
        self.resampler.config()
    }
}

impl Network for InstantId {
    fn encode_photo(&self, photo: &Features, _: &EncodeSettings) -> Result<Tensor> {
        Ok(self.forward(&photo.embedding()?.unsqueeze(0)?)?.squeeze(0)?)
    }

    fn graph(&self, graph: &mut Graph, inputs: &GraphInputs) -> Result<Value> {
        let width = self.config().feature_width as i64;
        let each = graph.reshape(inputs.embedding()?, &[-1, 1, width]);
        self.resampler.graph_of(graph, &each)
    }
}

impl InstantId {
    /// Raw face embeddings `[photos, embedding width]` to `[photos, tokens, token width]`. "No identity" is the tokens
    /// of an embedding of zeros.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when the embeddings have another shape.
    pub fn forward(&self, embeddings: &Tensor) -> Result<Tensor> {
        self.resampler.forward(&embeddings.unsqueeze(1)?)
    }
}

/// The Resampler of IP-Adapter FaceID Portrait (unnorm) for SDXL: the raw embeddings of all photos of one person
/// (about five) as one sequence, read together. Keys are those of a [`Resampler`].
#[derive(Debug)]
pub struct FaceIdPortraitUnnorm {
    resampler: Resampler,
}

impl Description for FaceIdPortraitUnnorm {
    type Config = ResamplerConfig;

    const TITLE: &'static str = "IP-Adapter FaceID Portrait (unnorm)";

    const FIXED_SIZE: bool = true;

    const HAS_GRAPH: bool = true;

    fn infer(shapes: &Shapes) -> Result<ResamplerConfig> {
        ResamplerConfig::infer(shapes)
    }

    fn interface(config: &ResamplerConfig) -> Interface {
        let face = raw_of(50, config);
        Interface::of_face(face, TokenCount::PerIdentity(config.tokens), config.token_width)
    }

    fn detail(config: &ResamplerConfig) -> Option<(&'static str, String)> {
        Some(config.detail())
    }

    fn build(config: &ResamplerConfig, weights: &Weights) -> Result<Self> {
        let resampler = Resampler::build(config, weights)?;
        Ok(Self { resampler })
    }

    fn config(&self) -> &ResamplerConfig {
        self.resampler.config()
    }
}

impl Network for FaceIdPortraitUnnorm {
    fn encode_photo(&self, photo: &Features, settings: &EncodeSettings) -> Result<Tensor> {
        self.encode(std::slice::from_ref(photo), settings)
    }

    fn encode(&self, photos: &[Features], _: &EncodeSettings) -> Result<Tensor> {
        let embeddings = photos.iter().map(Features::embedding).collect::<Result<Vec<_>>>()?;
        let sequence = Tensor::stack(&embeddings, 0)?.unsqueeze(0)?;
        Ok(self.forward(&sequence)?.squeeze(0)?)
    }

    fn graph(&self, graph: &mut Graph, inputs: &GraphInputs) -> Result<Value> {
        let width = self.config().feature_width as i64;
        let sequence = graph.reshape(inputs.embedding()?, &[1, -1, width]);
        self.resampler.graph_of(graph, &sequence)
    }
}

impl FaceIdPortraitUnnorm {
    /// Raw face embeddings `[persons, photos, embedding width]` to `[persons, tokens, token width]`. "No identity" is
    /// the tokens of embeddings of zeros.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when the embeddings have another shape.
    pub fn forward(&self, embeddings: &Tensor) -> Result<Tensor> {
        self.resampler.forward(embeddings)
    }
}
