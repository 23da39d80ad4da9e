//! render, evaluate. Both need the project's assets and say so when these are not there.

use super::support::{assets, Workplace};
use omniid_training::data::Dataset;

#[test]
fn people_are_rendered_alike_every_time() {
    let place = Workplace::new();
    place.fails(&["render", "people"], 2, "--assets");
    let Some(assets) = assets("ict_facekit") else {
        return;
    };
    let render = |folder: &str, more: &[&str]| {
        let all = [
            &[
                "render", folder, "--assets", &assets, "--people", "2", "--seed", "40", "--inputs", "2",
            ],
            &["--targets", "1", "--size", "24", "--family", "ict", "--json"][..],
            more,
        ]
        .concat();
        place.json(&all)
    };
    let report = render("one", &["--sheet", "sheet.png", "--dataset", "set.safetensors"]);
    assert_eq!(
        (report["people"].as_u64(), report["pictures"].as_u64()),
        (Some(2), Some(6))
    );
    render("two", &[]);
    let read = |name: String| std::fs::read(place.path(&name)).unwrap();
    for name in ["truth.jsonl", "ict-40/1.png", "ict-41/3.png"] {
        assert_eq!(read(format!("one/{name}")), read(format!("two/{name}")), "{name}");
    }
    let truth = String::from_utf8(read("one/truth.jsonl".into())).unwrap();
    let lines: Vec<serde_json::Value> = truth.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 6);
    assert_eq!(lines[2]["role"], "target");
    // The first studio picture is frontal: the nose tip is between the eyes.
    let across = |point: usize| lines[2]["points"][point][0].as_f64().unwrap();
    assert!(across(0) < across(2) && across(2) < across(1));
    // A row per person on the sheet: three pictures of 24 with gaps of 2.
    let sheet = image::open(place.path("sheet.png")).unwrap();
    assert_eq!((sheet.width(), sheet.height()), (3 * 26 + 2, 2 * 26 + 2));
    let dataset = Dataset::load(&place.path("set.safetensors")).unwrap();
    let first = image::open(place.path("one/ict-40/1.png")).unwrap().to_rgb8();
    assert_eq!(dataset.people[0].pictures[0].pixels, first.into_raw());
    place.fails(&["render", "one", "--assets", &assets, "--people", "1"], 2, "--force");
    place.fails(&["render", "--assets", &assets], 2, "nothing to write");
    // A generated sheet of a rendered person shows the truth below: as many views as studio pictures.
    place.add_generator();
    let drawn = place.json(&[
        "generate",
        "one/ict-40",
        "--truth",
        "one/truth.jsonl",
        "-c",
        "mini.safetensors",
        "--minihost",
        "minihost.safetensors",
        "--out",
        "drawn.png",
        "--steps",
        "1",
        "--json",
    ]);
    let person = &drawn["people"][0];
    assert_eq!(
        (person["photos"].as_u64(), person["views"].as_array().unwrap().len()),
        (Some(2), 1)
    );
}

/// People with as many of the repository's example photos.
fn people_with_photos(place: &Workplace, folder: &str, photos: usize) {
    for person in 1..=3 {
        let own = place.path(folder).join(format!("person-{person}"));
        std::fs::create_dir_all(&own).unwrap();
        for photo in 1..=photos {
            let name = format!("person-{person}/{photo:02}.jpg");
            let example = format!("{}/../examples/photos/{name}", env!("CARGO_MANIFEST_DIR"));
            std::fs::copy(example, place.path(folder).join(name)).unwrap();
        }
    }
}

