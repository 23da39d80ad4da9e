//! The second look at a face, which places its landmarks.

use image::{imageops, Rgb, RgbImage};
use omniid::face::{cut, CropMode, CropOptions, DetectOptions, Face, FaceBox, FaceDetector, Landmarks};
use omniid::photo::FaceHint;
use omniid::{ErrorKind, Limits, Photo};
use std::path::Path;

fn detector() -> FaceDetector {
    FaceDetector::built_in().unwrap()
}

/// An example photo: a rendered person.
fn example(person: usize, photo: usize) -> RgbImage {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/photos");
    let path = folder.join(format!("person-{person}/{photo:02}.jpg"));
    Photo::from(path).decode(&Limits::default()).unwrap()
}

/// The largest face, as the network places it.
fn found(image: &RgbImage) -> Face {
    detector().detect(image, &DetectOptions::default()).unwrap()[0]
}

fn refined(image: &RgbImage, face: &Face) -> Face {
    detector().refine(image, face, &DetectOptions::default()).unwrap()
}

/// Mean distance of the landmarks, as a part of the distance of the eyes.
fn distance(a: &Landmarks, b: &Landmarks) -> f32 {
    let between = |p: [f32; 2], q: [f32; 2]| (p[0] - q[0]).hypot(p[1] - q[1]);
    let sum: f32 = a.0.iter().zip(b.0).map(|(&p, q)| between(p, q)).sum();
    sum / 5.0 / between(a.0[0], a.0[1])
}

fn mirrored(landmarks: &Landmarks, width: u32) -> Landmarks {
    Landmarks([1, 0, 2, 4, 3].map(|index| {
        let [x, y] = landmarks.0[index];
        [width as f32 - 1.0 - x, y]
    }))
}

/// What is seen of the mirrored photo is mirrored, by far more than what the network alone sees of it: its two halves
/// are not alike.
#[test]
fn a_mirrored_photo_has_mirrored_landmarks() {
    let (mut alone, mut again, mut count) = (0f32, 0f32, 0f32);
    for person in 1..=6 {
        for photo in [1, 2, 4] {
            let image = example(person, photo);
            let flipped = imageops::flip_horizontal(&image);
            let (face, other) = (found(&image), found(&flipped));
            let mirror = |face: &Face| mirrored(&face.landmarks, image.width());
            alone += distance(&mirror(&face), &other.landmarks);
            again += distance(&mirror(&refined(&image, &face)), &refined(&flipped, &other).landmarks);
            count += 1.0;
        }
    }
    let (alone, again) = (alone / count, again / count);
    assert!(
        again < 0.5 * alone,
        "{again} eye distances, without a second look {alone}"
    );
}

/// Wherever in the photo and at whatever size: the face is looked at in the same pictures.
#[test]
fn landmarks_follow_the_face() {
    for person in 1..=6 {
        let image = example(person, 1);
        let (width, height) = image.dimensions();
        let one = refined(&image, &found(&image)).landmarks;
        let mut wide = RgbImage::from_pixel(width + 330, height + 70, Rgb([120; 3]));
        imageops::replace(&mut wide, &image, 270, 50);
        let moved = refined(&wide, &found(&wide)).landmarks;
        let back = Landmarks(moved.0.map(|[x, y]| [x - 270.0, y - 50.0]));
        assert!(
            distance(&one, &back) < 0.04,
            "person {person}: {}",
            distance(&one, &back)
        );
        let small = imageops::resize(&image, width / 2, height / 2, imageops::FilterType::Triangle);
        let half = refined(&small, &found(&small)).landmarks;
        let back = Landmarks(half.0.map(|point| point.map(|value| 2.0 * value + 0.5)));
        assert!(
            distance(&one, &back) < 0.06,
            "person {person}: {}",
            distance(&one, &back)
        );
    }
}

#[test]
fn photos_are_cut_by_refined_landmarks() {
    let (image, detector) = (example(3, 1), detector());
    let options = CropOptions::new(CropMode::aligned(), 64);
    let (crop, report) = cut(&image, FaceHint::Detect, &options, Some(&detector)).unwrap();
    let (face, used) = (found(&image), report.face.unwrap());
    assert_eq!(used, refined(&image, &face));
    assert_ne!(used.landmarks, face.landmarks);
    assert_eq!((used.bounds, used.score), (face.bounds, face.score));
    let hint = FaceHint::Landmarks(used.landmarks);
    assert_eq!(crop, cut(&image, hint, &options, None).unwrap().0);
}

#[test]
fn a_face_that_is_not_found_again_stays_as_it_is() {
    let blank = RgbImage::from_pixel(160, 160, Rgb([90, 90, 90]));
    let mut face = Face {
        bounds: FaceBox {
            left: 40.0,
            top: 30.0,
            right: 120.0,
            bottom: 136.0,
        },
        landmarks: Landmarks([[62.0, 72.0], [98.0, 72.0], [80.0, 92.0], [66.0, 112.0], [95.0, 112.0]]),
        score: 0.7,
    };
    assert_eq!(refined(&blank, &face), face);
    // Landmarks that do not make a face: there is nowhere to look.
    face.landmarks = Landmarks([[50.0, 50.0]; 5]);
    assert_eq!(refined(&blank, &face), face);
    let options = DetectOptions::default().with_score_threshold(2.0);
    let error = detector().refine(&blank, &face, &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}
