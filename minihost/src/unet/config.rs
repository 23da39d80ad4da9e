//! Shape of a UNet.

use omniid::host::{HostSpec, UnetConfig};
use omniid::{Error, Result};

/// Most levels and most blocks of one kind.
const MAX_COUNT: usize = 64;

/// Widest channels; the largest published UNets have 1280.
const MAX_WIDTH: usize = 1 << 14;

/// Shape of a UNet. Written to and read from diffusers' `config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct UNetConfig {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Rows and columns of the usual input. The network takes every size that its levels divide.
    pub sample_size: usize,
    /// Channels of each level, the finest first.
    pub block_out_channels: Vec<usize>,
    /// Residual blocks per level on the way down; one more on the way up.
    pub layers_per_block: usize,
    /// Whether each level attends on the way down, the finest first.
    pub down_attention: Vec<bool>,
    /// Whether the middle block attends.
    pub mid_attention: bool,
    /// Whether each level attends on the way up, the **coarsest** first.
    pub up_attention: Vec<bool>,
    /// Attention heads of each level. diffusers stores this number as `attention_head_dim`.
    pub heads: Vec<usize>,
    /// Transformer blocks per transformer.
    pub transformer_layers_per_block: usize,
    /// Width of the context tokens.
    pub cross_attention_dim: usize,
    /// Groups of all group normalisations.
    pub norm_num_groups: usize,
    /// Number added to the variance in group normalisations (those before transformers have 1e-6).
    pub norm_eps: f64,
    /// Whether the projections around the transformers are stored as linear layers or as 1×1 convolutions.
    pub use_linear_projection: bool,
    /// Width of the time embedding; without, four times the channels of the finest level.
    pub time_embedding_dim: Option<usize>,
    /// Numbers of the class vector that is added to the time embedding (`class_embed_type = "projection"`).
    pub class_width: Option<usize>,
    /// Cosines before sines in the time embedding.
    pub flip_sin_to_cos: bool,
    /// Shift of the time embedding's frequencies.
    pub freq_shift: f64,
}

impl UNetConfig {
    /// Number of levels.
    pub fn levels(&self) -> usize {
        self.block_out_channels.len()
    }

    /// Width of the time embedding.
    pub fn time_width(&self) -> usize {
        self.time_embedding_dim.unwrap_or(4 * self.block_out_channels[0])
    }

    /// The table of cross-attention layers, in the order of adapter checkpoints.
    ///
    /// # Errors
    /// [`InvalidArgument`](omniid::ErrorKind::InvalidArgument) when no level attends.
    pub fn host(&self) -> Result<HostSpec> {
        let depth = |attends: &[bool]| {
            attends
                .iter()
                .map(|attends| usize::from(*attends) * self.transformer_layers_per_block)
                .collect()
        };
        HostSpec::unet(&UnetConfig {
            channels: self.block_out_channels.clone(),
            layers_per_block: vec![self.layers_per_block; self.levels()],
            down_depth: depth(&self.down_attention),
            up_depth: depth(&self.up_attention),
            middle_depth: usize::from(self.mid_attention) * self.transformer_layers_per_block,
            heads: self.heads.clone(),
            context: self.cross_attention_dim,
        })
    }

    /// Fails unless all sizes are sound and fit each other.
    ///
    /// # Errors
    /// [`InvalidArgument`](omniid::ErrorKind::InvalidArgument) naming the field, its value and what would fit.
    pub fn check(&self) -> Result<()> {
        let fail = |text: String| Err(Error::invalid(format!("UNet: {text}")));
        let levels = self.levels();
        if levels == 0 || levels > MAX_COUNT {
            return fail(format!(
                "block_out_channels has {levels} entries, 1 to {MAX_COUNT} are possible"
            ));
        }
        let lists = [
            ("down_block_types", self.down_attention.len()),
            ("up_block_types", self.up_attention.len()),
            ("attention_head_dim", self.heads.len()),
        ];
        for (name, length) in lists {
            if length != levels {
                return fail(format!("{name} has {length} entries for {levels} levels"));
            }
        }
        let counts = [
            ("layers_per_block", self.layers_per_block),
            ("transformer_layers_per_block", self.transformer_layers_per_block),
        ];
        for (name, count) in counts {
            if count == 0 || count > MAX_COUNT {
                return fail(format!("{name} is {count}, 1 to {MAX_COUNT} are possible"));
            }
        }
        let widths = [
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
            ("sample_size", self.sample_size),
            ("cross_attention_dim", self.cross_attention_dim),
            ("time_embedding_dim", self.time_embedding_dim.unwrap_or(1)),
            ("projection_class_embeddings_input_dim", self.class_width.unwrap_or(1)),
        ];
        let widths = widths.into_iter().chain(
            self.block_out_channels
                .iter()
                .map(|width| ("block_out_channels", *width)),
        );
        for (name, width) in widths {
            if width == 0 || width > MAX_WIDTH {
                return fail(format!("{name} holds {width}, 1 to {MAX_WIDTH} are possible"));
            }
        }
        for (&width, &heads) in self.block_out_channels.iter().zip(&self.heads) {
            if heads == 0 || width % heads != 0 {
                return fail(format!("{width} channels cannot be shared by {heads} heads"));
            }
            if self.norm_num_groups == 0 || width % self.norm_num_groups != 0 {
                return fail(format!(
                    "{width} channels cannot be shared by norm_num_groups {}",
                    self.norm_num_groups
                ));
            }
            if width % 2 != 0 {
                return fail(format!("{width} channels; the number must be even"));
            }
        }
        let positive = self.norm_eps > 0.0 && self.norm_eps.is_finite();
        let half = (self.block_out_channels[0] / 2) as f64;
        if !positive || !self.freq_shift.is_finite() || self.freq_shift >= half {
            return fail(format!(
                "norm_eps is {} and freq_shift {}; the first must be above 0, the second below {half}",
                self.norm_eps, self.freq_shift
            ));
        }
        Ok(())
    }
}
