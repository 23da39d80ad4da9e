//! The projection of IP-Adapter FaceID-Plus and FaceID-PlusV2: a face embedding that looks at the photo's features.

use super::check::{check_features, check_sizes};
use super::embedding_mlp::{check_embeddings, EmbeddingMlp, EmbeddingSizes};
use super::kind::{Description, EncoderInput, FaceInput, GraphInputs, Interface, Network, TokenCount};
use super::perceiver::{Perceiver, PerceiverSizes};
use super::{EncodeSettings, Features};
use crate::error::{Error, Result};
use crate::onnx::{Graph, Value};
use crate::recogniser::{EmbeddingForm, FaceArchitecture};
use crate::tensor_file::Shapes;
use candle_core::{DType, Tensor};
use omniid_kernels::layers::Weights;
use serde::{Deserialize, Serialize};

/// Sizes of a [`FaceIdPlus`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaceIdPlusConfig {
    /// Width of a face embedding; 512 in every published file.
    pub embedding_width: usize,
    /// Width between the two linear layers of the embedding's projection.
    pub projection_width: usize,
    /// Width of a feature token of the image encoder.
    pub feature_width: usize,
    /// Number of attention layers.
    pub depth: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of a head; 64 in every published file.
    pub head_width: usize,
    /// Width inside the feed-forward part.
    pub inner_width: usize,
    /// Tokens per photo: 4, or 6 for Kolors.
    pub tokens: usize,
    /// Width of a token: the host's context width.
    pub token_width: usize,
    /// Whether the tokens of the embedding are added at the end: PlusV2. Both versions have the same tensors.
    pub shortcut: bool,
}

impl FaceIdPlusConfig {
    /// The sizes of the published files: 4 tokens, heads of 64 as wide as the context, depth 4, features of ViT-H.
    pub fn new(token_width: usize, shortcut: bool) -> Self {
        Self {
            embedding_width: 512,
            projection_width: 1024,
            feature_width: 1280,
            depth: 4,
            heads: token_width / 64,
            head_width: 64,
            inner_width: 4 * token_width,
            tokens: 4,
            token_width,
            shortcut,
        }
    }

    fn projection(&self) -> EmbeddingSizes {
        EmbeddingSizes {
            embedding_width: self.embedding_width,
            inner_width: self.projection_width,
            tokens: self.tokens,
            token_width: self.token_width,
        }
    }

    fn perceiver(&self) -> PerceiverSizes {
        PerceiverSizes {
            feature_width: self.feature_width,
            width: self.token_width,
            depth: self.depth,
            heads: self.heads,
            head_width: self.head_width,
            inner_width: self.inner_width,
            token_width: self.token_width,
        }
    }

    fn validate(&self) -> Result<()> {
        self.projection().validate("FaceID-Plus")?;
        check_sizes(
            "FaceID-Plus",
            &[
                ("feature_width", self.feature_width),
                ("depth", self.depth),
                ("heads", self.heads),
                ("head_width", self.head_width),
                ("inner_width", self.inner_width),
            ],
        )
    }
}

/// The tokens x of a face embedding of length 1, as [`FaceId`](super::FaceId) makes them, become the queries r that
/// read the image features of the same, aligned face (tencent-ailab/IP-Adapter, `ip_adapter_faceid.py`).
///
/// FaceID-Plus gives r. FaceID-PlusV2 gives x + s·r, where s ("s_scale", the "shortcut scale", ComfyUI's
/// `weight_faceidv2`) weighs the structure of the face against its identity.
///
/// Keys: `proj.{0,2}`, `norm`, and `perceiver_resampler.` with the keys of a Resampler without `latents`.
#[derive(Debug)]
pub struct FaceIdPlus {
    config: FaceIdPlusConfig,
    projection: EmbeddingMlp,
    perceiver: Perceiver,
    dtype: DType,
}

impl Description for FaceIdPlus {
    type Config = FaceIdPlusConfig;

    const TITLE: &'static str = "IP-Adapter FaceID-Plus";

    const HAS_GRAPH: bool = true;

