//! The zip archive around a PyTorch file.

use super::super::backing::{Backing, BackingReader};
use super::super::checksum::Checksum;
use super::super::entry::Storage;
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::remedy;
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;
use zip::read::{ArchiveOffset, Config};
use zip::{CompressionMethod, ZipArchive};

/// An opened archive.
pub(super) struct Archive<'a> {
    backing: &'a Arc<Backing>,
    zip: ZipArchive<BackingReader<'a>>,
    /// The folder in the archive that everything lies in, with its slash.
    root: String,
    limits: Limits,
    /// Bytes that unpacking may still allocate.
    unpack: u64,
}

/// A file of the archive before it is unpacked.
struct Raw {
    /// Where its bytes lie in the archive.
    range: Range<usize>,
    deflated: bool,
    /// Bytes after unpacking, as the archive promises.
    size: u64,
    checksum: u32,
}

fn damaged(error: zip::result::ZipError) -> Error {
    Error::format(format!("PyTorch file: zip archive: {error}"))
}

/// What to say of an archive without its end, where the directory stands; `None` when the end is there.
fn cut_short(backing: &Backing) -> Result<Option<Error>> {
    /// The record that ends an archive, and the longest comment that may follow it.
    const END: &[u8] = b"PK\x05\x06";
    const END_BYTES: usize = 22;
    const MOST_COMMENT: usize = 0xffff;
    let length = backing.len();
    let tail = backing.read(length.saturating_sub(END_BYTES + MOST_COMMENT)..length)?;
    if tail.windows(END_BYTES).any(|record| record.starts_with(END)) {
        return Ok(None);
    }
    // A stopped download that had reserved its space is zeros from there on.
    let zeros = tail.iter().rev().take_while(|&&byte| byte == 0).count();
    Ok(Some(if zeros >= 4096 {
        Error::format(format!(
            "PyTorch file: the file of {length} bytes ends with nothing but zeros: a download reserved its space and \
             stopped"
        ))
        .with_remedy(remedy::UNFINISHED_DOWNLOAD)
    } else {
        Error::format(format!(
            "PyTorch file: the file ends too early, after {length} bytes: the directory at the end of the zip archive \
             is missing (truncated)"
        ))
        .with_remedy(remedy::FAILED_DOWNLOAD)
    }))
}

impl<'a> Archive<'a> {
    /// Reads the archive's directory and finds the pickle program in it.
    pub(super) fn open(backing: &'a Arc<Backing>, limits: &Limits) -> Result<Self> {
        // The archive begins with the file. Looking for its begin instead, `zip` takes the second entry for the first
        // one when that is as long as the two records of zip64 that PyTorch writes behind the directory: 76 bytes, which
        // a file name of 21 characters gives.
        let config = Config {
            archive_offset: ArchiveOffset::Known(0),
        };
        let zip = match ZipArchive::with_config(config, BackingReader::new(backing)) {
            Ok(zip) => zip,
            Err(error) => return Err(cut_short(backing)?.unwrap_or_else(|| damaged(error))),
        };
        let mut root = None;
        for name in zip.file_names() {
            let name = name.map_err(damaged)?;
            if let Some(folder) = name.strip_suffix("data.pkl") {
                if (folder.is_empty() || folder.ends_with('/')) && root.replace(folder.to_string()).is_some() {
                    return Err(Error::format("PyTorch file: the archive holds two programs (data.pkl)"));
                }
            }
        }
        let root = root.ok_or_else(|| {
            Error::format("a zip archive without data.pkl: not a file written by torch.save")
                .with_remedy(remedy::ARCHIVE)
        })?;
        let mut archive = Self {
            backing,
            zip,
            root,
            limits: *limits,
            unpack: limits.max_decoded_bytes,
        };
        archive.check_byte_order()?;
        Ok(archive)
    }

    fn check_byte_order(&mut self) -> Result<()> {
        let name = format!("{}byteorder", self.root);
        if self.zip.index_for_name(&name).is_none() {
            // Files before PyTorch 2.1 do not say; they are little-endian.
            return Ok(());
        }
        match &*self.contents(&name, 64)? {
            b"little" => Ok(()),
            other => Err(Error::unsupported(format!(
                "PyTorch file: byte order {:?}, only little-endian files are read",
                String::from_utf8_lossy(other)
            ))),
        }
    }

    /// The pickle program.
    pub(super) fn program(&mut self) -> Result<Vec<u8>> {
        let name = format!("{}data.pkl", self.root);
        self.contents(&name, self.limits.max_header_bytes)
    }

