//! The small networks of PuLID: three linear layers with norms between them.

use super::block::EPSILON;
use crate::error::Result;
use crate::tensor_file::Shapes;
use candle_core::Tensor;
use omniid_kernels::layers::{LayerNorm, Linear, Weights};

/// Slope of LeakyReLU below 0: PyTorch's default.
const SLOPE: f64 = 0.01;

/// Linear → LayerNorm → LeakyReLU, twice, then Linear. Keys `0`, `1` (norm), `3`, `4` (norm), `6`.
#[derive(Debug)]
pub(super) struct Mapping {
    first: Linear,
    norm1: LayerNorm,
    second: Linear,
    norm2: LayerNorm,
    last: Linear,
}

/// Input width, the two inner widths and output width of a mapping, by its tensors' shapes.
pub(super) fn sizes_of(shapes: &Shapes, name: &str) -> Result<(usize, [usize; 2], usize)> {
    let [first, input] = shapes.dims(&format!("{name}.0.weight"))?;
    let [second, _] = shapes.dims(&format!("{name}.3.weight"))?;
    let [output, _] = shapes.dims(&format!("{name}.6.weight"))?;
    Ok((input, [first, second], output))
}

impl Mapping {
    pub fn build(input: usize, inner: [usize; 2], output: usize, weights: &Weights) -> Result<Self> {
        let [first, second] = inner;
        Ok(Self {
            first: weights.linear("0", input, first, true)?,
            norm1: weights.layer_norm("1", first, EPSILON)?,
            second: weights.linear("3", first, second, true)?,
            norm2: weights.layer_norm("4", second, EPSILON)?,
            last: weights.linear("6", second, output, true)?,
        })
    }

    /// `[…, input]` to `[…, output]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = leaky_relu(&self.norm1.forward(&self.first.forward(x)?)?)?;
        let x = leaky_relu(&self.norm2.forward(&self.second.forward(&x)?)?)?;
        self.last.forward(&x)
    }
}

fn leaky_relu(x: &Tensor) -> Result<Tensor> {
    Ok(x.maximum(&x.affine(SLOPE, 0.0)?)?)
}