    /// Shapes do not tell the two versions apart. PlusV2 is the one in use, and the only one for SDXL.
    fn infer(shapes: &Shapes) -> Result<FaceIdPlusConfig> {
        let projection = EmbeddingSizes::infer(shapes)?;
        let perceiver = PerceiverSizes::infer(&shapes.sub("perceiver_resampler"))?;
        if [perceiver.width, perceiver.token_width] != [projection.token_width; 2] {
            return Err(Error::format(format!(
                "the perceiver of a FaceID-Plus is {} wide and makes tokens of width {}; {} is {} wide, and all three \
                 must be equal",
                perceiver.width,
                perceiver.token_width,
                shapes.quoted("norm.weight"),
                projection.token_width
            )));
        }
        let config = FaceIdPlusConfig {
            embedding_width: projection.embedding_width,
            projection_width: projection.inner_width,
            feature_width: perceiver.feature_width,
            depth: perceiver.depth,
            heads: perceiver.heads,
            head_width: perceiver.head_width,
            inner_width: perceiver.inner_width,
            tokens: projection.tokens,
            token_width: projection.token_width,
            shortcut: true,
        };
        config.validate()?;
        Ok(config)
    }

    fn interface(config: &FaceIdPlusConfig) -> Interface {
        let tokens = TokenCount::PerPhoto(config.tokens);
        Interface {
            face: Some(FaceInput {
                dimension: config.embedding_width,
                form: EmbeddingForm::Normalised,
                network: FaceArchitecture::IResNet { layers: 50 },
            }),
            shortcut: config.shortcut,
            ..Interface::of_image(
                EncoderInput::Penultimate,
                config.feature_width,
                tokens,
                config.token_width,
            )
        }
    }

    fn detail(config: &FaceIdPlusConfig) -> Option<(&'static str, String)> {
        let FaceIdPlusConfig { heads, depth, .. } = config;
        let shortcut = match config.shortcut {
            true => "with shortcut",
            false => "no shortcut",
        };
        Some(("perceiver", format!("{heads} heads, depth {depth}, {shortcut}")))
    }

    fn build(config: &FaceIdPlusConfig, weights: &Weights) -> Result<Self> {
        config.validate()?;
        Ok(Self {
            projection: EmbeddingMlp::build(config.projection(), weights)?,
            perceiver: Perceiver::build(config.perceiver(), &weights.pp("perceiver_resampler"))?,
            dtype: weights.activation_dtype(),
            config: config.clone(),
        })
    }

    fn config(&self) -> &FaceIdPlusConfig {
        &self.config
    }
}

impl Network for FaceIdPlus {
    fn encode_photo(&self, photo: &Features, settings: &EncodeSettings) -> Result<Tensor> {
        let (embedding, features) = (photo.embedding()?.unsqueeze(0)?, photo.image()?.unsqueeze(0)?);
        Ok(self
            .forward(&embedding, &features, settings.shortcut_scale)?
            .squeeze(0)?)
    }

    /// The shortcut scale is 1.
    fn graph(&self, graph: &mut Graph, inputs: &GraphInputs) -> Result<Value> {
        let identity = self.projection.graph(graph, inputs.embedding()?)?;
        let mut tokens = self.perceiver.graph(graph, identity.clone(), inputs.image()?)?;
        if self.config.shortcut {
            tokens = graph.add(&identity, &tokens);
        }
        Ok(graph.reshape(&tokens, &[-1, self.config.token_width as i64]))
    }
}

impl FaceIdPlus {
    /// Face embeddings of length 1, `[photos, embedding width]`, and hidden states −2 of the same faces,
    /// `[photos, feature tokens, feature width]`, to `[photos, tokens, token width]`. `shortcut_scale` is s of the
    /// version 2; the version 1 has none and does not read it.
    ///
    /// "No identity" is an embedding of zeros with the features of a picture of zeros after normalisation.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when embeddings or features have another shape, or are not
    /// equally many.
    pub fn forward(&self, embeddings: &Tensor, features: &Tensor, shortcut_scale: f32) -> Result<Tensor> {
        check_embeddings(embeddings, self.config.embedding_width, "FaceID-Plus")?;
        check_features(features, self.config.feature_width, "FaceID-Plus")?;
        if embeddings.dim(0)? != features.dim(0)? {
            return Err(Error::mismatch(format!(
                "{} face embeddings and the features of {} photos; each photo needs both",
                embeddings.dim(0)?,
                features.dim(0)?
            )));
        }
        let identity = self.projection.forward(&embeddings.to_dtype(self.dtype)?)?;
        let read = self
            .perceiver
            .forward(identity.clone(), &features.to_dtype(self.dtype)?)?;
        match self.config.shortcut {
            true => Ok((identity + (read * f64::from(shortcut_scale))?)?),
            false => Ok(read),
        }
    }
}
