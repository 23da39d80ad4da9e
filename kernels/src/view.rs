//! Strided views of `[batch, rows, heads, head_dim]` tensors that belong to somebody else.

use crate::element::{Element, Scalar};
use crate::error::{Error, Result};
use crate::simd::load_one;
use std::marker::PhantomData;

/// A view to read: pointer, element type, shape and strides.
///
/// The shape is `[batch, rows, heads, head_dim]`, the strides count elements and may be in any order, so
/// `[B, S, H·D]`, `[B, H, S, D]` and transposed memory are all the same to a kernel. A stride of zero repeats
/// (one set of keys for a whole batch). Contiguous last dimensions are fast, others work.
#[derive(Debug, Clone, Copy)]
pub struct TensorView<'a> {
    pointer: *const u8,
    element: Element,
    shape: [usize; 4],
    strides: [isize; 4],
    owner: PhantomData<&'a [u8]>,
}

// SAFETY: a view is a shared reference to plain numbers.
unsafe impl Send for TensorView<'_> {}
// SAFETY: as above.
unsafe impl Sync for TensorView<'_> {}

/// A view to write: as [`TensorView`], and no two indices may mean the same memory.
#[derive(Debug)]
pub struct TensorViewMut<'a> {
    view: TensorView<'a>,
    owner: PhantomData<&'a mut [u8]>,
}

/// Elements from the first to the last one of a view, checked against overflow.
fn span(shape: [usize; 4], strides: [usize; 4]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    let mut last = 0_usize;
    for (&extent, stride) in shape.iter().zip(strides) {
        last = last.checked_add((extent - 1).checked_mul(stride)?)?;
    }
    last.checked_add(1).filter(|&n| n <= isize::MAX as usize)
}

