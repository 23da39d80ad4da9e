//! The windows of a 3×3 convolution as rows, so that the convolution is a matrix product.

use super::{elements, for_parts};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use omniid_kernels::Window;

/// Places of a window: 3 rows of 3 columns.
pub const TAPS: usize = 9;

/// The input's row (or column) under place `tap` of output `index`, unless it is padding.
fn source(window: Window, index: usize, tap: usize, length: usize) -> Option<usize> {
    (index * window.stride + tap)
        .checked_sub(1)
        .filter(|place| *place < length * window.enlarge)
        .map(|place| place / window.enlarge)
}

/// `x` `[batch, height · width, channels]` to `[batch, rows · columns of the output, 9 · channels]`: the nine places of
/// each window, row by row, all channels of a place together. Without gradient: training convolves without this matrix.
/// CPU, f32.
pub fn im2col(x: &Tensor, window: Window) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Gather(window))
}

struct Gather(Window);

impl CustomOp1 for Gather {
    fn name(&self) -> &'static str {
        "im2col"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let window = self.0;
        let (batch, places, channels) = layout.shape().dims3()?;
        debug_assert_eq!(places, window.height * window.width);
        let x = elements(storage, layout)?;
        let (rows, columns) = window.output();
        let mut output = vec![0f32; batch * rows * columns * TAPS * channels];
        for_parts(&mut output, columns * TAPS * channels, &|number, part| {
            let (picture, row) = (number / rows, number % rows);
            for down in 0..3 {
                let Some(y) = source(window, row, down, window.height) else {
                    continue;
                };
                let line = (picture * window.height + y) * window.width;
                for (column, target) in part.chunks_exact_mut(TAPS * channels).enumerate() {
                    let target = &mut target[down * 3 * channels..(down * 3 + 3) * channels];
                    let first = column * window.stride;
                    if window.enlarge == 1 && first > 0 && first + 1 < window.width {
                        let from = (line + first - 1) * channels;
                        target.copy_from_slice(&x[from..from + 3 * channels]);
                        continue;
                    }
                    for (across, target) in target.chunks_exact_mut(channels).enumerate() {
                        if let Some(x_place) = source(window, column, across, window.width) {
                            let from = (line + x_place) * channels;
                            target.copy_from_slice(&x[from..from + channels]);
                        }
                    }
                }
            }
        });
        let shape = Shape::from((batch, rows * columns, TAPS * channels));
        Ok((CpuStorage::F32(output), shape))
    }
}
