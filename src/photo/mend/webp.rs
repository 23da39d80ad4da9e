//! WebP: chunks in a RIFF container. There are no checksums, and both codings decode whatever they find.

use super::{judge, little, Mended};
use crate::error::{Error, Result};
use crate::photo::PhotoNote;
use crate::remedy;

/// Equal bytes in a row that are no coded picture: what is left of a part that was never written.
const BLANK: usize = 64;

/// The chunk of a still picture: where its data begins, and how long it says to be.
fn picture(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut at = 12;
    loop {
        let kind = bytes.get(at..at + 4)?;
        let length = little(bytes, at + 4)? as usize;
        if kind == b"VP8 " || kind == b"VP8L" {
            return Some((at + 8, length));
        }
        at = at.checked_add(8)?.checked_add(length.checked_add(length % 2)?)?;
    }
}

/// Whether a chunk, of metadata, ends with or before the file. Decoders allocate what a chunk says to hold and then read
/// it.
pub(in crate::photo) fn is_whole(bytes: &[u8], chunk: &[u8; 4]) -> bool {
    let mut at = 12usize;
    while let Some(length) = at.checked_add(4).and_then(|at| little(bytes, at)) {
        let length = length as usize;
        let end = (at + 8).saturating_add(length);
        if end > bytes.len() {
            return bytes[at..at + 4] != chunk[..];
        }
        at = end + length % 2;
    }
    true
}

/// Fails for a picture with a part that holds the same byte throughout. The note tells of an end that is missing.
pub(super) fn check(bytes: &[u8]) -> Result<Option<PhotoNote>> {
    let Some((start, length)) = picture(bytes) else {
        return Ok(None);
    };
    let end = bytes.len().min(start.saturating_add(length));
    let data = &bytes[start.min(end)..end];
    // A run of this length holds one of these halves as a whole.
    let blank = data
        .chunks_exact(BLANK / 2)
        .position(|part| part.iter().all(|byte| *byte == part[0]));
    let run = blank.map(|index| {
        let first = index * (BLANK / 2);
        let value = data[first];
        let before = data[..first].iter().rev().take_while(|&&byte| byte == value).count();
        let after = data[first..].iter().take_while(|&&byte| byte == value).count();
        (first - before, before + after)
    });
    match run {
        Some((first, run)) if run >= BLANK => {
            let percent = (100.0 * (data.len() - first) as f64 / data.len() as f64).round();
            Err(Error::format(format!(
                "WebP is damaged: its data breaks, and about {percent} % of the picture is missing or wrong"
            ))
            .with_remedy(remedy::DAMAGED_PHOTO))
        }
        _ => Ok(mend(bytes)?.and_then(|mended| mended.note)),
    }
}

pub(super) fn mend(bytes: &[u8]) -> Result<Option<Mended>> {
    let Some((start, length)) = picture(bytes) else {
        return Ok(None);
    };
    let Some(whole) = start.checked_add(length) else {
        return Ok(None);
    };
    if bytes.len() >= whole || bytes.len() <= start {
        return Ok(None);
    }
    let share = (whole - bytes.len()) as f64 / length as f64;
    let Some(rows) = rows(bytes, start) else {
        return Ok(None);
    };
    let note = judge("WebP", share, rows)?;
    let mut bytes = bytes.to_vec();
    bytes.resize(whole.next_multiple_of(2), 0);
    Ok(Some(Mended {
        bytes,
        note: Some(note),
    }))
}

fn rows(bytes: &[u8], start: usize) -> Option<u32> {
    if bytes.get(start - 8..start - 4)? == b"VP8L" {
        // A signature byte, 14 bits of width less one, 14 bits of height less one.
        return Some((little(bytes, start + 1)? >> 14 & 0x3FFF) + 1);
    }
    // Frame tag, start code, width, height of 14 bits.
    Some(little(bytes, start + 6)? >> 16 & 0x3FFF)
}
