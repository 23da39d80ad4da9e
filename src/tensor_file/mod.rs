//! Files of named tensors: safetensors and PyTorch files read and written.
//!
//! What the tensors are is no matter here; [`checkpoint`](crate::checkpoint) recognises them.

mod atomic;
mod backing;
mod builder;
mod checksum;
mod container;
mod element;
mod entry;
mod filling;
mod fingerprint;
mod float8;
mod folder;
mod holes;
mod leftovers;
pub(crate) mod network_file;
pub(crate) mod onnx;
mod place;
mod prefixes;
mod quantised;
mod safetensors;
mod scales;
mod shapes;
mod shards;
mod source;
mod torch;
mod unfinished;
mod view;
mod writer;

pub use atomic::{save_atomically, save_bytes_atomically};
pub use builder::UsageTracker;
pub use container::Container;
pub(crate) use container::{instead_of, Expected};
pub use fingerprint::FINGERPRINT_KEY;
pub(crate) use folder::Role;
pub(crate) use place::check_own_name;
pub use place::{check_file_name, check_output};
pub use shapes::Shapes;
pub use source::Source;
pub use torch::{torch_to_bytes, DenseTensor, TorchObject};
pub use unfinished::{remove_unfinished, Unfinished};
pub(crate) use view::Part;
pub use writer::{safetensors_to_bytes, write_safetensors, OutputTensor, SafetensorsWriter};

use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::remedy;
use backing::Backing;
use candle_core::{DType, Device, Tensor};
use entry::Entry;
use filling::Filling;
pub(crate) use source::Content;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Named tensors and metadata from a file or a buffer.
///
/// Cheap to clone; clones and views share the bytes. Immutable, usable from any number of threads at once.
#[derive(Clone)]
pub struct Checkpoint {
    file: Arc<File>,
    tensors: Arc<BTreeMap<String, Entry>>,
    /// What was taken off the front of all names, with its trailing dot.
    prefix: Arc<str>,
}

/// Text metadata.
type Texts = BTreeMap<String, String>;

/// What all views of one container share.
struct File {
    path: Option<PathBuf>,
    container: Container,
    metadata: BTreeMap<String, String>,
    /// Which of how many files of one model this is, if the others are missing here.
    shard: Option<(usize, usize)>,
    /// Number of files that the tensors come from.
    files: usize,
    /// Number of tensors in them.
    tensors: usize,
}

