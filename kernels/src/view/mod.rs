//! One strided view of memory that belongs to somebody else, checked when it is made.

mod finite;
mod heads;
mod readable;
mod rows;
#[cfg(test)]
mod tests;
mod writable;

pub use writable::TensorViewMut;

use crate::element::{Element, Scalar};
use crate::error::{Error, Result};
use crate::remedy;
use std::fmt;
use std::marker::PhantomData;

/// Most dimensions of a view.
const MAX_RANK: usize = 4;

/// Where the memory of a view is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// Memory of the processor.
    Cpu,
    /// Memory of the CUDA device with this number.
    Cuda(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("the CPU"),
            Self::Cuda(ordinal) => write!(f, "CUDA device {ordinal}"),
        }
    }
}

/// A tensor to read: place, number type, shape and strides of memory that is borrowed for `'a`.
///
/// A view has up to four dimensions. Strides count elements and may be in any order, so `[batch, rows, heads,
/// head_dim]` memory, `[batch, heads, rows, head_dim]` memory and slices of either are all the same to a kernel. A
/// stride of zero repeats (one set of keys for a whole batch). Contiguous last dimensions are fast, others work.
#[derive(Debug, Clone, Copy)]
pub struct TensorView<'a> {
    data: *const u8,
    place: Place,
    element: Element,
    rank: usize,
    /// Filled up in front with dimensions of size 1.
    shape: [usize; MAX_RANK],
    /// 0 for dimensions of size 0 or 1, where a stride is never used.
    strides: [usize; MAX_RANK],
    owner: PhantomData<&'a [u8]>,
}

// SAFETY: a view is a shared reference to plain numbers.
unsafe impl Send for TensorView<'_> {}
// SAFETY: as above.
unsafe impl Sync for TensorView<'_> {}

impl<'a> TensorView<'a> {
    /// A view of `data`, from its first element on, with strides in elements.
    ///
    /// # Errors
    /// `InvalidArgument` when an index would lie outside `data`.
    pub fn new<T: Scalar, const N: usize>(data: &'a [T], shape: [usize; N], strides: [usize; N]) -> Result<Self> {
        Self::of_slice::<T>(data.as_ptr(), data.len(), &shape, Some(&strides))
    }

    /// A view of contiguous `data`.
    ///
    /// # Errors
    /// `InvalidArgument` when `data` is shorter than the shape says.
    pub fn contiguous<T: Scalar, const N: usize>(data: &'a [T], shape: [usize; N]) -> Result<Self> {
        Self::of_slice::<T>(data.as_ptr(), data.len(), &shape, None)
    }

    /// A view of foreign memory whose first element is at `data`; `shape` and `strides` (in elements) have one entry
    /// per dimension. Without strides it is contiguous. A tensor without elements needs no memory.
    ///
    /// # Errors
    /// `InvalidArgument` when `data` is null or not aligned to the element's size, for another number of strides than
    /// dimensions, and for a tensor that does not fit into memory; `Unsupported` for more than four dimensions.
    ///
    /// # Safety
    /// For every index inside `shape`, the element at `data + Σ index · stride` is initialised memory of `place` that
    /// is valid to read for `'a` and not written meanwhile.
    pub unsafe fn from_raw(
        data: *const u8,
        place: Place,
        element: Element,
        shape: &[usize],
        strides: Option<&[usize]>,
    ) -> Result<Self> {
        let view = Self::described(data, place, element, shape, strides)?;
        let (bytes, size) = (view.span() * element.size(), element.size());
        if bytes == 0 {
            return Ok(view);
        }
        if data.is_null() {
            return Err(Error::invalid("data is NULL"));
        }
        if !data.addr().is_multiple_of(size) {
            return Err(Error::invalid(format!(
                "the first element is at address {:#x}, which is not a multiple of its size, {size}",
                data.addr()
            )));
        }
        if data.addr().checked_add(bytes).is_none() {
            return Err(Error::invalid(format!(
                "{bytes} bytes from address {:#x} leave the address space",
                data.addr()
            )));
        }
        Ok(view)
    }

    /// A view of `len` elements from `data` on.
    fn of_slice<T: Scalar>(data: *const T, len: usize, shape: &[usize], strides: Option<&[usize]>) -> Result<Self> {
        let view = Self::described(data.cast(), Place::Cpu, T::ELEMENT, shape, strides)?;
        if view.span() > len {
            return Err(Error::invalid(format!(
                "a view of shape {shape:?} with strides {:?} needs {} elements, the slice has {len}",
                &view.strides[MAX_RANK - view.rank..],
                view.span()
            )));
        }
        Ok(view)
    }

