//! What the rows of one role get: tokens in blocks, repeated and rearranged into a buffer.

use crate::error::{Error, Result};
use crate::precision::Precision;
use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use omniid_kernels::KeyValue;

/// Blocks of tokens, each with a softmax of its own.
pub(super) struct Rows<'a> {
    pub(super) blocks: Vec<Block<'a>>,
}

/// Tokens that share a softmax: of one person or of several, then tokens of zeros.
#[derive(Default)]
pub(super) struct Block<'a> {
    /// Keys and values `[tokens, heads · head_dim]` each, with the factor of the values.
    parts: Vec<(&'a KeyValue<Tensor>, f32)>,
    tokens: usize,
    zeros: usize,
}

/// Which half of a pair.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Half {
    Keys,
    Values,
}

impl<'a> Rows<'a> {
    /// Number of tokens of each block that has some.
    pub(super) fn lengths(&self) -> impl Iterator<Item = usize> + '_ {
        self.blocks.iter().map(Block::len).filter(|count| *count > 0)
    }

    /// The numbers of one half, one list `[tokens, heads · head_dim]` for each block; empty for zeros.
    pub(super) fn values(&self, half: Half) -> Result<Vec<Vec<f32>>> {
        self.blocks.iter().map(|block| block.values(half)).collect()
    }
}

impl<'a> Block<'a> {
    pub(super) fn push(&mut self, pair: &'a KeyValue<Tensor>, factor: f32) -> Result<()> {
        self.tokens += pair.keys.dim(0)?;
        self.parts.push((pair, factor));
        Ok(())
    }

    /// Adds tokens with zero keys and values to those that are there.
    pub(super) fn push_zeros(&mut self, count: usize) {
        if !self.parts.is_empty() {
            self.zeros += count;
        }
    }

    /// One block of all parts.
    pub(super) fn joined(blocks: Vec<Self>) -> Self {
        let mut joined = Self::default();
        for block in blocks {
            joined.tokens += block.tokens;
            joined.parts.extend(block.parts);
        }
        joined
    }

    fn len(&self) -> usize {
        self.tokens + self.zeros
    }

    /// The numbers of one half, with the factors, f32.
    fn values(&self, half: Half) -> Result<Vec<f32>> {
        let mut all = Vec::new();
        let mut width = 0;
        for (pair, factor) in &self.parts {
            let (tensor, factor) = match half {
                Half::Keys => (&pair.keys, 1.0),
                Half::Values => (&pair.values, *factor),
            };
            width = tensor.dim(1)?;
            let before = all.len();
            all.extend(numbers(tensor)?);
            if factor != 1.0 {
                all[before..].iter_mut().for_each(|value| *value *= factor);
            }
        }
        all.resize(all.len() + self.zeros * width, 0.0);
        Ok(all)
    }
}

/// A tensor's numbers, row by row.
pub(super) fn numbers(tensor: &Tensor) -> Result<Vec<f32>> {
    let tensor = tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
    Ok(tensor.flatten_all()?.to_vec1()?)
}

/// Writes blocks `[count, heads · width]` as `[heads, tokens, width]`: each block repeated to its equal share of the
/// tokens, empty blocks as zeros.
pub(super) fn write_blocks(blocks: &[Vec<f32>], [heads, tokens, width]: [usize; 3], to: Precision, out: &mut [u8]) {
    let inner = heads * width;
    let share = (tokens / blocks.len().max(1)).max(1);
    let size = width * to.dtype().size_in_bytes();
    for (index, place) in out.chunks_exact_mut(size.max(1)).enumerate() {
        let (head, token) = (index / tokens.max(1), index % tokens.max(1));
        let block = blocks.get(token / share).map_or(&[][..], Vec::as_slice);
        let count = (block.len() / inner.max(1)).max(1);
        let from = (token % share % count) * inner + head * width;
        match block.get(from..from + width) {
            Some(row) => write(row, to, place),
            None => place.fill(0),
        }
    }
}

/// Writes numbers in another type.
pub(super) fn write(values: &[f32], to: Precision, out: &mut [u8]) {
    match to {
        Precision::F32 => each(values, out, |value| value.to_ne_bytes()),
        Precision::F16 => each(values, out, |value| f16::from_f32(value).to_ne_bytes()),
        Precision::Bf16 | Precision::Int8 => each(values, out, |value| bf16::from_f32(value).to_ne_bytes()),
    }
}

fn each<const SIZE: usize>(values: &[f32], out: &mut [u8], convert: impl Fn(f32) -> [u8; SIZE]) {
    for (value, place) in values.iter().zip(out.chunks_exact_mut(SIZE)) {
        place.copy_from_slice(&convert(*value));
    }
}

/// Refuses numbers that the graph's type cannot hold.
pub(super) fn check_range(values: &[f32], to: Precision, what: &str) -> Result<()> {
    let fits = |value: f32| match to {
        Precision::F32 => value.is_finite(),
        Precision::F16 => f16::from_f32(value).is_finite(),
        Precision::Bf16 | Precision::Int8 => bf16::from_f32(value).is_finite(),
    };
    match values.iter().find(|value| !fits(**value)) {
        Some(value) => Err(Error::unsupported(format!(
            "{what}: the number {value} does not fit into {to}, the number type of the graph"
        ))),
        None => Ok(()),
    }
}
