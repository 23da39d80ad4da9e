//! Writing safetensors files: tensor by tensor, atomically.
//!
//! The layout is that of the `safetensors` library: tensors sorted by descending element size, then by name, so
//! that all are aligned; the header padded with spaces to a multiple of eight bytes.

use super::element;
use super::Checkpoint;
use crate::error::{Error, Result};
use candle_core::{DType, Device, Tensor};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

/// Largest header that readers of the format accept.
const MAX_HEADER: usize = 100_000_000;

/// One tensor to be written: its name, type and shape, and where its elements come from.
///
/// Elements are fetched and converted only while they are written.
#[derive(Debug, Clone)]
pub struct OutputTensor {
    name: String,
    dtype: DType,
    shape: Vec<usize>,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    Tensor(Tensor),
    Checkpoint(Checkpoint, String),
}

impl OutputTensor {
    /// A tensor in memory or on a GPU, in its own type.
    pub fn new(name: impl Into<String>, tensor: &Tensor) -> Self {
        Self {
            name: name.into(),
            dtype: tensor.dtype(),
            shape: tensor.dims().to_vec(),
            source: Source::Tensor(tensor.clone()),
        }
    }

    /// The tensor `key` of a checkpoint, written as `name` and converted to `dtype` (`None` keeps its type).
    ///
    /// # Errors
    /// `Format` when the checkpoint has no such tensor.
    pub fn from_checkpoint(
        name: impl Into<String>,
        checkpoint: &Checkpoint,
        key: &str,
        dtype: Option<DType>,
    ) -> Result<Self> {
        let info = checkpoint.require(key)?;
        Ok(Self {
            name: name.into(),
            dtype: dtype.unwrap_or(info.dtype),
            shape: info.shape,
            source: Source::Checkpoint(checkpoint.clone(), key.to_string()),
        })
    }

    /// Every floating-point tensor of a checkpoint as `dtype`, the others (such as position ids) in their own type.
    ///
    /// # Errors
    /// As [`OutputTensor::from_checkpoint`].
    pub fn all_of(checkpoint: &Checkpoint, dtype: Option<DType>) -> Result<Vec<Self>> {
        checkpoint
            .tensors
            .iter()
            .map(|(name, entry)| {
                let dtype = dtype.filter(|_| element::is_float(entry.dtype()));
                Self::from_checkpoint(name, checkpoint, name, dtype)
            })
            .collect()
    }

    fn byte_count(&self) -> Result<usize> {
        let size = element::element_size(self.dtype).ok_or_else(|| {
            Error::unsupported(format!(
                "tensor {:?}: elements of type {:?} cannot be written",
                self.name, self.dtype
            ))
        })?;
        element::element_count(&self.name, &self.shape)?
            .checked_mul(size)
            .ok_or_else(|| Error::format(format!("tensor {:?}: shape {:?} is too large", self.name, self.shape)))
    }

    /// Writes the elements. The inner result is the writer's.
    fn write(&self, out: &mut dyn Write) -> Result<io::Result<()>> {
        match &self.source {
            Source::Checkpoint(checkpoint, key) => {
                let mut written = Ok(());
                let read = checkpoint.entry(key)?.convert(self.dtype, &mut |part| {
                    written = out.write_all(part);
                    match &written {
                        Ok(()) => Ok(()),
                        // Ends the reading; the writer's own error counts.
                        Err(error) => Err(Error::new(crate::ErrorKind::Io, error.to_string())),
                    }
                });
                match written {
                    Ok(()) => read.map(Ok),
                    failed => Ok(failed),
                }
            }
            Source::Tensor(tensor) => write_tensor(tensor, out),
        }
    }
}

/// Writes the elements of a candle tensor, row-major and little-endian.
fn write_tensor(tensor: &Tensor, out: &mut dyn Write) -> Result<io::Result<()>> {
    macro_rules! write_as {
        ($type:ty) => {{
            let values = tensor.flatten_all()?.to_device(&Device::Cpu)?.to_vec1::<$type>()?;
            let mut buffer = Vec::with_capacity(1 << 16);
            for part in values.chunks((1 << 16) / std::mem::size_of::<$type>()) {
                buffer.clear();
                buffer.extend(part.iter().flat_map(|value| value.to_le_bytes()));
                if let Err(error) = out.write_all(&buffer) {
                    return Ok(Err(error));
                }
            }
            Ok(Ok(()))
        }};
    }
    match tensor.dtype() {
        DType::U8 => write_as!(u8),
        DType::I16 => write_as!(i16),
        DType::U32 => write_as!(u32),
        DType::I32 => write_as!(i32),
        DType::I64 => write_as!(i64),
        DType::F16 => write_as!(half::f16),
        DType::BF16 => write_as!(half::bf16),
        DType::F32 => write_as!(f32),
        DType::F64 => write_as!(f64),
        other => Err(Error::unsupported(format!(
            "elements of type {other:?} cannot be written"
        ))),
    }
}

/// A safetensors file to be: header and order of the tensors are settled, nothing is read yet.
#[derive(Debug)]
pub struct SafetensorsWriter {
    header: Vec<u8>,
    tensors: Vec<OutputTensor>,
    size: usize,
}

