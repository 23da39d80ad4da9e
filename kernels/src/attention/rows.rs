//! The rows of one head in strided memory.

use crate::element::Element;
use crate::simd::{load_element, load_one, store_element, store_one, widen, Lanes};
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
                widen_row::<L>(from, self.element, to, dim);
            } else {
                let step = self.column * self.element.size() as isize;
                for c in 0..dim {
                    *to.add(c) = load_one(from.wrapping_offset(c as isize * step), self.element);
                }
            }
        }
    }

    /// `row += factor · values` where `add` is set, else `row = factor · values`, rounded once.
    ///
    /// # Safety
    /// The row is writable and nobody else uses it; `values` has `dim` values, and whole vectors are readable;
    /// `L`'s instructions exist.
    #[inline(always)]
    pub(super) unsafe fn put<L: Lanes>(&self, row: usize, dim: usize, values: *const f32, factor: f32, add: bool) {
        let (element, size) = (self.element, self.element.size());
        let to = self.at(row).cast_mut();
        // SAFETY: the caller vouches for the row and the values.
        unsafe {
            let mut d = 0;
            if self.column == 1 && dim >= L::WIDTH {
                let factors = L::splat(factor);
                // The last vector may overlap the one before it: what it starts from is read before that is written.
                let last = dim - L::WIDTH;
                let end = match add {
                    true => load_element::<L>(to.add(last * size), element),
                    false => L::splat(0.0),
                };
                while d < dim {
                    let at = d.min(last);
                    let value = L::load(values.add(at));
                    let value = match (add, at == last) {
                        (true, true) => L::fma(value, factors, end),
                        (true, false) => L::fma(value, factors, load_element::<L>(to.add(at * size), element)),
                        (false, _) => L::mul(value, factors),
                    };
                    store_element::<L>(to.add(at * size), element, value);
                    d += L::WIDTH;
                }
                return;
            }
            let step = self.column * size as isize;
            while d < dim {
                let to = to.wrapping_offset(d as isize * step);
                let value = *values.add(d) * factor;
                let value = if add { load_one(to, element) + value } else { value };
                store_one(to, element, value);
                d += 1;
            }
        }
    }

    /// Tells the processor that the first `dim` values of a row, if it exists, will be needed.
    ///
    /// # Safety
    /// `L`'s instructions exist.
    #[inline(always)]
    pub(super) unsafe fn prefetch<L: Lanes>(&self, row: usize, dim: usize) {
        const LINE: usize = 64;
        if self.column == 1 {
            let (from, size) = (self.at(row), dim * self.element.size());
            let mut at = 0;
            while at < size {
                // SAFETY: the caller vouches for the instructions; any address may be prefetched.
                unsafe { L::prefetch(from.wrapping_add(at)) };
                at += LINE;
            }
            // SAFETY: as above.
            unsafe { L::prefetch(from.wrapping_add(size - 1)) };
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
                self.put_one(row, d, *values.add(d) * factor);
                d += 1;
            }
        }
    }

    /// Writes one value.
    ///
    /// # Safety
    /// The row and the column exist, are writable and nobody else uses them.
    #[inline(always)]
    pub(super) unsafe fn put_one(&self, row: usize, column: usize, value: f32) {
        let step = self.column * self.element.size() as isize;
        let to = self.at(row).cast_mut().wrapping_offset(column as isize * step);
        // SAFETY: the caller vouches for the place.
        unsafe { store_one(to, self.element, value) }
    }
}

/// Widens a row in whole vectors, the last of which may overlap the one before it.
///
/// # Safety
/// `count` elements are readable, `to` takes as many values; `L`'s instructions exist.
#[inline(always)]
unsafe fn widen_row<L: Lanes>(from: *const u8, element: Element, to: *mut f32, count: usize) {
    let size = element.size();
    // SAFETY: the caller vouches for the memory and the instructions.
    unsafe {
        if count < L::WIDTH {
            return widen::<L>(from, element, to, count);
        }
        let last = count - L::WIDTH;
        let mut i = 0;
        while i < count {
            let at = i.min(last);
            L::store(to.add(at), load_element::<L>(from.add(at * size), element));
            i += L::WIDTH;
        }
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
