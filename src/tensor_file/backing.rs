//! The bytes behind a checkpoint: an open file or a buffer.
//!
//! Files are read where and when their tensors are asked for, never mapped into memory. A map of a file that somebody
//! truncates, or that lies on a drive that goes away, kills the process by a signal; a read fails with an error.
//!
//! Every read of a tensor is followed by a look at the file's length and time of change, so that numbers of two versions
//! are never mixed. What this cannot see: a writer that puts back the time of change, a single write call that goes on
//! for longer than a tick of the clock while the file is opened, and file systems with slower clocks (FAT: 2 s). On
//! Windows nobody can write to a file that is open here.

use super::place::check_file_name;
use crate::error::{Error, ErrorKind, Result};
use crate::remedy;
use bytes::Bytes;
use std::borrow::Cow;
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Bytes of a file that are read at a time: enough that calls cost nothing, few enough for the second-level cache.
const BLOCK: usize = 256 << 10;

/// Bytes of a container, read-only. Usable from any number of threads at once.
pub(super) enum Backing {
    /// A file, read at the places that are asked for.
    File(OpenFile),
    /// A buffer handed in by the caller.
    Memory(Bytes),
}

/// A file as it was when it was opened.
pub(super) struct OpenFile {
    file: File,
    path: PathBuf,
    length: u64,
    modified: Option<SystemTime>,
}

impl OpenFile {
    pub(super) fn open(path: &Path) -> Result<Self> {
        check_file_name(path)?;
        let io = |error| Error::io(path, error);
        // A pipe would block while it is opened, so its kind is looked up first.
        let kind = std::fs::metadata(path).map_err(io)?.file_type();
        if kind.is_dir() {
            return Err(Error::invalid(format!(
                "{}: is a folder, expected a checkpoint file",
                path.display()
            )));
        }
        if !kind.is_file() {
            return Err(Error::invalid(format!(
                "{}: is a pipe or a device, expected a checkpoint file",
                path.display()
            ))
            .with_remedy(remedy::REGULAR_FILE));
        }
        let file = open_to_read(path).map_err(io)?;
        let metadata = settled(&file).map_err(io)?;
        Ok(Self {
            length: metadata.len(),
            modified: metadata.modified().ok(),
            path: path.to_path_buf(),
            file,
        })
    }

    /// All of its bytes, but at most `most`.
    pub(super) fn first_bytes(&self, most: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.length.min(most)).unwrap_or(usize::MAX)];
        self.read_exact_at(&mut bytes, 0)?;
        self.check_unchanged()?;
        Ok(bytes)
    }

    /// Fills `out` with the bytes from `at` on.
    fn read_exact_at(&self, out: &mut [u8], at: u64) -> Result<()> {
        let mut done = 0;
        while done < out.len() {
            match read_at(&self.file, &mut out[done..], at + done as u64) {
                Ok(0) => {
                    // Nobody asks for bytes beyond the length that the file had.
                    self.check_unchanged()?;
                    return Err(self.changed(self.length, "it ends early"));
                }
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io(&self.path, error)),
            }
        }
        Ok(())
    }

    /// Fails when the file has another length or time of change than it had when it was opened. A file that was
    /// deleted, or replaced by renaming another one over it, is still the old one behind its handle.
    fn check_unchanged(&self) -> Result<()> {
        let now: Metadata = self.file.metadata().map_err(|error| Error::io(&self.path, error))?;
        if now.len() == self.length && now.modified().ok() == self.modified {
            return Ok(());
        }
        Err(self.changed(now.len(), "it was written to"))
    }

    fn changed(&self, length: u64, how: &str) -> Error {
        let before = self.length;
        let what = if length == before {
            format!("{how}, still {before} bytes")
        } else {
            format!("{before} → {length} bytes")
        };
        Error::new(
            ErrorKind::Io,
            format!(
                "{}: the file was changed after it was opened: {what}",
                self.path.display()
            ),
        )
        .with_remedy(remedy::OPEN_AGAIN)
    }
}

/// Length and time of change of a file, once the clock of its file system has gone on since it was written.
///
/// Otherwise a writer could be at work under a time of change that is already set, or write again within the same tick,
/// and nothing would tell. Files that were written a while ago, which are nearly all, cost no time here.
fn settled(file: &File) -> io::Result<Metadata> {
    /// The slowest clock of Linux' file systems: timer interrupts at 100 Hz.
    const TICK: Duration = Duration::from_millis(10);
    /// Somebody who goes on writing is found by [`OpenFile::check_unchanged`].
    const WAITS: usize = 20;
    for _ in 0..WAITS {
        let metadata = file.metadata()?;
        // A time in the future is that of another computer's clock.
        let age = metadata.modified().ok().and_then(|time| time.elapsed().ok());
        match age.and_then(|age| TICK.checked_sub(age)) {
            Some(rest) if !rest.is_zero() => std::thread::sleep(rest),
            _ => return Ok(metadata),
        }
    }
    file.metadata()
}

/// Opens a file to be read, while others may write to it: [`OpenFile::check_unchanged`] tells.
#[cfg(not(windows))]
fn open_to_read(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Opens a file to be read, which nobody may write to meanwhile. It may still be renamed and deleted.
#[cfg(windows)]
fn open_to_read(path: &Path) -> io::Result<File> {
    use std::os::windows::fs::OpenOptionsExt;
    const FILE_SHARE_READ: u32 = 1;
    const FILE_SHARE_DELETE: u32 = 4;
    let mut options = File::options();
    options
        .read(true)
        .share_mode(FILE_SHARE_READ | FILE_SHARE_DELETE)
        .open(path)
}

#[cfg(unix)]
fn read_at(file: &File, out: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, out, at)
}

#[cfg(windows)]
fn read_at(file: &File, out: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, out, at)
}

