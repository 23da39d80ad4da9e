//! Ctrl-C and SIGTERM: every command ends with the code that shells expect, and leaves nothing half-written.

use super::support::Workplace;
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Far more than a command needs to stop, far less than the work that it is given.
const PATIENCE: Duration = Duration::from_secs(20);

fn start(place: &Workplace, args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_omniid"))
        .args(args)
        .current_dir(place.path(""))
        .env_clear()
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Sends a signal after a while; gives the exit code and what was said.
fn interrupt(place: &Workplace, args: &[&str], after: u64, signal: Signal) -> (i32, String) {
    let mut child = start(place, args);
    std::thread::sleep(Duration::from_millis(after));
    if let Some(status) = child.try_wait().unwrap() {
        let output = child.wait_with_output().unwrap();
        panic!(
            "{args:?} ended before the signal: {status} {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    kill(Pid::from_raw(child.id() as i32), signal).unwrap();
    let sent = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(sent.elapsed() < PATIENCE, "{args:?} goes on");
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().unwrap();
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// A folder with a photo of a face, and work of many minutes for each command.
fn work() -> (Workplace, Vec<Vec<String>>) {
    let place = Workplace::new();
    place.add_generator();
    let photo = format!("{}/../examples/photos/person-1/01.jpg", env!("CARGO_MANIFEST_DIR"));
    std::fs::copy(photo, place.path("me.jpg")).unwrap();
    let model = ["-c", "mini.safetensors", "--minihost", "minihost.safetensors"];
    let many = |before: &[&str], name: &str, count: usize, after: &[&str]| -> Vec<String> {
        let names = std::iter::repeat_n(name, count);
        let all = before.iter().copied().chain(names).chain(after.iter().copied());
        all.map(str::to_string).collect()
    };
    let photos = 4000;
    let commands = vec![
        many(&["faces"], "me.jpg", photos, &["--json"]),
        many(&["inspect"], "me.jpg", 20 * photos, &["--json"]),
        many(&["compare"], "me.jpg", photos, &[]),
        many(&["encode"], "me.jpg", photos, &["-o", "x.omniid"]),
        many(&["attention"], "me.jpg", photos, &["-o", "x.png"]),
        many(
            &[
                "generate", "me.jpg", "--steps", "1000", "--views", "all", "--out", "y.png",
            ],
            "a.png",
            0,
            &[],
        ),
        many(
            &["generate"],
            "a.png",
            1,
            &[
                &model[..],
                &["--steps", "1000", "--views", "all", "--out", "z.png", "--guidance", "3"],
            ]
            .concat(),
        ),
        many(&["extend", "mine.omniid"], "me.jpg", photos, &["-o", "more.omniid"]),
        many(&["demo", "--steps", "1000", "--out", "shown"], "", 0, &[]),
        many(
            &[
                "evaluate",
                "--people",
                "0",
                "--photos",
                "people",
                "--steps",
                "1000",
                "--out",
                "evaluated",
            ],
            "",
            0,
            &[],
        ),
    ];
    for folder in ["shown", "evaluated"] {
        std::fs::create_dir(place.path(folder)).unwrap();
    }
    for person in ["people/one", "people/two"] {
        std::fs::create_dir_all(place.path(person)).unwrap();
        for number in 0..1000 {
            std::fs::copy(place.path("me.jpg"), place.path(&format!("{person}/{number}.jpg"))).unwrap();
        }
    }
    place.ok(&["encode", "me.jpg", "-o", "mine.omniid"]);
    (place, commands)
}

#[test]
fn every_command_hears_signals_at_any_moment() {
    let (place, commands) = work();
    let before = place.files();
    for args in &commands {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        for (after, signal, code) in [
            (60, Signal::SIGINT, 130),
            (700, Signal::SIGTERM, 143),
            (1500, Signal::SIGINT, 130),
        ] {
            let (got, text) = interrupt(&place, &args, after, signal);
            assert_eq!(got, code, "{} after {after} ms: {text}", args[0]);
            assert!(text.contains("error[cancelled]"), "{}: {text}", args[0]);
            assert_eq!(place.files(), before, "{}", args[0]);
        }
    }
}

/// Reading a pipe has no steps between which a signal could be heard.
#[test]
fn a_step_without_end_is_no_obstacle() {
    let place = Workplace::new();
    assert!(Command::new("mkfifo")
        .arg(place.path("pipe.jpg"))
        .status()
        .unwrap()
        .success());
    let before = place.files();
    for (args, signal, code) in [
        (
            &["encode", "pipe.jpg", "-c", "model.safetensors", "-o", "x.omniid"][..],
            Signal::SIGINT,
            130,
        ),
        (&["faces", "pipe.jpg"], Signal::SIGTERM, 143),
        (&["inspect", "pipe.jpg"], Signal::SIGHUP, 129),
        (
            &["convert", "native", "-c", "pipe.jpg", "-o", "y.safetensors"],
            Signal::SIGINT,
            130,
        ),
    ] {
        let (got, text) = interrupt(&place, args, 400, signal);
        assert_eq!((got, place.files()), (code, before.clone()), "{args:?}: {text}");
        assert!(text.contains("error[cancelled]: cancelled by"), "{text}");
    }
}
