//! Element types of files, and their conversion while copying.

use crate::error::{Error, Result};
use candle_core::{DType, Device, Tensor};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// Elements converted at a time: the f32 detour of a block stays in the first-level cache.
const BLOCK: usize = 2048;

/// Bytes per element of the types that checkpoints may hold; `None` for any other type.
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

/// The candle type of a safetensors type; `None` where candle has no equal.
pub(super) fn from_safetensors(dtype: safetensors::Dtype) -> Option<DType> {
    use safetensors::Dtype;
    Some(match dtype {
        Dtype::U8 | Dtype::BOOL => DType::U8,
        Dtype::I16 => DType::I16,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::U32 => DType::U32,
        Dtype::I32 => DType::I32,
        Dtype::F32 => DType::F32,
        Dtype::I64 => DType::I64,
        Dtype::F64 => DType::F64,
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

/// One little-endian element as f64, for the types of [`element_size`].
fn scalar(bytes: &[u8], dtype: DType) -> Option<f64> {
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
pub(super) fn scalar_f32(bytes: &[u8], dtype: DType) -> Option<f32> {
    scalar(bytes, dtype).map(|value| value as f32)
}

/// Widens a block of at most [`BLOCK`] elements to f32.
fn widen(bytes: &[u8], dtype: DType, block: &mut Vec<f32>, bits: &mut Vec<u16>) {
    block.clear();
    match dtype {
        DType::F32 => {
            let value = |c: &[u8]| f32::from_le_bytes([c[0], c[1], c[2], c[3]]);
            block.extend(bytes.chunks_exact(4).map(value));
        }
        DType::F16 | DType::BF16 => {
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
        _ => {
            let size = element_size(dtype).unwrap_or(1);
            block.extend(bytes.chunks_exact(size).filter_map(|c| scalar_f32(c, dtype)));
        }
    }
}

/// Converts little-endian elements of type `from` block by block, handing each f32 block to `sink`.
fn for_each_block(bytes: &[u8], from: DType, mut sink: impl FnMut(&[f32])) {
    let size = element_size(from).unwrap_or(1);
    let (mut block, mut bits) = (Vec::with_capacity(BLOCK), Vec::with_capacity(BLOCK));
    for part in bytes.chunks(BLOCK * size) {
        widen(part, from, &mut block, &mut bits);
        sink(&block);
    }
}

fn unsupported(name: &str, from: DType, to: DType) -> Error {
    Error::unsupported(format!(
        "tensor {name:?}: conversion from {from:?} to {to:?} (f32, f16 and bf16 are possible)"
    ))
}

/// A candle tensor of type `to` on `device` from little-endian elements of type `from`.
///
/// `bytes` holds exactly the elements of `shape`. Same types are copied bit by bit; others go through f32 and are
/// rounded to nearest even. Only f32, f16 and bf16 are targets of a conversion.
pub(super) fn to_tensor(
    name: &str,
    bytes: &[u8],
    from: DType,
    shape: &[usize],
    to: DType,
    device: &Device,
) -> Result<Tensor> {
    let count = element_count(name, shape)?;
    let size = element_size(from).ok_or_else(|| unsupported(name, from, to))?;
    if count.checked_mul(size) != Some(bytes.len()) {
        return Err(Error::internal(format!(
            "tensor {name:?}: {} bytes for shape {shape:?} of {from:?}",
            bytes.len()
        )));
    }
    if from == to {
        return Ok(Tensor::from_raw_buffer(bytes, from, shape, device)?);
    }
    let tensor = match to {
        DType::F32 => {
            let mut values = Vec::<f32>::with_capacity(count);
            for_each_block(bytes, from, |block| values.extend_from_slice(block));
            Tensor::from_vec(values, shape, device)
        }
        DType::F16 => {
            let mut values = Vec::<f16>::with_capacity(count);
            for_each_block(bytes, from, |block| {
                let start = values.len();
                values.resize(start + block.len(), f16::ZERO);
                values[start..].convert_from_f32_slice(block);
            });
            Tensor::from_vec(values, shape, device)
        }
        DType::BF16 => {
            let mut values = Vec::<bf16>::with_capacity(count);
            for_each_block(bytes, from, |block| {
                let start = values.len();
                values.resize(start + block.len(), bf16::ZERO);
                values[start..].convert_from_f32_slice(block);
            });
            Tensor::from_vec(values, shape, device)
        }
        _ => return Err(unsupported(name, from, to)),
    };
    Ok(tensor?)
}

/// Writes little-endian elements of type `from` to `out` as type `to`, block by block.
pub(super) fn write_converted(
    name: &str,
    bytes: &[u8],
    from: DType,
    to: DType,
    out: &mut dyn std::io::Write,
) -> Result<std::io::Result<()>> {
    if from == to {
        return Ok(out.write_all(bytes));
    }
    if element_size(from).is_none() || !matches!(to, DType::F32 | DType::F16 | DType::BF16) {
        return Err(unsupported(name, from, to));
    }
    let mut outcome = Ok(());
    let mut buffer = Vec::with_capacity(BLOCK * 4);
    for_each_block(bytes, from, |block| {
        if outcome.is_err() {
            return;
        }
        buffer.clear();
        for &value in block {
            match to {
                DType::F16 => buffer.extend_from_slice(&f16::from_f32(value).to_le_bytes()),
                DType::BF16 => buffer.extend_from_slice(&bf16::from_f32(value).to_le_bytes()),
                _ => buffer.extend_from_slice(&value.to_le_bytes()),
            }
        }
        outcome = out.write_all(&buffer);
    });
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_survives_the_way_to_f32_and_back() {
        let bits: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        let wide = to_tensor("x", &bits, DType::F16, &[65536], DType::F32, &Device::Cpu).unwrap();
        let wide = wide.to_vec1::<f32>().unwrap();
        for (index, value) in wide.iter().enumerate() {
            let expected = f16::from_bits(index as u16).to_f32();
            assert!(
                value.to_bits() == expected.to_bits() || (value.is_nan() && expected.is_nan()),
                "{index:#x}"
            );
        }
        let bytes: Vec<u8> = wide.iter().flat_map(|v| v.to_le_bytes()).collect();
        let back = to_tensor("x", &bytes, DType::F32, &[65536], DType::F16, &Device::Cpu).unwrap();
        for (index, value) in back.to_vec1::<f16>().unwrap().iter().enumerate() {
            let expected = f16::from_bits(index as u16);
            assert!(
                value.to_bits() == index as u16 || (value.is_nan() && expected.is_nan()),
                "{index:#x}"
            );
        }
    }

    #[test]
    fn conversion_in_blocks_equals_candle() {
        let values: Vec<f32> = (0..5000)
            .map(|i| ((i * 7919) as f32).sin() * 10f32.powi(i % 9 - 4))
            .collect();
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let source = Tensor::from_vec(values, 5000, &Device::Cpu).unwrap();
        for to in [DType::F16, DType::BF16, DType::F32] {
            let got = to_tensor("x", &bytes, DType::F32, &[5000], to, &Device::Cpu).unwrap();
            let expected = source.to_dtype(to).unwrap();
            let wide = |t: &Tensor| t.to_dtype(DType::F32).unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(wide(&got), wide(&expected));
            let mut written = Vec::new();
            write_converted("x", &bytes, DType::F32, to, &mut written)
                .unwrap()
                .unwrap();
            let again = to_tensor("x", &written, to, &[5000], DType::F32, &Device::Cpu).unwrap();
            assert_eq!(again.to_vec1::<f32>().unwrap(), wide(&expected));
        }
    }

    #[test]
    fn integers_and_doubles_become_floats() {
        let bytes: Vec<u8> = [-3i64, 70000, 0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let got = to_tensor("x", &bytes, DType::I64, &[3], DType::F32, &Device::Cpu).unwrap();
        assert_eq!(got.to_vec1::<f32>().unwrap(), [-3.0, 70000.0, 0.0]);
        let bytes: Vec<u8> = [0.1f64, -1e300].iter().flat_map(|v| v.to_le_bytes()).collect();
        let got = to_tensor("x", &bytes, DType::F64, &[2], DType::F32, &Device::Cpu).unwrap();
        assert_eq!(got.to_vec1::<f32>().unwrap(), [0.1, f32::NEG_INFINITY]);
    }
}
