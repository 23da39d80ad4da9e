//! Rows of a tensor `[batch, rows, width]` in and out of contiguous f32 memory.

use super::{TensorView, TensorViewMut};
use crate::error::{Error, Result};
use crate::simd::{load_one, store_one};
use crate::threads::{Target, ThreadPool};
use std::ops::Range;

/// Rows of one task.
const CHUNK: usize = 16;

/// Values below which one thread is faster than several.
const SERIAL_VALUES: usize = 1 << 15;

impl TensorView<'_> {
    /// Rows of one batch entry of a tensor `[batch, rows, width]` as f32, `values` `[rows, width]`.
    ///
    /// # Errors
    /// `InvalidArgument` when there are no such rows or `values` has another length; `Unsupported` when the memory is
    /// not the processor's.
    pub fn widen_rows(&self, pool: &ThreadPool, batch: usize, rows: Range<usize>, values: &mut [f32]) -> Result<()> {
        let width = check(self, batch, &rows, values.len())?;
        let target = Target(values.as_mut_ptr());
        over_chunks(pool, &rows, width, |chunk| {
            let target = &target;
            for row in chunk {
                // SAFETY: each task writes rows of its own inside `values`, whose length was checked.
                let to = unsafe { std::slice::from_raw_parts_mut(target.0.add((row - rows.start) * width), width) };
                for (column, value) in to.iter_mut().enumerate() {
                    // SAFETY: the index is inside the shape, for which the constructor vouches.
                    *value = unsafe { load_one(self.at([0, batch, row, column]), self.element()) };
                }
            }
        });
        Ok(())
    }
}

impl TensorViewMut<'_> {
    /// Adds `values` `[rows, width]` to rows of one batch entry of a tensor `[batch, rows, width]`: read, added in f32
    /// and rounded once.
    ///
    /// # Errors
    /// As [`TensorView::widen_rows`].
    pub fn add_rows(&mut self, pool: &ThreadPool, batch: usize, rows: Range<usize>, values: &[f32]) -> Result<()> {
        let view = self.as_view();
        let width = check(&view, batch, &rows, values.len())?;
        over_chunks(pool, &rows, width, |chunk| {
            for row in chunk {
                let from = &values[(row - rows.start) * width..][..width];
                for (column, value) in from.iter().enumerate() {
                    let place = view.at([0, batch, row, column]);
                    // SAFETY: the index is inside the shape; no two indices share memory, and each task writes rows of
                    // its own, as this view may.
                    unsafe {
                        let sum = load_one(place, view.element()) + value;
                        store_one(place.cast_mut(), view.element(), sum);
                    }
                }
            }
        });
        Ok(())
    }
}

/// The width of the rows, all of which exist.
fn check(view: &TensorView<'_>, batch: usize, rows: &Range<usize>, len: usize) -> Result<usize> {
    view.require_cpu()?;
    let [outer, batches, count, width] = view.shape();
    let fits = outer == 1 && batch < batches && rows.start <= rows.end && rows.end <= count;
    if fits && rows.len().checked_mul(width) == Some(len) {
        return Ok(width);
    }
    Err(Error::invalid(format!(
        "rows {rows:?} of batch entry {batch} of a tensor of shape {:?}, with memory for {len} values",
        view.dims()
    )))
}

fn over_chunks(pool: &ThreadPool, rows: &Range<usize>, width: usize, task: impl Fn(Range<usize>) + Sync) {
    if rows.len() * width < SERIAL_VALUES {
        return task(rows.clone());
    }
    pool.run(rows.len().div_ceil(CHUNK), &|index| {
        let first = rows.start + index * CHUNK;
        task(first..rows.end.min(first + CHUNK));
    });
}
