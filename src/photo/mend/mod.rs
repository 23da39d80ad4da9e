//! Files of which a little is missing at the end, in formats other than JPEG.
//!
//! Decoders of these formats refuse a file that lacks anything. But nothing of the picture is missing when only the end
//! marker, a checksum or the padding of the last row is; and a photo whose last rows are missing is of use, with a note.

mod bmp;
mod png;
mod tiff;
pub(super) mod webp;

use super::PhotoNote;
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::remedy;
use image::ImageFormat;

/// Share of a picture's rows that may be missing at its end.
const MAX_MISSING: f64 = 0.02;

/// A file that a decoder takes, made of one that it does not.
#[derive(Debug)]
pub(super) struct Mended {
    pub bytes: Vec<u8>,
    /// What should be known; `None` when all of the picture was there.
    pub note: Option<PhotoNote>,
}

/// Tries to make a whole file of one that its decoder has refused. `None` when the decoder's error says it all.
///
/// # Errors
/// [`Format`](crate::ErrorKind::Format) with how much is missing, when that is too much.
pub(super) fn mend(bytes: &[u8], format: ImageFormat, limits: &Limits) -> Result<Option<Mended>> {
    match format {
        ImageFormat::Png => png::mend(bytes, limits),
        ImageFormat::WebP => webp::mend(bytes),
        ImageFormat::Bmp => bmp::mend(bytes),
        ImageFormat::Tiff => tiff::mend(bytes),
        _ => Ok(None),
    }
}

/// Damage that the decoder of a format does not notice: what should be known of a picture that it has decoded.
///
/// # Errors
/// [`Format`](crate::ErrorKind::Format).
pub(super) fn check(bytes: &[u8], format: ImageFormat) -> Result<Option<PhotoNote>> {
    match format {
        ImageFormat::WebP => webp::check(bytes),
        _ => Ok(None),
    }
}

/// The note on a picture of `rows` rows of which `share` is missing at the end, or the error when that is too much.
fn judge(name: &str, share: f64, rows: u32) -> Result<PhotoNote> {
    let lost = (share * f64::from(rows)).ceil();
    // A header may say that there are no rows, of which nothing is lost.
    if lost > MAX_MISSING * f64::from(rows) || share > MAX_MISSING {
        let percent = (100.0 * share).round().max(1.0);
        return Err(Error::format(format!(
            "{name} is damaged or truncated: about {percent} % of the picture is missing"
        ))
        .with_remedy(remedy::DAMAGED_PHOTO));
    }
    Ok(PhotoNote::Incomplete { missing: share as f32 })
}

/// A big-endian number of 32 bits.
fn big(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// A little-endian number of 32 bits.
fn little(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
