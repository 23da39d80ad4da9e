//! One tensor of a checkpoint: where its elements lie, and how they are read.

use super::backing::Backing;
use super::checksum::Checksum;
use super::element::{self, Element, Widening};
use super::filling::Filling;
use super::scales::Scale;
use crate::error::{Error, Result};
use crate::remedy;
use candle_core::{DType, Device, Tensor};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// Where the elements of a storage lie. Several tensors may share one.
#[derive(Clone)]
pub(super) enum Storage {
    /// A range of a container's bytes, and what they sum up to if the container tells.
    Range(Arc<Backing>, Range<usize>, Option<Arc<Checksum>>),
    /// Bytes that had to be unpacked.
    Owned(Arc<Vec<u8>>),
}

impl Storage {
    /// Number of bytes.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Range(_, range, _) => range.len(),
            Self::Owned(bytes) => bytes.len(),
        }
    }

    /// The bytes of `range` of the storage.
    fn read(&self, range: Range<usize>) -> Option<Result<Cow<'_, [u8]>>> {
        match self {
            Self::Range(backing, whole, _) => {
                (range.end <= whole.len()).then(|| backing.read(whole.start + range.start..whole.start + range.end))
            }
            Self::Owned(bytes) => bytes.get(range).map(|bytes| Ok(Cow::Borrowed(bytes))),
        }
    }

    /// Fails when its bytes do not sum up to what the container tells.
    fn check_sum(&self) -> Result<()> {
        match self {
            Self::Range(backing, range, Some(checksum)) => checksum.check_range(backing, range.clone()),
            _ => Ok(()),
        }
    }

    /// Fails when the file behind it was changed since it was opened.
    fn check_unchanged(&self) -> Result<()> {
        match self {
            Self::Range(backing, ..) => backing.check_unchanged(),
            Self::Owned(_) => Ok(()),
        }
    }
}

/// A strided view of a storage. Offset and strides count elements.
#[derive(Clone)]
pub(super) struct Entry {
    /// How the elements lie in the file.
    pub(super) element: Element,
    pub(super) shape: Vec<usize>,
    strides: Vec<usize>,
    offset: usize,
    storage: Storage,
    /// What the elements are multiplied by.
    scale: Option<Scale>,
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

/// One more than the last element of a storage that a view reaches; `None` when that overflows.
fn reach(shape: &[usize], strides: &[usize], offset: usize) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    let last = shape.iter().zip(strides).try_fold(offset, |last, (&size, &stride)| {
        last.checked_add((size - 1).checked_mul(stride)?)
    });
    last?.checked_add(1)
}

impl Entry {
    /// A row-major tensor that fills `storage` from its begin.
    pub(super) fn contiguous(name: &str, element: Element, shape: Vec<usize>, storage: Storage) -> Result<Self> {
        let strides = row_major(&shape);
        Self::strided(name, element, shape, strides, 0, storage)
    }

