//! Sizes of a host, and every tensor that they ask for.

use crate::context::ContextEncoder;
use crate::prediction::Prediction;
use crate::unet::{self, UNetConfig};
use crate::view::View;
use omniid::{Error, Result};
use omniid_kernels::layers::TensorSpec;
use serde::{Deserialize, Serialize};

/// Prefix of the context encoder's tensors. The UNet's own have none, as in diffusers.
pub const CONTEXT_PREFIX: &str = "context";

/// Prefix, under [`CONTEXT_PREFIX`], of the encoder of the map.
pub(crate) const MAP_PREFIX: &str = "map";

/// Everything about a host that its tensors do not say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MinihostConfig {
    /// Rows and columns of the pictures in pixels.
    pub size: usize,
    /// Side of the blocks of pixels that become one token of the UNet's input.
    pub block: usize,
    /// What the UNet predicts.
    pub prediction: Prediction,
    /// Context tokens.
    pub context_tokens: usize,
    /// Hidden width of the context encoder.
    pub context_hidden: usize,
    /// Channels of the map that is made of the view and joined to the UNet's input; 0 for none.
    #[serde(default)]
    pub map_channels: usize,
    /// The UNet: diffusers' `config.json`.
    pub unet: UNetConfig,
}

/// The sizes that are usually varied, for [`MinihostConfig::new`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MinihostSizes {
    /// Rows and columns of the pictures in pixels.
    pub size: usize,
    /// Side of the blocks of pixels that become one token.
    pub block: usize,
    /// Channels of each level, the finest first.
    pub channels: Vec<usize>,
    /// Residual blocks, each with a transformer unless the level is plain, per level.
    pub layers_per_block: usize,
    /// Levels without transformers, the finest first. There, attention would be dear; the identity comes up from the
    /// coarser levels.
    #[serde(default)]
    pub plain_levels: usize,
    /// Width of the time embedding; without, four times the channels of the finest level.
    #[serde(default)]
    pub time_width: Option<usize>,
    /// Blocks of each transformer.
    #[serde(default = "one")]
    pub transformer_layers_per_block: usize,
    /// Channels per attention head.
    pub head_width: usize,
    /// Width of the context tokens.
    pub context_width: usize,
    /// Context tokens.
    pub context_tokens: usize,
    /// Channels of the map that is made of the view and joined to the UNet's input; 0 for none.
    #[serde(default)]
    pub map_channels: usize,
}

fn one() -> usize {
    1
}

impl Default for MinihostSizes {
    /// 64 px in blocks of 4, two levels of 128 and 256 channels.
    fn default() -> Self {
        Self {
            size: 64,
            block: 4,
            channels: vec![128, 256],
            layers_per_block: 1,
            plain_levels: 0,
            time_width: None,
            transformer_layers_per_block: 1,
            head_width: 32,
            context_width: 128,
            context_tokens: 4,
            map_channels: 16,
        }
    }
}

impl MinihostConfig {
    /// A host with transformers at all levels but the plain ones, linear projections, and the view as class vector and
    /// as tokens.
    ///
    /// # Errors
    /// [`InvalidArgument`](omniid::ErrorKind::InvalidArgument) for sizes that do not fit each other.
    pub fn new(sizes: &MinihostSizes, prediction: Prediction) -> Result<Self> {
        let levels = sizes.channels.len();
        if sizes.plain_levels > levels {
            return Err(Error::invalid(format!(
                "minihost: {} plain levels of {levels} in all",
                sizes.plain_levels
            )));
        }
        let blocks = 3 * sizes.block * sizes.block;
        let groups = |width: &usize| [32, 16, 8, 4, 2, 1].into_iter().find(|g| width.is_multiple_of(*g));
        let heads = |width: &usize| (width / sizes.head_width.max(1)).max(1);
        let attends = |level: usize| level >= sizes.plain_levels;
        let config = Self {
            size: sizes.size,
            block: sizes.block,
            prediction,
            context_tokens: sizes.context_tokens,
            context_hidden: 4 * sizes.context_width,
            map_channels: sizes.map_channels,
            unet: UNetConfig {
                in_channels: blocks + sizes.map_channels,
                out_channels: blocks,
                sample_size: sizes.size / sizes.block.max(1),
                layers_per_block: sizes.layers_per_block,
                down_attention: (0..levels).map(attends).collect(),
                mid_attention: true,
                up_attention: (0..levels).rev().map(attends).collect(),
                heads: sizes.channels.iter().map(heads).collect(),
                transformer_layers_per_block: sizes.transformer_layers_per_block,
                cross_attention_dim: sizes.context_width,
                norm_num_groups: sizes.channels.iter().filter_map(groups).min().unwrap_or(1),
                norm_eps: 1e-5,
                use_linear_projection: true,
                time_embedding_dim: sizes.time_width,
                class_width: Some(View::LENGTH),
                flip_sin_to_cos: true,
                freq_shift: 0.0,
                block_out_channels: sizes.channels.clone(),
            },
        };
        config.check()?;
        Ok(config)
    }

