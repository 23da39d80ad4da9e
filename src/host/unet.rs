//! The layer table of a UNet of Stable Diffusion's design, from its shape.

use super::{BlockKind, HookAddress, HostFamily, HostLayer, HostSpec, MAX_LAYERS, MAX_WIDTH};
use crate::error::{Error, Result};

/// Shape of a UNet, level by level from the finest to the coarsest, as in the `diffusers` configuration.
///
/// The up-sampling half mirrors the down-sampling half and has one residual block, so one transformer, more per level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnetConfig {
    /// Channels of each level (`block_out_channels`): the attention width of that level.
    pub channels: Vec<usize>,
    /// Residual blocks per level on the way down (`layers_per_block`).
    pub layers_per_block: Vec<usize>,
    /// Transformer blocks per transformer on the way down (`transformer_layers_per_block`); 0 for a level without
    /// attention (`DownBlock2D`).
    pub down_depth: Vec<usize>,
    /// The same for the way up, from the coarsest level to the finest; 0 for `UpBlock2D`.
    pub up_depth: Vec<usize>,
    /// Transformer blocks of the middle block; 0 for a middle without attention.
    pub middle_depth: usize,
    /// Attention heads of each level. `diffusers` configurations store them under `attention_head_dim`.
    pub heads: Vec<usize>,
    /// Width of the context tokens (`cross_attention_dim`).
    pub context: usize,
}

impl UnetConfig {
    /// Stable Diffusion 1.5.
    pub fn sd15() -> Self {
        Self {
            channels: vec![320, 640, 1280, 1280],
            layers_per_block: vec![2; 4],
            down_depth: vec![1, 1, 1, 0],
            up_depth: vec![0, 1, 1, 1],
            middle_depth: 1,
            heads: vec![8; 4],
            context: 768,
        }
    }

    /// Stable Diffusion XL.
    pub fn sdxl() -> Self {
        Self {
            channels: vec![320, 640, 1280],
            layers_per_block: vec![2; 3],
            down_depth: vec![0, 2, 10],
            up_depth: vec![10, 2, 0],
            middle_depth: 10,
            heads: vec![5, 10, 20],
            context: 2048,
        }
    }

    fn check(&self) -> Result<()> {
        let levels = self.channels.len();
        if levels == 0 || levels > 64 {
            return Err(Error::invalid(format!(
                "a UNet has 1 to 64 levels, this configuration has {levels}"
            )));
        }
        let lists = [
            ("layers_per_block", self.layers_per_block.len()),
            ("down_depth", self.down_depth.len()),
            ("up_depth", self.up_depth.len()),
            ("heads", self.heads.len()),
        ];
        for (name, len) in lists {
            if len != levels {
                return Err(Error::invalid(format!(
                    "UNet: {name} has {len} entries for {levels} levels"
                )));
            }
        }
        let depths = self.down_depth.iter().chain(&self.up_depth).chain([&self.middle_depth]);
        for &count in depths.chain(&self.layers_per_block) {
            if count > MAX_LAYERS {
                return Err(Error::invalid(format!(
                    "UNet: {count} layers; a host has at most {MAX_LAYERS}"
                )));
            }
        }
        for (level, (&channels, &heads)) in self.channels.iter().zip(&self.heads).enumerate() {
            if heads == 0 || channels == 0 || channels > MAX_WIDTH || channels % heads != 0 {
                return Err(Error::invalid(format!(
                    "UNet level {level}: {channels} channels (1 to {MAX_WIDTH}) cannot be shared by {heads} heads"
                )));
            }
        }
        Ok(())
    }
}

pub(super) fn sd15() -> HostSpec {
    preset("sd15", HostFamily::Sd15, &UnetConfig::sd15())
}

pub(super) fn sdxl() -> HostSpec {
    preset("sdxl", HostFamily::Sdxl, &UnetConfig::sdxl())
}

fn preset(name: &str, family: HostFamily, config: &UnetConfig) -> HostSpec {
    layers(config)
        .and_then(|layers| HostSpec::from_layers(name, family, layers))
        .unwrap_or_else(|error| unreachable!("{error}"))
}

