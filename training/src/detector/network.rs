//! The detector's network, to be trained: YuNet's layers on tokens instead of planes.

use super::norm::{moments, normalise, Moments, EPSILON};
use super::ops::{depthwise, enlarge, max_pool, stem_windows, Grid};
use candle_core::{DType, Device, Tensor, D};
use candle_nn::VarBuilder;
use omniid::face::FaceDetector;
use omniid::{Error, Result};
use omniid_kernels::layers::{Initial, Linear, TensorSpec};
use std::collections::BTreeMap;

/// Pixels per cell of the three output levels.
pub const STRIDES: [usize; 3] = [8, 16, 32];

/// Numbers of a cell: class, object, centre x and y, log size x and y, five points.
pub const OUTPUTS: usize = 16;

/// The four branches of a level and how many numbers each gives, in the order of a cell's numbers.
const BRANCHES: [(&str, usize); 4] = [("cls", 1), ("obj", 1), ("box", 4), ("kps", 10)];

/// YuNet, variant `n` (Wu, Peng, Yu: "YuNet: A Tiny Millisecond-level Face Detector", 2023).
///
/// In training, batch normalisation stands before every ReLU; [`fold`] takes it into the weights. Names and shapes of
/// folded tensors are those that `omniid::face::FaceDetector` loads.
pub struct Network {
    stem: Linear,
    stem_norm: Option<Norm>,
    stages: Vec<Vec<Unit>>,
    laterals: Vec<Unit>,
    heads: Vec<(Unit, Vec<Unit>)>,
}

/// 1×1 convolution, depthwise 3×3 convolution, optionally batch normalisation and ReLU.
struct Unit {
    name: String,
    pointwise: Linear,
    /// `[9, channels]`
    taps: Tensor,
    bias: Tensor,
    norm: Option<Norm>,
    relu: bool,
}

/// Gain and shift of a batch normalisation, `[channels]` each.
struct Norm {
    gain: Tensor,
    shift: Tensor,
}

/// Is told the name of every batch normalisation and what comes into it; of a folded network, what comes into the ReLU
/// that follows.
type Watch<'a> = &'a mut dyn FnMut(&str, &Tensor) -> Result<()>;

/// Numbers of the order of 1 train better than 0…255. [`fold`] takes the scaling into the weights afterwards.
pub(super) const SCALE: f32 = 1.0 / 64.0;

/// A pixel's value as the network in training reads it.
pub fn scaled(value: u8) -> f32 {
    f32::from(value) * SCALE - 2.0
}

/// The pixel's value that [`scaled`] read, as a folded network takes it.
pub fn unscaled(number: f32) -> f32 {
    (number + 2.0) / SCALE
}

/// Every unit, as the plugin describes the network: name, input channels, output channels.
pub(super) fn units() -> Result<Vec<(String, usize, usize)>> {
    let unit = |spec: TensorSpec| {
        let name = spec.name.strip_suffix(".pointwise.weight")?.to_owned();
        Some((name, spec.shape[1], spec.shape[0]))
    };
    Ok(FaceDetector::tensors()?.into_iter().filter_map(unit).collect())
}

/// Whether a unit is one of the last ones, which give numbers: without batch normalisation and ReLU.
pub(super) fn is_branch(name: &str) -> bool {
    BRANCHES
        .iter()
        .any(|(branch, _)| name.starts_with(&format!("head.{branch}")))
}

/// Every tensor in training with its start: those of the plugin's network, with a batch normalisation in place of each
/// bias that it would take away again.
///
/// # Errors
/// None that the caller could cause.
pub fn tensors() -> Result<Vec<TensorSpec>> {
    let mut all = Vec::new();
    for spec in FaceDetector::tensors()? {
        let normed = match spec.name.strip_suffix(".bias") {
            Some("backbone.stem") => Some("backbone.stem"),
            Some(layer) => layer.strip_suffix(".depthwise").filter(|unit| !is_branch(unit)),
            None => None,
        };
        let Some(unit) = normed else {
            all.push(spec);
            continue;
        };
        for (part, start) in [("weight", 1.0), ("bias", 0.0)] {
            let name = format!("{unit}.norm.{part}");
            all.push(TensorSpec::new(name, &spec.shape, Initial::Constant(start)));
        }
    }
    Ok(all)
}