    /// Fails unless all sizes fit each other.
    ///
    /// # Errors
    /// [`InvalidArgument`](omniid::ErrorKind::InvalidArgument) naming the field and what would fit.
    pub fn check(&self) -> Result<()> {
        self.unet.check()?;
        let fail = |text: String| Err(Error::invalid(format!("minihost: {text}")));
        let step = self.block << (self.unet.levels() - 1).min(32);
        if self.block == 0 || self.block > 64 || self.size == 0 || !self.size.is_multiple_of(step) {
            return fail(format!(
                "pictures of {} pixels in blocks of {}; with {} levels the size must be a multiple of {step}",
                self.size,
                self.block,
                self.unet.levels()
            ));
        }
        let channels = 3 * self.block * self.block;
        let inputs = channels.saturating_add(self.map_channels);
        if self.unet.in_channels != inputs || self.unet.out_channels != channels {
            return fail(format!(
                "the UNet has {} input and {} output channels; blocks of {} and a map of {} channels need {inputs} and \
                 {channels}",
                self.unet.in_channels, self.unet.out_channels, self.block, self.map_channels
            ));
        }
        if !matches!(self.unet.class_width, None | Some(View::LENGTH)) {
            return fail(format!(
                "projection_class_embeddings_input_dim is {:?}; a view has {} numbers",
                self.unet.class_width,
                View::LENGTH
            ));
        }
        for (name, value) in [
            ("context_tokens", self.context_tokens),
            ("context_hidden", self.context_hidden),
        ] {
            if value == 0 || value > 1 << 14 {
                return fail(format!("{name} is {value}, 1 to {} are possible", 1 << 14));
            }
        }
        Ok(())
    }

    /// Every tensor: the UNet's under diffusers' names, the context encoder's under `context.`.
    ///
    /// # Errors
    /// As [`MinihostConfig::check`].
    pub fn tensors(&self) -> Result<Vec<TensorSpec>> {
        self.check()?;
        let mut specs = unet::tensors(&self.unet);
        let width = self.unet.cross_attention_dim;
        let mut add = |prefix: String, tensors: Vec<TensorSpec>| {
            specs.extend(tensors.into_iter().map(|spec| TensorSpec {
                name: format!("{prefix}.{}", spec.name),
                ..spec
            }));
        };
        let context = ContextEncoder::tensors(self.context_hidden, self.context_tokens, width);
        add(CONTEXT_PREFIX.to_string(), context);
        if self.map_channels > 0 {
            let map = ContextEncoder::tensors(self.context_hidden, self.places(), self.map_channels);
            add(format!("{CONTEXT_PREFIX}.{MAP_PREFIX}"), map);
        }
        Ok(specs)
    }

    /// Places of the UNet's input: the tokens of a picture.
    pub(crate) fn places(&self) -> usize {
        let side = self.size / self.block.max(1);
        side * side
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::config;

    #[test]
    fn plain_levels_are_the_finest_and_depth_is_that_of_transformers() -> Result<()> {
        let sizes = MinihostSizes {
            size: 16,
            block: 2,
            channels: vec![8, 16],
            plain_levels: 1,
            time_width: Some(24),
            transformer_layers_per_block: 2,
            head_width: 4,
            context_width: 6,
            ..MinihostSizes::default()
        };
        let config = MinihostConfig::new(&sizes, Prediction::Sample)?;
        assert_eq!(config.unet.down_attention, [false, true]);
        assert_eq!(config.unet.up_attention, [true, false]);
        let tensors = config.tensors()?;
        let named = |part: &str| tensors.iter().filter(|spec| spec.name.contains(part)).count();
        assert_eq!(named("down_blocks.0.attentions") + named("up_blocks.1.attentions"), 0);
        let time = tensors
            .iter()
            .find(|spec| spec.name == "time_embedding.linear_1.weight");
        assert_eq!(time.map(|spec| spec.shape.clone()), Some(vec![24, 8]));
        // One transformer on the way down, two up, one in the middle, of two blocks each.
        assert_eq!(config.unet.host()?.layer_count(), 8);
        // The same network under diffusers' own description.
        assert_eq!(UNetConfig::from_json(&config.unet.to_json())?, config.unet);
        for (plain_levels, depth, name) in [(3, 1, "plain levels"), (1, 0, "transformer_layers_per_block")] {
            let wrong = MinihostSizes {
                plain_levels,
                transformer_layers_per_block: depth,
                ..sizes.clone()
            };
            let error = MinihostConfig::new(&wrong, Prediction::Sample).unwrap_err();
            assert!(error.message().contains(name), "{error:?}");
        }
        Ok(())
    }

    #[test]
    fn a_host_without_a_map_reads_files_from_before_maps() -> Result<()> {
        let mut config = config(Prediction::Sample);
        config.map_channels = 0;
        config.unet.in_channels = 12;
        config.check()?;
        let mut json: serde_json::Value = serde_json::to_value(&config).expect("plain data");
        json.as_object_mut().expect("an object").remove("map_channels");
        let read: MinihostConfig = serde_json::from_value(json).expect("the field may be absent");
        assert_eq!(read, config);
        assert!(config
            .tensors()?
            .iter()
            .all(|spec| !spec.name.starts_with("context.map.")));
        config.map_channels = 3;
        assert!(config.check().is_err(), "12 input channels do not hold a map");
        Ok(())
    }
}
