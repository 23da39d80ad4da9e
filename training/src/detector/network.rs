//! The detector's network, to be trained: YuNet's layers on tokens instead of planes.

use super::ops::{depthwise, enlarge, max_pool, stem_windows, Grid};
use candle_core::{Device, Tensor, D};
use candle_nn::VarBuilder;
use omniid::error::{Error, Result};
use omniid::nn::{Initial, Linear, TensorSpec};

/// Pixels per cell of the three output levels.
pub const STRIDES: [usize; 3] = [8, 16, 32];

/// Numbers of a cell: class, object, centre x and y, log size x and y, five points.
pub const OUTPUTS: usize = 16;

/// The four branches of a level and how many numbers each gives, in the order of a cell's numbers.
const BRANCHES: [(&str, usize); 4] = [("cls", 1), ("obj", 1), ("box", 4), ("kps", 10)];

/// Channels before and after each unit of the backbone, stage by stage.
const STAGES: [&[(usize, usize)]; 6] = [
    &[(16, 16)],
    &[(16, 16), (16, 64)],
    &[(64, 64); 2],
    &[(64, 64); 2],
    &[(64, 64); 2],
    &[(64, 64); 2],
];

/// YuNet, variant `n` (Wu, Peng, Yu: "YuNet: A Tiny Millisecond-level Face Detector", 2023), without batch
/// normalisation: names and shapes are those that `omniid::face::FaceDetector` loads.
pub struct Network {
    stem: Linear,
    stages: Vec<Vec<Unit>>,
    laterals: Vec<Unit>,
    heads: Vec<(Unit, Vec<Unit>)>,
}

/// 1×1 convolution, depthwise 3×3 convolution, optionally ReLU.
struct Unit {
    pointwise: Linear,
    /// `[9, channels]`
    taps: Tensor,
    bias: Tensor,
    relu: bool,
}

/// Numbers of the order of 1 train better than 0…255. [`folded`] takes the scaling into the weights afterwards.
const SCALE: f32 = 1.0 / 64.0;

/// A pixel's value as the network in training reads it.
pub fn scaled(value: u8) -> f32 {
    f32::from(value) * SCALE - 2.0
}

/// The stem's `weight` `[16, 3, 3, 3]` and `bias` `[16]` for pixels 0…255, which `FaceDetector` reads.
///
/// # Errors
/// For tensors of other shapes.
pub fn folded(weight: &Tensor, bias: &Tensor) -> Result<(Tensor, Tensor)> {
    let sums = weight.reshape((16, 27))?.sum(1)?;
    Ok(((weight * f64::from(SCALE))?, (bias - (sums * 2.0)?)?))
}

/// Every unit: name, input channels, output channels.
fn units() -> Vec<(String, usize, usize)> {
    let mut all = Vec::new();
    for (stage, units) in STAGES.iter().enumerate() {
        for (place, &(input, output)) in units.iter().enumerate() {
            all.push((format!("backbone.stage{stage}.{place}"), input, output));
        }
    }
    for level in 0..STRIDES.len() {
        all.push((format!("neck.lateral{level}"), 64, 64));
        all.push((format!("head.shared{level}"), 64, 64));
        for (branch, output) in BRANCHES {
            all.push((format!("head.{branch}{level}"), 64, output));
        }
    }
    all
}

/// Every tensor with its start. Weights keep the variance of what passes through; the classes start at a
/// probability of 0.01, so that the many cells without a face do not drown the first steps (Lin et al. 2017).
pub fn tensors() -> Vec<TensorSpec> {
    let normal = |inputs: f32, gain: f32| Initial::Normal((gain / inputs).sqrt());
    let mut all = vec![
        TensorSpec::new("backbone.stem.weight", &[16, 3, 3, 3], normal(27.0, 2.0)),
        TensorSpec::new("backbone.stem.bias", &[16], Initial::Constant(0.0)),
    ];
    for (name, input, output) in units() {
        let last = !(name.starts_with("backbone") || name.contains("lateral") || name.contains("shared"));
        let prior = name.contains("head.cls") || name.contains("head.obj");
        let bias = if prior { -4.6 } else { 0.0 };
        let gain = if last { 0.1 } else { 2.0 };
        all.extend([
            TensorSpec::new(
                format!("{name}.pointwise.weight"),
                &[output, input, 1, 1],
                normal(input as f32, 1.0),
            ),
            TensorSpec::new(
                format!("{name}.pointwise.bias"),
                &[output],
                Initial::Constant(0.0),
            ),
            TensorSpec::new(
                format!("{name}.depthwise.weight"),
                &[output, 1, 3, 3],
                normal(9.0, gain),
            ),
            TensorSpec::new(
                format!("{name}.depthwise.bias"),
                &[output],
                Initial::Constant(bias),
            ),
        ]);
    }
    all
}

impl Unit {
    fn load(vb: VarBuilder, input: usize, output: usize, relu: bool) -> Result<Self> {
        let weight = vb
            .get((output, input, 1, 1), "pointwise.weight")?
            .reshape((output, input))?;
        let bias = vb.get(output, "pointwise.bias")?;
        let taps = vb.get((output, 1, 3, 3), "depthwise.weight")?;
        Ok(Self {
            pointwise: Linear::from_tensors(weight, Some(bias))?,
            taps: taps.reshape((output, 9))?.t()?,
            bias: vb.get(output, "depthwise.bias")?,
            relu,
        })
    }

