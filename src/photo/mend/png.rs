//! PNG: chunks with checksums, and the picture in one zlib stream over the IDAT chunks.

use super::{big, judge, Mended};
use crate::error::Result;
use crate::limits::Limits;
use crate::photo::PhotoNote;
use flate2::{Compression, Crc, Decompress, FlushDecompress, Status};
use std::io::Write;

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1A\n";

pub(super) fn mend(bytes: &[u8], limits: &Limits) -> Result<Option<Mended>> {
    let Some(file) = Chunks::read(bytes) else {
        return Ok(None);
    };
    let Some(shape) = Shape::read(file.header) else {
        return Ok(None);
    };
    let Some(whole) = shape.bytes().filter(|&bytes| bytes as u64 <= limits.max_decoded_bytes) else {
        return Ok(None);
    };
    let Some((mut rows, checked)) = inflate(&file.data, whole) else {
        return Ok(None);
    };
    // A chunk whose checksum is wrong is believed only when the checksum of the whole stream is there and right.
    if checked == Some(false) || (file.damaged && checked.is_none()) {
        return Ok(None);
    }
    let mut note = None;
    if rows.len() < whole {
        // An interlaced picture is missing everywhere, not at its end.
        let share = (whole - rows.len()) as f64 / whole as f64;
        let judged: PhotoNote = judge("PNG", share, shape.height)?;
        if shape.interlaced {
            return Ok(None);
        }
        note = Some(judged);
        while rows.len() < whole {
            // Each row begins with the number of its filter, of which 0 is none.
            rows.push(if rows.len().is_multiple_of(shape.stride) {
                0
            } else {
                shape.filling
            });
        }
    }
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::none());
    let Ok(data) = encoder.write_all(&rows).and_then(|()| encoder.finish()) else {
        return Ok(None);
    };
    let mut out = [SIGNATURE, file.before].concat();
    chunk(&mut out, b"IDAT", &data);
    chunk(&mut out, b"IEND", b"");
    Ok(Some(Mended { bytes: out, note }))
}

/// A PNG taken apart, as far as it goes.
struct Chunks<'a> {
    /// The content of IHDR.
    header: &'a [u8],
    /// The chunks before the first IDAT.
    before: &'a [u8],
    /// The content of all IDAT.
    data: Vec<u8>,
    /// Whether the checksum of an IDAT is wrong.
    damaged: bool,
}

impl<'a> Chunks<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.get(16..29).filter(|_| bytes.get(12..16) == Some(b"IHDR"))?;
        let mut file = Self {
            header,
            before: &[],
            data: Vec::new(),
            damaged: false,
        };
        let mut at = 8;
        while let Some(length) = big(bytes, at) {
            let Some(kind) = bytes.get(at + 4..at + 8) else {
                break;
            };
            let start = at + 8;
            let end = start.checked_add(length as usize)?;
            if kind == b"IDAT" {
                if file.before.is_empty() {
                    file.before = &bytes[8..at];
                }
                let data = &bytes[start..end.min(bytes.len())];
                if let Some(expected) = big(bytes, end) {
                    let mut crc = Crc::new();
                    crc.update(kind);
                    crc.update(data);
                    file.damaged |= crc_of_png(&crc) != expected;
                }
                file.data.extend_from_slice(data);
            } else if !file.data.is_empty() {
                break;
            }
            at = end.checked_add(4)?;
        }
        (!file.data.is_empty()).then_some(file)
    }
}

/// PNG's checksum is the one of gzip.
fn crc_of_png(crc: &Crc) -> u32 {
    crc.sum()
}

fn chunk(out: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    let mut crc = Crc::new();
    crc.update(kind);
    crc.update(data);
    out.extend((data.len() as u32).to_be_bytes());
    out.extend(kind);
    out.extend(data);
    out.extend(crc_of_png(&crc).to_be_bytes());
}

/// How the rows lie in the stream.
struct Shape {
    width: usize,
    height: u32,
    bits: usize,
    /// Bytes of a row with its filter.
    stride: usize,
    interlaced: bool,
    /// What a missing byte of a row becomes: the middle of the scale, or the palette's first colour.
    filling: u8,
}

impl Shape {
    fn read(header: &[u8]) -> Option<Self> {
        let (width, height) = (big(header, 0)? as usize, big(header, 4)?);
        let &[depth, colour, _, _, interlace] = header.get(8..13)? else {
            return None;
        };
        let channels = match colour {
            0 | 3 => 1,
            2 => 3,
            4 => 2,
            6 => 4,
            _ => return None,
        };
        let bits = usize::from(depth) * channels;
        Some(Self {
            width,
            height,
            bits,
            stride: 1 + width.checked_mul(bits)?.div_ceil(8),
            interlaced: interlace != 0,
            filling: if colour == 3 || depth < 8 { 0 } else { 128 },
        })
    }

    /// Bytes of the whole stream.
    fn bytes(&self) -> Option<usize> {
        if !self.interlaced {
            return self.stride.checked_mul(self.height as usize);
        }
        // Adam7: first column and row, and steps, of each pass.
        const PASSES: [[usize; 4]; 7] = [
            [0, 0, 8, 8],
            [4, 0, 8, 8],
            [0, 4, 4, 8],
            [2, 0, 4, 4],
            [0, 2, 2, 4],
            [1, 0, 2, 2],
            [0, 1, 1, 2],
        ];
        let mut total = 0usize;
        for [x, y, step_x, step_y] in PASSES {
            let width = self.width.saturating_sub(x).div_ceil(step_x);
            let height = (self.height as usize).saturating_sub(y).div_ceil(step_y);
            if width > 0 {
                let stride = 1 + width.checked_mul(self.bits)?.div_ceil(8);
                total = total.checked_add(stride.checked_mul(height)?)?;
            }
        }
        Some(total)
    }
}

/// Unpacks a zlib stream as far as it goes, at most to `whole` bytes; then whether its checksum is right, if it is
/// there. `None` when the stream breaks.
fn inflate(data: &[u8], whole: usize) -> Option<(Vec<u8>, Option<bool>)> {
    let packed = data.get(2..)?;
    let mut unpack = Decompress::new(false);
    // No stream grows more than 1032 times: a header alone takes no memory.
    let mut out = Vec::with_capacity(whole.min(packed.len().saturating_mul(1032)));
    loop {
        let (read, written) = (unpack.total_in(), out.len());
        let status = unpack
            .decompress_vec(&packed[read as usize..], &mut out, FlushDecompress::None)
            .ok()?;
        if status == Status::StreamEnd {
            break;
        }
        if unpack.total_in() == read && out.len() == written {
            // The data ends, or there is more of it than the picture takes.
            return Some((out, None));
        }
    }
    let check = big(packed, unpack.total_in() as usize);
    let checked = check.map(|expected| adler(&out) == expected);
    Some((out, checked))
}

/// Adler-32 (RFC 1950).
fn adler(bytes: &[u8]) -> u32 {
    let (mut a, mut b) = (1u32, 0u32);
    // As many additions as fit before the remainder is due.
    for part in bytes.chunks(5552) {
        for &byte in part {
            a += u32::from(byte);
            b += a;
        }
        a %= 65_521;
        b %= 65_521;
    }
    b << 16 | a
}
