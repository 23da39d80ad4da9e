//! Assets for tests: the folder named by `OMNIID_ASSETS`, by default `../shared/assets` beside the repository.

use std::path::{Path, PathBuf};

/// A folder of the assets, if it holds `file`; otherwise a line on standard error says what is skipped.
pub fn folder(name: &str, file: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let assets =
        std::env::var_os("OMNIID_ASSETS").map_or_else(|| root.join("../../shared/assets"), PathBuf::from);
    let folder = assets.join(name);
    if folder.join(file).exists() {
        return Some(folder);
    }
    eprintln!("SKIPPED: no {file} in {} (set OMNIID_ASSETS)", folder.display());
    None
}
