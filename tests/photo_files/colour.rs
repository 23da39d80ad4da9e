//! Pictures with colour profiles become sRGB. Expected values come from matrices and curves written out in `icc`.

use super::icc::{self, Curve, ADOBE_RGB, DISPLAY_P3, PRO_PHOTO, SRGB};
use super::read;
use super::writer::{self, Kind};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::codecs::tiff::TiffEncoder;
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder, RgbImage};
use omniid::photo::PhotoNote;
use std::io::Cursor;

/// Colours of all kinds, saturated ones too, each as a square of 16 × 16 pixels so that JPEG keeps them.
const COLOURS: [[u8; 3]; 12] = [
    [0, 0, 0],
    [255, 255, 255],
    [128, 128, 128],
    [200, 150, 120],
    [90, 60, 50],
    [230, 190, 170],
    [60, 120, 60],
    [40, 60, 130],
    [20, 22, 18],
    [180, 40, 50],
    [240, 230, 90],
    [110, 160, 200],
];

fn picture() -> RgbImage {
    RgbImage::from_fn(16 * 12, 16, |x, _| image::Rgb(COLOURS[x as usize / 16]))
}

fn encode<E: ImageEncoder>(mut encoder: E, profile: Option<&[u8]>, image: &RgbImage) {
    if let Some(profile) = profile {
        encoder.set_icc_profile(profile.to_vec()).unwrap();
    }
    encoder
        .write_image(image, image.width(), image.height(), ExtendedColorType::Rgb8)
        .unwrap();
}

/// The picture in every format, with a profile: name, file, how far values may be off.
fn files(profile: Option<&[u8]>) -> Vec<(&'static str, Vec<u8>, f64)> {
    let image = picture();
    let mut jpeg = Vec::new();
    encode(JpegEncoder::new_with_quality(&mut jpeg, 100), profile, &image);
    let mut png = Vec::new();
    encode(PngEncoder::new(&mut png), profile, &image);
    let mut webp = Vec::new();
    encode(WebPEncoder::new_lossless(&mut webp), profile, &image);
    let mut tiff = Cursor::new(Vec::new());
    encode(TiffEncoder::new(&mut tiff), profile, &image);
    vec![
        ("JPEG", jpeg, 4.5),
        ("PNG", png, 1.5),
        ("WebP", webp, 1.5),
        ("TIFF", tiff.into_inner(), 1.5),
    ]
}

/// Puts a profile into a JPEG, in parts of at most `part` bytes, in the order of `order`.
fn with_profile(jpeg: &[u8], profile: &[u8], part: usize, reversed: bool) -> Vec<u8> {
    let parts: Vec<&[u8]> = profile.chunks(part).collect();
    let mut segments: Vec<Vec<u8>> = parts
        .iter()
        .enumerate()
        .map(|(index, bytes)| {
            let mut segment = vec![0xFF, 0xE2];
            segment.extend((bytes.len() as u16 + 16).to_be_bytes());
            segment.extend(b"ICC_PROFILE\0");
            segment.extend([index as u8 + 1, parts.len() as u8]);
            segment.extend(*bytes);
            segment
        })
        .collect();
    if reversed {
        segments.reverse();
    }
    [&jpeg[..2], &segments.concat(), &jpeg[2..]].concat()
}

#[test]
fn wide_spaces_are_converted_by_their_profiles() {
    for (name, space) in [("P3", DISPLAY_P3), ("Adobe", ADOBE_RGB), ("ProPhoto", PRO_PHOTO)] {
        for (format, bytes, tolerance) in files(Some(&space.profile())) {
            let decoded = read(&bytes).unwrap();
            assert_eq!(decoded.notes, [], "{name} {format}");
            for (index, colour) in COLOURS.into_iter().enumerate() {
                let pixel = decoded.image.get_pixel(16 * index as u32 + 8, 8).0;
                let expected = space.to_srgb(colour);
                for (value, expected) in pixel.into_iter().zip(expected) {
                    // Wide spaces have few steps in the dark, and JPEG's errors grow there.
                    let dark = if format == "JPEG" && expected < 60.0 { 2.5 } else { 1.0 };
                    assert!(
                        (f64::from(value) - expected).abs() <= tolerance * dark,
                        "{name} {format} {colour:?}: {pixel:?}, expected {expected}"
                    );
                }
            }
        }
    }
}

#[test]
fn srgb_profiles_change_no_bit() {
    // Numbers of another maker's profile, slightly off.
    let mut other = SRGB;
    other.colorants[0][0] += 0.0004;
    other.colorants[2][2] -= 0.0007;
    for profile in [SRGB.profile(), other.profile()] {
        for ((format, with, _), (_, without, _)) in files(Some(&profile)).into_iter().zip(files(None)) {
            assert_ne!(with, without, "{format}");
            assert_eq!(read(&with).unwrap().image, read(&without).unwrap().image, "{format}");
        }
    }
}

#[test]
fn profiles_in_parts_are_put_together() {
    let plain = &files(None)[0].1;
    let profile = DISPLAY_P3.profile();
    let expected = read(&with_profile(plain, &profile, 60_000, false)).unwrap();
    assert_ne!(expected.image, read(plain).unwrap().image);
    for (part, reversed) in [(100, false), (100, true), (7, false)] {
        let decoded = read(&with_profile(plain, &profile, part, reversed)).unwrap();
        assert_eq!(decoded.image, expected.image, "parts of {part}, reversed {reversed}");
    }
}

