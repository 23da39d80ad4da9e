//! Sizes of published vision transformers.

use super::{VisionConfig, VisionFamily};
use omniid_kernels::layers::Activation;

/// Epsilon of CLIP's layer normalisations.
const CLIP_EPSILON: f64 = 1e-5;

/// Epsilon of those of SigLIP, DINOv2 and EVA02.
const SMALL_EPSILON: f64 = 1e-6;

impl VisionConfig {
    /// OpenAI CLIP ViT-B/32 (`openai/clip-vit-base-patch32`).
    pub fn clip_b32() -> Self {
        Self::clip(768, 3072, 12, 12, 32, Activation::QuickGelu, 512)
    }

    /// OpenAI CLIP ViT-L/14 (`openai/clip-vit-large-patch14`), used by XLabs FLUX.
    pub fn clip_l14() -> Self {
        Self::clip(1024, 4096, 24, 16, 14, Activation::QuickGelu, 768)
    }

    /// OpenCLIP ViT-H/14 (`laion/CLIP-ViT-H-14-laion2B-s32B-b79K`), used by IP-Adapter Plus and Omni-ID.
    pub fn clip_h14() -> Self {
        Self::clip(1280, 5120, 32, 16, 14, Activation::Gelu, 1024)
    }

    /// OpenCLIP ViT-bigG/14 (`laion/CLIP-ViT-bigG-14-laion2B-39B-b160k`), used by IP-Adapter for SDXL.
    pub fn clip_bigg14() -> Self {
        Self::clip(1664, 8192, 48, 16, 14, Activation::Gelu, 1280)
    }

    /// SigLIP base, patches of 16 pixels: `image_size` 224, 256 (also `google/siglip-base-patch16-256-i18n`, used by
    /// WithAnyone), 384 or 512.
    pub fn siglip_b16(image_size: usize) -> Self {
        Self::siglip(768, 3072, 12, 12, 16, image_size)
    }

    /// SigLIP 2 base with patches of 32 pixels, `google/siglip2-base-patch32-256`.
    pub fn siglip_b32() -> Self {
        Self::siglip(768, 3072, 12, 12, 32, 256)
    }

    /// SigLIP large, patches of 16 pixels: `image_size` 256, 384 or 512.
    pub fn siglip_l16(image_size: usize) -> Self {
        Self::siglip(1024, 4096, 24, 16, 16, image_size)
    }

    /// SigLIP so400m, patches of 14 pixels: `image_size` 384 (`google/siglip-so400m-patch14-384`, used by InstantX for
    /// FLUX and SD3.5; the last 6 pixels of a line belong to no patch) or 224.
    pub fn siglip_so400m14(image_size: usize) -> Self {
        Self::siglip(1152, 4304, 27, 16, 14, image_size)
    }

    /// SigLIP so400m, patches of 16 pixels: `image_size` 256, 384 or 512.
    pub fn siglip_so400m16(image_size: usize) -> Self {
        Self::siglip(1152, 4304, 27, 16, 16, image_size)
    }

    /// SigLIP 2 giant, patches of 16 pixels: `image_size` 256 or 384.
    pub fn siglip_giant16(image_size: usize) -> Self {
        Self::siglip(1536, 6144, 40, 16, 16, image_size)
    }

    /// DINOv2 small (`facebook/dinov2-small`), with `register_tokens` 4 `facebook/dinov2-with-registers-small`.
    pub fn dinov2_small(register_tokens: usize) -> Self {
        Self::dinov2(384, 1536, 12, 6, register_tokens, false)
    }

    /// DINOv2 base.
    pub fn dinov2_base(register_tokens: usize) -> Self {
        Self::dinov2(768, 3072, 12, 12, register_tokens, false)
    }

    /// DINOv2 large.
    pub fn dinov2_large(register_tokens: usize) -> Self {
        Self::dinov2(1024, 4096, 24, 16, register_tokens, false)
    }

    /// DINOv2 giant, whose feed-forward part is a SwiGLU.
    pub fn dinov2_giant(register_tokens: usize) -> Self {
        Self::dinov2(1536, 4096, 40, 24, register_tokens, true)
    }

    /// EVA02-CLIP-B/16 (`QuanSun/EVA-CLIP`, `EVA02_CLIP_B_psz16_s8B.pt`).
    pub fn eva02_clip_b16() -> Self {
        Self::eva02(768, 2048, 12, 12, 16, 224, 512)
    }

    /// EVA02-CLIP-L/14 with pictures of 336 pixels (`QuanSun/EVA-CLIP`, `EVA02_CLIP_L_336_psz14_s6B.pt`), used by PuLID.
    pub fn eva02_clip_l14_336() -> Self {
        Self::eva02(1024, 2730, 24, 16, 14, 336, 768)
    }

    /// One model of each published size.
    pub(super) fn published() -> [Self; 16] {
        [
            Self::clip_b32(),
            Self::clip_l14(),
            Self::clip_h14(),
            Self::clip_bigg14(),
            Self::siglip_b16(256),
            Self::siglip_b32(),
            Self::siglip_l16(256),
            Self::siglip_so400m14(384),
            Self::siglip_so400m16(256),
            Self::siglip_giant16(256),
            Self::dinov2_small(0),
            Self::dinov2_base(0),
            Self::dinov2_large(0),
            Self::dinov2_giant(0),
            Self::eva02_clip_b16(),
            Self::eva02_clip_l14_336(),
        ]
    }

    fn clip(
        width: usize,
        intermediate: usize,
        layers: usize,
        heads: usize,
        patch: usize,
        act: Activation,
        projection: usize,
    ) -> Self {
        Self {
            family: VisionFamily::Clip,
            hidden_size: width,
            intermediate_size: intermediate,
            num_hidden_layers: layers,
            num_attention_heads: heads,
            image_size: 224,
            patch_size: patch,
            hidden_act: act,
            layer_norm_eps: CLIP_EPSILON,
            projection_dim: Some(projection),
        }
    }

    fn siglip(width: usize, intermediate: usize, layers: usize, heads: usize, patch: usize, image: usize) -> Self {
        Self {
            family: VisionFamily::Siglip,
            image_size: image,
            layer_norm_eps: SMALL_EPSILON,
            ..Self::clip(width, intermediate, layers, heads, patch, Activation::GeluTanh, width)
        }
    }

    fn dinov2(
        width: usize,
        intermediate: usize,
        layers: usize,
        heads: usize,
        register_tokens: usize,
        swiglu: bool,
    ) -> Self {
        let act = if swiglu { Activation::Silu } else { Activation::Gelu };
        Self {
            family: VisionFamily::Dinov2 {
                register_tokens,
                swiglu,
            },
            image_size: 518,
            layer_norm_eps: SMALL_EPSILON,
            ..Self::clip(width, intermediate, layers, heads, 14, act, width)
        }
    }

    fn eva02(
        width: usize,
        intermediate: usize,
        layers: usize,
        heads: usize,
        patch: usize,
        image: usize,
        projection: usize,
    ) -> Self {
        Self {
            family: VisionFamily::Eva02,
            image_size: image,
            layer_norm_eps: SMALL_EPSILON,
            ..Self::clip(width, intermediate, layers, heads, patch, Activation::Silu, projection)
        }
    }
}
