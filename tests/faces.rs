//! The face detector against ONNX Runtime's results, and the crops it leads to.
//!
//! Needs the detector weights: `OMNIID_ASSETS`, by default `../shared/assets` beside the repository.

use image::{imageops, Rgb, RgbImage};
use omniid::face::{crop, prepare, CropMode, CropOptions, DetectOptions, Face, FaceBox, FaceDetector, Landmarks};
use omniid::photo::{ChannelOrder, FaceHint, PhotoNote, PixelBuffer};
use omniid::{ErrorKind, Limits, Photo};
use std::path::{Path, PathBuf};

const CONTAINERS: [&str; 2] = ["yunet_n.safetensors", "yunet_n_dynamic.onnx"];

/// The folder of the detector, or `None`, recorded as a skipped test.
fn detector_folder() -> Option<PathBuf> {
    Some(omniid_test_support::assets("detector/yunet_n.safetensors")?.join("detector"))
}

fn open(folder: &Path) -> FaceDetector {
    FaceDetector::open(folder.join(CONTAINERS[0]), &Limits::default()).unwrap()
}

fn test_image(folder: &Path, name: &str) -> RgbImage {
    Photo::from(folder.join("test").join(name))
        .decode(&Limits::default())
        .unwrap()
}

fn photo_of(image: &RgbImage) -> Photo<'_> {
    let pixels = PixelBuffer::new(
        image.as_raw().as_slice(),
        image.width(),
        image.height(),
        0,
        ChannelOrder::Rgb,
    );
    Photo::from_pixels(pixels.unwrap())
}

fn numbers(face: &Face) -> Vec<f32> {
    let FaceBox {
        left,
        top,
        right,
        bottom,
    } = face.bounds;
    [left, top, right, bottom]
        .into_iter()
        .chain(face.landmarks.0.into_iter().flatten())
        .collect()
}

#[test]
fn both_containers_find_what_onnx_runtime_finds() {
    let Some(folder) = detector_folder() else { return };
    let expected = std::fs::read_to_string(folder.join("test/expected.json")).unwrap();
    let expected: serde_json::Value = serde_json::from_str(&expected).unwrap();
    for container in CONTAINERS {
        let detector = FaceDetector::open(folder.join(container), &Limits::default()).unwrap();
        for (name, value) in expected.as_object().unwrap() {
            let actual = detector
                .detect(&test_image(&folder, name), &DetectOptions::default())
                .unwrap();
            let faces = value["faces"].as_array().unwrap();
            assert_eq!(actual.len(), faces.len(), "{container} {name}");
            assert!(actual
                .windows(2)
                .all(|pair| pair[0].bounds.side() >= pair[1].bounds.side()));
            for face in faces {
                let score = face["score"].as_f64().unwrap() as f32;
                let floats = |value: &serde_json::Value| -> Vec<f32> {
                    value
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|v| v.as_f64().unwrap() as f32)
                        .collect()
                };
                let mut wanted = floats(&face["box_xyxy"]);
                face["landmarks"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .for_each(|point| wanted.extend(floats(point)));
                let distance = |face: &Face| {
                    numbers(face)
                        .iter()
                        .zip(&wanted)
                        .map(|(a, b)| (a - b).abs())
                        .fold(0.0, f32::max)
                };
                let best = actual
                    .iter()
                    .min_by(|a, b| distance(a).total_cmp(&distance(b)))
                    .unwrap();
                println!(
                    "{container} {name}: {} pixels, score {}",
                    distance(best),
                    best.score - score
                );
                assert!(distance(best) <= 0.01, "{container} {name}: {}", distance(best));
                assert!(
                    (best.score - score).abs() <= 0.001,
                    "{container} {name}: {} {score}",
                    best.score
                );
            }
        }
    }
}

#[test]
fn damaged_detector_files_are_errors() {
    let Some(folder) = detector_folder() else { return };
    let limits = Limits::default();
    for container in CONTAINERS {
        let whole = std::fs::read(folder.join(container)).unwrap();
        for cut in (0..whole.len()).step_by(whole.len() / 40) {
            let error = FaceDetector::from_bytes(&whole[..cut], &limits).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Format, "{container} cut at {cut}: {error}");
        }
        for at in (0..whole.len()).step_by(whole.len() / 300) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0xA5;
            // A flipped weight is still a weight; the rest must be an error. Neither may panic.
            let _ = FaceDetector::from_bytes(&damaged, &limits);
        }
    }
    let tight = limits.with_max_header_bytes(10);
    let whole = std::fs::read(folder.join(CONTAINERS[0])).unwrap();
    assert_eq!(
        FaceDetector::from_bytes(&whole, &tight).err().unwrap().kind(),
        ErrorKind::LimitExceeded
    );
}

