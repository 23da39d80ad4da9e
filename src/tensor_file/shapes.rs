//! Names and shapes of tensors, without their values.

use super::Checkpoint;
use crate::error::{Error, Result};
use omniid_kernels::layers::TensorSpec;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The names and shapes of a checkpoint's tensors, or of a network's description: what recognition works from.
#[derive(Debug, Clone, Default)]
pub struct Shapes {
    /// By name; with the name to quote in messages.
    tensors: BTreeMap<String, (Arc<str>, Vec<usize>)>,
    /// What stands before the names in the file, with its trailing dot: for tensors that are missing.
    prefix: String,
}

impl From<&Checkpoint> for Shapes {
    fn from(checkpoint: &Checkpoint) -> Self {
        let entries = checkpoint.tensors.iter();
        Self {
            tensors: entries
                .map(|(name, entry)| (name.clone(), (entry.origin.clone(), entry.shape.clone())))
                .collect(),
            prefix: String::new(),
        }
    }
}

impl FromIterator<TensorSpec> for Shapes {
    fn from_iter<T: IntoIterator<Item = TensorSpec>>(specs: T) -> Self {
        specs.into_iter().map(|spec| (spec.name, spec.shape)).collect()
    }
}

impl FromIterator<(String, Vec<usize>)> for Shapes {
    fn from_iter<T: IntoIterator<Item = (String, Vec<usize>)>>(shapes: T) -> Self {
        let entry = |(name, shape): (String, Vec<usize>)| {
            let quoted = Arc::from(name.as_str());
            (name, (quoted, shape))
        };
        Self {
            tensors: shapes.into_iter().map(entry).collect(),
            prefix: String::new(),
        }
    }
}

impl Shapes {
    /// The tensors below `prefix` (without its trailing dot), under the rest of their names. Messages keep the full
    /// names.
    #[must_use]
    pub fn sub(&self, prefix: &str) -> Self {
        let below = |name: &str| name.strip_prefix(prefix)?.strip_prefix('.').map(str::to_string);
        let tensors = self.tensors.iter();
        Self {
            tensors: tensors
                .filter_map(|(name, entry)| Some((below(name)?, entry.clone())))
                .collect(),
            prefix: format!("{}{prefix}.", self.prefix),
        }
    }

    /// All names and shapes, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.tensors
            .iter()
            .map(|(name, (_, shape))| (name.as_str(), shape.as_slice()))
    }

    /// The shape of the tensor `name`.
    pub fn get(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|(_, shape)| shape.as_slice())
    }

    /// Whether there is a tensor `name`.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Whether a name begins with `prefix`.
    pub fn any_begins(&self, prefix: &str) -> bool {
        self.tensors.keys().any(|name| name.starts_with(prefix))
    }

    /// `name` in quotes, as the file has it.
    pub fn quoted(&self, name: &str) -> String {
        match self.tensors.get(name) {
            Some((origin, _)) => format!("{origin:?}"),
            None => format!("{:?}", format!("{}{name}", self.prefix)),
        }
    }

    /// The dimensions of a tensor that must be there, none of them 0.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) when it is missing or has another number of dimensions.
    pub fn dims<const RANK: usize>(&self, name: &str) -> Result<[usize; RANK]> {
        let Some(shape) = self.get(name) else {
            return Err(Error::format(format!("tensor {} is missing", self.quoted(name))));
        };
        match <[usize; RANK]>::try_from(shape) {
            Ok(dims) if !dims.contains(&0) => Ok(dims),
            _ => Err(Error::format(format!(
                "tensor {} has shape {shape:?}, expected {RANK} dimensions, none of them 0",
                self.quoted(name)
            ))),
        }
    }

    /// How many tensors `name(0)`, `name(1)`, … follow each other: the number of layers.
    pub fn count(&self, name: impl Fn(usize) -> String) -> usize {
        (0..self.tensors.len())
            .take_while(|&index| self.has(&name(index)))
            .count()
    }
}
