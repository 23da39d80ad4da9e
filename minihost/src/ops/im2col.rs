//! The windows of a 3×3 convolution as rows, so that the convolution is a matrix product.

use super::{elements, for_parts};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

/// Geometry of a 3×3 convolution with padding 1 on a picture that is optionally enlarged first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Rows of the input.
    pub height: usize,
    /// Columns of the input.
    pub width: usize,
    /// Distance of neighbouring windows.
    pub stride: usize,
    /// How often each row and each column of the input is repeated before the convolution.
    pub enlarge: usize,
}

/// Places of a window: 3 rows of 3 columns.
pub const TAPS: usize = 9;

impl Window {
    /// Rows and columns of the output.
    pub fn output(&self) -> (usize, usize) {
        let side = |length: usize| (length * self.enlarge).saturating_sub(1) / self.stride + 1;
        (side(self.height), side(self.width))
    }

    /// The input's row (or column) under place `tap` of output `index`, unless it is padding.
    fn source(&self, index: usize, tap: usize, length: usize) -> Option<usize> {
        (index * self.stride + tap)
            .checked_sub(1)
            .filter(|place| *place < length * self.enlarge)
            .map(|place| place / self.enlarge)
    }
}

/// `x` `[batch, height · width, channels]` to `[batch, rows · columns of the output, 9 · channels]`: the nine places of
/// each window, row by row, all channels of a place together. Differentiable. CPU, f32.
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
                let Some(y) = window.source(row, down, window.height) else {
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
                        if let Some(x_place) = window.source(column, across, window.width) {
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

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        Ok(Some(gradient.apply_op1_no_bwd(&Scatter(self.0))?))
    }
}

/// The transpose of [`Gather`]: adds each window's places to the input's places.
struct Scatter(Window);

impl CustomOp1 for Scatter {
    fn name(&self) -> &'static str {
        "col2im"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let window = self.0;
        let (batch, _, width) = layout.shape().dims3()?;
        let channels = width / TAPS;
        let columns_in = elements(storage, layout)?;
        let (rows, columns) = window.output();
        let mut output = vec![0f32; batch * window.height * window.width * channels];
        for_parts(&mut output, window.width * channels, &|number, part| {
            let (picture, y) = (number / window.height, number % window.height);
            for place in y * window.enlarge..(y + 1) * window.enlarge {
                for down in 0..3 {
                    let Some(offset) = (place + 1).checked_sub(down) else {
                        continue;
                    };
                    let row = offset / window.stride;
                    if offset % window.stride != 0 || row >= rows {
                        continue;
                    }
                    for column in 0..columns {
                        let from = (picture * rows + row) * columns + column;
                        for across in 0..3 {
                            let Some(x) = window.source(column, across, window.width) else {
                                continue;
                            };
                            let from = from * TAPS * channels + (down * 3 + across) * channels;
                            let values = &columns_in[from..from + channels];
                            let target = &mut part[x * channels..(x + 1) * channels];
                            for (target, value) in target.iter_mut().zip(values) {
                                *target += value;
                            }
                        }
                    }
                }
            }
        });
        let shape = Shape::from((batch, window.height * window.width, channels));
        Ok((CpuStorage::F32(output), shape))
    }
}
