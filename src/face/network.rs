//! The YuNet network (Wu, Peng, Yu: "YuNet: A Tiny Millisecond-level Face Detector", 2023; libfacedetection.train).

use super::depthwise::Depthwise;
use crate::error::{Error, Result};
use candle_core::{DType, Device, Tensor};
use omniid_kernels::layers::{Initial, Weights};

/// Strides of the three output levels, in pixels.
pub(super) const STRIDES: [usize; 3] = [8, 16, 32];

/// 1×1 convolution, then depthwise 3×3 convolution, then optionally ReLU.
#[derive(Debug)]
struct Unit {
    /// `[out, in]`
    pointwise: Tensor,
    /// `[out, 1]`
    pointwise_bias: Tensor,
    depthwise: Depthwise,
}

/// What a unit is for.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    /// Features, with a ReLU behind.
    Features,
    /// Numbers of a cell, which start at this value.
    Numbers(f32),
}

impl Unit {
    fn build(name: &str, [input, output]: [usize; 2], role: Role, weights: &Weights) -> Result<Self> {
        let unit = weights.pp(name);
        let (gain, start) = match role {
            Role::Features => (1.0, 0.0),
            Role::Numbers(start) => (0.1, start),
        };
        let pointwise = unit.tensor("pointwise.weight", &[output, input, 1, 1], normal(input, 1.0))?;
        let pointwise_bias = unit.tensor("pointwise.bias", &[output], Initial::Constant(0.0))?;
        let kernel = unit.tensor("depthwise.weight", &[output, 1, 3, 3], normal(9, gain))?;
        let bias = unit.tensor("depthwise.bias", &[output], Initial::Constant(start))?;
        Ok(Self {
            pointwise: pointwise.reshape((output, input))?,
            pointwise_bias: pointwise_bias.reshape((output, 1))?,
            depthwise: Depthwise::new(kernel, bias, role == Role::Features)?,
        })
    }

    /// `[1, in, height, width]` to `[1, out, height, width]`.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (_, channels, height, width) = x.dims4()?;
        let outputs = self.pointwise.dim(0)?;
        let mixed = self.pointwise.matmul(&x.reshape((channels, height * width))?)?;
        let mixed = mixed
            .broadcast_add(&self.pointwise_bias)?
            .reshape((1, outputs, height, width))?;
        self.depthwise.forward(mixed)
    }
}

/// The outputs of one level, row by row over its cells.
#[derive(Debug)]
pub(super) struct Level {
    /// Pixels per cell.
    pub stride: usize,
    /// Cells per row.
    pub columns: usize,
    /// Probability that the cell shows a face.
    pub class: Vec<f32>,
    /// Predicted quality of the box.
    pub object: Vec<f32>,
    /// Centre offset x, y and log size x, y, in cells.
    pub boxes: Vec<[f32; 4]>,
    /// Offsets x, y of the five points, in cells.
    pub points: Vec<[f32; 10]>,
}

#[derive(Debug)]
struct Head {
    shared: Unit,
    class: Unit,
    object: Unit,
    boxes: Unit,
    points: Unit,
}

/// YuNet, variant `n`.
#[derive(Debug)]
pub(super) struct Network {
    stem: Tensor,
    stem_bias: Tensor,
    stages: Vec<Vec<Unit>>,
    laterals: Vec<Unit>,
    heads: Vec<Head>,
    device: Device,
}

/// Channels before and after each unit of the backbone, stage by stage.
const STAGES: [&[[usize; 2]]; 6] = [
    &[[16, 16]],
    &[[16, 16], [16, WIDTH]],
    &[[WIDTH; 2]; 2],
    &[[WIDTH; 2]; 2],
    &[[WIDTH; 2]; 2],
    &[[WIDTH; 2]; 2],
];

/// Channels after the backbone's second stage.
const WIDTH: usize = 64;

/// Normal numbers that keep `gain` of the variance of `inputs` numbers.
fn normal(inputs: usize, gain: f32) -> Initial {
    Initial::Normal((gain / inputs as f32).sqrt())
}

