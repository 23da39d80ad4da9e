//! The vision transformer.

use super::block::{Block, Starts};
use super::embeddings::Embeddings;
use super::head::Head;
use super::rotary::Rotary;
use super::{VisionConfig, VisionFamily};
use crate::error::{Error, Result};
use crate::onnx::{Graph, Value};
use candle_core::{DType, Device, Tensor};
use omniid_kernels::layers::{Initial, TensorSpec, Weights};

/// A vision transformer of any [`VisionFamily`], with the key names of Hugging Face's CLIP.
///
/// What CLIP does not have is named as in the families' own models; see [`Checkpoint::vision_view`]. Photos enter as
/// prepared pixels `[batch, 3, size, size]`. The model is immutable and may be used from several threads at once.
/// Activations take about `batch · tokens · intermediate_size` f32 values, so memory is bounded by the batch that the
/// caller chooses; [`VisionTransformer::penultimate_in_batches`] splits any number of photos.
///
/// [`Checkpoint::vision_view`]: crate::checkpoint::Checkpoint::vision_view
#[derive(Debug)]
pub struct VisionTransformer {
    config: VisionConfig,
    embeddings: Embeddings,
    blocks: Vec<Block>,
    rotary: Option<Rotary>,
    head: Option<Head>,
}

impl VisionTransformer {
    /// Reads the whole model: `vision_model.…` and, if the configuration has a projection, `visual_projection.…`.
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
        let layers = config.num_hidden_layers;
        let std = 1.0 / (config.hidden_size as f32).sqrt();
        let starts = Starts {
            plain: Initial::TruncatedNormal(std),
            damped: Initial::TruncatedNormal(std / (2.0 * layers as f32).sqrt()),
        };
        let model = weights.pp("vision_model");
        let embeddings = Embeddings::build(config, &model)?;
        let blocks = if weights.is_list() { layers } else { blocks };
        let blocks = (0..blocks)
            .map(|n| Block::build(config, &starts, &model.pp("encoder.layers").pp(n).block()))
            .collect::<Result<Vec<_>>>()?;
        let head = if blocks.len() == layers {
            Head::build(config, &starts, weights)?
        } else {
            None
        };
        let rotary = match config.family.is_rotary() {
            true => Some(Self::rotary(config, &model.pp("rope"))?),
            false => None,
        };
        Ok(Self {
            config: config.clone(),
            embeddings,
            blocks,
            rotary,
            head,
        })
    }

    /// The angles of the file if it has them, else those of the formula.
    fn rotary(config: &VisionConfig, weights: &Weights) -> Result<Rotary> {
        let (side, heads) = (config.patches_per_side(), config.num_attention_heads);
        let prefix = config.family.prefix_tokens();
        let shape = [config.patch_count(), config.head_width()];
        // Halves in the file, of which bf16 weights would cut three more bits.
        let tables = weights.to_dtype(DType::F32);
        let table = |name: &str| tables.optional(name, &shape);
        Ok(match (table("freqs_cos")?, table("freqs_sin")?) {
            (Some(cosine), Some(sine)) if !weights.is_list() => Rotary::of_tables(&cosine, &sine, prefix, heads)?,
            _ => Rotary::new(side, prefix, heads, config.head_width()),
        })
    }

    /// Family and sizes of the model.
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
        let mut x = self.embeddings.forward(pixels)?;
        for block in blocks {
            x = block.forward(x, self.rotary.as_ref())?;
        }
        Ok(x)
    }

    /// All hidden states, layers + 1 of them: the input of the first block, then every block's output.
    ///
    /// # Errors
    /// As [`VisionTransformer::hidden_state`].
    pub fn hidden_states(&self, pixels: &Tensor) -> Result<Vec<Tensor>> {
        let mut states = vec![self.embeddings.forward(pixels)?];
        for block in &self.blocks {
            if let Some(last) = states.last() {
                states.push(block.forward(last.clone(), self.rotary.as_ref())?);
            }
        }
        Ok(states)
    }

    /// `last_hidden_state` of `transformers`, `[batch, tokens, width]`: the output of the last block, of every family
    /// but CLIP after the norm that follows it.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) when the model was loaded without its last block;
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when the pixels have another shape.
    pub fn last_hidden_state(&self, pixels: &Tensor) -> Result<Tensor> {
        if self.blocks.len() < self.config.num_hidden_layers {
            return Err(Error::unsupported(
                "the last block of this image encoder was not loaded",
            ));
        }
        let last = self.hidden_state(pixels, self.blocks.len())?;
        match &self.head {
            Some(head) if self.config.family != VisionFamily::Clip => head.normalise(&last),
            _ => Ok(last),
        }
    }

    /// What several layers see of pictures, and the image embedding, in one pass: the inputs of the blocks `levels`,
    /// `[batch, tokens, width]` each, in that order, and `[batch, projection]`.
    ///
    /// PuLID reads the inputs of blocks 4, 8, 12, 16 and 20 of EVA02-CLIP-L/14.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for a level that the model does not have; those
    /// of [`VisionTransformer::image_embeds`].
    pub fn levels_and_embeds(&self, pixels: &Tensor, levels: &[usize]) -> Result<(Vec<Tensor>, Tensor)> {
        if let Some(level) = levels.iter().find(|level| **level > self.blocks.len()) {
            return Err(Error::invalid(format!(
                "the input of block {level} of an image encoder with {} loaded blocks was asked for",
                self.blocks.len()
            )));
        }
        let head = self.head()?;
        let mut x = self.embeddings.forward(pixels)?;
        let mut found = vec![None; levels.len()];
        for index in 0..=self.blocks.len() {
            for (level, found) in levels.iter().zip(&mut found) {
                if *level == index {
                    *found = Some(x.clone());
                }
            }
            if let Some(block) = self.blocks.get(index) {
                x = block.forward(x, self.rotary.as_ref())?;
            }
        }
        let embeds = head.pool(&x)?.ok_or_else(|| self.no_embeds())?;
        Ok((found.into_iter().flatten().collect(), embeds))
    }

    /// The image embedding, `[batch, 3, size, size]` to `[batch, projection]`.
    ///
    /// CLIP and EVA02: `image_embeds` of `transformers`, `visual_projection(post_layernorm(class token))`. SigLIP and
    /// DINOv2: `pooler_output`, which attention pools from all tokens, or the class token after the norm.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) when the model was loaded without the layers for it;
    /// [`ErrorKind::Mismatch`](crate::ErrorKind::Mismatch) when the pixels have another shape.
    pub fn image_embeds(&self, pixels: &Tensor) -> Result<Tensor> {
        let head = self.head()?;
        let last = self.hidden_state(pixels, self.blocks.len())?;
        head.pool(&last)?.ok_or_else(|| self.no_embeds())
    }

    fn head(&self) -> Result<&Head> {
        self.head.as_ref().ok_or_else(|| self.no_embeds())
    }

    fn no_embeds(&self) -> Error {
        Error::unsupported(match self.config.family {
            VisionFamily::Siglip => {
                "this image encoder has no attention pooling (vision_model.head), so it gives hidden states but no \
                 pooled embedding"
            }
            _ => "this image encoder has no visual_projection.weight, so it gives hidden states but no image_embeds",
        })
    }

    /// [`VisionTransformer::image_embeds`] for any number of photos, `batch` at a time.
    ///
    /// # Errors
    /// As [`VisionTransformer::image_embeds`].
    pub fn image_embeds_in_batches(&self, pixels: &Tensor, batch: usize) -> Result<Tensor> {
        in_batches(pixels, batch, |part| self.image_embeds(part))
    }

    /// [`VisionTransformer::penultimate`] in a graph.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for other families than CLIP.
    pub(crate) fn graph_penultimate(&self, graph: &mut Graph, pixels: &Value) -> Result<Value> {
        self.graph_hidden_state(graph, pixels, self.config.num_hidden_layers.saturating_sub(1))
    }

    /// [`VisionTransformer::image_embeds`] in a graph.
    ///
    /// # Errors
    /// As [`VisionTransformer::graph_penultimate`] and [`VisionTransformer::image_embeds`].
    pub(crate) fn graph_image_embeds(&self, graph: &mut Graph, pixels: &Value) -> Result<Value> {
        let head = self.head()?;
        let last = self.graph_hidden_state(graph, pixels, self.blocks.len())?;
        head.graph(graph, &last)
    }

    fn graph_hidden_state(&self, graph: &mut Graph, pixels: &Value, blocks: usize) -> Result<Value> {
        if self.config.family != VisionFamily::Clip {
            return Err(Error::unsupported(format!(
                "the graph of a {} image encoder is not written, that of CLIP is",
                self.config.family
            )));
        }
        let mut x = self.embeddings.graph(graph, pixels)?;
        for block in self.blocks.iter().take(blocks) {
            x = block.graph(graph, &x)?;
        }
        Ok(x)
    }

    /// Where the model lies.
    pub fn device(&self) -> &Device {
        self.embeddings.device()
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

#[cfg(test)]
mod tests;
