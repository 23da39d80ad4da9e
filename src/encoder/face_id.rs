//! The projection of IP-Adapter FaceID and FaceID Portrait: a face embedding to a few tokens.

use super::embedding_mlp::{check_embeddings, EmbeddingMlp, EmbeddingSizes};
use super::kind::{Description, FaceInput, GraphInputs, Interface, Network, TokenCount};
use super::{EncodeSettings, Features};
use crate::error::Result;
use crate::onnx::{Graph, Value};
use crate::recogniser::{EmbeddingForm, FaceArchitecture};
use crate::tensor_file::Shapes;
use candle_core::{DType, Tensor};
use omniid_kernels::layers::Weights;
use serde::{Deserialize, Serialize};

/// Sizes of a [`FaceId`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaceIdConfig {
    /// Width of a face embedding; 512 in every published file.
    pub embedding_width: usize,
    /// Width between the two linear layers; twice the embedding's in every published file.
    pub inner_width: usize,
    /// Tokens per photo: 4, or 16 for Portrait.
    pub tokens: usize,
    /// Width of a token: the host's context width.
    pub token_width: usize,
}

impl FaceIdConfig {
    /// The sizes of the published files: embeddings of 512 numbers, inner width 1024.
    pub fn new(tokens: usize, token_width: usize) -> Self {
        Self {
            embedding_width: 512,
            inner_width: 1024,
            tokens,
            token_width,
        }
    }

    fn sizes(&self) -> EmbeddingSizes {
        EmbeddingSizes {
            embedding_width: self.embedding_width,
            inner_width: self.inner_width,
            tokens: self.tokens,
            token_width: self.token_width,
        }
    }
}

/// LayerNorm(reshape(Linear(GELU(Linear(embedding))))) of a face embedding of length 1: IP-Adapter FaceID with 4
/// tokens per photo, FaceID Portrait with 16 (tencent-ailab/IP-Adapter, `ip_adapter_faceid.py`).
///
/// Keys: `proj.0.{weight,bias}`, `proj.2.{weight,bias}`, `norm.{weight,bias}`.
#[derive(Debug)]
pub struct FaceId {
    config: FaceIdConfig,
    projection: EmbeddingMlp,
    dtype: DType,
}

impl Description for FaceId {
    type Config = FaceIdConfig;

    const TITLE: &'static str = "IP-Adapter FaceID";

    const HAS_GRAPH: bool = true;

    fn infer(shapes: &Shapes) -> Result<FaceIdConfig> {
        let sizes = EmbeddingSizes::infer(shapes)?;
        sizes.validate("FaceID")?;
        Ok(FaceIdConfig {
            embedding_width: sizes.embedding_width,
            inner_width: sizes.inner_width,
            tokens: sizes.tokens,
            token_width: sizes.token_width,
        })
    }

    fn interface(config: &FaceIdConfig) -> Interface {
        let face = FaceInput {
            dimension: config.embedding_width,
            form: EmbeddingForm::Normalised,
            network: FaceArchitecture::IResNet { layers: 50 },
        };
        Interface::of_face(face, TokenCount::PerPhoto(config.tokens), config.token_width)
    }

    fn build(config: &FaceIdConfig, weights: &Weights) -> Result<Self> {
        config.sizes().validate("FaceID")?;
        Ok(Self {
            projection: EmbeddingMlp::build(config.sizes(), weights)?,
            dtype: weights.activation_dtype(),
            config: config.clone(),
        })
    }

    fn config(&self) -> &FaceIdConfig {
        &self.config
    }
}

impl Network for FaceId {
    fn encode_photo(&self, photo: &Features, _: &EncodeSettings) -> Result<Tensor> {
        Ok(self.forward(&photo.embedding()?.unsqueeze(0)?)?.squeeze(0)?)
    }

    fn graph(&self, graph: &mut Graph, inputs: &GraphInputs) -> Result<Value> {
        let tokens = self.projection.graph(graph, inputs.embedding()?)?;
        Ok(graph.reshape(&tokens, &[-1, self.config.token_width as i64]))
    }
}

impl FaceId {
    /// Face embeddings of length 1, `[photos, embedding width]`, to `[photos, tokens, token width]`. "No identity" is
    /// the tokens of an embedding of zeros.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when the embeddings have another shape.
    pub fn forward(&self, embeddings: &Tensor) -> Result<Tensor> {
        check_embeddings(embeddings, self.config.embedding_width, "FaceID")?;
        self.projection.forward(&embeddings.to_dtype(self.dtype)?)
    }
}
