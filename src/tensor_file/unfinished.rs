//! The temporary files of saves that are running, for programs that are asked to end meanwhile.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

static FILES: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn files() -> MutexGuard<'static, Vec<PathBuf>> {
    // A list of paths is consistent whatever happened while it was locked.
    FILES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lists a file as long as it lives.
#[derive(Debug)]
pub struct Unfinished(PathBuf);

impl Unfinished {
    /// Lists a file of this process that must not outlive it: one that is half-written, or a lock.
    pub fn new(path: &Path) -> Self {
        // The process may change its folder.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        files().push(path.clone());
        Self(path)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let mut files = files();
        if let Some(place) = files.iter().position(|file| *file == self.0) {
            files.swap_remove(place);
        }
    }
}

/// Removes the temporary files of all saves that are running in this process.
///
/// For programs that are about to end on a signal: saves that are running are lost, their targets are untouched. Saves
/// that begin later wait for the end of the process, so that they leave nothing behind. Not for signal handlers
/// themselves, as it locks and allocates: call it from a thread that waits for signals.
pub fn remove_unfinished() {
    let files = files();
    for file in files.iter() {
        let _ = std::fs::remove_file(file);
    }
    std::mem::forget(files);
}
