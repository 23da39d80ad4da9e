//! diffusers' `UNet2DConditionModel` on tokens, trainable and with a hook for identities.
//!
//! Names and shapes of all tensors are diffusers', so that one file serves both. Inside, a picture is a row of tokens
//! `[batch, height · width, channels]`: 1×1 convolutions and projections are linear layers, 3×3 convolutions are
//! matrix products on gathered windows.

mod config;
mod json;
mod layers;
mod layout;
mod transformer;

#[cfg(test)]
mod tests;

pub use config::UNetConfig;
pub use layout::{multiply_adds, tensors};

use crate::hook::IdentityHook;
use candle_core::{Device, Tensor};
use candle_nn::VarBuilder;
use layers::{sinusoids, Convolution, Embedding, Grid, GroupNorm, Resnet};
use omniid::engine::HostConfig;
use omniid::host::HostSpec;
use omniid::{Error, Result};
use transformer::Transformer;

/// What a UNet is given.
#[derive(Debug, Clone, Copy)]
pub struct UNetInput<'a> {
    /// The noisy picture as tokens `[batch, height · width, in_channels]`, row by row.
    pub tokens: &'a Tensor,
    /// Rows and columns of the picture.
    pub size: (usize, usize),
    /// The time of each picture `[batch]`, any real numbers.
    pub time: &'a Tensor,
    /// Context tokens `[batch or 1, tokens, cross_attention_dim]` (`encoder_hidden_states`).
    pub context: &'a Tensor,
    /// Class vectors `[batch, class_width]` (`class_labels`), if the network takes them.
    pub class: Option<&'a Tensor>,
}

/// What every layer of a pass needs.
struct Passage<'a> {
    /// Time and class embedding after SiLU, `[batch, time width]`.
    time: Tensor,
    context: &'a Tensor,
    hook: Option<&'a dyn IdentityHook>,
}

/// The network. Cheap to clone; with variables as weights it is differentiable.
#[derive(Debug, Clone)]
pub struct UNet {
    config: UNetConfig,
    host: HostSpec,
    conv_in: Convolution,
    time_embedding: Embedding,
    class_embedding: Option<Embedding>,
    down: Vec<Level>,
    middle: Level,
    up: Vec<Level>,
    norm_out: GroupNorm,
    conv_out: Convolution,
    device: Device,
}

/// The modules of one block, in order.
#[derive(Debug, Clone, Default)]
struct Level {
    resnets: Vec<Resnet>,
    transformers: Vec<Transformer>,
    resample: Option<Convolution>,
}

impl UNet {
    /// Reads the network. With a builder over variables it is trainable.
    ///
    /// # Errors
    /// [`InvalidArgument`](omniid::ErrorKind::InvalidArgument) for sizes that do not fit each other;
    /// [`Format`](omniid::ErrorKind::Format) naming a tensor that is missing or has another shape.
    pub fn load(config: &UNetConfig, vb: VarBuilder) -> Result<Self> {
        config.check()?;
        let host = config.host()?;
        let channels = &config.block_out_channels;
        let (levels, first, time) = (channels.len(), channels[0], config.time_width());
        let mut down = vec![Level::default(); levels];
        let mut middle = Level::default();
        let mut up = vec![Level::default(); levels];
        for place in layout::block_places(config) {
            let name = match &place {
                layout::Place::Resnet { name, .. }
                | layout::Place::Transformer { name, .. }
                | layout::Place::Resample { name, .. } => name.clone(),
            };
            let number = || name.split('.').nth(1).and_then(|part| part.parse::<usize>().ok());
            let (block, heads) = if name.starts_with("mid_block") {
                (&mut middle, config.heads[levels - 1])
            } else {
                let number = number().unwrap_or(0);
                if name.starts_with("down_blocks") {
                    (&mut down[number], config.heads[number])
                } else {
                    (&mut up[number], config.heads[levels - 1 - number])
                }
            };
            let vb = vb.pp(&name);
            match place {
                layout::Place::Resnet { input, output, .. } => {
                    block.resnets.push(Resnet::load(config, input, output, vb)?);
                }
                layout::Place::Transformer { width, .. } => {
                    block
                        .transformers
                        .push(Transformer::load(config, &host, width, heads, vb)?);
                }
                layout::Place::Resample { width, .. } => {
                    let convolution = Convolution::load(width, width, vb)?;
                    block.resample = Some(if name.starts_with("down_blocks") {
                        convolution.halving()
                    } else {
                        convolution.doubling()
                    });
                }
            }
        }
        let class_embedding = config
            .class_width
            .map(|width| Embedding::load(width, time, vb.pp("class_embedding")));
        Ok(Self {
            conv_in: Convolution::load(config.in_channels, first, vb.pp("conv_in"))?,
            time_embedding: Embedding::load(first, time, vb.pp("time_embedding"))?,
            class_embedding: class_embedding.transpose()?,
            down,
            middle,
            up,
            norm_out: GroupNorm::load(
                first,
                config.norm_num_groups,
                config.norm_eps,
                true,
                vb.pp("conv_norm_out"),
            )?,
            conv_out: Convolution::load(first, config.out_channels, vb.pp("conv_out"))?,
            device: vb.device().clone(),
            config: config.clone(),
            host,
        })
    }

