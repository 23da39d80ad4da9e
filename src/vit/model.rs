//! The vision transformer.

use super::VisionConfig;
use crate::error::{Error, Result};
use candle_core::Tensor;
use omniid_kernels::layers::{activation_dtype, attention, Initial, LayerNorm, Linear, TensorSpec, Weights};

/// CLIP's vision transformer with the key names of Hugging Face `transformers`.
///
/// Photos enter as prepared pixels `[batch, 3, size, size]`. The model is immutable and may
/// be used from several threads at once. Activations take about `batch · tokens · intermediate_size` f32 values,
/// so memory is bounded by the batch that the caller chooses; [`VisionTransformer::penultimate_in_batches`] splits
/// any number of photos.
#[derive(Debug)]
pub struct VisionTransformer {
    config: VisionConfig,
    /// [1, 1, width]
    class_embedding: Tensor,
    /// [3 · patch · patch, width] as a linear layer over unfolded patches.
    patch_embedding: Linear,
    /// [tokens, width]
    position_embedding: Tensor,
    pre_norm: LayerNorm,
    blocks: Vec<Block>,
    head: Option<Head>,
}

/// From the class token to `image_embeds`.
#[derive(Debug)]
struct Head {
    norm: LayerNorm,
    projection: Linear,
}

impl Head {
    /// `None` without a projection; the norm before it is part of the model all the same.
    fn build(config: &VisionConfig, start: Initial, weights: &Weights) -> Result<Option<Self>> {
        if config.projection_dim.is_none() && !weights.is_list() {
            return Ok(None);
        }
        let width = config.hidden_size;
        let norm = weights.layer_norm("vision_model.post_layernorm", width, config.layer_norm_eps)?;
        let Some(projection) = config.projection_dim else {
            return Ok(None);
        };
        let projection = weights.linear_from("visual_projection", &[projection, width], false, start)?;
        Ok(Some(Self { norm, projection }))
    }
}

/// How the matrices of a block start.
#[derive(Debug)]
struct Starts {
    plain: Initial,
    damped: Initial,
}

