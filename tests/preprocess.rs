//! Decoding and preparation against Pillow and transformers (`tests/parity/preprocess.py`).

use image::RgbImage;
use omniid::photo::resample::{resize, resize_f32, resize_window, Filter, Window};
use omniid::photo::ImageProcessor;
use omniid::{Limits, Photo};
use safetensors::SafeTensors;
use std::path::{Path, PathBuf};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/preprocess")
        .join(name)
}

fn image_of(file: &SafeTensors, name: &str) -> RgbImage {
    let view = file.tensor(name).unwrap();
    let (height, width) = (view.shape()[0] as u32, view.shape()[1] as u32);
    RgbImage::from_raw(width, height, view.data().to_vec()).unwrap()
}

fn floats_of(file: &SafeTensors, name: &str) -> Vec<f32> {
    let view = file.tensor(name).unwrap();
    view.data()
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect()
}

fn largest_difference(a: &[u8], b: &[u8]) -> u8 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

#[test]
fn clip_preparation_equals_transformers() {
    let bytes = std::fs::read(fixture("clip.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let cases = file.names().iter().filter(|name| name.starts_with("input.")).count();
    assert_eq!(cases, 8);
    for case in 0..cases {
        let image = image_of(&file, &format!("input.{case}"));
        let view = file.tensor(&format!("expected.{case}")).unwrap();
        let size = view.shape()[1] as u32;
        let processor = ImageProcessor::clip(size);
        let actual = processor.process(&image);
        let expected = floats_of(&file, &format!("expected.{case}"));
        assert_eq!(actual.len(), expected.len());
        // One level of 255, in units of the normalised sample, is 0.0142 at least.
        let worst = actual
            .iter()
            .zip(&expected)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        println!("{}x{}: largest difference {worst:e}", image.width(), image.height());
        assert!(worst < 1e-6, "{}x{}: {worst}", image.width(), image.height());
    }
}

#[test]
fn every_filter_equals_pillow() {
    let bytes = std::fs::read(fixture("resize.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let image = image_of(&file, "input");
    let plane = floats_of(&file, "plane");
    let plane_shape = file.tensor("plane").unwrap().shape().to_vec();
    let filters = [
        ("bilinear", Filter::Bilinear),
        ("bicubic", Filter::Bicubic),
        ("lanczos", Filter::Lanczos),
    ];
    let mut compared = 0;
    for name in file.names() {
        let Some((filter_name, shape)) = name.trim_start_matches("plane.").split_once('.') else {
            continue;
        };
        let filter = filters.iter().find(|(name, _)| *name == filter_name).unwrap().1;
        let (width, height) = shape.split_once('x').unwrap();
        let (width, height): (u32, u32) = (width.parse().unwrap(), height.parse().unwrap());
        if name.starts_with("plane.") {
            let source = (plane_shape[1], plane_shape[0]);
            let actual = resize_f32(&plane, source, (width as usize, height as usize), filter);
            let expected = floats_of(&file, name);
            assert_eq!(actual.len(), expected.len());
            let worst = actual
                .iter()
                .zip(&expected)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max);
            assert!(worst < 1e-6, "{name}: {worst}");
        } else {
            let actual = resize(&image, width, height, filter);
            let expected = image_of(&file, name);
            assert_eq!(largest_difference(&actual, &expected), 0, "{name}");
        }
        compared += 1;
    }
    assert_eq!(compared, 24);
}

#[test]
fn a_window_equals_the_part_of_the_whole() {
    let bytes = std::fs::read(fixture("resize.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let image = image_of(&file, "input");
    let whole = resize(&image, 33, 90, Filter::Lanczos);
    let window = Window {
        left: 7,
        top: 40,
        width: 11,
        height: 20,
    };
    let part = resize_window(&image, 33, 90, window, Filter::Lanczos);
    let expected = image::imageops::crop_imm(&whole, 7, 40, 11, 20).to_image();
    assert_eq!(part, expected);
}

#[test]
fn every_exif_orientation_gives_the_upright_picture() {
    for orientation in 1..=8 {
        for extension in ["jpg", "png", "webp"] {
            let path = fixture(&format!("orientation-{orientation}.{extension}"));
            let image = Photo::from(path.as_path()).decode(&Limits::default()).unwrap();
            assert_eq!(image.dimensions(), (48, 32), "{}", path.display());
            let quadrants = [
                ((11, 7), [200u8, 30, 30]),
                ((36, 7), [30, 200, 30]),
                ((11, 24), [30, 30, 200]),
                ((36, 24), [220, 220, 40]),
            ];
            for ((x, y), colour) in quadrants {
                let difference = largest_difference(&image.get_pixel(x, y).0, &colour);
                assert!(
                    difference <= 4,
                    "{} at {x},{y}: {:?}",
                    path.display(),
                    image.get_pixel(x, y)
                );
            }
        }
    }
}

/// Where Pillow drops the alpha of a file, transparent pixels are laid on middle grey.
fn lay_on_grey(image: &mut RgbImage, file: &Path) {
    let stored = image::open(file).unwrap();
    if !stored.color().has_alpha() {
        return;
    }
    for (pixel, stored) in image.pixels_mut().zip(stored.into_rgba8().pixels()) {
        let alpha = f64::from(stored.0[3]) / 255.0;
        pixel.0 = pixel
            .0
            .map(|value| (f64::from(value) * alpha + 128.0 * (1.0 - alpha)).round() as u8);
    }
}

#[test]
fn every_sample_format_decodes_as_pillow_does() {
    let bytes = std::fs::read(fixture("decoded.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut names = file.names();
    names.sort();
    assert_eq!(names.len(), 14);
    for name in names {
        let mut expected = image_of(&file, name);
        lay_on_grey(&mut expected, &fixture(name));
        let encoded = std::fs::read(fixture(name)).unwrap();
        let from_memory = Photo::from_bytes(&encoded)
            .decode(&Limits::default())
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let from_file = Photo::from(fixture(name)).decode(&Limits::default()).unwrap();
        assert_eq!(from_memory.dimensions(), expected.dimensions(), "{name}");
        assert_eq!(from_memory, from_file, "{name}");
        assert_eq!(largest_difference(&from_memory, &expected), 0, "{name}");
    }
}

#[test]
fn float_samples_are_scaled_and_clamped() {
    let values: Vec<f32> = (0..6 * 4 * 3).map(|i| i as f32 / 60.0 - 0.1).collect();
    let image = image::Rgb32FImage::from_raw(6, 4, values.clone()).unwrap();
    let mut encoded = std::io::Cursor::new(Vec::new());
    image::DynamicImage::ImageRgb32F(image)
        .write_to(&mut encoded, image::ImageFormat::Tiff)
        .unwrap();
    let decoded = Photo::from_bytes(encoded.get_ref()).decode(&Limits::default()).unwrap();
    let expected: Vec<u8> = values
        .iter()
        .map(|v| (v.clamp(0.0, 1.0) * 255.0).round() as u8)
        .collect();
    assert_eq!(decoded.into_raw(), expected);
}
