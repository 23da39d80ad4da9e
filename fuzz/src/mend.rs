//! Damaged PNG, WebP, BMP and TIFF files: what can be made of one that lacks a little. The first byte says which.

use ::image::ImageFormat;
use omniid::photo::parsers;
use omniid::Limits;

const FORMATS: [ImageFormat; 4] = [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Tiff];

pub fn run(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else {
        return;
    };
    let limits = Limits::default()
        .with_max_pixels(1 << 20)
        .with_max_decoded_bytes(16 << 20);
    let mended = parsers::mended(bytes, FORMATS[usize::from(first % 4)], &limits);
    if let Ok(Some(mended)) = mended {
        assert!(mended.len() as u64 <= limits.max_decoded_bytes + bytes.len() as u64);
    }
}
