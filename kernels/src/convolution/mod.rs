//! Two-dimensional convolutions of pictures `[batch, height, width, channels]`, with what comes before and after fused.

mod block;
mod depthwise;
#[cfg(feature = "gradients")]
mod gradient;
#[cfg(test)]
mod tests;

pub use depthwise::DepthwiseConvolution;
#[cfg(feature = "gradients")]
pub(crate) use gradient::Convolution3x3;

use crate::error::{Error, Result};
use crate::matmul::COLUMNS;
use crate::simd::{dispatch, Isa};
use crate::threads::{with_scratch, Target, ThreadPool};
use block::{scratch_len, Block, LARGEST_ROWS};

/// Multiply-adds below which waking the other threads costs more than it brings.
const SERIAL_WORK: usize = 1 << 18;

/// Sizes of a convolution with a square kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConvolutionShape {
    /// Channels of the input.
    pub inputs: usize,
    /// Channels of the output.
    pub outputs: usize,
    /// Side of the kernel.
    pub kernel: usize,
    /// Step between the windows, along both axes.
    pub stride: usize,
    /// Zeros around the input, on all sides.
    pub padding: usize,
}

impl ConvolutionShape {
    /// The side of the output for a side of the input; `None` when no window fits or the sizes make no sense.
    pub fn output_side(&self, side: usize) -> Option<usize> {
        let padded = side.checked_add(self.padding.checked_mul(2)?)?;
        (padded.checked_sub(self.kernel)?)
            .checked_div(self.stride)?
            .checked_add(1)
    }

    fn check(&self) -> Result<()> {
        let Self {
            inputs,
            outputs,
            kernel,
            stride,
            padding,
        } = *self;
        // A window that sees nothing but padding would be no error, but no network has one.
        if inputs == 0 || outputs == 0 || kernel == 0 || stride == 0 || padding >= kernel {
            return Err(Error::invalid(format!("no convolution has these sizes: {self:?}")));
        }
        Ok(())
    }
}

/// What happens to the sums of a convolution before they become the output: bias, PReLU, residual, ReLU.
#[derive(Debug, Clone, Copy, Default)]
pub struct Finish<'a> {
    /// Added to every pixel: `[outputs]`.
    pub bias: Option<&'a [f32]>,
    /// What negative values are multiplied with after the bias: `[outputs]`. Zeros are a ReLU.
    pub slope: Option<&'a [f32]>,
    /// A picture of the output's shape that is added after that.
    pub residual: Option<&'a [f32]>,
    /// Whether what is negative in the end becomes 0.
    pub relu: bool,
}

/// The lengths of a call, checked.
fn check_call(
    shape: &ConvolutionShape,
    input: &[f32],
    size: [usize; 3],
    output: &[f32],
    finish: &Finish<'_>,
) -> Result<[usize; 3]> {
    let [batch, height, width] = size;
    let wrong = || {
        Error::invalid(format!(
            "{} input values and {} output values for {batch} pictures of {width} x {height} pixels and {shape:?}",
            input.len(),
            output.len()
        ))
    };
    let count = |size: [usize; 3], channels: usize| {
        size.into_iter()
            .try_fold(channels, |product: usize, factor| product.checked_mul(factor))
    };
    let sides = (shape.output_side(height), shape.output_side(width));
    let (Some(out_height), Some(out_width)) = sides else {
        return Err(wrong());
    };
    let out = [batch, out_height, out_width];
    if count(size, shape.inputs) != Some(input.len()) || count(out, shape.outputs) != Some(output.len()) {
        return Err(wrong());
    }
    for (name, values) in [("biases", finish.bias), ("slopes", finish.slope)] {
        if let Some(values) = values.filter(|values| values.len() != shape.outputs) {
            return Err(Error::invalid(format!(
                "{} {name} for {} channels",
                values.len(),
                shape.outputs
            )));
        }
    }
    if let Some(residual) = finish.residual.filter(|residual| residual.len() != output.len()) {
        return Err(Error::invalid(format!(
            "a residual of {} values for {} outputs",
            residual.len(),
            output.len()
        )));
    }
    Ok(out)
}

/// Sixteen values on a cache line of their own, so that no vector lies on two.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// A convolution with its weights, rearranged for [`forward`](Self::forward).
///
/// It is computed as a matrix product: the windows of some pixels are laid out as rows, part by part, in working memory
/// that stays in the cache. The weights take the memory of the plain ones, with `outputs` rounded up to 32.
#[derive(Debug, Clone)]
pub struct Convolution {
    /// `[panel][kernel · kernel · inputs][COLUMNS]`
    weights: Vec<Line>,
    shape: ConvolutionShape,
    /// `[kernel · inputs]` each: factor and summand of the values of a window's row.
    affine: Option<(Vec<f32>, Vec<f32>)>,
}

