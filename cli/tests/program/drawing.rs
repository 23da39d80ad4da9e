//! generate, demo.

use super::support::Workplace;
use image::RgbImage;

const MODEL: [&str; 4] = ["-c", "mini.safetensors", "--minihost", "minihost.safetensors"];

fn place() -> Workplace {
    let place = Workplace::new();
    place.add_generator();
    place
}

fn generate(place: &Workplace, inputs: &[&str], out: &str, more: &[&str]) -> serde_json::Value {
    let steps: &[&str] = match more.contains(&"--steps") {
        true => &[],
        false => &["--steps", "2"],
    };
    place.json(&[&["generate"], inputs, &MODEL, &["--out", out, "--json"], steps, more].concat())
}

fn picture(place: &Workplace, name: &str) -> RgbImage {
    image::open(place.path(name)).unwrap().to_rgb8()
}

#[test]
fn a_sheet_shows_photos_and_views() {
    let place = place();
    std::fs::write(place.path("broken.png"), b"\x89PNG\r\n\x1a\nno more").unwrap();
    let report = generate(
        &place,
        &["a.png", "broken.png", "b.png"],
        "sheet.png",
        &[
            "--views",
            "front,smile,yaw=30+jaw_open=0.5",
            "--separate",
            "single",
            "--cell",
            "32",
        ],
    );
    let person = &report["people"][0];
    assert_eq!(person["photos"], 2);
    assert!(person["left_out"][0].as_str().unwrap().contains("broken.png"));
    assert_eq!(person["views"].as_array().unwrap().len(), 3);
    assert_eq!((report["size"].as_u64(), report["steps"].as_u64()), (Some(16), Some(2)));
    let peak = report["peak_memory_bytes"].as_u64();
    assert!(peak.is_none_or(|bytes| bytes > 1 << 20), "{report}");
    // Three columns of 32 with gaps; two titles and two captioned rows between gaps, and the last line.
    let sheet = picture(&place, "sheet.png");
    assert_eq!(sheet.dimensions(), (6 + 3 * 38, 6 + 2 * 22 + 2 * (16 + 38) + 16));
    let files: Vec<&str> = person["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file.as_str().unwrap())
        .collect();
    let singles: Vec<RgbImage> = files.iter().map(|file| picture(&place, file)).collect();
    assert!(singles.iter().all(|single| single.dimensions() == (16, 16)));
    assert_ne!(singles[0], singles[2]);
    place.fails(
        &[&["generate", "a.png"], &MODEL[..], &["--out", "sheet.png"]].concat(),
        2,
        "--force",
    );
}

#[test]
fn pictures_follow_from_identity_and_seed() {
    let place = place();
    let front = |inputs: &[&str], name: &str, more: &[&str]| {
        let out = format!("{name}.png");
        let all = [&["--views", "front", "--separate", name], more].concat();
        let report = generate(&place, inputs, &out, &all);
        picture(&place, report["people"][0]["files"][0].as_str().unwrap())
    };
    let first = front(&["a.png"], "one", &[]);
    assert_eq!(front(&["a.png"], "same", &[]), first);
    assert_ne!(front(&["a.png"], "seed", &["--seed", "5"]), first);
    assert_ne!(front(&["c.png"], "other", &[]), first);
    assert_ne!(front(&["a.png"], "steps", &["--steps", "3"]), first);
    // An identity file is the same person as its photos; without weight nobody is anybody.
    place.ok(&[
        "encode",
        "a.png",
        "-c",
        "mini.safetensors",
        "-o",
        "a.omniid",
        "--label",
        "Ann",
    ]);
    assert_eq!(front(&["a.omniid"], "file", &[]), first);
    let nobody = front(&["a.png"], "none-a", &["--scale", "0"]);
    assert_eq!(front(&["c.png"], "none-c", &["--scale", "0"]), nobody);
    assert_ne!(nobody, first);
}

#[test]
fn folders_and_identities_are_people_of_their_own() {
    let place = place();
    for (folder, photo) in [("ann", "a.png"), ("ben", "b.png")] {
        std::fs::create_dir(place.path(folder)).unwrap();
        std::fs::copy(place.path(photo), place.path(folder).join(photo)).unwrap();
    }
    place.ok(&[
        "encode",
        "c.png",
        "-c",
        "mini.safetensors",
        "-o",
        "c.omniid",
        "--label",
        "Cleo",
    ]);
    let report = generate(
        &place,
        &["ann", "b.png", "c.omniid", "ben", "c.png"],
        "all.png",
        &["--views", "front"],
    );
    let people = report["people"].as_array().unwrap();
    let names: Vec<&str> = people.iter().map(|person| person["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["ann", "photos", "Cleo", "ben"]);
    assert_eq!(people[1]["photos"], 2);
}

#[test]
fn mistakes_about_views_and_models_are_named() {
    let place = place();
    let asked = |more: &[&'static str]| [&["generate", "a.png"], &MODEL[..], &["--out", "x.png"], more].concat();
    place.fails(&asked(&["--views", "sideways"]), 2, "sideways");
    place.fails(&asked(&["--views", "wings=1"]), 2, "wings");
    place.fails(&asked(&["--steps", "0"]), 2, "steps");
    place.fails(
        &["generate", "a.png", "-c", "mini.safetensors", "--out", "x.png"],
        2,
        "--minihost",
    );
    // This model's adapter is for another host.
    place.fails(
        &[
            "generate",
            "a.png",
            "-c",
            "model.safetensors",
            "--minihost",
            "minihost.safetensors",
            "--out",
            "x.png",
        ],
        1,
        "error[mismatch]",
    );
    place.fails(
        &[
            "generate",
            "a.png",
            "-c",
            "mini.safetensors",
            "--minihost",
            "mini.safetensors",
            "--out",
            "x.png",
        ],
        1,
        "no minihost",
    );
    let help = place.ok(&["generate", "--help"]);
    assert!(
        help.contains("three-quarter left") && help.contains("jaw_open"),
        "{help}"
    );
}

#[test]
fn the_demo_leaves_what_it_promises() {
    let place = place();
    for (person, photos) in [("ann", ["a.png", "b.png"]), ("ben", ["c.png", "a.png"])] {
        std::fs::create_dir_all(place.path("people").join(person)).unwrap();
        for photo in photos {
            std::fs::copy(place.path(photo), place.path("people").join(person).join(photo)).unwrap();
        }
    }
    let demo = |out: &'static str| {
        [
            &["demo", "--photos", "people", "--out", out, "--steps", "1"],
            &MODEL[..],
        ]
        .concat()
    };
    let text = place.ok(&demo("shown"));
    assert!(text.contains("ben.omniid") && text.contains("16 px"), "{text}");
    for name in ["ann.png", "ben.png", "similarity.png", "attention.png"] {
        let shown = picture(&place, &format!("shown/{name}"));
        let first = *shown.get_pixel(0, 0);
        assert!(shown.pixels().any(|pixel| *pixel != first), "{name} is empty");
    }
    assert_ne!(picture(&place, "shown/ann.png"), picture(&place, "shown/ben.png"));
    let seen = place.json(&["inspect", "shown/ann.omniid", "--json"]);
    assert_eq!(
        (seen[0]["photos"].as_u64(), seen[0]["label"].as_str()),
        (Some(2), Some("ann"))
    );
    // A second run replaces the first one's files.
    place.ok(&demo("shown"));
    place.fails(&["demo", "--photos", "nowhere", "--out", "other"], 2, "--photos");
}

/// The program without any file: the built-in model finds and draws the people of the repository's example photos.
#[test]
fn the_built_in_model_draws_example_people() {
    let place = Workplace::new();
    let photos = format!("{}/../examples/photos/person-2", env!("CARGO_MANIFEST_DIR"));
    let report = place.json(&[
        "generate",
        &photos,
        "--out",
        "sheet.png",
        "--views",
        "front",
        "--steps",
        "1",
        "--json",
    ]);
    let person = &report["people"][0];
    assert!(person["photos"].as_u64().unwrap() >= 4, "{report}");
    assert_eq!(person["name"], "person-2");
    // Comparing identities of the built-in model needs no model to be named either.
    for (name, folder) in [("one.omniid", "person-1"), ("two.omniid", "person-2")] {
        let photos = photos.replace("person-2", folder);
        place.ok(&["encode", &photos, "-o", name]);
    }
    let bare = place.json(&["compare", "one.omniid", "two.omniid", "--json"]);
    let other = photos.replace("person-2", "person-1");
    let full = place.json(&["compare", &other, "two.omniid", "--json"]);
    let value = |matrix: &serde_json::Value| matrix["similarity"][0][1].as_f64().unwrap();
    assert!((value(&bare) - value(&full)).abs() < 1e-4, "{bare} {full}");
}