#[test]
fn turned_photos_give_the_same_face() {
    let Some(folder) = detector_folder() else { return };
    let detector = open(&folder);
    let upright = test_image(&folder, "small_tilted_300x225.png");
    let expected = detector.detect(&upright, &DetectOptions::default()).unwrap();
    let (width, height) = (upright.width() as f32, upright.height() as f32);
    type Back = fn([f32; 2], f32, f32) -> [f32; 2];
    let turned: [(RgbImage, Back); 3] = [
        (imageops::rotate90(&upright), |[x, y], _, h| [y, h - x]),
        (imageops::rotate180(&upright), |[x, y], w, h| [w - x, h - y]),
        (imageops::rotate270(&upright), |[x, y], w, _| [w - y, x]),
    ];
    for (image, back) in turned {
        let found = detector.detect(&image, &DetectOptions::default()).unwrap();
        assert_eq!(found.len(), 1);
        for (actual, wanted) in found[0].landmarks.0.iter().zip(&expected[0].landmarks.0) {
            let actual = back(*actual, width, height);
            // The detector may have seen the face lying on its side, without turning the photo: allow for that.
            let distance = (actual[0] - wanted[0]).hypot(actual[1] - wanted[1]);
            assert!(distance < 4.0, "{actual:?} {wanted:?}");
        }
        // The crop shows the face upright: eyes above the mouth, at the same places as without the turn.
        let selection = CropOptions::new(CropMode::face(), 160);
        let (prepared, _) = prepare(&photo_of(&image), &selection, Some(&detector), &Limits::default()).unwrap();
        let (reference, _) = prepare(&photo_of(&upright), &selection, Some(&detector), &Limits::default()).unwrap();
        let mean: f32 = prepared
            .iter()
            .zip(reference.iter())
            .map(|(a, b)| f32::from(a.abs_diff(*b)))
            .sum::<f32>()
            / prepared.len() as f32;
        println!("mean difference of the crops {mean}");
        assert!(mean < 12.0, "{mean}");
    }
}

#[test]
fn large_and_small_faces_are_found() {
    let Some(folder) = detector_folder() else { return };
    let detector = open(&folder);
    let single = test_image(&folder, "single_320x320.png");
    let reference = detector.detect(&single, &DetectOptions::default()).unwrap()[0];
    // Nine times as large: 1200 to 1500 pixels of face, found at a reduced scale.
    let large = imageops::resize(&single, 2880, 2880, imageops::FilterType::CatmullRom);
    let face = detector.detect(&large, &DetectOptions::default()).unwrap()[0];
    for (actual, wanted) in numbers(&face).iter().zip(numbers(&reference)) {
        assert!((actual / 9.0 - wanted).abs() < 6.0, "{actual} {wanted}");
    }
    // A face of 40 pixels in a picture of 1800: the first search sees 14 pixels of it or nothing.
    let mut wide = RgbImage::from_pixel(1800, 1200, Rgb([120, 130, 125]));
    let small = imageops::resize(&single, 80, 80, imageops::FilterType::CatmullRom);
    imageops::overlay(&mut wide, &small, 1300, 700);
    let faces = detector
        .detect(&wide, &DetectOptions::default().with_exhaustive(true))
        .unwrap();
    assert_eq!(faces.len(), 1);
    for (index, (actual, wanted)) in numbers(&faces[0]).iter().zip(numbers(&reference)).enumerate() {
        let offset = if index % 2 == 0 { 1300.0 } else { 700.0 };
        assert!((actual - offset - wanted / 4.0).abs() < 4.0, "{actual} {wanted}");
    }
    // A crop from the middle of the face: it fills the frame.
    let filling = imageops::crop_imm(&single, 100, 82, 122, 166).to_image();
    let faces = detector.detect(&filling, &DetectOptions::default()).unwrap();
    assert_eq!(faces.len(), 1);
    assert!(
        faces[0].bounds.overlap(&FaceBox {
            left: 3.5,
            top: 3.8,
            right: 117.4,
            bottom: 164.5
        }) > 0.8
    );
}

