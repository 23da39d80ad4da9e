//! One thread's part of a convolution: some pixels by some panels of the weights.

use super::{ConvolutionShape, Finish};
use crate::matmul::{product_in_rows, COLUMNS, ROWS};
use crate::simd::{load_first, store_first, Kernel, Lanes};

/// The longest part of a window in one pass: a whole 3×3 window of 64 channels.
const DEPTH: usize = 576;

/// Distance between the windows in working memory: an odd number of cache lines, so that twelve of them do not fall
/// into the same sets.
const STRIDE: usize = DEPTH + 16;

/// Pixels of one task: their part of one pass fills half of a second-level cache of 1 MiB.
pub(super) const LARGEST_ROWS: usize = 20 * ROWS;

/// Pixels below which a picture is not divided: a rest of a few rows costs as much as a whole tile, and its weights are
/// the larger operand.
const SMALL_ROWS: usize = 6 * ROWS;

/// Pixels of a task when `rows` are to be computed by `threads`: whole register tiles, and enough tasks.
pub(super) fn row_part(rows: usize, threads: usize) -> usize {
    let parts = if rows <= SMALL_ROWS {
        1
    } else {
        rows.div_ceil(LARGEST_ROWS).next_multiple_of(threads.max(1))
    };
    // Not less than a few tiles, however many threads there are.
    let even = rows.div_ceil(parts).next_multiple_of(ROWS);
    even.max((4 * ROWS).min(rows.next_multiple_of(ROWS)))
}

/// Values of working memory for a task of so many pixels.
pub(super) fn scratch_len(rows: usize) -> usize {
    rows * STRIDE + ROWS * COLUMNS
}

/// Pixels `first_row..last_row` of the output and panels `first_panel..last_panel`.
pub(super) struct Block<'a> {
    /// `[panel][kernel · kernel · inputs][COLUMNS]`
    pub(super) weights: *const f32,
    pub(super) shape: ConvolutionShape,
    pub(super) affine: Option<(&'a [f32], &'a [f32])>,
    pub(super) input: *const f32,
    /// Height and width of the input.
    pub(super) size: [usize; 2],
    /// Height and width of the output.
    pub(super) out: [usize; 2],
    pub(super) output: *mut f32,
    pub(super) first_row: usize,
    pub(super) last_row: usize,
    pub(super) first_panel: usize,
    pub(super) last_panel: usize,
    pub(super) finish: Finish<'a>,
    /// Working memory of [`scratch_len`] values.
    pub(super) scratch: *mut f32,
}

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let rows = self.last_row - self.first_row;
        let window = self.shape.kernel * self.shape.kernel * self.shape.inputs;
        // SAFETY: the working memory has these two parts; pixels and panels exist.
        unsafe {
            let left = self.scratch;
            let result = left.add(rows.next_multiple_of(ROWS) * STRIDE);
            let mut start = 0;
            while start < window {
                let depth = DEPTH.min(window - start);
                self.lay_out::<L>(rows, start, depth, left);
                for panel in self.first_panel..self.last_panel {
                    let right = self.weights.add((panel * window + start) * COLUMNS);
                    let mut row = 0;
                    while row < rows {
                        let n = ROWS.min(rows - row);
                        let a = left.add(row * STRIDE);
                        let mut column = 0;
                        while column < COLUMNS {
                            let (b, to) = (right.add(column), result.add(column));
                            product_in_rows::<L, f32, 2, STRIDE>(n, depth, a, b, COLUMNS, to, COLUMNS);
                            column += 2 * L::WIDTH;
                        }
                        self.finish::<L>(result, row, n, panel, start == 0, start + depth == window);
                        row += n;
                    }
                }
                start += depth;
            }
        }
    }
}

