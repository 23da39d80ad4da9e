//! Views of a checkpoint under other names.

use super::entry::Entry;
use super::Checkpoint;
use crate::error::{Error, Result};
use crate::remedy;
use std::collections::BTreeMap;
use std::ops::Range;

/// The two halves of an IP-Adapter file: prefix in the file, prefix that this library uses.
const ADAPTER_PREFIXES: [(&str, &str); 3] = [
    ("image_proj.", "image_proj."),
    ("ip_adapter.", "ip_adapter."),
    ("adapter_modules.", "ip_adapter."),
];

/// The name that this library uses for a tensor of an IP-Adapter file. Other names pass unchanged. Each half may have been
/// saved from a model in DataParallel, which puts `module.` before the names inside of it.
fn unified(name: &str) -> String {
    for (found, used) in ADAPTER_PREFIXES {
        if let Some(rest) = name.strip_prefix(found) {
            let rest = rest.replace(found, "");
            return format!("{used}{}", rest.strip_prefix("module.").unwrap_or(&rest));
        }
    }
    name.to_string()
}

/// Applies [`unified`] to all names.
pub(super) fn unify_names(tensors: BTreeMap<String, Entry>) -> Result<BTreeMap<String, Entry>> {
    if !tensors.keys().any(|name| unified(name) != *name) {
        return Ok(tensors);
    }
    let mut renamed = BTreeMap::new();
    for (name, entry) in tensors {
        insert(&mut renamed, unified(&name), entry)?;
    }
    Ok(renamed)
}

/// Inserts under a name that must be free.
fn insert(tensors: &mut BTreeMap<String, Entry>, name: String, entry: Entry) -> Result<()> {
    if let Some(other) = tensors.get(&name) {
        return Err(Error::format(format!(
            "tensors {:?} and {:?} both mean {name:?}",
            other.origin, entry.origin
        ))
        .with_remedy(remedy::DUPLICATE_TENSOR));
    }
    tensors.insert(name, entry);
    Ok(())
}

impl Checkpoint {
    /// The tensors below `prefix` (without its trailing dot), under the rest of their names.
    ///
    /// `sub("image_proj")` holds `latents` for the file's `image_proj.latents`. Empty when there are none.
    pub fn sub(&self, prefix: &str) -> Self {
        let below = |name: &String| name.strip_prefix(prefix)?.strip_prefix('.').map(str::to_string);
        let tensors = self
            .tensors
            .iter()
            .filter_map(|(name, entry)| Some((below(name)?, entry.clone())));
        self.with_tensors(tensors.collect())
    }

    /// The tensors for which `rename` gives a name, under that name. Tensors with `None` are left out.
    ///
    /// # Errors
    /// `Format` when two tensors get the same name.
    pub fn renamed(&self, rename: impl Fn(&str) -> Option<String>) -> Result<Self> {
        self.mapped(|name, _| Ok(rename(name).map(|new| (new, Part::Whole)).into_iter().collect()))
    }

    /// For each tensor, by name and shape, the parts of it under their new names.
    ///
    /// # Errors
    /// Those of `map`; `Format` when two parts get the same name.
    pub(crate) fn mapped(&self, map: impl Fn(&str, &[usize]) -> Result<Vec<(String, Part)>>) -> Result<Self> {
        let mut tensors = BTreeMap::new();
        for (name, entry) in self.tensors.iter() {
            let parts = map(name, &entry.shape).map_err(|error| error.context(self.label()))?;
            for (new, part) in parts {
                let entry = match part {
                    Part::Whole => Some(entry.clone()),
                    Part::Rows(rows) => entry.rows(rows.start, rows.len()),
                    Part::Transposed => entry.transposed(),
                    Part::Squeezed(rank) => entry.squeezed(rank),
                };
                let entry = entry.ok_or_else(|| {
                    Error::format(format!(
                        "{}: tensor {} has no part {new:?}",
                        self.label(),
                        self.quoted(name)
                    ))
                })?;
                insert(&mut tensors, new, entry).map_err(|error| error.context(self.label()))?;
            }
        }
        Ok(self.with_tensors(tensors))
    }
}

/// What [`Checkpoint::mapped`] takes of a tensor; nothing is copied.
pub(crate) enum Part {
    /// All of it.
    Whole,
    /// These rows of the first dimension.
    Rows(Range<usize>),
    /// A matrix with rows and columns exchanged.
    Transposed,
    /// All of it with this many dimensions; those that go come first and have size 1.
    Squeezed(usize),
}
