//! The left operand: brought once, for all tasks, into the order of the register tiles, and rounded for dot products.
//!
//! The words of a pass of [`DEPTH`] lie together: `[pass][rows][STRIDE]`. A tile of rows follows, so that whole register
//! tiles may be read at the end.

use super::ahead::Later;
use super::tile::{DEPTH, ROWS, STRIDE};
use crate::element::Element;
use crate::simd::{load_first, widen, Kernel, Lanes};
use half::bf16;

/// Words for `rows` rows of `inputs` values, of which a word holds `per_word`.
pub(super) fn words(rows: usize, inputs: usize, per_word: usize) -> usize {
    inputs.div_ceil(per_word * DEPTH) * rows * STRIDE + ROWS * STRIDE
}

/// Most bytes of rows that are brought into order at once: those of three photos in the widest layer of ViT-H.
const MOST_BYTES: usize = 16 << 20;

/// Most rows that are brought into order at once; there may be many more pixels of a picture.
pub(super) fn most_rows(inputs: usize, per_word: usize) -> usize {
    (MOST_BYTES / (4 * STRIDE * inputs.div_ceil(per_word * DEPTH))).max(ROWS)
}

/// Rows that a register tile computes for `rows` of them: what tiles of fewer rows would take no less time for.
pub(super) fn computed(rows: usize) -> usize {
    match rows {
        3 => 4,
        5 => 6,
        7 => 8,
        9..=11 => ROWS,
        rows => rows,
    }
}

/// The rows after those that begin at `tile`.
#[inline(always)]
pub(super) fn next_rows(tile: *const u32) -> Later {
    Later {
        start: tile.wrapping_add(ROWS * STRIDE).cast(),
        bytes: 4 * ROWS * STRIDE,
    }
}

/// Rows `first..last` of an input `[rows, inputs]`, to be rounded.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) input: &'a [f32],
    pub(super) inputs: usize,
    pub(super) rows: usize,
    pub(super) first: usize,
    pub(super) last: usize,
    /// [`words`] words.
    pub(super) to: *mut u32,
}

impl Rows<'_> {
    /// Calls `convert(from, count, to)` for the part of row `row` in each pass.
    #[inline(always)]
    unsafe fn passes(&self, row: usize, per_word: usize, convert: impl Fn(*const f32, usize, *mut u32)) {
        let mut start = 0;
        let mut pass = 0;
        while start < self.inputs {
            let count = (per_word * DEPTH).min(self.inputs - start);
            // SAFETY: the row is one of the input's; the caller vouches for the words.
            unsafe {
                let from = self.input.as_ptr().add(row * self.inputs + start);
                convert(from, count, self.to.add((pass * self.rows + row) * STRIDE));
            }
            start += count;
            pass += 1;
        }
    }
}

/// Copies rows, a value to a word.
pub(super) struct Values<'a>(pub(super) Rows<'a>);

impl Kernel for Values<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        for row in self.0.first..self.0.last {
            // SAFETY: the caller vouches for the memory and the instructions.
            unsafe {
                self.0.passes(row, 1, |from, count, to| {
                    widen::<L>(from.cast(), Element::F32, to.cast(), count)
                });
            }
        }
    }
}

/// Rounds rows to bf16, two values to a word.
pub(super) struct Pairs<'a>(pub(super) Rows<'a>);

impl Kernel for Pairs<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        for row in self.0.first..self.0.last {
            // SAFETY: the caller vouches for the memory and the instructions.
            unsafe { self.0.passes(row, 2, |from, count, to| pairs::<L>(from, count, to)) };
        }
    }
}

/// Rounds `count` values to bf16, two per word; an odd rest gets a zero.
#[inline(always)]
unsafe fn pairs<L: Lanes>(from: *const f32, count: usize, to: *mut u32) {
    // SAFETY: the caller vouches for `count` values and half as many words, rounded up.
    unsafe {
        let to = to.cast::<u16>();
        let mut i = 0;
        while i + L::WIDTH <= count {
            L::store_bf16_factors(to.add(i), L::load(from.add(i)));
            i += L::WIDTH;
        }
        while i < count.next_multiple_of(2) {
            let value = if i < count { *from.add(i) } else { 0.0 };
            *to.add(i) = bf16::from_f32(value).to_bits();
            i += 1;
        }
    }
}

/// Rounds rows to bytes, four values to a word, each row with a scale of its own: its largest magnitude becomes 127.
pub(super) struct Bytes<'a> {
    pub(super) rows: Rows<'a>,
    /// One for each of all rows.
    pub(super) scales: *mut f32,
}

impl Kernel for Bytes<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        for row in self.rows.first..self.rows.last {
            // SAFETY: the caller vouches for the memory and the instructions.
            unsafe {
                let from = self.rows.input.as_ptr().add(row * self.rows.inputs);
                let (scale, inverse) = scale(largest::<L>(from, self.rows.inputs));
                *self.scales.add(row) = scale;
                let factor = L::splat(inverse);
                self.rows
                    .passes(row, 4, |from, count, to| bytes::<L>(from, count, factor, to));
            }
        }
    }
}

/// A row's scale, and the factor that takes its values to bytes. A row of zeros has the scale zero; one with a value
/// that is no number has such a scale, which makes its products no numbers.
pub(super) fn scale(largest: f32) -> (f32, f32) {
    let (scale, inverse) = (largest / 127.0, 127.0 / largest);
    if !largest.is_finite() {
        (f32::NAN, 0.0)
    } else if inverse.is_finite() {
        (scale, inverse)
    } else {
        (0.0, 0.0)
    }
}

/// The largest magnitude of a row; infinite or NaN where one of its values is.
#[inline(always)]
unsafe fn largest<L: Lanes>(from: *const f32, count: usize) -> f32 {
    // SAFETY: the caller vouches for `count` values and the instructions.
    unsafe {
        let zero = L::splat(0.0);
        // The largest of two keeps no NaN; times zero, only numbers are zero.
        let (mut largest, mut strange) = (zero, zero);
        let mut i = 0;
        while i < count {
            let n = L::WIDTH.min(count - i);
            let value = load_first::<L>(from.add(i), n);
            largest = L::max(L::max(value, L::sub(zero, value)), largest);
            strange = L::fma(value, zero, strange);
            i += L::WIDTH;
        }
        L::reduce_max(largest) + L::reduce_add(strange)
    }
}

/// Rounds `count` values times `factor` to bytes. Weights are zero where the last word has no values.
#[inline(always)]
unsafe fn bytes<L: Lanes>(from: *const f32, count: usize, factor: L::V, to: *mut u32) {
    // SAFETY: the caller vouches for `count` values, for words up to the next whole vector, and the instructions:
    // a row has STRIDE words, more than a pass of DEPTH.
    unsafe {
        let to = to.cast::<u8>();
        let mut i = 0;
        while i < count {
            let n = L::WIDTH.min(count - i);
            let value = load_first::<L>(from.add(i), n);
            L::store_bytes(to.add(i), L::mul(value, factor));
            i += L::WIDTH;
        }
    }
}