impl SafetensorsWriter {
    /// Plans a file. Metadata goes into `__metadata__`.
    ///
    /// # Errors
    /// `InvalidArgument` for two tensors of one name or the reserved name `__metadata__`, `Unsupported` for an
    /// element type that cannot be written, `LimitExceeded` for a header that readers would refuse.
    pub fn new(mut tensors: Vec<OutputTensor>, metadata: &BTreeMap<String, String>) -> Result<Self> {
        let size_of = |tensor: &OutputTensor| element::element_size(tensor.dtype).unwrap_or(0);
        tensors.sort_by(|a, b| size_of(b).cmp(&size_of(a)).then_with(|| a.name.cmp(&b.name)));
        let mut names = std::collections::BTreeSet::new();
        if let Some(double) = tensors
            .iter()
            .find(|t| t.name == "__metadata__" || !names.insert(t.name.as_str()))
        {
            return Err(Error::invalid(format!(
                "tensor name {:?} is reserved or used twice",
                double.name
            )));
        }
        let json = |text: &str| serde_json::to_string(text).map_err(|e| Error::internal(format!("header: {e}")));
        let mut fields = Vec::with_capacity(tensors.len() + 1);
        if !metadata.is_empty() {
            let texts = metadata
                .iter()
                .map(|(key, value)| Ok(format!("{}:{}", json(key)?, json(value)?)));
            fields.push(format!(
                "\"__metadata__\":{{{}}}",
                texts.collect::<Result<Vec<_>>>()?.join(",")
            ));
        }
        let mut offset = 0usize;
        for tensor in &tensors {
            let end = offset
                .checked_add(tensor.byte_count()?)
                .ok_or_else(|| Error::format(format!("tensor {:?}: the file gets too large", tensor.name)))?;
            let shape = tensor.shape.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
            fields.push(format!(
                "{}:{{\"dtype\":\"{}\",\"shape\":[{shape}],\"data_offsets\":[{offset},{end}]}}",
                json(&tensor.name)?,
                element::type_name(tensor.dtype).unwrap_or_default()
            ));
            offset = end;
        }
        let mut header = format!("{{{}}}", fields.join(",")).into_bytes();
        header.resize(header.len().next_multiple_of(8), b' ');
        if header.len() > MAX_HEADER {
            return Err(Error::limit(format!(
                "header of {} bytes, readers accept {MAX_HEADER}",
                header.len()
            )));
        }
        let size = offset.saturating_add(header.len() + 8);
        Ok(Self { header, tensors, size })
    }

    /// Number of tensors.
    pub(crate) fn count(&self) -> usize {
        self.tensors.len()
    }

    /// Size of the finished file in bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Writes the file to `out`. After each tensor `progress` hears how many of how many are done.
    ///
    /// # Errors
    /// `Io` from `out`; whatever `progress` returns; `Device` when a tensor cannot be fetched.
    pub fn write_to(&self, out: &mut dyn Write, mut progress: impl FnMut(usize, usize) -> Result<()>) -> Result<()> {
        let failed = |error: io::Error| Error::new(crate::ErrorKind::Io, error.to_string());
        out.write_all(&(self.header.len() as u64).to_le_bytes())
            .map_err(failed)?;
        out.write_all(&self.header).map_err(failed)?;
        for (done, tensor) in self.tensors.iter().enumerate() {
            tensor
                .write(out)?
                .map_err(|e| failed(e).context(format!("tensor {:?}", tensor.name)))?;
            progress(done + 1, self.tensors.len())?;
        }
        out.flush().map_err(failed)
    }

    /// The file as bytes.
    ///
    /// # Errors
    /// As [`SafetensorsWriter::write_to`].
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(self.size);
        self.write_to(&mut bytes, |_, _| Ok(()))?;
        Ok(bytes)
    }

    /// Writes the file to `path`, atomically.
    ///
    /// It is written to a temporary file in the same folder, flushed to the disk and renamed. So `path` holds either
    /// what it held before or the complete new file, and after an error the temporary file is gone. A link is
    /// followed. A device or pipe, which cannot be replaced, is written directly.
    ///
    /// # Errors
    /// `Io` naming the path, also when the disk is full; otherwise as [`SafetensorsWriter::write_to`].
    pub fn save(&self, path: &Path, progress: impl FnMut(usize, usize) -> Result<()>) -> Result<()> {
        super::save_atomically(path, |out| self.write_to(out, progress))
    }
}

/// Saves tensors as a safetensors file, atomically: see [`SafetensorsWriter::save`].
///
/// # Errors
/// As [`SafetensorsWriter::new`] and [`SafetensorsWriter::save`].
pub fn write_safetensors(path: &Path, tensors: &[(String, Tensor)], metadata: &BTreeMap<String, String>) -> Result<()> {
    plan(tensors, metadata)?.save(path, |_, _| Ok(()))
}

/// The bytes of a safetensors file.
///
/// # Errors
/// As [`SafetensorsWriter::new`] and [`SafetensorsWriter::write_to`].
pub fn safetensors_to_bytes(tensors: &[(String, Tensor)], metadata: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    plan(tensors, metadata)?.to_bytes()
}

fn plan(tensors: &[(String, Tensor)], metadata: &BTreeMap<String, String>) -> Result<SafetensorsWriter> {
    let tensors = tensors
        .iter()
        .map(|(name, tensor)| OutputTensor::new(name, tensor))
        .collect();
    SafetensorsWriter::new(tensors, metadata)
}
