//! The rows of one head in strided memory.

use crate::element::Element;
#[cfg(feature = "gradients")]
use crate::simd::store_element;
use crate::simd::{load_one, store_one, widen, Lanes};
use crate::view::TensorView;

/// Rows of one head of one batch entry.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    pub(super) pointer: *const u8,
    pub(super) element: Element,
    /// Elements from row to row.
    pub(super) row: isize,
    /// Elements from column to column.
    pub(super) column: isize,
}

impl Rows {
    #[inline(always)]
    pub(super) fn at(&self, row: usize) -> *const u8 {
        self.pointer
            .wrapping_offset(row as isize * self.row * self.element.size() as isize)
    }

    /// Widens `dim` values of a row, whatever their stride.
    ///
    /// # Safety
    /// The row exists; `to` takes `dim` values; `L`'s instructions exist.
    #[inline(always)]
    pub(super) unsafe fn read<L: Lanes>(&self, row: usize, dim: usize, to: *mut f32) {
        let from = self.at(row);
        // SAFETY: the caller vouches for the row and the target.
        unsafe {
            if self.column == 1 {
                widen::<L>(from, self.element, to, dim);
            } else {
                let step = self.column * self.element.size() as isize;
                for c in 0..dim {
                    *to.add(c) = load_one(from.wrapping_offset(c as isize * step), self.element);
                }
            }
        }
    }

    /// Sets rows `first..last` to zero.
    ///
    /// # Safety
    /// The rows are writable and nobody else uses them.
    pub(super) unsafe fn zero(&self, first: usize, last: usize, dim: usize) {
        let step = self.column * self.element.size() as isize;
        for row in first..last {
            for c in 0..dim {
                // SAFETY: the caller vouches for the rows.
                unsafe {
                    store_one(
                        self.at(row).cast_mut().wrapping_offset(c as isize * step),
                        self.element,
                        0.0,
                    )
                };
            }
        }
    }
}

#[cfg(feature = "gradients")]
impl Rows {
    /// Widens `dim` values of a row and appends zeros up to `padded`.
    ///
    /// # Safety
    /// The row exists; `to` takes `padded` values; `L`'s instructions exist.
    #[inline(always)]
    pub(super) unsafe fn read_padded<L: Lanes>(&self, row: usize, dim: usize, padded: usize, to: *mut f32) {
        // SAFETY: the caller vouches for the row and the target.
        unsafe {
            self.read::<L>(row, dim, to);
            for d in dim..padded {
                *to.add(d) = 0.0;
            }
        }
    }

    /// Writes `dim` values times `factor` to a row.
    ///
    /// # Safety
    /// The row exists, is writable and nobody else uses it; `values` has `dim` values; `L`'s instructions exist.
    #[inline(always)]
    pub(super) unsafe fn write<L: Lanes>(&self, row: usize, dim: usize, values: *const f32, factor: f32) {
        // SAFETY: the caller vouches for the row and the values.
        unsafe {
            let mut d = 0;
            if self.column == 1 {
                let factors = L::splat(factor);
                let to = self.at(row).cast_mut();
                while d + L::WIDTH <= dim {
                    let value = L::mul(L::load(values.add(d)), factors);
                    store_element::<L>(to.add(d * self.element.size()), self.element, value);
                    d += L::WIDTH;
                }
            }
            while d < dim {
                self.put(row, d, *values.add(d) * factor);
                d += 1;
            }
        }
    }

    /// Writes one value.
    ///
    /// # Safety
    /// The row and the column exist, are writable and nobody else uses them.
    #[inline(always)]
    pub(super) unsafe fn put(&self, row: usize, column: usize, value: f32) {
        let step = self.column * self.element.size() as isize;
        let to = self.at(row).cast_mut().wrapping_offset(column as isize * step);
        // SAFETY: the caller vouches for the place.
        unsafe { store_one(to, self.element, value) }
    }
}

/// The rows of one head of a view; a view with one batch entry serves every batch row.
pub(super) fn head_rows(view: &TensorView<'_>, batch: usize, head: usize) -> Rows {
    let batch = if view.shape()[0] == 1 { 0 } else { batch };
    // A view's extent in bytes fits isize, and with it every stride that is used.
    let [_, row, _, column] = view.strides().map(|stride| stride as isize);
    Rows {
        pointer: view.at([batch, 0, head, 0]),
        element: view.element(),
        row,
        column,
    }
}
