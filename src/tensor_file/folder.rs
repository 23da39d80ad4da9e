//! Models as folders, and what to open in them.

use super::backing::Backing;
use super::{shards, Checkpoint};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;
use crate::remedy;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a folder is searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A model of any kind, in the folder itself.
    Model,
    /// An image encoder, which pipelines and repositories of adapters keep in a subfolder.
    ImageEncoder,
}

/// Files of one model, in the order of preference. Whole files come before shards, safetensors before PyTorch; the
/// variant without a name before others.
const NAMES: [&str; 14] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "model.fp16.safetensors",
    "model.safetensors.index.fp16.json",
    "model.fp16.safetensors.index.json",
    "model.bf16.safetensors",
    "pytorch_model.fp16.bin",
    "pytorch_model.bin.index.fp16.json",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
    "ip_adapter.safetensors",
    "ip_adapter.bin",
];

/// Where image encoders lie in the folders of pipelines and in public repositories.
const ENCODER_FOLDERS: [&str; 3] = ["image_encoder", "models/image_encoder", "sdxl_models/image_encoder"];

/// Endings of files that may hold a model.
const ENDINGS: [&str; 5] = ["safetensors", "bin", "pt", "pth", "ckpt"];

/// Files with such endings that hold no model: states of a training run.
const STATES: [&str; 7] = [
    "optimizer",
    "scheduler",
    "scaler",
    "training_args",
    "random_states",
    "rng_state",
    "sampler",
];

/// Most entries of a folder that are looked at, and names that a message lists.
const MOST: usize = 10_000;
const LISTED: usize = 8;

/// Opens a file, an index or a folder.
pub(super) fn open(path: &Path, role: Role, limits: &Limits) -> Result<Checkpoint> {
    if path.is_dir() {
        return open_file(&find(path, role)?, limits);
    }
    open_file(path, limits)
}

fn open_file(path: &Path, limits: &Limits) -> Result<Checkpoint> {
    let named = |error: Error| match error.message().starts_with(&path.display().to_string()) {
        true => error,
        false => error.context(path.display()),
    };
    let backing = Arc::new(Backing::open(path)?);
    if let Some(index) = shards::Index::read(&backing, limits).map_err(named)? {
        return index.open(path, limits);
    }
    Checkpoint::parse(backing, Some(path.to_path_buf()), limits).map_err(|error| {
        let hint = unfinished(path).filter(|_| error.kind() == ErrorKind::Format);
        let error = named(error);
        match hint {
            Some(hint) => {
                Error::format(format!("{} ({hint})", error.message())).with_remedy(remedy::UNFINISHED_DOWNLOAD)
            }
            None => error,
        }
    })
}

/// What a path says about a download that was not finished.
fn unfinished(path: &Path) -> Option<String> {
    const PARTIAL: [&str; 7] = [
        "part",
        "partial",
        "crdownload",
        "download",
        "incomplete",
        "opdownload",
        "aria2",
    ];
    let ending = path.extension()?.to_str()?.to_ascii_lowercase();
    if PARTIAL.contains(&ending.as_str()) {
        return Some(format!("the ending .{ending} says that the download is not finished"));
    }
    let mut control = path.as_os_str().to_owned();
    control.push(".aria2");
    Path::new(&control).exists().then(|| {
        format!(
            "{} beside it says that the download is not finished",
            Path::new(&control).display()
        )
    })
}

/// The file to open in a folder.
fn find(folder: &Path, role: Role) -> Result<PathBuf> {
    if let Some(path) = standard(folder) {
        return Ok(path);
    }
    if let Some(snapshot) = snapshot(folder) {
        return find(&snapshot, role);
    }
    if role == Role::ImageEncoder {
        let found: Vec<PathBuf> = ENCODER_FOLDERS
            .iter()
            .filter_map(|sub| standard(&folder.join(sub)))
            .collect();
        match found.as_slice() {
            [one] => return Ok(one.clone()),
            [] => {}
            several => {
                return Err(Error::invalid(format!(
                "{}: the folder holds several image encoders, expected the one that the checkpoint was trained with: {}",
                folder.display(),
                listed(
                    several
                        .iter()
                        .filter_map(|path| path.parent())
                        .map(|path| path.display().to_string())
                )
            )))
            }
        }
    }
    let models = models(folder)?;
    if let (true, Some((shard, count))) = (models.is_empty(), lonely_shard(folder)) {
        return Err(Error::invalid(format!(
            "{}: is a folder with files of a model in {count} files, such as {shard}, without their index \
             (model.safetensors.index.json)",
            folder.display()
        ))
        .with_remedy(remedy::MISSING_SHARDS));
    }
    match models.as_slice() {
        [one] => Ok(folder.join(one)),
        [] => Err(Error::invalid(format!(
            "{}: is a folder without a model file; expected a .safetensors, .bin, .pt or .ckpt file, or a folder that \
             holds one (model.safetensors or pytorch_model.bin){}",
            folder.display(),
            below(folder)
        ))
        .with_remedy(remedy::MODEL_FILE)),
        several => Err(Error::invalid(format!(
            "{}: is a folder with {} model files: {}",
            folder.display(),
            several.len(),
            listed(several.iter().cloned())
        ))
        .with_remedy(remedy::MODEL_FILE)),
    }
}

/// The version of a model that a cache of Hugging Face holds, by the folder of the repository in it.
fn snapshot(folder: &Path) -> Option<PathBuf> {
    let main = std::fs::read_to_string(folder.join("refs/main")).ok()?;
    let name = main.trim();
    let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    Some(folder.join("snapshots").join(name)).filter(|path| plain && path.is_dir())
}

/// A shard in a folder, and how many there should be.
fn lonely_shard(folder: &Path) -> Option<(String, usize)> {
    let entries = std::fs::read_dir(folder).ok()?.take(MOST);
    let mut names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.find_map(|name| {
        let (_, count) = shards::shard_of(Path::new(&name))?;
        Some((name, count))
    })
}

/// The first of [`NAMES`] in a folder.
fn standard(folder: &Path) -> Option<PathBuf> {
    NAMES.iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

/// All files in a folder that may hold a model, sorted.
fn models(folder: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).map_err(|error| Error::io(folder, error))?;
    let mut models: Vec<String> = entries
        .take(MOST)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| {
            let path = Path::new(name);
            let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
            let index = name.contains(".index.") && ending == "json";
            let state = STATES.iter().any(|state| name.starts_with(state));
            // Indices speak for their shards.
            let wanted = index || ENDINGS.contains(&ending) && shards::shard_of(path).is_none();
            wanted && !state && !name.starts_with('.') && folder.join(name).is_file()
        })
        .collect();
    models.sort();
    Ok(models)
}

/// Subfolders that hold a model, for the message about a folder without one.
fn below(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).into_iter().flatten().take(MOST);
    let mut found: Vec<String> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir() && (standard(path).is_some() || models(path).is_ok_and(|found| !found.is_empty())))
        .map(|path| path.display().to_string())
        .collect();
    found.sort();
    match found.is_empty() {
        true => String::new(),
        false => format!("; there are model files in {}", listed(found.into_iter())),
    }
}

fn listed(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    let more = names.len().saturating_sub(LISTED);
    let mut text = names.into_iter().take(LISTED).collect::<Vec<_>>().join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}
