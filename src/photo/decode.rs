//! From the bytes of an image file to upright 8-bit RGB.

use super::recognise::{photo_in, recognise, PhotoInTiff, PictureFormat};
use super::{check_bytes, check_size, jpeg, Decoded};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, RgbImage};
use omniid_kernels::ThreadPool;
use std::borrow::Cow;
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::OnceLock;

/// A JPEG of fewer bytes is looked through before it is decoded instead of meanwhile: waking a thread costs more.
const PARALLEL_BYTES: usize = 8 << 10;

/// Reads a whole file of at most [`Limits::max_photo_bytes`].
pub(super) fn read_file(path: &Path, limits: &Limits) -> Result<Vec<u8>> {
    // The caller puts the photo's name, which is the path, before the message.
    let failed = |error: std::io::Error| Error::new(crate::error::ErrorKind::Io, error.to_string()).with_source(error);
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    // A pipe or a device could block, or never end.
    if !metadata.is_file() {
        return Err(Error::invalid("is not a regular file"));
    }
    check_file_size(metadata.len(), limits)?;
    // The file may grow while it is read: never take more than the size that was checked.
    let mut bytes = Vec::new();
    file.take(metadata.len()).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn check_file_size(bytes: u64, limits: &Limits) -> Result<()> {
    if bytes > limits.max_photo_bytes {
        return Err(Error::limit(format!(
            "encoded photo of {bytes} bytes, the limit is {} (max_photo_bytes)",
            limits.max_photo_bytes
        )));
    }
    Ok(())
}

/// Decodes JPEG, PNG, WebP, BMP or TIFF, told apart by content.
pub(super) fn decode_bytes(bytes: &[u8], limits: &Limits) -> Result<Decoded> {
    check_file_size(bytes.len() as u64, limits)?;
    match readable(bytes)? {
        ImageFormat::Jpeg => decode_jpeg(bytes, limits),
        ImageFormat::Tiff => decode_as(&past_preview(bytes)?, ImageFormat::Tiff, limits).map(Decoded::whole),
        format => decode_as(bytes, format, limits).map(Decoded::whole),
    }
}

fn decode_jpeg(bytes: &[u8], limits: &Limits) -> Result<Decoded> {
    let decode = |bytes: &[u8]| decode_as(bytes, ImageFormat::Jpeg, limits);
    let (complete, image) = if bytes.len() < PARALLEL_BYTES {
        (jpeg::completeness(bytes), decode(bytes))
    } else {
        both(|| jpeg::completeness(bytes), || decode(bytes))
    };
    // What is damaged and too large should be called too large: another copy would not help.
    let image = match (complete, image) {
        (_, Err(error)) if error.kind() == ErrorKind::LimitExceeded => return Err(error),
        (Err(error), _) => return Err(error),
        (Ok(complete), image) => {
            // The decoder wants the end-of-image marker, without which the picture may be complete.
            let image = if complete.lacks_end {
                decode(&[bytes, b"\xFF\xD9"].concat())?
            } else {
                image?
            };
            Decoded {
                notes: Vec::from_iter(complete.note),
                ..Decoded::whole(image)
            }
        }
    };
    Ok(image)
}

/// Runs both functions, at once where there are threads for it.
fn both<A: Send + Sync, B: Send + Sync>(first: impl Fn() -> A + Sync, second: impl Fn() -> B + Sync) -> (A, B) {
    let (a, b) = (OnceLock::new(), OnceLock::new());
    ThreadPool::global().run(2, &|task| {
        if task == 0 {
            a.get_or_init(&first);
        } else {
            b.get_or_init(&second);
        }
    });
    (
        a.into_inner().unwrap_or_else(first),
        b.into_inner().unwrap_or_else(second),
    )
}

/// Decodes one of the formats at full size, upright.
fn decode_as(bytes: &[u8], format: ImageFormat, limits: &Limits) -> Result<RgbImage> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(decoder_limits(limits));
    let mut decoder = reader.into_decoder().map_err(|error| explain(error, format))?;
    let (width, height) = decoder.dimensions();
    check_size(width, height, limits)?;
    // Damaged metadata must not cost the photo: without a readable orientation it is taken as stored.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    check_bytes(peak_bytes(&decoder, format, orientation), width, height, limits)?;
    let image = DynamicImage::from_decoder(decoder).map_err(|error| explain(error, format))?;
    let mut image = DynamicImage::ImageRgb8(image.into_rgb8());
    image.apply_orientation(orientation);
    Ok(image.into_rgb8())
}

