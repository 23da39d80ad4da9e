//! Convolutions with everything that is fused into them, the last matrix, and working memory.

use crate::error::Result;
use candle_core::Tensor;
use omniid_kernels::layers::{Initial, Weights};
use omniid_kernels::{
    Convolution, ConvolutionShape, DepthwiseConvolution, Element, Epilogue, Finish, PackedMatrix, ThreadPool,
};

/// A picture's sizes: batch, height, width.
pub(crate) type Size = [usize; 3];

/// A convolution with a square kernel, and the padding with which only the stride makes the picture smaller.
pub(crate) fn same([inputs, outputs]: [usize; 2], kernel: usize, stride: usize) -> ConvolutionShape {
    ConvolutionShape {
        inputs,
        outputs,
        kernel,
        stride,
        padding: kernel / 2,
    }
}

/// Which tensors a convolution has besides its weight and bias.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Extras {
    /// `scale` and `shift` of the input's channels.
    pub affine: bool,
    /// `slope`: what negative results are multiplied with.
    pub slope: bool,
    /// One kernel per channel.
    pub depthwise: bool,
}

#[derive(Debug)]
enum Kernel {
    Dense(Convolution),
    Depthwise(DepthwiseConvolution),
    /// Only listed.
    Nothing,
}

/// A convolution with bias and what is fused into it.
#[derive(Debug)]
pub(crate) struct Layer {
    kernel: Kernel,
    shape: ConvolutionShape,
    bias: Vec<f32>,
    slope: Option<Vec<f32>>,
}

/// The numbers of a tensor; none while tensors are only listed.
fn values(weights: &Weights, tensor: &Tensor) -> Result<Vec<f32>> {
    match weights.is_list() {
        true => Ok(Vec::new()),
        false => Ok(tensor.flatten_all()?.to_vec1()?),
    }
}

impl Layer {
    /// Takes `{name}.weight [outputs, inputs, kernel, kernel]`, `{name}.bias [outputs]` and what `extras` names.
    pub fn build(weights: &Weights, name: &str, shape: ConvolutionShape, extras: Extras) -> Result<Self> {
        let weights = weights.pp(name);
        let ConvolutionShape {
            inputs,
            outputs,
            kernel,
            ..
        } = shape;
        let vector = |name: &str, count: usize, start: f32| {
            let tensor = weights.tensor(name, &[count], Initial::Constant(start))?;
            values(&weights, &tensor)
        };
        let affine = match extras.affine {
            true => Some((vector("scale", inputs, 1.0)?, vector("shift", inputs, 0.0)?)),
            false => None,
        };
        let depth = if extras.depthwise { 1 } else { inputs };
        let initial = Initial::fan_in(depth * kernel * kernel);
        let weight = weights.tensor("weight", &[outputs, depth, kernel, kernel], initial)?;
        let bias = vector("bias", outputs, 0.0)?;
        let slope = match extras.slope {
            true => Some(vector("slope", outputs, 0.25)?),
            false => None,
        };
        let kernel = if weights.is_list() {
            Kernel::Nothing
        } else if extras.depthwise {
            Kernel::Depthwise(DepthwiseConvolution::new(&values(&weights, &weight)?, shape)?)
        } else {
            let convolution = Convolution::new(&values(&weights, &weight)?, shape)?;
            Kernel::Dense(match affine {
                Some((scale, shift)) => convolution.with_affine(&scale, &shift)?,
                None => convolution,
            })
        };
        Ok(Self {
            kernel,
            shape,
            bias,
            slope,
        })
    }

    /// Channels of the output.
    pub fn outputs(&self) -> usize {
        self.shape.outputs
    }

    /// The output's sizes for an input of `size`.
    pub fn size(&self, [batch, height, width]: Size) -> Size {
        let side = |side| self.shape.output_side(side).unwrap_or(0);
        [batch, side(height), side(width)]
    }

    /// Computes `[batch, height', width', outputs]` into `output`, with a residual and a ReLU behind it if wanted.
    pub fn forward(
        &self,
        input: &[f32],
        size: Size,
        residual: Option<&[f32]>,
        relu: bool,
        output: &mut Buffer,
    ) -> Result<Size> {
        let out = self.size(size);
        let output = output.take(out.iter().product::<usize>() * self.shape.outputs);
        let finish = Finish {
            bias: Some(&self.bias),
            slope: self.slope.as_deref(),
            residual,
            relu,
        };
        let pool = ThreadPool::global();
        match &self.kernel {
            Kernel::Dense(kernel) => kernel.forward(pool, input, size, output, finish)?,
            Kernel::Depthwise(kernel) => kernel.forward(pool, input, size, output, finish)?,
            Kernel::Nothing => {}
        }
        Ok(out)
    }
}

/// The last layer: a picture `[side, side, channels]` to an embedding.
#[derive(Debug)]
pub(crate) struct Output {
    matrix: Option<PackedMatrix>,
    bias: Vec<f32>,
    inputs: usize,
}

impl Output {
    /// Takes `{name}.weight [dimension, channels · side · side]`, whose columns go channel by channel as in the public
    /// files, and `{name}.bias [dimension]`.
    pub fn build(weights: &Weights, name: &str, channels: usize, side: usize, dimension: usize) -> Result<Self> {
        let weights = weights.pp(name);
        let area = side * side;
        let inputs = channels * area;
        let weight = weights.tensor("weight", &[dimension, inputs], Initial::fan_in(inputs))?;
        let bias = weights.tensor("bias", &[dimension], Initial::Constant(0.0))?;
        let matrix = match weights.is_list() {
            true => None,
            false => {
                // From channel by channel to pixel by pixel, as the pictures lie here.
                let weight = weight.reshape((dimension, channels, area))?.transpose(1, 2)?;
                let rows = weight.contiguous()?.flatten_all()?.to_vec1::<f32>()?;
                Some(PackedMatrix::pack(&rows, dimension, inputs, Element::F32)?)
            }
        };
        Ok(Self {
            matrix,
            bias: values(&weights, &bias)?,
            inputs,
        })
    }

    /// `[batch, side, side, channels]` to one vector per picture.
    pub fn forward(&self, input: &[f32]) -> Result<Vec<Vec<f32>>> {
        let Some(matrix) = &self.matrix else {
            return Ok(Vec::new());
        };
        let batch = input.len() / self.inputs.max(1);
        let mut output = vec![0.0; batch * self.bias.len()];
        let epilogue = Epilogue {
            bias: Some(&self.bias),
            ..Epilogue::default()
        };
        matrix.forward(ThreadPool::global(), input, &mut output, epilogue)?;
        Ok(output.chunks_exact(self.bias.len()).map(<[f32]>::to_vec).collect())
    }
}

/// Working memory that is kept from layer to layer.
#[derive(Debug, Default)]
pub(crate) struct Buffer(Vec<f32>);

impl Buffer {
    /// `count` values of any content.
    pub fn take(&mut self, count: usize) -> &mut [f32] {
        if self.0.len() < count {
            self.0.resize(count, 0.0);
        }
        &mut self.0[..count]
    }

    /// The values that were taken last.
    pub fn into_values(self) -> Vec<f32> {
        self.0
    }

    /// The first `count` values.
    pub fn get(&self, count: usize) -> &[f32] {
        self.0.get(..count).unwrap_or(&self.0)
    }
}

/// Working memory of a network: the picture, and what is computed from it.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    pub picture: Buffer,
    pub middle: Buffer,
    pub shortcut: Buffer,
    pub next: Buffer,
}