#[test]
fn an_evaluation_needs_two_photos_per_person_and_says_so() {
    let place = Workplace::new();
    for (folder, photos) in [("two", 2), ("three", 3), ("four", 4), ("one", 1)] {
        people_with_photos(&place, folder, photos);
    }
    let evaluate = |folder: &'static str| {
        let common = "evaluate --people 0 --steps 1 --resamples 10 --json --photos";
        [
            common.split(' ').collect::<Vec<_>>(),
            vec![folder, "--out", "evaluation", "--force"],
        ]
        .concat()
    };
    for (folder, pictures, compared) in [("two", 3, true), ("three", 3, false), ("four", 6, false)] {
        let report = place.json(&evaluate(folder));
        let generation = &report["people"][0]["generation"];
        assert_eq!(generation["people"], 3, "{report}");
        assert_eq!(generation["pictures"], pictures, "{folder}: {report}");
        assert_eq!(
            generation["compared_with_drawn"].as_bool().unwrap_or(false),
            compared,
            "{folder}"
        );
        assert!(place.path(&format!("evaluation/photos-{folder}.png")).is_file());
        // People with few photos are drawn from all of them, too.
        let all = &report["people"][0]["generation_from_all"];
        let few = match folder {
            "two" => Some(6),
            "three" => Some(9),
            _ => None,
        };
        assert_eq!(all["pictures"].as_u64(), few, "{folder}");
        assert_eq!(all["drawn_are_read"].as_bool().unwrap_or(false), few.is_some());
        let sheet = place.path(&format!("evaluation/photos-{folder}-from-all.png"));
        assert_eq!(sheet.is_file(), few.is_some(), "{folder}");
    }
    // A second detector tells people apart again and draws nothing.
    let detector = [
        "--also-detector",
        concat!(env!("CARGO_MANIFEST_DIR"), "/../models/omniid-mini.safetensors"),
    ];
    let report = place.json(&[&evaluate("four")[..], &detector].concat());
    let groups = report["people"].as_array().unwrap();
    assert_eq!(groups[1]["name"], "Photos: four, detector omniid-mini.safetensors");
    assert_eq!(groups[1]["verification"], groups[0]["verification"]);
    assert!(groups[1]["generation"].is_null() && groups[1]["generation_from_all"].is_null());
    let run = place.run(&evaluate("one"));
    assert_eq!(run.code, 2, "{}", run.stderr);
    for part in [
        "0 people with at least 2 usable photos",
        "left out person-1: person with too few photos",
    ] {
        assert!(run.stderr.contains(part), "{}", run.stderr);
    }
}

