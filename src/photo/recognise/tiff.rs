//! Which picture of a TIFF is the photo, and whether the file is a camera's raw file at all.
//!
//! Raw files are TIFF in which the first picture is often a small preview. Reading that one would make a thumbnail of
//! the photo, without anybody noticing.

use super::PictureFormat;
use std::collections::HashSet;
use std::io::{Cursor, Read, Result, Seek, SeekFrom};

/// Directories that are looked at. More pages than these do not change what the file is.
const MAX_DIRECTORIES: usize = 64;

/// Strips or tiles that are looked at.
const MAX_PARTS: usize = 1 << 16;

/// Entries of a directory that are looked at.
const MAX_ENTRIES: u64 = 4096;

/// Compressions that only cameras use: Sony ARW, packed and Samsung raw, Nikon NEF, lossy DNG, Kodak, Pentax PEF.
const RAW_COMPRESSIONS: [u64; 7] = [32767, 32769, 32770, 34713, 34892, 65000, 65535];

/// Colour filter array (TIFF/EP), linear raw (DNG).
const RAW_PHOTOMETRICS: [u64; 2] = [32803, 34892];

/// Raw formats by the maker, as its name begins in capitals.
const MAKERS: [(&str, &str); 14] = [
    ("NIKON", "NEF"),
    ("CANON", "CR2"),
    ("SONY", "ARW"),
    ("PENTAX", "PEF"),
    ("RICOH", "PEF"),
    ("SAMSUNG", "SRW"),
    ("OLYMPUS", "ORF"),
    ("PANASONIC", "RW2"),
    ("HASSELBLAD", "3FR"),
    ("PHASE ONE", "IIQ"),
    ("KODAK", "DCR"),
    ("EASTMAN KODAK", "DCR"),
    ("SEIKO EPSON", "ERF"),
    ("MAMIYA", "MEF"),
];

/// Where the photo of a TIFF is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::photo) enum PhotoInTiff {
    /// The first picture.
    First,
    /// The first picture is a reduced one; the directory of the photo itself lies here, in bytes from the beginning.
    At(u64),
    /// Nowhere: this is a raw file. With the name of its format.
    Raw(&'static str),
}

/// What a TIFF is: a picture, or a raw file.
pub(super) fn recognise<R: Read + Seek>(reader: &mut R) -> PictureFormat {
    match inspect(reader) {
        PhotoInTiff::Raw(name) => PictureFormat::CameraRaw(name),
        PhotoInTiff::First | PhotoInTiff::At(_) => PictureFormat::Tiff,
    }
}

/// Where the photo of a TIFF in memory is.
pub(in crate::photo) fn photo_in(bytes: &[u8]) -> PhotoInTiff {
    inspect(&mut Cursor::new(bytes))
}

/// What the sample beyond the colours is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::photo) enum ExtraSample {
    /// Opacity, by which the colours are multiplied.
    Associated,
    /// Opacity.
    Unassociated,
    /// Something else.
    Other,
}

/// What the first picture of a TIFF in memory says of its fourth (or, in grey, second) sample.
pub(in crate::photo) fn extra_sample(bytes: &[u8]) -> ExtraSample {
    let extra = Tiff::open(&mut Cursor::new(bytes))
        .and_then(|(mut tiff, first)| tiff.directory(first))
        .map(|directory| directory.extra);
    match extra {
        Ok(Some(1)) => ExtraSample::Associated,
        // Some writers say nothing of a fourth sample that they mean so.
        Ok(Some(2) | None) => ExtraSample::Unassociated,
        _ => ExtraSample::Other,
    }
}

/// Where the data of a picture lies.
pub(in crate::photo) struct Layout {
    pub rows: u32,
    pub compressed: bool,
    /// The first byte and the number of bytes of each strip or tile.
    pub parts: Vec<(u64, u64)>,
}

/// Where the data of the first picture of a TIFF in memory lies.
pub(in crate::photo) fn layout(bytes: &[u8]) -> Option<Layout> {
    let mut cursor = Cursor::new(bytes);
    let (mut tiff, first) = Tiff::open(&mut cursor).ok()?;
    let directory = tiff.directory(first).ok()?;
    let parts = directory
        .places
        .iter()
        .copied()
        .zip(directory.lengths.iter().copied())
        .collect();
    Some(Layout {
        rows: u32::try_from(directory.rows).ok()?,
        compressed: directory.compression > 1,
        parts,
    })
}