/// Tensors for `FaceDetector`, which reads pixels 0…255, from those of the network in training and the statistics of
/// every batch normalisation by name.
///
/// # Errors
/// [`ErrorKind::Format`](omniid::ErrorKind::Format) when something is missing.
pub fn fold(
    trained: &BTreeMap<String, Tensor>,
    statistics: &BTreeMap<String, Moments>,
) -> Result<BTreeMap<String, Tensor>> {
    let get = |name: &str| -> Result<Tensor> {
        let tensor = trained.get(name);
        let tensor = tensor.ok_or_else(|| Error::format(format!("the detector has no tensor {name:?}")))?;
        Ok(tensor.to_device(&Device::Cpu)?.detach())
    };
    // Factor and offset of a normalisation: y = factor · x + offset.
    let affine = |name: &str| -> Result<(Tensor, Tensor)> {
        let moments = statistics.get(name);
        let moments = moments.ok_or_else(|| Error::format(format!("no statistics of {name:?}")))?;
        let gain = get(&format!("{name}.norm.weight"))?.to_vec1::<f32>()?;
        let shift = get(&format!("{name}.norm.bias"))?.to_vec1::<f32>()?;
        let rows = gain.iter().zip(&shift).zip(moments.mean.iter().zip(&moments.variance));
        let (factor, offset): (Vec<f32>, Vec<f32>) = rows
            .map(|((gain, shift), (mean, variance))| {
                let factor = f64::from(*gain) / (variance + EPSILON).sqrt();
                (factor as f32, (f64::from(*shift) - factor * mean) as f32)
            })
            .unzip();
        Ok((
            Tensor::from_vec(factor, gain.len(), &Device::Cpu)?,
            Tensor::from_vec(offset, gain.len(), &Device::Cpu)?,
        ))
    };
    let mut out = BTreeMap::new();
    let (factor, offset) = affine("backbone.stem")?;
    let weight = get("backbone.stem.weight")?.broadcast_mul(&factor.reshape((16, 1, 1, 1))?)?;
    let sums = weight.reshape((16, 27))?.sum(1)?;
    // A scaled pixel is SCALE · v − 2.
    out.insert("backbone.stem.bias".to_owned(), (offset - (sums * 2.0)?)?);
    out.insert("backbone.stem.weight".to_owned(), (weight * f64::from(SCALE))?);
    for (name, _, output) in units()? {
        for part in ["pointwise.weight", "pointwise.bias"] {
            let name = format!("{name}.{part}");
            out.insert(name.clone(), get(&name)?);
        }
        let (weight, bias) = (format!("{name}.depthwise.weight"), format!("{name}.depthwise.bias"));
        let taps = get(&weight)?;
        if is_branch(&name) {
            out.insert(bias.clone(), get(&bias)?);
            out.insert(weight, taps);
        } else {
            let (factor, offset) = affine(&name)?;
            out.insert(bias, offset);
            out.insert(weight, taps.broadcast_mul(&factor.reshape((output, 1, 1, 1))?)?);
        }
    }
    Ok(out)
}

impl Norm {
    /// The normalisation under `vb`, if there is one.
    fn load(vb: &VarBuilder, channels: usize) -> Result<Option<Self>> {
        if !vb.contains_tensor("norm.weight") {
            return Ok(None);
        }
        Ok(Some(Self {
            gain: vb.get(channels, "norm.weight")?,
            shift: vb.get(channels, "norm.bias")?,
        }))
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(normalise(x, &self.gain, &self.shift)?)
    }
}

impl Unit {
    fn load(vb: VarBuilder, name: &str, input: usize, output: usize) -> Result<Self> {
        let vb = vb.pp(name);
        let weight = vb
            .get((output, input, 1, 1), "pointwise.weight")?
            .reshape((output, input))?;
        let bias = vb.get(output, "pointwise.bias")?;
        let taps = vb.get((output, 1, 3, 3), "depthwise.weight")?;
        let norm = Norm::load(&vb, output)?;
        Ok(Self {
            name: name.to_owned(),
            pointwise: Linear::from_tensors(weight, Some(bias))?,
            taps: taps.reshape((output, 9))?.t()?,
            bias: match norm {
                // The normalisation would take a bias away again.
                Some(_) => Tensor::zeros(output, DType::F32, &Device::Cpu)?,
                None => vb.get(output, "depthwise.bias")?,
            },
            norm,
            relu: !is_branch(name),
        })
    }

    fn forward(&self, x: &Tensor, grid: Grid, watch: Watch<'_>) -> Result<Tensor> {
        let x = depthwise(&self.pointwise.forward(x)?, &self.taps, &self.bias, grid)?;
        match &self.norm {
            Some(norm) => {
                watch(&self.name, &x)?;
                norm.forward(&x)
            }
            None if self.relu => {
                watch(&self.name, &x)?;
                Ok(x.relu()?)
            }
            None => Ok(x),
        }
    }
}

