//! Photos that lie on their side or their head without saying so: which way up they are is seen in the faces.

use image::{imageops, Rgb, RgbImage};
use omniid::face::{cut, CropMode, CropOptions, DetectOptions, Detection, FaceDetector};
use omniid::photo::{FaceHint, PhotoNote};
use omniid::{ErrorKind, Limits, Photo};
use std::path::{Path, PathBuf};

/// An example photo: a rendered person.
fn example(person: usize, photo: usize) -> RgbImage {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/photos");
    read(folder.join(format!("person-{person}/{photo:02}.jpg")))
}

fn read(path: PathBuf) -> RgbImage {
    Photo::from(path).decode(&Limits::default()).unwrap()
}

/// Turns clockwise by quarter turns.
fn turned(image: &RgbImage, turns: u32) -> RgbImage {
    match turns {
        1 => imageops::rotate90(image),
        2 => imageops::rotate180(image),
        3 => imageops::rotate270(image),
        _ => image.clone(),
    }
}

/// Turns clockwise by degrees around the middle; the border is repeated.
fn tilted(image: &RgbImage, degrees: f32) -> RgbImage {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let [x0, y0] = [image.width(), image.height()].map(|side| side as f32 / 2.0);
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let (x, y) = (x as f32 + 0.5 - x0, y as f32 + 0.5 - y0);
        let place = |value: f32, side: u32| value.clamp(0.0, side as f32 - 1.0) as u32;
        *image.get_pixel(
            place(cos * x + sin * y + x0, image.width()),
            place(cos * y - sin * x + y0, image.height()),
        )
    })
}

fn detect(image: &RgbImage) -> Detection {
    let detector = FaceDetector::built_in().unwrap();
    detector.detect_oriented(image, &DetectOptions::default()).unwrap()
}

/// The mean difference of two pictures' values.
fn difference(a: &RgbImage, b: &RgbImage) -> f32 {
    let sum: f32 = a.iter().zip(b.iter()).map(|(a, b)| f32::from(a.abs_diff(*b))).sum();
    sum / a.len() as f32
}

/// What the encoder sees of a photo, and the report on it.
fn seen(image: &RgbImage) -> (RgbImage, omniid::engine::PhotoReport) {
    let detector = FaceDetector::built_in().unwrap();
    let options = CropOptions::new(CropMode::face(), 96);
    cut(image, FaceHint::Detect, &options, Some(&detector)).unwrap()
}

#[test]
fn turned_photos_show_the_encoder_what_upright_ones_do() {
    for (person, photo) in [(1, 1), (2, 3), (3, 5), (4, 7), (5, 4), (6, 2)] {
        let image = example(person, photo);
        let (expected, report) = seen(&image);
        assert_eq!((report.rotation, report.notes.len()), (0, 0), "{person} {photo}");
        // What a wrong turn would show.
        assert!(difference(&expected, &imageops::rotate180(&expected)) > 20.0);
        for turns in 1..4 {
            let (crop, report) = seen(&turned(&image, turns));
            let rotation = 360 - 90 * turns;
            let found = difference(&crop, &expected);
            assert!(found < 6.0, "{person} {photo} {turns}: {found}");
            assert_eq!(report.rotation, rotation, "{person} {photo} {turns}");
            assert_eq!(
                report.notes,
                [PhotoNote::Turned { rotation }],
                "{person} {photo} {turns}"
            );
        }
    }
}

#[test]
fn upright_photos_are_what_they_are_without_turning() {
    let detector = FaceDetector::built_in().unwrap();
    let plain = DetectOptions::default().with_turn(false);
    for person in 1..=6 {
        let image = example(person, person);
        let detection = detect(&image);
        assert_eq!((detection.rotation, detection.doubtful), (0, false));
        assert_eq!(detection.faces, detector.detect(&image, &plain).unwrap());
    }
}

#[test]
fn heads_may_be_tilted_as_well() {
    for (person, degrees) in [(1, 15.0), (2, -20.0), (4, 30.0), (6, -30.0)] {
        let image = tilted(&example(person, 1), degrees);
        for turns in 0..4 {
            let detection = detect(&turned(&image, turns));
            assert_eq!(detection.faces.len(), 1, "{person} {turns}");
            assert_eq!(detection.rotation, (360 - 90 * turns) % 360, "{person} {turns}");
        }
    }
}

