//! Standard input and output, pipes, picture formats, seeds and threads.

use super::support::Workplace;
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Output, Stdio};

const MODEL: [&str; 2] = ["--checkpoint", "model.safetensors"];

/// Runs the program with bytes on its standard input.
fn piped(place: &Workplace, args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_omniid"))
        .args(args)
        .current_dir(place.path(""))
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A program that refuses its arguments does not read.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn photos_come_from_pipes_and_identities_go_into_them() {
    let place = Workplace::new();
    let photo = std::fs::read(place.path("a.png")).unwrap();
    place.ok(&[&["encode", "a.png", "-o", "file.omniid"], &MODEL[..]].concat());
    for name in ["-", "/dev/stdin"].into_iter().take(if cfg!(unix) { 2 } else { 1 }) {
        let output = piped(&place, &[&["encode", name, "-o", "-"], &MODEL[..]].concat(), &photo);
        assert!(output.status.success(), "{}", text(&output.stderr));
        std::fs::write(place.path("piped.omniid"), &output.stdout).unwrap();
        // The report is out of the way.
        assert!(
            text(&output.stderr).contains("standard output: 6 tokens"),
            "{}",
            text(&output.stderr)
        );
        let matrix = place.json(&["compare", "file.omniid", "piped.omniid", "--json"]);
        assert!(
            (matrix["similarity"][0][1].as_f64().unwrap() - 1.0).abs() < 1e-6,
            "{matrix}"
        );
    }
    assert_eq!(place.files().iter().filter(|name| name.starts_with('-')).count(), 0);
    let report = piped(
        &place,
        &[&["encode", "-", "b.png", "-o", "x.omniid", "--json"], &MODEL[..]].concat(),
        &photo,
    );
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!(report["photos"][0]["path"], "standard input");
    assert_eq!(report["photos_in_identity"], 2);
}

#[test]
fn every_kind_of_file_comes_from_a_pipe() {
    let place = Workplace::new();
    place.ok(&[&["encode", "a.png", "-o", "a.omniid"], &MODEL[..]].concat());
    let [photo, identity, model] =
        ["a.png", "a.omniid", "model.safetensors"].map(|name| std::fs::read(place.path(name)).unwrap());
    for (bytes, part) in [
        (&photo, "standard input: photo, PNG"),
        (&identity, "OmniID identity"),
        (&model, "OmniID checkpoint"),
    ] {
        let output = piped(&place, &["inspect", "-"], bytes);
        assert!(
            text(&output.stdout).to_lowercase().contains(&part.to_lowercase()),
            "{}",
            text(&output.stdout)
        );
    }
    let output = piped(&place, &["inspect", "-", "--json"], &identity);
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(seen[0]["bytes"], identity.len());
    let as_file = place.ok(&["inspect", "a.omniid"]);
    let as_pipe = text(&piped(&place, &["inspect", "-"], &identity).stdout);
    assert_eq!(as_pipe, as_file.replacen("a.omniid", "standard input", 1));
    let output = piped(
        &place,
        &[&["extend", "-", "b.png", "-o", "ab.omniid"], &MODEL[..]].concat(),
        &identity,
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(place.json(&["inspect", "ab.omniid", "--json"])[0]["photos"], 2);
    let output = piped(&place, &["encode", "a.png", "-c", "-", "-o", "by-pipe.omniid"], &model);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let output = piped(&place, &["compare", "a.omniid", "-", "--json"], &identity);
    let matrix: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(matrix["names"][1], "standard input");
    let output = piped(&place, &["convert", "diffusers", "-", "-o", "d.safetensors"], &identity);
    assert!(
        output.status.success() && place.path("d.safetensors").exists(),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn pipes_that_cannot_work_are_refused() {
    let place = Workplace::new();
    place.ok(&[&["encode", "a.png", "-o", "a.omniid"], &MODEL[..]].concat());
    let photo = std::fs::read(place.path("a.png")).unwrap();
    for (args, part) in [
        (&["encode", "-", "-", "-o", "x.omniid"][..], "given twice"),
        (&["encode", "-", "-o", "-", "--json"], "both the result and the report"),
        (&["extend", "-", "a.png", "--in-place"], "--output"),
        (&["convert", "diffusers", "a.omniid", "-o", "-"], "standard output"),
    ] {
        let model: &[&str] = if args[0] == "convert" { &[] } else { &MODEL };
        let output = piped(&place, &[args, model].concat(), &photo);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", text(&output.stderr));
        assert!(
            text(&output.stderr).contains(part),
            "{args:?}: {}",
            text(&output.stderr)
        );
    }
    let output = piped(&place, &[&["encode", "-", "-o", "x.omniid"], &MODEL[..]].concat(), b"");
    assert!(
        text(&output.stderr).contains("standard input is empty"),
        "{}",
        text(&output.stderr)
    );
    assert!(!place.path("x.omniid").exists());
}

#[test]
fn the_name_of_a_picture_says_its_format() {
    let place = Workplace::new();
    let draw = |name: &str| place.run(&[&["attention", "a.png", "-o", name], &MODEL[..]].concat());
    for (name, format) in [
        ("m.png", "Png"),
        ("m.jpg", "Jpeg"),
        ("m.JPEG", "Jpeg"),
        ("m.webp", "WebP"),
        ("m.bmp", "Bmp"),
        ("m.tif", "Tiff"),
    ] {
        let run = draw(name);
        assert_eq!(run.code, 0, "{}", run.stderr);
        let bytes = std::fs::read(place.path(name)).unwrap();
        assert_eq!(format!("{:?}", image::guess_format(&bytes).unwrap()), format);
        image::load_from_memory(&bytes).unwrap();
    }
    for name in ["m", "m.gif", "m.omniid"] {
        let args = [&["attention", "a.png", "-o", name], &MODEL[..]].concat();
        place.fails(&args, 2, ".webp");
    }
    let output = piped(&place, &[&["attention", "a.png", "-o", "-"], &MODEL[..]].concat(), b"");
    assert_eq!(image::guess_format(&output.stdout).unwrap(), image::ImageFormat::Png);
}

#[test]
fn numbers_may_be_negative_and_are_refused_with_what_is_right() {
    let place = Workplace::new();
    place.add_generator();
    let generate = |more: &[&'static str]| -> Vec<&'static str> {
        let always =
            "generate a.png -c mini.safetensors --minihost minihost.safetensors --steps 1 --views front --force \
                      --out s.png";
        always.split_whitespace().chain(more.iter().copied()).collect()
    };
    let seed = |more: &[&'static str]| {
        place.json(&generate(&[&["--json"], more].concat()))["seed"]
            .as_u64()
            .unwrap()
    };
    let (first, second) = (seed(&["--seed", "-1"]), seed(&["--seed", "-1"]));
    assert_ne!(first, second);
    let run = place.run(&generate(&["--seed", "-1"]));
    assert!(run.stderr.contains("seed: "), "{}", run.stderr);
    place.ok(&generate(&["--scale", "-0.5"]));
    for (more, part) in [
        (&["--seed", "-2"][..], "-1 for any seed"),
        (&["--seed", "x"], "-1 for any seed"),
        (&["--columns", "-3"], "1..=64"),
        (&["--scale", "nan"], "finite number"),
        (&["--guidance", "inf"], "finite number"),
        (&["--threads", "-1"], "1 to 1024"),
        (&["--cell", "-5"], "16..=1024"),
        (&["--face", "-1"], "0 or more"),
        (&["--max-pixels", "many"], "0 or more"),
        (&["--host", "sd2"], "sd15, sdxl, flux"),
    ] {
        let run = place.run(&generate(more));
        assert!(run.code == 2 && run.stderr.contains(part), "{more:?}: {}", run.stderr);
    }
}

#[test]
fn threads_are_checked_for_every_command() {
    let place = Workplace::new();
    for command in [
        "encode",
        "extend",
        "inspect",
        "compare",
        "faces",
        "attention",
        "generate",
        "render",
        "train",
        "evaluate",
        "demo",
    ] {
        let help = place.ok(&[command, "--help"]);
        assert!(help.contains("--threads <N>"), "{command}");
    }
    let encode = |threads: &str, option: bool| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_omniid"));
        command
            .args(["encode", "a.png", "--force", "-o", "x.omniid"])
            .args(MODEL)
            .current_dir(place.path(""))
            .env_clear();
        match option {
            true => command.arg(format!("--threads={threads}")),
            false => command.env("OMNIID_THREADS", threads),
        };
        command.output().unwrap()
    };
    for threads in ["0", "abc", "-1", "1000000000", "1.5"] {
        for option in [true, false] {
            let output = encode(threads, option);
            assert_eq!(output.status.code(), Some(2), "{threads}: {}", text(&output.stderr));
            assert!(
                text(&output.stderr).contains("expected 1 to 1024 threads"),
                "{}",
                text(&output.stderr)
            );
        }
    }
    for threads in ["1", "2", ""] {
        assert!(encode(threads, false).status.success(), "{threads}");
    }
    assert!(encode("3", true).status.success());
}

#[test]
fn errors_are_json_where_json_is_asked_for() {
    let place = Workplace::new();
    let error = |args: &[&str], code: i32| -> Value {
        let run = place.run(args);
        assert_eq!(run.code, code, "{args:?}: {}{}", run.stdout, run.stderr);
        assert!(!run.stderr.is_empty());
        let value: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{args:?}: {:?}", run.stdout));
        value["error"].clone()
    };
    let found = error(&["encode", "nobody.png", "-o", "x.omniid", "--json"], 1);
    assert_eq!(found["kind"], "io");
    assert!(found["message"].as_str().unwrap().contains("nobody.png"));
    assert_eq!(
        error(&["encode", "a.png", "-o", "x.omniid", "--json"], 3)["kind"],
        "no-face"
    );
    assert_eq!(error(&["encode", "--json"], 2)["kind"], "usage");
    assert_eq!(error(&["inspect", "nothing", "--json"], 1)["kind"], "io");
    assert_eq!(error(&["compare", "nothing", "a", "--json"], 1)["kind"], "io");
    let found = error(&["encode", "a.png", "-o", "model.safetensors", "--json"], 2);
    assert_eq!(
        (found["kind"].as_str(), found["remedy"].as_str()),
        (Some("usage"), Some("file-exists"))
    );
    // A report that is printed has the errors in it.
    let run = place.run(&["inspect", "a.png", "nothing", "--json"]);
    let list: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(
        (run.code, list[1]["type"].as_str(), list[1]["kind"].as_str()),
        (1, Some("error"), Some("io"))
    );
}

#[test]
fn one_bad_file_does_not_lose_the_others() {
    let place = Workplace::new();
    place.ok(&[&["encode", "a.png", "-o", "a.omniid"], &MODEL[..]].concat());
    place.ok(&[&["encode", "b.png", "-o", "b.omniid"], &MODEL[..]].concat());
    std::fs::write(place.path("broken.png"), b"\x89PNG\r\n\x1a\nno more").unwrap();
    std::fs::write(place.path("empty.omniid"), b"").unwrap();
    let inputs = [
        "a.omniid",
        "nothing.jpg",
        "broken.png",
        "empty.omniid",
        "b.omniid",
        "c.png",
    ];
    let run = place.run(&[&["compare", "--json"], &inputs[..], &MODEL].concat());
    let matrix: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(
        (run.code, &matrix["names"]),
        (1, &serde_json::json!(["a.omniid", "b.omniid", "c.png"])),
        "{}",
        run.stderr
    );
    let left: Vec<&str> = matrix["left_out"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(left, inputs[1..4]);
    assert!(run.stderr.contains("3 of 6 inputs could not be used"), "{}", run.stderr);
    let run = place.run(&[&["inspect"], &inputs[..]].concat());
    assert!(
        run.code == 1 && run.stdout.contains("b.omniid") && run.stdout.contains("c.png"),
        "{}",
        run.stdout
    );
    assert!(run.stderr.contains("3 of 6 files could not be used"), "{}", run.stderr);
    let run = place.run(&["faces", "a.png", "broken.png", "nothing.jpg", "c.png", "--json"]);
    let list: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((run.code, list.as_array().unwrap().len()), (1, 4));
    // An identity of another model is named by its file, whatever its label is.
    place.add_generator();
    place.ok(&["encode", "a.png", "-c", "mini.safetensors", "-o", "other.omniid"]);
    let run = place.run(&[&["compare", "a.omniid", "other.omniid", "b.omniid"], &MODEL[..]].concat());
    assert!(
        run.code == 1 && run.stderr.contains("other.omniid: mismatch"),
        "{}",
        run.stderr
    );
    place.fails(
        &[&["extend", "other.omniid", "b.png", "-o", "x.omniid"], &MODEL[..]].concat(),
        1,
        "other.omniid: ",
    );
}

#[test]
fn a_closed_or_full_standard_error_stops_nothing() {
    let place = Workplace::new();
    let run = |args: &[&str], stderr: Stdio| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_omniid"))
            .args(args)
            .current_dir(place.path(""))
            .env_clear()
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .unwrap();
        // The reader, where there is one, goes away before a word is read.
        drop(child.stderr.take());
        child.wait().unwrap().code()
    };
    for args in [
        &["inspect", "nobody.jpg", "a.png"][..],
        &["compare", "nobody.jpg", "a.png"],
        &["faces", "nobody.jpg"],
    ] {
        let heard = place.run(args).code;
        assert_eq!(run(args, Stdio::piped()), Some(heard), "{args:?}");
        #[cfg(target_os = "linux")]
        {
            let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
            assert_eq!(run(args, full.into()), Some(heard), "{args:?}");
        }
    }
}
