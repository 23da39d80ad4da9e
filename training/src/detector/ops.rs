//! Differentiable operations of the detector's network on tokens `[batch, height · width, channels]`, f32 on the CPU.
//!
//! candle runs a grouped convolution as one convolution per channel, forward and backward. Here all channels of a
//! place lie together, so that the innermost loops run over channels. Results do not depend on the number of threads.

use super::vectorised::vectorised;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Error, Layout, Result, Shape, Tensor};
use omniid::kernel::ThreadPool;
use std::sync::{Mutex, PoisonError};

/// Rows and columns of a picture of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Grid {
    /// Half the rows and columns.
    pub fn half(self) -> Self {
        Self {
            height: self.height / 2,
            width: self.width / 2,
        }
    }
}

/// Depthwise 3×3 convolution with padding 1: `x` `[batch, height · width, channels]`, `taps` `[9, channels]`, row by
/// row of the window, `bias` `[channels]`. Differentiable in all three.
///
/// # Errors
/// For shapes that do not fit.
pub fn depthwise(x: &Tensor, taps: &Tensor, bias: &Tensor, grid: Grid) -> Result<Tensor> {
    let (x, taps, bias) = (x.contiguous()?, taps.contiguous()?, bias.contiguous()?);
    x.apply_op3(&taps, &bias, Depthwise(grid))
}

/// The largest of each 2×2 window: `[batch, height · width, channels]` to a quarter of the places. Sides are even.
///
/// # Errors
/// For shapes that do not fit.
pub fn max_pool(x: &Tensor, grid: Grid) -> Result<Tensor> {
    x.contiguous()?.apply_op1(MaxPool(grid))
}

/// Each place four times, as a square of 2×2: `grid` is the input's. Differentiable.
///
/// # Errors
/// For shapes that do not fit.
pub fn enlarge(x: &Tensor, grid: Grid) -> Result<Tensor> {
    let (batch, _, channels) = x.dims3()?;
    let Grid { height, width } = grid;
    x.reshape((batch, height, 1, width, 1, channels))?
        .broadcast_as((batch, height, 2, width, 2, channels))?
        .reshape((batch, 4 * height * width, channels))
}

/// The 3×3 windows of stride 2 and padding 1 of pictures `[batch, height · width, 3]` as rows of 27 numbers, channel
/// by channel as a convolution's weight is stored. Places outside have the value `outside`. Not differentiable:
/// pictures are data.
pub fn stem_windows(pictures: &[f32], batch: usize, grid: Grid, outside: f32) -> Vec<f32> {
    let Grid { height, width } = grid;
    let half = grid.half();
    let mut out = vec![outside; batch * half.height * half.width * 27];
    for_parts(&mut out, half.width * 27, &|number, part| {
        let (picture, row) = (number / half.height, number % half.height);
        for (column, window) in part.chunks_exact_mut(27).enumerate() {
            for tap in 0..9 {
                let (y, x) = (2 * row + tap / 3, 2 * column + tap % 3);
                if y == 0 || x == 0 || y > height || x > width {
                    continue;
                }
                let from = ((picture * height + y - 1) * width + x - 1) * 3;
                for channel in 0..3 {
                    window[channel * 9 + tap] = pictures[from + channel];
                }
            }
        }
    });
    out
}

/// Cuts `output` into parts of `size` elements and fills them on all threads.
pub(super) fn for_parts(output: &mut [f32], size: usize, fill: &(dyn Fn(usize, &mut [f32]) + Sync)) {
    // Each lock is taken once: it only proves that no two tasks share a part.
    let parts: Vec<Mutex<&mut [f32]>> = output.chunks_mut(size.max(1)).map(Mutex::new).collect();
    ThreadPool::global().run(parts.len(), &|number| {
        let mut part = parts[number].lock().unwrap_or_else(PoisonError::into_inner);
        fill(number, &mut part);
    });
}

/// The numbers of a contiguous tensor.
pub(super) fn elements<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let values = storage.as_slice::<f32>()?;
    layout
        .contiguous_offsets()
        .and_then(|(start, end)| values.get(start..end))
        .ok_or_else(|| Error::Msg(format!("a tensor of layout {layout:?} is not contiguous")))
}

