//! One tensor of a checkpoint: where its elements lie.

use super::element;
use super::map::Backing;
use crate::error::{Error, Result};
use crate::remedy;
use candle_core::DType;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// Where the elements of a storage lie. Several tensors may share one.
#[derive(Clone)]
pub(super) enum Storage {
    /// A range of the container's bytes.
    Range(Range<usize>),
    /// Bytes that had to be unpacked.
    Owned(Arc<Vec<u8>>),
}

/// A strided view of a storage. Offset and strides count elements.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) dtype: DType,
    pub(super) shape: Vec<usize>,
    strides: Vec<usize>,
    offset: usize,
    storage: Storage,
    /// The name in the file, which views and renaming keep.
    pub(super) origin: Arc<str>,
}

/// Strides of a row-major tensor. Zero-sized dimensions count as one, so nothing overflows that fits in memory.
fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for axis in (0..shape.len().saturating_sub(1)).rev() {
        strides[axis] = strides[axis + 1].saturating_mul(shape[axis + 1].max(1));
    }
    strides
}

impl Entry {
    /// A row-major tensor that fills `storage` from its begin.
    pub(super) fn contiguous(name: &str, dtype: DType, shape: Vec<usize>, storage: Storage) -> Result<Self> {
        let strides = row_major(&shape);
        Self::strided(name, dtype, shape, strides, 0, storage)
    }

    /// A view of `storage`; everything it reaches must lie inside.
    pub(super) fn strided(
        name: &str,
        dtype: DType,
        shape: Vec<usize>,
        strides: Vec<usize>,
        offset: usize,
        storage: Storage,
    ) -> Result<Self> {
        let size = element::element_size(dtype)
            .ok_or_else(|| Error::unsupported(format!("tensor {name:?}: elements of type {dtype:?}")))?;
        if strides.len() != shape.len() {
            return Err(Error::format(format!(
                "tensor {name:?}: {} strides for {} dimensions",
                strides.len(),
                shape.len()
            )));
        }
        let available = match &storage {
            Storage::Range(range) => range.len(),
            Storage::Owned(bytes) => bytes.len(),
        } / size;
        let count = element::element_count(name, &shape)?;
        let reach = if count == 0 {
            Some(0)
        } else {
            shape
                .iter()
                .zip(&strides)
                .try_fold(offset, |last, (&size, &stride)| {
                    last.checked_add((size - 1).checked_mul(stride)?)
                })
                .and_then(|last| last.checked_add(1))
        };
        if reach.is_none_or(|reach| reach > available) {
            return Err(Error::format(format!(
                "tensor {name:?}: shape {shape:?} with strides {strides:?} at element {offset} leaves its storage of \
                 {available} elements"
            )));
        }
        // A stride of zero repeats elements, so a few bytes could ask for any amount of memory.
        if count > available.max(1 << 20) {
            return Err(Error::unsupported(format!(
                "tensor {name:?}: shape {shape:?} repeats the {available} elements of its storage"
            ))
            .with_remedy(remedy::CONTIGUOUS_TENSOR));
        }
        Ok(Self {
            dtype,
            shape,
            strides,
            offset,
            storage,
            origin: Arc::from(name),
        })
    }

    /// Number of elements.
    pub(super) fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// Bytes per element.
    pub(super) fn size(&self) -> usize {
        element::element_size(self.dtype).unwrap_or(1)
    }

    fn is_contiguous(&self) -> bool {
        self.count() == 0
            || self
                .shape
                .iter()
                .zip(&self.strides)
                .zip(row_major(&self.shape))
                .all(|((&n, &a), b)| n == 1 || a == b)
    }

    fn storage_bytes<'a>(&'a self, backing: &'a Backing) -> &'a [u8] {
        match &self.storage {
            Storage::Range(range) => backing.bytes().get(range.clone()).unwrap_or(&[]),
            Storage::Owned(bytes) => bytes,
        }
    }

    /// The elements, row-major, little-endian. Borrowed where the view is contiguous.
    pub(super) fn bytes<'a>(&'a self, backing: &'a Backing) -> Result<Cow<'a, [u8]>> {
        let outside = || Error::internal(format!("tensor {:?} lies outside of its container", self.origin));
        let bytes = self.storage_bytes(backing);
        let (size, count) = (self.size(), self.count());
        if count == 0 {
            return Ok(Cow::Borrowed(&[]));
        }
        let start = self.offset * size;
        if self.is_contiguous() {
            return bytes
                .get(start..start + count * size)
                .map(Cow::Borrowed)
                .ok_or_else(outside);
        }
        let mut copy = Vec::with_capacity(count * size);
        for index in 0..count {
            let at = self.position(index) * size;
            copy.extend_from_slice(bytes.get(at..at + size).ok_or_else(outside)?);
        }
        Ok(Cow::Owned(copy))
    }

