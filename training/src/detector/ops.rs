//! Differentiable operations of the detector's network on tokens `[batch, height · width, channels]`, f32 on the CPU.
//!
//! candle runs a grouped convolution as one convolution per channel, forward and backward. Here all channels of a
//! place lie together, so that the innermost loops run over channels. Results do not depend on the number of threads.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Error, Layout, Result, Shape, Tensor};
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
/// row of the window. Differentiable in both.
///
/// # Errors
/// For shapes that do not fit.
pub fn depthwise(x: &Tensor, taps: &Tensor, grid: Grid) -> Result<Tensor> {
    x.contiguous()?.apply_op2(&taps.contiguous()?, Depthwise(grid))
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
fn for_parts(output: &mut [f32], size: usize, fill: &(dyn Fn(usize, &mut [f32]) + Sync)) {
    // Each lock is taken once: it only proves that no two tasks share a part.
    let parts: Vec<Mutex<&mut [f32]>> = output.chunks_mut(size.max(1)).map(Mutex::new).collect();
    ThreadPool::global().run(parts.len(), &|number| {
        let mut part = parts[number].lock().unwrap_or_else(PoisonError::into_inner);
        fill(number, &mut part);
    });
}

fn elements<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
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

impl CustomOp2 for Depthwise {
    fn name(&self) -> &'static str {
        "depthwise 3x3"
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
        if taps_layout.shape().dims() != [9, channels] {
            candle_core::bail!("taps of shape {:?} for {channels} channels", taps_layout.shape());
        }
        let (x, taps) = (elements(x, x_layout)?, elements(taps, taps_layout)?);
        let line = grid.width * channels;
        let mut output = vec![0f32; batch * grid.height * line];
        for_parts(&mut output, line, &|number, part| {
            let (picture, row) = (number / grid.height, number % grid.height);
            for_taps(grid, row, |source, tap, first, from, count| {
                let taps = &taps[tap * channels..(tap + 1) * channels];
                let start = (picture * grid.height + source) * line + from * channels;
                let input = x[start..start + count * channels].chunks_exact(channels);
                for (out, input) in part[first * channels..].chunks_exact_mut(channels).zip(input) {
                    for ((out, input), tap) in out.iter_mut().zip(input).zip(taps) {
                        *out += input * tap;
                    }
                }
            });
        });
        Ok((CpuStorage::F32(output), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        taps: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        // The transpose of a convolution of stride 1 is the convolution with the taps turned around.
        let turned = taps.flip(&[0])?.contiguous()?;
        let dx = gradient.apply_op2_no_bwd(&turned, &Depthwise(self.0))?;
        let dtaps = x.apply_op2_no_bwd(&gradient, &TapGradient(self.0))?;
        Ok((Some(dx), Some(dtaps)))
    }
}

/// What each tap multiplies, times the output's gradient, summed over all places.
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
        let line = grid.width * channels;
        // A sum per picture, added in order: the same for every number of threads.
        let mut partial = vec![0f32; batch * 9 * channels];
        for_parts(&mut partial, 9 * channels, &|picture, sums| {
            for row in 0..grid.height {
                let out = (picture * grid.height + row) * line;
                let gradient = &gradient[out..out + line];
                for_taps(grid, row, |source, tap, first, from, count| {
                    let sums = &mut sums[tap * channels..(tap + 1) * channels];
                    let start = (picture * grid.height + source) * line + from * channels;
                    let input = x[start..start + count * channels].chunks_exact(channels);
                    for (gradient, input) in gradient[first * channels..].chunks_exact(channels).zip(input) {
                        for ((sum, gradient), input) in sums.iter_mut().zip(gradient).zip(input) {
                            *sum += gradient * input;
                        }
                    }
                });
            }
        });
        let mut sums = vec![0f32; 9 * channels];
        for partial in partial.chunks_exact(9 * channels) {
            for (sum, part) in sums.iter_mut().zip(partial) {
                *sum += part;
            }
        }
        Ok((CpuStorage::F32(sums), Shape::from((9, channels))))
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
            for column in 0..half.width {
                let from = ((picture * half.height + row) * half.width + column) * channels;
                for channel in 0..channels {
                    let value = largest[from + channel];
                    let winner = corners(grid, picture, row, column)
                        .into_iter()
                        .find(|place| x[place * channels + channel] >= value);
                    if let Some(place) = winner {
                        part[(place - base) * channels + channel] = gradient[from + channel];
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
            let (x, taps) = (
                random(&[2, grid.height * grid.width, channels]),
                random(&[9, channels]),
            );
            let got = depthwise(&x, &taps, grid).unwrap();
            let weight = taps.t().unwrap().reshape((channels, 1, 3, 3)).unwrap();
            let expected = planes(&x, grid).conv2d(&weight, 1, 1, 1, channels).unwrap();
            close(&planes(&got, grid), &expected);
            let factor = random(&[2, grid.height * grid.width, channels]);
            let ours = (&got * factor.as_tensor()).unwrap().sum_all().unwrap().backward();
            let theirs = (&expected * planes(&factor, grid))
                .unwrap()
                .sum_all()
                .unwrap()
                .backward();
            let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
            for variable in [&x, &taps] {
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
