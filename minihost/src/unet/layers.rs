//! The small layers of the UNet: convolutions, group normalisation, embeddings.

use crate::ops::{add_rows, group_norm, im2col, taps_first};
use candle_core::{DType, Device, Tensor, D};
use candle_nn::{Init, VarBuilder};
use omniid::{Error, Result};
use omniid_kernels::layers::{load_parameter, ops, Activation, Linear};
use omniid_kernels::Window;

/// A picture as tokens `[batch, height · width, channels]`.
#[derive(Clone)]
pub(super) struct Grid {
    pub tokens: Tensor,
    pub height: usize,
    pub width: usize,
}

impl Grid {
    pub fn with(&self, tokens: Tensor) -> Self {
        Self { tokens, ..*self }
    }
}

/// Reads a tensor, with an error that names it.
fn read(vb: &VarBuilder, shape: &[usize], name: &str, init: Init) -> Result<Tensor> {
    vb.get_with_hints(shape, name, init).map_err(|error| {
        let error = Error::from(error);
        let key = format!("{}.{name}", vb.prefix());
        if error.message().contains(&key) {
            error
        } else {
            error.context(key)
        }
    })
}

/// The weight's start for a builder that draws its own; [`tensors`](super::tensors) is what training uses.
fn random(inputs: usize) -> Init {
    Init::Randn {
        mean: 0.0,
        stdev: 1.0 / (inputs.max(1) as f64).sqrt(),
    }
}

/// A 3×3 convolution with padding 1.
#[derive(Debug, Clone)]
pub(super) struct Convolution {
    weight: Weight,
    stride: usize,
    enlarge: usize,
}

#[derive(Debug, Clone)]
enum Weight {
    /// Constant on the CPU: a linear layer on the windows.
    Ready(Linear),
    /// A variable, or on another device, in PyTorch's layout.
    Plain { weight: Tensor, bias: Tensor },
}

impl Convolution {
    pub fn load(input: usize, output: usize, vb: VarBuilder) -> Result<Self> {
        let weight = read(&vb, &[output, input, 3, 3], "weight", random(9 * input))?;
        let bias = load_parameter(&vb, &[output], "bias", Init::Const(0.0))?;
        let constant = weight.device().is_cpu() && !weight.track_op() && !bias.track_op();
        let weight = if constant {
            Weight::Ready(Linear::from_tensors(
                taps_first(&weight.to_dtype(DType::F32)?)?.to_dtype(weight.dtype())?,
                Some(bias),
            )?)
        } else {
            Weight::Plain { weight, bias }
        };
        Ok(Self {
            weight,
            stride: 1,
            enlarge: 1,
        })
    }

    /// Every second window in both directions.
    pub fn halving(self) -> Self {
        Self { stride: 2, ..self }
    }

    /// On the input enlarged twofold by repetition.
    pub fn doubling(self) -> Self {
        Self { enlarge: 2, ..self }
    }

    pub fn forward(&self, x: &Grid) -> Result<Grid> {
        self.run(x, None)
    }

    /// The convolution plus `residual`, tokens of the output's shape.
    pub fn forward_add(&self, x: &Grid, residual: &Tensor) -> Result<Grid> {
        self.run(x, Some(residual))
    }

    fn run(&self, x: &Grid, residual: Option<&Tensor>) -> Result<Grid> {
        let window = Window {
            height: x.height,
            width: x.width,
            stride: self.stride,
            enlarge: self.enlarge,
        };
        let (height, width) = window.output();
        let on_rows = |linear: &Linear| {
            let columns = im2col(&x.tokens, window)?;
            match residual {
                Some(residual) => linear.forward_add(&columns, residual),
                None => linear.forward(&columns),
            }
        };
        let tokens = match &self.weight {
            Weight::Ready(linear) => on_rows(linear)?,
            Weight::Plain { weight, bias } if weight.device().is_cpu() => {
                let y = ops::convolution(&x.tokens, weight, bias, window)?;
                match residual {
                    Some(residual) => (residual + y)?,
                    None => y,
                }
            }
            Weight::Plain { weight, bias } => {
                let (batch, _, channels) = x.tokens.dims3()?;
                let mut picture = x
                    .tokens
                    .transpose(1, 2)?
                    .reshape((batch, channels, x.height, x.width))?;
                if self.enlarge > 1 {
                    picture = picture.upsample_nearest2d(x.height * self.enlarge, x.width * self.enlarge)?;
                }
                let y = picture.conv2d(&weight.to_dtype(picture.dtype())?, 1, self.stride, 1, 1)?;
                let y = y.flatten_from(2)?.transpose(1, 2)?.contiguous()?;
                let y = y.broadcast_add(&bias.to_dtype(y.dtype())?)?;
                match residual {
                    Some(residual) => (y + residual)?,
                    None => y,
                }
            }
        };
        Ok(Grid { tokens, height, width })
    }
}