fn check(layout: &Layout, grid: Grid) -> Result<(usize, usize)> {
    let (batch, places, channels) = layout.shape().dims3()?;
    if places != grid.height * grid.width {
        candle_core::bail!("{places} places for a grid of {grid:?}");
    }
    Ok((batch, channels))
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

/// The values of each channel, again for every column: long loops are fast loops.
pub(super) fn along_row(values: &[f32], channels: usize, width: usize) -> Vec<f32> {
    values
        .chunks_exact(channels)
        .flat_map(|row| std::iter::repeat_n(row, width).flatten().copied())
        .collect()
}

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
        _: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        // The transpose of a convolution of stride 1 is the convolution with the taps turned around.
        let turned = taps.flip(&[0])?.contiguous()?;
        let dx = gradient.apply_op2_no_bwd(&turned, &Transposed(self.0))?;
        let sums = x.apply_op2_no_bwd(&gradient, &TapGradient(self.0))?;
        let (dtaps, dbias) = (sums.narrow(0, 0, 9)?, sums.narrow(0, 9, 1)?.squeeze(0)?);
        Ok((Some(dx), Some(dtaps), Some(dbias)))
    }
}

/// The convolution alone, without bias.
struct Transposed(Grid);

impl CustomOp2 for Transposed {
    fn name(&self) -> &'static str {
        "depthwise 3x3 transposed"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        taps: &CpuStorage,
        taps_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let grid = self.0;
        let (batch, channels) = check(x_layout, grid)?;
        let (x, taps) = (elements(x, x_layout)?, elements(taps, taps_layout)?);
        let line = grid.width * channels;
        let taps = along_row(taps, channels, grid.width);
        let picture = grid.height * line;
        let mut output = vec![0f32; batch * picture];
        for_parts(&mut output, line, &|number, part| {
            let x = &x[number / grid.height * picture..][..picture];
            vectorised(
                #[inline(always)]
                || convolve_row(x, &taps, grid, number % grid.height, part),
            );
        });
        Ok((CpuStorage::F32(output), x_layout.shape().clone()))
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

struct MaxPool(Grid);

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        "max pool 2x2"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (grid, half) = (self.0, self.0.half());
        let (batch, channels) = check(layout, grid)?;
        let x = elements(x, layout)?;
        let mut output = vec![f32::NEG_INFINITY; batch * half.height * half.width * channels];
        for_parts(&mut output, half.width * channels, &|number, part| {
            let (picture, row) = (number / half.height, number % half.height);
            for (column, out) in part.chunks_exact_mut(channels).enumerate() {
                for place in corners(grid, picture, row, column) {
                    let input = &x[place * channels..(place + 1) * channels];
                    for (out, input) in out.iter_mut().zip(input) {
                        *out = out.max(*input);
                    }
                }
            }
        });
        let shape = Shape::from((batch, half.height * half.width, channels));
        Ok((CpuStorage::F32(output), shape))
    }

    fn bwd(&self, x: &Tensor, output: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        // The winner is found again: cheaper than keeping its place.
        let both = Tensor::stack(&[output, gradient], 0)?;
        Ok(Some(x.apply_op2_no_bwd(&both, &Winners(self.0))?))
    }
}

/// The places of a window.
fn corners(grid: Grid, picture: usize, row: usize, column: usize) -> [usize; 4] {
    let first = (picture * grid.height + 2 * row) * grid.width + 2 * column;
    [first, first + 1, first + grid.width, first + grid.width + 1]
}

/// Hands each window's gradient to the first place that had its largest value.
struct Winners(Grid);