#[test]
fn an_evaluation_writes_tables_with_its_seed_and_models() {
    let place = Workplace::new();
    place.add_generator();
    place.fails(
        &[
            "evaluate",
            "-c",
            "mini.safetensors",
            "--no-pictures",
            "--people",
            "0",
            "--out",
            "x",
        ],
        2,
        "nobody",
    );
    let Some(assets) = assets("ict_facekit") else {
        return;
    };
    let evaluate = |out: &str, more: &[&str]| {
        let all = [
            &[
                "evaluate",
                "-c",
                "mini.safetensors",
                "--assets",
                &assets,
                "--people",
                "4",
                "--json",
            ],
            &[
                "--inputs",
                "1,2",
                "--targets",
                "1",
                "--sets",
                "1,2",
                "--resamples",
                "20",
                "--out",
                out,
            ][..],
            more,
        ]
        .concat();
        place.json(&all)
    };
    let drawing = ["--minihost", "minihost.safetensors", "--steps", "1", "--drawn", "4"];
    let report = evaluate("full", &drawing);
    assert_eq!(report["first_seed"], 1_000_000_000);
    let identity = place.json(&["encode", "a.png", "-c", "mini.safetensors", "-o", "a.omniid", "--json"]);
    assert_eq!(report["model"]["fingerprint"], identity["model"]);
    let people = &report["people"][0];
    // Tokens, two kinds of gradients, colour and the untrained encoder, for photos and for pairs.
    assert_eq!(people["verification"].as_array().unwrap().len(), 10);
    for row in people["verification"].as_array().unwrap() {
        let value = |name: &str| row["auc"][name].as_f64().unwrap();
        assert!(
            value("low") <= value("high") && (0.0..=1.0).contains(&value("value")),
            "{row}"
        );
    }
    // 1 photo, 2 photos, mean of 2, another person, mean tokens, no identity.
    assert_eq!(people["generation"]["results"].as_array().unwrap().len(), 6);
    assert_eq!(people["generation"]["pictures"], 4);
    let text = std::fs::read_to_string(place.path("full/evaluation.md")).unwrap();
    let fingerprint = report["model"]["fingerprint"].as_str().unwrap();
    assert!(text.contains(fingerprint) && text.contains("1000000000"), "{text}");
    assert!(place.path("full/rendered-people.png").is_file());
    let saved = std::fs::read_to_string(place.path("full/evaluation.json")).unwrap();
    let saved: serde_json::Value = serde_json::from_str(&saved).unwrap();
    assert_eq!(saved, report);
    // The same people give the same numbers and pictures.
    let again = evaluate("again", &drawing);
    assert_eq!(again["people"], report["people"]);
    // Other people, every one of them by themselves, and both means of single photos.
    let more = ["--style", "lifelike", "--averaged", "1,2", "--per-person"];
    let others = evaluate("lifelike", &[&drawing[..], &more].concat());
    let results = others["people"][0]["generation"]["results"].as_array().unwrap();
    let mean = |row: &serde_json::Value| {
        row["people"]
            .as_array()
            .unwrap()
            .iter()
            .map(|own| own["l1"].as_f64().unwrap())
            .sum::<f64>()
            / 4.0
    };
    let l1 = |row: &serde_json::Value| {
        let rows = row["all"]["measured"].as_array().unwrap();
        rows.iter().find(|row| row["measure"] == "l1").unwrap()["estimate"]["value"]
            .as_f64()
            .unwrap()
    };
    assert_eq!(results.len(), 7);
    assert!(results.iter().all(|row| (mean(row) - l1(row)).abs() < 1e-12));
    let classic = &people["generation"]["results"];
    assert!(classic[0]["people"].is_null() && l1(&classic[0]) != l1(&results[0]));
    let tokens = evaluate("tokens", &["--no-pictures"]);
    assert!(tokens["people"][0]["generation"].is_null() && tokens["minihost"].is_null());
    place.fails(
        &[
            "evaluate",
            "-c",
            "mini.safetensors",
            "--no-pictures",
            "--assets",
            &assets,
            "--out",
            "tokens",
        ],
        2,
        "--force",
    );
}

#[test]
fn a_set_of_several_files_goes_on_where_it_was_stopped() {
    let place = Workplace::new();
    let Some(assets) = assets("ict_facekit") else {
        return;
    };
    let arguments = |people: &'static str, size: &'static str| {
        [
            "render",
            "--assets",
            assets.as_str(),
            "--people",
            people,
            "--seed",
            "40",
            "--inputs",
            "1",
            "--targets",
            "1",
            "--size",
            size,
            "--family",
            "ict",
            "--dataset",
            "set",
            "--people-per-file",
            "2",
            "--json",
        ]
        .map(str::to_owned)
    };
    let run = |people: &'static str| {
        let arguments = arguments(people, "16");
        place.json(&arguments.each_ref().map(String::as_str))
    };
    run("3");
    let seeds = |name: &str| -> Vec<String> {
        let set = Dataset::load(&place.path(&format!("set/{name}.safetensors"))).unwrap();
        set.people.into_iter().map(|person| person.name).collect()
    };
    assert_eq!(seeds("people-0000000040"), ["40", "41"]);
    assert_eq!(seeds("people-0000000042"), ["42"]);
    // The first file stays, the second was not full.
    let first = place.path("set/people-0000000040.safetensors");
    let before = std::fs::metadata(&first).unwrap().modified().unwrap();
    run("5");
    assert_eq!(std::fs::metadata(&first).unwrap().modified().unwrap(), before);
    assert_eq!(seeds("people-0000000042"), ["42", "43"]);
    assert_eq!(seeds("people-0000000044"), ["44"]);
    let other = arguments("5", "24");
    place.fails(&other.each_ref().map(String::as_str), 2, "other options");
}