impl VisionTransformer {
    /// Reads the whole model: `vision_model.…` and, if the configuration has a projection,
    /// `visual_projection.weight`.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) when a tensor is missing or has another shape.
    pub fn load<'a>(config: &VisionConfig, weights: impl Into<Weights<'a>>) -> Result<Self> {
        Self::build(config, config.num_hidden_layers, &weights.into())
    }

    /// Reads only what [`VisionTransformer::penultimate`] needs: all blocks but the last, no head.
    ///
    /// Saves the memory of one block; the other outputs are errors.
    ///
    /// # Errors
    /// As [`VisionTransformer::load`].
    pub fn load_for_penultimate<'a>(config: &VisionConfig, weights: impl Into<Weights<'a>>) -> Result<Self> {
        Self::build(config, config.num_hidden_layers.saturating_sub(1), &weights.into())
    }

    /// Every tensor of the model, in the order of a forward pass.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) when the sizes are impossible.
    pub fn tensors(config: &VisionConfig) -> Result<Vec<TensorSpec>> {
        Weights::list(|weights| Self::load(config, weights))
    }

    /// The description of the model; a list has all its blocks, however many are read.
    ///
    /// Standard deviations follow CLIP's own initialisation: projections into the residual stream are damped by
    /// √(2 · layers), so that random weights give activations of a sensible size at any depth.
    fn build(config: &VisionConfig, blocks: usize, weights: &Weights) -> Result<Self> {
        config.validate()?;
        let (width, patch, epsilon) = (config.hidden_size, config.patch_size, config.layer_norm_eps);
        let layers = config.num_hidden_layers;
        let std = 1.0 / (width as f32).sqrt();
        let starts = Starts {
            plain: Initial::TruncatedNormal(std),
            damped: Initial::TruncatedNormal(std / (2.0 * layers as f32).sqrt()),
        };
        let small = Initial::TruncatedNormal(0.02);
        let model = weights.pp("vision_model");
        let embeddings = model.pp("embeddings");
        let class_embedding = embeddings.parameter("class_embedding", &[width], Initial::Normal(std))?;
        let shape = [width, 3, patch, patch];
        let patch_embedding = embeddings.linear_from("patch_embedding", &shape, false, small.clone())?;
        let shape = [config.token_count(), width];
        let position_embedding = embeddings.parameter("position_embedding.weight", &shape, small)?;
        let pre_norm = model.layer_norm("pre_layrnorm", width, epsilon)?;
        let blocks = if weights.is_list() { layers } else { blocks };
        let blocks = (0..blocks)
            .map(|n| Block::build(config, &starts, &model.pp("encoder.layers").pp(n)))
            .collect::<Result<Vec<_>>>()?;
        let head = if blocks.len() == layers {
            Head::build(config, starts.plain, weights)?
        } else {
            None
        };
        Ok(Self {
            config: config.clone(),
            class_embedding: class_embedding.reshape((1, 1, width))?,
            patch_embedding,
            position_embedding,
            pre_norm,
            blocks,
            head,
        })
    }

    /// The sizes of the model.
    pub fn config(&self) -> &VisionConfig {
        &self.config
    }

    /// Hidden state −2 of `transformers`: the output of the last block but one, class token first, without
    /// `post_layernorm`. `[batch, 3, size, size]` to `[batch, tokens, width]`. Does not run the last block.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when the pixels have another shape.
    pub fn penultimate(&self, pixels: &Tensor) -> Result<Tensor> {
        self.hidden_state(pixels, self.config.num_hidden_layers.saturating_sub(1))
    }

    /// [`VisionTransformer::penultimate`] for any number of photos, `batch` at a time.
    ///
    /// # Errors
    /// As [`VisionTransformer::penultimate`].
    pub fn penultimate_in_batches(&self, pixels: &Tensor, batch: usize) -> Result<Tensor> {
        in_batches(pixels, batch, |part| self.penultimate(part))
    }

    /// The hidden state after `blocks` blocks; 0 is the input of the first block. `[batch, tokens, width]`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) when the model has fewer blocks;
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when the pixels have another shape.
    pub fn hidden_state(&self, pixels: &Tensor, blocks: usize) -> Result<Tensor> {
        let Some(blocks) = self.blocks.get(..blocks) else {
            return Err(Error::invalid(format!(
                "hidden state {blocks} of an image encoder with {} loaded blocks was asked for",
                self.blocks.len()
            )));
        };
        let mut x = self.embed(pixels)?;
        for block in blocks {
            x = block.forward(&x)?;
        }
        Ok(x)
    }

    /// All hidden states, layers + 1 of them: the input of the first block, then every block's output.
    ///
    /// # Errors
    /// As [`VisionTransformer::hidden_state`].
    pub fn hidden_states(&self, pixels: &Tensor) -> Result<Vec<Tensor>> {
        let mut states = vec![self.embed(pixels)?];
        for block in &self.blocks {
            if let Some(last) = states.last() {
                states.push(block.forward(last)?);
            }
        }
        Ok(states)
    }

    /// `image_embeds` of `transformers`: `visual_projection(post_layernorm(class token))`.
    /// `[batch, 3, size, size]` to `[batch, projection]`.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) when the model was loaded without its projection;
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when the pixels have another shape.
    pub fn image_embeds(&self, pixels: &Tensor) -> Result<Tensor> {
        let Some(head) = &self.head else {
            return Err(Error::unsupported(
                "this image encoder has no visual_projection.weight, so it gives hidden states but no image_embeds",
            ));
        };
        let last = self.hidden_state(pixels, self.blocks.len())?;
        let class = last.narrow(1, 0, 1)?.squeeze(1)?.contiguous()?;
        head.projection.forward(&head.norm.forward(&class)?)
    }

    /// [`VisionTransformer::image_embeds`] for any number of photos, `batch` at a time.
    ///
    /// # Errors
    /// As [`VisionTransformer::image_embeds`].
    pub fn image_embeds_in_batches(&self, pixels: &Tensor, batch: usize) -> Result<Tensor> {
        in_batches(pixels, batch, |part| self.image_embeds(part))
    }

    /// Patches, class token, positions and the first norm: the input of the first block.
    fn embed(&self, pixels: &Tensor) -> Result<Tensor> {
        let (size, patch, width) = (self.config.image_size, self.config.patch_size, self.config.hidden_size);
        let batch = match *pixels.dims() {
            [batch, 3, height, width] if batch > 0 && height == size && width == size => batch,
            _ => {
                return Err(Error::mismatch(format!(
                    "the image encoder takes pixels of shape [batch, 3, {size}, {size}], got {:?}",
                    pixels.dims()
                )))
            }
        };
        let side = size / patch;
        let dtype = activation_dtype(pixels.device(), self.position_embedding.dtype());
        // A convolution whose stride is its size is a matrix product over unfolded patches. Pixels beyond the last
        // whole patch are ignored, as the convolution ignores them.
        let patches = pixels
            .narrow(2, 0, side * patch)?
            .narrow(3, 0, side * patch)?
            .to_dtype(dtype)?
            .reshape(&[batch, 3, side, patch, side, patch][..])?
            .permute([0, 2, 4, 1, 3, 5])?
            .reshape((batch, side * side, 3 * patch * patch))?;
        let patches = self.patch_embedding.forward(&patches)?;
        let class = self.class_embedding.broadcast_as((batch, 1, width))?;
        let tokens = Tensor::cat(&[&class, &patches], 1)?.broadcast_add(&self.position_embedding)?;
        self.pre_norm.forward(&tokens)
    }
}

