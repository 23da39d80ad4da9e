//! The families of image encoders, and in what their networks differ.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A family of vision transformers. Sizes are in [`VisionConfig`](super::VisionConfig); this is what sizes do not say.
///
/// All are pre-norm transformers over square patches:
///
/// | | class token | patch bias | norm before the blocks | positions | feed-forward | image embedding |
/// |---|---|---|---|---|---|---|
/// | CLIP | yes | no | yes | learned | plain | class token, projected |
/// | SigLIP | no | yes | no | learned | plain | attention pooling over all tokens |
/// | DINOv2 | yes | yes | no | learned, resampled for other sizes | plain or SwiGLU | class token |
/// | EVA02-CLIP | yes | yes | no | learned, and rotary in every block | SwiGLU with a norm inside | class token, projected |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum VisionFamily {
    /// CLIP (Radford et al. 2021), also as OpenCLIP trained it.
    #[default]
    Clip,
    /// SigLIP and SigLIP 2 with square input (Zhai et al. 2023; Tschannen et al. 2025).
    Siglip,
    /// DINOv2 (Oquab et al. 2023), also with register tokens (Darcet et al. 2023).
    Dinov2 {
        /// Register tokens after the class token: 0, or 4 in the published models that have them.
        #[serde(default)]
        register_tokens: usize,
        /// Whether the feed-forward part is a SwiGLU, as in the giant model.
        #[serde(default)]
        swiglu: bool,
    },
    /// EVA02-CLIP (Sun et al. 2023): rotary positions, norms inside of attention and feed-forward part.
    Eva02,
}

impl VisionFamily {
    /// The name that people know.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clip => "CLIP",
            Self::Siglip => "SigLIP",
            Self::Dinov2 { .. } => "DINOv2",
            Self::Eva02 => "EVA02-CLIP",
        }
    }

    /// Whether both are the same family, whatever its variant.
    pub(crate) fn is_same(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }

    /// Tokens that stand before the patches: the class token and the registers.
    pub fn prefix_tokens(self) -> usize {
        self.position_prefix() + self.register_tokens()
    }

    /// Tokens before the patches that have a row in the position embedding: the class token.
    pub(crate) fn position_prefix(self) -> usize {
        usize::from(self != Self::Siglip)
    }

    /// Register tokens after the class token.
    pub(crate) fn register_tokens(self) -> usize {
        match self {
            Self::Dinov2 { register_tokens, .. } => register_tokens,
            _ => 0,
        }
    }

    /// Whether the patch embedding has a bias.
    pub(crate) fn has_patch_bias(self) -> bool {
        self != Self::Clip
    }

    /// Whether there is a norm before the first block.
    pub(crate) fn has_pre_norm(self) -> bool {
        self == Self::Clip
    }

    /// Whether the key projection has a bias.
    pub(crate) fn has_key_bias(self) -> bool {
        self != Self::Eva02
    }

    /// Whether attention and feed-forward part have a norm before their last layer.
    pub(crate) fn has_inner_norms(self) -> bool {
        self == Self::Eva02
    }

    /// Whether queries and keys are turned by their position.
    pub(crate) fn is_rotary(self) -> bool {
        self == Self::Eva02
    }

    /// Whether the feed-forward part is gated.
    pub(crate) fn is_gated(self) -> bool {
        matches!(self, Self::Eva02 | Self::Dinov2 { swiglu: true, .. })
    }

    /// Whether what a block adds is scaled per channel.
    pub(crate) fn has_layer_scale(self) -> bool {
        matches!(self, Self::Dinov2 { .. })
    }

    /// Whether pictures of other sizes than the position embedding's can be read.
    pub(crate) fn resamples_positions(self) -> bool {
        matches!(self, Self::Dinov2 { .. })
    }
}

impl fmt::Display for VisionFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
