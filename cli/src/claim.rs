//! One process at a time writes a file: the second one says so instead of losing the first one's work.
//!
//! A lock lies beside the file as long as it is being made. It is the system's lock that counts, not that the file is
//! there: what a killed process left behind stops nobody. On Windows a file that is open without being shared is such a
//! lock, and goes with the process.

use crate::failure::{Failure, Outcome};
use crate::signals;
use omniid::checkpoint::Unfinished;
use omniid::{Error, ErrorKind};
use std::fs::File;
#[cfg(not(windows))]
use std::fs::TryLockError;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The right to write a file, or into a folder, until it is dropped.
pub struct Claim {
    lock: PathBuf,
    _file: File,
    _listed: Unfinished,
}

impl Claim {
    /// Claims a file, which need not exist; its folder must.
    ///
    /// # Errors
    /// When another process has the claim, and when the folder does not take new files.
    pub fn file(path: &Path) -> Outcome<Self> {
        Self::try_file(path)?.ok_or_else(|| busy(path))
    }

    /// Claims a folder that exists.
    ///
    /// # Errors
    /// As [`Claim::file`].
    pub fn folder(path: &Path) -> Outcome<Self> {
        Self::take(path.join(".omniid.lock"))?.ok_or_else(|| busy(path))
    }

    /// As [`Claim::file`], but waits while another process has the claim.
    pub fn wait(path: &Path) -> Outcome<Self> {
        let mut told = false;
        loop {
            if let Some(claim) = Self::try_file(path)? {
                return Ok(claim);
            }
            if !told {
                tell!("waiting for another process that writes {}", path.display());
                told = true;
            }
            if signals::is_interrupted() {
                return Err(Error::new(ErrorKind::Cancelled, format!("{}: cancelled", path.display())).into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn try_file(path: &Path) -> Outcome<Option<Self>> {
        // A link and what it leads to are one file.
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let mut hash = DefaultHasher::new();
        match path.file_name() {
            // There the case of letters does not count.
            Some(name) if cfg!(windows) => name.to_string_lossy().to_lowercase().hash(&mut hash),
            name => name.hash(&mut hash),
        }
        Self::take(folder_of(&path).join(format!(".omniid-{:016x}.lock", hash.finish())))
    }

    /// Locks a file that is made for it; `None` when another process has it.
    fn take(lock: PathBuf) -> Outcome<Option<Self>> {
        let file = open_locked(&lock).map_err(|error| {
            let folder = folder_of(&lock);
            Error::new(ErrorKind::Io, format!("cannot write to {}: {error}", folder.display()))
        })?;
        Ok(file.map(|file| Self {
            _listed: Unfinished::new(&lock),
            _file: file,
            lock,
        }))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Before the lock goes, so that nobody else's file is removed.
        let _ = std::fs::remove_file(&self.lock);
    }
}

fn busy(path: &Path) -> Failure {
    Error::new(
        ErrorKind::Io,
        format!("{} is being written by another process", path.display()),
    )
    .into()
}

/// The folder that a file lies in.
fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// Makes a file that this process alone has; `None` when another one has it.
#[cfg(not(windows))]
fn open_locked(path: &Path) -> std::io::Result<Option<File>> {
    loop {
        let file = File::options().write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Ok(None),
            // Some file systems have no locks: the file is then all that there is.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        // The last owner may have removed it before this process had the lock.
        if is_at(&file, path) {
            return Ok(Some(file));
        }
    }
}

/// Makes a file that this process alone has; `None` when another one has it. It is not shared, and the system removes it
/// when it is closed, also by the end of the process.
#[cfg(windows)]
fn open_locked(path: &Path) -> std::io::Result<Option<File>> {
    use std::os::windows::fs::OpenOptionsExt;
    // Constants of winnt.h, winbase.h and winerror.h.
    const GENERIC_WRITE: u32 = 0x4000_0000;
    const DELETE: u32 = 0x0001_0000;
    const FILE_FLAG_DELETE_ON_CLOSE: u32 = 0x0400_0000;
    const ERROR_ACCESS_DENIED: i32 = 5;
    const ERROR_SHARING_VIOLATION: i32 = 32;
    let mut options = File::options();
    options.write(true).create(true).truncate(false).share_mode(0);
    options
        .access_mode(GENERIC_WRITE | DELETE)
        .custom_flags(FILE_FLAG_DELETE_ON_CLOSE);
    for attempt in 0.. {
        match options.open(path) {
            Ok(file) => return Ok(Some(file)),
            Err(error) => match error.raw_os_error() {
                Some(ERROR_SHARING_VIOLATION) => return Ok(None),
                // The last owner's file is just being removed.
                Some(ERROR_ACCESS_DENIED) if attempt < 20 => std::thread::sleep(Duration::from_millis(10)),
                _ => return Err(error),
            },
        }
    }
    unreachable!("the last attempt returns")
}

/// Whether an open file is the one at a path.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |found: std::fs::Metadata| (found.dev(), found.ino());
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(named)) => id(open) == id(named),
        _ => false,
    }
}

/// Whether an open file is the one at a path. An open file cannot be replaced here.
#[cfg(not(any(unix, windows)))]
fn is_at(_file: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_claim_at_a_time_and_nothing_left() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = ["a.omniid", "b.omniid"].map(|name| folder.path().join(name));
        let first = Claim::file(&a).unwrap();
        let Err(Failure::Library(error)) = Claim::file(&a) else {
            panic!()
        };
        assert!(error.message().contains("a.omniid is being written"), "{error}");
        let other = Claim::file(&b).unwrap();
        let whole = Claim::folder(folder.path()).unwrap();
        assert!(Claim::folder(folder.path()).is_err());
        drop((first, other, whole));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        // What a killed process left does not count.
        let left = Claim::file(&a).unwrap();
        let lock = left.lock.clone();
        drop(left);
        std::fs::write(&lock, b"").unwrap();
        drop(Claim::file(&a).unwrap());
        assert!(!lock.exists());
    }

    #[test]
    fn waiting_claims_follow_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("counter");
        std::fs::write(&path, "0").unwrap();
        let add = || {
            for _ in 0..20 {
                let _claim = Claim::wait(&path).unwrap();
                let number: u32 = std::fs::read_to_string(&path).unwrap().parse().unwrap();
                std::thread::yield_now();
                std::fs::write(&path, (number + 1).to_string()).unwrap();
            }
        };
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(add))));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "80");
    }
}
