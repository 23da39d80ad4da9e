//! The colour under transparency never counts.

use super::tiff::uncompressed;
use super::{icc, read};
use image::{DynamicImage, ImageBuffer, ImageEncoder, ImageFormat, LumaA, Rgba, RgbaImage};
use omniid::photo::{ChannelOrder, PixelBuffer};
use omniid::{Limits, Photo};
use std::io::Cursor;

/// A disc that is opaque inside and fades out; outside lies `hidden`.
fn disc(hidden: [u8; 3]) -> RgbaImage {
    RgbaImage::from_fn(60, 50, |x, y| {
        let far = (f64::from(x) - 30.0).hypot(f64::from(y) - 25.0);
        let alpha = ((22.0 - far) * 30.0).clamp(0.0, 255.0) as u8;
        match alpha {
            0 => Rgba([hidden[0], hidden[1], hidden[2], 0]),
            _ => Rgba([(x * 4) as u8, (y * 5) as u8, 90, alpha]),
        }
    })
}

fn blended(value: u8, alpha: f64) -> f64 {
    f64::from(value) * alpha + 128.0 * (1.0 - alpha)
}

fn file(image: DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    image.write_to(&mut out, format).unwrap();
    out.into_inner()
}

const FORMATS: [ImageFormat; 4] = [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Tiff, ImageFormat::Bmp];

#[test]
fn hidden_colours_change_nothing_and_edges_are_blended() {
    for format in FORMATS {
        let pictures = [[0, 0, 0], [0, 255, 0], [250, 3, 200]].map(|hidden| {
            let bytes = file(DynamicImage::ImageRgba8(disc(hidden)), format);
            read(&bytes).unwrap().image
        });
        assert!(pictures.iter().all(|picture| *picture == pictures[0]), "{format:?}");
        for (x, y, pixel) in disc([9; 3]).enumerate_pixels() {
            let alpha = f64::from(pixel.0[3]) / 255.0;
            for channel in 0..3 {
                let expected = blended(pixel.0[channel], alpha);
                let value = f64::from(pictures[0].get_pixel(x, y).0[channel]);
                let expected = if pixel.0[3] == 0 { 128.0 } else { expected };
                assert!(
                    (value - expected).abs() <= 0.51,
                    "{format:?} {x},{y}: {value}, expected {expected}"
                );
            }
        }
    }
}

#[test]
fn opaque_pictures_keep_every_bit() {
    for format in FORMATS {
        let mut image = disc([1, 2, 3]);
        image.pixels_mut().for_each(|pixel| pixel.0[3] = 255);
        let with = read(&file(DynamicImage::ImageRgba8(image.clone()), format))
            .unwrap()
            .image;
        let plain = DynamicImage::ImageRgba8(image).into_rgb8();
        assert_eq!(with, plain, "{format:?}");
    }
}

#[test]
fn deep_and_grey_pictures_are_blended_too() {
    for format in [ImageFormat::Png, ImageFormat::Tiff] {
        let deep = ImageBuffer::from_fn(40, 4, |x, _| {
            Rgba([x as u16 * 1600, 60_000, 300, 65_535 - x as u16 * 1680])
        });
        let decoded = read(&file(DynamicImage::ImageRgba16(deep.clone()), format))
            .unwrap()
            .image;
        for (pixel, stored) in decoded.pixels().zip(deep.pixels()) {
            let alpha = f64::from(stored.0[3]) / 65_535.0;
            for channel in 0..3 {
                let expected = f64::from(stored.0[channel]) / 257.0 * alpha + 128.0 * (1.0 - alpha);
                assert!(
                    (f64::from(pixel.0[channel]) - expected).abs() <= 1.1,
                    "{format:?}: {pixel:?} {stored:?}"
                );
            }
        }
    }
    let grey = ImageBuffer::from_fn(40, 4, |x, _| LumaA([x as u8 * 6, 255 - x as u8 * 6]));
    let decoded = read(&file(DynamicImage::ImageLumaA8(grey.clone()), ImageFormat::Png))
        .unwrap()
        .image;
    let deep = ImageBuffer::from_fn(40, 4, |x, _| LumaA([x as u16 * 6 * 257, (255 - x as u16 * 6) * 257]));
    let from_deep = read(&file(DynamicImage::ImageLumaA16(deep), ImageFormat::Png))
        .unwrap()
        .image;
    for ((pixel, deep), stored) in decoded.pixels().zip(from_deep.pixels()).zip(grey.pixels()) {
        let expected = blended(stored.0[0], f64::from(stored.0[1]) / 255.0);
        for value in pixel.0.into_iter().chain(deep.0) {
            assert!((f64::from(value) - expected).abs() <= 1.0, "{pixel:?} {stored:?}");
        }
    }
}

/// A chunk of a PNG.
fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut crc = u32::MAX;
    for byte in kind.iter().chain(data) {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                0xEDB8_8320 ^ (crc >> 1)
            } else {
                crc >> 1
            };
        }
    }
    [
        &(data.len() as u32).to_be_bytes()[..],
        kind,
        data,
        &(!crc).to_be_bytes(),
    ]
    .concat()
}

/// The chunk put before the pixels of a PNG.
fn with_chunk(png: &[u8], kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let at = png.windows(4).position(|window| window == b"IDAT").unwrap() - 4;
    [&png[..at], &chunk(kind, data), &png[at..]].concat()
}