#[test]
fn selection_has_defined_results() {
    let Some(folder) = detector_folder() else { return };
    let detector = open(&folder);
    let limits = Limits::default();
    let three = test_image(&folder, "three_640x480.png");
    let selection = CropOptions::new(CropMode::face(), 64);
    let run = |image: &RgbImage, hint, selection: &CropOptions, detector| {
        prepare(&photo_of(image).with_face(hint), selection, detector, &limits)
    };

    let (crop, largest) = run(&three, FaceHint::Detect, &selection, Some(&detector)).unwrap();
    assert_eq!((largest.faces_found, crop.dimensions()), (Some(3), (64, 64)));
    assert!((largest.face.unwrap().bounds.left - 287.386).abs() < 0.01);
    let (_, third) = run(&three, FaceHint::Index(2), &selection, Some(&detector)).unwrap();
    assert!((third.face.unwrap().bounds.left - 515.14).abs() < 0.01);
    let error = run(&three, FaceHint::Index(3), &selection, Some(&detector)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoFace);
    assert!(error.message().contains("3 found"), "{error}");

    let blank = RgbImage::from_pixel(200, 200, Rgb([90, 90, 90]));
    let error = run(&blank, FaceHint::Detect, &selection, Some(&detector)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoFace);
    let picky = selection.with_min_face(500.0);
    let error = run(&three, FaceHint::Detect, &picky, Some(&detector)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoFace);
    assert!(error.message().contains("170 pixels"), "{error}");

    // Landmarks from the host give the same aligned crop as the detector's.
    let aligned = CropOptions::new(CropMode::aligned(), 112);
    let (by_detector, report) = run(&three, FaceHint::Detect, &aligned, Some(&detector)).unwrap();
    let landmarks = report.face.unwrap().landmarks;
    let (by_host, _) = run(&three, FaceHint::Landmarks(landmarks), &aligned, None).unwrap();
    assert_eq!(by_detector, by_host);
    // The box that is estimated from landmarks is near the detector's.
    let estimated = crop::box_of_landmarks(&landmarks).unwrap();
    assert!(estimated.overlap(&report.face.unwrap().bounds) > 0.7, "{estimated:?}");
}

#[test]
fn hints_need_no_detector() {
    let image = RgbImage::from_fn(200, 160, |x, y| Rgb([x as u8, y as u8, 77]));
    let limits = Limits::default();
    let run = |hint, mode| {
        prepare(
            &photo_of(&image).with_face(hint),
            &CropOptions::new(mode, 50),
            None,
            &limits,
        )
    };
    let bounds = FaceBox {
        left: 50.0,
        top: 40.0,
        right: 100.0,
        bottom: 90.0,
    };

    // A box of 50 pixels without margin into 50 pixels: the pixels themselves.
    let (exact, _) = run(FaceHint::Box(bounds), CropMode::Face { margin: 0.0 }).unwrap();
    assert_eq!(exact, imageops::crop_imm(&image, 50, 40, 50, 50).to_image());
    let (_, aligned) = run(FaceHint::Box(bounds), CropMode::aligned()).unwrap();
    assert_eq!(aligned.crop, CropMode::Face { margin: 0.25 });
    assert!(aligned.notes == [PhotoNote::NoLandmarks]);

    // In the corner, the border is repeated: what lies left of the photo has its first column.
    let corner = FaceBox {
        left: 0.0,
        top: 0.0,
        right: 50.0,
        bottom: 50.0,
    };
    let (padded, _) = run(FaceHint::Box(corner), CropMode::Face { margin: 0.5 }).unwrap();
    assert_eq!(padded.get_pixel(2, 2).0, [0, 0, 77]);
    // Far outside with a face larger than the photo: the square is limited to the photo's longer side.
    let huge = FaceBox {
        left: -4000.0,
        top: -4000.0,
        right: 9000.0,
        bottom: 9000.0,
    };
    let (whole, _) = run(FaceHint::Box(huge), CropMode::face()).unwrap();
    assert_eq!(whole.get_pixel(25, 25).0[0].abs_diff(102), 0);

    for mode in [CropMode::face(), CropMode::aligned()] {
        let error = run(FaceHint::Detect, mode).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().contains("face detector"), "{error}");
    }
    let nan = FaceBox {
        left: f32::NAN,
        ..bounds
    };
    let outside = FaceBox {
        left: 300.0,
        right: 350.0,
        ..bounds
    };
    let swapped = FaceBox {
        left: 100.0,
        right: 50.0,
        ..bounds
    };
    for bad in [nan, outside, swapped] {
        assert_eq!(
            run(FaceHint::Box(bad), CropMode::face()).unwrap_err().kind(),
            ErrorKind::InvalidArgument
        );
    }
    let tiny = FaceBox {
        right: 60.0,
        bottom: 50.0,
        ..bounds
    };
    assert_eq!(
        run(FaceHint::Box(tiny), CropMode::face()).unwrap_err().kind(),
        ErrorKind::NoFace
    );
    for bad in [[[7.0; 2]; 5], [[f32::INFINITY; 2]; 5], [[1e30; 2]; 5]] {
        let error = run(FaceHint::Landmarks(Landmarks(bad)), CropMode::aligned()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    }
    for mode in [
        CropMode::Face { margin: -0.1 },
        CropMode::Face { margin: f32::NAN },
        CropMode::Aligned {
            scale: 0.0,
            center: [56.0; 2],
        },
        CropMode::Aligned {
            scale: 1.0,
            center: [56.0, f32::NAN],
        },
    ] {
        assert_eq!(
            run(FaceHint::Box(bounds), mode).unwrap_err().kind(),
            ErrorKind::InvalidArgument
        );
    }
    // Modes without a face take any photo.
    assert_eq!(run(FaceHint::Detect, CropMode::None).unwrap().0.dimensions(), (50, 50));
    let (center, _) = run(FaceHint::Detect, CropMode::Center).unwrap();
    let expected = imageops::crop_imm(&image, 20, 0, 160, 160).to_image();
    let expected = omniid::photo::resample::resize(&expected, 50, 50, omniid::photo::resample::Filter::Bicubic);
    assert!(center.iter().zip(expected.iter()).all(|(a, b)| a.abs_diff(*b) <= 1));
}