    /// The bytes of a file as they lie in the archive, and how they are to be unpacked.
    fn raw(&mut self, name: &str) -> Result<Raw> {
        let index = self
            .zip
            .index_for_name(name)
            .ok_or_else(|| Error::format(format!("PyTorch file: {name:?} is not in the archive")))?;
        let file = self.zip.by_index_raw(index).map_err(damaged)?;
        if file.encrypted() {
            return Err(Error::unsupported(format!("PyTorch file: {name:?} is encrypted")));
        }
        let (start, packed) = (file.data_start(), file.compressed_size());
        let range = start.and_then(|start| {
            let end = start.checked_add(packed)?;
            let range = usize::try_from(start).ok()?..usize::try_from(end).ok()?;
            (range.end <= self.backing.len()).then_some(range)
        });
        let range = range.ok_or_else(|| {
            Error::format(format!(
                "PyTorch file: {name:?} leaves the file of {} bytes",
                self.backing.len()
            ))
        })?;
        let deflated = match file.compression() {
            CompressionMethod::Stored => false,
            CompressionMethod::DEFLATE => true,
            other => {
                return Err(Error::unsupported(format!(
                    "PyTorch file: {name:?} is packed with {other}, not deflate"
                )))
            }
        };
        Ok(Raw {
            range,
            deflated,
            size: file.size(),
            checksum: file.crc32(),
        })
    }

    /// A file of the archive, unpacked and checked against its length and checksum.
    fn contents(&mut self, name: &str, limit: u64) -> Result<Vec<u8>> {
        let raw = self.raw(name)?;
        if raw.size > limit {
            return Err(Error::limit(format!(
                "PyTorch file: {name:?} has {} bytes, at most {limit} allowed",
                raw.size
            )));
        }
        let packed = &*self.backing.read(raw.range)?;
        let mut contents = Vec::new();
        let most = raw.size.saturating_add(1);
        let outcome = match raw.deflated {
            true => flate2::read::DeflateDecoder::new(packed)
                .take(most)
                .read_to_end(&mut contents),
            false => packed.take(most).read_to_end(&mut contents),
        };
        outcome.map_err(|error| Error::format(format!("PyTorch file: {name:?}: {error}")))?;
        if contents.len() as u64 != raw.size {
            return Err(Error::format(format!(
                "PyTorch file: {name:?} has another length than the {} bytes that the archive promises",
                raw.size
            )));
        }
        if let Some(expected) = Checksum::new(name.to_owned(), raw.checksum) {
            let mut sum = flate2::Crc::new();
            sum.update(&contents);
            expected.check(sum.sum())?;
        }
        Ok(contents)
    }

    /// The elements of the storage `key`: a range of the file, or unpacked when the archive compresses them.
    ///
    /// The checksum of a range is computed when it is read: a file of gigabytes is not read only to check it.
    pub(super) fn storage(&mut self, key: &str) -> Result<Storage> {
        let name = format!("{}data/{key}", self.root);
        let raw = self.raw(&name)?;
        if !raw.deflated {
            let checksum = Checksum::new(name, raw.checksum).map(Arc::new);
            return Ok(Storage::Range(self.backing.clone(), raw.range, checksum));
        }
        let contents = self.contents(&name, self.unpack)?;
        self.unpack = self.unpack.saturating_sub(contents.len() as u64);
        Ok(Storage::Owned(Arc::new(contents)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Cursor, Write};
    use zip::write::SimpleFileOptions;

    /// PyTorch writes the end records of zip64 into every file, and the folder has the file's name. With 21 characters
    /// the directory's first entry is as long as these records.
    #[test]
    fn names_of_every_length_are_read() {
        for length in 15..=30 {
            let root = "n".repeat(length);
            let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
            let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
            for (name, content) in [
                ("data.pkl", &b"program"[..]),
                ("byteorder", b"little"),
                ("version", b"3\n"),
            ] {
                writer.start_file(format!("{root}/{name}"), options).unwrap();
                writer.write_all(content).unwrap();
            }
            let mut bytes = writer.finish().unwrap().into_inner();
            let end = bytes.split_off(bytes.len() - 22);
            let number = |at: usize| u64::from(u32::from_le_bytes(end[at..at + 4].try_into().unwrap()));
            let (at, size, directory) = (bytes.len() as u64, number(12), number(16));
            bytes.extend(*b"PK\x06\x06");
            bytes.extend(44u64.to_le_bytes());
            bytes.extend([0x1e, 3, 0x2d, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            for value in [3, 3, size, directory] {
                bytes.extend(value.to_le_bytes());
            }
            bytes.extend(*b"PK\x06\x07\0\0\0\0");
            bytes.extend(at.to_le_bytes());
            bytes.extend(1u32.to_le_bytes());
            bytes.extend(end);
            let backing = Arc::new(Backing::Memory(bytes.into()));
            let mut archive = Archive::open(&backing, &Limits::default()).unwrap();
            assert_eq!(archive.program().unwrap(), b"program", "{length}");
        }
    }
}