/// The colour profile of the first picture of a TIFF in memory. The decoder does not give it within limits.
pub(in crate::photo) fn profile(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut cursor = Cursor::new(bytes);
    let (mut tiff, first) = Tiff::open(&mut cursor).ok()?;
    let (at, length) = tiff.directory(first).ok()?.profile?;
    let start = usize::try_from(at).ok()?;
    let end = start.checked_add(usize::try_from(length).ok()?)?;
    bytes.get(start..end).map(<[u8]>::to_vec)
}

/// What a directory says about its picture, as far as it matters here.
#[derive(Default)]
struct Directory {
    offset: u64,
    reduced: bool,
    mask: bool,
    raw: bool,
    dng: bool,
    make: String,
    children: Vec<u64>,
    next: u64,
    /// What the first sample beyond the colours is.
    extra: Option<u64>,
    /// Where the colour profile lies, and its length.
    profile: Option<(u64, u64)>,
    rows: u64,
    compression: u64,
    /// Where strips or tiles begin, and how long they are.
    places: Vec<u64>,
    lengths: Vec<u64>,
}

fn inspect<R: Read + Seek>(reader: &mut R) -> PhotoInTiff {
    let Ok((mut tiff, first)) = Tiff::open(reader) else {
        return PhotoInTiff::First;
    };
    if let Some(name) = tiff.signed_raw() {
        return PhotoInTiff::Raw(name);
    }
    let mut seen = HashSet::new();
    let mut pages = Vec::new();
    let mut children = Vec::new();
    let mut next = first;
    let mut unread = 0;
    while next != 0 && seen.len() < MAX_DIRECTORIES && seen.insert(next) {
        let Ok(page) = tiff.directory(next) else { break };
        for &child in &page.children {
            if seen.len() >= MAX_DIRECTORIES || !seen.insert(child) {
                continue;
            }
            match tiff.directory(child) {
                Ok(child) => children.push(child),
                Err(_) => unread += 1,
            }
        }
        next = page.next;
        pages.push(page);
    }
    let all = || pages.iter().chain(&children);
    if all().any(|directory| directory.raw || directory.dng) {
        return PhotoInTiff::Raw(raw_name(all()));
    }
    if !pages.first().is_some_and(|page| page.reduced || page.mask) {
        return PhotoInTiff::First;
    }
    match all().find(|directory| !directory.reduced && !directory.mask) {
        Some(photo) => PhotoInTiff::At(photo.offset),
        // A preview whose photo is out of reach, as in a raw file that was cut off.
        None if unread > 0 => PhotoInTiff::Raw(raw_name(all())),
        // The only picture that there is, whatever it calls itself.
        None => PhotoInTiff::First,
    }
}

fn raw_name<'d>(mut directories: impl Iterator<Item = &'d Directory> + Clone) -> &'static str {
    if directories.clone().any(|directory| directory.dng) {
        return "DNG";
    }
    directories
        .find_map(|directory| MAKERS.iter().find(|(maker, _)| directory.make.starts_with(maker)))
        .map_or("TIFF of a camera", |(_, name)| name)
}

/// A reader that knows the file's byte order and the width of its offsets.
struct Tiff<'r, R> {
    reader: &'r mut R,
    little: bool,
    big_tiff: bool,
}

impl<'r, R: Read + Seek> Tiff<'r, R> {
    /// Reads the header; gives the place of the first directory, too.
    fn open(reader: &'r mut R) -> Result<(Self, u64)> {
        reader.seek(SeekFrom::Start(0))?;
        let mut start = [0; 4];
        reader.read_exact(&mut start)?;
        let little = start[0] == b'I';
        let big_tiff = start[2..].contains(&0x2B);
        let mut tiff = Self {
            reader,
            little,
            big_tiff,
        };
        let first = if big_tiff {
            tiff.number(8, 8)?
        } else {
            tiff.number(4, 4)?
        };
        Ok((tiff, first))
    }

