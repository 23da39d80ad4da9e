//! Windows times packed weights: the forward pass of a convolution, and the gradient of its input.

use crate::error::Result;
use crate::matmul::{copy, product, PackedMatrix, Panels, Windows, COLUMNS, DEPTH, ROWS, STRIDE, TAPS};
use crate::simd::{dispatch, load_first, store_first, Isa, Kernel, Lanes};
use crate::threads::{with_scratch, Target, ThreadPool};

/// Windows of one task: their part of one pass fills half of a second-level cache of 1 MiB.
const LARGEST_ROWS: usize = 20 * ROWS;

/// The left operand, in the number type of the weights.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    F32(&'a Windows<'a, f32>),
    /// bf16
    Halves(&'a Windows<'a, u16>),
}

impl Source<'_> {
    fn rows(&self) -> usize {
        match self {
            Self::F32(windows) => windows.rows(),
            Self::Halves(windows) => windows.rows(),
        }
    }
}

/// `output [windows, outputs] = windows · weightsᵀ + bias`; weights are `[outputs, TAPS · channels]`.
///
/// The lengths fit each other; pairs of bf16 are only given where the processor multiplies them.
pub(super) fn multiply(
    pool: &ThreadPool,
    source: Source<'_>,
    weights: &PackedMatrix,
    bias: Option<&[f32]>,
    output: &mut [f32],
) -> Result<()> {
    let (rows, outputs) = (source.rows(), weights.outputs());
    assert_eq!(output.len(), rows * outputs, "one row of outputs per window");
    assert!(bias.is_none_or(|bias| bias.len() == outputs), "one bias per output");
    let isa = Isa::current();
    let threads = pool.available();
    // Whole tiles, and equally many tasks for every thread.
    let parts = rows.div_ceil(LARGEST_ROWS).next_multiple_of(threads);
    let part = rows.div_ceil(parts).next_multiple_of(ROWS);
    let parts = rows.div_ceil(part);
    let target = Target(output.as_mut_ptr());
    pool.run(parts, &|index| {
        let target = &target;
        with_scratch(part * STRIDE + ROWS * COLUMNS, |scratch| {
            let block = Block {
                source,
                panels: weights.panels(),
                bias,
                outputs,
                output: target.0,
                first: index * part,
                last: rows.min((index + 1) * part),
                scratch,
            };
            // SAFETY: the lengths were checked; every task writes rows of its own.
            unsafe { dispatch(isa, block) }
        });
    });
    Ok(())
}

/// Rows `first..last` of the output.
struct Block<'a> {
    source: Source<'a>,
    panels: Panels<'a>,
    bias: Option<&'a [f32]>,
    outputs: usize,
    output: *mut f32,
    first: usize,
    last: usize,
    scratch: *mut f32,
}

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let rows = self.last - self.first;
        let (columns, longest) = match self.source {
            Source::F32(windows) => (windows.columns(), DEPTH),
            Source::Halves(windows) => (windows.columns(), 2 * DEPTH),
        };
        let passes = columns.div_ceil(longest);
        // Passes as even as whole pairs allow.
        let step = columns.div_ceil(passes).next_multiple_of(2);
        // SAFETY: the working memory has the rows and a tile; rows and panels exist.
        unsafe {
            let left = self.scratch;
            let tile = left.add(rows.next_multiple_of(ROWS) * STRIDE);
            let mut start = 0;
            while start < columns {
                let depth = step.min(columns - start);
                match self.source {
                    Source::F32(windows) => self.lay_out::<L>(windows, start, depth),
                    Source::Halves(windows) => self.lay_out_halves::<L>(windows, start, depth),
                }
                let last = start + depth == columns;
                for panel in 0..self.outputs.div_ceil(COLUMNS) {
                    let mut row = 0;
                    while row < rows {
                        let n = ROWS.min(rows - row);
                        let a = left.add(row * STRIDE);
                        let mut column = 0;
                        while column < COLUMNS {
                            let to = tile.add(column);
                            match self.panels {
                                Panels::F32(values) => {
                                    let b = values.as_ptr().add((panel * columns + start) * COLUMNS + column);
                                    product::<L, f32, 2>(n, depth, a, b, COLUMNS, to, COLUMNS, false);
                                }
                                Panels::Pairs(words) => {
                                    let offset = (panel * columns.div_ceil(2) + start / 2) * COLUMNS + column;
                                    let (b, depth) = (words.as_ptr().add(offset), depth.div_ceil(2));
                                    product::<L, u32, 2>(n, depth, a.cast(), b, COLUMNS, to, COLUMNS, false);
                                }
                            }
                            column += 2 * L::WIDTH;
                        }
                        self.finish::<L>(tile, row, n, panel, start == 0, last);
                        row += n;
                    }
                }
                start += depth;
            }
        }
    }
}