    fn forward(&self, x: &Tensor, grid: Grid) -> Result<Tensor> {
        let x = self.pointwise.forward(x)?;
        Ok(depthwise(&x, &self.taps, &self.bias, grid, self.relu)?)
    }
}

impl Network {
    /// Reads the network under the prefix of `vb`.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](omniid::ErrorKind::Format) when a tensor is missing or has another shape.
    pub fn load(vb: VarBuilder) -> Result<Self> {
        let mut stages: Vec<Vec<Unit>> = STAGES.iter().map(|_| Vec::new()).collect();
        let (mut laterals, mut shared, mut branches) = (Vec::new(), Vec::new(), Vec::new());
        for (name, input, output) in units() {
            let is_branch = BRANCHES
                .iter()
                .any(|(branch, _)| name.starts_with(&format!("head.{branch}")));
            let unit = Unit::load(vb.pp(&name), input, output, !is_branch)?;
            let stage = (0..stages.len()).find(|stage| name.starts_with(&format!("backbone.stage{stage}.")));
            match stage {
                Some(stage) => stages[stage].push(unit),
                None if name.starts_with("neck") => laterals.push(unit),
                None if is_branch => branches.push(unit),
                None => shared.push(unit),
            }
        }
        let mut branches = branches.into_iter();
        let heads = shared
            .into_iter()
            .map(|shared| (shared, branches.by_ref().take(BRANCHES.len()).collect()))
            .collect();
        let weight = vb.get((16, 3, 3, 3), "backbone.stem.weight")?.reshape((16, 27))?;
        let bias = vb.get(16, "backbone.stem.bias")?;
        Ok(Self {
            stem: Linear::from_tensors(weight, Some(bias))?,
            stages,
            laterals,
            heads,
        })
    }

    /// Raw outputs `[batch, cells, 16]` for pictures of `side` × `side` pixels, `[batch · side · side · 3]` numbers
    /// B, G, R as [`scaled`] gives them, row by row. CPU only. Cells go level by level, row by row; the numbers of a cell are class and
    /// object (logits), centre offset and log size (in cells), offsets of the five points (in cells).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](omniid::ErrorKind::InvalidArgument) unless `side` is a multiple of 32 and the
    /// numbers fill whole pictures.
    pub fn forward(&self, pictures: &[f32], side: usize) -> Result<Tensor> {
        let picture = side * side * 3;
        if side == 0
            || !side.is_multiple_of(32)
            || pictures.is_empty()
            || !pictures.len().is_multiple_of(picture)
        {
            return Err(Error::invalid(format!(
                "{} numbers are no pictures of {side} x {side} x 3; the side must be a multiple of 32",
                pictures.len()
            )));
        }
        let batch = pictures.len() / picture;
        let grid = Grid {
            height: side,
            width: side,
        };
        let windows = stem_windows(pictures, batch, grid, scaled(0));
        let mut grid = grid.half();
        let windows = Tensor::from_vec(windows, (batch, grid.height * grid.width, 27), &Device::Cpu)?;
        let mut x = self.stem.forward(&windows)?.relu()?;
        x = self.stage(0, x, grid)?;
        (x, grid) = (max_pool(&x, grid)?, grid.half());
        x = self.stage(2, self.stage(1, x, grid)?, grid)?;
        (x, grid) = (max_pool(&x, grid)?, grid.half());
        let third = (self.stage(3, x, grid)?, grid);
        let below =
            |(x, grid): &(Tensor, Grid)| -> Result<(Tensor, Grid)> { Ok((max_pool(x, *grid)?, grid.half())) };
        let (x, grid) = below(&third)?;
        let fourth = (self.stage(4, x, grid)?, grid);
        let (x, grid) = below(&fourth)?;
        let fifth = (self.stage(5, x, grid)?, grid);
        let p5 = self.laterals[2].forward(&fifth.0, fifth.1)?;
        let p4 = self.laterals[1].forward(&(&fourth.0 + enlarge(&p5, fifth.1)?)?, fourth.1)?;
        let p3 = self.laterals[0].forward(&(&third.0 + enlarge(&p4, fourth.1)?)?, third.1)?;
        let levels = [(p3, third.1), (p4, fourth.1), (p5, fifth.1)];
        let mut cells = Vec::with_capacity(levels.len());
        for ((x, grid), (shared, branches)) in levels.iter().zip(&self.heads) {
            let x = shared.forward(x, *grid)?;
            let parts = branches
                .iter()
                .map(|branch| branch.forward(&x, *grid))
                .collect::<Result<Vec<_>>>()?;
            cells.push(Tensor::cat(&parts, D::Minus1)?);
        }
        Ok(Tensor::cat(&cells, 1)?)
    }

    fn stage(&self, index: usize, mut x: Tensor, grid: Grid) -> Result<Tensor> {
        for unit in &self.stages[index] {
            x = unit.forward(&x, grid)?;
        }
        Ok(x)
    }
}
