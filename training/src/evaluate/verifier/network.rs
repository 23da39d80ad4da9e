//! The forward pass of MobileFaceNet, pixels in rows of channels, so that 1 × 1 convolutions are matrix products.

use super::{Embedding, EMBEDDING};
use candle_core::{Device, Tensor};
use candle_nn::VarBuilder;
use omniid::{Error, Result};
use omniid_kernels::layers::Linear;
use rayon::prelude::*;

/// Channels after and stride of each block's depthwise convolution: (expansion, output, stride).
const BLOCKS: [(usize, usize, usize); 15] = [
    (128, 64, 2),
    (128, 64, 1),
    (128, 64, 1),
    (128, 64, 1),
    (128, 64, 1),
    (256, 128, 2),
    (256, 128, 1),
    (256, 128, 1),
    (256, 128, 1),
    (256, 128, 1),
    (256, 128, 1),
    (256, 128, 1),
    (512, 128, 2),
    (256, 128, 1),
    (256, 128, 1),
];

/// What follows a convolution.
#[derive(Clone, Copy)]
enum After {
    Nothing,
    Relu,
    Relu6,
}

impl After {
    fn apply(self, values: &mut [f32]) {
        match self {
            Self::Nothing => {}
            Self::Relu => values.iter_mut().for_each(|value| *value = value.max(0.0)),
            Self::Relu6 => values.iter_mut().for_each(|value| *value = value.clamp(0.0, 6.0)),
        }
    }
}

/// `[pictures, height, width, channels]`.
struct Map {
    pictures: usize,
    height: usize,
    width: usize,
    channels: usize,
    values: Vec<f32>,
}

/// A convolution with 1 × 1 kernel; also the product behind gathered patches.
struct Pointwise {
    linear: Linear,
    after: After,
}

impl Pointwise {
    fn load(vb: VarBuilder, input: usize, output: usize, after: After) -> Result<Self> {
        let weight = vb.get((output, input, 1, 1), "weight")?.reshape((output, input))?;
        Ok(Self {
            linear: Linear::from_tensors(weight, Some(vb.get(output, "bias")?))?,
            after,
        })
    }

    fn forward(&self, map: Map) -> Result<Map> {
        let rows = map.pictures * map.height * map.width;
        let x = Tensor::from_vec(map.values, (rows, map.channels), &Device::Cpu)?;
        let mut values = self.linear.forward(&x)?.flatten_all()?.to_vec1::<f32>()?;
        self.after.apply(&mut values);
        Ok(Map {
            channels: self.linear.output_width(),
            values,
            ..map
        })
    }
}

/// A convolution of every channel by itself.
struct Depthwise {
    /// `[kernel, kernel, channels]`
    taps: Vec<f32>,
    bias: Vec<f32>,
    kernel: usize,
    stride: usize,
    padding: usize,
    after: After,
}

impl Depthwise {
    fn load(vb: VarBuilder, channels: usize, [kernel, stride, padding]: [usize; 3], after: After) -> Result<Self> {
        let weight = vb.get((channels, 1, kernel, kernel), "weight")?;
        let taps = weight
            .reshape((channels, kernel * kernel))?
            .t()?
            .flatten_all()?
            .to_vec1::<f32>()?;
        Ok(Self {
            taps,
            bias: vb.get(channels, "bias")?.to_vec1::<f32>()?,
            kernel,
            stride,
            padding,
            after,
        })
    }

    fn forward(&self, map: &Map) -> Map {
        let size = |side: usize| (side + 2 * self.padding - self.kernel) / self.stride + 1;
        let (height, width) = (size(map.height), size(map.width));
        let channels = map.channels;
        let mut values = vec![0f32; map.pictures * height * width * channels];
        let row_length = width * channels;
        values
            .par_chunks_exact_mut(row_length)
            .enumerate()
            .for_each(|(row, out)| {
                let (picture, y) = (row / height, row % height);
                let input = &map.values[picture * map.height * map.width * channels..];
                for (x, out) in out.chunks_exact_mut(channels).enumerate() {
                    out.copy_from_slice(&self.bias);
                    self.add_window(input, (map.width, map.height), (x, y), out);
                }
                self.after.apply(out);
            });
        Map {
            height,
            width,
            values,
            ..*map
        }
    }

