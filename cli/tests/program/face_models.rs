//! Models that read face embeddings: their options, and what does not fit them.

use super::support::Workplace;
use std::path::{Path, PathBuf};

#[path = "../../../examples/untrained_adapters.rs"]
#[allow(dead_code)]
mod untrained_adapters;

const DIMENSION: usize = 12;

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn fixture(name: &str) -> String {
    let path = project().join("tests/fixtures/parity").join(name);
    path.to_str().unwrap().to_string()
}

fn person(name: &str) -> String {
    project()
        .join("examples/photos")
        .join(name)
        .to_str()
        .unwrap()
        .to_string()
}

/// Writes face embeddings as numpy does: `rows` of them, of length 1 if they are normalised.
fn embeddings(place: &Workplace, name: &str, rows: usize, normalised: bool) {
    let mut data = Vec::new();
    for row in 0..rows {
        let values: Vec<f32> = (0..DIMENSION)
            .map(|i| (i as f32 * (row + 2) as f32).sin() * 9.0)
            .collect();
        let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
        let factor = if normalised { 1.0 / length } else { 1.0 };
        data.extend(values.iter().flat_map(|value| (value * factor).to_le_bytes()));
    }
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {DIMENSION}), }}\n");
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(data);
    std::fs::write(place.path(name), file).unwrap();
}

fn with_models() -> Workplace {
    let place = Workplace::new();
    untrained_adapters::write_face_id(&place.path("faceid.safetensors"), false).unwrap();
    untrained_adapters::write_face_id(&place.path("plus.safetensors"), true).unwrap();
    embeddings(&place, "two.npy", 2, false);
    embeddings(&place, "one.npy", 1, false);
    embeddings(&place, "unit.npy", 1, true);
    place
}

/// The tokens of an identity.
fn identity(place: &Workplace, name: &str) -> Vec<f32> {
    let identity = omniid::identity::Identity::load(place.path(name), &Default::default()).unwrap();
    identity.values().to_vec()
}

const FACE_ID: [&str; 4] = ["-c", "faceid.safetensors", "--embedding-network", "buffalo_l"];

#[test]
fn embeddings_are_combined_as_asked() {
    let place = with_models();
    let tokens = |how: &[&str], output: &str| {
        let args = ["encode", "--embedding", "two.npy", "-o", output];
        place.ok(&[&args[..], &FACE_ID, how].concat());
        place.json(&["inspect", output, "--json"])[0].clone()
    };
    let apart = tokens(&[], "apart.omniid");
    let mean = tokens(&["--combine", "average"], "mean.omniid");
    assert_eq!((&apart["tokens"], &mean["tokens"]), (&8.into(), &4.into()));
    // An embedding, raw or of length 1, is the same person: FaceID reads the direction.
    for name in ["one", "unit"] {
        let (file, output) = (format!("{name}.npy"), format!("{name}.omniid"));
        place.ok(&[&["encode", "--embedding", &file, "-o", &output], &FACE_ID[..]].concat());
    }
    let (raw, unit) = (identity(&place, "one.omniid"), identity(&place, "unit.omniid"));
    assert_eq!(raw.len(), unit.len());
    assert!(raw.iter().zip(&unit).all(|(raw, unit)| (raw - unit).abs() < 1e-5));
    let asked = |options: &[&str], code: i32, text: &str| {
        let args = ["encode", "--embedding", "two.npy", "-o", "none.omniid"];
        place.fails(&[&args[..], options].concat(), code, text);
    };
    asked(&[&FACE_ID[..], &["--shortcut-scale", "0.5"]].concat(), 2, "shortcut");
    asked(&[&FACE_ID[..], &["--combine", "mean"]].concat(), 2, "norm-average");
    asked(&["-c", "faceid.safetensors"], 2, "--embedding-network");
    // PlusV2 looks at the photo as well.
    let plus = ["-c", "plus.safetensors", "--embedding-network", "buffalo_l"];
    asked(&plus, 2, "photo");
}

#[test]
fn what_does_not_fit_names_what_would() {
    let place = with_models();
    let encode = |options: &[&str], code: i32, text: &str| {
        place.fails(&[&["encode", "-o", "none.omniid"], options].concat(), code, text);
    };
    // Another face network for the adapter: both are named, and the one that fits.
    let of = |network: &'static str| {
        [
            "--embedding",
            "two.npy",
            "-c",
            "faceid.safetensors",
            "--embedding-network",
            network,
        ]
    };
    encode(
        &of("antelopev2"),
        1,
        "by antelopev2, but IP-Adapter FaceID was trained with IResNet-50 (w600k_r50",
    );
    encode(&of("no-such"), 1, "by no-such, but IP-Adapter FaceID");
    let photo = person("person-1/01.jpg");
    let sface = fixture("recogniser/sface/model.onnx");
    let with_sface = [&photo, "-c", "faceid.safetensors", "--face-recogniser", &sface];
    encode(&with_sface, 1, "SFace");
    encode(&with_sface, 1, "w600k_r50 of insightface's buffalo_l");
    // Files in each other's place.
    let parser = fixture("pulid/parsing_bisenet.safetensors");
    encode(
        &[&photo, "-c", "faceid.safetensors", "--face-recogniser", &parser],
        1,
        "recogni",
    );
    encode(
        &[&photo, "-c", "faceid.safetensors", "--face-parser", &parser],
        2,
        "pars",
    );
    encode(
        &[&photo, "-c", "faceid.safetensors", "--variant", "instantid"],
        2,
        "variant instantid is chosen",
    );
    encode(
        &[&photo, "-c", "plus.safetensors", "--variant", "faceid-plus"],
        2,
        "faceid-plus-v2",
    );
}

