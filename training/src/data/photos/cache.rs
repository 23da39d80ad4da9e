//! Prepared photos in a file, so that faces are looked for once.

use super::report::PhotoReport;
use super::walk::Walk;
use super::PhotoOptions;
use crate::data::Dataset;
use omniid::checkpoint::save_bytes_atomically;
use omniid::{Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Changes whenever photos are prepared in another way.
const VERSION: u32 = 2;

/// What lies beside the pictures, in a file of the same name with `.json` behind it.
#[derive(Serialize, Deserialize)]
struct Note {
    /// Hash of everything that the pictures depend on.
    key: String,
    report: PhotoReport,
}

/// A hash of the names, sizes and times of all files, and of the options.
pub(super) fn key(walk: &Walk, options: &PhotoOptions) -> String {
    let mut hash = Sha256::new();
    let options = PhotoOptions {
        cache: None,
        ..options.clone()
    };
    hash.update(format!("{VERSION} {options:?}\n"));
    for path in walk.people.iter().flat_map(|person| &person.files).chain(&walk.strays) {
        let state = std::fs::metadata(path).map(|data| (data.len(), data.modified().ok()));
        hash.update(format!("{path:?} {state:?}\n"));
    }
    hex(&hash.finalize())
}

/// The cached pictures, if they were made from exactly these files and options. A damaged cache is no error: the photos
/// are prepared again.
pub(super) fn read(path: &Path, key: &str) -> Option<(Dataset, PhotoReport)> {
    let text = std::fs::read_to_string(note_path(path)).ok()?;
    let note: Note = serde_json::from_str(&text).ok()?;
    if note.key != key {
        return None;
    }
    let dataset = Dataset::load(path).ok()?;
    (dataset.picture_count() == note.report.photos_kept).then_some((
        dataset,
        PhotoReport {
            cached: true,
            ..note.report
        },
    ))
}

/// Writes pictures and note. The note comes last: without it the pictures do not count.
pub(super) fn write(path: &Path, key: &str, dataset: &Dataset, report: &PhotoReport) -> Result<()> {
    let note_file = note_path(path);
    match std::fs::remove_file(&note_file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Error::io(&note_file, error)),
        _ => {}
    }
    dataset.save(path)?;
    let note = Note {
        key: key.to_string(),
        report: report.clone(),
    };
    let text =
        serde_json::to_vec_pretty(&note).map_err(|error| Error::internal(format!("report of photos: {error}")))?;
    save_bytes_atomically(&note_file, &text)
}

fn note_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".json");
    PathBuf::from(name)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
