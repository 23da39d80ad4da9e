//! PNG, WebP, BMP and TIFF of which a little, or more, is missing at the end.

use super::read;
use super::tiff::uncompressed;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{DynamicImage, ExtendedColorType, ImageEncoder, ImageFormat, RgbImage};
use omniid::photo::PhotoNote;
use omniid::ErrorKind;
use std::io::Cursor;

/// A picture of as many pixels in which no two rows are alike.
fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let noise = (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)) >> 13;
        image::Rgb([(x + noise % 30) as u8, (y + noise % 20) as u8, (x * y / 50) as u8])
    })
}

fn encoded(image: RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(image).write_to(&mut out, format).unwrap();
    out.into_inner()
}

/// Where the data of the last IDAT begins and ends.
fn last_data(png: &[u8]) -> (usize, usize) {
    let at = (0..png.len() - 4)
        .rev()
        .find(|&at| &png[at..at + 4] == b"IDAT")
        .unwrap();
    let length = u32::from_be_bytes(png[at - 4..at].try_into().unwrap()) as usize;
    (at + 4, at + 4 + length)
}

fn percent(message: &str) -> u32 {
    let rest = message.split_once("about ").unwrap_or_else(|| panic!("{message}")).1;
    rest.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_png_is_complete_when_its_pixels_are() {
    for (width, height) in [(120, 90), (301, 203), (64, 400)] {
        let image = picture(width, height);
        let png = encoded(image.clone(), ImageFormat::Png);
        let (_, end) = last_data(&png);
        let mut wrong = png.clone();
        wrong[end] ^= 1;
        for (what, bytes) in [
            ("without the end chunk", png[..png.len() - 12].to_vec()),
            ("half of the end chunk", png[..png.len() - 5].to_vec()),
            ("without the last checksum", png[..end].to_vec()),
            ("without the stream's checksum", png[..end - 4].to_vec()),
            ("with half of that", png[..end - 2].to_vec()),
            ("with a wrong checksum of the chunk", wrong),
            ("with something behind it", [&png[..], b"anything"].concat()),
        ] {
            let decoded = read(&bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!((&decoded.image, &decoded.notes[..]), (&image, &[][..]), "{what}");
        }
    }
}

#[test]
fn pictures_of_a_format_with_alpha_and_palette_are_mended_too() {
    for colour in [
        ExtendedColorType::L8,
        ExtendedColorType::La8,
        ExtendedColorType::Rgba8,
        ExtendedColorType::L16,
    ] {
        let channels = usize::from(colour.bits_per_pixel() / 8);
        let samples: Vec<u8> = (0..200 * 150 * channels)
            .map(|i| {
                if i % channels == channels - 1 {
                    255
                } else {
                    (i / 7) as u8
                }
            })
            .collect();
        let mut png = Vec::new();
        PngEncoder::new_with_quality(&mut png, CompressionType::Fast, FilterType::Sub)
            .write_image(&samples, 200, 150, colour)
            .unwrap();
        let whole = read(&png).unwrap();
        let bare = read(&png[..png.len() - 12]).unwrap();
        assert_eq!((bare.image, bare.notes), (whole.image, vec![]), "{colour:?}");
    }
}

#[test]
fn a_damaged_png_is_refused() {
    let png = encoded(picture(301, 203), ImageFormat::Png);
    let (start, end) = last_data(&png);
    for part in [0.3, 0.5, 0.8] {
        let at = start + ((end - start) as f64 * part) as usize;
        let mut hole = png.clone();
        hole[at..at + 300].fill(0);
        let error = read(&hole).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format, "{error}");
    }
}

#[test]
fn how_much_is_missing_is_told_and_a_little_may_be() {
    let (width, height) = (301, 203);
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Tiff] {
        let bytes = encoded(picture(width, height), format);
        // The directory of this writer's TIFF stands behind the pixels; it is moved to the front, as others have it.
        let bytes = if format == ImageFormat::Tiff {
            directory_first(&bytes)
        } else {
            bytes
        };
        let whole = read(&bytes).unwrap();
        assert_eq!(whole.notes, [], "{format:?}");
        for (part, expected) in [(0.5, 40..60), (0.8, 12..28)] {
            let error = read(&bytes[..(bytes.len() as f64 * part) as usize]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Format, "{format:?}: {error}");
            assert!(expected.contains(&percent(error.message())), "{format:?}: {error}");
        }
        let cut = bytes.len() - bytes.len() / 100;
        let short = read(&bytes[..cut]).unwrap_or_else(|error| panic!("{format:?}: {error}"));
        assert!(
            matches!(short.notes[..], [PhotoNote::Incomplete { missing }] if (0.001..0.02).contains(&missing)),
            "{format:?}: {:?}",
            short.notes
        );
        // What is there is not changed. BMP stores the last row first.
        let rows = |image: &RgbImage| {
            let half = image.len() / 3;
            let raw = image.as_raw();
            if format == ImageFormat::Bmp {
                raw[raw.len() - half..].to_vec()
            } else {
                raw[..half].to_vec()
            }
        };
        if format != ImageFormat::WebP {
            assert_eq!(rows(&short.image), rows(&whole.image), "{format:?}");
        }
    }
}

/// The same TIFF with its directory, and what that refers to, before the pixels.
fn directory_first(tiff: &[u8]) -> Vec<u8> {
    let number = |at: usize| u32::from_le_bytes(tiff[at..at + 4].try_into().unwrap()) as usize;
    let directory = number(4);
    let count = usize::from(u16::from_le_bytes([tiff[directory], tiff[directory + 1]]));
    let entry = |tag: u16| {
        (0..count)
            .map(|i| directory + 2 + 12 * i)
            .find(|&at| u16::from_le_bytes([tiff[at], tiff[at + 1]]) == tag)
            .unwrap()
    };
    let (places, lengths) = (entry(273), entry(279));
    let one = |at: usize, index: usize| {
        if number(at + 4) == 1 {
            number(at + 8)
        } else {
            number(number(at + 8) + 4 * index)
        }
    };
    let parts: Vec<&[u8]> = (0..number(places + 4))
        .map(|index| &tiff[one(places, index)..one(places, index) + one(lengths, index)])
        .collect();
    uncompressed(301, 203, None, &parts.concat())
}

#[test]
fn padding_is_no_part_of_a_picture() {
    // Rows of 3, 2 and 1 bytes beyond a multiple of four.
    for width in [301, 302, 303] {
        let bmp = encoded(picture(width, 80), ImageFormat::Bmp);
        let padding = (4 - width as usize * 3 % 4) % 4;
        let whole = read(&bmp).unwrap();
        for missing in 1..=padding {
            let decoded = read(&bmp[..bmp.len() - missing]).unwrap();
            assert_eq!(
                (&decoded.image, &decoded.notes[..]),
                (&whole.image, &[][..]),
                "{width}, {missing}"
            );
        }
        let decoded = read(&bmp[..bmp.len() - padding - 1]).unwrap();
        assert!(
            matches!(decoded.notes[..], [PhotoNote::Incomplete { .. }]),
            "{width}: {:?}",
            decoded.notes
        );
    }
}

#[test]
fn a_webp_that_was_filled_up_with_zeros_is_refused() {
    let webp = encoded(picture(301, 203), ImageFormat::WebP);
    for part in [0.3, 0.5, 0.8] {
        let at = (webp.len() as f64 * part) as usize;
        for length in [100, webp.len() - at] {
            let mut hole = webp.clone();
            hole[at..at + length].fill(0);
            let error = read(&hole).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Format, "{error}");
        }
    }
}