/// A dull background with photos on it, `side` pixels wide and high, at these places.
fn scene(size: [u32; 2], photos: &[(RgbImage, u32, [i64; 2])]) -> RgbImage {
    let mut scene = RgbImage::from_fn(size[0], size[1], |x, y| {
        Rgb([90 + (x % 32) as u8, 100 + (y % 24) as u8, 110])
    });
    for (photo, side, place) in photos {
        let small = imageops::resize(photo, *side, *side, imageops::FilterType::Triangle);
        imageops::overlay(&mut scene, &small, place[0], place[1]);
    }
    scene
}

#[test]
fn a_group_turns_as_a_whole() {
    let group = scene(
        [620, 260],
        &[
            (example(1, 1), 180, [10, 40]),
            (example(3, 1), 200, [210, 20]),
            (example(5, 1), 160, [440, 60]),
        ],
    );
    let expected = detect(&group);
    assert_eq!((expected.faces.len(), expected.rotation), (3, 0));
    for turns in 1..4 {
        let detection = detect(&turned(&group, turns));
        assert_eq!(
            (detection.faces.len(), detection.rotation),
            (3, 360 - 90 * turns),
            "{turns}"
        );
    }
}

#[test]
fn small_faces_turn_too() {
    let wide = scene([900, 600], &[(example(2, 1), 110, [600, 300])]);
    for turns in 0..4 {
        let detection = detect(&turned(&wide, turns));
        assert_eq!(detection.faces.len(), 1, "{turns}");
        assert_eq!(detection.rotation, (360 - 90 * turns) % 360, "{turns}");
    }
}

#[test]
fn nothing_becomes_a_face_by_turning() {
    let noise = |x: u32, y: u32| (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)).wrapping_mul(97) >> 24;
    let pictures = [
        RgbImage::from_pixel(300, 200, Rgb([120, 110, 100])),
        RgbImage::from_fn(320, 320, |x, y| Rgb([(x / 2) as u8, (y / 2) as u8, 128])),
        RgbImage::from_fn(256, 320, |x, y| {
            Rgb([if (x / 16 + y / 16) % 2 == 0 { 230 } else { 20 }; 3])
        }),
        RgbImage::from_fn(320, 240, |x, y| Rgb([noise(x, y) as u8; 3])),
        // The background above a head.
        imageops::crop_imm(&example(1, 1), 0, 0, 448, 40).to_image(),
        imageops::crop_imm(&example(4, 1), 0, 0, 60, 448).to_image(),
    ];
    for (index, picture) in pictures.iter().enumerate() {
        for turns in 0..4 {
            let detection = detect(&turned(picture, turns));
            assert_eq!(detection, Detection::default(), "{index} {turns}");
        }
    }
}

#[test]
fn what_could_lie_either_way_is_noted() {
    // The photo and itself on its head, one over the other: both ways up are as good. The head is in its middle.
    let image = imageops::crop_imm(&example(1, 1), 0, 0, 448, 403).to_image();
    let head_down = imageops::rotate180(&image);
    let both = RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let (a, b) = (image.get_pixel(x, y).0, head_down.get_pixel(x, y).0);
        Rgb(std::array::from_fn(|channel| a[channel] / 2 + b[channel] / 2))
    });
    let detector = FaceDetector::built_in().unwrap();
    let options = CropOptions::new(CropMode::face(), 96);
    match cut(&both, FaceHint::Detect, &options, Some(&detector)) {
        Ok((_, report)) => {
            let doubtful = |note: &PhotoNote| matches!(note, PhotoNote::DoubtfulFace { score } if *score > 0.0);
            assert!(report.notes.iter().any(doubtful), "{:?}", report.notes);
            assert!(
                report.reason().contains("may be no upright face"),
                "{}",
                report.reason()
            );
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::NoFace),
    }
}

/// Real faces, of people by whom no threshold was chosen.
#[test]
fn real_photos_are_turned_upright() {
    let Some(assets) = omniid_test_support::assets("eval/orl/s2/1.png") else {
        return;
    };
    let (mut right, mut all) = (0, 0);
    for person in (2..=40).step_by(2) {
        let image = read(assets.join(format!("eval/orl/s{person}/1.png")));
        for turns in 0..4 {
            let detection = detect(&turned(&image, turns));
            let expected = (360 - 90 * turns) % 360;
            right += usize::from(detection.rotation == expected && !detection.faces.is_empty());
            all += 1;
        }
    }
    assert!(right >= all - 2, "{right} of {all}");
}
