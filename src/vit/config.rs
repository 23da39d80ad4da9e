//! Sizes of a vision transformer: presets, Hugging Face `config.json`, and what tensor shapes tell.

use crate::error::{Error, Result};
use crate::remedy;
use crate::tensor_file::Shapes;
use omniid_kernels::layers::Activation;
use serde::{Deserialize, Serialize};

/// Sizes of a CLIP vision transformer, with the names of Hugging Face `CLIPVisionConfig`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VisionConfig {
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
    /// Activation of the feed-forward part.
    pub hidden_act: Activation,
    /// Epsilon of every layer normalisation.
    #[serde(default = "default_epsilon")]
    pub layer_norm_eps: f64,
    /// Width of `image_embeds`; `None` for a file without `visual_projection.weight`.
    #[serde(default)]
    pub projection_dim: Option<usize>,
}

fn default_epsilon() -> f64 {
    1e-5
}

/// Largest size that a configuration may name; far above every published model, far below overflow.
const MOST: usize = 1 << 20;

/// Largest side of the input in pixels, as for crops of photos. A patch as large as the input needs few weights, so
/// a small file could otherwise ask for a picture of any size.
const MOST_PIXELS: usize = 4096;

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
            hidden_size: width,
            intermediate_size: intermediate,
            num_hidden_layers: layers,
            num_attention_heads: heads,
            image_size: 224,
            patch_size: patch,
            hidden_act: act,
            layer_norm_eps: default_epsilon(),
            projection_dim: Some(projection),
        }
    }

    /// Reads a Hugging Face `config.json` of a CLIP vision model, or of a whole CLIP model (`vision_config` inside).
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) when the text is not such a file or its sizes are impossible.
    pub fn from_config_json(text: &str) -> Result<Self> {
        let root: serde_json::Value = serde_json::from_str(text)
            .map_err(|error| Error::format(format!("config.json of the image encoder: {error}")))?;
        let nested = root.get("vision_config").filter(|value| value.is_object());
        let mut value = nested.unwrap_or(&root).clone();
        if let Some(object) = value.as_object_mut() {
            if let (Some(_), Some(outer)) = (nested, root.get("projection_dim")) {
                // A whole CLIP model projects with the outer width; the inner one is a default nobody reads.
                object.insert("projection_dim".to_string(), outer.clone());
            }
            // What `CLIPVisionConfig` assumes when a file leaves a key out: the sizes of ViT-B/32.
            for (key, default) in [
                ("hidden_size", serde_json::json!(768)),
                ("intermediate_size", serde_json::json!(3072)),
                ("num_hidden_layers", serde_json::json!(12)),
                ("num_attention_heads", serde_json::json!(12)),
                ("image_size", serde_json::json!(224)),
                ("patch_size", serde_json::json!(32)),
                ("hidden_act", serde_json::json!("quick_gelu")),
                ("projection_dim", serde_json::json!(512)),
            ] {
                object.entry(key).or_insert(default);
            }
        }
        let config: Self = serde_json::from_value(value)
            .map_err(|error| Error::format(format!("config.json of the image encoder: {error}")))?;
        config.validate()?;
        Ok(config)
    }

    /// Finds the sizes of the vision transformer in a [`Checkpoint`](crate::checkpoint::Checkpoint), a view of a part
    /// of one, or its shapes; names begin with `vision_model.`.
    ///
    /// Shapes tell everything but the number of heads and the activation. Those come from `config_json` if given, else
    /// from the preset with the same width, layers, feed-forward width and patch.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) when tensors are missing or contradict `config_json`;
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) when no preset matches and there is no
    /// `config_json`.
    pub fn infer(shapes: impl Into<Shapes>, config_json: Option<&str>) -> Result<Self> {
        let seen = VisionSizes::read(&shapes.into())?;
        if let Some(text) = config_json {
            let mut config = Self::from_config_json(text)?;
            // A headless file keeps the projection width in its config; the tensors decide.
            config.projection_dim = seen.projection;
            seen.check(&config)?;
            return Ok(config);
        }
        let presets = [
            Self::clip_b32(),
            Self::clip_l14(),
            Self::clip_h14(),
            Self::clip_bigg14(),
        ];
        let Some(preset) = presets.into_iter().find(|preset| seen.same_model(preset)) else {
            return Err(Error::unsupported(format!(
                "a vision transformer of width {}, {} layers, feed-forward width {} and patch {} is no published CLIP \
                 model, so its shapes do not tell the number of heads and the activation",
                seen.hidden, seen.layers, seen.intermediate, seen.patch
            ))
            .with_remedy(remedy::IMAGE_ENCODER_CONFIG));
        };
        let config = Self {
            image_size: seen.image_size()?,
            projection_dim: seen.projection,
            ..preset
        };
        config.validate()?;
        Ok(config)
    }

    /// Patches along a side of the input.
    pub fn patches_per_side(&self) -> usize {
        self.image_size / self.patch_size.max(1)
    }

    /// Number of patches: all tokens but the class token.
    pub fn patch_count(&self) -> usize {
        self.patches_per_side() * self.patches_per_side()
    }

    /// Number of tokens: the class token and the patches.
    pub fn token_count(&self) -> usize {
        self.patch_count() + 1
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

/// What the tensors of a file say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct VisionSizes {
    pub hidden: usize,
    pub intermediate: usize,
    pub layers: usize,
    pub patch: usize,
    /// Rows of the position embedding: tokens per image, class token included.
    pub positions: usize,
    pub projection: Option<usize>,
}

