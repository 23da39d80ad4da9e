//! Element types of files, and their conversion to f32 block by block.

use super::float8::Float8;
use crate::error::{Error, Result};
use crate::remedy;
use candle_core::DType;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// Elements converted at a time: the f32 detour of a block stays in the first-level cache.
const BLOCK: usize = 2048;

/// The type of an element as it lies in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    /// One of the types of [`element_size`].
    Plain(DType),
    /// An 8-bit float.
    Float8(Float8),
}

impl Element {
    /// Bytes per element.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Plain(dtype) => element_size(dtype).unwrap_or(1),
            Self::Float8(_) => 1,
        }
    }

    /// The name that safetensors gives the type, such as `F16`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain(dtype) => type_name(dtype).unwrap_or("other"),
            Self::Float8(kind) => kind.name(),
        }
    }

    /// The type of a safetensors file.
    ///
    /// # Errors
    /// `Unsupported` for one that is not read.
    pub(super) fn from_safetensors(dtype: safetensors::Dtype) -> Result<Self> {
        use safetensors::Dtype;
        Ok(Self::Plain(match dtype {
            Dtype::U8 | Dtype::BOOL => DType::U8,
            Dtype::I16 => DType::I16,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            Dtype::U32 => DType::U32,
            Dtype::I32 => DType::I32,
            Dtype::F32 => DType::F32,
            Dtype::I64 => DType::I64,
            Dtype::F64 => DType::F64,
            Dtype::F8_E4M3 => return Ok(Self::Float8(Float8::E4m3)),
            Dtype::F8_E5M2 => return Ok(Self::Float8(Float8::E5m2)),
            other => return Err(not_read(&other.to_string())),
        }))
    }
}

/// The error for an element type that is not read.
pub(super) fn not_read(name: &str) -> Error {
    Error::unsupported(format!(
        "has elements of type {name}, expected weights of type F32, F16, BF16, F64, F8_E4M3 or F8_E5M2"
    ))
    .with_remedy(remedy::UNQUANTISED)
}

/// Bytes per element of the types that tensors are handed out in; `None` for any other type.
pub(super) fn element_size(dtype: DType) -> Option<usize> {
    match dtype {
        DType::U8 => Some(1),
        DType::I16 | DType::F16 | DType::BF16 => Some(2),
        DType::U32 | DType::I32 | DType::F32 => Some(4),
        DType::I64 | DType::F64 => Some(8),
        _ => None,
    }
}

/// Whether `dtype` is one of the types that weights come in.
pub(super) fn is_float(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16 | DType::F32 | DType::F64)
}

/// The safetensors name of a type, such as `F16`.
pub(super) fn type_name(dtype: DType) -> Option<&'static str> {
    Some(match dtype {
        DType::U8 => "U8",
        DType::I16 => "I16",
        DType::F16 => "F16",
        DType::BF16 => "BF16",
        DType::U32 => "U32",
        DType::I32 => "I32",
        DType::F32 => "F32",
        DType::I64 => "I64",
        DType::F64 => "F64",
        _ => return None,
    })
}

/// Elements of `shape`, or an error naming `name` when the product overflows.
pub(super) fn element_count(name: &str, shape: &[usize]) -> Result<usize> {
    shape
        .iter()
        .try_fold(1usize, |product, &size| product.checked_mul(size))
        .ok_or_else(|| Error::format(format!("tensor {name:?}: shape {shape:?} has too many elements")))
}

/// One little-endian element as f64.
fn scalar(bytes: &[u8], element: Element) -> Option<f64> {
    let dtype = match element {
        Element::Plain(dtype) => dtype,
        Element::Float8(kind) => return Some(f64::from(kind.value(*bytes.first()?))),
    };
    Some(match dtype {
        DType::U8 => f64::from(*bytes.first()?),
        DType::I16 => f64::from(i16::from_le_bytes(bytes.try_into().ok()?)),
        DType::F16 => f16::from_le_bytes(bytes.try_into().ok()?).to_f64(),
        DType::BF16 => bf16::from_le_bytes(bytes.try_into().ok()?).to_f64(),
        DType::U32 => f64::from(u32::from_le_bytes(bytes.try_into().ok()?)),
        DType::I32 => f64::from(i32::from_le_bytes(bytes.try_into().ok()?)),
        DType::F32 => f64::from(f32::from_le_bytes(bytes.try_into().ok()?)),
        DType::I64 => i64::from_le_bytes(bytes.try_into().ok()?) as f64,
        DType::F64 => f64::from_le_bytes(bytes.try_into().ok()?),
        _ => return None,
    })
}

/// One little-endian element as f32, rounded to nearest even.
pub(super) fn scalar_f32(bytes: &[u8], element: Element) -> Option<f32> {
    scalar(bytes, element).map(|value| value as f32)
}

/// Converts little-endian elements to f32 in small blocks.
pub(super) struct Widening {
    element: Element,
    block: Vec<f32>,
    bits: Vec<u16>,
}

impl Widening {
    pub(super) fn new(element: Element) -> Self {
        Self {
            element,
            block: Vec::with_capacity(BLOCK),
            bits: Vec::with_capacity(BLOCK),
        }
    }

    /// Hands the elements of `bytes`, a whole number of them, to `sink`.
    pub(super) fn widen(&mut self, bytes: &[u8], mut sink: impl FnMut(&mut [f32])) {
        for part in bytes.chunks(BLOCK * self.element.size()) {
            self.block(part);
            sink(&mut self.block);
        }
    }

    /// Widens at most [`BLOCK`] elements.
    fn block(&mut self, bytes: &[u8]) {
        let Self { element, block, bits } = self;
        block.clear();
        match *element {
            Element::Float8(kind) => {
                let table = kind.values();
                block.extend(bytes.iter().map(|&code| table[usize::from(code)]));
            }
            Element::Plain(DType::F32) => {
                let value = |c: &[u8]| f32::from_le_bytes([c[0], c[1], c[2], c[3]]);
                block.extend(bytes.chunks_exact(4).map(value));
            }
            Element::Plain(dtype @ (DType::F16 | DType::BF16)) => {
                bits.clear();
                bits.extend(bytes.chunks_exact(2).map(|c| u16::from_le_bytes([c[0], c[1]])));
                block.resize(bits.len(), 0.0);
                if dtype == DType::F16 {
                    let halves: &[f16] = half::slice::HalfBitsSliceExt::reinterpret_cast(bits.as_slice());
                    halves.convert_to_f32_slice(block);
                } else {
                    let halves: &[bf16] = half::slice::HalfBitsSliceExt::reinterpret_cast(bits.as_slice());
                    halves.convert_to_f32_slice(block);
                }
            }
            Element::Plain(_) => {
                let size = element.size();
                block.extend(bytes.chunks_exact(size).filter_map(|c| scalar_f32(c, *element)));
            }
        }
    }
}
