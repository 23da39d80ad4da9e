//! encode, extend, inspect, compare, faces, attention, completions.

use super::support::Workplace;
use omniid::identity::Identity;
use omniid::Limits;

const MODEL: [&str; 2] = ["--checkpoint", "model.safetensors"];

fn tokens(place: &Workplace, name: &str) -> Vec<f32> {
    Identity::load(place.path(name), &Limits::default())
        .unwrap()
        .values()
        .to_vec()
}

fn encode(place: &Workplace, photos: &[&str], output: &str, more: &[&str]) -> String {
    place.ok(&[&["encode"], photos, &MODEL, &["-o", output], more].concat())
}

#[test]
fn encode_reports_every_photo() {
    let place = Workplace::new();
    std::fs::write(place.path("broken.png"), b"\x89PNG\r\n\x1a\nno more").unwrap();
    let photos = ["a.png", "broken.png", "b.png"];
    let text = encode(
        &place,
        &photos,
        "x.omniid",
        &["--json", "--label", "Anna", "--consent", "yes"],
    );
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["tokens"], 6);
    assert_eq!(report["width"], 24);
    assert_eq!(report["photos_in_identity"], 2);
    let used: Vec<bool> = report["photos"]
        .as_array()
        .unwrap()
        .iter()
        .map(|photo| photo["used"].as_bool().unwrap())
        .collect();
    assert_eq!(used, [true, false, true]);
    assert_eq!(report["photos"][1]["kind"], "format");
    assert!(
        report["photos"][1]["reason"].as_str().unwrap().contains("broken.png"),
        "{text}"
    );
    let seen = place.json(&["inspect", "x.omniid", "--json"]);
    assert_eq!(seen[0]["type"], "identity");
    assert_eq!(
        (seen[0]["label"].as_str(), seen[0]["consent"].as_str()),
        (Some("Anna"), Some("yes"))
    );
    assert_eq!(seen[0]["model"], report["model"]);
    assert_eq!(seen[0]["features"], 2);
    place.fails(
        &[&["encode"], &photos[..], &MODEL, &["-o", "y.omniid", "--strict"]].concat(),
        1,
        "error[format]",
    );
}

#[test]
fn extend_equals_encoding_all_at_once() {
    let place = Workplace::new();
    encode(&place, &["a.png", "b.png", "c.png"], "all.omniid", &[]);
    encode(&place, &["a.png"], "x.omniid", &["--label", "Anna"]);
    let one = tokens(&place, "x.omniid");
    place.ok(&[
        &["extend", "x.omniid", "b.png", "c.png", "-o", "more.omniid"],
        &MODEL[..],
    ]
    .concat());
    let (all, more) = (tokens(&place, "all.omniid"), tokens(&place, "more.omniid"));
    let difference = all.iter().zip(&more).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(difference <= 1e-5, "{difference}");
    assert_eq!(tokens(&place, "x.omniid"), one);
    place.ok(&[&["extend", "x.omniid", "b.png", "c.png", "--in-place"], &MODEL[..]].concat());
    assert_eq!(tokens(&place, "x.omniid"), more);
    assert_eq!(place.json(&["inspect", "x.omniid", "--json"])[0]["label"], "Anna");
    encode(&place, &["a.png"], "small.omniid", &["--no-features", "--store", "f16"]);
    let args = [&["extend", "small.omniid", "b.png", "-o", "z.omniid"], &MODEL[..]].concat();
    place.fails(&args, 1, "error[unsupported]");
}

