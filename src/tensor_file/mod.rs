//! Files of named tensors: safetensors and PyTorch files read and written.
//!
//! What the tensors are is no matter here; [`checkpoint`](crate::checkpoint) recognises them.

mod atomic;
mod builder;
mod element;
mod entry;
mod fingerprint;
mod map;
pub(crate) mod onnx;
mod safetensors;
mod shapes;
mod source;
mod torch;
mod unfinished;
mod view;
mod writer;

pub use atomic::{save_atomically, save_bytes_atomically};
pub use builder::UsageTracker;
pub use fingerprint::FINGERPRINT_KEY;
pub use shapes::Shapes;
pub use source::Source;
pub use torch::{torch_to_bytes, DenseTensor, TorchObject};
pub use unfinished::{remove_unfinished, Unfinished};
pub(crate) use view::Part;
pub use writer::{safetensors_to_bytes, write_safetensors, OutputTensor, SafetensorsWriter};

use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::remedy;
use candle_core::{DType, Device, Tensor};
use entry::Entry;
use map::Backing;
use omniid_kernels::Remedy;
pub(crate) use source::Content;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Named tensors and metadata from a file or a buffer.
///
/// Cheap to clone; clones and views share the bytes. Immutable, usable from any number of threads at once.
#[derive(Clone)]
pub struct Checkpoint {
    file: Arc<File>,
    tensors: Arc<BTreeMap<String, Entry>>,
}

/// What all views of one container share.
struct File {
    backing: Backing,
    path: Option<PathBuf>,
    container: Container,
    metadata: BTreeMap<String, String>,
}

/// The file format that tensors came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Container {
    /// A safetensors file.
    Safetensors,
    /// A zip archive written by `torch.save`.
    Torch,
}

impl Container {
    /// A display name: `safetensors` or `PyTorch zip`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::Torch => "PyTorch zip",
        }
    }
}

/// Type and shape of a tensor in a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TensorInfo {
    /// Element type in the file.
    pub dtype: DType,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
}

impl std::fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Checkpoint({}, {}, {} tensors)",
            self.label(),
            self.container().name(),
            self.tensors.len()
        )
    }
}

impl Checkpoint {
    /// Maps a file, or takes the bytes of one, and reads its header.
    ///
    /// The file must not be truncated or rewritten in place while the checkpoint or a view of it lives.
    /// (Replacing it by renaming another file over it is fine.)
    ///
    /// # Errors
    /// `Io` when the file cannot be read, `Format` when it is damaged or no checkpoint, `Unsupported` for a
    /// container, pickle content or element type that is not read, `LimitExceeded` for too large a header.
    /// All name the path.
    pub fn open(source: impl Into<Source>, limits: &Limits) -> Result<Self> {
        match source.into().0 {
            Content::Path(path) => {
                let backing = Backing::open(&path)?;
                Self::parse(backing, Some(path.clone()), limits).map_err(|error| error.context(path.display()))
            }
            Content::Bytes(bytes) => Self::parse(Backing::Memory(bytes), None, limits),
        }
    }

    /// Whether `bytes` begin as a safetensors file does.
    pub(crate) fn is_safetensors(bytes: &[u8]) -> bool {
        safetensors::looks_like(bytes)
    }

    fn parse(backing: Backing, path: Option<PathBuf>, limits: &Limits) -> Result<Self> {
        let bytes = backing.bytes();
        let container = container_of(bytes)?;
        let (tensors, metadata) = match container {
            Container::Safetensors => safetensors::parse(bytes, limits)?,
            Container::Torch => (torch::parse(bytes, limits)?, BTreeMap::new()),
        };
        let tensors = Arc::new(view::unify_names(tensors)?);
        Ok(Self {
            file: Arc::new(File {
                backing,
                path,
                container,
                metadata,
            }),
            tensors,
        })
    }

    /// The same bytes under other names.
    fn with_tensors(&self, tensors: BTreeMap<String, Entry>) -> Self {
        Self {
            file: self.file.clone(),
            tensors: Arc::new(tensors),
        }
    }

    /// The container that the tensors came in.
    pub fn container(&self) -> Container {
        self.file.container
    }

    /// The file, if there is one.
    pub fn path(&self) -> Option<&Path> {
        self.file.path.as_deref()
    }

    /// Path of the file, or "checkpoint in memory": for messages.
    pub fn label(&self) -> String {
        match self.path() {
            Some(path) => path.display().to_string(),
            None => "checkpoint in memory".to_string(),
        }
    }

    /// Text metadata of the file (safetensors' `__metadata__`). Empty for PyTorch files. Views keep it.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.file.metadata
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there is no tensor.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// Whether there is a tensor `name`.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Type and shape of the tensor `name`.
    pub fn info(&self, name: &str) -> Option<TensorInfo> {
        self.tensors.get(name).map(|entry| TensorInfo {
            dtype: entry.dtype,
            shape: entry.shape.clone(),
        })
    }

