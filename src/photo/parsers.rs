//! The parsers of photo files one by one, on bytes in memory and without decoding a picture: for fuzzing and tests.

use super::check_size;
use super::jpeg::Jpeg;
use super::mend;
use super::profile::{Model, Profile};
use super::recognise::{extra_sample, photo_in, tiff_layout, tiff_profile};
use crate::error::Result;
use crate::limits::Limits;
use image::metadata::Orientation;
use image::{ImageFormat, RgbImage};

/// Reads the segments of a JPEG, looks through its data and reads it at 1/2, 1/4 and 1/8. Whether nothing speaks against
/// the file; `None` for one whose coding is not known, or that is larger than [`Limits::max_pixels`].
pub fn jpeg(bytes: &[u8], limits: &Limits) -> Option<bool> {
    let jpeg = Jpeg::open(bytes)?;
    let (width, height) = jpeg.size();
    let _ = (jpeg.orientation(), jpeg.profile());
    check_size(width, height, limits).ok()?;
    let complete = jpeg.completeness();
    for factor in [2, 4, 8] {
        if let Ok((picture, _)) = jpeg.read_reduced(factor) {
            let pixels = picture.width * picture.height;
            debug_assert_eq!(picture.samples.len(), pixels * picture.channels);
        }
    }
    Some(complete.is_ok())
}

/// The orientation in the contents of an EXIF segment: 1 to 8, if there is one.
pub fn exif(bytes: &[u8]) -> Option<u8> {
    Orientation::from_exif_chunk(bytes).map(Orientation::to_exif)
}

/// Reads a colour profile and converts a few colours by it. Whether they could be converted.
pub fn profile(bytes: &[u8]) -> bool {
    let Ok(Some(profile)) = Profile::parse(bytes) else {
        return false;
    };
    let colours: Vec<u8> = (0..24u8).map(|i| i.wrapping_mul(37)).collect();
    match profile.model {
        Model::Cmyk => profile.convert_inks(&colours, 6, 1).is_ok(),
        Model::Grey | Model::Rgb => {
            let image = RgbImage::from_raw(8, 1, colours);
            image.is_some_and(|mut image| profile.convert(&mut image).is_ok())
        }
    }
}

/// Reads the directories of a TIFF: which picture is the photo, what its samples are, its colour profile, its strips.
pub fn tiff(bytes: &[u8]) {
    let _ = (photo_in(bytes), extra_sample(bytes));
    let _ = (tiff_profile(bytes), tiff_layout(bytes));
}

/// Makes a whole file of a damaged PNG, WebP, BMP or TIFF, if little is missing, and looks for damage in a whole one.
///
/// # Errors
/// [`Format`](crate::ErrorKind::Format) when too much is missing.
pub fn mended(bytes: &[u8], format: ImageFormat, limits: &Limits) -> Result<Option<Vec<u8>>> {
    mend::check(bytes, format)?;
    Ok(mend::mend(bytes, format, limits)?.map(|mended| mended.bytes))
}
