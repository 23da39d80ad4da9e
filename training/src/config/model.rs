//! Sizes of the model that is trained.

use super::need;
use crate::data::CropTemplate;
use omniid::encoder::OmniIdConfig;
use omniid::engine::PixelConfig;
use omniid::face::CropMode;
use omniid::vit::{VisionConfig, VisionFamily};
use omniid::Result;
use omniid_kernels::layers::Activation;
use serde::{Deserialize, Serialize};

/// Sizes of the image encoder (backbone) and of the identity encoder.
///
/// What follows from other values, such as the number of feature tokens, is not a value here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Side of a picture in pixels, for the encoder and for the masked decoder.
    pub image_size: usize,
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Width of the image encoder.
    pub width: usize,
    /// Blocks of the image encoder that run. A checkpoint names one more: hidden state −2 is what is read.
    pub blocks: usize,
    /// Attention heads of the image encoder.
    pub heads: usize,
    /// Width inside the image encoder's feed-forward parts, in multiples of `width`.
    #[serde(default = "four")]
    pub feed_forward: usize,
    /// Identity queries, which is the number of identity tokens.
    pub queries: usize,
    /// Width of the identity encoder.
    pub encoder_width: usize,
    /// Blocks of the identity encoder.
    pub encoder_depth: usize,
    /// Attention heads of the identity encoder.
    pub encoder_heads: usize,
    /// Width of an identity token.
    pub token_width: usize,
    /// Whether the identity encoder reads the class token besides the patches.
    #[serde(default = "yes")]
    pub class_token: bool,
    /// Anchors every query at a place of the face: queries start with the code of a place, and the same code is
    /// added to the keys.
    #[serde(default)]
    pub anchored_queries: bool,
    /// Standard deviation of queries at the start, without anchors. At 0.02 all tokens stay one and the same vector.
    #[serde(default = "one")]
    pub query_std: f32,
    /// Trains the patch positions; otherwise they stay the sine and cosine codes that they start with.
    #[serde(default)]
    pub train_positions: bool,
    /// Keeps the image encoder as it starts (`start` names its weights).
    #[serde(default)]
    pub freeze_backbone: bool,
    /// Activation of the image encoder's feed-forward parts.
    #[serde(default = "gelu")]
    pub activation: Activation,
    /// Scale of the aligned crop that the pictures were made with, for exported checkpoints; see
    /// [`CropMode::Aligned`].
    #[serde(default = "crop_scale")]
    pub crop_scale: f32,
    /// The point of the template in the middle of that crop.
    #[serde(default = "crop_center")]
    pub crop_center: [f32; 2],
}

fn one() -> f32 {
    1.0
}

fn crop_scale() -> f32 {
    CropTemplate::default().scale
}

fn crop_center() -> [f32; 2] {
    CropTemplate::default().center
}

fn four() -> usize {
    4
}

fn yes() -> bool {
    true
}

fn gelu() -> Activation {
    Activation::Gelu
}

impl ModelConfig {
    /// Preparation of pixels: 0…1 to −1…1.
    pub const PIXELS: PixelConfig = PixelConfig {
        mean: [0.5; 3],
        std: [0.5; 3],
    };

    /// Patches of a picture.
    pub fn patches(&self) -> usize {
        let side = self.image_size / self.patch_size.max(1);
        side * side
    }

    /// Sizes of the image encoder.
    pub fn backbone(&self) -> VisionConfig {
        VisionConfig {
            family: VisionFamily::Clip,
            hidden_size: self.width,
            intermediate_size: self.feed_forward * self.width,
            num_hidden_layers: self.blocks + 1,
            num_attention_heads: self.heads,
            image_size: self.image_size,
            patch_size: self.patch_size,
            hidden_act: self.activation,
            layer_norm_eps: 1e-5,
            projection_dim: None,
        }
    }

    /// Sizes of the identity encoder.
    pub fn encoder(&self) -> OmniIdConfig {
        OmniIdConfig {
            queries: self.queries,
            width: self.encoder_width,
            depth: self.encoder_depth,
            heads: self.encoder_heads,
            head_width: self.encoder_width / self.encoder_heads.max(1),
            feed_forward_multiplier: 4,
            feature_width: self.width,
            feature_tokens: self.patches() + 1,
            token_width: self.token_width,
            key_position: self.anchored_queries,
            include_class_token: self.class_token,
        }
    }

    /// The crop that the model expects.
    pub fn crop(&self) -> CropMode {
        CropMode::Aligned {
            scale: self.crop_scale,
            center: self.crop_center,
        }
    }

    pub(super) fn validate(&self) -> Result<()> {
        for (name, value) in [
            ("image_size", self.image_size),
            ("patch_size", self.patch_size),
            ("width", self.width),
            ("blocks", self.blocks),
            ("heads", self.heads),
            ("feed_forward", self.feed_forward),
            ("queries", self.queries),
            ("encoder_width", self.encoder_width),
            ("encoder_depth", self.encoder_depth),
            ("encoder_heads", self.encoder_heads),
            ("token_width", self.token_width),
        ] {
            need((1..=1 << 16).contains(&value), name, value, "1 to 65536")?;
        }
        need(
            self.image_size.is_multiple_of(self.patch_size),
            "image_size",
            self.image_size,
            "a multiple of patch_size",
        )?;
        need(
            self.width.is_multiple_of(self.heads),
            "width",
            self.width,
            "a multiple of heads",
        )?;
        need(
            self.encoder_width.is_multiple_of(self.encoder_heads),
            "encoder_width",
            self.encoder_width,
            "a multiple of encoder_heads",
        )?;
        need(
            self.query_std > 0.0 && self.query_std.is_finite(),
            "query_std",
            self.query_std,
            "above 0",
        )?;
        need(
            (0.1..=4.0).contains(&self.crop_scale),
            "crop_scale",
            self.crop_scale,
            "0.1 to 4",
        )?;
        self.backbone().validate()?;
        self.encoder().validate()
    }
}