    /// A view of `storage`; everything it reaches must lie inside.
    pub(super) fn strided(
        name: &str,
        element: Element,
        shape: Vec<usize>,
        strides: Vec<usize>,
        offset: usize,
        storage: Storage,
    ) -> Result<Self> {
        if strides.len() != shape.len() {
            return Err(Error::format(format!(
                "tensor {name:?}: {} strides for {} dimensions",
                strides.len(),
                shape.len()
            )));
        }
        let available = storage.len() / element.size();
        let count = element::element_count(name, &shape)?;
        if reach(&shape, &strides, offset).is_none_or(|reach| reach > available) {
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
            element,
            shape,
            strides,
            // Of a tensor without elements it may be any number.
            offset: if count == 0 { 0 } else { offset },
            storage,
            scale: None,
            origin: Arc::from(name),
        })
    }

    /// Number of elements.
    pub(super) fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// The type that the elements are handed out in. Every 8-bit float is a bf16 number; times a scale it needs f32.
    pub(super) fn dtype(&self) -> DType {
        match (self.element, &self.scale) {
            (Element::Plain(dtype), _) => dtype,
            (Element::Float8(_), None) => DType::BF16,
            (Element::Float8(_), Some(_)) => DType::F32,
        }
    }

    /// The same tensor with its values multiplied.
    pub(super) fn scaled(mut self, scale: Scale) -> Self {
        self.scale = Some(scale);
        self
    }

    /// Where the elements begin in the container, for a view of a range of it.
    pub(super) fn place(&self) -> Option<usize> {
        match &self.storage {
            Storage::Range(_, range, _) => Some(range.start + self.offset * self.element.size()),
            Storage::Owned(_) => None,
        }
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

    /// Hands the elements as they lie in the file to `sink`, row-major and little-endian, in blocks of whole elements.
    pub(super) fn raw_blocks(&self, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let (size, count) = (self.element.size(), self.count());
        if count == 0 {
            return Ok(());
        }
        if !self.is_contiguous() {
            return sink(&self.gathered()?);
        }
        let start = self.offset * size;
        match &self.storage {
            Storage::Range(backing, range, checksum) => {
                let part = range.start + start..range.start + start + count * size;
                match checksum.as_ref().filter(|checksum| !checksum.is_checked()) {
                    // The bytes pass by anyway.
                    Some(checksum) if part == *range => {
                        let mut sum = flate2::Crc::new();
                        backing.blocks(part, size, &mut |block| {
                            sum.update(block);
                            sink(block)
                        })?;
                        backing.check_unchanged()?;
                        return checksum.check(sum.sum());
                    }
                    Some(_) => self.storage.check_sum()?,
                    None => {}
                }
                backing.blocks(part, size, sink)?;
                backing.check_unchanged()
            }
            Storage::Owned(bytes) => sink(bytes.get(start..start + count * size).ok_or_else(|| self.outside())?),
        }
    }

    /// The elements of a view that does not lie in one piece.
    fn gathered(&self) -> Result<Vec<u8>> {
        self.storage.check_sum()?;
        let size = self.element.size();
        let end = reach(&self.shape, &self.strides, self.offset).ok_or_else(|| self.outside())?;
        let read = self.storage.read(self.offset * size..end * size);
        let bytes = read.ok_or_else(|| self.outside())??;
        self.storage.check_unchanged()?;
        let count = self.count();
        let mut copy = Vec::with_capacity(count * size);
        for index in 0..count {
            let at = (self.position(index) - self.offset) * size;
            copy.extend_from_slice(bytes.get(at..at + size).ok_or_else(|| self.outside())?);
        }
        Ok(copy)
    }

    fn outside(&self) -> Error {
        Error::internal(format!("tensor {:?} lies outside of its container", self.origin))
    }

    /// Hands the values to `sink` in small blocks of f32.
    fn f32_blocks(&self, sink: impl FnMut(&[f32]) -> Result<()>) -> Result<()> {
        self.seen_f32_blocks(&mut Filling::default(), sink)
    }

    /// The elements, row-major, little-endian, in the type [`Entry::dtype`]. Borrowed where they lie in memory like that.
    pub(super) fn bytes(&self) -> Result<Cow<'_, [u8]>> {
        let (size, count) = (self.element.size(), self.count());
        if count == 0 {
            return Ok(Cow::Borrowed(&[]));
        }
        if let Element::Float8(_) = self.element {
            let mut bytes = Vec::new();
            self.convert(self.dtype(), &mut |part| {
                bytes.extend_from_slice(part);
                Ok(())
            })?;
            return Ok(Cow::Owned(bytes));
        }
        if !self.is_contiguous() {
            return self.gathered().map(Cow::Owned);
        }
        self.storage.check_sum()?;
        let start = self.offset * size;
        let read = self.storage.read(start..start + count * size);
        let bytes = read.ok_or_else(|| self.outside())??;
        self.storage.check_unchanged()?;
        Ok(bytes)
    }

    /// Hands the elements as type `to` to `sink`, little-endian: the type of the tensor, or f32, f16 and bf16, rounded
    /// to nearest even.
    pub(super) fn convert(&self, to: DType, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        if self.element == Element::Plain(to) {
            return self.raw_blocks(sink);
        }
        if !matches!(to, DType::F32 | DType::F16 | DType::BF16) {
            return Err(self.no_conversion(to));
        }
        let mut buffer = Vec::new();
        self.f32_blocks(|block| {
            buffer.clear();
            match to {
                DType::F16 => buffer.extend(block.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes())),
                DType::BF16 => buffer.extend(block.iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes())),
                _ => buffer.extend(block.iter().flat_map(|value| value.to_le_bytes())),
            }
            sink(&buffer)
        })
    }

    fn no_conversion(&self, to: DType) -> Error {
        Error::unsupported(format!(
            "tensor {:?}: conversion from {} to {to:?} (f32, f16 and bf16 are possible)",
            self.origin,
            self.element.name()
        ))
    }

    /// A candle tensor of type `to` on `device`. The same type is copied bit by bit; others go through f32 and are
    /// rounded to nearest even. Only f32, f16 and bf16 are targets of a conversion. `filling` sees the raw elements.
    pub(super) fn to_tensor(&self, to: DType, device: &Device, filling: Option<&mut Filling>) -> Result<Tensor> {
        let count = self.count();
        let shape = self.shape.as_slice();
        let mut unseen = Filling::default();
        let filling = filling.unwrap_or(&mut unseen);
        let raw = self.element == Element::Plain(to);
        macro_rules! read_raw {
            ($type:ty, $bytes:literal) => {{
                let mut values = Vec::<$type>::with_capacity(count);
                self.raw_blocks(&mut |block| {
                    filling.see(block, self.element);
                    let value = |c: &[u8]| <$type>::from_le_bytes(std::array::from_fn::<u8, $bytes, _>(|i| c[i]));
                    values.extend(block.chunks_exact($bytes).map(value));
                    Ok(())
                })?;
                Tensor::from_vec(values, shape, device)?
            }};
        }
        macro_rules! read_halves {
            ($type:ty) => {{
                let mut values = Vec::<$type>::with_capacity(count);
                self.seen_f32_blocks(filling, |block| {
                    let start = values.len();
                    values.resize(start + block.len(), <$type>::ZERO);
                    values[start..].convert_from_f32_slice(block);
                    Ok(())
                })?;
                Tensor::from_vec(values, shape, device)?
            }};
        }
        Ok(match (to, raw) {
            (DType::F32, true) => read_raw!(f32, 4),
            (DType::F16, true) => read_raw!(f16, 2),
            (DType::BF16, true) => read_raw!(bf16, 2),
            (_, true) => Tensor::from_raw_buffer(&self.bytes()?, to, shape, device)?,
            (DType::F32, false) => {
                let mut values = Vec::<f32>::with_capacity(count);
                self.seen_f32_blocks(filling, |block| {
                    values.extend_from_slice(block);
                    Ok(())
                })?;
                Tensor::from_vec(values, shape, device)?
            }
            (DType::F16, false) => read_halves!(f16),
            (DType::BF16, false) => read_halves!(bf16),
            _ => return Err(self.no_conversion(to)),
        })
    }

    /// The elements `indices` of the row-major order as f32, rounded to nearest even.
    pub(super) fn scalars(&self, indices: &[usize]) -> Result<Vec<f32>> {
        /// Up to this size a tensor is read as a whole: fewer calls than elements.
        const SMALL: usize = 64 << 10;
        if indices.is_empty() {
            return Ok(Vec::new());
        }
        let size = self.element.size();
        let value = |bytes: &[u8], index: usize| {
            let value = element::scalar_f32(bytes, self.element).ok_or_else(|| self.outside())?;
            Ok(self
                .scale
                .as_ref()
                .map_or(value, |scale| value * scale.of(index, &self.shape)))
        };
        let small = self.count().saturating_mul(size) <= SMALL && self.is_contiguous();
        let start = self.offset * size;
        let whole = match small {
            true => Some(
                self.storage
                    .read(start..start + self.count() * size)
                    .ok_or_else(|| self.outside())??,
            ),
            false => None,
        };
        let values = indices.iter().map(|&index| {
            if index >= self.count() {
                return Err(self.outside());
            }
            let at = self.position(index) * size;
            match &whole {
                Some(bytes) => value(
                    bytes.get(at - start..at - start + size).ok_or_else(|| self.outside())?,
                    index,
                ),
                None => value(&self.storage.read(at..at + size).ok_or_else(|| self.outside())??, index),
            }
        });
        let values = values.collect::<Result<_>>()?;
        self.storage.check_unchanged()?;
        Ok(values)
    }

    /// At most `count` elements of the row-major order from `start` on, as f32.
    pub(super) fn run(&self, start: usize, count: usize) -> Result<Vec<f32>> {
        let end = start.saturating_add(count).min(self.count());
        let indices: Vec<usize> = (start..end).collect();
        if !self.is_contiguous() || indices.is_empty() {
            return self.scalars(&indices);
        }
        let size = self.element.size();
        let place = (self.offset + start) * size..(self.offset + end) * size;
        let bytes = self.storage.read(place).ok_or_else(|| self.outside())??;
        let values = bytes.chunks_exact(size).zip(&indices).map(|(bytes, &index)| {
            let value = element::scalar_f32(bytes, self.element).ok_or_else(|| self.outside())?;
            Ok(self
                .scale
                .as_ref()
                .map_or(value, |scale| value * scale.of(index, &self.shape)))
        });
        let values = values.collect::<Result<_>>()?;
        self.storage.check_unchanged()?;
        Ok(values)
    }

    /// [`Entry::f32_blocks`], whose raw elements `filling` sees.
    fn seen_f32_blocks(&self, filling: &mut Filling, mut sink: impl FnMut(&[f32]) -> Result<()>) -> Result<()> {
        let mut widening = Widening::new(self.element);
        let mut index = 0;
        self.raw_blocks(&mut |raw| {
            filling.see(raw, self.element);
            let mut outcome = Ok(());
            widening.widen(raw, |block| {
                if let Some(scale) = &self.scale {
                    scale.apply(block, index, &self.shape);
                }
                index += block.len();
                if outcome.is_ok() {
                    outcome = sink(block);
                }
            });
            outcome
        })
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

    /// Rows `start..start + rows` of the first dimension, which must hold them.
    pub(super) fn rows(&self, start: usize, rows: usize) -> Option<Self> {
        let end = start.checked_add(rows)?;
        if end > *self.shape.first()? {
            return None;
        }
        let mut part = self.clone();
        part.shape[0] = rows;
        part.offset += start * self.strides[0];
        part.scale = part.scale.map(|scale| scale.rows(start));
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
        other.scale = other.scale.map(Scale::transposed);
        Some(other)
    }

    /// The same elements without the leading dimensions of size 1, down to `rank` dimensions; `None` when more would
    /// have to go, or when a scale belongs to the rows.
    pub(super) fn squeezed(&self, rank: usize) -> Option<Self> {
        let drop = self.shape.len().checked_sub(rank)?;
        if self.shape.iter().take(drop).any(|&size| size != 1) || (drop > 0 && self.scale.is_some()) {
            return None;
        }
        let mut other = self.clone();
        other.shape.drain(..drop);
        other.strides.drain(..drop);
        Some(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const U8: Element = Element::Plain(DType::U8);

    fn owned(bytes: Vec<u8>) -> Storage {
        Storage::Owned(Arc::new(bytes))
    }

    #[test]
    fn strided_views_are_copied_in_row_major_order() {
        let storage = owned((0..24).collect());
        let matrix = Entry::contiguous("m", U8, vec![4, 6], storage.clone()).unwrap();
        assert!(matches!(matrix.bytes().unwrap(), Cow::Borrowed(_)));
        let transposed = matrix.transposed().unwrap();
        assert_eq!(transposed.shape, [6, 4]);
        let expected: Vec<u8> = (0..6).flat_map(|c| (0..4).map(move |r| r * 6 + c)).collect();
        assert_eq!(*transposed.bytes().unwrap(), expected);
        assert_eq!(transposed.scalars(&[1]).unwrap(), [6.0]);
        let rows = matrix.rows(1, 2).unwrap();
        assert_eq!(*rows.bytes().unwrap(), (6..18).collect::<Vec<u8>>());
        assert!(matrix.rows(3, 2).is_none());
        let every_other = Entry::strided("s", U8, vec![2, 3], vec![12, 2], 1, storage).unwrap();
        assert_eq!(*every_other.bytes().unwrap(), [1, 3, 5, 13, 15, 17]);
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
                Entry::strided("t", U8, shape.clone(), strides, offset, storage).is_err(),
                "{shape:?}"
            );
        }
        let empty = Entry::strided("t", U8, vec![0, 7], vec![7, 1], 0, owned(vec![])).unwrap();
        assert!(empty.bytes().unwrap().is_empty());
    }
}
