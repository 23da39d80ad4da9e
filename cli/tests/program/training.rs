//! train.

use super::support::{assets, Workplace};
use omniid_training::config::PRESETS;
use omniid_training::data::toy_people;
#[cfg(unix)]
use std::process::{Command, Stdio};
#[cfg(unix)]
use std::time::{Duration, Instant};

/// A run of six steps that takes a second.
const CONFIG: &str = r#"
name = "small"
seed = 3
steps = 6

[model]
image_size = 16
patch_size = 8
width = 16
blocks = 1
heads = 2
queries = 4
encoder_width = 16
encoder_depth = 1
encoder_heads = 2
token_width = 16

[masked]
width = 16
depth = 1
heads = 2
decoded_fraction = 0.5

[sampler]
people = 4
fewest_inputs = 2
most_inputs = 2
targets = 2

[schedule]
warm_up = 2
length = 6

[evaluation]
people = 4
inputs = 2
targets = 2
"#;

/// A folder with `run.toml` and `toys.safetensors`.
fn place() -> Workplace {
    let place = Workplace::new();
    std::fs::write(place.path("run.toml"), CONFIG).unwrap();
    toy_people(12, 8, 16, 1).save(&place.path("toys.safetensors")).unwrap();
    place
}

const DATA: [&str; 2] = ["--data", "toys.safetensors"];

#[test]
fn presets_are_listed_and_printed() {
    let place = Workplace::new();
    let help = place.ok(&["train", "--help"]);
    for (name, text) in PRESETS {
        assert!(help.contains(name), "{name}");
        assert_eq!(place.ok(&["train", "--print-preset", name]), text);
    }
    place.fails(&["train", "--print-preset", "huge"], 2, "tiny");
    place.fails(&["train", "nowhere.toml", "--out", "x"], 1, "nowhere.toml");
}

#[test]
fn an_interrupted_run_ends_like_an_uninterrupted_one() {
    let place = place();
    place.ok(&[&["train", "run.toml", "--out", "whole"], &DATA[..]].concat());
    place.ok(&[&["train", "run.toml", "--out", "parts", "--steps", "3"], &DATA[..]].concat());
    let resume = [&["train", "run.toml", "--out", "parts", "--resume"], &DATA[..]].concat();
    // The number of steps differs from that of the saved run.
    let refused = place.run(&resume);
    assert!(
        refused.code == 1 && refused.stderr.contains("steps"),
        "{}",
        refused.stderr
    );
    place.ok(&[&resume[..], &["--allow-changes"]].concat());
    let model = |folder: &str| std::fs::read(place.path(folder).join("model.safetensors")).unwrap();
    assert!(model("whole") == model("parts"));
    let seen = place.json(&["inspect", "whole/model.safetensors", "--json"]);
    assert_eq!(seen[0]["kind"]["kind"], "native");
    // A folder with a run is not overwritten by mistake, another seed gives another model.
    let again = place.run(&[&["train", "run.toml", "--out", "whole"], &DATA[..]].concat());
    assert!(again.code == 2 && again.stderr.contains("resume"), "{}", again.stderr);
    place.ok(&[&["train", "run.toml", "--out", "seed", "--seed", "4"], &DATA[..]].concat());
    assert!(model("seed") != model("whole"));
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_the_state() {
    let place = place();
    let mut child = Command::new(env!("CARGO_BIN_EXE_omniid"))
        .args([
            "train",
            "run.toml",
            "--out",
            "run",
            "--steps",
            "1000000",
            "--data",
            "toys.safetensors",
        ])
        .current_dir(place.path("."))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Metrics are written while steps are made.
    let (metrics, begun) = (place.path("run/metrics.jsonl"), Instant::now());
    while !std::fs::metadata(&metrics).is_ok_and(|file| file.len() > 0) {
        assert!(begun.elapsed() < Duration::from_secs(120), "no step was made");
        std::thread::sleep(Duration::from_millis(50));
    }
    let signal = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(signal.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(place.path("run/model.safetensors").is_file());
    // It goes on from there: a run of fewer steps than were made is over at once.
    let text = place.ok(&[
        "train",
        "run.toml",
        "--out",
        "run",
        "--resume",
        "--allow-changes",
        "--steps",
        "10",
        "--data",
        "toys.safetensors",
    ]);
    assert!(text.contains("model.safetensors"), "{text}");
}

#[test]
fn data_that_cannot_be_used_is_reported() {
    let place = place();
    let run = place.run(&["train", "run.toml", "--out", "none"]);
    assert!(run.code == 2 && run.stderr.contains("--assets"), "{}", run.stderr);
    let run = place.run(&["train", "run.toml", "--out", "missing", "--data", "nobody.safetensors"]);
    assert!(
        run.code == 1 && run.stderr.contains("nobody.safetensors"),
        "{}",
        run.stderr
    );
    let run = place.run(&["train", "run.toml", "--out", "wrong", "--data", "model.safetensors"]);
    assert!(run.code == 1 && run.stderr.contains("dataset"), "{}", run.stderr);
    // Nobody with two usable photos: unreadable ones, one alone, an empty folder.
    for folder in ["broken", "alone", "empty"] {
        std::fs::create_dir_all(place.path("photos").join(folder)).unwrap();
    }
    std::fs::write(place.path("photos/broken/1.jpg"), b"no picture").unwrap();
    let example = format!("{}/../examples/photos/person-1/01.jpg", env!("CARGO_MANIFEST_DIR"));
    std::fs::copy(example, place.path("photos/alone/1.jpg")).unwrap();
    let run = place.run(&["train", "run.toml", "--out", "photos-run", "--photos", "photos"]);
    assert_eq!(run.code, 2, "{}", run.stderr);
    for part in [
        "broken/1.jpg: unreadable",
        "alone: person with too few photos",
        "empty: empty folder",
        "nobody",
    ] {
        let text = run.stderr.replace('\\', "/");
        assert!(text.contains(part), "{part} in {text}");
    }
    let text = std::fs::read_to_string(place.path("photos-run/photos-1.dropped.txt")).unwrap();
    let text = text.replace('\\', "/");
    assert!(text.contains("broken/1.jpg: unreadable"), "{text}");
}

#[test]
fn photos_and_rendered_people_are_trained_on() {
    let place = place();
    let photos = format!("{}/../examples/photos", env!("CARGO_MANIFEST_DIR"));
    let more = ["--steps", "2", "--threads", "1"];
    let run = place.run(
        &[
            &["train", "run.toml", "--out", "photos-run", "--photos", &photos],
            &more[..],
        ]
        .concat(),
    );
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("6 of 6 people"), "{}", run.stderr);
    let Some(assets) = assets("ict_facekit") else {
        return;
    };
    let rendered = [
        "train", "run.toml", "--out", "rendered", "--assets", &assets, "--people", "4",
    ];
    let run = place.run(&[&rendered[..], &more].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("rendering 4 people"), "{}", run.stderr);
    assert!(place.path("rendered/people.safetensors").is_file());
}