#[test]
fn broken_profiles_are_ignored_with_a_note() {
    let good = DISPLAY_P3.profile();
    let mut unknown = good.clone();
    unknown[16..20].copy_from_slice(b"7CLR");
    for (what, profile) in [
        ("cut", good[..200].to_vec()),
        ("text", b"this is no profile at all".to_vec()),
        ("unknown space", unknown),
        ("for inks", icc::ink_profile()),
        ("for grey", icc::grey_profile(Curve::Gamma(1.8))),
    ] {
        for ((format, bytes, _), (_, without, _)) in files(Some(&profile)).into_iter().zip(files(None)) {
            let decoded = read(&bytes).unwrap_or_else(|error| panic!("{what} {format}: {error}"));
            assert!(
                matches!(&decoded.notes[..], [PhotoNote::ProfileIgnored { .. }]),
                "{what} {format}: {:?}",
                decoded.notes
            );
            assert_eq!(decoded.image, read(&without).unwrap().image, "{what} {format}");
        }
    }
}

#[test]
fn grey_pictures_follow_their_curve() {
    for curve in [Curve::Gamma(1.0), Curve::Gamma(1.80078125), Curve::Gamma(2.19921875)] {
        let values: Vec<u8> = (0..=255).collect();
        let mut png = Vec::new();
        let mut encoder = PngEncoder::new(&mut png);
        encoder.set_icc_profile(icc::grey_profile(curve)).unwrap();
        encoder.write_image(&values, 256, 1, ExtendedColorType::L8).unwrap();
        let decoded = read(&png).unwrap();
        assert_eq!(decoded.notes, []);
        for (value, pixel) in values.iter().zip(decoded.image.pixels()) {
            let expected = icc::grey_to_srgb(curve, *value);
            assert!(
                pixel
                    .0
                    .iter()
                    .all(|&channel| (f64::from(channel) - expected).abs() <= 1.5),
                "{value}: {pixel:?}, expected {expected}"
            );
        }
    }
}

/// The light that four inks leave, for fields of 16 × 16 pixels.
const INKS: [[u8; 4]; 8] = [
    [255, 255, 255, 255],
    [255, 255, 255, 128],
    [128, 255, 255, 255],
    [200, 180, 160, 240],
    [90, 200, 120, 220],
    [255, 0, 0, 255],
    [240, 230, 250, 180],
    [0, 0, 0, 0],
];

fn inks(adobe: Option<u8>, progressive: bool) -> Vec<u8> {
    let kind = Kind {
        adobe,
        progressive,
        ..Kind::SEQUENTIAL
    };
    writer::write(16 * 8, 16, 4, kind, |component, x, _| {
        let light = INKS[x / 16].map(f64::from);
        match (adobe, component) {
            // Adobe stores the light, others the ink.
            (Some(0), _) | (Some(2), 3) => light[component],
            (None, _) => 255.0 - light[component],
            // The ink of Adobe's inverted three as luma and chroma.
            (_, component) => {
                let [r, g, b] = [0, 1, 2].map(|channel: usize| 255.0 - light[channel]);
                let luma = 0.299 * r + 0.587 * g + 0.114 * b;
                [luma, 128.0 + (b - luma) / 1.772, 128.0 + (r - luma) / 1.402][component]
            }
        }
    })
}

#[test]
fn inks_take_light_away_however_they_are_stored() {
    for (adobe, progressive) in [
        (Some(0), false),
        (Some(2), false),
        (None, false),
        (Some(0), true),
        (Some(2), true),
    ] {
        let decoded = read(&inks(adobe, progressive)).unwrap();
        assert_eq!(decoded.notes, []);
        for (index, light) in INKS.into_iter().enumerate() {
            let pixel = decoded.image.get_pixel(16 * index as u32 + 8, 8).0;
            for channel in 0..3 {
                let expected = f64::from(light[channel]) * f64::from(light[3]) / 255.0;
                assert!(
                    (f64::from(pixel[channel]) - expected).abs() <= 4.0,
                    "Adobe {adobe:?}, {light:?}: {pixel:?}"
                );
            }
        }
    }
}

#[test]
fn inks_follow_their_profile() {
    for adobe in [Some(0), Some(2), None] {
        let bytes = with_profile(&inks(adobe, false), &icc::ink_profile(), 60_000, false);
        let decoded = read(&bytes).unwrap();
        assert_eq!(decoded.notes, []);
        for (index, light) in INKS.into_iter().enumerate() {
            let pixel = decoded.image.get_pixel(16 * index as u32 + 8, 8).0;
            let expected = icc::inks_to_srgb(light);
            for value in pixel {
                assert!(
                    (f64::from(value) - expected).abs() <= 6.0,
                    "Adobe {adobe:?}, {light:?}: {pixel:?}, expected {expected}"
                );
            }
        }
    }
    let broken = with_profile(&inks(Some(0), false), &DISPLAY_P3.profile(), 60_000, false);
    assert!(matches!(
        read(&broken).unwrap().notes[..],
        [PhotoNote::ProfileIgnored { .. }]
    ));
}

#[test]
fn mutated_profiles_never_panic() {
    let plain = &files(None)[0].1;
    for profile in [
        DISPLAY_P3.profile(),
        icc::ink_profile(),
        icc::grey_profile(Curve::Gamma(1.8)),
    ] {
        for at in 0..profile.len() {
            for value in [0, 0xFF, profile[at] ^ 0x41] {
                let mut mutated = profile.clone();
                mutated[at] = value;
                // Whatever becomes of the colours, the picture is there.
                assert_eq!(
                    read(&with_profile(plain, &mutated, 60_000, false)).unwrap().full_size,
                    (192, 16)
                );
            }
        }
    }
    let picture = inks(Some(0), false);
    let profile = icc::ink_profile();
    for at in 0..profile.len() {
        let mut mutated = profile.clone();
        mutated[at] ^= 0x21;
        assert_eq!(
            read(&with_profile(&picture, &mutated, 60_000, false))
                .unwrap()
                .full_size,
            (128, 16)
        );
    }
}