impl CustomOp2 for Winners {
    fn name(&self) -> &'static str {
        "max pool 2x2 gradient"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        both: &CpuStorage,
        both_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (grid, half) = (self.0, self.0.half());
        let (batch, channels) = check(layout, grid)?;
        let (x, both) = (elements(x, layout)?, elements(both, both_layout)?);
        let (largest, gradient) = both.split_at(both.len() / 2);
        let mut output = vec![0f32; batch * grid.height * grid.width * channels];
        // Two rows of the input belong to one row of windows.
        for_parts(&mut output, 2 * grid.width * channels, &|number, part| {
            let (picture, row) = (number / half.height, number % half.height);
            let base = (picture * grid.height + 2 * row) * grid.width;
            // What no place has been given yet.
            let mut rest = vec![0f32; channels];
            for column in 0..half.width {
                let from = ((picture * half.height + row) * half.width + column) * channels;
                let largest = &largest[from..from + channels];
                rest.copy_from_slice(&gradient[from..from + channels]);
                for place in corners(grid, picture, row, column) {
                    let out = &mut part[(place - base) * channels..][..channels];
                    let inputs = x[place * channels..(place + 1) * channels].iter().zip(largest);
                    for ((out, rest), (input, largest)) in out.iter_mut().zip(&mut rest).zip(inputs) {
                        let wins = input >= largest;
                        *out = if wins { *rest } else { 0.0 };
                        *rest = if wins { 0.0 } else { *rest };
                    }
                }
            }
        });
        Ok((CpuStorage::F32(output), layout.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    fn close(a: &Tensor, b: &Tensor) {
        let worst = (a - b)
            .and_then(|d| d.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>())
            .unwrap();
        assert!(worst < 1e-4, "{worst}");
    }

    /// `[batch, places, channels]` to candle's `[batch, channels, height, width]`.
    fn planes(x: &Tensor, grid: Grid) -> Tensor {
        let (batch, _, channels) = x.dims3().unwrap();
        x.transpose(1, 2)
            .and_then(|x| {
                x.contiguous()?
                    .reshape((batch, channels, grid.height, grid.width))
            })
            .unwrap()
    }

    fn random(shape: &[usize]) -> Var {
        Var::randn(0f32, 1.0, shape, &Device::Cpu).unwrap()
    }

    #[test]
    fn depthwise_has_the_values_and_gradients_of_candles_grouped_convolution() {
        for (grid, channels) in [((4, 6), 3), ((1, 1), 2), ((5, 2), 4)] {
            let grid = Grid {
                height: grid.0,
                width: grid.1,
            };
            let (x, taps, bias) = (
                random(&[2, grid.height * grid.width, channels]),
                random(&[9, channels]),
                random(&[channels]),
            );
            let got = depthwise(&x, &taps, &bias, grid).unwrap();
            let weight = taps.t().unwrap().reshape((channels, 1, 3, 3)).unwrap();
            let expected = planes(&x, grid).conv2d(&weight, 1, 1, 1, channels).unwrap();
            let bias_planes = bias.reshape((1, channels, 1, 1)).unwrap();
            let expected = expected.broadcast_add(&bias_planes).unwrap();
            close(&planes(&got, grid), &expected);
            let factor = random(&[2, grid.height * grid.width, channels]);
            let ours = (&got * factor.as_tensor()).unwrap().sum_all().unwrap().backward();
            let theirs = (&expected * planes(&factor, grid))
                .unwrap()
                .sum_all()
                .unwrap()
                .backward();
            let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
            for variable in [&x, &taps, &bias] {
                close(ours.get(variable).unwrap(), theirs.get(variable).unwrap());
            }
        }
    }

    #[test]
    fn pooling_has_candles_values_and_hands_gradients_to_the_winners() {
        let grid = Grid { height: 4, width: 6 };
        let x = random(&[2, 24, 3]);
        let got = max_pool(&x, grid).unwrap();
        close(
            &planes(&got, grid.half()),
            &planes(&x, grid).max_pool2d(2).unwrap(),
        );
        // candle's own gradient is divided by the size of the window, so the definition is written out instead: no two
        // of these random numbers are equal, and the one winner of a window gets all of its gradient.
        let factor = random(&[2, 6, 3]);
        let gradients = (&got * factor.as_tensor()).unwrap().sum_all().unwrap().backward();
        let wins = x.eq(&enlarge(&got, grid.half()).unwrap()).unwrap();
        let wins = wins.to_dtype(candle_core::DType::F32).unwrap();
        let expected = (enlarge(&factor, grid.half()).unwrap() * wins).unwrap();
        close(gradients.unwrap().get(&x).unwrap(), &expected);
    }

    #[test]
    fn enlarging_repeats_places_as_candles_nearest_neighbour() {
        let grid = Grid { height: 2, width: 3 };
        let x = random(&[2, 6, 4]);
        let large = Grid { height: 4, width: 6 };
        let got = planes(&enlarge(&x, grid).unwrap(), large);
        close(&got, &planes(&x, grid).upsample_nearest2d(4, 6).unwrap());
    }

    #[test]
    fn stem_windows_times_a_weight_is_the_convolution() {
        let grid = Grid { height: 6, width: 4 };
        let x = random(&[2, 24, 3]);
        let weight = random(&[5, 3, 3, 3]);
        let values = x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let windows =
            Tensor::from_vec(stem_windows(&values, 2, grid, 0.0), (2 * 6, 27), &Device::Cpu).unwrap();
        let got = windows
            .matmul(&weight.reshape((5, 27)).unwrap().t().unwrap())
            .unwrap();
        let expected = planes(&x, grid).conv2d(&weight, 1, 2, 1, 1).unwrap();
        close(&planes(&got.reshape((2, 6, 5)).unwrap(), grid.half()), &expected);
    }
}
