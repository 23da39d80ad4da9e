//! Photos beyond the limits at full size are read at reduced size; coordinates stay those of the whole photo.

use super::writer::{self, Kind};
use omniid::face::{prepare, CropMode, CropOptions};
use omniid::photo::{FaceBox, FaceHint};
use omniid::{ErrorKind, Limits, Photo};

/// A grey JPEG of any size in few bytes: the left half of the picture has samples of 0, the right half of 184.
fn halves(width: usize, height: usize) -> Vec<u8> {
    let mut out = vec![0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0];
    out.extend([8; 64]);
    out.extend([0xFF, 0xC0, 0, 11, 8]);
    out.extend((height as u16).to_be_bytes());
    out.extend((width as u16).to_be_bytes());
    out.extend([1, 1, 0x11, 0]);
    // DC: 0 is a difference of 0, 10 one of 8 bits. AC: 0 ends the block.
    out.extend([
        0xFF, 0xC4, 0, 21, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8,
    ]);
    out.extend([
        0xFF, 0xC4, 0, 20, 0x10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ]);
    out.extend([0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0]);
    let (wide, high) = (width.div_ceil(8), height.div_ceil(8));
    let mut bits = Vec::new();
    let mut last = 0;
    for block in 0..wide * high {
        // The DC coefficient is 8 · (sample − 128), and is divided by 8.
        let level: i32 = if block % wide < wide / 2 { -128 } else { 184 - 128 };
        // All differences have 8 bits: -128, 184 and -184.
        let difference = level - last;
        last = level;
        match difference {
            0 => bits.push(0),
            difference => {
                bits.extend([1, 0]);
                let coded = if difference < 0 { difference + 255 } else { difference };
                bits.extend((0..8).rev().map(|bit| (coded >> bit & 1) as u8));
            }
        }
        bits.push(0);
    }
    bits.resize(bits.len().div_ceil(8) * 8, 1);
    for byte in bits
        .chunks(8)
        .map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | bit))
    {
        out.push(byte);
        if byte == 0xFF {
            out.push(0);
        }
    }
    out.extend([0xFF, 0xD9]);
    out
}

#[test]
fn photos_of_large_sensors_are_read_within_the_default_limits() {
    for (width, height, reduction) in [
        (12_000u32, 9_000u32, 2),
        (16_320, 12_240, 2),
        (9_001, 12_001, 2),
        (30_000, 20_001, 4),
    ] {
        let bytes = halves(width as usize, height as usize);
        let photo = Photo::from_bytes(&bytes).decode_with_notes(&Limits::default()).unwrap();
        assert_eq!(photo.full_size, (width, height));
        assert_eq!((photo.reduction, &photo.notes[..]), (reduction, &[][..]));
        let (w, h) = photo.image.dimensions();
        assert_eq!((w, h), (width.div_ceil(reduction), height.div_ceil(reduction)));
        assert_eq!(photo.image.get_pixel(w / 4, h / 2).0, [0; 3]);
        assert_eq!(photo.image.get_pixel(w - 1, h - 1).0, [184; 3]);
    }
}

#[test]
fn limits_refuse_what_cannot_be_reduced_enough() {
    let bytes = halves(12_000, 9_000);
    // 1.7 million pixels remain at 1/8, which is less than is of use.
    for limits in [
        Limits::default().with_max_pixels(3_000_000),
        Limits::default().with_max_decoded_bytes(5_000_000),
    ] {
        let error = Photo::from_bytes(&bytes).decode(&limits).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
        assert!(error.message().contains("scale it down"), "{error}");
    }
    // The header alone: nothing is allocated for pixels that cannot be there.
    let scan = bytes.windows(2).position(|pair| pair == [0xFF, 0xDA]).unwrap();
    let error = Photo::from_bytes(&bytes[..scan + 40])
        .decode(&Limits::default())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Format, "{error}");
}

