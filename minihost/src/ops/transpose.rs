//! PyTorch's convolution weights in the order of the rows that [`im2col`](super::im2col) makes.

use super::{elements, for_parts};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

/// A weight `[output, input, 3, 3]` as `[output, 9 · input]`: all inputs of the first place of the window, then of the
/// second, and so on. Without gradient, any device.
pub fn taps_first(weight: &Tensor) -> Result<Tensor> {
    let (outputs, inputs, rows, columns) = weight.dims4()?;
    let taps = rows * columns;
    let weight = weight.reshape((outputs, inputs, taps))?;
    let weight = if super::on_cpu(&[&weight]) {
        weight.contiguous()?.apply_op1(TransposeInner)?
    } else {
        weight.transpose(1, 2)?.contiguous()?
    };
    weight.reshape((outputs, taps * inputs))
}

/// `[n, rows, columns]` to `[n, columns, rows]`.
struct TransposeInner;

impl CustomOp1 for TransposeInner {
    fn name(&self) -> &'static str {
        "transpose_inner"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (count, rows, columns) = layout.shape().dims3()?;
        let x = elements(storage, layout)?;
        let mut output = vec![0f32; x.len()];
        for_parts(&mut output, rows * columns, &|number, part| {
            let matrix = &x[number * rows * columns..(number + 1) * rows * columns];
            for (column, target) in part.chunks_exact_mut(rows).enumerate() {
                for (row, target) in target.iter_mut().enumerate() {
                    *target = matrix[row * columns + column];
                }
            }
        });
        Ok((CpuStorage::F32(output), Shape::from((count, columns, rows))))
    }
}
