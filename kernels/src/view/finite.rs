//! The search for values that are not finite.

use super::{TensorView, MAX_RANK};
use crate::element::Element;
use crate::error::Result;
use crate::simd::{dispatch, load_one, Isa, Kernel, Lanes};
use crate::threads::ThreadPool;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Values below which one thread searches.
const SERIAL_VALUES: usize = 1 << 16;

impl TensorView<'_> {
    /// The first index `[batch, row, head, column]` that holds NaN or an infinity.
    ///
    /// One pass over the memory, by all threads: cheap next to an attention over the same queries.
    ///
    /// # Errors
    /// `Unsupported` when the memory is not the processor's.
    pub fn find_non_finite(&self) -> Result<Option<[usize; MAX_RANK]>> {
        self.require_cpu()?;
        let [batch, rows, heads, dim] = self.shape;
        let all = batch * rows;
        let pool = ThreadPool::global();
        let parts = match all.saturating_mul(heads).saturating_mul(dim) < SERIAL_VALUES {
            true => 1,
            false => 4 * pool.threads(),
        };
        let isa = Isa::current();
        let part_rows = all.div_ceil(parts).max(1);
        // The first row of all, whichever thread finds one first.
        let found = AtomicUsize::new(usize::MAX);
        pool.run(all.div_ceil(part_rows), &|part| {
            let first = part * part_rows;
            let last = all.min(first + part_rows);
            // SAFETY: the rows lie inside the shape, for whose memory the constructor vouches.
            if let Some(row) = unsafe {
                dispatch(
                    isa,
                    Search {
                        view: self,
                        first,
                        last,
                    },
                )
            } {
                found.fetch_min(row, Ordering::Relaxed);
            }
        });
        let row = found.into_inner();
        if row == usize::MAX {
            return Ok(None);
        }
        let (b, r) = (row / rows, row % rows);
        let mut places = (0..heads).flat_map(|h| (0..dim).map(move |c| [b, r, h, c]));
        // SAFETY: the indices are inside the shape, for which the constructor vouches.
        Ok(places.find(|&place| !unsafe { load_one(self.at(place), self.element) }.is_finite()))
    }
}

/// The search in rows `first..last`, counted over all batch entries.
struct Search<'a> {
    view: &'a TensorView<'a>,
    first: usize,
    last: usize,
}

impl Kernel for Search<'_> {
    type Output = Option<usize>;

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) -> Option<usize> {
        let [_, rows, heads, dim] = self.view.shape;
        let [.., head, column] = self.view.strides;
        // Heads that follow each other are one run.
        let (runs, len) = if column == 1 && (head == dim || heads == 1) {
            (1, heads * dim)
        } else if column == 1 {
            (heads, dim)
        } else {
            (heads * dim, 1)
        };
        for row in self.first..self.last {
            let (b, r) = (row / rows, row % rows);
            for run in 0..runs {
                let (h, c) = match len == 1 {
                    true => (run / dim, run % dim),
                    false => (run, 0),
                };
                let start = self.view.at([b, r, h, c]);
                // SAFETY: the caller vouches for the rows.
                let any = unsafe {
                    match self.view.element {
                        Element::F32 => any_non_finite_f32(start, len),
                        Element::F16 => any_exponent_full(start, len, 0x7c00),
                        Element::BF16 => any_exponent_full(start, len, 0x7f80),
                    }
                };
                if any {
                    return Some(row);
                }
            }
        }
        None
    }
}

/// # Safety
/// `len` f32 values are readable at `p`.
#[inline(always)]
unsafe fn any_non_finite_f32(p: *const u8, len: usize) -> bool {
    let mut any = false;
    for i in 0..len {
        // SAFETY: the caller vouches for the memory.
        let bits = unsafe { p.cast::<u32>().add(i).read_unaligned() };
        // The exponent bits are all set in NaN and infinity, and only there.
        any |= bits & 0x7f80_0000 == 0x7f80_0000;
    }
    any
}

/// # Safety
/// `len` 16-bit values are readable at `p`.
#[inline(always)]
unsafe fn any_exponent_full(p: *const u8, len: usize, exponent: u16) -> bool {
    let mut any = false;
    for i in 0..len {
        // SAFETY: the caller vouches for the memory.
        let bits = unsafe { p.cast::<u16>().add(i).read_unaligned() };
        any |= bits & exponent == exponent;
    }
    any
}