/// The table of any other UNet, family [`HostFamily::Other`] unless the configuration is one of the two known ones.
pub(super) fn build(config: &UnetConfig) -> Result<HostSpec> {
    if *config == UnetConfig::sd15() {
        return Ok(sd15());
    }
    if *config == UnetConfig::sdxl() {
        return Ok(sdxl());
    }
    HostSpec::from_layers("unet", HostFamily::Other, layers(config)?)
}

/// One transformer: its place in both module trees, its depth and its width.
struct Transformer {
    kind: BlockKind,
    diffusers: String,
    ldm: String,
    number: usize,
    depth: usize,
    level: usize,
    execution: usize,
}

fn layers(config: &UnetConfig) -> Result<Vec<HostLayer>> {
    config.check()?;
    let mut transformers = down(config);
    // The middle runs between the two halves but is registered, and so stored, after them.
    let middle_execution = transformers.len();
    let has_middle = config.middle_depth > 0;
    transformers.extend(up(config, middle_execution + usize::from(has_middle)));
    if has_middle {
        transformers.push(Transformer {
            kind: BlockKind::Middle,
            diffusers: "mid_block.attentions.0".into(),
            ldm: "middle_block.1".into(),
            number: 0,
            depth: config.middle_depth,
            level: config.channels.len() - 1,
            execution: middle_execution,
        });
    }
    let total = transformers
        .iter()
        .fold(0usize, |sum, transformer| sum.saturating_add(transformer.depth));
    if total == 0 || total > MAX_LAYERS {
        return Err(Error::invalid(format!(
            "UNet: {total} cross-attention layers; a host has 1 to {MAX_LAYERS}"
        )));
    }
    let mut layers = Vec::with_capacity(total);
    for transformer in &transformers {
        let (channels, heads) = (config.channels[transformer.level], config.heads[transformer.level]);
        for index in 0..transformer.depth {
            let name = format!("{}.transformer_blocks.{index}.attn2", transformer.diffusers);
            layers.push(HostLayer {
                ldm_name: Some(format!("{}.transformer_blocks.{index}.attn2", transformer.ldm)),
                hook: Some(HookAddress {
                    kind: transformer.kind,
                    number: transformer.number,
                    index,
                }),
                kind: transformer.kind,
                // Each transformer block registers its self-attention (even) and then its cross-attention (odd).
                key: 2 * layers.len() + 1,
                execution: transformer.execution,
                ..HostLayer::new(name, heads, channels / heads, config.context)
            });
        }
    }
    Ok(layers)
}

/// Input block 0 is the first convolution; then come each level's residual blocks and a down-sampler, which the last
/// level does not have.
fn down(config: &UnetConfig) -> Vec<Transformer> {
    let mut transformers = Vec::new();
    let mut number = 1;
    for (level, &count) in config.layers_per_block.iter().enumerate() {
        for block in 0..count {
            if config.down_depth[level] > 0 {
                transformers.push(Transformer {
                    kind: BlockKind::Input,
                    diffusers: format!("down_blocks.{level}.attentions.{block}"),
                    ldm: format!("input_blocks.{number}.1"),
                    number,
                    depth: config.down_depth[level],
                    level,
                    execution: transformers.len(),
                });
            }
            number += 1;
        }
        number += 1;
    }
    transformers
}

/// Output blocks are residual blocks only: the up-sampler lives in the last block of a level.
fn up(config: &UnetConfig, first_execution: usize) -> Vec<Transformer> {
    let mut transformers = Vec::new();
    let levels = config.channels.len();
    let mut number = 0;
    for (stage, &depth) in config.up_depth.iter().enumerate() {
        let level = levels - 1 - stage;
        for block in 0..=config.layers_per_block[level] {
            if depth > 0 {
                transformers.push(Transformer {
                    kind: BlockKind::Output,
                    diffusers: format!("up_blocks.{stage}.attentions.{block}"),
                    ldm: format!("output_blocks.{number}.1"),
                    number,
                    depth,
                    level,
                    execution: first_execution + transformers.len(),
                });
            }
            number += 1;
        }
    }
    transformers
}
