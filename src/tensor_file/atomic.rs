//! Writing a file so that it is never seen half-written.

use super::leftovers;
use super::place::{check_output, plain};
use super::unfinished::Unfinished;
use crate::error::{Error, Result};
use crate::remedy;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Duration;
use tempfile::NamedTempFile;

/// Writes a file in one step.
///
/// `write` fills a temporary file in the same folder, which is flushed to the disk and renamed. So `path` holds
/// either what it held before or the complete new file, and after an error the temporary file is gone. A link is
/// followed. A device or pipe, which cannot be replaced, is written directly. A program that ends on a signal calls
/// [`remove_unfinished`](super::remove_unfinished) before; what a killed one left goes when the next process saves into
/// the folder.
///
/// On Windows names of devices and read-only files are refused; a file that another program has open without sharing it
/// cannot be replaced.
///
/// # Errors
/// [`Io`](crate::ErrorKind::Io) naming the path, also when the disk is full;
/// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a folder; whatever `write` returns.
pub fn save_atomically(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    check_output(path)?;
    save(path, write).map_err(|error| error.context(path.display()))
}

/// As [`save_atomically`], of bytes that are there already.
///
/// # Errors
/// As [`save_atomically`].
pub fn save_bytes_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    save_atomically(path, |out| out.write_all(bytes).map_err(failed))
}

fn save(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    if let Ok(existing) = std::fs::metadata(&target) {
        if existing.is_dir() {
            return Err(Error::invalid("is a folder, expected the name of a file"));
        }
        if !existing.is_file() {
            let file = std::fs::OpenOptions::new().write(true).open(&target).map_err(failed)?;
            return buffered(file, write).map(drop);
        }
    }
    let folder = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(leftovers::PREFIX).suffix(leftovers::SUFFIX);
    leftovers::remove_once(folder);
    // Dropping the temporary file on any of the errors below removes it.
    let (mut file, _listed) = temporary(&builder, folder)?;
    // The file itself: errors of tempfile's own writer name the temporary file, which nobody knows.
    buffered(file.as_file_mut(), write)?;
    file.as_file().sync_all().map_err(failed)?;
    // Still open, and so locked. By the standard library's own call: tempfile's fails for long paths on Windows.
    let (_open, mut path) = file.into_parts();
    rename(&path, &target)?;
    path.disable_cleanup(true);
    #[cfg(unix)]
    if let Ok(folder) = File::open(folder) {
        // The rename itself reaches the disk; some file systems refuse to sync folders, which is no failure.
        let _ = folder.sync_all();
    }
    Ok(())
}

/// A new file that no other process takes for a leftover.
fn temporary(builder: &tempfile::Builder<'_, '_>, folder: &Path) -> Result<(NamedTempFile, Unfinished)> {
    const ATTEMPTS: usize = 100;
    for _ in 0..ATTEMPTS {
        let file = builder
            .make_in(folder, create)
            .map_err(|error| not_created(folder, &error))?;
        let listed = Unfinished::new(file.path());
        if leftovers::is_claimed(file.as_file(), file.path()) {
            return Ok((file, listed));
        }
    }
    Err(Error::new(
        crate::ErrorKind::Io,
        format!("no file can be made in {}: others remove it", plain(folder)),
    ))
}

/// Makes a file that is not there, with the permissions of any other new file.
fn create(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create_new(true).open(path)
}

/// Gives a finished file its name.
fn rename(from: &Path, target: &Path) -> Result<()> {
    let mut outcome = std::fs::rename(from, target);
    // On Windows, programs that look for viruses or make an index open new files for a moment.
    for _ in 0..20 {
        match &outcome {
            Err(error) if is_in_use(error) => std::thread::sleep(Duration::from_millis(50)),
            _ => break,
        }
        outcome = std::fs::rename(from, target);
    }
    outcome.map_err(|error| match is_in_use(&error) && target.exists() {
        true => Error::new(
            crate::ErrorKind::Io,
            format!("another program has the file open: {error}"),
        )
        .with_remedy(remedy::FILE_IN_USE),
        false => failed(error),
    })
}

/// Whether Windows says that a file is open elsewhere: access denied, sharing violation, lock violation.
fn is_in_use(error: &io::Error) -> bool {
    cfg!(windows) && matches!(error.raw_os_error(), Some(5 | 32 | 33))
}

/// Runs `write` on a buffer around `file` and gives the file back.
fn buffered<W: Write>(file: W, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<W> {
    let mut buffer = BufWriter::with_capacity(1 << 20, file);
    match write(&mut buffer) {
        Ok(()) => buffer.into_inner().map_err(|error| failed(error.into_error())),
        Err(error) => {
            // Dropping the buffer would try to write the rest of a file that is given up.
            let _ = buffer.into_parts();
            Err(error)
        }
    }
}

fn failed(error: io::Error) -> Error {
    Error::new(crate::ErrorKind::Io, error.to_string())
}

/// The system's reason alone: tempfile adds the path of the temporary file.
fn not_created(folder: &Path, error: &io::Error) -> Error {
    let text = error.to_string();
    let reason = text.split_once(" at path ").map_or(text.as_str(), |(reason, _)| reason);
    Error::new(
        crate::ErrorKind::Io,
        format!("no file can be made in {}: {reason}", plain(folder)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_save_names_the_target_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("no/x.omniid");
        let error = save_bytes_atomically(&missing, b"x").unwrap_err();
        let text = error.message();
        assert!(text.starts_with(&missing.display().to_string()), "{text}");
        // The temporary file's name; the folder of the test itself may hold ".tmp".
        assert!(!text.contains(".omniid-"), "{text}");
        let given_up = folder.path().join("y");
        save_atomically(&given_up, |out| {
            out.write_all(&[1; 10]).unwrap();
            Err(Error::invalid("no"))
        })
        .unwrap_err();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
