//! Sizes of a vision transformer.

use super::VisionFamily;
use crate::error::{Error, Result};
use omniid_kernels::layers::Activation;
use serde::{Deserialize, Serialize};

/// Family and sizes of a vision transformer, with the names of Hugging Face `CLIPVisionConfig`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VisionConfig {
    /// Which network it is; CLIP where a file does not say.
    #[serde(default, skip_serializing_if = "is_clip")]
    pub family: VisionFamily,
    /// Width of a token.
    pub hidden_size: usize,
    /// Width inside the feed-forward part.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Number of attention heads.
    pub num_attention_heads: usize,
    /// Side of the square input, in pixels.
    pub image_size: usize,
    /// Side of a patch, in pixels.
    pub patch_size: usize,
    /// Activation of the feed-forward part; of the gate where it is gated.
    pub hidden_act: Activation,
    /// Epsilon of every layer normalisation.
    #[serde(default = "default_epsilon")]
    pub layer_norm_eps: f64,
    /// Width of the image embedding: of CLIP's and EVA02's projected class token, of SigLIP's `pooler_output`, of
    /// DINOv2's class token. `None` for a file without the layers that make it.
    #[serde(default)]
    pub projection_dim: Option<usize>,
}

fn default_epsilon() -> f64 {
    1e-5
}

fn is_clip(family: &VisionFamily) -> bool {
    *family == VisionFamily::Clip
}

/// Largest size that a configuration may name; far above every published model, far below overflow.
const MOST: usize = 1 << 20;

/// Largest number of register tokens; published models have 4.
const MOST_REGISTERS: usize = 1024;

/// Largest side of the input in pixels, as for crops of photos. A patch as large as the input needs few weights, so
/// a small file could otherwise ask for a picture of any size.
const MOST_PIXELS: usize = 4096;

impl VisionConfig {
    /// Patches along a side of the input.
    pub fn patches_per_side(&self) -> usize {
        self.image_size / self.patch_size.max(1)
    }

    /// Number of patches: all tokens but those before them, such as the class token.
    pub fn patch_count(&self) -> usize {
        self.patches_per_side() * self.patches_per_side()
    }

    /// Number of tokens: the patches and what stands before them, a class token and registers if the family has them.
    pub fn token_count(&self) -> usize {
        self.patch_count() + self.family.prefix_tokens()
    }

    /// Rows of the position embedding: the patches and the class token if there is one.
    pub(crate) fn position_count(&self) -> usize {
        self.patch_count() + self.family.position_prefix()
    }

    /// Width of an attention head.
    pub(crate) fn head_width(&self) -> usize {
        self.hidden_size / self.num_attention_heads.max(1)
    }

    /// Checks that the sizes make a model.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) naming the size that is wrong.
    pub fn validate(&self) -> Result<()> {
        let sizes = [
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("image_size", self.image_size),
            ("patch_size", self.patch_size),
            ("projection_dim", self.projection_dim.unwrap_or(1)),
        ];
        for (name, size) in sizes {
            let most = if name == "image_size" { MOST_PIXELS } else { MOST };
            if size == 0 || size > most {
                return Err(Error::format(format!(
                    "{name} of the image encoder is {size}; it must be 1 to {most}"
                )));
            }
        }
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err(Error::format(format!(
                "hidden_size {} of the image encoder is not a multiple of its {} heads",
                self.hidden_size, self.num_attention_heads
            )));
        }
        if self.family.is_rotary() && !self.head_width().is_multiple_of(4) {
            return Err(Error::format(format!(
                "heads of width {} of the image encoder: rotary positions in two dimensions need a multiple of 4",
                self.head_width()
            )));
        }
        if self.family.register_tokens() > MOST_REGISTERS {
            return Err(Error::format(format!(
                "{} register tokens of the image encoder; it must be at most {MOST_REGISTERS}",
                self.family.register_tokens()
            )));
        }
        if self.patch_size > self.image_size {
            return Err(Error::format(format!(
                "patch_size {} of the image encoder is larger than its image_size {}",
                self.patch_size, self.image_size
            )));
        }
        if !(self.layer_norm_eps > 0.0 && self.layer_norm_eps < 1.0) {
            return Err(Error::format(format!(
                "layer_norm_eps of the image encoder is {}; it must be between 0 and 1",
                self.layer_norm_eps
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
