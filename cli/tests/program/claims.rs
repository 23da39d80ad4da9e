//! Two processes and one file; files that are too large.

use super::support::Workplace;
use std::process::{Child, Command, Stdio};

fn start(place: &Workplace, args: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_omniid"));
    command.args(args).current_dir(place.path("")).env_clear();
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

const MODEL: [&str; 2] = ["-c", "model.safetensors"];

#[test]
fn only_one_of_several_processes_makes_a_file() {
    let place = Workplace::new();
    let names = ["a.png", "b.png", "c.png"];
    for more in [&[][..], &["--force"]] {
        let _ = std::fs::remove_file(place.path("new.omniid"));
        let many: Vec<Child> = names
            .iter()
            .map(|photo| {
                start(
                    &place,
                    &[
                        &["encode", photo, "-o", "new.omniid", "--label", photo],
                        &MODEL[..],
                        more,
                    ]
                    .concat(),
                )
            })
            .collect();
        let outputs: Vec<_> = many
            .into_iter()
            .map(|child| child.wait_with_output().unwrap())
            .collect();
        let done: Vec<usize> = (0..outputs.len())
            .filter(|index| outputs[*index].status.success())
            .collect();
        assert!(!done.is_empty());
        for (index, output) in outputs.iter().enumerate().filter(|(index, _)| !done.contains(index)) {
            let text = String::from_utf8_lossy(&output.stderr);
            assert!(
                text.contains("by another process") || text.contains("exists already"),
                "{index}: {text}"
            );
        }
        if more.is_empty() {
            // Nothing was overwritten.
            assert_eq!(done.len(), 1);
            assert_eq!(
                place.json(&["inspect", "new.omniid", "--json"])[0]["label"],
                names[done[0]]
            );
        }
        assert!(
            place.files().iter().all(|name| !name.starts_with('.')),
            "{:?}",
            place.files()
        );
    }
}

#[test]
fn extending_in_place_at_once_loses_no_photo() {
    let place = Workplace::new();
    place.ok(&[&["encode", "a.png", "-o", "x.omniid"], &MODEL[..]].concat());
    let many: Vec<Child> = ["b.png", "c.png", "a.png", "b.png"]
        .iter()
        .map(|photo| {
            start(
                &place,
                &[&["extend", "x.omniid", photo, "--in-place"], &MODEL[..]].concat(),
            )
        })
        .collect();
    for child in many {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(place.json(&["inspect", "x.omniid", "--json"])[0]["photos"], 5);
    assert!(place.files().iter().all(|name| !name.starts_with('.')));
}

/// The system sends SIGXFSZ for a write beyond the permitted size, which would end the program with its temporary file.
#[cfg(unix)]
#[test]
fn a_file_beyond_the_permitted_size_is_an_error_that_leaves_nothing() {
    let place = Workplace::new();
    place.add_generator();
    let before = place.files();
    for (args, target) in [
        ("encode a.png b.png c.png -c model.safetensors -o x.omniid", "x.omniid"),
        ("attention a.png -c model.safetensors -o x.bmp", "x.bmp"),
        ("convert native -c model.safetensors -o y.safetensors", "y.safetensors"),
    ] {
        let script = format!("ulimit -f 2; exec {} {args}", env!("CARGO_BIN_EXE_omniid"));
        let output = Command::new("bash")
            .args(["-c", &script])
            .current_dir(place.path(""))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args}: {text}");
        assert!(
            text.contains(&format!("error[io]: {target}: ")) && !text.contains(".tmp"),
            "{args}: {text}"
        );
        assert_eq!(place.files(), before, "{args}");
    }
}