#[test]
fn alignment_undoes_any_similarity() {
    // Landmarks made from the template by a known turn, scale and shift: the fit must find the way back.
    for (angle, scale) in [(0.0f64, 1.0f64), (0.7, 3.5), (-2.5, 0.4), (3.1, 12.0)] {
        let (a, b) = (scale * angle.cos(), scale * angle.sin());
        let forward = |[x, y]: [f32; 2]| {
            let (x, y) = (f64::from(x), f64::from(y));
            [(a * x - b * y + 200.0) as f32, (b * x + a * y + 150.0) as f32]
        };
        let landmarks = Landmarks(crop::ARCFACE_TEMPLATE.map(forward));
        let fitted = crop::alignment(&landmarks, 224, 1.0, crop::TEMPLATE_CENTER).unwrap();
        assert!((fitted.scale() * scale - 2.0).abs() < 1e-4, "{fitted:?}");
        for (point, template) in landmarks.0.iter().zip(crop::ARCFACE_TEMPLATE) {
            let [x, y] = fitted.apply(point.map(f64::from));
            assert!((x - 2.0 * f64::from(template[0])).abs() < 1e-3);
            assert!((y - 2.0 * f64::from(template[1])).abs() < 1e-3);
            let back = fitted.inverse().apply([x, y]);
            assert!((back[0] - f64::from(point[0])).abs() < 1e-3);
        }
    }
}

#[test]
fn aligned_crops_of_a_ramp_have_its_values() {
    // On a linear ramp, halving and bilinear sampling are exact, so each pixel's value follows from its position.
    let image = RgbImage::from_fn(800, 800, |x, y| Rgb([(x / 4) as u8, (y / 4) as u8, 0]));
    let place = |point: [f32; 2]| [150.0 + 4.5 * point[0], 140.0 + 4.5 * point[1]];
    let landmarks = Landmarks(crop::ARCFACE_TEMPLATE.map(place));
    let aligned = crop::crop_aligned(&image, &landmarks, 1.0, crop::TEMPLATE_CENTER, 112).unwrap();
    for (x, y, pixel) in aligned.enumerate_pixels() {
        let wanted = [(150.0 + 4.5 * x as f32) / 4.0, (140.0 + 4.5 * y as f32) / 4.0];
        // The ramp has steps of 4 pixels, whose mean lies 0.375 below the line.
        for axis in 0..2 {
            let difference = f32::from(pixel[axis]) - (wanted[axis] - 0.375);
            assert!(difference.abs() <= 1.1, "{x},{y}: {pixel:?} {wanted:?}");
        }
    }
}
