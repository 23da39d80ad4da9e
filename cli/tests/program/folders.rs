//! Folders as people have them: what is no photo is said, and does not get in the way.

use super::support::Workplace;
use serde_json::Value;

const MODEL: [&str; 2] = ["--checkpoint", "model.safetensors"];

/// A folder `mine` with two photos, and files of these names and contents beside them.
fn place(beside: &[(&str, &[u8])]) -> Workplace {
    let place = Workplace::new();
    std::fs::create_dir(place.path("mine")).unwrap();
    for name in ["a.png", "b.png"] {
        std::fs::copy(place.path(name), place.path("mine").join(name)).unwrap();
    }
    for (name, bytes) in beside {
        let path = place.path("mine").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    place
}

fn encode(place: &Workplace, more: &[&str]) -> Value {
    place.json(
        &[
            &["encode", "mine", "-o", "x.omniid", "--force", "--json"],
            &MODEL[..],
            more,
        ]
        .concat(),
    )
}

fn used(report: &Value) -> Vec<bool> {
    let photos = report["photos"].as_array().unwrap();
    photos.iter().map(|photo| photo["used"].as_bool().unwrap()).collect()
}

#[test]
fn hidden_files_and_thumbnails_are_no_photos() {
    let photo = std::fs::read(Workplace::new().path("c.png")).unwrap();
    let place = place(&[
        (".hidden.png", &photo),
        ("._a.png", b"\0\x05\x16\x07"),
        (".thumbnails/a.png", &photo),
        ("@eaDir/SYNOPHOTO_THUMB_M.jpg", &photo),
        ("__MACOSX/._b.png", b"\0\x05\x16\x07"),
        ("#recycle/old.png", &photo),
        ("$RECYCLE.BIN/old.png", &photo),
        (".Trash-1000/files/old.png", &photo),
        ("Thumbs.db", b"x"),
        ("desktop.ini", b"x"),
    ]);
    for more in [&["--strict"][..], &["--recursive"], &["--recursive", "--strict"]] {
        let report = encode(&place, more);
        assert_eq!(used(&report), [true, true], "{more:?}: {report}");
        assert_eq!(report["photos_in_identity"], 2);
        assert_eq!(report["not_used"]["entries"].as_array().unwrap().len(), 0, "{report}");
        assert_eq!(report["not_used"]["system_entries"], 10);
    }
    // What is named is opened.
    let report = place.json(
        &[
            &[
                "encode",
                "mine/.hidden.png",
                "mine/@eaDir/SYNOPHOTO_THUMB_M.jpg",
                "-o",
                "y.omniid",
                "--json",
            ],
            &MODEL[..],
        ]
        .concat(),
    );
    assert_eq!(used(&report), [true, true]);
}

#[test]
fn everything_that_is_not_used_is_listed() {
    let photo = std::fs::read(Workplace::new().path("c.png")).unwrap();
    let place = place(&[
        ("IMG_1.HEIC", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"),
        ("IMG_2.jpg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"),
        ("IMG_3.dng", b"II*\0\x08\0\0\0\0\0"),
        ("no ending", &photo),
        ("wrong.jpg", &photo),
        ("clip.MOV", b"x"),
        ("notes.txt", b"BMW"),
        ("data.json", b"{}"),
        ("trip/c.png", &photo),
        ("trip/more/c.png", &photo),
    ]);
    let report = encode(&place, &[]);
    // HEIC, HEIC called jpg, DNG; PNGs whatever they are called.
    assert_eq!(used(&report), [false, false, false, true, true, true, true], "{report}");
    let beside = &report["not_used"];
    let kinds: Vec<&str> = beside["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["video", "other-file", "other-file"]);
    assert_eq!(beside["folders_below"], 1);
    let text = place.ok(&[&["encode", "mine", "-o", "x.omniid", "--force"], &MODEL[..]].concat());
    let text = text.replace("mine\\", "mine/");
    for part in [
        "left out  mine/IMG_1.HEIC: ",
        "mine/clip.MOV: a video",
        "2 other files, no photos: mine/data.json, mine/notes.txt",
        "1 folder below not searched without --recursive",
        "(4 of 7 given)",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // The path is said once.
    assert_eq!(text.matches("IMG_1.HEIC").count(), 1, "{text}");
    assert_eq!(used(&encode(&place, &["-r"])).len(), 9);
    let run = place.run(&[&["encode", "mine", "--strict", "-o", "z.omniid"], &MODEL[..]].concat());
    assert!(run.code == 1 && run.stderr.contains("IMG_1.HEIC"), "{}", run.stderr);
}

#[test]
fn every_command_says_what_it_passed_over() {
    let place = place(&[("clip.mp4", b"x"), ("notes.txt", b"x")]);
    place.ok(&[&["encode", "c.png", "-o", "c.omniid"], &MODEL[..]].concat());
    for args in [
        &["compare", "mine", "c.omniid"][..],
        &["extend", "c.omniid", "mine", "-o", "d.omniid"],
        &["attention", "mine", "-o", "a-map.png"],
    ] {
        let run = place.run(&[args, &MODEL[..]].concat());
        let all = format!("{}{}", run.stdout, run.stderr).replace("mine\\", "mine/");
        assert_eq!(run.code, 0, "{args:?}: {all}");
        for part in ["mine/clip.mp4: a video", "1 other file, no photo: mine/notes.txt"] {
            assert!(all.contains(part), "{args:?}: {all}");
        }
    }
    let run = place.run(&["faces", "mine"]);
    let text = run.stderr.replace('\\', "/");
    assert!(run.code == 3 && text.contains("mine/clip.mp4: a video"), "{text}");
}

#[test]
fn a_folder_without_photos_says_what_it_has() {
    let place = Workplace::new();
    for name in ["only/notes.txt", "only/clip.mp4", "only/below/x.txt"] {
        let path = place.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"x").unwrap();
    }
    for text in [
        "only has no photos (jpg",
        "clip.mp4: a video",
        "1 other file",
        "1 folder below",
    ] {
        place.fails(&[&["encode", "only", "-o", "x.omniid"], &MODEL[..]].concat(), 2, text);
    }
}

#[cfg(unix)]
#[test]
fn links_and_locked_folders_are_said() {
    let place = place(&[("locked/x.png", b"x")]);
    std::os::unix::fs::symlink("..", place.path("mine/up")).unwrap();
    std::os::unix::fs::symlink("nowhere", place.path("mine/gone.png")).unwrap();
    let report = encode(&place, &["-r"]);
    let kinds: Vec<&str> = report["not_used"]["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["broken-link", "link-to-folder"], "{report}");
    assert_eq!(used(&report), [true, true, false]);
}