/// A linear layer whose weight may be stored as a 1×1 convolution.
pub(super) fn pointwise(input: usize, output: usize, convolution: bool, vb: VarBuilder) -> Result<Linear> {
    let shape: &[usize] = if convolution {
        &[output, input, 1, 1]
    } else {
        &[output, input]
    };
    let weight = read(&vb, shape, "weight", random(input))?.reshape((output, input))?;
    let bias = load_parameter(&vb, &[output], "bias", Init::Const(0.0))?;
    Linear::from_tensors(weight, Some(bias))
}

/// Group normalisation with weight and bias, optionally followed by SiLU.
#[derive(Debug, Clone)]
pub(super) struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
    groups: usize,
    epsilon: f64,
    silu: bool,
}

impl GroupNorm {
    pub fn load(width: usize, groups: usize, epsilon: f64, silu: bool, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            weight: load_parameter(&vb, &[width], "weight", Init::Const(1.0))?,
            bias: load_parameter(&vb, &[width], "bias", Init::Const(0.0))?,
            groups,
            epsilon,
            silu,
        })
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(group_norm(
            x,
            &self.weight,
            &self.bias,
            self.groups,
            self.epsilon,
            self.silu,
        )?)
    }
}

/// Linear, SiLU, Linear: diffusers' `TimestepEmbedding`.
#[derive(Debug, Clone)]
pub(super) struct Embedding {
    first: Linear,
    second: Linear,
}

impl Embedding {
    pub fn load(input: usize, width: usize, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            first: Linear::load(input, width, true, vb.pp("linear_1"))?.with_activation(Activation::Silu),
            second: Linear::load(width, width, true, vb.pp("linear_2"))?,
        })
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.second.forward(&self.first.forward(x)?)
    }
}

/// Sines and cosines of `times` `[batch]` at falling frequencies, `[batch, width]` f32.
pub(super) fn sinusoids(
    times: &Tensor,
    width: usize,
    cosines_first: bool,
    shift: f64,
    device: &Device,
) -> Result<Tensor> {
    let half = width / 2;
    let frequency = |i: usize| (-(10_000f64.ln()) * i as f64 / (half as f64 - shift)).exp() as f32;
    let frequencies = Tensor::from_iter((0..half).map(frequency), device)?.unsqueeze(0)?;
    let times = times.to_device(device)?.to_dtype(DType::F32)?.unsqueeze(1)?;
    let angles = times.broadcast_mul(&frequencies)?;
    let (sines, cosines) = (angles.sin()?, angles.cos()?);
    let parts = if cosines_first {
        [cosines, sines]
    } else {
        [sines, cosines]
    };
    Ok(Tensor::cat(&parts, D::Minus1)?)
}

/// Two convolutions with the time embedding between them, added to the input.
#[derive(Debug, Clone)]
pub(super) struct Resnet {
    norm1: GroupNorm,
    conv1: Convolution,
    time: Linear,
    norm2: GroupNorm,
    conv2: Convolution,
    shortcut: Option<Linear>,
}

impl Resnet {
    pub fn load(config: &super::UNetConfig, input: usize, output: usize, vb: VarBuilder) -> Result<Self> {
        let (groups, epsilon) = (config.norm_num_groups, config.norm_eps);
        if !input.is_multiple_of(groups) {
            return Err(Error::invalid(format!(
                "UNet: {} has {input} input channels, which norm_num_groups {groups} does not divide",
                vb.prefix()
            )));
        }
        let shortcut = (input != output).then(|| pointwise(input, output, true, vb.pp("conv_shortcut")));
        Ok(Self {
            norm1: GroupNorm::load(input, groups, epsilon, true, vb.pp("norm1"))?,
            conv1: Convolution::load(input, output, vb.pp("conv1"))?,
            time: Linear::load(config.time_width(), output, true, vb.pp("time_emb_proj"))?,
            norm2: GroupNorm::load(output, groups, epsilon, true, vb.pp("norm2"))?,
            conv2: Convolution::load(output, output, vb.pp("conv2"))?,
            shortcut: shortcut.transpose()?,
        })
    }

    /// `time` `[batch, time width]` is the time embedding after SiLU.
    pub fn forward(&self, x: &Grid, time: &Tensor) -> Result<Grid> {
        let h = self.conv1.forward(&x.with(self.norm1.forward(&x.tokens)?))?;
        let tokens = add_rows(&h.tokens, &self.time.forward(time)?)?;
        let h = x.with(self.norm2.forward(&tokens)?);
        match &self.shortcut {
            Some(shortcut) => self.conv2.forward_add(&h, &shortcut.forward(&x.tokens)?),
            None => self.conv2.forward_add(&h, &x.tokens),
        }
    }
}