    /// A view whose extent is small enough for all that is computed with it, at an address that is not looked at.
    fn described(
        data: *const u8,
        place: Place,
        element: Element,
        shape: &[usize],
        strides: Option<&[usize]>,
    ) -> Result<Self> {
        let rank = shape.len();
        if rank > MAX_RANK {
            return Err(Error::unsupported(format!("{rank} dimensions, at most {MAX_RANK}")));
        }
        let mut view = Self {
            data,
            place,
            element,
            rank,
            shape: [1; MAX_RANK],
            strides: [0; MAX_RANK],
            owner: PhantomData,
        };
        view.shape[MAX_RANK - rank..].copy_from_slice(shape);
        match strides {
            Some(strides) if strides.len() == rank => view.strides[MAX_RANK - rank..].copy_from_slice(strides),
            Some(strides) => {
                return Err(Error::invalid(format!(
                    "{rank} dimensions but {} strides",
                    strides.len()
                )))
            }
            None => {
                view.strides[MAX_RANK - 1] = 1;
                for dim in (1..MAX_RANK).rev() {
                    // Saturated strides belong to tensors that do not fit into memory.
                    view.strides[dim - 1] = view.strides[dim].saturating_mul(view.shape[dim]);
                }
            }
        }
        for (stride, &extent) in view.strides.iter_mut().zip(&view.shape) {
            if extent <= 1 {
                *stride = 0;
            }
        }
        if view.is_empty() {
            view.strides = [0; MAX_RANK];
            return Ok(view);
        }
        // Bytes to the end of the last element, and elements, which broadcast dimensions make more.
        let size = element.size();
        let mut last = Some(0_usize);
        let mut count = Some(8_usize);
        for (&extent, &stride) in view.shape.iter().zip(&view.strides) {
            let reach = (extent - 1).checked_mul(stride);
            last = last.zip(reach).and_then(|(last, reach)| last.checked_add(reach));
            count = count.and_then(|count| count.checked_mul(extent));
        }
        let bytes = last
            .and_then(|last| last.checked_add(1))
            .and_then(|span| span.checked_mul(size));
        let fits = |bytes: Option<usize>| bytes.is_some_and(|bytes| bytes <= isize::MAX as usize);
        if !fits(bytes) || !fits(count) {
            return Err(Error::invalid(format!(
                "shape {shape:?} with strides {:?} does not fit into memory",
                &view.strides[MAX_RANK - rank..]
            )));
        }
        Ok(view)
    }

    /// The same tensor with two dimensions exchanged, counted from 0.
    ///
    /// # Errors
    /// `InvalidArgument` when it has no such dimension.
    pub fn transpose(mut self, first: usize, second: usize) -> Result<Self> {
        if first >= self.rank || second >= self.rank {
            return Err(Error::invalid(format!(
                "a tensor of shape {:?} has no dimensions {first} and {second} to exchange",
                self.dims()
            )));
        }
        let front = MAX_RANK - self.rank;
        self.shape.swap(front + first, front + second);
        self.strides.swap(front + first, front + second);
        Ok(self)
    }

    /// The same tensor with its last dimension divided into `parts`: `[…, parts · width]` as `[…, parts, width]`.
    ///
    /// # Errors
    /// `InvalidArgument` when the dimension is not a multiple of `parts` or there are four dimensions already.
    pub fn split_last(mut self, parts: usize) -> Result<Self> {
        let [_, _, _, last] = self.shape;
        if !(1..MAX_RANK).contains(&self.rank) || parts == 0 || last % parts != 0 {
            return Err(Error::invalid(format!(
                "a tensor of shape {:?} cannot have its last dimension divided into {parts}",
                self.dims()
            )));
        }
        let [_, b, c, _] = self.shape;
        let [_, by_b, by_c, by_last] = self.strides;
        let width = last / parts;
        // The strides of the parts of an existing dimension stay below that of the whole.
        let stride = |extent: usize, stride: usize| if extent > 1 { stride } else { 0 };
        self.shape = [b, c, parts, width];
        self.strides = [by_b, by_c, stride(parts, width * by_last), stride(width, by_last)];
        self.rank += 1;
        Ok(self)
    }

    /// Where the memory is.
    pub fn place(&self) -> Place {
        self.place
    }

    /// The element type.
    pub fn element(&self) -> Element {
        self.element
    }

    /// The address of the first element.
    pub fn data(&self) -> *const u8 {
        self.data
    }

    /// Sizes of the dimensions that the tensor has.
    pub fn dims(&self) -> &[usize] {
        &self.shape[MAX_RANK - self.rank..]
    }

    /// Sizes of four dimensions; those that the tensor does not have come first, with size 1.
    pub fn shape(&self) -> [usize; MAX_RANK] {
        self.shape
    }

    /// Strides in elements, in the order of [`shape`](Self::shape); 0 where the size is 0 or 1.
    pub fn strides(&self) -> [usize; MAX_RANK] {
        self.strides
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }

    /// Whether the bytes from the first to the last element of both share one. Views that interlock without a common
    /// element count as overlapping.
    pub fn overlaps(&self, other: &TensorView<'_>) -> bool {
        let range = |view: &TensorView<'_>| {
            let start = view.data.addr();
            start..start + view.span() * view.element.size()
        };
        let (a, b) = (range(self), range(other));
        self.place == other.place && !a.is_empty() && !b.is_empty() && a.start < b.end && b.start < a.end
    }

    /// Refuses memory that is not the processor's.
    ///
    /// # Errors
    /// `Unsupported`.
    pub fn require_cpu(&self) -> Result<()> {
        match self.place {
            Place::Cpu => Ok(()),
            place => Err(
                Error::unsupported(format!("the tensor is on {place}, but this call works on the CPU"))
                    .with_remedy(remedy::COPY_TO_CPU),
            ),
        }
    }

    /// Elements from the first to the last one in memory, both included, and those between that are not part of it.
    pub fn span(&self) -> usize {
        if self.is_empty() {
            return 0;
        }
        let reach = |(extent, stride): (&usize, &usize)| (extent - 1) * stride;
        1 + self.shape.iter().zip(&self.strides).map(reach).sum::<usize>()
    }

    /// The address of an element; the caller keeps the indices inside the shape.
    pub(crate) fn at(&self, [a, b, c, d]: [usize; MAX_RANK]) -> *const u8 {
        let [by_a, by_b, by_c, by_d] = self.strides;
        let offset = a * by_a + b * by_b + c * by_c + d * by_d;
        self.data.wrapping_add(offset * self.element.size())
    }
}