impl VisionSizes {
    /// Reads the sizes off the tensors.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) when one is missing or has another number of dimensions.
    pub fn read(shapes: &Shapes) -> Result<Self> {
        const PATCHES: &str = "vision_model.embeddings.patch_embedding.weight";
        const PROJECTION: &str = "visual_projection.weight";
        let layer = |n: usize| format!("vision_model.encoder.layers.{n}.mlp.fc1.weight");
        let none = |error: Error| error.context("no CLIP vision transformer in the Hugging Face layout");
        let [hidden, channels, patch, width] = shapes.dims(PATCHES).map_err(none)?;
        if channels == 3 && patch != width {
            return Err(Error::unsupported(format!(
                "patches of {patch}×{width} pixels: only square ones"
            )));
        }
        if channels != 3 {
            return Err(Error::format(format!(
                "tensor {} has shape {:?}; an image encoder needs [width, 3, patch, patch]",
                shapes.quoted(PATCHES),
                [hidden, channels, patch, width]
            )));
        }
        let [intermediate, _] = shapes.dims(&layer(0)).map_err(none)?;
        let [positions, _] = shapes
            .dims("vision_model.embeddings.position_embedding.weight")
            .map_err(none)?;
        Ok(Self {
            hidden,
            intermediate,
            layers: shapes.count(layer),
            patch,
            positions,
            projection: match shapes.has(PROJECTION) {
                true => Some(shapes.dims::<2>(PROJECTION)?[0]),
                false => None,
            },
        })
    }

    fn same_model(&self, preset: &VisionConfig) -> bool {
        self.hidden == preset.hidden_size
            && self.layers == preset.num_hidden_layers
            && self.intermediate == preset.intermediate_size
            && self.patch == preset.patch_size
    }

    /// The side of the input, from the number of positions.
    fn image_size(&self) -> Result<usize> {
        let patches = self.positions.saturating_sub(1);
        let side = patches.isqrt();
        if side == 0 || side * side != patches {
            return Err(Error::format(format!(
                "the position embedding has {} rows; an image encoder needs a square number of patches and one class \
                 token",
                self.positions
            )));
        }
        side.checked_mul(self.patch)
            .ok_or_else(|| Error::format("the image encoder's input size overflows"))
    }

    /// The configuration must describe these tensors.
    fn check(&self, config: &VisionConfig) -> Result<()> {
        let pairs = [
            ("hidden_size", config.hidden_size, self.hidden),
            ("intermediate_size", config.intermediate_size, self.intermediate),
            ("num_hidden_layers", config.num_hidden_layers, self.layers),
            ("patch_size", config.patch_size, self.patch),
            ("number of positions", config.token_count(), self.positions),
        ];
        for (name, said, seen) in pairs {
            if said != seen {
                return Err(Error::format(format!(
                    "config.json of the image encoder says {name} {said}, its tensors say {seen}"
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