impl Block<'_> {
    /// Values `start..start + depth` of the windows of all pixels, in rows of [`STRIDE`].
    #[inline(always)]
    unsafe fn lay_out<L: Lanes>(&self, rows: usize, start: usize, depth: usize, to: *mut f32) {
        let ConvolutionShape {
            inputs,
            kernel,
            stride,
            padding,
            ..
        } = self.shape;
        let ([height, width], [out_height, out_width]) = (self.size, self.out);
        let line = kernel * inputs;
        let mut x = self.first_row % out_width;
        let mut y = self.first_row / out_width % out_height;
        let mut picture = self.first_row / (out_width * out_height);
        for row in 0..rows {
            // The window's columns left..right lie in the picture; its first pixel may lie outside.
            let first_x = (x * stride) as isize - padding as isize;
            let left = (-first_x).max(0) as usize;
            let right = kernel.min((width as isize - first_x).max(0) as usize);
            let mut at = start;
            while at < start + depth {
                let (window_y, offset) = (at / line, at % line);
                let end = line.min(offset + start + depth - at);
                // SAFETY: `to` has `depth` values per row.
                let to = unsafe { to.add(row * STRIDE + at - start) };
                let source_y = (y * stride + window_y).wrapping_sub(padding);
                let (low, high) = if source_y < height {
                    ((left * inputs).clamp(offset, end), (right * inputs).clamp(offset, end))
                } else {
                    (end, end)
                };
                // SAFETY: values low..high of the window's line lie in the picture.
                unsafe {
                    zero::<L>(to, low - offset);
                    if low < high {
                        let first = ((picture * height + source_y) * width) as isize + first_x;
                        let from = self.input.offset(first * inputs as isize + low as isize);
                        self.bring::<L>(from, low, high - low, to.add(low - offset));
                    }
                    let high = high.max(low);
                    zero::<L>(to.add(high - offset), end - high);
                }
                at += end - offset;
            }
            x += 1;
            if x == out_width {
                (x, y) = (0, y + 1);
                if y == out_height {
                    (y, picture) = (0, picture + 1);
                }
            }
        }
    }

    /// Copies `count` values that begin at `offset` of a window's line; scales and shifts them.
    #[inline(always)]
    unsafe fn bring<L: Lanes>(&self, from: *const f32, offset: usize, count: usize, to: *mut f32) {
        // SAFETY: the caller vouches for `count` values on both sides; the factors and summands have a whole line.
        unsafe {
            let mut i = 0;
            match self.affine {
                None => {
                    while i < count {
                        let n = L::WIDTH.min(count - i);
                        store_first::<L>(to.add(i), load_first::<L>(from.add(i), n), n);
                        i += L::WIDTH;
                    }
                }
                Some((scale, shift)) => {
                    let (scale, shift) = (scale.as_ptr().add(offset), shift.as_ptr().add(offset));
                    while i < count {
                        let n = L::WIDTH.min(count - i);
                        let factor = load_first::<L>(scale.add(i), n);
                        let summand = load_first::<L>(shift.add(i), n);
                        let value = L::fma(load_first::<L>(from.add(i), n), factor, summand);
                        store_first::<L>(to.add(i), value, n);
                        i += L::WIDTH;
                    }
                }
            }
        }
    }

    /// Adds a tile `[n][COLUMNS]` to the output; with the last pass, completes it.
    #[inline(always)]
    unsafe fn finish<L: Lanes>(&self, tile: *const f32, row: usize, n: usize, panel: usize, first: bool, last: bool) {
        let outputs = self.shape.outputs;
        let columns = COLUMNS.min(outputs - panel * COLUMNS);
        for r in 0..n {
            let offset = (self.first_row + row + r) * outputs + panel * COLUMNS;
            let mut c = 0;
            while c < columns {
                let count = L::WIDTH.min(columns - c);
                // SAFETY: `count` values exist in the tile, the output and everything of the finish.
                unsafe {
                    let to = self.output.add(offset + c);
                    let mut value = L::load(tile.add(r * COLUMNS + c));
                    if !first {
                        value = L::add(value, load_first::<L>(to, count));
                    }
                    if last {
                        value = self.finish.vector::<L>(value, panel * COLUMNS + c, offset + c, count);
                    }
                    store_first::<L>(to, value, count);
                }
                c += L::WIDTH;
            }
        }
    }
}

impl Finish<'_> {
    /// Completes `count` sums: of the channels from `channel` on, at `offset` in the output.
    ///
    /// # Safety
    /// The lengths were checked; `L`'s instructions exist.
    #[inline(always)]
    pub(super) unsafe fn vector<L: Lanes>(&self, sum: L::V, channel: usize, offset: usize, count: usize) -> L::V {
        // SAFETY: the caller vouches for the lengths and the instructions.
        unsafe {
            let zero = L::splat(0.0);
            let mut value = sum;
            if let Some(bias) = self.bias {
                value = L::add(value, load_first::<L>(bias.as_ptr().add(channel), count));
            }
            if let Some(slope) = self.slope {
                let slope = load_first::<L>(slope.as_ptr().add(channel), count);
                // The constant comes first, so that NaN stays.
                value = L::fma(slope, L::min(zero, value), L::max(zero, value));
            }
            if let Some(residual) = self.residual {
                value = L::add(value, load_first::<L>(residual.as_ptr().add(offset), count));
            }
            if self.relu {
                value = L::max(zero, value);
            }
            value
        }
    }
}

#[inline(always)]
unsafe fn zero<L: Lanes>(to: *mut f32, count: usize) {
    // SAFETY: the caller vouches for `count` values.
    unsafe {
        let mut i = 0;
        while i < count {
            store_first::<L>(to.add(i), L::splat(0.0), L::WIDTH.min(count - i));
            i += L::WIDTH;
        }
    }
}