impl Network {
    /// Every tensor of the network, batch normalisation folded.
    ///
    /// Weights keep the variance of what passes through; the classes start at a probability of 0.01, so that the many
    /// cells without a face do not drown the first steps (Lin et al. 2017).
    pub fn build(weights: &Weights) -> Result<Self> {
        let weights = weights.to_dtype(DType::F32);
        let features = |name: &str, channels| Unit::build(name, channels, Role::Features, &weights);
        let numbers = |name: &str, count, start| Unit::build(name, [WIDTH, count], Role::Numbers(start), &weights);
        let stem = weights.pp("backbone.stem");
        let stem_weight = stem.tensor("weight", &[16, 3, 3, 3], normal(27, 1.0))?;
        let stem_bias = stem.tensor("bias", &[16], Initial::Constant(0.0))?;
        let mut stages = Vec::new();
        for (stage, units) in STAGES.iter().enumerate() {
            let unit = |(i, channels): (usize, &[usize; 2])| features(&format!("backbone.stage{stage}.{i}"), *channels);
            stages.push(units.iter().enumerate().map(unit).collect::<Result<_>>()?);
        }
        let (mut laterals, mut heads) = (Vec::new(), Vec::new());
        for level in 0..STRIDES.len() {
            laterals.push(features(&format!("neck.lateral{level}"), [WIDTH; 2])?);
            heads.push(Head {
                shared: features(&format!("head.shared{level}"), [WIDTH; 2])?,
                class: numbers(&format!("head.cls{level}"), 1, -4.6)?,
                object: numbers(&format!("head.obj{level}"), 1, -4.6)?,
                boxes: numbers(&format!("head.box{level}"), 4, 0.0)?,
                points: numbers(&format!("head.kps{level}"), 10, 0.0)?,
            });
        }
        Ok(Self {
            stem: stem_weight,
            stem_bias: stem_bias.reshape((1, 16, 1, 1))?,
            stages,
            laterals,
            heads,
            device: weights.device(),
        })
    }

    /// Runs the network on planes B, G, R (0…255) of `width` × `height`, both multiples of 32.
    pub fn forward(&self, planes: Vec<f32>, width: usize, height: usize) -> Result<Vec<Level>> {
        let x = Tensor::from_vec(planes, (1, 3, height, width), &self.device)?;
        let x = x
            .conv2d(&self.stem, 1, 2, 1, 1)?
            .broadcast_add(&self.stem_bias)?
            .relu()?;
        let x = self.stage(0, x)?.max_pool2d(2)?;
        let x = self.stage(1, x)?;
        let x = self.stage(2, x)?.max_pool2d(2)?;
        let c3 = self.stage(3, x)?;
        let c4 = self.stage(4, c3.max_pool2d(2)?)?;
        let c5 = self.stage(5, c4.max_pool2d(2)?)?;
        let p5 = self.laterals[2].forward(&c5)?;
        let p4 = self.laterals[1].forward(&(&c4 + upsample(&p5, &c4)?)?)?;
        let p3 = self.laterals[0].forward(&(&c3 + upsample(&p4, &c3)?)?)?;
        [p3, p4, p5]
            .iter()
            .zip(&self.heads)
            .zip(STRIDES)
            .map(|((x, head), s)| head.forward(x, s))
            .collect()
    }

    fn stage(&self, index: usize, mut x: Tensor) -> Result<Tensor> {
        for unit in &self.stages[index] {
            x = unit.forward(&x)?;
        }
        Ok(x)
    }
}

/// Nearest-neighbour up-sampling to the size of `like`.
fn upsample(x: &Tensor, like: &Tensor) -> Result<Tensor> {
    let (_, _, height, width) = like.dims4()?;
    Ok(x.upsample_nearest2d(height, width)?)
}

impl Head {
    fn forward(&self, x: &Tensor, stride: usize) -> Result<Level> {
        let x = self.shared.forward(x)?;
        let columns = x.dim(3)?;
        let one = |unit: &Unit| -> Result<Vec<f32>> {
            Ok(candle_nn::ops::sigmoid(&unit.forward(&x)?)?.flatten_all()?.to_vec1()?)
        };
        Ok(Level {
            stride,
            columns,
            class: one(&self.class)?,
            object: one(&self.object)?,
            boxes: rows(&self.boxes.forward(&x)?)?,
            points: rows(&self.points.forward(&x)?)?,
        })
    }
}

/// `[1, N, height, width]` to one array of `N` values per cell.
fn rows<const N: usize>(x: &Tensor) -> Result<Vec<[f32; N]>> {
    let cells = x.flatten_from(2)?.squeeze(0)?.t()?.contiguous()?.to_vec2::<f32>()?;
    cells
        .into_iter()
        .map(|row| <[f32; N]>::try_from(row).map_err(|_| Error::internal("detector head has an unexpected width")))
        .collect()
}
