//! What is different on Windows: paths, names that are devices, files that are read-only or open, the console.

use super::support::{Run, Workplace};
use omniid_test_support::{skip, Missing};
use std::fs::File;
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const MODEL: [&str; 2] = ["-c", "model.safetensors"];

/// Runs the program with paths as they are, in a folder.
fn run(folder: &Path, args: &[&std::ffi::OsStr]) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_omniid"))
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    Run {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The places of all files below a folder, with what the paths have in common taken away.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(below(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

/// Encodes a photo in a folder of its own, looks at the identity, adds a photo to it in place, and draws its crop.
fn works_in(place: &Workplace, folder: &Path, photo: &str, identity: &str) {
    std::fs::create_dir_all(folder).unwrap();
    let (photo, identity, sheet) = (folder.join(photo), folder.join(identity), folder.join("sheet ü.png"));
    std::fs::copy(place.path("a.png"), &photo).unwrap();
    let model = place.path("model.safetensors");
    let ok = |args: &[&std::ffi::OsStr]| {
        let run = run(&place.path(""), args);
        assert_eq!(run.code, 0, "{args:?}: {}{}", run.stdout, run.stderr);
        run.stdout
    };
    let [c, o, force] = ["-c", "-o", "--force"].map(std::ffi::OsStr::new);
    let word = std::ffi::OsStr::new;
    for _ in 0..2 {
        let text = ok(&[
            word("encode"),
            photo.as_ref(),
            c,
            model.as_ref(),
            o,
            identity.as_ref(),
            force,
        ]);
        assert!(
            text.contains(&*identity.to_string_lossy()) && !text.contains(r"\\?\"),
            "{text}"
        );
    }
    ok(&[
        word("extend"),
        identity.as_ref(),
        photo.as_ref(),
        word("--in-place"),
        c,
        model.as_ref(),
    ]);
    let text = ok(&[word("inspect"), identity.as_ref(), word("--json")]);
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report[0]["photos"], 2, "{text}");
    ok(&[word("attention"), photo.as_ref(), c, model.as_ref(), o, sheet.as_ref()]);
    let mut expected = vec![photo, identity, sheet];
    expected.sort();
    assert_eq!(below(folder), expected);
}

#[test]
fn paths_in_any_letters_and_of_any_length() {
    let place = Workplace::new();
    let long = "ein langer Ordnername ".repeat(4).trim_end().to_string();
    let mut deep = place.path("tief");
    while deep.as_os_str().len() < 600 {
        deep.push(&long);
    }
    for folder in [
        place.path("Überblick"),
        place.path("写真 と 家族"),
        place.path("Фото 😀 (1)"),
        place.path("e\u{301} combining"),
        place.path("100% & so on; ^x !a! #1 [b] {c} ~1 'd' @ $HOME"),
        place.path(".hidden"),
        deep,
    ] {
        works_in(&place, &folder, "Ännchen 写真😀.png", "Ännchen 写真😀.omniid");
    }
    // Just below, at and beyond the old limit of 260 characters for a path, and of 248 for a folder.
    let base = place.path("");
    for length in [245, 247, 248, 249, 255, 258, 259, 260, 261, 300] {
        let mut folder = base.join("x");
        let names = length - folder.as_os_str().len() - "\\photo.png".len() - 1;
        folder.push("y".repeat(names.min(200)));
        if names > 201 {
            folder.push("z".repeat(names - 201));
        }
        works_in(&place, &folder, "photo.png", "p.omniid");
    }
}

#[test]
fn relative_paths_in_a_long_folder() {
    let place = Workplace::new();
    let mut folder = place.path("ab cd");
    folder.push("c".repeat(240 - folder.as_os_str().len()));
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["a.png", "model.safetensors"] {
        std::fs::copy(place.path(name), folder.join(name)).unwrap();
    }
    let words = [
        "encode",
        "a.png",
        "-c",
        "model.safetensors",
        "-o",
        "identity of a long name.omniid",
    ];
    // The system refuses a working folder of more than 258 characters; the names in this one go beyond that.
    let run = run(&folder, &words.map(std::ffi::OsStr::new));
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
}

#[test]
fn every_way_to_write_a_path() {
    let place = Workplace::new();
    std::fs::create_dir(place.path("sub")).unwrap();
    let full = place.path("").canonicalize().unwrap();
    let verbatim = full.to_str().unwrap().trim_end_matches('\\').to_string();
    let plain = verbatim.trim_start_matches(r"\\?\").to_string();
    let (drive, rest) = plain.split_once(':').unwrap();
    let mut number = 0;
    let mut check = |folder: String| {
        number += 1;
        let (photo, output) = (format!("{folder}a.png"), format!("{folder}{number}.omniid"));
        let text = place.ok(&[&["encode", &photo, "-o", &output], &MODEL[..]].concat());
        assert!(text.contains(&output), "{text}");
        assert!(place.path(&format!("{number}.omniid")).is_file(), "{folder}");
    };
    check(String::new());
    check(r".\".into());
    check("./".into());
    check(r"sub\..\".into());
    check("sub/../".into());
    check(format!(r"{plain}\"));
    check(format!(r"{verbatim}\"));
    check(format!("{}/", plain.replace('\\', "/")));
    check(format!(r"{}:{rest}\", drive.to_lowercase()));
    // Of the drive that the program works on, and of its folder there.
    check(format!(r"{rest}\"));
    check(format!("{drive}:"));
    // Folders count with and without a separator at their end, in any case.
    for folder in ["sub", r"sub\", "sub/", "SUB", r".\sub"] {
        std::fs::copy(place.path("b.png"), place.path("sub").join("B.PNG")).unwrap();
        place.ok(&[&["encode", folder, "-o", "f.omniid", "--force"], &MODEL[..]].concat());
    }
    place.fails(&["encode", "a.png", "-o", r"sub\"], 2, "is a folder");
}

#[test]
fn wildcards_stand_for_photos() {
    let place = Workplace::new();
    std::fs::create_dir(place.path("photos")).unwrap();
    for (from, to) in [("a.png", "one.PNG"), ("b.png", "two.png"), ("c.png", "three.png")] {
        std::fs::copy(place.path(from), place.path("photos").join(to)).unwrap();
    }
    let photos = |pattern: &str| {
        place.ok(&[&["encode", pattern, "-o", "x.omniid", "--force"], &MODEL[..]].concat());
        place.json(&["inspect", "x.omniid", "--json"])[0]["photos"].clone()
    };
    for (pattern, count) in [
        (r"photos\*.png", 3),
        ("photos/t*.png", 2),
        (r"photos\t?o.*", 1),
        ("?.png", 3),
    ] {
        assert_eq!(photos(pattern), count, "{pattern}");
    }
    assert_eq!(
        place
            .json(&["inspect", r"photos\*.png", "*.png", "--json"])
            .as_array()
            .unwrap()
            .len(),
        6
    );
    place.fails(
        &[&["encode", r"photos\*.jpg", "-o", "y.omniid"], &MODEL[..]].concat(),
        1,
        "*.jpg",
    );
}

#[test]
fn names_of_devices_are_refused() {
    let place = Workplace::new();
    for name in [
        "CON",
        "nul",
        "NUL.png",
        "aux.omniid",
        r".\COM1",
        "lpt9.png",
        r"con\x.png",
        "CONIN$",
        "a.png:x",
    ] {
        for args in [
            &["encode", "a.png", "-o", name][..],
            &["encode", "a.png", "-o", name, "--force"],
            &["encode", name, "-o", "x.omniid"],
            &["attention", "a.png", "-o", name],
            &["faces", name],
            &["inspect", name],
            &["compare", "a.png", name, "-c", "model.safetensors"],
            &["generate", "a.png", "--out", name],
            &["convert", "native", "-c", name, "-o", "y.safetensors"],
            &["demo", "--out", name],
        ] {
            let before = place.files();
            let run = place.run(args);
            assert!([1, 2].contains(&run.code), "{args:?}: {}{}", run.stdout, run.stderr);
            // Pictures need an ending before anything else is looked at.
            let words = ["device", "colon", "says its format"];
            assert!(
                words.iter().any(|word| run.stderr.contains(word)),
                "{args:?}: {}",
                run.stderr
            );
            assert_eq!(place.files(), before, "{args:?}");
        }
    }
    // Names that only look like them.
    for name in ["console.omniid", "com10.omniid", "nul-1.omniid"] {
        place.ok(&[&["encode", "a.png", "-o", name], &MODEL[..]].concat());
        assert!(place.path(name).is_file());
    }
}

#[test]
fn read_only_files_are_inputs_and_no_outputs() {
    let place = Workplace::new();
    place.ok(&[&["encode", "a.png", "-o", "x.omniid"], &MODEL[..]].concat());
    let set = |name: &str, read_only: bool| {
        let mut permissions = std::fs::metadata(place.path(name)).unwrap().permissions();
        permissions.set_readonly(read_only);
        std::fs::set_permissions(place.path(name), permissions).unwrap();
    };
    for name in ["a.png", "model.safetensors", "x.omniid"] {
        set(name, true);
    }
    let old = std::fs::read(place.path("x.omniid")).unwrap();
    place.fails(
        &[&["encode", "a.png", "-o", "x.omniid", "--force"], &MODEL[..]].concat(),
        1,
        "x.omniid: the file is read-only",
    );
    place.fails(
        &[&["extend", "x.omniid", "b.png", "--in-place"], &MODEL[..]].concat(),
        1,
        "read-only",
    );
    assert_eq!(std::fs::read(place.path("x.omniid")).unwrap(), old);
    place.ok(&[&["extend", "x.omniid", "b.png", "-o", "y.omniid"], &MODEL[..]].concat());
    // The mark does not go over to what was made of them.
    place.ok(&[&["encode", "a.png", "-o", "y.omniid", "--force"], &MODEL[..]].concat());
    for name in ["a.png", "model.safetensors", "x.omniid"] {
        set(name, false);
    }
    place.ok(&[&["encode", "a.png", "-o", "x.omniid", "--force"], &MODEL[..]].concat());
}

#[test]
fn files_that_are_open_elsewhere() {
    let place = Workplace::new();
    let encode = [&["encode", "a.png", "-o", "x.omniid", "--force"], &MODEL[..]].concat();
    place.ok(&encode);
    let old = std::fs::read(place.path("x.omniid")).unwrap();
    const READ: u32 = 1;
    const WRITE: u32 = 2;
    const DELETE: u32 = 4;
    // A program that lets nobody replace its file: the error says so, and the old file stays.
    for share in [0, READ, READ | WRITE] {
        let _open = File::options()
            .read(true)
            .share_mode(share)
            .open(place.path("x.omniid"))
            .unwrap();
        place.fails(&encode, 1, "x.omniid: another program has the file open");
    }
    assert_eq!(std::fs::read(place.path("x.omniid")).unwrap(), old);
    // One that lets it go after a moment, as scanners do, is waited for.
    let open = File::options()
        .read(true)
        .share_mode(READ)
        .open(place.path("x.omniid"))
        .unwrap();
    let path = place.path("x.omniid");
    let closer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        drop(open);
    });
    place.ok(&encode);
    closer.join().unwrap();
    // Photos and models that others read meanwhile.
    let _photo = File::options()
        .read(true)
        .share_mode(READ)
        .open(place.path("a.png"))
        .unwrap();
    let _model = File::options()
        .read(true)
        .share_mode(READ | DELETE)
        .open(place.path("model.safetensors"))
        .unwrap();
    place.ok(&encode);
    assert!(path.is_file());
    // Nobody can read what another program keeps for itself.
    let _alone = File::options()
        .read(true)
        .share_mode(0)
        .open(place.path("b.png"))
        .unwrap();
    place.fails(
        &[&["encode", "b.png", "-o", "y.omniid"], &MODEL[..]].concat(),
        1,
        "b.png",
    );
}

#[test]
fn outputs_where_nothing_can_be_made() {
    let place = Workplace::new();
    for (target, text) in [
        (r"no\such\folder\x.omniid", r"no\such\folder"),
        ("a?.omniid", "a?.omniid"),
        ("a|b.omniid", "a|b.omniid"),
        (r"a.png\x.omniid", "a.png"),
    ] {
        let before = place.files();
        let run = place.run(&[&["encode", "a.png", "-o", target], &MODEL[..]].concat());
        assert!([1, 2].contains(&run.code), "{target}: {}", run.stderr);
        assert!(
            run.stderr.contains(text) && !run.stderr.contains(r"\\?\"),
            "{}",
            run.stderr
        );
        assert_eq!(place.files(), before);
    }
}

#[test]
fn settings_with_the_line_ends_of_windows() {
    let place = Workplace::new();
    place.add_public();
    let crlf = |name: &str, mark: &str| {
        let text = std::fs::read_to_string(place.path(name)).unwrap();
        let value: serde_json::Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap();
        let text = serde_json::to_string_pretty(&value).unwrap().replace('\n', "\r\n");
        std::fs::write(place.path(name), format!("{mark}{text}\r\n")).unwrap();
    };
    let encode = "encode a.png -c plus.safetensors --image-encoder clip/model.safetensors --image-encoder-config \
                  clip/config.json --host host.json -o x.omniid --force";
    let args: Vec<&str> = encode.split_whitespace().collect();
    place.ok(&args);
    let before = std::fs::read(place.path("x.omniid")).unwrap();
    for mark in ["", "\u{feff}"] {
        crlf("host.json", mark);
        crlf("clip/config.json", mark);
        place.ok(&args);
        assert_eq!(std::fs::read(place.path("x.omniid")).unwrap().len(), before.len());
    }
}

/// A program that may be sent Ctrl-Break: Ctrl-C would reach this test as well.
fn start(place: &Workplace, args: &[&str]) -> Child {
    const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;
    Command::new(env!("CARGO_BIN_EXE_omniid"))
        .args(args)
        .current_dir(place.path(""))
        .creation_flags(CREATE_NEW_PROCESS_GROUP)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[link(name = "kernel32")]
extern "system" {
    fn GenerateConsoleCtrlEvent(event: u32, group: u32) -> i32;
}

#[test]
fn ctrl_break_ends_any_command_and_leaves_nothing() {
    let place = Workplace::new();
    place.add_generator();
    let photo = format!("{}/../examples/photos/person-1/01.jpg", env!("CARGO_MANIFEST_DIR"));
    std::fs::copy(photo, place.path("me.jpg")).unwrap();
    let before = place.files();
    let many = |words: &[&'static str], options: &[&'static str]| -> Vec<&'static str> {
        [words, &vec!["me.jpg"; 400], options].concat()
    };
    for args in [
        many(&["faces"], &["--json"]),
        many(&["encode"], &["-o", "x.omniid"]),
        vec![
            "generate", "me.jpg", "--steps", "1000", "--views", "all", "--out", "y.png",
        ],
    ] {
        for after in [300, 1500] {
            let mut child = start(&place, &args);
            std::thread::sleep(Duration::from_millis(after));
            assert!(child.try_wait().unwrap().is_none(), "{} is over", args[0]);
            const CTRL_BREAK_EVENT: u32 = 1;
            // SAFETY: plain values; the group is that of the child.
            if unsafe { GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, child.id()) } == 0 {
                child.kill().unwrap();
                let how = "run it in a console of Windows; tests/windows/interrupt.py tests Ctrl-C under Wine";
                return skip(Missing::Platform, "there is no console to send Ctrl-Break through", how);
            }
            let sent = Instant::now();
            while child.try_wait().unwrap().is_none() {
                assert!(sent.elapsed() < Duration::from_secs(20), "{} goes on", args[0]);
                std::thread::sleep(Duration::from_millis(20));
            }
            let output = child.wait_with_output().unwrap();
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(130), "{}: {text}", args[0]);
            assert!(text.contains("error[cancelled]"), "{}: {text}", args[0]);
            assert_eq!(place.files(), before, "{}", args[0]);
        }
    }
}

#[test]
fn the_memory_is_that_of_the_program() {
    let place = Workplace::new();
    place.add_generator();
    let model = ["-c", "mini.safetensors", "--minihost", "minihost.safetensors"];
    let report = place.json(
        &[
            &["generate", "a.png", "--out", "x.png", "--steps", "2", "--json"],
            &model[..],
        ]
        .concat(),
    );
    let bytes = report["peak_memory_bytes"].as_u64().unwrap();
    // More than the program's own weights, less than any machine has.
    assert!((10 << 20..8 << 30).contains(&bytes), "{bytes}");
}
