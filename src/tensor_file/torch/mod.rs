//! PyTorch files: a zip archive with a pickle program (`data.pkl`) and one file per tensor storage (`data/0` …).
//!
//! Written by `torch.save` since PyTorch 1.6. The program is read by [`pickle`], never executed. Storages are sliced
//! straight from the file where the archive stores them unpacked, as `torch.save` does.

mod archive;
mod pickle;
mod value;
mod writer;

pub use writer::{torch_to_bytes, DenseTensor, TorchObject};

use super::backing::Backing;
use super::element::Element;
use super::entry::{Entry, Storage};
use crate::error::{Error, Result};
use crate::limits::Limits;
use archive::Archive;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use value::{Arena, TensorRef, Value};

/// Deepest nesting of dictionaries.
const MAX_DEPTH: usize = 16;

/// Most tensors and other values of a file.
const MAX_VALUES: usize = 1_000_000;

/// Most bytes of a tensor's name with all the dictionaries around it.
const MAX_NAME: usize = 1024;

/// Most bytes of all names together: a dictionary may be referred to often, and its keys are written out each time.
const MAX_NAMES: usize = 64 << 20;

/// Reads the tensors of a file. Nested dictionaries are flattened, their keys joined with dots. A tensor
/// that is the whole file is called `tensor`; those of a list have their place as name.
///
/// # Errors
/// `Unsupported` for a file that holds anything but tensors, `LimitExceeded`, `Format` for a damaged one.
pub(super) fn parse(backing: &Arc<Backing>, limits: &Limits) -> Result<BTreeMap<String, Entry>> {
    let mut archive = Archive::open(backing, limits)?;
    let program = archive.program()?;
    let pickled = pickle::read(&program)?;
    let mut flat = Flattened {
        arena: &pickled.arena,
        tensors: BTreeMap::new(),
        visited: 0,
        named: 0,
    };
    let root = pickled.root;
    if pickled.arena.pairs(root).is_some() {
        flat.visit(root, String::new(), 0)?;
    } else if pickled.arena.tensor(root).is_some() {
        // Precomputed embeddings are saved like this, without a name.
        flat.visit(root, "tensor".to_string(), 0)?;
    } else if let Some(items) = pickled.arena.sequence(root) {
        for (index, &item) in items.iter().enumerate() {
            flat.visit(item, index.to_string(), 0)?;
        }
    }
    if flat.tensors.is_empty() {
        return Err(Error::unsupported(
            "PyTorch file: it holds no tensors, neither in a dictionary (a state_dict) nor by themselves",
        ));
    }
    let mut storages = HashMap::new();
    let mut tensors = BTreeMap::new();
    for (name, tensor) in flat.tensors {
        let storage = match storages.get(tensor.storage.key) {
            Some(storage) => Storage::clone(storage),
            None => {
                let storage = archive
                    .storage(tensor.storage.key)
                    .map_err(|e| e.context(format!("tensor {name:?}")))?;
                storages.insert(tensor.storage.key, storage.clone());
                storage
            }
        };
        let entry = entry(&name, tensor, storage)?;
        tensors.insert(name, entry);
    }
    Ok(tensors)
}

/// Checks a tensor against the storage it views.
fn entry(name: &str, tensor: &TensorRef<'_>, storage: Storage) -> Result<Entry> {
    let storage_ref = &tensor.storage;
    let element: Element = tensor.element;
    let expected = storage_ref.elements.checked_mul(storage_ref.element.size());
    let available = storage.len();
    if expected.is_none_or(|expected| expected > available) {
        return Err(Error::format(format!(
            "tensor {name:?}: storage {:?} has {available} bytes, the file promises {} elements of {}",
            storage_ref.key,
            storage_ref.elements,
            storage_ref.element.name()
        )));
    }
    Entry::strided(
        name,
        element,
        tensor.shape.clone(),
        tensor.strides.clone(),
        tensor.offset,
        storage,
    )
}

/// The tensors below a dictionary, under their full names.
struct Flattened<'a, 'p> {
    arena: &'a Arena<'p>,
    tensors: BTreeMap<String, &'a TensorRef<'p>>,
    /// Values looked at, the keys of dictionaries among them.
    visited: usize,
    /// Bytes of names.
    named: usize,
}

impl<'p> Flattened<'_, 'p> {
    fn visit(&mut self, value: Value<'p>, name: String, depth: usize) -> Result<()> {
        self.count(name.len())?;
        if let Some(tensor) = self.arena.tensor(value) {
            if self.tensors.insert(name.clone(), tensor).is_some() {
                return Err(Error::format(format!("PyTorch file: two tensors are named {name:?}")));
            }
            return Ok(());
        }
        // Numbers, texts and lists beside the tensors (such as a step count) are no weights.
        let Some(pairs) = self.arena.pairs(value) else {
            return Ok(());
        };
        if depth == MAX_DEPTH {
            return Err(Error::limit(format!(
                "PyTorch file: dictionaries nested deeper than {MAX_DEPTH}, at {name:?}"
            )));
        }
        for &(key, value) in pairs {
            let key = match key {
                Value::Text(text) => text.to_string(),
                Value::Int(number) => number.to_string(),
                _ => {
                    self.count(0)?;
                    continue;
                }
            };
            let full = if name.is_empty() { key } else { format!("{name}.{key}") };
            if full.len() > MAX_NAME {
                return Err(Error::limit(format!(
                    "PyTorch file: a tensor name of {} bytes",
                    full.len()
                )));
            }
            self.visit(value, full, depth + 1)?;
        }
        Ok(())
    }

    /// Counts a value that is looked at, and the bytes of its name.
    fn count(&mut self, name: usize) -> Result<()> {
        self.visited += 1;
        self.named += name;
        if self.visited > MAX_VALUES {
            return Err(Error::limit(format!("PyTorch file: more than {MAX_VALUES} values")));
        }
        if self.named > MAX_NAMES {
            return Err(Error::limit(format!(
                "PyTorch file: names of more than {MAX_NAMES} bytes in all"
            )));
        }
        Ok(())
    }
}
