//! Somebody else among the photos, and which face of a group photo is taken.

use super::support::Workplace;
use image::{imageops, RgbImage};
use serde_json::Value;

/// Copies an example photo as `NAME`.
fn add(place: &Workplace, name: &str, person: usize, picture: usize) {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/photos");
    let file = root.join(format!("person-{person}/{picture:02}.jpg"));
    std::fs::copy(file, place.path(name)).unwrap();
}

/// Adds `NAME`: the first photo at its full size, the second smaller beside it.
fn add_group(place: &Workplace, name: &str, large: &str, small: &str) {
    let open = |name: &str| image::open(place.path(name)).unwrap().to_rgb8();
    let (large, small) = (open(large), open(small));
    let (width, height) = (small.width() * 7 / 10, small.height() * 7 / 10);
    let small = imageops::resize(&small, width, height, imageops::FilterType::Triangle);
    let mut group = RgbImage::new(large.width() + width, large.height());
    imageops::overlay(&mut group, &large, 0, 0);
    imageops::overlay(&mut group, &small, i64::from(large.width()), 0);
    group.save(place.path(name)).unwrap();
}

/// A folder with three photos `1.jpg`, `2.jpg`, `3.jpg` of a person, one of somebody else, `other.jpg`, and `group.png`,
/// in which the other's face is the larger one.
fn workplace(person: usize, pictures: [usize; 3], other: usize) -> Workplace {
    let place = Workplace::new();
    for (index, picture) in pictures.into_iter().enumerate() {
        add(&place, &format!("{}.jpg", index + 1), person, picture);
    }
    add(&place, "other.jpg", other, 1);
    add_group(&place, "group.png", "other.jpg", "2.jpg");
    place
}

const PEOPLE: [(usize, [usize; 3], usize); 3] = [(1, [1, 2, 4], 5), (2, [1, 4, 5], 5), (6, [1, 2, 3], 3)];

const PUBLIC: [&str; 6] = [
    "-c",
    "plus.safetensors",
    "--image-encoder",
    "clip/model.safetensors",
    "--host",
    "host.json",
];

fn encode(place: &Workplace, arguments: &[&str]) -> Vec<Value> {
    let fixed = ["encode", "-o", "out.omniid", "--force", "--json"];
    let report = place.json(&[&fixed[..], arguments].concat());
    report["photos"].as_array().unwrap().clone()
}

fn note(photo: &Value) -> String {
    photo["notes"].as_array().map_or(String::new(), |notes| {
        let notes: Vec<&str> = notes.iter().filter_map(Value::as_str).collect();
        notes.join("; ")
    })
}

#[test]
fn strangers_are_noted_whatever_the_model() {
    for (person, pictures, other) in PEOPLE {
        let place = workplace(person, pictures, other);
        place.add_public();
        for model in [&[][..], &PUBLIC] {
            let photos = encode(&place, &[&["1.jpg", "other.jpg", "2.jpg", "3.jpg"][..], model].concat());
            for (index, photo) in photos.iter().enumerate() {
                assert_eq!(note(photo).contains("looks like somebody else"), index == 1, "{photo}");
                assert!(photo["similarity"].is_number() && photo["used"] == true);
            }
        }
    }
}

#[test]
fn what_becomes_of_strangers_can_be_chosen() {
    let (person, pictures, other) = PEOPLE[0];
    let place = workplace(person, pictures, other);
    let files = ["1.jpg", "2.jpg", "3.jpg", "other.jpg"];
    let left_out = encode(&place, &[&files[..], &["--strangers", "leave-out"]].concat());
    assert_eq!(
        (&left_out[3]["used"], &left_out[3]["kind"]),
        (&Value::Bool(false), &"mismatch".into())
    );
    let ignored = encode(&place, &[&files[..], &["--strangers", "ignore"]].concat());
    assert!(ignored
        .iter()
        .all(|photo| photo["similarity"].is_null() && photo["used"] == true));
    let text = place.run(&[&["encode", "-o", "x.omniid"][..], &files].concat());
    assert!(
        text.stdout.contains("other.jpg") && text.stdout.contains("the threshold is 0."),
        "{}",
        text.stdout
    );
}

/// Whether the face at the right was taken, where the smaller picture is.
fn is_right(photo: &Value) -> bool {
    photo["face"]["box"][0].as_f64().unwrap() > 448.0
}

#[test]
fn the_face_that_fits_is_taken_or_the_one_that_is_named() {
    for (person, pictures, other) in PEOPLE {
        let place = workplace(person, pictures, other);
        place.add_public();
        for model in [&[][..], &[&PUBLIC[..], &["--crop", "face"]].concat()] {
            let run = |files: &[&str]| encode(&place, &[files, model].concat());
            let fitting = run(&["1.jpg", "group.png", "3.jpg"]);
            assert!(is_right(&fitting[1]), "{}", fitting[1]);
            assert!(note(&fitting[1]).contains("it looks like the other photos"));
            // A number behind the name counts for that photo, --face for all others.
            let named = run(&["1.jpg", "group.png#0", "group.png#1"]);
            assert!(!is_right(&named[1]) && is_right(&named[2]));
            let all = run(&["group.png", "group.png#1", "--face", "0"]);
            assert!(!is_right(&all[0]) && is_right(&all[1]));
        }
    }
}

#[test]
fn a_file_that_is_called_like_a_face_of_another_is_meant_itself() {
    let (person, pictures, other) = PEOPLE[0];
    let place = workplace(person, pictures, other);
    std::fs::copy(place.path("1.jpg"), place.path("group.png#1")).unwrap();
    let photos = encode(&place, &["group.png#1", "2.jpg"]);
    assert!(photos[0]["path"].as_str().unwrap().ends_with("group.png#1"));
    assert!(!is_right(&photos[0]));
    for name in ["group.png#", "group.png#x", "group.png#+1", "nobody.png#0"] {
        let run = place.run(&["encode", name, "-o", "y.omniid"]);
        assert!(run.code != 0 && run.stderr.contains(name), "{}", run.stderr);
    }
    let run = place.run(&["encode", "group.png#7", "-o", "y.omniid"]);
    assert!(run.code != 0 && run.stderr.contains("face 7"), "{}", run.stderr);
    // Compare knows them too.
    let matrix = place.json(&["compare", "2.jpg", "group.png#0", "other.jpg", "--json"]);
    let similar = |a: usize, b: usize| matrix["similarity"][a][b].as_f64().unwrap();
    assert!(similar(1, 2) > 0.8 && similar(0, 1) < 0.5, "{matrix}");
}
