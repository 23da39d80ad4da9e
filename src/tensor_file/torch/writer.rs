//! Writing tensors the way `torch.save` does, without Python.
//!
//! The file is a zip archive of stored entries: `data.pkl`, a pickle program of a fixed form, and `data/{i}`, the
//! elements of each tensor. The program uses only what `torch.load(weights_only=True)` admits:
//! `torch._utils._rebuild_tensor_v2`, a storage class and `collections.OrderedDict`.

use crate::error::{Error, Result};
use crate::precision::Precision;
use half::{bf16, f16};
use std::io::{Cursor, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Values of a tensor, row by row, and its dimensions, outermost first.
#[derive(Debug, Clone, PartialEq)]
pub struct DenseTensor {
    /// Dimensions.
    pub shape: Vec<usize>,
    /// As many values as the dimensions say.
    pub values: Vec<f32>,
}

/// What the file's only object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TorchObject {
    /// The tensor itself.
    Tensor,
    /// A list of tensors.
    List,
}

/// The bytes of a file that `torch.load(weights_only=True)` reads.
///
/// The same input gives the same bytes.
///
/// # Errors
/// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) when a shape does not fit its values, when
/// [`TorchObject::Tensor`] is asked for and there is not exactly one tensor, or for a number type that files do not have.
pub fn torch_to_bytes(tensors: &[DenseTensor], object: TorchObject, precision: Precision) -> Result<Vec<u8>> {
    if object == TorchObject::Tensor && tensors.len() != 1 {
        return Err(Error::invalid(format!(
            "PyTorch file: one tensor expected, {} given",
            tensors.len()
        )));
    }
    for tensor in tensors {
        let count = tensor
            .shape
            .iter()
            .try_fold(1usize, |product, &size| product.checked_mul(size));
        if count != Some(tensor.values.len()) {
            return Err(Error::invalid(format!(
                "PyTorch file: shape {:?} does not hold {} values",
                tensor.shape,
                tensor.values.len()
            )));
        }
    }
    let precision = precision.stored()?;
    let mut archive = Archive {
        zip: ZipWriter::new(Cursor::new(Vec::new())),
    };
    archive.entry("data.pkl", &pickle(tensors, object, precision)?)?;
    archive.entry("byteorder", b"little")?;
    for (index, tensor) in tensors.iter().enumerate() {
        archive.entry(&format!("data/{index}"), &elements(&tensor.values, precision))?;
    }
    archive.entry("version", b"3\n")?;
    Ok(archive.zip.finish().map_err(failed)?.into_inner())
}

/// The archive being written. All entries lie in the folder `archive`, as PyTorch's own do.
struct Archive {
    zip: ZipWriter<Cursor<Vec<u8>>>,
}

impl Archive {
    fn entry(&mut self, name: &str, content: &[u8]) -> Result<()> {
        /// PyTorch aligns the elements to this many bytes, so that they can be memory-mapped.
        const ALIGNMENT: u16 = 64;
        /// From this size on, a zip entry needs 64-bit sizes.
        const LARGE: usize = u32::MAX as usize;
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            // The same bytes on every system.
            .system(zip::System::Unix)
            .last_modified_time(zip::DateTime::default())
            .large_file(content.len() >= LARGE)
            .with_alignment(ALIGNMENT);
        self.zip
            .start_file(format!("archive/{name}"), options)
            .map_err(failed)?;
        self.zip.write_all(content).map_err(failed)
    }
}

/// Writing to memory fails only for sizes that the format cannot express.
fn failed(error: impl std::fmt::Display) -> Error {
    Error::internal(format!("writing a PyTorch file: {error}"))
}

fn elements(values: &[f32], precision: Precision) -> Vec<u8> {
    match precision {
        Precision::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        Precision::F16 => values
            .iter()
            .flat_map(|&value| f16::from_f32(value).to_le_bytes())
            .collect(),
        Precision::Bf16 | Precision::Int8 => values
            .iter()
            .flat_map(|&value| bf16::from_f32(value).to_le_bytes())
            .collect(),
    }
}

