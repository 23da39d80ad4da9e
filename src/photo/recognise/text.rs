//! Formats that are text, or begin with text.

use super::PictureFormat;
use crate::error::Error;
use crate::remedy;

/// Characters of a text that a message shows.
const SHOWN: usize = 160;

pub(super) fn recognise(head: &[u8]) -> Option<PictureFormat> {
    let contains = |part: &[u8], text: &[u8]| part.windows(text.len()).any(|window| window == text);
    // Readers of PDF accept up to a kilobyte of other bytes before the header.
    if contains(&head[..head.len().min(1024)], b"%PDF-") {
        return Some(PictureFormat::Pdf);
    }
    let text = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head).trim_ascii_start();
    if text.first() != Some(&b'<') {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    if lower.starts_with(b"<!doctype html") || lower.starts_with(b"<html") {
        return Some(PictureFormat::Html);
    }
    let may_be_svg = [&b"<svg"[..], b"<?xml", b"<!--", b"<!doctype svg"]
        .iter()
        .any(|start| lower.starts_with(start));
    if may_be_svg && contains(&lower, b"<svg") {
        return Some(PictureFormat::Svg);
    }
    contains(&lower, b"<html").then_some(PictureFormat::Html)
}

/// The error for a text in a photo's place: the answer of a server, a pointer of Git LFS. `None` for what is no text.
pub(in crate::photo) fn refusal(bytes: &[u8]) -> Option<Error> {
    let head = &bytes[..bytes.len().min(super::HEAD)];
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // A character may be cut where the head ends.
        Err(error) if error.error_len().is_none() && bytes.len() > head.len() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let text = text.trim_start_matches('\u{feff}');
    let control = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\x0c');
    if text.trim().is_empty() || text.chars().any(control) {
        return None;
    }
    if text.starts_with("version https://git-lfs") {
        return Some(Error::format("not a picture but a Git LFS pointer").with_remedy(remedy::GIT_LFS));
    }
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown: String = line.chars().take(SHOWN).collect();
    let more = if shown.len() < line.len() { "…" } else { "" };
    let lower = shown.to_ascii_lowercase();
    let is_answer = lower.starts_with(['{', '<'])
        || ["error", "not found", "denied", "forbidden", "unauthorized"]
            .iter()
            .any(|word| lower.contains(word));
    let remedy = match is_answer {
        true => remedy::FAILED_DOWNLOAD,
        false => remedy::DAMAGED_PHOTO,
    };
    Some(Error::format(format!("not a picture but text: {shown}{more}")).with_remedy(remedy))
}
