//! The bytes behind a checkpoint: a memory-mapped file or a buffer.

use crate::error::{Error, Result};
use bytes::Bytes;
use memmap2::Mmap;
use std::fs::File;
use std::ops::Range;
use std::path::Path;

/// Bytes of a container, read-only.
pub(super) enum Backing {
    /// A file mapped into memory. Pages are read when touched.
    Mapped(Mmap),
    /// A buffer handed in by the caller.
    Memory(Bytes),
}

impl Backing {
    /// Maps the file at `path`.
    ///
    /// The file must not be truncated or rewritten in place while the map lives. Every writer of this library
    /// renames a finished temporary file over the old one, which leaves existing maps intact.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let io = |error| Error::io(path, error);
        let file = File::open(path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        if metadata.is_dir() {
            return Err(Error::invalid(format!(
                "{}: is a folder, expected a checkpoint file",
                path.display()
            )));
        }
        if metadata.len() == 0 {
            // An empty file cannot be mapped, and neither can a pipe or a device.
            return Ok(Self::Memory(Bytes::new()));
        }
        // SAFETY: the map is read-only and private to this value; slices of it never outlive it. What remains is
        // that another process could truncate or rewrite the file meanwhile, which would make reads fault or
        // change under us. The documentation of `Checkpoint::open` puts that on the caller, as for every
        // memory-mapped model file.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        Ok(Self::Mapped(map))
    }

    /// All bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Memory(bytes) => bytes,
        }
    }

    /// Gives the pages of `range` back to the system. They are read from the file again when touched again.
    ///
    /// Does nothing for a buffer, outside of Unix, and when the system refuses: it only saves memory.
    pub(super) fn release(&self, range: Range<usize>) {
        #[cfg(unix)]
        if let Self::Mapped(map) = self {
            // The map begins at a page boundary, so offsets in it and addresses agree. 64 KiB is a multiple of
            // every page size in use. The last pages are shared with the next tensor: they come back by themselves.
            const GRAIN: usize = 64 << 10;
            let start = range.start.min(map.len()) / GRAIN * GRAIN;
            let end = range
                .end
                .checked_next_multiple_of(GRAIN)
                .unwrap_or(usize::MAX)
                .min(map.len());
            if start < end {
                // SAFETY: the map is backed by a file, shared with the page cache, and was never written through.
                // Dropping its pages therefore loses nothing: the next access reads the same bytes again. So a
                // slice of this range held by another thread stays valid.
                let _ = unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, end - start) };
            }
        }
        #[cfg(not(unix))]
        let _ = range;
    }
}
