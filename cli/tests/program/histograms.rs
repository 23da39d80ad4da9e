//! fit-histograms, compare --histograms.

use super::support::Workplace;
use omniid_training::data::toy_people;
use std::path::PathBuf;

fn example(name: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "examples", "photos", name]
        .iter()
        .collect();
    path.to_str().unwrap().to_string()
}

/// A place with `with.safetensors`: the model with directions of drawn faces.
fn place() -> Workplace {
    let place = Workplace::new();
    let people = toy_people(20, 3, 64, 5);
    people.save(&place.path("people.safetensors")).unwrap();
    let fit = "fit-histograms people.safetensors -c model.safetensors -o with.safetensors --directions 8 --json";
    let report = place.json(&fit.split(' ').collect::<Vec<_>>());
    assert_eq!(report["people"], 20);
    assert_eq!(report["pictures"], 60);
    assert_eq!(report["directions"], 8);
    place
}

#[test]
fn faces_are_compared_and_identities_stay_valid() {
    let place = place();
    place.ok(&["encode", "a.png", "-c", "model.safetensors", "-o", "a.omniid"]);
    place.ok(&["encode", "b.png", "-c", "model.safetensors", "-o", "b.omniid"]);
    let plain = |model| place.ok(&["compare", "a.omniid", "b.omniid", "-c", model, "--json"]);
    assert_eq!(plain("model.safetensors"), plain("with.safetensors"));

    // A copy in another number type has the same directions.
    place.ok(&[
        "convert",
        "native",
        "-c",
        "with.safetensors",
        "--dtype",
        "f16",
        "-o",
        "small.safetensors",
    ]);
    let photos = [
        example("person-1/01.jpg"),
        example("person-1/02.jpg"),
        example("person-2"),
    ];
    let compare = |model, more: &[&str]| {
        let inputs: Vec<&str> = photos.iter().map(String::as_str).chain(more.iter().copied()).collect();
        place.run(&[&["compare", "--histograms", "--json", "-c", model], &inputs[..]].concat())
    };
    let run = compare("with.safetensors", &[]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(run.stdout, compare("small.safetensors", &[]).stdout);
    let matrix: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let value = |row: usize, column: usize| matrix["similarity"][row][column].as_f64().unwrap();
    for row in 0..3 {
        assert!((value(row, row) - 1.0).abs() < 1e-5);
        for column in 0..row {
            assert_eq!(value(row, column), value(column, row));
            assert!(value(row, column).abs() < 0.9999);
        }
    }

    // Together: the mean of what both say.
    let inputs: Vec<&str> = photos.iter().map(String::as_str).collect();
    let table = |options: &[&str]| {
        let matrix = place.json(&[&["compare", "--json", "-c", "with.safetensors"], options, &inputs[..]].concat());
        let rows = matrix["similarity"].as_array().unwrap().clone();
        let values = rows.into_iter().flat_map(|row| row.as_array().unwrap().clone());
        values.map(|value| value.as_f64().unwrap()).collect::<Vec<_>>()
    };
    let (fused, histograms, identities) = (table(&["--fused"]), table(&["--histograms"]), table(&[]));
    for (place, fused) in fused.iter().enumerate() {
        let mean = (histograms[place] + identities[place]) / 2.0;
        assert!((fused - mean).abs() < 1e-5, "{fused}, expected {mean}");
    }

    // An identity and a photo without a face have no row; the others have.
    let run = compare("with.safetensors", &["a.omniid", "c.png"]);
    assert_ne!(run.code, 0);
    for part in ["an identity keeps no pixels", "c.png"] {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
    let matrix: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(matrix["names"].as_array().unwrap().len(), 3);
    assert_eq!(matrix["left_out"].as_array().unwrap().len(), 2);

    let run = compare("model.safetensors", &[]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("omniid fit-histograms"), "{}", run.stderr);
}

#[test]
fn the_built_in_model_has_directions() {
    let place = Workplace::new();
    let photos = [
        "person-1/01.jpg",
        "person-1/02.jpg",
        "person-2/01.jpg",
        "person-2/02.jpg",
    ]
    .map(example);
    let photos: Vec<&str> = photos.iter().map(String::as_str).collect();
    for option in ["--histograms", "--fused"] {
        let matrix = place.json(&[&["compare", option, "--json"], &photos[..]].concat());
        let value = |row: usize, column: usize| matrix["similarity"][row][column].as_f64().unwrap();
        let strangers = [(0, 2), (0, 3), (1, 2), (1, 3)].map(|(row, column)| value(row, column));
        let most = strangers.into_iter().fold(f64::MIN, f64::max);
        assert!(value(0, 1).min(value(2, 3)) > most, "{option}: {matrix}");
    }
}

#[test]
fn the_page_has_a_second_table() {
    let place = place();
    let photos = [example("person-1/01.jpg"), example("person-1/02.jpg")];
    let arguments = [
        "report",
        &photos[0],
        &photos[1],
        "-c",
        "with.safetensors",
        "-o",
        "page.html",
        "--no-pictures",
    ];
    place.ok(&arguments);
    let page = std::fs::read_to_string(place.path("page.html")).unwrap();
    assert_eq!(page.matches("<table class=\"heat\">").count(), 2);
    assert!(page.contains("By orientation histograms"));
}

#[test]
fn what_cannot_be_fitted_leaves_nothing_behind() {
    let place = Workplace::new();
    toy_people(20, 3, 32, 5).save(&place.path("small.safetensors")).unwrap();
    toy_people(4, 3, 64, 5).save(&place.path("few.safetensors")).unwrap();
    let fit = |data, more: &[&'static str]| {
        [
            &["fit-histograms", data, "-c", "model.safetensors", "-o", "x.safetensors"],
            more,
        ]
        .concat()
    };
    place.fails(&fit("small.safetensors", &[]), 2, "orientation histograms need 64");
    place.fails(&fit("few.safetensors", &[]), 2, "4 people");
    place.fails(&fit("few.safetensors", &["--shrinkage", "0"]), 2, "--shrinkage 0");
    place.fails(&fit("absent.safetensors", &[]), 1, "absent.safetensors");
}
