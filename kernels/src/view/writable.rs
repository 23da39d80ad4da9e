//! Views to write.

use super::{TensorView, MAX_RANK};
use crate::element::Scalar;
use crate::error::{Error, Result};
use crate::simd::store_one;
use std::marker::PhantomData;

/// A tensor to write: as [`TensorView`], and no two indices mean the same memory.
#[derive(Debug)]
pub struct TensorViewMut<'a> {
    view: TensorView<'a>,
    owner: PhantomData<&'a mut [u8]>,
}

impl<'a> TensorView<'a> {
    /// The same memory to write.
    ///
    /// # Errors
    /// `InvalidArgument` when two indices share memory.
    ///
    /// # Safety
    /// The memory is valid to write, and nobody else reads or writes it for `'a`.
    pub unsafe fn writable(self) -> Result<TensorViewMut<'a>> {
        if !self.is_empty() && !self.is_distinct() {
            return Err(Error::invalid(format!(
                "a tensor of shape {:?} with strides {:?} overlaps itself; it cannot be written",
                self.dims(),
                &self.strides[MAX_RANK - self.rank..]
            )));
        }
        Ok(TensorViewMut {
            view: self,
            owner: PhantomData,
        })
    }

    /// Whether each index has memory of its own: sorted by stride, every stride must step over all that the smaller
    /// ones reach.
    fn is_distinct(&self) -> bool {
        // An array: views are made at every call of a kernel, and that shall not allocate.
        let mut dims: [(usize, usize); MAX_RANK] = std::array::from_fn(|i| (self.strides[i], self.shape[i]));
        dims.sort_unstable();
        let mut reach = 0_usize;
        for (stride, extent) in dims.into_iter().filter(|&(_, extent)| extent > 1) {
            if stride <= reach {
                return false;
            }
            reach += stride * (extent - 1);
        }
        true
    }
}

impl<'a> TensorViewMut<'a> {
    /// A view of `data` to write, from its first element on, with strides in elements.
    ///
    /// # Errors
    /// `InvalidArgument` when an index would lie outside `data` or two indices would share memory.
    pub fn new<T: Scalar, const N: usize>(data: &'a mut [T], shape: [usize; N], strides: [usize; N]) -> Result<Self> {
        let view = TensorView::of_slice::<T>(data.as_mut_ptr(), data.len(), &shape, Some(&strides))?;
        // SAFETY: the slice is borrowed exclusively for `'a`, and every index lies inside it.
        unsafe { view.writable() }
    }

    /// A view of contiguous `data` to write.
    ///
    /// # Errors
    /// `InvalidArgument` when `data` is shorter than the shape says.
    pub fn contiguous<T: Scalar, const N: usize>(data: &'a mut [T], shape: [usize; N]) -> Result<Self> {
        let view = TensorView::of_slice::<T>(data.as_mut_ptr(), data.len(), &shape, None)?;
        // SAFETY: as in `new`.
        unsafe { view.writable() }
    }

    /// The same memory, to read.
    pub fn as_view(&self) -> TensorView<'_> {
        self.view
    }

    /// As [`TensorView::transpose`].
    ///
    /// # Errors
    /// As there.
    pub fn transpose(mut self, first: usize, second: usize) -> Result<Self> {
        self.view = self.view.transpose(first, second)?;
        Ok(self)
    }

    /// As [`TensorView::split_last`].
    ///
    /// # Errors
    /// As there.
    pub fn split_last(mut self, parts: usize) -> Result<Self> {
        self.view = self.view.split_last(parts)?;
        Ok(self)
    }

    /// Fills the tensor with `values` in row-major order, each rounded to the tensor's number type.
    ///
    /// # Errors
    /// `InvalidArgument` for another number of values than elements, `Unsupported` when the memory is not the
    /// processor's; nothing is written then.
    pub fn copy_from(&mut self, values: &[f32]) -> Result<()> {
        self.view.require_cpu()?;
        let [a, b, c, d] = self.view.shape;
        if a * b * c * d != values.len() {
            return Err(Error::invalid(format!(
                "{} values for a tensor of shape {:?}",
                values.len(),
                self.view.dims()
            )));
        }
        let mut values = values.iter();
        let rows = (0..a).flat_map(|a| (0..b).flat_map(move |b| (0..c).map(move |c| (a, b, c))));
        for (a, b, c) in rows {
            for (d, value) in (0..d).zip(&mut values) {
                let to = self.view.at([a, b, c, d]).cast_mut();
                // SAFETY: the index lies inside the view, which is writable.
                unsafe { store_one(to, self.view.element, *value) };
            }
        }
        Ok(())
    }
}