/// Type and shape of a tensor in a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TensorInfo {
    /// Element type in the file; what 8-bit floats are handed out as: bf16, and f32 when they have a scale.
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
    /// Opens a file, or takes the bytes of one, and reads its header.
    ///
    /// A path may also name a folder that holds one model as Hugging Face lays it out (`model.safetensors` or
    /// `pytorch_model.bin`, whole or in shards with an index, also of a variant such as `.fp16.`), or the index of a
    /// model in shards. All files then lie in the folder of the index.
    ///
    /// A prefix that all names share because the model was wrapped (`module.`, `model.`, `state_dict.`, `_orig_mod.`
    /// and others) is taken off; so are the names of what lies beside such a model in a training state. See
    /// [`Checkpoint::prefix`].
    ///
    /// Tensors are read from the file when they are asked for. When it was written to, truncated or removed from its
    /// drive since it was opened, that is an error of kind `Io`. Replacing it by renaming another file over it, or
    /// deleting it, is fine.
    ///
    /// # Errors
    /// `Io` when the file cannot be read, `Format` when it is damaged or no checkpoint, `Unsupported` for a
    /// container, pickle content or element type that is not read, `LimitExceeded` for too large a header,
    /// `InvalidArgument` for a folder that does not hold exactly one model. All name the path.
    pub fn open(source: impl Into<Source>, limits: &Limits) -> Result<Self> {
        Self::open_as(source, Role::Model, limits)
    }

    /// [`Checkpoint::open`]; `role` says where in a folder to look.
    pub(crate) fn open_as(source: impl Into<Source>, role: Role, limits: &Limits) -> Result<Self> {
        match source.into().0 {
            Content::Path(path) => folder::open(&path, role, limits),
            Content::Bytes(bytes) => Self::parse(Arc::new(Backing::Memory(bytes)), None, limits),
        }
    }

    /// Whether `bytes` begin as a safetensors file does.
    pub(crate) fn is_safetensors(bytes: &[u8]) -> bool {
        safetensors::looks_like(bytes)
    }

    fn parse(backing: Arc<Backing>, path: Option<PathBuf>, limits: &Limits) -> Result<Self> {
        let (container, mut tensors, metadata) = contents(&backing, limits)?;
        quantised::attach(&mut tensors)?;
        // What was parsed of a file that changed meanwhile may be anything.
        backing.check_unchanged()?;
        let shard = path.as_deref().and_then(shards::shard_of);
        let file = File {
            path,
            container,
            metadata,
            shard,
            files: 1,
            tensors: tensors.len(),
        };
        Self::named(file, tensors)
    }

    /// A checkpoint of tensors under the names that files have.
    fn named(file: File, tensors: BTreeMap<String, Entry>) -> Result<Self> {
        let (tensors, prefix) = prefixes::unwrap(tensors);
        let tensors = Arc::new(view::unify_names(tensors)?);
        Ok(Self {
            file: Arc::new(file),
            tensors,
            prefix: prefix.into(),
        })
    }

    /// The same bytes under other names.
    fn with_tensors(&self, tensors: BTreeMap<String, Entry>) -> Self {
        Self {
            file: self.file.clone(),
            tensors: Arc::new(tensors),
            prefix: self.prefix.clone(),
        }
    }

    /// The container that the tensors came in.
    pub fn container(&self) -> Container {
        self.file.container
    }

    /// Number of files that the tensors come from: more than 1 for a model in shards.
    pub fn file_count(&self) -> usize {
        self.file.files
    }

    /// The number of this file and how many there are, when it is one of several that make up a model.
    pub fn shard(&self) -> Option<(usize, usize)> {
        self.file.shard
    }

    /// Number of tensors in the files, with those that were left out.
    pub(crate) fn tensor_count_of_files(&self) -> usize {
        self.file.tensors
    }

    /// How many tensors of the files this view shows, each counted once however many parts it was split into.
    pub(crate) fn origins(&self) -> usize {
        let origins: BTreeSet<&str> = self.tensors.values().map(|entry| &*entry.origin).collect();
        origins.len()
    }

    /// What was taken off the front of the names, with its trailing dot, such as `module.`; empty for most files.
    ///
    /// Tensors whose names did not begin with it were left out.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The file, if there is one. Of a folder the file that was opened, of a model in shards its index.
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
            dtype: entry.dtype(),
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
    pub(crate) fn quoted(&self, name: &str) -> String {
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

    /// The elements of a tensor: row-major, little-endian, in the type that [`Checkpoint::info`] tells. Borrowed where
    /// they lie in memory like that; read from a file.
    ///
    /// # Errors
    /// `Format` when there is no such tensor, `Io` when the file cannot be read or was changed.
    pub fn bytes(&self, name: &str) -> Result<Cow<'_, [u8]>> {
        self.entry(name)?.bytes()
    }

    /// A copy of a tensor as `dtype` on `device`, in the shape of the file.
    ///
    /// The element type is converted while reading: f32, f16 and bf16 are possible targets, and the file's own type.
    ///
    /// # Errors
    /// `Format` when there is no such tensor, `Io` when the file cannot be read or was changed, `Unsupported` for
    /// another conversion, `Device` from the GPU.
    pub fn tensor(&self, name: &str, dtype: DType, device: &Device) -> Result<Tensor> {
        let tensor = self.entry(name)?.to_tensor(dtype, device, None);
        tensor.map_err(|error| self.in_file(error))
    }

    /// [`Checkpoint::tensor`] for weights, which must have been written; `may_be_constant` for those that a new network
    /// does not draw at random.
    ///
    /// # Errors
    /// As [`Checkpoint::tensor`]; `Format` for weights that are zero throughout, have a hole of zeros or are not finite.
    pub(crate) fn read_weights(
        &self,
        name: &str,
        dtype: DType,
        device: &Device,
        may_be_constant: bool,
    ) -> Result<Tensor> {
        let entry = self.entry(name)?;
        let mut seen = Filling::default();
        let tensor = entry
            .to_tensor(dtype, device, Some(&mut seen))
            .map_err(|error| self.in_file(error))?;
        holes::check(&self.quoted(name), entry, &seen, may_be_constant).map_err(|error| self.in_file(error))?;
        Ok(tensor)
    }

    /// Looks for matrices that were never written, by samples, and gives the names of those that are zero as a whole.
    ///
    /// # Errors
    /// `Format` for holes of zeros and weights that are no numbers, naming the tensor; `Io`.
    pub(crate) fn sample_weights(&self) -> Result<Vec<String>> {
        let entries = self.tensors.iter().map(|(name, entry)| (name.as_str(), entry));
        holes::sample(entries, |name| self.quoted(name)).map_err(|error| self.in_file(error))
    }

    /// Looks by samples whether the weights were written at all: for networks whose new weights may be zero, so that
    /// reading them tells nothing.
    ///
    /// # Errors
    /// `Format` for holes of zeros, weights that are no numbers, and when most of the matrices are nothing but zeros;
    /// `Io`.
    pub fn check_written(&self) -> Result<()> {
        let zero = self.sample_weights()?;
        let matrices = self.tensors.values().filter(|entry| holes::is_matrix(entry)).count();
        if zero.len() * 2 <= matrices {
            return Ok(());
        }
        Err(Error::format(format!(
            "{}: {} of {matrices} matrices are nothing but zeros: the file was not downloaded or copied to its end",
            self.label(),
            zero.len()
        ))
        .with_remedy(remedy::DAMAGED_WEIGHTS))
    }

    /// Names the file, unless the message does already.
    fn in_file(&self, error: Error) -> Error {
        match error.message().starts_with(&self.label()) {
            true => error,
            false => error.context(self.label()),
        }
    }

    /// Number of elements by element type (`F32`, `F16`, …).
    pub(crate) fn element_counts(&self) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::new();
        for entry in self.tensors.values() {
            *counts.entry(entry.element.name()).or_default() += entry.count() as u64;
        }
        counts
    }

    /// Number of elements of all floating-point tensors.
    pub fn parameter_count(&self) -> u64 {
        self.tensors
            .values()
            .filter(|e| element::is_float(e.dtype()))
            .map(|e| e.count() as u64)
            .sum()
    }

    /// Bytes of all tensors in the file's types.
    pub fn byte_count(&self) -> u64 {
        self.tensors
            .values()
            .map(|e| (e.count() * e.element.size()) as u64)
            .sum()
    }
}

/// The tensors and the metadata of a container.
fn contents(backing: &Arc<Backing>, limits: &Limits) -> Result<(Container, BTreeMap<String, Entry>, Texts)> {
    let head = backing.read(0..backing.len().min(container::HEAD))?;
    let container = container::of(&head, backing.len())?;
    let (tensors, metadata) = match container {
        Container::Safetensors => safetensors::parse(backing, limits)?,
        Container::Torch => (torch::parse(backing, limits)?, BTreeMap::new()),
    };
    Ok((container, tensors, metadata))
}