    /// Where element `index` of the row-major order lies in the storage.
    fn position(&self, mut index: usize) -> usize {
        let mut at = self.offset;
        for (&size, &stride) in self.shape.iter().zip(&self.strides).rev() {
            at += index % size * stride;
            index /= size;
        }
        at
    }

    /// Element `index` of the row-major order as f32.
    pub(super) fn scalar(&self, backing: &Backing, index: usize) -> Option<f32> {
        if index >= self.count() {
            return None;
        }
        let at = self.position(index).checked_mul(self.size())?;
        element::scalar_f32(self.storage_bytes(backing).get(at..at + self.size())?, self.dtype)
    }

    /// Gives the memory pages of the elements back to the system; see [`Backing::release`].
    pub(super) fn release(&self, backing: &Backing) {
        if let Storage::Range(range) = &self.storage {
            let start = range.start + self.offset * self.size();
            let end = if self.is_contiguous() {
                start + self.count() * self.size()
            } else {
                range.end
            };
            backing.release(start..end);
        }
    }

    /// Rows `start..start + rows` of the first dimension, which must hold them.
    pub(super) fn rows(&self, start: usize, rows: usize) -> Option<Self> {
        let end = start.checked_add(rows)?;
        if end > *self.shape.first()? {
            return None;
        }
        let mut part = self.clone();
        part.shape[0] = rows;
        part.offset += start * self.strides[0];
        Some(part)
    }

    /// A matrix with rows and columns exchanged; `None` for other ranks.
    pub(super) fn transposed(&self) -> Option<Self> {
        if self.shape.len() != 2 {
            return None;
        }
        let mut other = self.clone();
        other.shape.reverse();
        other.strides.reverse();
        Some(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(bytes: Vec<u8>) -> Storage {
        Storage::Owned(Arc::new(bytes))
    }

    #[test]
    fn strided_views_are_copied_in_row_major_order() {
        let backing = Backing::Memory(bytes::Bytes::new());
        let storage = owned((0..24).collect());
        let matrix = Entry::contiguous("m", DType::U8, vec![4, 6], storage.clone()).unwrap();
        assert!(matches!(matrix.bytes(&backing).unwrap(), Cow::Borrowed(_)));
        let transposed = matrix.transposed().unwrap();
        assert_eq!(transposed.shape, [6, 4]);
        let expected: Vec<u8> = (0..6).flat_map(|c| (0..4).map(move |r| r * 6 + c)).collect();
        assert_eq!(*transposed.bytes(&backing).unwrap(), expected);
        assert_eq!(transposed.scalar(&backing, 1), Some(6.0));
        let rows = matrix.rows(1, 2).unwrap();
        assert_eq!(*rows.bytes(&backing).unwrap(), (6..18).collect::<Vec<u8>>());
        assert!(matrix.rows(3, 2).is_none());
        let every_other = Entry::strided("s", DType::U8, vec![2, 3], vec![12, 2], 1, storage).unwrap();
        assert_eq!(*every_other.bytes(&backing).unwrap(), [1, 3, 5, 13, 15, 17]);
    }

    #[test]
    fn views_that_leave_their_storage_are_refused() {
        let bad = [
            (vec![25], vec![1], 0),
            (vec![24], vec![1], 1),
            (vec![2, 2], vec![23, 1], 0),
            (vec![2], vec![usize::MAX], 0),
            (vec![1], vec![1], usize::MAX),
            (vec![usize::MAX, 2], vec![0, 0], 0),
            (vec![1 << 40], vec![0], 0),
            (vec![2, 2], vec![1], 0),
        ];
        for (shape, strides, offset) in bad {
            let storage = owned(vec![0; 24]);
            assert!(
                Entry::strided("t", DType::U8, shape.clone(), strides, offset, storage).is_err(),
                "{shape:?}"
            );
        }
        let empty = Entry::strided("t", DType::U8, vec![0, 7], vec![7, 1], 0, owned(vec![])).unwrap();
        assert!(empty.bytes(&Backing::Memory(bytes::Bytes::new())).unwrap().is_empty());
    }
}