    /// Shape of the tensor `name`.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|entry| entry.shape.as_slice())
    }

    /// Type and shape of a tensor that must be there.
    ///
    /// # Errors
    /// `Format` naming the missing key.
    pub fn require(&self, name: &str) -> Result<TensorInfo> {
        self.info(name)
            .ok_or_else(|| Error::format(format!("{}: tensor {name:?} is missing", self.label())))
    }

    /// The name that the tensor `name` of this view has in the file.
    pub fn origin(&self, name: &str) -> Option<&str> {
        self.tensors.get(name).map(|entry| &*entry.origin)
    }

    /// `name` in quotes, with the file's own name behind it where that differs.
    fn quoted(&self, name: &str) -> String {
        match self.origin(name) {
            Some(origin) if origin != name => format!("{name:?} ({origin:?} in the file)"),
            _ => format!("{name:?}"),
        }
    }

    fn entry(&self, name: &str) -> Result<&Entry> {
        self.tensors
            .get(name)
            .ok_or_else(|| Error::format(format!("{}: tensor {name:?} is missing", self.label())))
    }

    /// The elements of a tensor: row-major, little-endian, in the file's type. Borrowed from the map where they
    /// lie contiguously.
    ///
    /// # Errors
    /// `Format` when there is no such tensor.
    pub fn bytes(&self, name: &str) -> Result<Cow<'_, [u8]>> {
        self.entry(name)?.bytes(&self.file.backing)
    }

    /// Gives the memory pages that [`Checkpoint::bytes`] touched back to the system. They are read again from the
    /// file when needed; slices stay valid.
    pub fn release(&self, name: &str) {
        if let Some(entry) = self.tensors.get(name) {
            entry.release(&self.file.backing);
        }
    }

    /// A copy of a tensor as `dtype` on `device`, in the shape of the file.
    ///
    /// The element type is converted while copying: f32, f16 and bf16 are possible targets, and the file's own
    /// type. The pages of the file are given back afterwards.
    ///
    /// # Errors
    /// `Format` when there is no such tensor, `Unsupported` for another conversion, `Device` from the GPU.
    pub fn tensor(&self, name: &str, dtype: DType, device: &Device) -> Result<Tensor> {
        let entry = self.entry(name)?;
        let bytes = entry.bytes(&self.file.backing)?;
        let tensor = element::to_tensor(name, &bytes, entry.dtype, &entry.shape, dtype, device);
        drop(bytes);
        entry.release(&self.file.backing);
        tensor.map_err(|error| error.context(self.label()))
    }

    /// Number of elements by element type (`F32`, `F16`, …).
    pub(crate) fn element_counts(&self) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::new();
        for entry in self.tensors.values() {
            let name = element::type_name(entry.dtype).unwrap_or("other");
            *counts.entry(name).or_default() += entry.count() as u64;
        }
        counts
    }

    /// Number of elements of all floating-point tensors.
    pub fn parameter_count(&self) -> u64 {
        self.tensors
            .values()
            .filter(|e| element::is_float(e.dtype))
            .map(|e| e.count() as u64)
            .sum()
    }

    /// Bytes of all tensors in the file's types.
    pub fn byte_count(&self) -> u64 {
        self.tensors.values().map(|e| (e.count() * e.size()) as u64).sum()
    }
}

/// The container of a file that begins with `bytes`.
fn container_of(bytes: &[u8]) -> Result<Container> {
    /// Beginnings of files that people hand over instead of a checkpoint.
    const OTHERS: [(&[u8], &str, Option<Remedy>); 8] = [
        (b"version https://git-lfs", "a Git LFS pointer", Some(remedy::GIT_LFS)),
        (b"<!DOCTYPE", "an HTML page", Some(remedy::FAILED_DOWNLOAD)),
        (b"<html", "an HTML page", Some(remedy::FAILED_DOWNLOAD)),
        (b"GGUF", "a GGUF file", None),
        (b"\x89HDF", "an HDF5 file", None),
        (b"\x89PNG", "a PNG picture", None),
        (b"\xff\xd8\xff", "a JPEG picture", None),
        (b"\x1f\x8b", "a gzip archive", Some(remedy::ARCHIVE)),
    ];
    if bytes.starts_with(b"PK\x03\x04") {
        return Ok(Container::Torch);
    }
    if safetensors::looks_like(bytes) {
        return Ok(Container::Safetensors);
    }
    if bytes.starts_with(b"\x80") && bytes.get(1).is_some_and(|&protocol| (1..=5).contains(&protocol)) {
        return Err(
            Error::unsupported("a PyTorch file in the old format (before 1.6)").with_remedy(remedy::OLD_PYTORCH_FILE)
        );
    }
    for (begin, what, remedy) in OTHERS {
        if bytes.starts_with(begin) {
            let error = Error::format(format!(
                "not a checkpoint but {what}, expected safetensors or a PyTorch file"
            ));
            return Err(match remedy {
                Some(remedy) => error.with_remedy(remedy),
                None => error,
            });
        }
    }
    let shown = bytes
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .join(" ");
    Err(Error::format(format!(
        "neither safetensors nor a PyTorch zip archive: {} bytes, beginning with {shown:?}",
        bytes.len()
    )))
}
