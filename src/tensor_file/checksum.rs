//! Checksums of the storages in PyTorch files: the CRC-32 of the zip archive.

use super::backing::Backing;
use crate::error::{Error, Result};
use crate::remedy;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the bytes of a storage must sum up to. It is looked at when they are read anyway, and once.
pub(super) struct Checksum {
    /// The storage's name in the archive, for messages.
    name: String,
    expected: u32,
    fits: AtomicBool,
}

impl Checksum {
    /// The checksum `expected` of the file `name`; `None` for 0, which PyTorch writes when it is told not to compute
    /// checksums.
    pub(super) fn new(name: String, expected: u32) -> Option<Self> {
        (expected != 0).then_some(Self {
            name,
            expected,
            fits: AtomicBool::new(false),
        })
    }

    /// Whether the bytes were found to fit before.
    pub(super) fn is_checked(&self) -> bool {
        self.fits.load(Ordering::Relaxed)
    }

    /// Fails unless `actual` is what was expected.
    pub(super) fn check(&self, actual: u32) -> Result<()> {
        if actual != self.expected {
            return Err(Error::format(format!(
                "PyTorch file: the checksum of {:?} does not fit: it is damaged",
                self.name
            ))
            .with_remedy(remedy::DAMAGED_WEIGHTS));
        }
        self.fits.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Reads the bytes of `range`, unless they were checked before.
    pub(super) fn check_range(&self, backing: &Backing, range: Range<usize>) -> Result<()> {
        if self.is_checked() {
            return Ok(());
        }
        let mut sum = flate2::Crc::new();
        backing.blocks(range, 1, &mut |block| {
            sum.update(block);
            Ok(())
        })?;
        // What was written to meanwhile is no damage.
        backing.check_unchanged()?;
        self.check(sum.sum())
    }
}