#[test]
fn similarity_of_identities_and_photos() {
    let place = Workplace::new();
    encode(&place, &["a.png"], "a.omniid", &[]);
    encode(&place, &["b.png"], "b.omniid", &[]);
    let plain = place.json(&["compare", "a.omniid", "b.omniid", "a.omniid", "--json"]);
    let value = |i: usize, j: usize| plain["similarity"][i][j].as_f64().unwrap();
    assert!((value(0, 2) - 1.0).abs() < 1e-6 && (value(0, 1) - value(1, 0)).abs() < 1e-9);
    // Closed form from the files themselves.
    let (a, b) = (tokens(&place, "a.omniid"), tokens(&place, "b.omniid"));
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    let expected = dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt();
    assert!((value(0, 1) - expected).abs() < 1e-6, "{} {expected}", value(0, 1));
    let photos = place.json(&[&["compare", "a.png", "b.omniid", "--json"], &MODEL[..]].concat());
    assert!((photos["similarity"][0][1].as_f64().unwrap() - expected).abs() < 1e-5);
    let csv = place.ok(&["compare", "a.omniid", "b.omniid", "--csv"]);
    assert_eq!(csv.lines().next(), Some(",\"a.omniid\",\"b.omniid\""));
    assert!(place.ok(&["compare", "a.omniid", "b.omniid"]).contains("1.000"));
    // Without a model named, the built-in one looks for faces, which these pictures have not.
    place.fails(&["compare", "a.png", "b.png"], 3, "error[no-face]");
}

/// Face networks are no checkpoints, and most come as ONNX.
#[test]
fn inspect_names_face_networks() {
    let place = Workplace::new();
    let fixture = |name: &str| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../tests/fixtures/parity")
            .join(name);
        path.to_str().unwrap().to_string()
    };
    let files = [
        "recogniser/sface/model.onnx",
        "recogniser/ir_se50/model.pth",
        "recogniser/folded/model.onnx",
    ];
    let [sface, ir_se50, iresnet] = files.map(fixture);
    let seen = place.json(&["inspect", &sface, &ir_se50, &iresnet, "--json"]);
    for (index, title) in ["SFace", "IR-SE50", "IResNet"].into_iter().enumerate() {
        assert_eq!(seen[index]["type"], "face_network");
        assert_eq!(seen[index]["network"], "recogniser");
        assert!(
            seen[index]["title"].as_str().unwrap().starts_with(title),
            "{}",
            seen[index]
        );
        assert_eq!(seen[index]["licence"], "unknown");
    }
    let text = place.ok(&["inspect", &sface]);
    assert!(
        text.contains("face recognition network, SFace") && text.contains("licence"),
        "{text}"
    );
    std::fs::write(place.path("cut.onnx"), &std::fs::read(&sface).unwrap()[..4000]).unwrap();
    place.fails(&["inspect", "cut.onnx"], 1, "an ONNX graph");
}

#[test]
fn inspect_tells_files_apart() {
    let place = Workplace::new();
    place.add_public();
    let files = [
        "model.safetensors",
        "plus.safetensors",
        "clip/model.safetensors",
        "a.png",
    ];
    let seen = place.json(&[&["inspect", "--json", "--tensors"], &files[..]].concat());
    assert_eq!(seen[0]["kind"]["kind"], "native");
    assert_eq!(seen[0]["fingerprint"].as_str().unwrap().len(), 32);
    assert_eq!(seen[1]["kind"]["kind"], "ip_adapter");
    assert_eq!(
        seen[1]["tensor_list"]["image_proj.latents"]["shape"],
        serde_json::json!([1, 4, 64])
    );
    assert_eq!(seen[2]["kind"]["hidden"], 32);
    assert_eq!(
        (seen[3]["type"].as_str(), seen[3]["width"].as_u64()),
        (Some("photo"), Some(80))
    );
    std::fs::write(place.path("notes.txt"), "hello").unwrap();
    place.fails(&["inspect", "notes.txt"], 1, "notes.txt");
    place.fails(&["inspect", "nothing.omniid"], 1, "error[io]");
}

