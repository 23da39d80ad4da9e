//! InstantID's control picture against OpenCV, pixel by pixel.

use omniid::face::keypoints::draw;
use omniid::face::Landmarks;
use omniid::ErrorKind;
use std::path::PathBuf;

fn folder() -> PathBuf {
    let fixtures = std::env::var_os("OMNIID_PARITY_FIXTURES").map(PathBuf::from);
    let own = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity");
    fixtures.unwrap_or_else(own).join("keypoints")
}

#[test]
fn pictures_equal_opencv() {
    let text = std::fs::read_to_string(folder().join("cases.json")).unwrap();
    let cases: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert!(cases.len() >= 10);
    for case in cases {
        let side = |name: &str| case[name].as_u64().unwrap() as u32;
        let landmarks: [[f32; 2]; 5] = serde_json::from_value(case["landmarks"].clone()).unwrap();
        let picture = draw(side("width"), side("height"), &Landmarks(landmarks)).unwrap();
        let name = case["picture"].as_str().unwrap();
        let expected = omniid::image::open(folder().join(name)).unwrap().to_rgb8();
        assert_eq!(picture.dimensions(), expected.dimensions());
        let wrong = picture.pixels().zip(expected.pixels()).filter(|(a, b)| a != b).count();
        assert_eq!(wrong, 0, "{name}: {wrong} pixels differ");
        assert!(
            picture.pixels().any(|pixel| pixel.0 != [0; 3]) || case["landmarks"].is_null(),
            "{name}"
        );
    }
}

#[test]
fn impossible_pictures_are_refused() {
    let landmarks = Landmarks([[5.0; 2]; 5]);
    let mut lost = landmarks;
    lost.0[2][1] = f32::NAN;
    let mut far = landmarks;
    far.0[4][0] = 1e9;
    for (width, height, landmarks) in [
        (0, 64, landmarks),
        (64, 70_000, landmarks),
        (65_000, 65_000, landmarks),
        (64, 64, lost),
        (64, 64, far),
    ] {
        let error = draw(width, height, &landmarks).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
}
