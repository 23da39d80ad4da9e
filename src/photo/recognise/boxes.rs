//! Files made of boxes (ISO/IEC 14496-12): HEIF and its relatives, Canon's raw files, and videos.

use super::PictureFormat;

/// Brands of pictures coded with HEVC (ISO/IEC 23008-12, annex B).
const HEVC: [&[u8; 4]; 8] = [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"];

/// Brands that say HEIF and leave the coding open.
const HEIF: [&[u8; 4]; 5] = [b"mif1", b"mif2", b"msf1", b"miaf", b"heif"];

/// Tells by the brands of the first box.
pub(super) fn recognise(head: &[u8]) -> Option<PictureFormat> {
    let kind = head.get(4..8)?;
    if kind != b"ftyp" {
        // QuickTime files from before brands. A text may have such a word there; a size is no text.
        if head[..4].iter().all(|byte| matches!(byte, b' '..=b'~')) {
            return None;
        }
        return [&b"moov"[..], b"mdat", b"wide", b"free", b"skip", b"pnot"]
            .contains(&kind)
            .then_some(PictureFormat::Video);
    }
    let size = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
    // Major brand, version, compatible brands. A damaged size must not hide what the brands say.
    let end = if size >= 12 {
        size.min(head.len())
    } else {
        head.len().min(64)
    };
    let major = head.get(8..12)?;
    let compatible = head.get(16..end).unwrap_or_default();
    let brands = || std::iter::once(major).chain(compatible.chunks_exact(4));
    let any = |known: &[&[u8; 4]]| brands().any(|brand| known.iter().any(|known| known.as_slice() == brand));
    Some(if major == b"crx " {
        PictureFormat::CameraRaw("CR3")
    } else if major == b"jxl " {
        PictureFormat::JpegXl
    } else if any(&[b"jp2 ", b"jpx ", b"jpm "]) {
        PictureFormat::Jpeg2000
    } else if any(&[b"avif", b"avis"]) {
        PictureFormat::Avif
    } else if any(&HEVC) || any(&HEIF) {
        PictureFormat::Heic
    } else {
        PictureFormat::Video
    })
}
