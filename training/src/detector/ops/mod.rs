//! Differentiable operations of the detector's network on tokens `[batch, height · width, channels]`, f32 on the CPU.
//!
//! candle runs a grouped convolution as one convolution per channel, forward and backward. Here all channels of a
//! place lie together, so that the innermost loops run over channels. Results do not depend on the number of threads.

mod depthwise;
mod pool;

#[cfg(test)]
mod tests;

pub use depthwise::depthwise;
pub use pool::max_pool;

use candle_core::{CpuStorage, Error, Layout, Result, Tensor};
use omniid_kernels::ThreadPool;

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

/// [`ThreadPool::fill_parts`] on the pool of the process.
pub(super) fn for_parts(output: &mut [f32], size: usize, fill: &(dyn Fn(usize, &mut [f32]) + Sync)) {
    ThreadPool::global().fill_parts(output, size, fill);
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

/// The values of each channel, again for every column: long loops are fast loops.
pub(super) fn along_row(values: &[f32], channels: usize, width: usize) -> Vec<f32> {
    values
        .chunks_exact(channels)
        .flat_map(|row| std::iter::repeat_n(row, width).flatten().copied())
        .collect()
}
