//! The YuNet network (Wu, Peng, Yu: "YuNet: A Tiny Millisecond-level Face Detector", 2023; libfacedetection.train).

use super::depthwise::Depthwise;
use crate::error::{Error, Result};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;

/// Strides of the three output levels, in pixels.
pub(super) const STRIDES: [usize; 3] = [8, 16, 32];

/// 1×1 convolution, then depthwise 3×3 convolution, then optionally ReLU.
struct Unit {
    /// `[out, in]`
    pointwise: Tensor,
    /// `[out, 1]`
    pointwise_bias: Tensor,
    depthwise: Depthwise,
}

impl Unit {
    fn load(vb: VarBuilder, input: usize, output: usize, relu: bool) -> Result<Self> {
        let kernel = vb.get((output, 1, 3, 3), "depthwise.weight")?;
        let bias = vb.get(output, "depthwise.bias")?;
        Ok(Self {
            pointwise: vb
                .get((output, input, 1, 1), "pointwise.weight")?
                .reshape((output, input))?,
            pointwise_bias: vb.get(output, "pointwise.bias")?.reshape((output, 1))?,
            depthwise: Depthwise::new(kernel, bias, relu)?,
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

struct Head {
    shared: Unit,
    class: Unit,
    object: Unit,
    boxes: Unit,
    points: Unit,
}

/// YuNet, variant `n`.
pub(super) struct Network {
    stem: Tensor,
    stem_bias: Tensor,
    stages: Vec<Vec<Unit>>,
    laterals: Vec<Unit>,
    heads: Vec<Head>,
    device: Device,
}

/// Channels before and after each unit of the backbone, stage by stage.
const STAGES: [&[(usize, usize)]; 6] = [
    &[(16, 16)],
    &[(16, 16), (16, 64)],
    &[(64, 64); 2],
    &[(64, 64); 2],
    &[(64, 64); 2],
    &[(64, 64); 2],
];

/// Every tensor of the network: name and shape.
pub(super) fn expected_tensors() -> Vec<(String, Vec<usize>)> {
    let mut out = vec![
        ("backbone.stem.weight".to_owned(), vec![16, 3, 3, 3]),
        ("backbone.stem.bias".to_owned(), vec![16]),
    ];
    for (name, input, output) in unit_names() {
        out.push((format!("{name}.pointwise.weight"), vec![output, input, 1, 1]));
        out.push((format!("{name}.pointwise.bias"), vec![output]));
        out.push((format!("{name}.depthwise.weight"), vec![output, 1, 3, 3]));
        out.push((format!("{name}.depthwise.bias"), vec![output]));
    }
    out
}

/// Every unit: name, input channels, output channels.
pub(super) fn unit_names() -> Vec<(String, usize, usize)> {
    let mut out = Vec::new();
    for (stage, units) in STAGES.iter().enumerate() {
        for (unit, &(input, output)) in units.iter().enumerate() {
            out.push((format!("backbone.stage{stage}.{unit}"), input, output));
        }
    }
    for level in 0..3 {
        out.push((format!("neck.lateral{level}"), 64, 64));
        out.push((format!("head.shared{level}"), 64, 64));
        for (branch, output) in [("cls", 1), ("obj", 1), ("box", 4), ("kps", 10)] {
            out.push((format!("head.{branch}{level}"), 64, output));
        }
    }
    out
}

impl Network {
    pub fn load(vb: VarBuilder) -> Result<Self> {
        let vb = vb.to_dtype(DType::F32);
        let unit = |name: String, input, output, relu| Unit::load(vb.pp(name), input, output, relu);
        let stages = STAGES
            .iter()
            .enumerate()
            .map(|(stage, units)| {
                units
                    .iter()
                    .enumerate()
                    .map(|(i, &(input, output))| {
                        unit(format!("backbone.stage{stage}.{i}"), input, output, true)
                    })
                    .collect()
            })
            .collect::<Result<_>>()?;
        let laterals = (0..3)
            .map(|level| unit(format!("neck.lateral{level}"), 64, 64, true))
            .collect::<Result<_>>()?;
        let heads = (0..3)
            .map(|level| {
                Ok(Head {
                    shared: unit(format!("head.shared{level}"), 64, 64, true)?,
                    class: unit(format!("head.cls{level}"), 64, 1, false)?,
                    object: unit(format!("head.obj{level}"), 64, 1, false)?,
                    boxes: unit(format!("head.box{level}"), 64, 4, false)?,
                    points: unit(format!("head.kps{level}"), 64, 10, false)?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            stem: vb.get((16, 3, 3, 3), "backbone.stem.weight")?,
            stem_bias: vb.get(16, "backbone.stem.bias")?.reshape((1, 16, 1, 1))?,
            stages,
            laterals,
            heads,
            device: vb.device().clone(),
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
            Ok(candle_nn::ops::sigmoid(&unit.forward(&x)?)?
                .flatten_all()?
                .to_vec1()?)
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
    let cells = x
        .flatten_from(2)?
        .squeeze(0)?
        .t()?
        .contiguous()?
        .to_vec2::<f32>()?;
    cells
        .into_iter()
        .map(|row| {
            <[f32; N]>::try_from(row).map_err(|_| Error::internal("detector head has an unexpected width"))
        })
        .collect()
}