#[test]
fn colour_keys_of_png_are_transparency() {
    for key in [[0u8, 0, 0], [0, 255, 0], [77, 66, 55]] {
        let mut image = image::RgbImage::from_pixel(8, 8, image::Rgb([200, 100, 50]));
        (0..8).for_each(|i| image.put_pixel(i, i, image::Rgb(key)));
        let png = file(DynamicImage::ImageRgb8(image), ImageFormat::Png);
        let keyed: Vec<u8> = key.iter().flat_map(|&value| [0, value]).collect();
        let decoded = read(&with_chunk(&png, b"tRNS", &keyed)).unwrap().image;
        assert_eq!(
            (decoded.get_pixel(3, 3).0, decoded.get_pixel(3, 4).0),
            ([128; 3], [200, 100, 50])
        );
    }
}

/// A TIFF of 6 × 6 pixels of four samples, the fourth of which is what `extra` says.
fn tiff(pixels: &[u8], extra: u16) -> Vec<u8> {
    uncompressed(6, 6, Some(extra), pixels)
}

#[test]
fn multiplied_colours_of_tiff_are_understood() {
    for alpha in [40u8, 128, 220] {
        let colour = [210u8, 120, 30];
        let multiplied = colour.map(|value| (f64::from(value) * f64::from(alpha) / 255.0).round() as u8);
        let [r, g, b] = multiplied;
        let line = [[r, g, b, alpha].repeat(3), [0, 0, 0, 0].repeat(3)].concat();
        let decoded = read(&tiff(&line.repeat(6), 1)).unwrap().image;
        for (channel, colour) in colour.into_iter().enumerate() {
            let expected = blended(colour, f64::from(alpha) / 255.0);
            let value = f64::from(decoded.get_pixel(1, 1).0[channel]);
            assert!((value - expected).abs() <= 1.0, "{value}, expected {expected}");
        }
        assert_eq!(decoded.get_pixel(4, 1).0, [128; 3]);
        // A fourth sample that is something else is no transparency.
        let decoded = read(&tiff(&line.repeat(6), 0)).unwrap().image;
        assert_eq!(
            (decoded.get_pixel(1, 1).0, decoded.get_pixel(4, 1).0),
            (multiplied, [0; 3])
        );
    }
}

#[test]
fn profiles_come_before_blending() {
    let mut png = Vec::new();
    let mut encoder = image::codecs::png::PngEncoder::new(&mut png);
    encoder.set_icc_profile(icc::ADOBE_RGB.profile()).unwrap();
    let pixels = [180, 90, 60, 128].repeat(16);
    encoder
        .write_image(&pixels, 4, 4, image::ExtendedColorType::Rgba8)
        .unwrap();
    let decoded = read(&png).unwrap().image;
    for (channel, colour) in icc::ADOBE_RGB.to_srgb([180, 90, 60]).into_iter().enumerate() {
        let expected = (colour * 128.0 + 128.0 * 127.0) / 255.0;
        let value = f64::from(decoded.get_pixel(2, 2).0[channel]);
        assert!((value - expected).abs() <= 1.5, "{value}, expected {expected}");
    }
}

#[test]
fn a_bitmap_without_opacity_is_opaque() {
    for colour in [[0u8, 0, 0], [10, 200, 30], [255, 255, 255]] {
        let image = RgbaImage::from_pixel(5, 5, Rgba([colour[0], colour[1], colour[2], 0]));
        let decoded = read(&file(DynamicImage::ImageRgba8(image), ImageFormat::Bmp))
            .unwrap()
            .image;
        assert!(decoded.pixels().all(|pixel| pixel.0 == colour));
    }
}

#[test]
fn buffers_of_hosts_are_laid_on_grey_unless_their_alpha_says_nothing() {
    let decode = |bytes: &[u8], order| {
        let buffer = PixelBuffer::new(bytes, 60, 50, 0, order).unwrap();
        Photo::from_pixels(buffer).decode(&Limits::default()).unwrap()
    };
    let pictures = [[0, 0, 0], [0, 255, 0], [250, 3, 200]].map(|hidden| decode(&disc(hidden), ChannelOrder::Rgba));
    assert!(pictures.iter().all(|picture| *picture == pictures[0]));
    assert_eq!(pictures[0].get_pixel(0, 0).0, [128; 3]);
    // As floats and in the other order.
    let floats: Vec<f32> = disc([7, 8, 9])
        .pixels()
        .flat_map(|pixel| [2, 1, 0, 3].map(|channel| f32::from(pixel.0[channel]) / 255.0))
        .collect();
    let buffer = PixelBuffer::new(&floats[..], 60, 50, 0, ChannelOrder::Bgra).unwrap();
    assert_eq!(
        Photo::from_pixels(buffer).decode(&Limits::default()).unwrap(),
        pictures[0]
    );
    // The same everywhere: unused, whatever it is.
    for alpha in [0, 9, 255] {
        let mut image = disc([4, 5, 6]);
        image.pixels_mut().for_each(|pixel| pixel.0[3] = alpha);
        let plain = DynamicImage::ImageRgba8(image.clone()).into_rgb8();
        assert_eq!(decode(&image, ChannelOrder::Rgba), plain, "alpha {alpha}");
    }
}