    /// Raw formats that say so behind the header.
    fn signed_raw(&mut self) -> Option<&'static str> {
        let mark = self.bytes(8, 4).ok()?;
        match &mark[..] {
            [b'C', b'R', ..] => Some("CR2"),
            b"IIII" | b"MMMM" => Some("IIQ"),
            _ => None,
        }
    }

    fn bytes(&mut self, at: u64, length: usize) -> Result<Vec<u8>> {
        self.reader.seek(SeekFrom::Start(at))?;
        let mut bytes = vec![0; length];
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// An unsigned number of `length` bytes, at most 8.
    fn number(&mut self, at: u64, length: usize) -> Result<u64> {
        let bytes = self.bytes(at, length)?;
        Ok(self.value(&bytes))
    }

    fn value(&self, bytes: &[u8]) -> u64 {
        let join = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
        if self.little {
            bytes.iter().rev().fold(0, join)
        } else {
            bytes.iter().fold(0, join)
        }
    }

    fn directory(&mut self, offset: u64) -> Result<Directory> {
        let (count_bytes, entry_bytes, word) = if self.big_tiff { (8, 20, 8) } else { (2, 12, 4) };
        let count = self.number(offset, count_bytes)?;
        if count > MAX_ENTRIES {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        let entries = self.bytes(offset + count_bytes as u64, count as usize * entry_bytes)?;
        let mut directory = Directory {
            offset,
            ..Directory::default()
        };
        for entry in entries.chunks_exact(entry_bytes) {
            let tag = self.value(&entry[..2]);
            let kind = self.value(&entry[2..4]);
            let count = self.value(&entry[4..4 + word]);
            let field = &entry[4 + word..];
            // The first value, when it stands in the entry itself.
            let value = match kind {
                1 => self.value(&field[..1]),
                3 => self.value(&field[..2]),
                16 | 18 if self.big_tiff => self.value(field),
                _ => self.value(&field[..4]),
            };
            match tag {
                // NewSubfileType: a set of bits.
                254 => {
                    directory.reduced |= value & 1 != 0;
                    directory.mask |= value & 4 != 0;
                }
                // SubfileType, its predecessor.
                255 => directory.reduced |= value == 2,
                257 => directory.rows = value,
                259 => {
                    directory.compression = value;
                    directory.raw |= RAW_COMPRESSIONS.contains(&value);
                }
                262 => directory.raw |= RAW_PHOTOMETRICS.contains(&value),
                271 => directory.make = self.text(field, count, word).to_ascii_uppercase(),
                // Read once: each may be long, and a directory can name it thousands of times.
                273 | 324 if directory.places.is_empty() => {
                    directory.places = self.numbers(field, kind, count, word, MAX_PARTS);
                }
                279 | 325 if directory.lengths.is_empty() => {
                    directory.lengths = self.numbers(field, kind, count, word, MAX_PARTS);
                }
                330 => {
                    directory.children = self.numbers(field, kind, count, word, MAX_DIRECTORIES);
                    if directory.children.is_empty() {
                        // Leads nowhere, and is counted as that.
                        directory.children.push(u64::MAX / 2);
                    }
                }
                // CFARepeatPatternDim, CFAPattern.
                33421 | 33422 => directory.raw = true,
                338 => directory.extra = Some(value),
                34675 => directory.profile = Some((self.value(field), count)),
                50706 => directory.dng = true,
                _ => {}
            }
        }
        let end = offset + count_bytes as u64 + count * entry_bytes as u64;
        // A directory at the end of a damaged file may lack its link.
        directory.next = self.number(end, word).unwrap_or(0);
        Ok(directory)
    }

    fn text(&mut self, field: &[u8], count: u64, word: usize) -> String {
        let count = count.min(64) as usize;
        let bytes = if count <= word {
            field[..count].to_vec()
        } else {
            let at = self.value(field);
            self.bytes(at, count).unwrap_or_default()
        };
        String::from_utf8_lossy(&bytes).trim_matches(['\0', ' ']).to_owned()
    }

    /// The numbers of a field: 16, 32 or 64 bits each. Empty when they cannot be read.
    fn numbers(&mut self, field: &[u8], kind: u64, count: u64, word: usize, most: usize) -> Vec<u64> {
        let width = match kind {
            3 => 2,
            16 | 18 => 8,
            _ => 4,
        };
        let length = count.min(most as u64) as usize * width;
        let bytes = if length <= word {
            field[..length].to_vec()
        } else {
            let at = self.value(field);
            self.bytes(at, length).unwrap_or_default()
        };
        bytes.chunks_exact(width).map(|bytes| self.value(bytes)).collect()
    }
}