    /// Adds the products of the taps around one output pixel; beyond the border the input is zero.
    fn add_window(&self, input: &[f32], (width, height): (usize, usize), (x, y): (usize, usize), out: &mut [f32]) {
        let channels = out.len();
        let place = |out: usize, tap: usize, side: usize| {
            (out * self.stride + tap)
                .checked_sub(self.padding)
                .filter(|place| *place < side)
        };
        for dy in 0..self.kernel {
            let Some(row) = place(y, dy, height) else { continue };
            for dx in 0..self.kernel {
                let Some(column) = place(x, dx, width) else {
                    continue;
                };
                let pixel = &input[(row * width + column) * channels..][..channels];
                let taps = &self.taps[(dy * self.kernel + dx) * channels..][..channels];
                for ((out, value), tap) in out.iter_mut().zip(pixel).zip(taps) {
                    *out += value * tap;
                }
            }
        }
    }
}

struct Block {
    expand: Pointwise,
    depthwise: Depthwise,
    project: Pointwise,
    /// Whether the input is added to the output.
    residual: bool,
}

pub(super) struct Network {
    stem: Pointwise,
    stem_depthwise: Depthwise,
    stem_pointwise: Pointwise,
    blocks: Vec<Block>,
    head: Pointwise,
    head_depthwise: Depthwise,
    embed: Pointwise,
}

impl Network {
    pub fn load(vb: VarBuilder) -> Result<Self> {
        let mut input = 64;
        let mut blocks = Vec::new();
        for (index, (wide, output, stride)) in BLOCKS.into_iter().enumerate() {
            let vb = vb.pp(format!("blocks.{index}"));
            blocks.push(Block {
                expand: Pointwise::load(vb.pp("expand"), input, wide, After::Relu6)?,
                depthwise: Depthwise::load(vb.pp("depthwise"), wide, [3, stride, 1], After::Relu6)?,
                project: Pointwise::load(vb.pp("project"), wide, output, After::Nothing)?,
                residual: stride == 1,
            });
            input = output;
        }
        // The patches of the first convolution are gathered channel by channel, as its weight lies.
        let stem = vb.pp("stem.conv");
        let stem = Linear::from_tensors(
            stem.get((64, 3, 3, 3), "weight")?.reshape((64, 27))?,
            Some(stem.get(64, "bias")?),
        )?;
        Ok(Self {
            stem: Pointwise {
                linear: stem,
                after: After::Relu6,
            },
            stem_depthwise: Depthwise::load(vb.pp("stem.depthwise"), 64, [3, 1, 1], After::Relu)?,
            stem_pointwise: Pointwise::load(vb.pp("stem.pointwise"), 64, 64, After::Relu)?,
            blocks,
            head: Pointwise::load(vb.pp("head.conv"), 128, 512, After::Relu6)?,
            head_depthwise: Depthwise::load(vb.pp("head.gdc"), 512, [7, 1, 0], After::Nothing)?,
            embed: Pointwise::load(vb.pp("head.embed"), 512, EMBEDDING, After::Nothing)?,
        })
    }

    /// Normalised pictures, each `[3, side, side]`, to embeddings.
    pub fn forward(&self, pictures: &[Vec<f32>], side: usize) -> Result<Vec<Embedding>> {
        let map = self.stem.forward(patches(pictures, side))?;
        let mut map = self.stem_pointwise.forward(self.stem_depthwise.forward(&map))?;
        for block in &self.blocks {
            let input = block.residual.then(|| map.values.clone());
            map = block
                .project
                .forward(block.depthwise.forward(&block.expand.forward(map)?))?;
            for (value, input) in map.values.iter_mut().zip(input.iter().flatten()) {
                *value += input;
            }
        }
        let map = self.head_depthwise.forward(&self.head.forward(map)?);
        let map = self.embed.forward(map)?;
        if (map.height, map.width) != (1, 1) {
            return Err(Error::internal(format!(
                "verifier: {}x{} positions are left, expected one",
                map.height, map.width
            )));
        }
        Ok(map.values.as_chunks::<EMBEDDING>().0.to_vec())
    }
}

/// The 3 × 3 patches that a convolution of stride 2 and padding 1 sees: `[pictures, side / 2, side / 2, 27]`.
fn patches(pictures: &[Vec<f32>], side: usize) -> Map {
    let half = side / 2;
    let mut values = Vec::with_capacity(pictures.len() * half * half * 27);
    for planes in pictures {
        for (y, x) in (0..half).flat_map(|y| (0..half).map(move |x| (y, x))) {
            for plane in planes.chunks_exact(side * side) {
                for (dy, dx) in (0..3).flat_map(|dy| (0..3).map(move |dx| (dy, dx))) {
                    let place = |tap: usize, at: usize| (2 * at + tap).checked_sub(1).filter(|p| *p < side);
                    values.push(match (place(dy, y), place(dx, x)) {
                        (Some(row), Some(column)) => plane[row * side + column],
                        _ => 0.0,
                    });
                }
            }
        }
    }
    Map {
        pictures: pictures.len(),
        height: half,
        width: half,
        channels: 27,
        values,
    }
}
