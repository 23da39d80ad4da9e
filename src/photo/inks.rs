//! Pictures in cyan, magenta, yellow and black ink.

use super::jpeg::{Jpeg, Samples};
use super::profile::{to_srgb, Profile};
use super::{check_bytes, check_size, Decoded, PhotoNote};
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::remedy;
use image::{DynamicImage, RgbImage};
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// Decodes a JPEG of four channels at full size.
///
/// With a profile its inks are converted as that says. Without one, ink takes light away in proportion.
pub(super) fn decode(bytes: &[u8], jpeg: &Jpeg<'_>, limits: &Limits) -> Result<Decoded> {
    let (width, height) = jpeg.size();
    check_size(width, height, limits)?;
    // Four samples a pixel and twice as much for coefficients, or the samples and the result.
    check_bytes(u64::from(width) * u64::from(height) * 12, width, height, limits)?;
    let damaged = |error: String| {
        Error::format(format!("JPEG is damaged or truncated: {error}")).with_remedy(remedy::DAMAGED_PHOTO)
    };
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX);
    let mut decoder = zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder
        .decode_headers()
        .map_err(|error| damaged(error.to_string().trim_end().to_owned()))?;
    let stored = decoder.input_colorspace().unwrap_or(ColorSpace::CMYK);
    decoder.set_options(options.jpeg_set_out_colorspace(stored));
    let mut samples = decoder
        .decode()
        .map_err(|error| damaged(error.to_string().trim_end().to_owned()))?;
    let pixels = width as usize * height as usize;
    if samples.len() != 4 * pixels {
        return Err(damaged(format!("{} samples for {pixels} pixels", samples.len())));
    }
    jpeg.light(&mut samples);
    let picture = Samples {
        width: width as usize,
        height: height as usize,
        channels: 4,
        samples,
    };
    let mut notes = Vec::new();
    let mut image = DynamicImage::ImageRgb8(to_rgb(picture, jpeg, &mut notes)?);
    image.apply_orientation(jpeg.orientation());
    Ok(Decoded {
        notes,
        ..Decoded::whole(image.into_rgb8())
    })
}

/// Samples of any number of channels to sRGB, by the profile of their file.
pub(super) fn to_rgb(picture: Samples, jpeg: &Jpeg<'_>, notes: &mut Vec<PhotoNote>) -> Result<RgbImage> {
    let (width, height) = (picture.width as u32, picture.height as u32);
    let profile = jpeg.profile();
    if picture.channels == 4 {
        match profile.map(|profile| inks_by_profile(&picture, &profile)) {
            Some(Ok(image)) => return Ok(image),
            Some(Err(reason)) => notes.push(PhotoNote::ProfileIgnored { reason }),
            None => {}
        }
    }
    let grey = picture.channels == 1;
    let samples = match picture.channels {
        3 => picture.samples,
        4 => picture
            .samples
            .chunks_exact(4)
            .flat_map(|light| [0, 1, 2].map(|channel| product(light[channel], light[3])))
            .collect(),
        channels => picture
            .samples
            .chunks_exact(channels)
            .flat_map(|pixel| [pixel[0]; 3])
            .collect(),
    };
    let mut image = RgbImage::from_raw(width, height, samples)
        .ok_or_else(|| Error::format(format!("samples do not make {width}x{height} pixels")))?;
    if picture.channels != 4 {
        if let Some(profile) = jpeg.profile() {
            notes.extend(to_srgb(&mut image, grey, &profile));
        }
    }
    Ok(image)
}

fn inks_by_profile(picture: &Samples, profile: &[u8]) -> std::result::Result<RgbImage, String> {
    let profile = Profile::parse(profile)?.ok_or("it is not for inks, which the picture has")?;
    profile.convert_inks(&picture.samples, picture.width as u32, picture.height as u32)
}

/// The product of two shares of 255, rounded.
fn product(a: u8, b: u8) -> u8 {
    let product = u32::from(a) * u32::from(b) + 128;
    ((product + (product >> 8)) >> 8) as u8
}