#[test]
fn mistakes_are_named_before_the_work() {
    let place = Workplace::new();
    encode(&place, &["a.png"], "x.omniid", &[]);
    let with_model = |args: &[&'static str]| [args, &MODEL].concat();
    place.fails(&with_model(&["encode", "a.png", "-o", "x.omniid"]), 2, "--force");
    place.fails(
        &with_model(&["encode", "a.png", "-o", "no/folder/x.omniid"]),
        1,
        "no/folder",
    );
    place.fails(
        &with_model(&["encode", "nobody.png", "-o", "y.omniid"]),
        1,
        "nobody.png",
    );
    place.fails(&["encode", "a.png", "-o", "y.omniid"], 3, "error[no-face]");
    place.fails(
        &["encode", "a.png", "-o", "y.omniid", "--image-encoder", "a.png"],
        2,
        "--checkpoint",
    );
    place.fails(&["encode", "a.png", "-o", "y.omniid", "-c", "a.png"], 1, "a.png");
    place.fails(
        &with_model(&["encode", "a.png", "-o", "y.omniid", "--device", "tpu"]),
        2,
        "tpu",
    );
    place.fails(
        &with_model(&["encode", "a.png", "-o", "y.omniid", "--max-pixels", "100"]),
        1,
        "error[limit]",
    );
    place.fails(
        &with_model(&["encode", "a.png", "-o", "y.omniid", "--crop", "face"]),
        3,
        "error[no-face]",
    );
    place.fails(&["encode"], 2, "Usage");
    place.ok(&with_model(&["encode", "b.png", "-o", "x.omniid", "--force"]));
}

#[test]
fn completions_for_every_shell() {
    let place = Workplace::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = place.ok(&["completions", shell]);
        assert!(script.contains("omniid") && script.contains("full-face"), "{shell}");
    }
    assert!(place.ok(&["--help"]).contains("Exit codes"));
}

/// Needs the detector among the project's assets.
#[test]
fn faces_are_found_and_drawn() {
    let place = Workplace::new();
    place.fails(
        &["faces", "a.png", "--detector", "model.safetensors"],
        1,
        "nor a native checkpoint that has one",
    );
    let photo = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/photos/person-1/01.jpg");
    let file = "detector/yunet_n.safetensors";
    let Some(assets) = omniid_test_support::assets(file) else {
        return;
    };
    let detector = assets.join(file);
    let (detector, photo) = (detector.to_str().unwrap(), photo.to_str().unwrap());
    let seen = place.json(&[
        "faces",
        photo,
        "a.png",
        "--detector",
        detector,
        "--output-folder",
        "drawn",
        "--json",
    ]);
    let bounds = &seen[0]["faces"][0]["box"];
    assert!(
        bounds[2].as_f64().unwrap() - bounds[0].as_f64().unwrap() > 50.0,
        "{seen}"
    );
    let drawn = image::open(place.path("drawn/01-faces.png")).unwrap().to_rgb8();
    assert_ne!(drawn, image::open(photo).unwrap().to_rgb8());
    place.fails(&["faces", "a.png", "--detector", detector], 3, "error[no-face]");
}

#[test]
fn attention_is_drawn_and_reported() {
    let place = Workplace::new();
    let seen = place.json(&[
        "attention",
        "-c",
        "model.safetensors",
        "a.png",
        "b.png",
        "--columns",
        "3",
        "-o",
        "attention.png",
        "--json",
    ]);
    let (queries, side) = (seen["queries"].as_u64().unwrap(), seen["side"].as_u64().unwrap());
    assert_eq!(seen["strongest"].as_array().unwrap().len() as u64, queries);
    for place in seen["strongest"].as_array().unwrap() {
        assert!(place["photo"].as_u64().unwrap() < 2 && place["row"].as_u64().unwrap() < side);
        // The strongest of all places has more than an even share.
        let share = place["share"].as_f64().unwrap();
        assert!(
            share <= 1.0 && share * 2.0 * ((side * side + 1) as f64) > 0.9,
            "{share}"
        );
    }
    assert_eq!(seen["shown"].as_array().unwrap().len(), 3);
    let picture = image::open(place.path("attention.png")).unwrap();
    // Two rows; photo, mean and three queries in each.
    assert_eq!((picture.width(), picture.height()), (6 + 5 * 166, 24 + 2 * 166));
    place.fails(
        &[
            "attention",
            "-c",
            "model.safetensors",
            "a.png",
            "--query",
            "99",
            "-o",
            "x.png",
        ],
        2,
        "--query 99",
    );
    place.fails(
        &[
            "attention",
            "-c",
            "model.safetensors",
            "a.png",
            "--block",
            "9",
            "-o",
            "x.png",
        ],
        2,
        "--block 9",
    );
    assert!(!place.path("x.png").exists());
}