    /// The network's shape.
    pub fn config(&self) -> &UNetConfig {
        &self.config
    }

    /// The table of cross-attention layers, in the order of adapter checkpoints and of [`IdentityHook`].
    pub fn host(&self) -> &HostSpec {
        &self.host
    }

    /// The same table as a native OmniID checkpoint stores it.
    pub fn host_config(&self) -> HostConfig {
        HostConfig::from(&self.host)
    }

    /// Where the weights are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The prediction as tokens `[batch, height · width, out_channels]`. `hook` is called in every cross-attention.
    ///
    /// # Errors
    /// [`Mismatch`](omniid::ErrorKind::Mismatch) when shapes do not fit the network or each other, or the levels do not
    /// divide the picture; whatever the hook returns.
    pub fn forward(&self, input: &UNetInput<'_>, hook: Option<&dyn IdentityHook>) -> Result<Tensor> {
        self.check(input)?;
        let passage = Passage {
            time: self.embed(input)?,
            context: input.context,
            hook,
        };
        let mut x = self.conv_in.forward(&Grid {
            tokens: input.tokens.clone(),
            height: input.size.0,
            width: input.size.1,
        })?;
        let mut skips = vec![x.clone()];
        for block in &self.down {
            for (i, resnet) in block.resnets.iter().enumerate() {
                x = resnet.forward(&x, &passage.time)?;
                if let Some(transformer) = block.transformers.get(i) {
                    x = transformer.forward(&x, &passage)?;
                }
                skips.push(x.clone());
            }
            if let Some(convolution) = &block.resample {
                x = convolution.forward(&x)?;
                skips.push(x.clone());
            }
        }
        for (i, resnet) in self.middle.resnets.iter().enumerate() {
            x = resnet.forward(&x, &passage.time)?;
            if let Some(transformer) = self.middle.transformers.get(i) {
                x = transformer.forward(&x, &passage)?;
            }
        }
        for block in &self.up {
            for (i, resnet) in block.resnets.iter().enumerate() {
                let skip = skips
                    .pop()
                    .ok_or_else(|| Error::internal("the UNet's halves do not fit"))?;
                x = x.with(Tensor::cat(&[&x.tokens, &skip.tokens], 2)?);
                x = resnet.forward(&x, &passage.time)?;
                if let Some(transformer) = block.transformers.get(i) {
                    x = transformer.forward(&x, &passage)?;
                }
            }
            if let Some(convolution) = &block.resample {
                x = convolution.forward(&x)?;
            }
        }
        let x = x.with(self.norm_out.forward(&x.tokens)?);
        Ok(self.conv_out.forward(&x)?.tokens)
    }

    fn embed(&self, input: &UNetInput<'_>) -> Result<Tensor> {
        let config = &self.config;
        let first = config.block_out_channels[0];
        let waves = sinusoids(
            input.time,
            first,
            config.flip_sin_to_cos,
            config.freq_shift,
            &self.device,
        )?;
        let mut embedding = self.time_embedding.forward(&waves.to_dtype(input.tokens.dtype())?)?;
        if let (Some(layer), Some(class)) = (&self.class_embedding, input.class) {
            embedding = (embedding + layer.forward(class)?)?;
        }
        Ok(embedding.silu()?)
    }

    fn check(&self, input: &UNetInput<'_>) -> Result<()> {
        let config = &self.config;
        let batch = input.tokens.dim(0).unwrap_or(0);
        let (height, width) = input.size;
        let expect = |what: &str, found: &[usize], wanted: &[usize]| {
            if found == wanted {
                return Ok(());
            }
            Err(Error::mismatch(format!(
                "UNet: {what} of shape {found:?}, expected {wanted:?}"
            )))
        };
        expect(
            "picture tokens",
            input.tokens.dims(),
            &[batch, height * width, config.in_channels],
        )?;
        expect("times", input.time.dims(), &[batch])?;
        let context = input.context.dims();
        let fits = matches!(*context, [rows, tokens, inner]
            if (rows == batch || rows == 1) && tokens > 0 && inner == config.cross_attention_dim);
        if !fits {
            return Err(Error::mismatch(format!(
                "UNet: context of shape {context:?}, expected [{batch} or 1, tokens, {}]",
                config.cross_attention_dim
            )));
        }
        match (config.class_width, input.class) {
            (None, None) => {}
            (Some(class_width), Some(class)) => expect("class vectors", class.dims(), &[batch, class_width])?,
            (wanted, given) => {
                return Err(Error::mismatch(format!(
                    "UNet: the class vector is {}, the network {}",
                    given.map_or("missing", |_| "given"),
                    wanted.map_or("takes none".to_string(), |width| format!("takes {width} numbers"))
                )))
            }
        }
        let step = 1 << (config.levels() - 1);
        if height == 0 || width == 0 || height % step != 0 || width % step != 0 {
            return Err(Error::mismatch(format!(
                "UNet: a picture of {height} × {width}; both must be multiples of {step}, for {} levels",
                config.levels()
            )));
        }
        Ok(())
    }
}
