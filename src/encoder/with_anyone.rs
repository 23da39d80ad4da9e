//! The projections of WithAnyone: a face embedding and the features of SigLIP to tokens for two sets of layers.

use super::block::EPSILON;
use super::check::{check_features, check_sizes};
use super::kind::{Description, EncoderInput, FaceInput, Interface, Network, TokenCount};
use super::{EncodeSettings, Features};
use crate::error::{Error, Result};
use crate::face_embedding::{EmbeddingForm, FaceArchitecture};
use crate::tensor_file::Shapes;
use candle_core::{DType, Tensor};
use omniid_kernels::layers::{Activation, LayerNorm, Linear, Weights};
use serde::{Deserialize, Serialize};

/// Feature tokens of the published image encoder, `google/siglip-base-patch16-256-i18n`. Shapes do not tell them.
const FEATURE_TOKENS: usize = 256;

/// Sizes of a [`WithAnyone`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WithAnyoneConfig {
    /// Values of a face embedding.
    pub embedding_width: usize,
    /// Width inside the projections of the face embedding.
    pub inner_width: usize,
    /// Tokens that each of them makes.
    pub face_tokens: usize,
    /// Width of a feature token.
    pub feature_width: usize,
    /// Feature tokens of a photo.
    pub feature_tokens: usize,
    /// Width of a token: that of the host's hidden state.
    pub token_width: usize,
}

impl WithAnyoneConfig {
    /// The sizes of `withanyone.safetensors`.
    pub fn published() -> Self {
        Self {
            embedding_width: 512,
            inner_width: 12288,
            face_tokens: 8,
            feature_width: 768,
            feature_tokens: FEATURE_TOKENS,
            token_width: 3072,
        }
    }

    fn validate(&self) -> Result<()> {
        check_sizes(
            "WithAnyone",
            &[
                ("embedding_width", self.embedding_width),
                ("inner_width", self.inner_width),
                ("face_tokens", self.face_tokens),
                ("feature_width", self.feature_width),
                ("feature_tokens", self.feature_tokens),
                ("token_width", self.token_width),
            ],
        )
    }
}

/// WithAnyone (Xu et al. 2025, `withanyone/flux/model.py`): tokens of a photo for the layers `ipa_arc`, then those for
/// `ipa_sig`.
///
/// The former are made of the raw face embedding, the latter of the last hidden state of SigLIP, followed by other
/// tokens of the same embedding. Several photos: one after the other. Keys: `arcface_in_arc`, `arcface_in_sig`,
/// `siglip_in_sig`, each with `0`, `2` (norm), `3`.
#[derive(Debug)]
pub struct WithAnyone {
    config: WithAnyoneConfig,
    face_for_arc: Projection,
    face_for_sig: Projection,
    features: Projection,
    dtype: DType,
}

/// Linear → GELU (erf) → LayerNorm → Linear.
#[derive(Debug)]
struct Projection {
    up: Linear,
    norm: LayerNorm,
    down: Linear,
}

impl Projection {
    fn build(input: usize, inner: usize, output: usize, weights: &Weights) -> Result<Self> {
        Ok(Self {
            up: weights
                .linear("0", input, inner, true)?
                .with_activation(Activation::Gelu),
            norm: weights.layer_norm("2", inner, EPSILON)?,
            down: weights.linear("3", inner, output, true)?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.down.forward(&self.norm.forward(&self.up.forward(x)?)?)
    }
}

impl Description for WithAnyone {
    type Config = WithAnyoneConfig;

    const TITLE: &'static str = "WithAnyone";

    fn infer(shapes: &Shapes) -> Result<WithAnyoneConfig> {
        let [inner_width, embedding_width] = shapes.dims("arcface_in_arc.0.weight")?;
        let [rows, _] = shapes.dims("arcface_in_arc.3.weight")?;
        let [_, feature_width] = shapes.dims("siglip_in_sig.0.weight")?;
        let [token_width, _] = shapes.dims("siglip_in_sig.3.weight")?;
        if rows % token_width != 0 {
            return Err(Error::format(format!(
                "tensor {} has {rows} rows, which is no multiple of the token width {token_width} of {}",
                shapes.quoted("arcface_in_arc.3.weight"),
                shapes.quoted("siglip_in_sig.3.weight")
            )));
        }
        let config = WithAnyoneConfig {
            embedding_width,
            inner_width,
            face_tokens: rows / token_width,
            feature_width,
            feature_tokens: FEATURE_TOKENS,
            token_width,
        };
        config.validate()?;
        Ok(config)
    }

    fn interface(config: &WithAnyoneConfig) -> Interface {
        let tokens = TokenCount::PerPhoto(2 * config.face_tokens + config.feature_tokens);
        let input = EncoderInput::LastHiddenState;
        Interface {
            face: Some(FaceInput {
                dimension: config.embedding_width,
                form: EmbeddingForm::Raw,
                network: FaceArchitecture::IResNet { layers: 100 },
            }),
            ..Interface::of_image(input, config.feature_width, tokens, config.token_width)
        }
    }

    fn build(config: &WithAnyoneConfig, weights: &Weights) -> Result<Self> {
        config.validate()?;
        let width = config.token_width;
        let face = |name: &str| {
            let output = config.face_tokens * width;
            Projection::build(config.embedding_width, config.inner_width, output, &weights.pp(name))
        };
        Ok(Self {
            config: config.clone(),
            face_for_arc: face("arcface_in_arc")?,
            face_for_sig: face("arcface_in_sig")?,
            features: Projection::build(config.feature_width, width, width, &weights.pp("siglip_in_sig"))?,
            dtype: weights.activation_dtype(),
        })
    }

    fn config(&self) -> &WithAnyoneConfig {
        &self.config
    }
}

impl Network for WithAnyone {
    fn encode_photo(&self, photo: &Features, _: &EncodeSettings) -> Result<Tensor> {
        let features = photo.image()?.unsqueeze(0)?;
        check_features(&features, self.config.feature_width, "WithAnyone")?;
        let (_, tokens, _) = features.dims3()?;
        if tokens != self.config.feature_tokens {
            return Err(Error::mismatch(format!(
                "the WithAnyone encoder takes {} feature tokens of a photo, got {tokens}",
                self.config.feature_tokens
            )));
        }
        let embedding = photo.embedding()?.to_dtype(self.dtype)?.unsqueeze(0)?;
        let shape = (self.config.face_tokens, self.config.token_width);
        let arc = self.face_for_arc.forward(&embedding)?.reshape(shape)?;
        let sig = self.features.forward(&features.to_dtype(self.dtype)?)?.squeeze(0)?;
        let face = self.face_for_sig.forward(&embedding)?.reshape(shape)?;
        Ok(Tensor::cat(&[arc, sig, face], 0)?)
    }
}