/// The pickle program, protocol 2. The tensors share no objects, so it needs no memo.
fn pickle(tensors: &[DenseTensor], object: TorchObject, precision: Precision) -> Result<Vec<u8>> {
    let storage = match precision {
        Precision::F32 => "FloatStorage",
        Precision::F16 => "HalfStorage",
        Precision::Bf16 | Precision::Int8 => "BFloat16Storage",
    };
    let mut program = vec![0x80, 2];
    if object == TorchObject::List {
        program.push(b']');
    }
    for (index, tensor) in tensors.iter().enumerate() {
        program.extend_from_slice(b"ctorch._utils\n_rebuild_tensor_v2\n(");
        // The persistent id: ("storage", class, key, location, number of elements).
        program.push(b'(');
        push_text(&mut program, "storage")?;
        program.extend_from_slice(format!("ctorch\n{storage}\n").as_bytes());
        push_text(&mut program, &index.to_string())?;
        push_text(&mut program, "cpu")?;
        push_integer(&mut program, tensor.values.len())?;
        program.extend_from_slice(b"tQ");
        push_integer(&mut program, 0)?;
        push_tuple(&mut program, &tensor.shape)?;
        push_tuple(&mut program, &strides(&tensor.shape))?;
        // requires_grad False, no backward hooks.
        program.push(0x89);
        program.extend_from_slice(b"ccollections\nOrderedDict\n)RtR");
        if object == TorchObject::List {
            program.push(b'a');
        }
    }
    program.push(b'.');
    Ok(program)
}

/// Elements between neighbours along each dimension, for rows one after the other.
fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for index in (1..shape.len()).rev() {
        strides[index - 1] = strides[index] * shape[index].max(1);
    }
    strides
}

fn push_text(program: &mut Vec<u8>, text: &str) -> Result<()> {
    let length = u32::try_from(text.len()).map_err(failed)?;
    program.push(b'X');
    program.extend_from_slice(&length.to_le_bytes());
    program.extend_from_slice(text.as_bytes());
    Ok(())
}

/// Integers up to 2³¹ − 1 as BININT, larger ones as LONG1.
fn push_integer(program: &mut Vec<u8>, value: usize) -> Result<()> {
    match i32::try_from(value) {
        Ok(small) => {
            program.push(b'J');
            program.extend_from_slice(&small.to_le_bytes());
        }
        Err(_) => {
            let large = i64::try_from(value).map_err(failed)?;
            program.extend_from_slice(&[0x8a, 8]);
            program.extend_from_slice(&large.to_le_bytes());
        }
    }
    Ok(())
}

fn push_tuple(program: &mut Vec<u8>, values: &[usize]) -> Result<()> {
    program.push(b'(');
    for &value in values {
        push_integer(program, value)?;
    }
    program.push(b't');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(shape: &[usize]) -> DenseTensor {
        let count = shape.iter().product::<usize>();
        DenseTensor {
            shape: shape.to_vec(),
            values: (0..count).map(|i| i as f32 * 0.25 - 1.0).collect(),
        }
    }

    /// Bytes that `torch.load(weights_only=True)` of PyTorch 2.15 read back equal; see `tests/parity/exports.py`.
    #[test]
    fn the_bytes_are_those_that_pytorch_accepted() {
        let golden = include_bytes!("../../../tests/fixtures/exports/list_f32.pt");
        let bytes = torch_to_bytes(
            &[tensor(&[2, 1, 3, 2]), tensor(&[1, 2])],
            TorchObject::List,
            Precision::F32,
        );
        assert_eq!(bytes.unwrap(), golden);
        let golden = include_bytes!("../../../tests/fixtures/exports/tensor_bf16.pt");
        let bytes = torch_to_bytes(&[tensor(&[1, 2, 5])], TorchObject::Tensor, Precision::Bf16);
        assert_eq!(bytes.unwrap(), golden);
    }

    #[test]
    fn elements_are_aligned() {
        let bytes = torch_to_bytes(&[tensor(&[3]), tensor(&[7])], TorchObject::List, Precision::F16).unwrap();
        let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        for name in ["archive/data/0", "archive/data/1"] {
            let entry = archive.by_name(name).unwrap();
            assert_eq!(entry.data_start().unwrap() % 64, 0, "{name}");
        }
    }

    #[test]
    fn shapes_must_fit() {
        let lying = DenseTensor {
            shape: vec![2, 3],
            values: vec![0.0; 5],
        };
        let error = torch_to_bytes(&[lying], TorchObject::Tensor, Precision::F32).unwrap_err();
        assert!(error.message().contains("[2, 3] does not hold 5"), "{error}");
        let error = torch_to_bytes(&[], TorchObject::Tensor, Precision::F32).unwrap_err();
        assert!(error.message().contains("0 given"), "{error}");
    }
}
