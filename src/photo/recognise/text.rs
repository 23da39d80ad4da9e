//! Formats that are text, or begin with text.

use super::PictureFormat;

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