/// Bytes that decoding allocates at its worst moment.
fn peak_bytes(decoder: &impl ImageDecoder, format: ImageFormat, orientation: Orientation) -> u64 {
    let (width, height) = decoder.dimensions();
    let rgb = u64::from(width) * u64::from(height) * 3;
    let decoded = decoder.total_bytes();
    // A progressive JPEG keeps two bytes per coefficient; WebP keeps its planes beside the output.
    let scratch = match format {
        ImageFormat::Jpeg => rgb.saturating_mul(2),
        ImageFormat::WebP => rgb,
        _ => 0,
    };
    let converted = if decoder.color_type() == image::ColorType::Rgb8 {
        0
    } else {
        rgb
    };
    let turned = if orientation == Orientation::NoTransforms {
        0
    } else {
        rgb.saturating_mul(2)
    };
    decoded.saturating_add(scratch.max(converted)).max(turned)
}

fn decoder_limits(limits: &Limits) -> image::Limits {
    let mut out = image::Limits::default();
    out.max_image_width = Some(super::MAX_SIDE);
    out.max_image_height = Some(super::MAX_SIDE);
    out.max_alloc = Some(limits.max_decoded_bytes);
    out
}

/// The format, when it is one of those that are read.
fn readable(bytes: &[u8]) -> Result<ImageFormat> {
    if bytes.is_empty() {
        return Err(Error::format("the photo is empty (0 bytes)"));
    }
    match recognise(bytes) {
        Some(PictureFormat::Jpeg) => Ok(ImageFormat::Jpeg),
        Some(PictureFormat::Png) => Ok(ImageFormat::Png),
        Some(PictureFormat::WebP) => Ok(ImageFormat::WebP),
        Some(PictureFormat::Bmp) => Ok(ImageFormat::Bmp),
        Some(PictureFormat::Tiff) => Ok(ImageFormat::Tiff),
        Some(other) => Err(other.refusal()),
        None if bytes.iter().all(|&byte| byte == 0) => Err(Error::format(
            "the photo holds nothing but zeros: its download or copy did not finish; fetch it again",
        )),
        None => Err(Error::format(
            "not an image that can be read: JPEG, PNG, WebP, BMP and TIFF are read",
        )),
    }
}

/// A TIFF whose first picture is the photo: the file itself, or one whose first picture, a preview, is passed over.
fn past_preview(bytes: &[u8]) -> Result<Cow<'_, [u8]>> {
    match photo_in(bytes) {
        PhotoInTiff::First => Ok(Cow::Borrowed(bytes)),
        PhotoInTiff::Raw(name) => Err(PictureFormat::CameraRaw(name).refusal()),
        PhotoInTiff::At(offset) => {
            let mut bytes = bytes.to_vec();
            // The header's link to the first directory: 32 bits, in BigTIFF 64.
            let (at, length) = if bytes[2..4].contains(&0x2B) { (8, 8) } else { (4, 4) };
            let offset = if bytes[0] == b'I' {
                offset.to_le_bytes()[..length].to_vec()
            } else {
                offset.to_be_bytes()[8 - length..].to_vec()
            };
            bytes[at..at + length].copy_from_slice(&offset);
            Ok(Cow::Owned(bytes))
        }
    }
}

/// Puts an error of the image library into our classes.
fn explain(error: ImageError, format: ImageFormat) -> Error {
    let name = match format {
        ImageFormat::Jpeg => "JPEG",
        ImageFormat::Png => "PNG",
        ImageFormat::WebP => "WebP",
        ImageFormat::Bmp => "BMP",
        _ => "TIFF",
    };
    match error {
        ImageError::Limits(error) => Error::limit(format!(
            "{name}: {error} (at most {} pixels a side and max_decoded_bytes)",
            super::MAX_SIDE
        )),
        ImageError::Unsupported(error) => Error::unsupported(format!("{name}: {error}")),
        other => Error::format(format!("{name} is damaged or truncated: {other}")),
    }
}