impl Network {
    /// Reads the network under the prefix of `vb`: in training, or folded where there is no batch normalisation.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](omniid::ErrorKind::Format) when a tensor is missing or has another shape.
    pub fn load(vb: VarBuilder) -> Result<Self> {
        let mut stages: Vec<Vec<Unit>> = Vec::new();
        let (mut laterals, mut shared, mut branches) = (Vec::new(), Vec::new(), Vec::new());
        for (name, input, output) in units()? {
            let unit = Unit::load(vb.clone(), &name, input, output)?;
            let stage = name
                .strip_prefix("backbone.stage")
                .and_then(|rest| rest.split_once('.')?.0.parse::<usize>().ok());
            match stage {
                Some(stage) => {
                    stages.resize_with(stages.len().max(stage + 1), Vec::new);
                    stages[stage].push(unit);
                }
                None if name.starts_with("neck") => laterals.push(unit),
                None if is_branch(&name) => branches.push(unit),
                None => shared.push(unit),
            }
        }
        let mut branches = branches.into_iter();
        let heads = shared
            .into_iter()
            .map(|shared| (shared, branches.by_ref().take(BRANCHES.len()).collect()))
            .collect();
        let weight = vb.get((16, 3, 3, 3), "backbone.stem.weight")?.reshape((16, 27))?;
        let stem_norm = Norm::load(&vb.pp("backbone.stem"), 16)?;
        let bias = match stem_norm {
            Some(_) => None,
            None => Some(vb.get(16, "backbone.stem.bias")?),
        };
        Ok(Self {
            stem: Linear::from_tensors(weight, bias)?,
            stem_norm,
            stages,
            laterals,
            heads,
        })
    }

    /// Raw outputs `[batch, cells, 16]` for pictures of `side` × `side` pixels, `[batch · side · side · 3]` numbers
    /// B, G, R, row by row: as [`scaled`] gives them in training, 0…255 when folded. CPU only. Cells go level by level,
    /// row by row; the numbers of a cell are class and object (logits), centre offset and log size (in cells), offsets
    /// of the five points (in cells).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](omniid::ErrorKind::InvalidArgument) unless `side` is a multiple of 32 and the
    /// numbers fill whole pictures.
    pub fn forward(&self, pictures: &[f32], side: usize) -> Result<Tensor> {
        self.run(pictures, side, &mut |_, _| Ok(()))
    }

    /// Mean and variance of what comes into every batch normalisation, by its name, when the network sees these
    /// pictures; where it is folded, of what comes into the ReLU after it.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn statistics(&self, pictures: &[f32], side: usize) -> Result<BTreeMap<String, Moments>> {
        let mut all = BTreeMap::new();
        self.run(pictures, side, &mut |name, x| {
            all.insert(name.to_owned(), moments(x)?);
            Ok(())
        })?;
        Ok(all)
    }

    fn run(&self, pictures: &[f32], side: usize, watch: Watch<'_>) -> Result<Tensor> {
        let picture = side * side * 3;
        if side == 0 || !side.is_multiple_of(32) || pictures.is_empty() || !pictures.len().is_multiple_of(picture) {
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
        let outside = if self.stem_norm.is_some() { scaled(0) } else { 0.0 };
        let windows = stem_windows(pictures, batch, grid, outside);
        let mut grid = grid.half();
        let windows = Tensor::from_vec(windows, (batch, grid.height * grid.width, 27), &Device::Cpu)?;
        let mut x = self.stem.forward(&windows)?;
        watch("backbone.stem", &x)?;
        x = match &self.stem_norm {
            Some(norm) => norm.forward(&x)?,
            None => x.relu()?,
        };
        x = self.stage(0, x, grid, watch)?;
        (x, grid) = (max_pool(&x, grid)?, grid.half());
        x = self.stage(1, x, grid, watch)?;
        x = self.stage(2, x, grid, watch)?;
        (x, grid) = (max_pool(&x, grid)?, grid.half());
        let third = (self.stage(3, x, grid, watch)?, grid);
        let below = |(x, grid): &(Tensor, Grid)| -> Result<(Tensor, Grid)> { Ok((max_pool(x, *grid)?, grid.half())) };
        let (x, grid) = below(&third)?;
        let fourth = (self.stage(4, x, grid, watch)?, grid);
        let (x, grid) = below(&fourth)?;
        let fifth = (self.stage(5, x, grid, watch)?, grid);
        let p5 = self.laterals[2].forward(&fifth.0, fifth.1, watch)?;
        let p4 = self.laterals[1].forward(&(&fourth.0 + enlarge(&p5, fifth.1)?)?, fourth.1, watch)?;
        let p3 = self.laterals[0].forward(&(&third.0 + enlarge(&p4, fourth.1)?)?, third.1, watch)?;
        let levels = [(p3, third.1), (p4, fourth.1), (p5, fifth.1)];
        let mut cells = Vec::with_capacity(levels.len());
        for ((x, grid), (shared, branches)) in levels.iter().zip(&self.heads) {
            let x = shared.forward(x, *grid, watch)?;
            let parts = branches
                .iter()
                .map(|branch| branch.forward(&x, *grid, watch))
                .collect::<Result<Vec<_>>>()?;
            cells.push(Tensor::cat(&parts, D::Minus1)?);
        }
        Ok(Tensor::cat(&cells, 1)?)
    }

    fn stage(&self, index: usize, mut x: Tensor, grid: Grid, watch: Watch<'_>) -> Result<Tensor> {
        for unit in &self.stages[index] {
            x = unit.forward(&x, grid, watch)?;
        }
        Ok(x)
    }
}