impl Block<'_> {
    /// Columns `start..start + depth` of all windows, in rows of [`STRIDE`].
    #[inline(always)]
    unsafe fn lay_out<L: Lanes>(&self, windows: &Windows<'_, f32>, start: usize, depth: usize) {
        let channels = windows.channels();
        let mut place = windows.place(self.first);
        for row in 0..self.last - self.first {
            let (mut tap, mut offset, mut at) = (start / channels, start % channels, 0);
            while at < depth {
                let n = (channels - offset).min(depth - at);
                // SAFETY: the columns exist; the row takes `depth` values.
                unsafe {
                    let from = windows.pixel(place, tap).add(offset);
                    copy::<L>(from, n, self.scratch.add(row * STRIDE + at));
                }
                (tap, offset, at) = (tap + 1, 0, at + n);
            }
            windows.advance(&mut place);
        }
        debug_assert!(start + depth <= TAPS * channels);
    }

    /// [`lay_out`](Self::lay_out), two values per word; an odd rest gets a zero.
    #[inline(always)]
    unsafe fn lay_out_halves<L: Lanes>(&self, windows: &Windows<'_, u16>, start: usize, depth: usize) {
        let channels = windows.channels();
        let mut place = windows.place(self.first);
        for row in 0..self.last - self.first {
            let (mut tap, mut offset, mut at) = (start / channels, start % channels, 0);
            // SAFETY: the columns exist; the row takes `depth` values, rounded up to pairs.
            unsafe {
                let to = self.scratch.add(row * STRIDE).cast::<u16>();
                while at < depth {
                    let n = (channels - offset).min(depth - at);
                    let (from, to) = (windows.pixel(place, tap).add(offset), to.add(at));
                    // Words at any address.
                    copy::<L>(from.cast(), n / 2, to.cast());
                    if n % 2 == 1 {
                        *to.add(n - 1) = *from.add(n - 1);
                    }
                    (tap, offset, at) = (tap + 1, 0, at + n);
                }
                if depth % 2 == 1 {
                    *to.add(depth) = 0;
                }
            }
            windows.advance(&mut place);
        }
    }

    /// Adds a tile `[n][COLUMNS]` to the output; with the last pass, the bias too.
    #[inline(always)]
    unsafe fn finish<L: Lanes>(&self, tile: *const f32, row: usize, n: usize, panel: usize, first: bool, last: bool) {
        let columns = COLUMNS.min(self.outputs - panel * COLUMNS);
        let bias = self.bias.filter(|_| last);
        let mut c = 0;
        while c < columns {
            let count = L::WIDTH.min(columns - c);
            let channel = panel * COLUMNS + c;
            // SAFETY: `count` values exist in the tile, the output and the bias.
            unsafe {
                let addend = match bias {
                    Some(bias) => load_first::<L>(bias.as_ptr().add(channel), count),
                    None => L::splat(0.0),
                };
                for r in 0..n {
                    let to = self.output.add((self.first + row + r) * self.outputs + channel);
                    let mut value = L::load(tile.add(r * COLUMNS + c));
                    if !first {
                        value = L::add(value, load_first::<L>(to, count));
                    }
                    store_first::<L>(to, L::add(value, addend), count);
                }
            }
            c += L::WIDTH;
        }
    }
}

/// Values rounded to bf16.
pub(super) fn halves(pool: &ThreadPool, values: &[f32]) -> Vec<u16> {
    const PART: usize = 1 << 14;
    let isa = Isa::current();
    let mut to = vec![0_u16; values.len()];
    pool.fill_parts(&mut to, PART, &|number, part| {
        let from = &values[number * PART..][..part.len()];
        // SAFETY: both slices have one length.
        unsafe { dispatch(isa, Round { from, to: part }) }
    });
    to
}

struct Round<'a> {
    from: &'a [f32],
    to: &'a mut [u16],
}

impl Kernel for Round<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let mut i = 0;
        while i + L::WIDTH <= self.from.len() {
            // SAFETY: a whole vector exists on both sides.
            unsafe { L::store_bf16_factors(self.to.as_mut_ptr().add(i), L::load(self.from.as_ptr().add(i))) };
            i += L::WIDTH;
        }
        for (to, from) in self.to.iter_mut().zip(self.from).skip(i) {
            *to = half::bf16::from_f32(*from).to_bits();
        }
    }
}