impl Backing {
    /// Opens the file at `path`.
    pub(super) fn open(path: &Path) -> Result<Self> {
        OpenFile::open(path).map(Self::File)
    }

    /// Number of bytes.
    pub(super) fn len(&self) -> usize {
        match self {
            // No tensor of a file beyond the address space could be read anyway.
            Self::File(file) => usize::try_from(file.length).unwrap_or(usize::MAX),
            Self::Memory(bytes) => bytes.len(),
        }
    }

    /// Fails when the file was changed since it was opened; see [`OpenFile::check_unchanged`].
    pub(super) fn check_unchanged(&self) -> Result<()> {
        match self {
            Self::File(file) => file.check_unchanged(),
            Self::Memory(_) => Ok(()),
        }
    }

    fn outside(&self, range: &Range<usize>) -> Error {
        Error::internal(format!("bytes {range:?} of a container of {}", self.len()))
    }

    /// Fills `out` with the bytes from `at` on.
    pub(super) fn read_into(&self, out: &mut [u8], at: usize) -> Result<()> {
        let range = at..at.saturating_add(out.len());
        if range.end > self.len() {
            return Err(self.outside(&range));
        }
        match self {
            Self::File(file) => file.read_exact_at(out, at as u64),
            Self::Memory(bytes) => {
                out.copy_from_slice(&bytes[range]);
                Ok(())
            }
        }
    }

    /// The bytes of `range`: borrowed from a buffer, read from a file.
    pub(super) fn read(&self, range: Range<usize>) -> Result<Cow<'_, [u8]>> {
        match self {
            Self::Memory(bytes) => bytes
                .get(range.clone())
                .map(Cow::Borrowed)
                .ok_or_else(|| self.outside(&range)),
            Self::File(_) => {
                if range.end > self.len() || range.start > range.end {
                    return Err(self.outside(&range));
                }
                let mut bytes = vec![0; range.len()];
                self.read_into(&mut bytes, range.start)?;
                Ok(Cow::Owned(bytes))
            }
        }
    }

    /// Hands the bytes of `range` to `sink`, in blocks whose sizes are multiples of `element` (the last one's too, when
    /// the range's is). A buffer comes as one block, a file never lies in memory as a whole.
    pub(super) fn blocks(
        &self,
        range: Range<usize>,
        element: usize,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        if let Self::Memory(_) = self {
            return sink(&self.read(range)?);
        }
        let size = BLOCK / element.max(1) * element.max(1);
        let mut block = vec![0; size.min(range.len())];
        let mut at = range.start;
        while at < range.end {
            let count = size.min(range.end - at);
            self.read_into(&mut block[..count], at)?;
            sink(&block[..count])?;
            at += count;
        }
        Ok(())
    }
}

/// A reader over all bytes, for archives. It reads a window of the file at a time: directories are full of small parts.
pub(super) struct BackingReader<'a> {
    backing: &'a Backing,
    at: u64,
    window: Vec<u8>,
    window_at: u64,
}

impl<'a> BackingReader<'a> {
    /// A reader at the first byte.
    pub(super) fn new(backing: &'a Backing) -> Self {
        Self {
            backing,
            at: 0,
            window: Vec::new(),
            window_at: 0,
        }
    }
}

impl Read for BackingReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        const WINDOW: u64 = 16 << 10;
        let length = self.backing.len() as u64;
        if self.at >= length || out.is_empty() {
            return Ok(0);
        }
        if self.at < self.window_at || self.at >= self.window_at + self.window.len() as u64 {
            // A directory is read backwards as well, so the window holds what lies before too.
            self.window_at = self.at / WINDOW * WINDOW;
            let count = (2 * WINDOW).min(length - self.window_at);
            self.window.resize(count as usize, 0);
            let outcome = self.backing.read_into(&mut self.window, self.window_at as usize);
            if let Err(error) = outcome {
                self.window.clear();
                return Err(io::Error::other(error.to_string()));
            }
        }
        let inside = &self.window[(self.at - self.window_at) as usize..];
        let count = inside.len().min(out.len());
        out[..count].copy_from_slice(&inside[..count]);
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for BackingReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(offset) => (self.backing.len() as u64).checked_add_signed(offset),
            SeekFrom::Current(offset) => self.at.checked_add_signed(offset),
        };
        self.at = target.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_reads_as_the_buffer_does() {
        let bytes: Vec<u8> = (0..(BLOCK + 40_000) as u32).map(|i| (i % 251) as u8).collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.bin");
        std::fs::write(&path, &bytes).unwrap();
        let backings = [Backing::open(&path).unwrap(), Backing::Memory(bytes.clone().into())];
        for backing in &backings {
            for range in [0..0, 5..17, 3..bytes.len(), bytes.len() - 1..bytes.len()] {
                assert_eq!(*backing.read(range.clone()).unwrap(), bytes[range.clone()], "{range:?}");
                let mut seen = Vec::new();
                let aligned = range.start..range.start + range.len() / 6 * 6;
                backing
                    .blocks(aligned.clone(), 6, &mut |block| {
                        assert_eq!(block.len() % 6, 0);
                        seen.extend_from_slice(block);
                        Ok(())
                    })
                    .unwrap();
                assert_eq!(seen, bytes[aligned]);
            }
            assert!(backing.read(1..bytes.len() + 1).is_err());
            let mut reader = BackingReader::new(backing);
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            assert_eq!(all, bytes);
            reader.seek(SeekFrom::End(-22)).unwrap();
            all.clear();
            reader.read_to_end(&mut all).unwrap();
            assert_eq!(all, bytes[bytes.len() - 22..]);
            assert!(reader.seek(SeekFrom::Current(-(bytes.len() as i64) - 1)).is_err());
        }
    }
}
