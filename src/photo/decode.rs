//! From the bytes of an image file to upright 8-bit sRGB.

use super::jpeg::Jpeg;
use super::profile::to_srgb;
use super::recognise::{
    extra_sample, photo_in, recognise, text_refusal, tiff_profile, ExtraSample, PhotoInTiff, PictureFormat,
};
use super::transparency::Opacity;
use super::{check_bytes, check_size, mend, Decoded};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::Limits;
use crate::remedy;
use crate::tensor_file::check_own_name;
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
    let failed = |error: std::io::Error| Error::new(ErrorKind::Io, error.to_string()).with_source(error);
    check_own_name(path)?;
    // A pipe or a device could block, or never end; Windows does not open folders at all.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(Error::invalid("is not a regular file"));
    }
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
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
        ImageFormat::Tiff => decode_or_mend(&past_preview(bytes)?, ImageFormat::Tiff, limits),
        format => decode_or_mend(bytes, format, limits),
    }
}

/// Decodes a file, or what can be made of one that lacks a little.
fn decode_or_mend(bytes: &[u8], format: ImageFormat, limits: &Limits) -> Result<Decoded> {
    let error = match decode_as(bytes, format, limits, None) {
        Ok(mut decoded) => {
            decoded.notes.extend(mend::check(bytes, format)?);
            return Ok(decoded);
        }
        Err(error) if error.kind() == ErrorKind::Format => error,
        Err(error) => return Err(error),
    };
    let Some(mended) = mend::mend(bytes, format, limits)? else {
        return Err(error);
    };
    // The first error is about the file itself.
    let mut decoded = decode_as(&mended.bytes, format, limits, None).map_err(|_| error)?;
    decoded.notes.extend(mended.note);
    Ok(decoded)
}

fn decode_jpeg(bytes: &[u8], limits: &Limits) -> Result<Decoded> {
    let jpeg = Jpeg::open(bytes);
    let decode = |bytes: &[u8]| match &jpeg {
        Some(jpeg) if jpeg.channels() == 4 => super::inks::decode(bytes, jpeg, limits),
        jpeg => decode_as(bytes, ImageFormat::Jpeg, limits, jpeg.as_ref()),
    };
    let Some(opened) = &jpeg else {
        // A coding that only the decoder may know.
        return decode(bytes);
    };
    let (width, height) = opened.size();
    let fits = check_size(width, height, limits).is_ok()
        && check_bytes(jpeg_peak_bytes(opened), width, height, limits).is_ok();
    if !fits {
        if let Some(factor) = opened.reduction(limits) {
            return decode_reduced(opened, factor);
        }
        // What it says of its size is enough to refuse it. To look through its data takes memory for every block, which
        // a few bytes may ask for.
        check_size(width, height, limits)?;
        check_bytes(jpeg_peak_bytes(opened), width, height, limits)?;
    }
    let complete = || opened.completeness();
    let (decoded, complete) = if bytes.len() < PARALLEL_BYTES {
        (decode(bytes), complete())
    } else {
        // The longer work first: this thread begins with it while the other one wakes.
        both(|| decode(bytes), complete)
    };
    // What is damaged and too large should be called too large: another copy would not help.
    if let Err(error) = &decoded {
        if error.kind() == ErrorKind::LimitExceeded {
            return decoded;
        }
    }
    let complete = complete?;
    let mut decoded = if complete.lacks_end {
        // The decoder wants the end-of-image marker, without which the picture may be complete.
        decode(&[bytes, b"\xFF\xD9"].concat())?
    } else {
        decoded?
    };
    decoded.notes.extend(complete.note);
    Ok(decoded)
}

