//! From pixels to the tokens that the first block reads.

use super::positions::resample;
use super::VisionConfig;
use crate::bicubic::Bicubic;
use crate::error::{Error, Result};
use crate::onnx::{Graph, Value};
use candle_core::{Device, Tensor};
use omniid_kernels::layers::{activation_dtype, Initial, LayerNorm, Linear, Weights};

/// Patches, the tokens before them, positions and the norm before the first block.
#[derive(Debug)]
pub(super) struct Embeddings {
    config: VisionConfig,
    /// [width]
    class_embedding: Option<Tensor>,
    /// [1, registers, width]
    register_tokens: Option<Tensor>,
    /// [3 · patch · patch, width] as a linear layer over unfolded patches.
    patch_embedding: Linear,
    /// [positions, width]
    position_embedding: Tensor,
    pre_norm: Option<LayerNorm>,
}

impl Embeddings {
    /// `model` holds `embeddings.…` and `pre_layrnorm`.
    pub fn build(config: &VisionConfig, model: &Weights) -> Result<Self> {
        let (family, width, patch) = (config.family, config.hidden_size, config.patch_size);
        let std = 1.0 / (width as f32).sqrt();
        let small = Initial::TruncatedNormal(0.02);
        let embeddings = model.pp("embeddings");
        let class_embedding = match family.position_prefix() {
            0 => None,
            _ => Some(embeddings.parameter("class_embedding", &[width], Initial::Normal(std))?),
        };
        let register_tokens = match family.register_tokens() {
            0 => None,
            registers => Some(embeddings.parameter("register_tokens", &[1, registers, width], small.clone())?),
        };
        let shape = [width, 3, patch, patch];
        let patch_embedding =
            embeddings.linear_from("patch_embedding", &shape, family.has_patch_bias(), small.clone())?;
        let shape = [config.position_count(), width];
        let position_embedding = embeddings.parameter("position_embedding.weight", &shape, small)?;
        let pre_norm = match family.has_pre_norm() {
            true => Some(model.layer_norm("pre_layrnorm", width, config.layer_norm_eps)?),
            false => None,
        };
        Ok(Self {
            config: config.clone(),
            class_embedding,
            register_tokens,
            patch_embedding,
            position_embedding,
            pre_norm,
        })
    }

    /// Where the model lies.
    pub fn device(&self) -> &Device {
        self.position_embedding.device()
    }

    /// `[batch, 3, height, width]` to the input of the first block, `[batch, tokens, width]`.
    pub fn forward(&self, pixels: &Tensor) -> Result<Tensor> {
        let (patch, width) = (self.config.patch_size, self.config.hidden_size);
        let (batch, rows, columns) = self.grid(pixels)?;
        let dtype = activation_dtype(pixels.device(), self.position_embedding.dtype());
        // A convolution whose stride is its size is a matrix product over unfolded patches. Pixels beyond the last
        // whole patch are ignored, as the convolution ignores them.
        let patches = pixels
            .narrow(2, 0, rows * patch)?
            .narrow(3, 0, columns * patch)?
            .to_dtype(dtype)?
            .reshape(&[batch, 3, rows, patch, columns, patch][..])?
            .permute([0, 2, 4, 1, 3, 5])?
            .reshape((batch, rows * columns, 3 * patch * patch))?;
        let patches = self.patch_embedding.forward(&patches)?;
        let tokens = match &self.class_embedding {
            None => patches,
            Some(class) => Tensor::cat(&[&class.broadcast_as((batch, 1, width))?, &patches], 1)?,
        };
        let tokens = tokens.broadcast_add(&self.positions(rows, columns)?)?;
        let tokens = match &self.register_tokens {
            None => tokens,
            Some(registers) => {
                let (_, count, _) = registers.dims3()?;
                let registers = registers.broadcast_as((batch, count, width))?;
                let patches = tokens.narrow(1, 1, rows * columns)?;
                Tensor::cat(&[&tokens.narrow(1, 0, 1)?, &registers, &patches], 1)?
            }
        };
        match &self.pre_norm {
            None => Ok(tokens),
            Some(norm) => norm.forward(&tokens),
        }
    }

    /// [`Embeddings::forward`] of CLIP in a graph.
    pub fn graph(&self, graph: &mut Graph, pixels: &Value) -> Result<Value> {
        let mut tokens = graph.patches(&self.patch_embedding, self.config.patch_size, pixels)?;
        if let Some(class) = &self.class_embedding {
            let class = graph.parameter(class)?;
            let class = graph.reshape(&class, &[1, 1, -1]);
            let class = graph.repeat_like(&class, &tokens);
            tokens = graph.concatenate(&[&class, &tokens], 1);
        }
        let position = graph.parameter(&self.position_embedding)?;
        let tokens = graph.add(&tokens, &position);
        match &self.pre_norm {
            None => Ok(tokens),
            Some(norm) => graph.layer_norm(norm, &tokens),
        }
    }

    /// Photos, rows and columns of patches.
    fn grid(&self, pixels: &Tensor) -> Result<(usize, usize, usize)> {
        let (size, patch) = (self.config.image_size, self.config.patch_size);
        let any = self.config.family.resamples_positions();
        match *pixels.dims() {
            [batch, 3, height, width] if batch > 0 && height == size && width == size => {
                Ok((batch, size / patch, size / patch))
            }
            [batch, 3, height, width] if batch > 0 && any && height >= patch && width >= patch => {
                Ok((batch, height / patch, width / patch))
            }
            _ => Err(Error::mismatch(format!(
                "the image encoder takes pixels of shape [batch, 3, {size}, {size}], got {:?}",
                pixels.dims()
            ))),
        }
    }

    /// The position embedding for a grid; resampled as transformers does it for another one than the model's own.
    fn positions(&self, rows: usize, columns: usize) -> Result<Tensor> {
        let side = self.config.patches_per_side();
        if (rows, columns) == (side, side) {
            return Ok(self.position_embedding.clone());
        }
        let before = self.config.family.position_prefix();
        let bicubic = match self.register_tokens {
            None => Bicubic::Plain,
            Some(_) => Bicubic::Antialiased,
        };
        let patches = self.position_embedding.narrow(0, before, side * side)?;
        let patches = resample(bicubic, &patches, rows, columns)?;
        Ok(Tensor::cat(
            &[&self.position_embedding.narrow(0, 0, before)?, &patches],
            0,
        )?)
    }
}