/// Runs `f` on at most `batch` photos at a time and joins the results.
fn in_batches(pixels: &Tensor, batch: usize, f: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let count = pixels.dims().first().copied().unwrap_or(0);
    let batch = batch.max(1);
    if count <= batch {
        return f(pixels);
    }
    let parts = (0..count)
        .step_by(batch)
        .map(|start| f(&pixels.narrow(0, start, batch.min(count - start))?))
        .collect::<Result<Vec<_>>>()?;
    Ok(Tensor::cat(&parts, 0)?)
}

/// A pre-norm transformer block.
#[derive(Debug)]
struct Block {
    norm1: LayerNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    heads: usize,
    norm2: LayerNorm,
    up: Linear,
    down: Linear,
}

impl Block {
    fn build(config: &VisionConfig, starts: &Starts, weights: &Weights) -> Result<Self> {
        let (width, inner, epsilon) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
        let linear =
            |name: &str, shape: [usize; 2], start: &Initial| weights.linear_from(name, &shape, true, start.clone());
        let square = |name: &str, start| linear(name, [width, width], start);
        Ok(Self {
            norm1: weights.layer_norm("layer_norm1", width, epsilon)?,
            query: square("self_attn.q_proj", &starts.plain)?,
            key: square("self_attn.k_proj", &starts.plain)?,
            value: square("self_attn.v_proj", &starts.damped)?,
            out: square("self_attn.out_proj", &starts.plain)?,
            heads: config.num_attention_heads,
            norm2: weights.layer_norm("layer_norm2", width, epsilon)?,
            up: linear("mlp.fc1", [inner, width], &starts.plain)?.with_activation(config.hidden_act),
            down: linear("mlp.fc2", [width, inner], &starts.damped)?,
        })
    }

    /// `[batch, tokens, width]` to the same.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let normal = self.norm1.forward(x)?;
        let q = self.query.forward(&normal)?;
        let k = self.key.forward(&normal)?;
        let v = self.value.forward(&normal)?;
        let x = self.out.forward_add(&attention(&q, &k, &v, self.heads)?, x)?;
        let inner = self.up.forward(&self.norm2.forward(&x)?)?;
        self.down.forward_add(&inner, &x)
    }
}

#[cfg(test)]
mod tests;
