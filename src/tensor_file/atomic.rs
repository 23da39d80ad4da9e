//! Writing a file so that it is never seen half-written.

use crate::error::{Error, Result};
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Writes a file in one step.
///
/// `write` fills a temporary file in the same folder, which is flushed to the disk and renamed. So `path` holds
/// either what it held before or the complete new file, and after an error the temporary file is gone. A link is
/// followed. A device or pipe, which cannot be replaced, is written directly.
///
/// # Errors
/// [`Io`](crate::ErrorKind::Io) naming the path, also when the disk is full;
/// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a folder; whatever `write` returns.
pub fn save_atomically(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
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
    builder.prefix(".omniid-").suffix(".tmp");
    #[cfg(unix)]
    {
        // What a plainly created file gets; the process' umask still applies.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    // Dropping the temporary file on any of the errors below removes it.
    let file = buffered(builder.tempfile_in(folder).map_err(failed)?, write)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(&target).map_err(|error| failed(error.error))?;
    #[cfg(unix)]
    if let Ok(folder) = std::fs::File::open(folder) {
        // The rename itself reaches the disk; some file systems refuse to sync folders, which is no failure.
        let _ = folder.sync_all();
    }
    Ok(())
}

/// Runs `write` on a buffer around `file` and gives the file back.
fn buffered<W: Write>(file: W, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<W> {
    let mut buffer = BufWriter::with_capacity(1 << 20, file);
    write(&mut buffer)?;
    buffer.into_inner().map_err(|error| failed(error.into_error()))
}

fn failed(error: io::Error) -> Error {
    Error::new(crate::ErrorKind::Io, error.to_string())
}
