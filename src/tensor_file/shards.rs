//! Models in several files: an index in JSON names the file of each tensor.
//!
//! Written by transformers and diffusers: `model.safetensors.index.json` beside `model-00001-of-00002.safetensors` and
//! so on, or the same with `pytorch_model` and `.bin`.

use super::backing::Backing;
use super::entry::Entry;
use super::{quantised, Checkpoint, File};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;
use crate::remedy;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};
use std::sync::Arc;

/// Most files of one model.
const MOST_FILES: usize = 10_000;

/// The number of a shard and how many there are, by its name: `….-00001-of-00002.…`. `None` for a whole model.
pub(super) fn shard_of(path: &Path) -> Option<(usize, usize)> {
    let name = path.file_name()?.to_str()?;
    let (before, after) = name.split_once("-of-")?;
    let digits = |text: &str| !text.is_empty() && text.len() <= 6 && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = before.rsplit(['-', '.', '_']).next().filter(|text| digits(text))?;
    let count = after.split(['-', '.', '_']).next().filter(|text| digits(text))?;
    let (number, count) = (number.parse().ok()?, count.parse().ok()?);
    (count > 1).then_some((number, count))
}

/// The content of an index.
pub(super) struct Index {
    /// The file of each tensor.
    map: WeightMap,
}

#[derive(Deserialize)]
struct IndexFile {
    weight_map: WeightMap,
}

struct WeightMap(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for WeightMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = WeightMap;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object with a file name for each tensor")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> std::result::Result<WeightMap, A::Error> {
                let mut map = BTreeMap::new();
                while let Some((name, file)) = access.next_entry::<String, String>()? {
                    if let Some(other) = map.insert(name.clone(), file.clone()) {
                        return Err(A::Error::custom(format!(
                            "tensor {name:?} is listed twice, in {other:?} and in {file:?}"
                        )));
                    }
                }
                Ok(WeightMap(map))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

impl Index {
    /// Reads a file that may be an index; `None` when it is something else.
    ///
    /// # Errors
    /// `Format` for an index that is damaged or names files outside of its folder.
    pub(super) fn read(backing: &Backing, limits: &Limits) -> Result<Option<Self>> {
        let length = backing.len();
        let head = backing.read(0..length.min(64))?;
        let begins = head.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
        if !begins || length as u64 > limits.max_header_bytes {
            return Ok(None);
        }
        let bytes = backing.read(0..length)?;
        let key = b"\"weight_map\"";
        if !bytes.windows(key.len()).any(|window| window == key) {
            return Ok(None);
        }
        let file: IndexFile = serde_json::from_slice(&bytes)
            .map_err(|error| Error::format(format!("an index of shards that cannot be read: {error}")))?;
        let files = file.weight_map.0.values().collect::<BTreeSet<_>>();
        if files.is_empty() || files.len() > MOST_FILES {
            return Err(Error::format(format!(
                "an index of shards with {} files, expected 1 to {MOST_FILES}",
                files.len()
            )));
        }
        if let Some(file) = files.iter().find(|file| !is_inside(file)) {
            return Err(Error::format(format!(
                "an index of shards that names {file:?}, which is outside of its folder"
            ))
            .with_remedy(remedy::SHARD_PLACE));
        }
        Ok(Some(Self { map: file.weight_map }))
    }

    /// Opens all files of the model whose index lies at `path`.
    pub(super) fn open(self, path: &Path, limits: &Limits) -> Result<Checkpoint> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let named = |error: Error| error.context(path.display());
        let files: BTreeSet<&String> = self.map.0.values().collect();
        let missing: Vec<String> = files
            .iter()
            .filter(|file| !folder.join(file).exists())
            .map(|file| (*file).clone())
            .collect();
        if !missing.is_empty() {
            let named = missing.iter().take(8).cloned().collect::<Vec<_>>().join(", ");
            let text = format!(
                "{}: {} of {} files of the model are missing: {named}",
                path.display(),
                missing.len(),
                files.len()
            );
            return Err(Error::new(ErrorKind::Io, text).with_remedy(remedy::MISSING_SHARDS));
        }
        let mut tensors: BTreeMap<String, Entry> = BTreeMap::new();
        let mut origin: BTreeMap<String, &String> = BTreeMap::new();
        let mut container = None;
        let mut metadata = BTreeMap::new();
        for file in &files {
            let shard = folder.join(file);
            let backing = Arc::new(Backing::open(&shard)?);
            let (kind, part, texts) =
                super::contents(&backing, limits).map_err(|error| error.context(shard.display()))?;
            backing.check_unchanged()?;
            container.get_or_insert(kind);
            metadata.extend(texts);
            for (name, entry) in part {
                if let Some(other) = origin.insert(name.clone(), file) {
                    return Err(named(
                        Error::format(format!(
                            "tensor {name:?} is in two files, {other:?} and {file:?}: they do not belong together"
                        ))
                        .with_remedy(remedy::FAILED_DOWNLOAD),
                    ));
                }
                tensors.insert(name, entry);
            }
        }
        if let Some((name, file)) = self.map.0.iter().find(|(name, _)| !tensors.contains_key(*name)) {
            return Err(named(
                Error::format(format!(
                    "tensor {name:?} is missing in {file:?}, where the index lists it"
                ))
                .with_remedy(remedy::FAILED_DOWNLOAD),
            ));
        }
        quantised::attach(&mut tensors).map_err(named)?;
        let file = File {
            path: Some(path.to_path_buf()),
            container: container.ok_or_else(|| Error::internal("an index without files"))?,
            metadata,
            shard: None,
            files: files.len(),
            tensors: tensors.len(),
        };
        Checkpoint::named(file, tensors).map_err(named)
    }
}

/// Whether a file name of an index stays in the folder of the index.
fn is_inside(name: &str) -> bool {
    let path = Path::new(name);
    let normal = |component: Component<'_>| matches!(component, Component::Normal(_));
    // Backslashes and drives lead out of the folder on Windows, wherever the index was written.
    !name.is_empty() && path.components().all(normal) && !name.contains(['\\', ':'])
}
