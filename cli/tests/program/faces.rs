//! Faces in photos, whatever the model: which one is taken, and which options have an effect.

use super::support::Workplace;
use image::{imageops, RgbImage};

/// An example photo.
fn example(name: &str) -> RgbImage {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/photos");
    image::open(folder.join(name)).unwrap().to_rgb8()
}

/// Adds `group.png`: the first person at its full size, the second at four fifths, beside each other.
fn add_group(place: &Workplace) {
    let (first, second) = (example("person-1/01.jpg"), example("person-2/01.jpg"));
    let (width, height) = (second.width() * 4 / 5, second.height() * 4 / 5);
    let second = imageops::resize(&second, width, height, imageops::FilterType::Triangle);
    let mut group = RgbImage::new(first.width() + width, first.height());
    imageops::overlay(&mut group, &first, 0, 0);
    imageops::overlay(&mut group, &second, i64::from(first.width()), 0);
    group.save(place.path("group.png")).unwrap();
    second.save(place.path("second.png")).unwrap();
}

const PUBLIC: [&str; 6] = [
    "-c",
    "plus.safetensors",
    "--image-encoder",
    "clip/model.safetensors",
    "--host",
    "host.json",
];

#[test]
fn public_checkpoints_have_the_detector_inside_the_program() {
    let place = Workplace::new();
    place.add_public();
    add_group(&place);
    let encode = |output: &str, options: &[&str]| {
        let args = ["encode", "group.png", "-o", output, "--json"];
        let report = place.json(&[&args[..], &PUBLIC, options].concat());
        (report["photos"][0].clone(), std::fs::read(place.path(output)).unwrap())
    };
    let middle = |photo: &serde_json::Value| {
        let edge = |index: usize| photo["face"]["box"][index].as_f64().unwrap();
        (edge(0) + edge(2)) / 2.0
    };
    let half = f64::from(example("person-1/01.jpg").width());

    let (whole, _) = encode("whole.omniid", &[]);
    assert!(whole.get("face").is_none(), "{whole}");
    let (first, _) = encode("first.omniid", &["--face", "0"]);
    let (second, _) = encode("second.omniid", &["--face", "1"]);
    assert!(middle(&first) < half && middle(&second) > half, "{first} {second}");
    let (largest, _) = encode("largest.omniid", &["--crop", "face"]);
    assert_eq!(middle(&largest), middle(&first));
    let (aligned, _) = encode("aligned.omniid", &["--crop", "aligned", "--face", "1"]);
    assert_eq!(middle(&aligned), middle(&second));

    // Each option changes what the model sees.
    let similarity = |a: &str, b: &str| {
        let seen = place.json(&["compare", a, b, "--json"]);
        seen["similarity"][0][1].as_f64().unwrap()
    };
    encode("wide.omniid", &["--crop", "face", "--margin", "2"]);
    encode("crop.omniid", &["--crop", "face", "--face", "1"]);
    assert!(similarity("first.omniid", "largest.omniid") > 0.999_99);
    assert!(similarity("second.omniid", "crop.omniid") > 0.999_99);
    for other in ["whole", "second", "wide", "aligned"] {
        let found = similarity("first.omniid", &format!("{other}.omniid"));
        assert!(found < 0.999_99, "{other}: {found}");
    }

    let asked = |options: &[&str], code: i32, text: &str| {
        let args = ["encode", "group.png", "-o", "none.omniid"];
        place.fails(&[&args[..], &PUBLIC, options].concat(), code, text);
    };
    asked(&["--face", "7"], 3, "2 found");
    asked(&["--face", "7", "--crop", "aligned"], 3, "2 found");
    asked(
        &["--face", "1", "--crop", "none"],
        2,
        "give --crop face or --crop aligned",
    );
    asked(
        &["--face", "1", "--crop", "center"],
        2,
        "give --crop face or --crop aligned",
    );
    asked(&["--crop", "face", "--margin", "9"], 2, "error[invalid]: face margin 9");
}

