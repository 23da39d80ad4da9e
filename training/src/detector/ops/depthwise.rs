//! Depthwise convolution, forward and backward.

use super::{along_row, check, elements, for_parts, Grid};
use crate::detector::vectorised::vectorised;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};

/// Depthwise 3×3 convolution with padding 1: `x` `[batch, height · width, channels]`, `taps` `[9, channels]`, row by
/// row of the window, `bias` `[channels]`. Differentiable in all three.
///
/// # Errors
/// For shapes that do not fit.
pub fn depthwise(x: &Tensor, taps: &Tensor, bias: &Tensor, grid: Grid) -> Result<Tensor> {
    let (x, taps, bias) = (x.contiguous()?, taps.contiguous()?, bias.contiguous()?);
    x.apply_op3(&taps, &bias, Depthwise(grid))
}

/// Calls `f(input row, tap, output columns, input columns)` for the window places of an output row that are inside.
#[inline(always)]
fn for_taps(grid: Grid, row: usize, mut f: impl FnMut(usize, usize, usize, usize, usize)) {
    for tap in 0..9 {
        let (down, across) = (tap / 3, tap % 3);
        let Some(source) = (row + down).checked_sub(1).filter(|row| *row < grid.height) else {
            continue;
        };
        // Output columns first.. read input columns from..; `count` of them are inside.
        let (first, from) = if across == 0 { (1, 0) } else { (0, across - 1) };
        let count = (grid.width - first).min(grid.width.saturating_sub(from));
        f(source, tap, first, from, count);
    }
}

struct Depthwise(Grid);

/// One row of the output on top of what is there. `x` is one picture, `taps` are those of [`along_row`].
#[inline(always)]
fn convolve_row(x: &[f32], taps: &[f32], grid: Grid, row: usize, part: &mut [f32]) {
    let line = part.len();
    let channels = line / grid.width;
    for_taps(
        grid,
        row,
        #[inline(always)]
        |source, tap, first, from, count| {
            let (count, start) = (count * channels, source * line + from * channels);
            let taps = &taps[tap * line..tap * line + count];
            let input = &x[start..start + count];
            let out = &mut part[first * channels..first * channels + count];
            for ((out, input), tap) in out.iter_mut().zip(input).zip(taps) {
                *out += input * tap;
            }
        },
    );
}

impl CustomOp3 for Depthwise {
    fn name(&self) -> &'static str {
        "depthwise 3x3"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        taps: &CpuStorage,
        taps_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let grid = self.0;
        let (batch, channels) = check(x_layout, grid)?;
        if taps_layout.shape().dims() != [9, channels] || bias_layout.shape().dims() != [channels] {
            candle_core::bail!(
                "taps of shape {:?} and a bias of shape {:?} for {channels} channels",
                taps_layout.shape(),
                bias_layout.shape()
            );
        }
        let (x, taps, bias) = (
            elements(x, x_layout)?,
            elements(taps, taps_layout)?,
            elements(bias, bias_layout)?,
        );
        let line = grid.width * channels;
        let (taps, bias) = (
            along_row(taps, channels, grid.width),
            along_row(bias, channels, grid.width),
        );
        let picture = grid.height * line;
        let mut output = vec![0f32; batch * picture];
        for_parts(&mut output, line, &|number, part| {
            let x = &x[number / grid.height * picture..][..picture];
            vectorised(
                #[inline(always)]
                || {
                    part.copy_from_slice(&bias);
                    convolve_row(x, &taps, grid, number % grid.height, part);
                },
            );
        });
        Ok((CpuStorage::F32(output), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        taps: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        // The transpose of a convolution of stride 1 is the convolution with the taps turned around, without bias.
        let turned = taps.flip(&[0])?.contiguous()?;
        let dx = gradient.apply_op3_no_bwd(&turned, &bias.zeros_like()?, self)?;
        let sums = x.apply_op2_no_bwd(&gradient, &TapGradient(self.0))?;
        let (dtaps, dbias) = (sums.narrow(0, 0, 9)?, sums.narrow(0, 9, 1)?.squeeze(0)?);
        Ok((Some(dx), Some(dtaps), Some(dbias)))
    }
}

/// What each tap multiplies, times the output's gradient, summed over all places; last the sum of the gradient.
struct TapGradient(Grid);

impl CustomOp2 for TapGradient {
    fn name(&self) -> &'static str {
        "depthwise 3x3 taps"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let grid = self.0;
        let (batch, channels) = check(x_layout, grid)?;
        let (x, gradient) = (elements(x, x_layout)?, elements(gradient, gradient_layout)?);
        let picture = grid.height * grid.width * channels;
        // A sum per picture, added in order: the same for every number of threads.
        let size = 10 * channels;
        let mut partial = vec![0f32; batch * size];
        for_parts(&mut partial, size, &|number, sums| {
            let range = number * picture..(number + 1) * picture;
            let (x, gradient) = (&x[range.clone()], &gradient[range]);
            vectorised(
                #[inline(always)]
                || tap_gradients(x, gradient, grid, sums),
            );
        });
        let mut sums = vec![0f32; size];
        for partial in partial.chunks_exact(size) {
            for (sum, part) in sums.iter_mut().zip(partial) {
                *sum += part;
            }
        }
        Ok((CpuStorage::F32(sums), Shape::from((10, channels))))
    }
}

/// The sums of [`TapGradient`] over one picture.
#[inline(always)]
fn tap_gradients(x: &[f32], gradient: &[f32], grid: Grid, sums: &mut [f32]) {
    let channels = sums.len() / 10;
    let line = grid.width * channels;
    // Columns are added up last, so that the loop over a row is one.
    let mut columns = vec![0f32; 10 * line];
    for (row, gradient) in gradient.chunks_exact(line).enumerate() {
        for_taps(
            grid,
            row,
            #[inline(always)]
            |source, tap, first, from, count| {
                let (count, start) = (count * channels, source * line + from * channels);
                let sums = &mut columns[tap * line..tap * line + count];
                let gradient = &gradient[first * channels..first * channels + count];
                for ((sum, gradient), input) in sums.iter_mut().zip(gradient).zip(&x[start..start + count]) {
                    *sum += gradient * input;
                }
            },
        );
        let bias = &mut columns[9 * line..];
        for (sum, gradient) in bias.iter_mut().zip(gradient) {
            *sum += gradient;
        }
    }
    for (sums, columns) in sums.chunks_exact_mut(channels).zip(columns.chunks_exact(line)) {
        for column in columns.chunks_exact(channels) {
            for (sum, value) in sums.iter_mut().zip(column) {
                *sum += value;
            }
        }
    }
}
