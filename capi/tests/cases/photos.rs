//! Photos as people have them.

use crate::calls::{at_path, in_memory, pixels, Engine};
use crate::files::{encoded, example};
use image::{imageops, DynamicImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use omniid_capi::*;

fn engine() -> Engine {
    Engine::open(|_| {}).unwrap()
}

#[test]
fn photos_that_lie_on_their_side_or_head_are_turned_or_noted() {
    let engine = engine();
    let mut right_ones = 0;
    for (person, number) in [(1, 2), (2, 1), (4, 3), (6, 2)] {
        let upright = example(person, number);
        let known = engine.encode(&[pixels(&upright)], |_| {}).unwrap();
        assert_eq!(known.photos[0].rotation, 0, "{:?}", known.photos);
        // How the photo was turned clockwise, and how it has to be turned to stand upright.
        let turned = [
            (imageops::rotate90(&upright), 270),
            (imageops::rotate180(&upright), 180),
            (imageops::rotate270(&upright), 90),
        ];
        for (turned, rotation) in turned {
            let found = engine.encode(&[pixels(&turned)], |_| {}).unwrap();
            let report = &found.photos[0];
            let similarity = engine.similarity(&known.identity, &found.identity);
            let right = similarity > 0.9 && report.rotation == rotation;
            let noted = report.reason.contains("upright");
            assert!(
                right || noted,
                "person {person}, to be turned {rotation}: similarity {similarity}, {report:?}"
            );
            right_ones += usize::from(right);
        }
    }
    // A doubtful one may be noted instead, but not as a rule.
    assert!(right_ones >= 10, "only {right_ones} of 12 were turned upright");
}

#[test]
fn hidden_colour_is_not_seen() {
    let engine = engine();
    for (person, number) in [(1, 1), (3, 2), (5, 1)] {
        let photo = example(person, number);
        let (width, height) = photo.dimensions();
        // The person cut out by an ellipse, with something else under the transparent pixels each time.
        let cut_out = |hidden: &dyn Fn(u32, u32) -> [u8; 3]| {
            RgbaImage::from_fn(width, height, |x, y| {
                let (dx, dy) = (x as f32 / width as f32 - 0.5, y as f32 / height as f32 - 0.5);
                let [r, g, b] = if dx * dx + dy * dy < 0.23 {
                    photo.get_pixel(x, y).0
                } else {
                    hidden(x, y)
                };
                Rgba([r, g, b, if dx * dx + dy * dy < 0.23 { 255 } else { 0 }])
            })
        };
        let variants = [
            cut_out(&|_, _| [0; 3]),
            cut_out(&|_, _| [20, 230, 40]),
            cut_out(&|x, y| [(x * 7) as u8, (y * 13) as u8, (x ^ y) as u8]),
        ];
        let identities = variants.map(|variant| {
            let file = encoded(&DynamicImage::from(variant), ImageFormat::Png);
            let encoded = engine.encode(&[in_memory(&file)], |_| {}).unwrap();
            assert_eq!(encoded.photos[0].rotation, 0);
            encoded.identity
        });
        for other in &identities[1..] {
            assert_eq!(identities[0].tokens(), other.tokens(), "person {person}");
            assert!(engine.similarity(&identities[0], other) > 0.9999);
        }
    }
}

/// Where the compressed data of a baseline JPEG begins.
fn scan_start(jpeg: &[u8]) -> usize {
    let mut at = 2;
    loop {
        let length = usize::from(jpeg[at + 2]) << 8 | usize::from(jpeg[at + 3]);
        if jpeg[at + 1] == 0xDA {
            return at + 2 + length;
        }
        at += 2 + length;
    }
}

#[test]
fn damage_of_a_jpeg_is_judged_by_its_data() {
    let engine = engine();
    for (person, number) in [(2, 2), (3, 1), (6, 3)] {
        let jpeg = encoded(&DynamicImage::from(example(person, number)), ImageFormat::Jpeg);
        let start = scan_start(&jpeg);
        let whole = engine.encode(&[in_memory(&jpeg)], |_| {}).unwrap();
        assert_eq!(whole.photos[0].reason, "");
        let without_end = &jpeg[..jpeg.len() - 2];
        let used = engine.encode(&[in_memory(without_end)], |_| {}).unwrap();
        assert_eq!(used.identity.tokens(), whole.identity.tokens(), "every pixel is there");

        let cut = |share: f64| start + ((jpeg.len() - start) as f64 * share) as usize;
        let half_with_end = [&jpeg[..cut(0.5)], &[0xFF, 0xD9]].concat();
        let third = jpeg[..cut(0.3)].to_vec();
        let mut hole = jpeg.clone();
        hole[cut(0.2)..cut(0.6)].fill(0);
        for (name, damaged) in [("half", half_with_end), ("third", third), ("hole", hole)] {
            // Beside a good photo, so that the call succeeds and reports.
            let encoded = engine.encode(&[in_memory(&jpeg), in_memory(&damaged)], |_| {}).unwrap();
            let report = &encoded.photos[1];
            assert!(
                !report.reason.is_empty(),
                "person {person}, {name}: used without a word"
            );
            assert!(
                report.status != OMNIID_STATUS_OK || report.reason.contains('%'),
                "person {person}, {name}: {report:?}"
            );
        }
    }
}

#[test]
fn formats_are_named_by_content_whatever_the_file_is_called() {
    let engine = engine();
    let folder = tempfile::tempdir().unwrap();
    let brand = |brand: &[u8; 4]| [b"\0\0\0\x18ftyp", &brand[..], b"\0\0\0\0mif1", brand].concat();
    for (name, bytes, format) in [
        ("IMG_0001.HEIC", brand(b"heic"), "HEIC"),
        ("IMG_0010.jpg", brand(b"heix"), "HEIC"),
        ("picture.png", brand(b"avif"), "AVIF"),
        ("animation.jpeg", b"GIF89a\x01\0\x01\0\0\0\0".to_vec(), "GIF"),
        ("page.jpg", b"<!DOCTYPE html><html></html>".to_vec(), "HTML"),
        ("document.jpg", b"%PDF-1.7\n".to_vec(), "PDF"),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let refusal = engine.encode(&[at_path(&path)], |_| {}).err().expect(name);
        assert_eq!(refusal.status, OMNIID_STATUS_UNSUPPORTED, "{name}: {}", refusal.message);
        assert!(
            refusal.message.contains(format) && refusal.message.contains(name),
            "{name}: {}",
            refusal.message
        );
    }
    // The other way round: a PNG that is called JPEG is a photo.
    let path = folder.path().join("really.jpg");
    std::fs::write(&path, encoded(&DynamicImage::from(example(1, 1)), ImageFormat::Png)).unwrap();
    let encoded = engine.encode(&[at_path(&path)], |_| {}).unwrap();
    assert_eq!(encoded.photos[0].status, OMNIID_STATUS_OK);
    for (bytes, word) in [(&b""[..], "empty"), (&[0; 5000], "zeros")] {
        let refusal = engine.encode(&[in_memory(bytes)], |_| {}).err().expect(word);
        assert!(refusal.message.contains(word), "{}", refusal.message);
    }
}

#[test]
fn a_stranger_among_the_photos_is_noted() {
    let engine = engine();
    for (person, other) in [(1, 4), (2, 6), (5, 3)] {
        let images =
            [(person, 1), (person, 2), (person, 3), (other, 1)].map(|(person, number)| example(person, number));
        let photos: Vec<_> = images.iter().map(pixels).collect();
        let encoded = engine.encode(&photos, |_| {}).unwrap();
        let [own @ .., stranger] = encoded.photos.as_slice() else {
            panic!()
        };
        assert!(
            stranger.reason.contains("looks like somebody else"),
            "person {person} with {other}: {:?}",
            encoded.photos
        );
        for photo in own {
            assert!(
                !photo.reason.contains("somebody else"),
                "person {person}: {:?}",
                encoded.photos
            );
            assert!(
                photo.similarity > stranger.similarity,
                "person {person}: {:?}",
                encoded.photos
            );
        }
        let alone = engine.encode(&photos[..1], |_| {}).unwrap();
        assert!(alone.photos[0].similarity.is_nan());
    }
}

/// Two people side by side, the left one larger.
fn group(left: &RgbImage, right: &RgbImage) -> RgbImage {
    let small = imageops::resize(
        right,
        right.width() * 7 / 10,
        right.height() * 7 / 10,
        imageops::Triangle,
    );
    let mut canvas = RgbImage::from_pixel(left.width() + small.width(), left.height(), Rgb([110, 120, 130]));
    imageops::replace(&mut canvas, left, 0, 0);
    imageops::replace(&mut canvas, &small, i64::from(left.width()), 30);
    canvas
}

#[test]
fn in_a_group_the_face_that_fits_the_others_is_taken() {
    let engine = engine();
    for (person, friend) in [(1, 4), (3, 5), (6, 2)] {
        let friend = example(friend, 1);
        let images = [
            example(person, 1),
            example(person, 2),
            example(person, 3),
            group(&friend, &example(person, 4)),
        ];
        let mut photos: Vec<_> = images.iter().map(pixels).collect();
        let split = friend.width() as f32;
        let encoded = engine.encode(&photos, |_| {}).unwrap();
        let report = &encoded.photos[3];
        assert!(report.bounds[0] >= split, "person {person}: {report:?}");
        // A choice of the caller decides.
        photos[3].face_hint = OMNIID_FACE_HINT_INDEX;
        let chosen = engine.encode(&photos, |_| {}).unwrap();
        let report = &chosen.photos[3];
        assert!(report.bounds[2] <= split + 20.0, "person {person}: {report:?}");
    }
}
