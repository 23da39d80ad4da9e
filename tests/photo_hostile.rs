//! Damaged, lying and oversized photos: always an error with a message, never a panic or a large allocation.

use image::{DynamicImage, ImageFormat, RgbImage};
use omniid::{ErrorKind, Limits, Photo};
use std::io::Cursor;

fn sample() -> RgbImage {
    RgbImage::from_fn(61, 47, |x, y| {
        image::Rgb([(x * 5) as u8, (y * 7) as u8, (x * y * 13 % 251) as u8])
    })
}

fn encoded(format: ImageFormat) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(sample()).write_to(&mut out, format).unwrap();
    out.into_inner()
}

const FORMATS: [ImageFormat; 5] = [
    ImageFormat::Jpeg,
    ImageFormat::Png,
    ImageFormat::WebP,
    ImageFormat::Bmp,
    ImageFormat::Tiff,
];

fn decode(bytes: &[u8]) -> omniid::Result<RgbImage> {
    Photo::from_bytes(bytes).decode(&Limits::default())
}

#[test]
fn truncated_files_are_refused_at_every_cut() {
    for format in FORMATS {
        let whole = encoded(format);
        assert_eq!(decode(&whole).unwrap().dimensions(), (61, 47), "{format:?}");
        for cut in (0..whole.len()).step_by(whole.len() / 200 + 1) {
            let Err(error) = decode(&whole[..cut]) else {
                // Trailing metadata may be missing; no sample may be.
                assert_eq!(
                    decode(&whole[..cut]).unwrap(),
                    decode(&whole).unwrap(),
                    "{format:?} cut at {cut}"
                );
                continue;
            };
            assert!(
                matches!(
                    error.kind(),
                    ErrorKind::Format | ErrorKind::Unsupported | ErrorKind::LimitExceeded
                ),
                "{format:?} cut at {cut}: {:?} {error}",
                error.kind()
            );
            assert!(error.message().starts_with("photo in memory: "), "{error}");
        }
        assert!(
            decode(&whole[..whole.len() / 2]).is_err(),
            "{format:?} cut in the middle"
        );
    }
}

#[test]
fn flipped_bytes_never_panic() {
    for format in FORMATS {
        let whole = encoded(format);
        for at in (0..whole.len()).step_by(whole.len() / 150 + 1) {
            for value in [0x00, 0xFF, whole[at] ^ 0x40] {
                let mut damaged = whole.clone();
                damaged[at] = value;
                // A flipped sample is still a photo; whatever comes back, it comes back.
                if let Ok(image) = decode(&damaged) {
                    assert!(image.width() > 0 && image.height() > 0);
                }
            }
        }
    }
}

/// A PNG of one header, with a correct checksum, that promises `width` × `height` pixels.
fn lying_png(width: u32, height: u32) -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend([8, 2, 0, 0, 0]);
    let mut crc = u32::MAX;
    for byte in &header {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                0xEDB8_8320 ^ (crc >> 1)
            } else {
                crc >> 1
            };
        }
    }
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    out.extend(13u32.to_be_bytes());
    out.extend(header);
    out.extend((!crc).to_be_bytes());
    out.extend(b"\x00\x00\x00\x00IDAT\x35\xaf\x06\x1e\x00\x00\x00\x00IEND\xae\x42\x60\x82");
    out
}

#[test]
fn lying_headers_are_refused_before_anything_is_allocated() {
    let kind = |width, height| decode(&lying_png(width, height)).unwrap_err();
    for (width, height) in [
        (60_000, 60_000),
        (65_535, 65_535),
        (100_000, 10),
        (1, 2_000_000),
        (20_000, 20_000),
    ] {
        let error = kind(width, height);
        assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{width}x{height}: {error}");
    }
    assert_eq!(kind(60, 60).kind(), ErrorKind::Format);
    assert_eq!(kind(0, 60).kind(), ErrorKind::Format);
    // The same lie in a BMP: height and width at bytes 18 and 22.
    let mut bmp = encoded(ImageFormat::Bmp);
    bmp[18..22].copy_from_slice(&60_000u32.to_le_bytes());
    bmp[22..26].copy_from_slice(&60_000u32.to_le_bytes());
    assert_eq!(decode(&bmp).unwrap_err().kind(), ErrorKind::LimitExceeded);
}

#[test]
fn the_callers_limits_hold() {
    for format in FORMATS {
        let bytes = encoded(format);
        let refused = |limits: Limits| {
            let error = Photo::from_bytes(&bytes).decode(&limits).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{format:?}: {error}");
        };
        let pixels = 61 * 47;
        refused(Limits::default().with_max_pixels(pixels - 1));
        refused(Limits::default().with_max_decoded_bytes(pixels * 3 - 1));
        refused(Limits::default().with_max_photo_bytes(bytes.len() as u64 - 1));
        let enough = Limits::default()
            .with_max_pixels(pixels)
            .with_max_decoded_bytes(1 << 20)
            .with_max_photo_bytes(bytes.len() as u64);
        Photo::from_bytes(&bytes).decode(&enough).unwrap();
    }
}

#[test]
fn what_is_no_photo_is_named() {
    assert_eq!(decode(b"").unwrap_err().kind(), ErrorKind::Format);
    assert_eq!(decode(b"hello, this is text").unwrap_err().kind(), ErrorKind::Format);
    let gif = decode(b"GIF89a\x01\x00\x01\x00\x00\x00\x00").unwrap_err();
    assert_eq!(gif.kind(), ErrorKind::Unsupported);
    assert!(gif.message().contains("image/gif"), "{gif}");

    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("nobody.jpg");
    let error = Photo::from(missing.as_path()).decode(&Limits::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.message().contains("nobody.jpg"), "{error}");
    let error = Photo::from(folder.path()).decode(&Limits::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
}

#[test]
fn the_content_decides_and_not_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("really-a-png.jpg");
    std::fs::write(&path, encoded(ImageFormat::Png)).unwrap();
    assert_eq!(Photo::from(path).decode(&Limits::default()).unwrap(), sample());
}