#[test]
fn pulid_without_its_networks() {
    let place = with_models();
    let (model, encoder) = (
        fixture("pulid/id_former.safetensors"),
        fixture("pulid/eva02.safetensors"),
    );
    let recogniser = fixture("pulid/glintr100.onnx");
    let model = ["-c", &model, "--image-encoder", &encoder];
    let photo = person("person-1/01.jpg");
    // No face network: it is named.
    place.fails(
        &[&["encode", &photo, "-o", "none.omniid"], &model[..]].concat(),
        2,
        "glintr100",
    );
    // Normalised where the raw one is needed.
    let unit = [
        "--embedding",
        "unit.npy",
        "--embedding-network",
        "antelopev2",
        "-o",
        "none.omniid",
    ];
    place.fails(&[&["encode"], &unit[..], &model].concat(), 1, "normalised, but PuLID");
    // No face parser: the plain crop, and a note.
    let whole = ["--face-recogniser", &recogniser, "-o", "anna.omniid", "--json"];
    let report = place.ok(&[&["encode", &photo], &whole[..], &model].concat());
    assert!(report.contains("no face parsing network"), "{report}");
}

#[test]
fn native_files_say_what_they_are_and_need() {
    let place = with_models();
    let found = &place.json(&["inspect", "faceid.safetensors", "--json"])[0]["model"];
    assert_eq!(
        (&found["variant"], &found["lora"]),
        (&"faceid".into(), &"inside".into())
    );
    assert_eq!(found["inside"], serde_json::json!(["face_recogniser"]));
    let text = place.ok(&["inspect", "plus.safetensors"]);
    for part in [
        "faceid-plus-v2",
        "in this file",
        "LoRA",
        "host has to apply",
        "research",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let report = place.ok(&[
        "convert",
        "native",
        "-c",
        "faceid.safetensors",
        "-o",
        "again.safetensors",
    ]);
    assert!(report.contains("LoRA that the host has to apply"), "{report}");
}

#[test]
fn faces_are_compared_by_one_network_alone() {
    let place = with_models();
    let (first, second) = (person("person-1/01.jpg"), person("person-2/01.jpg"));
    place.ok(&["encode", &first, "-c", "faceid.safetensors", "-o", "first.omniid"]);
    let compare = ["compare", "first.omniid", &first, &second, "--json", "--recogniser"];
    let seen = place.json(&[&compare[..], &["faceid.safetensors"]].concat());
    let similarity = |column: usize| seen["similarity"][0][column].as_f64().unwrap();
    assert!((similarity(1) - 1.0).abs() < 1e-5, "{seen}");
    assert!(similarity(2) < 0.999_99, "{seen}");
    place.fails(
        &["compare", "first.omniid", "--recogniser", "faceid.safetensors"],
        2,
        "two or more",
    );
    // An identity of another network has no row.
    let sface = fixture("recogniser/sface/model.onnx");
    let run = place.run(&[&compare[..], &[&sface]].concat());
    assert_ne!(run.code, 0);
    assert!(run.stdout.contains("another network"), "{}{}", run.stdout, run.stderr);
    let run = place.run(&["compare", "first.omniid", "--recogniser", &sface, "first.omniid"]);
    assert_ne!(run.code, 0);
    assert!(run.stderr.contains("another network"), "{}{}", run.stdout, run.stderr);
}

#[test]
fn of_several_faces_one_is_taken_and_the_report_says_which() {
    let place = with_models();
    let [first, second] =
        ["person-1/01.jpg", "person-2/01.jpg"].map(|name| image::open(person(name)).unwrap().to_rgb8());
    let mut group = image::RgbImage::new(first.width() + second.width(), first.height().max(second.height()));
    image::imageops::overlay(&mut group, &first, 0, 0);
    image::imageops::overlay(&mut group, &second, i64::from(first.width()), 0);
    group.save(place.path("group.png")).unwrap();
    let encode = |photo: &str, output: &str| {
        let args = ["encode", photo, "-c", "faceid.safetensors", "-o", output, "--json"];
        place.json(&args)["photos"][0].to_string()
    };
    let report = encode("group.png", "largest.omniid");
    assert!(report.contains("faces found, the one of rank 0"), "{report}");
    let (of_0, of_1) = (encode("group.png#0", "0.omniid"), encode("group.png#1", "1.omniid"));
    assert_ne!(of_0, of_1);
    assert_eq!(identity(&place, "largest.omniid"), identity(&place, "0.omniid"));
    assert_ne!(identity(&place, "largest.omniid"), identity(&place, "1.omniid"));
    // InstantID's control picture, in the size that is asked for.
    place.ok(&[
        "faces",
        "group.png",
        "--keypoints",
        "control.png",
        "--keypoints-size",
        "96x64",
    ]);
    let control = image::open(place.path("control.png")).unwrap().to_rgb8();
    assert_eq!(control.dimensions(), (96, 64));
    assert!(control.pixels().any(|pixel| pixel.0 != [0; 3]));
}