#[test]
fn damage_is_told_at_reduced_size_too() {
    for part in [0.6, 0.75, 0.9] {
        let bytes = halves(12_000, 9_000);
        let cut = (bytes.len() as f64 * part) as usize;
        let error = Photo::from_bytes(&bytes[..cut]).decode(&Limits::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format, "{error}");
        assert!(error.message().contains("missing"), "{error}");
    }
}

#[test]
fn boxes_count_pixels_of_the_whole_photo() {
    let bytes = halves(12_000, 9_000);
    for (left, expected) in [(1_000.0, 0), (4_000.0, 0), (8_000.0, 184)] {
        let bounds = FaceBox {
            left,
            top: 2_000.0,
            right: left + 1_200.0,
            bottom: 3_200.0,
        };
        let photo = Photo::from_bytes(&bytes).with_face(FaceHint::Box(bounds));
        let options = CropOptions::new(CropMode::Face { margin: 0.0 }, 32);
        let (crop, report) = prepare(&photo, &options, None, &Limits::default()).unwrap();
        assert_eq!(report.bounds, Some(bounds));
        assert!(crop.pixels().all(|pixel| pixel.0 == [expected; 3]), "left {left}");
    }
    let outside = FaceBox {
        left: 12_500.0,
        top: 0.0,
        right: 13_000.0,
        bottom: 900.0,
    };
    let photo = Photo::from_bytes(&bytes).with_face(FaceHint::Box(outside));
    let options = CropOptions::new(CropMode::face(), 32);
    let error = prepare(&photo, &options, None, &Limits::default()).unwrap_err();
    assert!(error.message().contains("12000x9000"), "{error}");
}

#[test]
fn half_the_size_is_the_mean_of_four_pixels() {
    let (width, height) = (3_001, 2_701);
    let limits = Limits::default().with_max_pixels(8_000_000);
    for (components, kind) in [
        (1, Kind::SEQUENTIAL),
        (
            3,
            Kind {
                sampling: (2, 2),
                restart: 11,
                ..Kind::SEQUENTIAL
            },
        ),
        (
            3,
            Kind {
                progressive: true,
                sampling: (2, 1),
                ..Kind::SEQUENTIAL
            },
        ),
    ] {
        // Soft edges: what lies beyond the low frequencies is cut off on purpose.
        let waves: Vec<(f64, f64)> = (0..width.max(height))
            .map(|place| (50.0 * (place as f64 / 21.0).sin(), 30.0 * (place as f64 / 160.0).cos()))
            .collect();
        let bytes = writer::write(width, height, components, kind, |component, x, y| {
            128.0
                + if component == 0 {
                    waves[x].0 + waves[y].0
                } else {
                    waves[x].1 + waves[y].1
                }
        });
        let whole = Photo::from_bytes(&bytes).decode(&Limits::default()).unwrap();
        let reduced = Photo::from_bytes(&bytes).decode_with_notes(&limits).unwrap();
        assert_eq!((reduced.reduction, &reduced.notes[..]), (2, &[][..]));
        let small = reduced.image;
        assert_eq!(
            small.dimensions(),
            (width.div_ceil(2) as u32, height.div_ceil(2) as u32)
        );
        let mut sum = 0.0;
        for (x, y, pixel) in small.enumerate_pixels() {
            for channel in 0..3 {
                let at = |dx: u32, dy: u32| {
                    let (x, y) = (
                        (2 * x + dx).min(whole.width() - 1),
                        (2 * y + dy).min(whole.height() - 1),
                    );
                    f64::from(whole.get_pixel(x, y).0[channel])
                };
                let mean = (at(0, 0) + at(1, 0) + at(0, 1) + at(1, 1)) / 4.0;
                sum += (f64::from(pixel.0[channel]) - mean).abs();
            }
        }
        let mean = sum / f64::from(small.width() * small.height() * 3);
        assert!(mean < 1.0, "{components} components: {mean}");
    }
}