/// Whether each index has memory of its own: sorted by stride, every stride must step over all that the
/// smaller ones reach.
fn distinct(shape: [usize; 4], strides: [usize; 4]) -> bool {
    // An array: views are made at every call of a kernel, and that shall not allocate.
    let mut dims: [(usize, usize); 4] = std::array::from_fn(|i| (strides[i], shape[i]));
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

/// Strides of a contiguous `[batch, rows, heads, head_dim]` tensor.
fn contiguous([_, rows, heads, dim]: [usize; 4]) -> Option<[usize; 4]> {
    let row = heads.checked_mul(dim)?;
    Some([rows.checked_mul(row)?, row, dim, 1])
}

impl<'a> TensorView<'a> {
    /// A view of `data` with the given shape `[batch, rows, heads, head_dim]` and strides in elements.
    ///
    /// # Errors
    /// `InvalidArgument` when an index would lie outside `data`.
    pub fn new<T: Scalar>(data: &'a [T], shape: [usize; 4], strides: [usize; 4]) -> Result<Self> {
        match span(shape, strides) {
            Some(needed) if needed <= data.len() => {}
            needed => {
                let needed = needed.map_or("more than memory can hold".to_owned(), |n| n.to_string());
                return Err(Error::invalid(format!(
                    "a view of shape {shape:?} with strides {strides:?} needs {needed} elements, the slice has {}",
                    data.len()
                )));
            }
        }
        Ok(Self {
            pointer: data.as_ptr().cast(),
            element: T::ELEMENT,
            shape,
            // A stride above isize::MAX can only belong to a dimension of extent 0 or 1, where it is not used.
            strides: strides.map(|stride| isize::try_from(stride).unwrap_or(0)),
            owner: PhantomData,
        })
    }

    /// A view of contiguous `data` of shape `[batch, rows, heads, head_dim]`.
    ///
    /// # Errors
    /// `InvalidArgument` when `data` is shorter than the shape says.
    pub fn contiguous<T: Scalar>(data: &'a [T], shape: [usize; 4]) -> Result<Self> {
        let strides = contiguous(shape)
            .ok_or_else(|| Error::invalid(format!("a tensor of shape {shape:?} does not fit in memory")))?;
        Self::new(data, shape, strides)
    }

    /// A view of foreign memory. Strides count elements and may be negative.
    ///
    /// # Safety
    /// For every index inside `shape`, the element at `pointer + Σ index·stride` is initialised memory that is
    /// valid to read for `'a` and not written meanwhile. No alignment is needed.
    pub unsafe fn from_raw(
        pointer: *const u8,
        element: Element,
        shape: [usize; 4],
        strides: [isize; 4],
    ) -> Self {
        Self {
            pointer,
            element,
            shape,
            strides,
            owner: PhantomData,
        }
    }

    /// The element type.
    pub fn element(&self) -> Element {
        self.element
    }

    /// `[batch, rows, heads, head_dim]`
    pub fn shape(&self) -> [usize; 4] {
        self.shape
    }

    /// Strides in elements, in the order of the shape.
    pub fn strides(&self) -> [isize; 4] {
        self.strides
    }

    /// The address of an element; the caller keeps the indices inside the shape.
    pub(crate) fn at(&self, batch: usize, row: usize, head: usize) -> *const u8 {
        let [b, r, h, _] = self.strides;
        let offset = batch as isize * b + row as isize * r + head as isize * h;
        self.pointer
            .wrapping_offset(offset * self.element.size() as isize)
    }

    /// The first index `[batch, row, head, column]` that holds NaN or an infinity.
    ///
    /// One pass over the memory: cheap next to an attention over the same queries.
    pub fn find_non_finite(&self) -> Option<[usize; 4]> {
        let [batch, rows, heads, dim] = self.shape;
        let column = self.strides[3] * self.element.size() as isize;
        for b in 0..batch {
            for r in 0..rows {
                for h in 0..heads {
                    let start = self.at(b, r, h);
                    // The exponent bits are all set in NaN and infinity, and only there.
                    let bad = |c: usize| {
                        // SAFETY: the indices are inside the shape, for which the constructor vouches.
                        let value =
                            unsafe { load_one(start.wrapping_offset(c as isize * column), self.element) };
                        !value.is_finite()
                    };
                    let any = match (self.element, self.strides[3]) {
                        // SAFETY: as above; the row is contiguous.
                        (Element::F32, 1) => unsafe { any_non_finite_f32(start, dim) },
                        // SAFETY: as above.
                        (Element::F16, 1) => unsafe { any_exponent_full(start, dim, 0x7c00) },
                        // SAFETY: as above.
                        (Element::BF16, 1) => unsafe { any_exponent_full(start, dim, 0x7f80) },
                        _ => true,
                    };
                    if any {
                        if let Some(c) = (0..dim).find(|&c| bad(c)) {
                            return Some([b, r, h, c]);
                        }
                    }
                }
            }
        }
        None
    }
}

/// # Safety
/// `dim` f32 values are readable at `p`.
unsafe fn any_non_finite_f32(p: *const u8, dim: usize) -> bool {
    let mut any = false;
    for i in 0..dim {
        // SAFETY: the caller vouches for the memory.
        let bits = unsafe { p.cast::<u32>().add(i).read_unaligned() };
        any |= bits & 0x7f80_0000 == 0x7f80_0000;
    }
    any
}

/// # Safety
/// `dim` 16-bit values are readable at `p`.
unsafe fn any_exponent_full(p: *const u8, dim: usize, exponent: u16) -> bool {
    let mut any = false;
    for i in 0..dim {
        // SAFETY: the caller vouches for the memory.
        let bits = unsafe { p.cast::<u16>().add(i).read_unaligned() };
        any |= bits & exponent == exponent;
    }
    any
}

impl<'a> TensorViewMut<'a> {
    /// A view of `data` to write, shape `[batch, rows, heads, head_dim]`, strides in elements.
    ///
    /// # Errors
    /// `InvalidArgument` when an index would lie outside `data` or two indices would share memory.
    pub fn new<T: Scalar>(data: &'a mut [T], shape: [usize; 4], strides: [usize; 4]) -> Result<Self> {
        let TensorView {
            element,
            strides: signed,
            ..
        } = TensorView::new(data, shape, strides)?;
        if !shape.contains(&0) && !distinct(shape, strides) {
            return Err(Error::invalid(format!(
                "an output of shape {shape:?} with strides {strides:?} overlaps itself"
            )));
        }
        let pointer = data.as_mut_ptr().cast();
        // SAFETY: the slice is borrowed for `'a`, every index lies inside it and has memory of its own.
        Ok(unsafe { Self::from_raw(pointer, element, shape, signed) })
    }

    /// A view of contiguous `data` to write, shape `[batch, rows, heads, head_dim]`.
    ///
    /// # Errors
    /// `InvalidArgument` when `data` is shorter than the shape says.
    pub fn contiguous<T: Scalar>(data: &'a mut [T], shape: [usize; 4]) -> Result<Self> {
        let strides = contiguous(shape)
            .ok_or_else(|| Error::invalid(format!("a tensor of shape {shape:?} does not fit in memory")))?;
        Self::new(data, shape, strides)
    }

    /// A view of foreign memory to write. Strides count elements and may be negative.
    ///
    /// # Safety
    /// As [`TensorView::from_raw`]; moreover the memory is valid to write, no two indices share memory, and
    /// nobody else reads or writes it for `'a`. No alignment is needed.
    pub unsafe fn from_raw(
        pointer: *mut u8,
        element: Element,
        shape: [usize; 4],
        strides: [isize; 4],
    ) -> Self {
        // SAFETY: the caller's promise includes that of `TensorView::from_raw`.
        let view = unsafe { TensorView::from_raw(pointer, element, shape, strides) };
        Self {
            view,
            owner: PhantomData,
        }
    }

    /// The same memory, to read.
    pub fn as_view(&self) -> TensorView<'_> {
        self.view
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_outside_the_slice_are_refused() {
        let data = [0.0_f32; 24];
        assert!(TensorView::contiguous(&data, [1, 2, 3, 4]).is_ok());
        assert!(TensorView::contiguous(&data, [1, 2, 3, 5]).is_err());
        assert!(TensorView::new(&data, [2, 2, 3, 4], [0, 12, 4, 1]).is_ok());
        assert!(TensorView::new(&data, [2, 2, 3, 4], [1, 12, 4, 1]).is_err());
        assert!(TensorView::contiguous(&data, [usize::MAX, 2, 3, 4]).is_err());
        assert!(TensorView::new(&data, [2, 1, 1, 1], [usize::MAX, 1, 1, 1]).is_err());
        assert!(TensorView::new::<f32>(&[], [0, 2, 3, 4], [1, 1, 1, 1]).is_ok());
    }

    #[test]
    fn outputs_that_overlap_themselves_are_refused() {
        let mut data = [0.0_f32; 64];
        assert!(TensorViewMut::contiguous(&mut data, [1, 4, 2, 8]).is_ok());
        assert!(TensorViewMut::new(&mut data, [2, 4, 2, 4], [4, 8, 32, 1]).is_ok());
        assert!(TensorViewMut::new(&mut data, [2, 4, 2, 4], [0, 8, 32, 1]).is_err());
        assert!(TensorViewMut::new(&mut data, [1, 4, 2, 8], [0, 8, 4, 1]).is_err());
    }

    #[test]
    fn the_first_non_finite_value_is_found() {
        let mut data = vec![1.0_f32; 2 * 3 * 2 * 5];
        let shape = [2, 3, 2, 5];
        assert_eq!(
            TensorView::contiguous(&data, shape).unwrap().find_non_finite(),
            None
        );
        data[30 + 10 + 5 + 3] = f32::NEG_INFINITY;
        data[59] = f32::NAN;
        assert_eq!(
            TensorView::contiguous(&data, shape).unwrap().find_non_finite(),
            Some([1, 1, 1, 3])
        );
        let transposed = TensorView::new(&data, [2, 5, 2, 3], [30, 1, 5, 10]).unwrap();
        assert_eq!(transposed.find_non_finite(), Some([1, 3, 1, 1]));
        let half: Vec<half::f16> = data.iter().map(|&x| half::f16::from_f32(x)).collect();
        assert_eq!(
            TensorView::contiguous(&half, shape).unwrap().find_non_finite(),
            Some([1, 1, 1, 3])
        );
        let brain: Vec<half::bf16> = data.iter().map(|&x| half::bf16::from_f32(x)).collect();
        assert_eq!(
            TensorView::contiguous(&brain, shape).unwrap().find_non_finite(),
            Some([1, 1, 1, 3])
        );
    }
}
