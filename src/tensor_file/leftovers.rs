//! Temporary files of saves that were killed.
//!
//! A process that is killed while it saves cannot remove its temporary file. The next process that saves into the same
//! folder does. Which files are still being written the system's locks tell: they end with their process.

use std::collections::HashSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What the names of temporary files begin and end with.
pub(super) const PREFIX: &str = ".omniid-";
pub(super) const SUFFIX: &str = ".tmp";
/// Random letters and digits between them, as `tempfile` draws them.
const RANDOM: usize = 6;

/// Folders that are remembered as tidied; a program that saves into more of them tidies some again.
const REMEMBERED: usize = 1024;

/// Removes what killed processes left in a folder; once for each folder, as listing a large one takes a while.
pub(super) fn remove_once(folder: &Path) {
    static DONE: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);
    // The process may change its folder.
    let Ok(folder) = std::path::absolute(folder) else {
        return;
    };
    {
        let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
        let done = done.get_or_insert_default();
        if done.len() >= REMEMBERED {
            done.clear();
        }
        if !done.insert(folder.clone()) {
            return;
        }
    }
    remove(&folder);
}

fn remove(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        // A link or a pipe of this name is none of ours.
        if name.to_str().is_some_and(is_ours) && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            remove_unless_written(&entry.path());
        }
    }
}

fn is_ours(name: &str) -> bool {
    let random = name.strip_prefix(PREFIX).and_then(|name| name.strip_suffix(SUFFIX));
    random.is_some_and(|random| random.len() == RANDOM && random.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Where there are no locks, or with files of other users, nothing is removed.
fn remove_unless_written(path: &Path) {
    let Ok(file) = OpenOptions::new().write(true).open(path) else {
        return;
    };
    if file.try_lock().is_ok() {
        // While the lock is held: whoever made the file just now sees that it is gone.
        let _ = std::fs::remove_file(path);
    }
}

/// Locks a new file as one that is being written, until it is closed. `false` when another process was faster and took
/// it for a leftover.
pub(super) fn is_claimed(file: &File, path: &Path) -> bool {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => false,
        // Without locks nobody removes anything.
        Err(TryLockError::Error(_)) => true,
        Ok(()) => path.exists(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_goes_with_the_next_save() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let others = [
            ".omniid-abc12.tmp",
            ".omniid-abc1234.tmp",
            ".omniid-abc-12.tmp",
            "omniid-abc123.tmp",
            ".omniid-abc123.lock",
            ".omniid-abc123.tmp2",
        ];
        for name in others.iter().chain(&[".omniid-abc123.tmp", ".omniid-Zy9876.tmp"]) {
            std::fs::write(at(name), b"half").unwrap();
        }
        std::fs::create_dir(at(".omniid-folder.tmp")).unwrap();
        let written = File::options().write(true).open(at(".omniid-Zy9876.tmp")).unwrap();
        assert!(is_claimed(&written, &at(".omniid-Zy9876.tmp")));
        super::super::save_bytes_atomically(&at("x"), b"new").unwrap();
        let mut left: Vec<String> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let mut expected = others.map(String::from).to_vec();
        expected.extend([".omniid-Zy9876.tmp", ".omniid-folder.tmp", "x"].map(String::from));
        expected.sort();
        assert_eq!(left, expected);
    }
}