/// Reads a JPEG at 1/`factor` of its size.
fn decode_reduced(jpeg: &Jpeg<'_>, factor: u32) -> Result<Decoded> {
    let (picture, complete) = jpeg.read_reduced(factor)?;
    let mut notes = Vec::new();
    let mut image = super::inks::to_rgb(picture, jpeg, &mut notes)?;
    let orientation = jpeg.orientation();
    image = turned(image, orientation);
    notes.extend(complete.note);
    let (width, height) = jpeg.size();
    let full_size = match orientation {
        Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH => {
            (height, width)
        }
        _ => (width, height),
    };
    Ok(Decoded {
        image,
        full_size,
        reduction: factor,
        notes,
    })
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

/// Decodes one of the formats at full size. The segments of a JPEG need not be read again.
fn decode_as(bytes: &[u8], format: ImageFormat, limits: &Limits, jpeg: Option<&Jpeg<'_>>) -> Result<Decoded> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(decoder_limits(limits));
    let mut decoder = reader.into_decoder().map_err(|error| explain(error, format))?;
    let (width, height) = decoder.dimensions();
    check_size(width, height, limits)?;
    // Damaged metadata must not cost the photo: without a readable orientation it is taken as stored.
    let (orientation, profile) = match jpeg {
        Some(jpeg) => (jpeg.orientation(), jpeg.profile()),
        None => {
            let is_there = |chunk| format != ImageFormat::WebP || mend::webp::is_whole(bytes, chunk);
            let orientation = is_there(b"EXIF").then(|| decoder.orientation().ok()).flatten();
            (
                orientation.unwrap_or(Orientation::NoTransforms),
                match format {
                    ImageFormat::Tiff => tiff_profile(bytes),
                    _ if !is_there(b"ICCP") => None,
                    _ => decoder.icc_profile().ok().flatten(),
                },
            )
        }
    };
    check_bytes(peak_bytes(&decoder, format, orientation), width, height, limits)?;
    let image = DynamicImage::from_decoder(decoder).map_err(|error| explain(error, format))?;
    let mut notes = Vec::new();
    let (opacity, multiplied) = opacity(&image, bytes, format);
    let grey = !image.color().has_color();
    let mut image = image.into_rgb8();
    if let (Some(opacity), true) = (&opacity, multiplied) {
        opacity.unmultiply(&mut image);
    }
    if let Some(profile) = profile {
        notes.extend(to_srgb(&mut image, grey, &profile));
    }
    if let Some(opacity) = opacity {
        opacity.blend(&mut image);
    }
    Ok(Decoded {
        notes,
        ..Decoded::whole(turned(image, orientation))
    })
}

/// The opacity of a picture that is not opaque, and whether its colours are multiplied by it.
fn opacity(image: &DynamicImage, bytes: &[u8], format: ImageFormat) -> (Option<Opacity>, bool) {
    if !image.color().has_alpha() {
        return (None, false);
    }
    let multiplied = match format {
        ImageFormat::Tiff => match extra_sample(bytes) {
            ExtraSample::Other => return (None, false),
            extra => extra == ExtraSample::Associated,
        },
        _ => false,
    };
    let opacity = Opacity::of(image);
    if matches!(format, ImageFormat::Bmp | ImageFormat::Tiff) && opacity.as_ref().is_some_and(Opacity::is_nothing) {
        // Programs that know no opacity leave its byte 0.
        return (None, false);
    }
    (opacity, multiplied)
}

fn turned(image: RgbImage, orientation: Orientation) -> RgbImage {
    let mut image = DynamicImage::ImageRgb8(image);
    image.apply_orientation(orientation);
    image.into_rgb8()
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
    let opacity = if decoder.color_type().has_alpha() { rgb / 3 } else { 0 };
    decoded
        .saturating_add(scratch.max(converted))
        .max(turned)
        .saturating_add(opacity)
}

/// [`peak_bytes`] of a JPEG, without the decoder.
fn jpeg_peak_bytes(jpeg: &Jpeg<'_>) -> u64 {
    let (width, height) = jpeg.size();
    let pixels = u64::from(width) * u64::from(height);
    // The picture, and two bytes for each of three coefficients; a turned picture takes no more.
    pixels * if jpeg.channels() == 1 { 1 + 6 } else { 3 + 6 }
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
        return Err(Error::format("the photo is empty (0 bytes)").with_remedy(remedy::DAMAGED_PHOTO));
    }
    match recognise(bytes) {
        Some(PictureFormat::Jpeg) => Ok(ImageFormat::Jpeg),
        Some(PictureFormat::Png) => Ok(ImageFormat::Png),
        Some(PictureFormat::WebP) => Ok(ImageFormat::WebP),
        Some(PictureFormat::Bmp) => Ok(ImageFormat::Bmp),
        Some(PictureFormat::Tiff) => Ok(ImageFormat::Tiff),
        Some(other) => Err(other.refusal()),
        None if bytes.iter().all(|&byte| byte == 0) => Err(Error::format(
            "the photo holds nothing but zeros: its content never arrived",
        )
        .with_remedy(remedy::DAMAGED_PHOTO)),
        None => Err(text_refusal(bytes)
            .unwrap_or_else(|| Error::format("not an image that can be read: JPEG, PNG, WebP, BMP and TIFF are read"))),
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
pub(super) fn explain(error: ImageError, format: ImageFormat) -> Error {
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
        other => Error::format(format!(
            "{name} is damaged or truncated: {}",
            other.to_string().trim_end()
        ))
        .with_remedy(remedy::DAMAGED_PHOTO),
    }
}
