//! Sizes of a vision transformer from the shapes of its tensors.

use super::config_json::names_an_architecture;
use super::{VisionConfig, VisionFamily};
use crate::error::{Error, Result};
use crate::remedy;
use crate::tensor_file::Shapes;

/// What the tensors of a file say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct VisionSizes {
    pub family: VisionFamily,
    pub hidden: usize,
    pub intermediate: usize,
    pub layers: usize,
    pub patch: usize,
    /// Rows of the position embedding: patches, and the class token if there is one.
    pub positions: usize,
    pub projection: Option<usize>,
    /// Width of a head, if a table of rotary angles tells it.
    pub head_width: Option<usize>,
}

impl VisionSizes {
    /// Reads the sizes off the tensors, named as in [`VisionTransformer`](super::VisionTransformer).
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) when one is missing or has another number of dimensions.
    pub fn read(shapes: &Shapes) -> Result<Self> {
        const PATCHES: &str = "vision_model.embeddings.patch_embedding.weight";
        const PROJECTION: &str = "visual_projection.weight";
        const ANGLES: &str = "vision_model.rope.freqs_cos";
        const POOLING: &str = "vision_model.head.probe";
        let none = |error: Error| error.context("no vision transformer in the Hugging Face layout");
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
        let family = family(shapes)?;
        let layer = |n: usize| {
            let up = if family.is_gated() { "gate_proj" } else { "fc1" };
            format!("vision_model.encoder.layers.{n}.mlp.{up}.weight")
        };
        let [intermediate, _] = shapes.dims(&layer(0)).map_err(none)?;
        let [positions, _] = shapes
            .dims("vision_model.embeddings.position_embedding.weight")
            .map_err(none)?;
        let projection = match family {
            VisionFamily::Dinov2 { .. } => Some(hidden),
            VisionFamily::Siglip => shapes.has(POOLING).then_some(hidden),
            VisionFamily::Clip | VisionFamily::Eva02 => match shapes.has(PROJECTION) {
                true => Some(shapes.dims::<2>(PROJECTION)?[0]),
                false => None,
            },
        };
        Ok(Self {
            family,
            hidden,
            intermediate,
            layers: shapes.count(layer),
            patch,
            positions,
            projection,
            head_width: match shapes.has(ANGLES) {
                true => Some(shapes.dims::<2>(ANGLES)?[1]),
                false => None,
            },
        })
    }

    /// Tokens per image: the patches and what stands before them.
    pub fn tokens(&self) -> usize {
        self.positions.saturating_add(self.family.register_tokens())
    }

    fn same_model(&self, preset: &VisionConfig) -> bool {
        self.family.is_same(preset.family)
            && self.family.is_gated() == preset.family.is_gated()
            && self.hidden == preset.hidden_size
            && self.layers == preset.num_hidden_layers
            && self.intermediate == preset.intermediate_size
            && self.patch == preset.patch_size
    }

    /// A model of another size than the published ones, of a family whose members agree in what shapes do not tell: all
    /// of DINOv2 and EVA02-CLIP have heads of 64, unless the table of rotary angles says otherwise.
    fn unpublished(&self) -> Option<VisionConfig> {
        let head_width = self.head_width.unwrap_or(64);
        let like = match self.family {
            VisionFamily::Dinov2 { swiglu: false, .. } => VisionConfig::dinov2_base(0),
            VisionFamily::Dinov2 { swiglu: true, .. } => VisionConfig::dinov2_giant(0),
            VisionFamily::Eva02 => VisionConfig::eva02_clip_l14_336(),
            _ => return None,
        };
        let whole = self.hidden.is_multiple_of(head_width) && self.hidden > 0;
        whole.then_some(VisionConfig {
            hidden_size: self.hidden,
            intermediate_size: self.intermediate,
            num_hidden_layers: self.layers,
            num_attention_heads: self.hidden / head_width,
            patch_size: self.patch,
            ..like
        })
    }

    /// The side of the input, from the number of positions.
    fn image_size(&self) -> Result<usize> {
        let class = self.family.position_prefix();
        let patches = self.positions.saturating_sub(class);
        let side = patches.isqrt();
        if side == 0 || side * side != patches {
            let before = if class > 0 { " and one class token" } else { "" };
            return Err(Error::format(format!(
                "the position embedding has {} rows; an image encoder needs a square number of patches{before}",
                self.positions
            )));
        }
        // 27 patches of 14 pixels are the models for pictures of 384 pixels: the last 6 belong to no patch.
        if self.family == VisionFamily::Siglip && (side, self.patch) == (27, 14) {
            return Ok(384);
        }
        side.checked_mul(self.patch)
            .ok_or_else(|| Error::format("the image encoder's input size overflows"))
    }

    /// The configuration must describe these tensors.
    fn check(&self, config: &VisionConfig) -> Result<()> {
        if config.family != self.family {
            let variant = |family: VisionFamily| match family {
                VisionFamily::Dinov2 {
                    register_tokens,
                    swiglu,
                } => format!("DINOv2 with {register_tokens} registers, SwiGLU {swiglu}"),
                other => other.to_string(),
            };
            return Err(Error::format(format!(
                "config.json of the image encoder describes {}, its tensors are those of {}",
                variant(config.family),
                variant(self.family)
            )));
        }
        let pairs = [
            ("hidden_size", config.hidden_size, self.hidden),
            ("intermediate_size", config.intermediate_size, self.intermediate),
            ("num_hidden_layers", config.num_hidden_layers, self.layers),
            ("patch_size", config.patch_size, self.patch),
            ("number of positions", config.position_count(), self.positions),
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

/// Which network the tensors make: each family has one that the others lack.
fn family(shapes: &Shapes) -> Result<VisionFamily> {
    let block = "vision_model.encoder.layers.0";
    if shapes.has(&format!("{block}.layer_scale1.lambda1")) {
        const REGISTERS: &str = "vision_model.embeddings.register_tokens";
        return Ok(VisionFamily::Dinov2 {
            register_tokens: match shapes.has(REGISTERS) {
                true => shapes.dims::<3>(REGISTERS)?[1],
                false => 0,
            },
            swiglu: shapes.has(&format!("{block}.mlp.gate_proj.weight")),
        });
    }
    if shapes.has(&format!("{block}.self_attn.inner_attn_ln.weight")) {
        return Ok(VisionFamily::Eva02);
    }
    let bias = shapes.has("vision_model.embeddings.patch_embedding.bias");
    let class = shapes.has("vision_model.embeddings.class_embedding");
    Ok(match bias && !class {
        true => VisionFamily::Siglip,
        false => VisionFamily::Clip,
    })
}

impl VisionConfig {
    /// Finds family and sizes of the vision transformer in a [`Checkpoint`](crate::checkpoint::Checkpoint), a view of a
    /// part of one, or its shapes; names begin with `vision_model.`, as
    /// [`Checkpoint::vision_view`](crate::checkpoint::Checkpoint::vision_view) gives them.
    ///
    /// Shapes tell everything but the number of heads and the activation. Those come from `config_json` if given, else
    /// from the preset with the same width, layers, feed-forward width and patch; for DINOv2 and EVA02-CLIP of other
    /// sizes from what all of their models have. A `config_json` of timm or open_clip,
    /// which has no sizes, counts as none.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) when tensors are missing or contradict `config_json`;
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) when no preset matches and there is no
    /// `config_json`.
    pub fn infer(shapes: impl Into<Shapes>, config_json: Option<&str>) -> Result<Self> {
        let seen = VisionSizes::read(&shapes.into())?;
        if let Some(text) = config_json.filter(|text| !names_an_architecture(text)) {
            let mut config = Self::from_config_json(text)?;
            // A headless file keeps the projection width in its config; the tensors decide.
            config.projection_dim = seen.projection;
            seen.check(&config)?;
            return Ok(config);
        }
        let presets = Self::published();
        let preset = presets.into_iter().find(|preset| seen.same_model(preset));
        let Some(preset) = preset.or_else(|| seen.unpublished()) else {
            return Err(Error::unsupported(format!(
                "a vision transformer of width {}, {} layers, feed-forward width {} and patch {} is no published {} \
                 model, so its shapes do not tell the number of heads and the activation",
                seen.hidden, seen.layers, seen.intermediate, seen.patch, seen.family
            ))
            .with_remedy(remedy::IMAGE_ENCODER_CONFIG));
        };
        let config = Self {
            family: seen.family,
            image_size: seen.image_size()?,
            projection_dim: seen.projection,
            ..preset
        };
        config.validate()?;
        Ok(config)
    }
}
