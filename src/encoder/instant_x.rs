//! The projection of InstantX's FLUX IP-Adapter: SigLIP's pooled embedding to 128 tokens.

use super::embedding_mlp::{check_embeddings, EmbeddingMlp, EmbeddingSizes};
use super::kind::{Description, EncoderInput, Interface, Network, TokenCount};
use super::{EncodeSettings, Features};
use crate::error::Result;
use crate::tensor_file::Shapes;
use candle_core::{DType, Tensor};
use omniid_kernels::layers::Weights;
use serde::{Deserialize, Serialize};

/// Context width of FLUX, by which the projection is told from that of FaceID.
const FLUX_CONTEXT: usize = 4096;

/// Sizes of an [`InstantXFlux`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstantXFluxConfig {
    /// Width of the image encoder's pooled embedding; 1152 for SigLIP so400m.
    pub feature_width: usize,
    /// Width between the two linear layers; 2304 in the published file.
    pub inner_width: usize,
    /// Tokens per photo; 128 in the published file.
    pub tokens: usize,
    /// Width of a token: the host's context width, 4096.
    pub token_width: usize,
}

impl InstantXFluxConfig {
    fn sizes(&self) -> EmbeddingSizes {
        EmbeddingSizes {
            embedding_width: self.feature_width,
            inner_width: self.inner_width,
            tokens: self.tokens,
            token_width: self.token_width,
        }
    }
}

/// LayerNorm(reshape(Linear(GELU(Linear(embedding))))) of SigLIP's `pooler_output`
/// (`InstantX/FLUX.1-dev-IP-Adapter`).
///
/// Keys: `proj.0.{weight,bias}`, `proj.2.{weight,bias}`, `norm.{weight,bias}`.
#[derive(Debug)]
pub struct InstantXFlux {
    config: InstantXFluxConfig,
    projection: EmbeddingMlp,
    dtype: DType,
}

impl Description for InstantXFlux {
    type Config = InstantXFluxConfig;

    const TITLE: &'static str = "InstantX FLUX IP-Adapter";

    fn recognises(shapes: &Shapes) -> bool {
        shapes.get("norm.weight").is_some_and(|shape| *shape == [FLUX_CONTEXT])
    }

    fn infer(shapes: &Shapes) -> Result<InstantXFluxConfig> {
        let sizes = EmbeddingSizes::infer(shapes)?;
        sizes.validate("InstantX FLUX")?;
        Ok(InstantXFluxConfig {
            feature_width: sizes.embedding_width,
            inner_width: sizes.inner_width,
            tokens: sizes.tokens,
            token_width: sizes.token_width,
        })
    }

    fn interface(config: &InstantXFluxConfig) -> Interface {
        let tokens = TokenCount::PerPhoto(config.tokens);
        Interface::of_image(
            EncoderInput::ImageEmbeds,
            config.feature_width,
            tokens,
            config.token_width,
        )
    }

    fn build(config: &InstantXFluxConfig, weights: &Weights) -> Result<Self> {
        config.sizes().validate("InstantX FLUX")?;
        Ok(Self {
            projection: EmbeddingMlp::build(config.sizes(), weights)?,
            dtype: weights.activation_dtype(),
            config: config.clone(),
        })
    }

    fn config(&self) -> &InstantXFluxConfig {
        &self.config
    }
}

impl Network for InstantXFlux {
    fn encode_photo(&self, photo: &Features, _: &EncodeSettings) -> Result<Tensor> {
        let image = photo.image()?;
        let embeds = match image.rank() {
            1 => image.unsqueeze(0)?,
            _ => image.clone(),
        };
        Ok(self.forward(&embeds)?.flatten_to(1)?)
    }
}

impl InstantXFlux {
    /// Pooled embeddings `[photos, feature width]` to `[photos, tokens, token width]`. "No identity" is the tokens of
    /// an embedding of zeros.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when the embeddings have another shape.
    pub fn forward(&self, embeds: &Tensor) -> Result<Tensor> {
        check_embeddings(embeds, self.config.feature_width, "InstantX FLUX")?;
        self.projection.forward(&embeds.to_dtype(self.dtype)?)
    }
}