impl Convolution {
    /// Packs a weight `[outputs, inputs, kernel, kernel]`.
    ///
    /// # Errors
    /// `InvalidArgument` when the length does not fit the shape, or a size is 0, or the padding is no smaller than the
    /// kernel.
    pub fn new(weight: &[f32], shape: ConvolutionShape) -> Result<Self> {
        shape.check()?;
        let ConvolutionShape { inputs, outputs, .. } = shape;
        let area = shape.kernel.checked_mul(shape.kernel);
        let window = area.and_then(|area| area.checked_mul(inputs));
        let (Some(area), Some(window)) = (area, window) else {
            return Err(Error::invalid(format!("a convolution is too large: {shape:?}")));
        };
        if window.checked_mul(outputs) != Some(weight.len()) {
            return Err(Error::invalid(format!("{} weights for {shape:?}", weight.len())));
        }
        let per_line = std::mem::size_of::<Line>() / std::mem::size_of::<f32>();
        let panels = outputs.div_ceil(COLUMNS);
        let mut weights = vec![Line([0.0; 16]); panels * window * (COLUMNS / per_line)];
        for (output, filter) in weight.chunks_exact(window).enumerate() {
            let (panel, column) = (output / COLUMNS, output % COLUMNS);
            for (input, taps) in filter.chunks_exact(area).enumerate() {
                for (tap, value) in taps.iter().enumerate() {
                    let at = (panel * window + tap * inputs + input) * COLUMNS + column;
                    weights[at / per_line].0[at % per_line] = *value;
                }
            }
        }
        Ok(Self {
            weights,
            shape,
            affine: None,
        })
    }

    /// Multiplies each channel of the input with `scale` and adds `shift` before the zeros are put around it: a batch
    /// normalisation in front of a padded convolution, which its weights cannot absorb. Both are `[inputs]`.
    ///
    /// # Errors
    /// `InvalidArgument` when a length differs.
    pub fn with_affine(mut self, scale: &[f32], shift: &[f32]) -> Result<Self> {
        if scale.len() != self.shape.inputs || shift.len() != self.shape.inputs {
            return Err(Error::invalid(format!(
                "{} factors and {} summands for {} channels",
                scale.len(),
                shift.len(),
                self.shape.inputs
            )));
        }
        self.affine = Some((scale.repeat(self.shape.kernel), shift.repeat(self.shape.kernel)));
        Ok(self)
    }

    /// The sizes.
    pub fn shape(&self) -> &ConvolutionShape {
        &self.shape
    }

    /// Computes `output [batch, height', width', outputs]` from `input [batch, height, width, inputs]`, where `size` is
    /// `[batch, height, width]`; the other sides follow from [`ConvolutionShape::output_side`].
    ///
    /// # Errors
    /// `InvalidArgument` when a length does not fit; nothing is written then.
    pub fn forward(
        &self,
        pool: &ThreadPool,
        input: &[f32],
        size: [usize; 3],
        output: &mut [f32],
        finish: Finish<'_>,
    ) -> Result<()> {
        let out = check_call(&self.shape, input, size, output, &finish)?;
        let rows = out.iter().product::<usize>();
        if rows == 0 {
            return Ok(());
        }
        let outputs = self.shape.outputs;
        let window = self.shape.kernel * self.shape.kernel * self.shape.inputs;
        let isa = Isa::current();
        let serial = rows.saturating_mul(outputs).saturating_mul(window) < SERIAL_WORK;
        let row_part = block::row_part(rows, if serial { 1 } else { pool.threads() });
        let row_parts = rows.div_ceil(row_part);
        debug_assert!(row_part <= LARGEST_ROWS);
        let panels = outputs.div_ceil(COLUMNS);
        // Each task lays out its windows for itself, so tasks should not be too many.
        let panel_parts = if serial {
            1
        } else {
            (4 * pool.threads()).div_ceil(row_parts).min(panels)
        };
        let panel_part = panels.div_ceil(panel_parts);
        let panel_parts = panels.div_ceil(panel_part);
        let target = Target(output.as_mut_ptr());
        let task = |index: usize| {
            // Neighbouring tasks share the weights where the picture is small, so that they are the larger operand.
            let (part, row) = (index / row_parts, index % row_parts);
            let target = &target;
            with_scratch(scratch_len(row_part), |scratch| {
                let block = Block {
                    weights: self.weights.as_ptr().cast(),
                    shape: self.shape,
                    affine: self.affine.as_ref().map(|(scale, shift)| (&scale[..], &shift[..])),
                    input: input.as_ptr(),
                    size: [size[1], size[2]],
                    out: [out[1], out[2]],
                    output: target.0,
                    first_row: row * row_part,
                    last_row: rows.min((row + 1) * row_part),
                    first_panel: part * panel_part,
                    last_panel: panels.min((part + 1) * panel_part),
                    finish,
                    scratch,
                };
                // SAFETY: all lengths were checked above; each task writes pixels and channels of its own.
                unsafe { dispatch(isa, block) }
            });
        };
        let tasks = row_parts * panel_parts;
        if serial {
            (0..tasks).for_each(task);
        } else {
            pool.run(tasks, &task);
        }
        Ok(())
    }
}
