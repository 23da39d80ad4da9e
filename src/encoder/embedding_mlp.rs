//! From one embedding to a few tokens by two linear layers: what FaceID, FaceID-Plus and InstantX FLUX share.

use super::block::EPSILON;
use super::check::check_sizes;
use crate::error::{Error, Result};
use crate::onnx::{Graph, Value};
use crate::tensor_file::Shapes;
use candle_core::Tensor;
use omniid_kernels::layers::{Activation, LayerNorm, Linear, Weights};

/// Sizes of an [`EmbeddingMlp`].
#[derive(Debug, Clone, Copy)]
pub(super) struct EmbeddingSizes {
    /// Width of the embedding.
    pub embedding_width: usize,
    /// Width between the two linear layers.
    pub inner_width: usize,
    /// Tokens per embedding.
    pub tokens: usize,
    /// Width of a token.
    pub token_width: usize,
}

impl EmbeddingSizes {
    /// Reads the sizes off `proj.0.weight`, `proj.2.weight` and `norm.weight`.
    pub fn infer(shapes: &Shapes) -> Result<Self> {
        let [inner_width, embedding_width] = shapes.dims("proj.0.weight")?;
        let [rows, _] = shapes.dims("proj.2.weight")?;
        let [token_width] = shapes.dims("norm.weight")?;
        if inner_width % embedding_width != 0 {
            // Both published networks widen the embedding twofold; other programs read no other form than a multiple.
            return Err(Error::format(format!(
                "tensor {} maps {embedding_width} values to {inner_width}, which is no multiple of them",
                shapes.quoted("proj.0.weight")
            )));
        }
        if token_width == 0 || rows % token_width != 0 {
            return Err(Error::format(format!(
                "tensor {} has {rows} rows, which is no multiple of the token width {token_width} of {}",
                shapes.quoted("proj.2.weight"),
                shapes.quoted("norm.weight")
            )));
        }
        Ok(Self {
            embedding_width,
            inner_width,
            tokens: rows / token_width,
            token_width,
        })
    }

    /// Checks the sizes; `encoder` stands in messages.
    pub fn validate(&self, encoder: &str) -> Result<()> {
        check_sizes(
            encoder,
            &[
                ("embedding_width", self.embedding_width),
                ("inner_width", self.inner_width),
                ("tokens", self.tokens),
                ("token_width", self.token_width),
            ],
        )
    }
}

/// LayerNorm(reshape(Linear(GELU(Linear(embedding))))).
///
/// Keys: `proj.0.{weight,bias}` `[inner width, embedding width]`, `proj.2.{weight,bias}`
/// `[tokens · token width, inner width]`, `norm.{weight,bias}` `[token width]`.
#[derive(Debug)]
pub(super) struct EmbeddingMlp {
    sizes: EmbeddingSizes,
    up: Linear,
    down: Linear,
    norm: LayerNorm,
}

impl EmbeddingMlp {
    /// Takes every tensor from `weights`.
    pub fn build(sizes: EmbeddingSizes, weights: &Weights) -> Result<Self> {
        let rows = sizes.tokens * sizes.token_width;
        Ok(Self {
            sizes,
            up: weights
                .linear("proj.0", sizes.embedding_width, sizes.inner_width, true)?
                .with_activation(Activation::Gelu),
            down: weights.linear("proj.2", sizes.inner_width, rows, true)?,
            norm: weights.layer_norm("norm", sizes.token_width, EPSILON)?,
        })
    }

    /// `[photos, embedding width]` in the dtype of the activations to `[photos, tokens, token width]`.
    pub fn forward(&self, embeddings: &Tensor) -> Result<Tensor> {
        let tokens = self.down.forward(&self.up.forward(embeddings)?)?;
        let shape = (embeddings.dim(0)?, self.sizes.tokens, self.sizes.token_width);
        self.norm.forward(&tokens.reshape(shape)?)
    }

    /// [`EmbeddingMlp::forward`] in a graph.
    pub fn graph(&self, graph: &mut Graph, embeddings: &Value) -> Result<Value> {
        let inner = graph.linear(&self.up, embeddings)?;
        let tokens = graph.linear(&self.down, &inner)?;
        let tokens = graph.reshape(&tokens, &[0, self.sizes.tokens as i64, self.sizes.token_width as i64]);
        graph.layer_norm(&self.norm, &tokens)
    }
}

/// Embeddings must be `[photos, width]`.
pub(super) fn check_embeddings(embeddings: &Tensor, width: usize, encoder: &str) -> Result<()> {
    match *embeddings.dims() {
        [photos, last] if photos > 0 && last == width => Ok(()),
        _ => Err(Error::mismatch(format!(
            "the {encoder} encoder takes embeddings of shape [photos, {width}], got {:?}",
            embeddings.dims()
        ))),
    }
}