#[test]
fn photos_are_inspected_with_the_detector_inside_the_program() {
    let place = Workplace::new();
    add_group(&place);
    let seen = place.json(&["inspect", "group.png", "second.png", "a.png", "--json"]);
    let counts: Vec<usize> = (0..3)
        .map(|photo| seen[photo]["faces"].as_array().unwrap().len())
        .collect();
    assert_eq!(counts, [2, 1, 0]);
    // The program's own model is a detector file, too.
    let model = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/omniid-mini.safetensors");
    let same = place.json(&["inspect", "group.png", "--json", "--detector", model.to_str().unwrap()]);
    assert_eq!(same[0]["faces"], seen[0]["faces"]);
    place.fails(&["inspect", "group.png", "--detector", "a.png"], 1, "a.png");
}

#[test]
fn the_turn_of_a_photo_is_shown() {
    let place = Workplace::new();
    place.add_public();
    let upright = example("person-3/02.jpg");
    upright.save(place.path("0.png")).unwrap();
    imageops::rotate90(&upright).save(place.path("90.png")).unwrap();
    imageops::rotate180(&upright).save(place.path("180.png")).unwrap();
    imageops::rotate270(&upright).save(place.path("270.png")).unwrap();
    let files = ["0.png", "90.png", "180.png", "270.png"];
    for command in ["faces", "inspect"] {
        let seen = place.json(&[&[command, "--json"], &files[..]].concat());
        let rotations: Vec<u64> = (0..4).map(|photo| seen[photo]["rotation"].as_u64().unwrap()).collect();
        assert_eq!(rotations, [0, 270, 180, 90], "{command}");
        let text = place.ok(&[command, "90.png"]);
        assert!(text.contains("turned by 270 degrees clockwise"), "{text}");
    }
    for file in files {
        place.ok(&["encode", file, "-o", &format!("{file}.omniid")]);
    }
    let identities = files.map(|file| format!("{file}.omniid"));
    let args: Vec<&str> = ["compare", "--json"]
        .into_iter()
        .chain(identities.iter().map(String::as_str))
        .collect();
    let matrix = place.json(&args);
    for other in 1..4 {
        let similarity = matrix["similarity"][0][other].as_f64().unwrap();
        assert!(similarity > 0.9, "{other}: {similarity}");
    }
    let report = place.json(&["encode", "180.png", "-o", "x.omniid", "--json"]);
    assert_eq!(report["photos"][0]["rotation"], 180);
}

#[test]
fn what_reading_a_photo_noted_is_shown() {
    let place = Workplace::new();
    // A bitmap that ends early, a PNG with a profile that is none, and a photo with nothing to say about.
    let photo = example("person-3/02.jpg");
    photo.save(place.path("cut.bmp")).unwrap();
    let bytes = std::fs::read(place.path("cut.bmp")).unwrap();
    std::fs::write(place.path("cut.bmp"), &bytes[..bytes.len() * 99 / 100]).unwrap();
    let mut png = std::io::Cursor::new(Vec::new());
    let mut encoder = image::codecs::png::PngEncoder::new(&mut png);
    image::ImageEncoder::set_icc_profile(&mut encoder, b"no profile".to_vec()).unwrap();
    photo.write_with_encoder(encoder).unwrap();
    std::fs::write(place.path("profile.png"), png.into_inner()).unwrap();
    photo.save(place.path("whole.png")).unwrap();
    for (file, part) in [
        ("cut.bmp", Some("damaged: about ")),
        ("profile.png", Some("the colour profile cannot be used")),
        ("whole.png", None),
    ] {
        for command in ["faces", "inspect"] {
            let seen = place.json(&[command, "--json", file]);
            let note = seen[0]["notes"][0].as_str();
            assert_eq!(note.is_some(), part.is_some(), "{command} {file}: {note:?}");
            let (Some(note), Some(part)) = (note, part) else {
                continue;
            };
            assert!(note.starts_with(part), "{command} {file}: {note}");
            let text = place.ok(&[command, file]);
            assert!(text.contains(note), "{command} {file}: {text}");
        }
    }
}
