//! Saving that fails: an error that names the path, the old file untouched, nothing half-written left behind.

use super::{config, encode, engine, refused};
use omniid::checkpoint::save_atomically;
use omniid::engine::write_untrained;
use omniid::ErrorKind;
use std::path::Path;

/// The two ways to write a file: an identity, a model.
fn save(path: &Path) -> [(&'static str, omniid::Result<()>); 2] {
    let identity = encode(&engine()).unwrap();
    [
        ("identity", identity.save(path)),
        ("model", write_untrained(path, &config(), 1)),
    ]
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn a_folder_as_path() {
    let folder = tempfile::tempdir().unwrap();
    for (case, outcome) in save(folder.path()) {
        refused(
            case,
            outcome,
            ErrorKind::InvalidArgument,
            &[folder.path().to_str().unwrap(), "folder"],
        );
    }
    assert!(is_empty(folder.path()));
}

#[test]
fn a_missing_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("absent/file");
    for (case, outcome) in save(&path) {
        refused(case, outcome, ErrorKind::Io, &["absent/file"]);
    }
    assert!(is_empty(folder.path()), "no folder is made");
}

#[test]
fn a_file_where_a_folder_should_be() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    std::fs::write(&plain, b"text").unwrap();
    for (case, outcome) in save(&plain.join("file")) {
        let name = std::path::Path::new("plain").join("file");
        refused(case, outcome, ErrorKind::Io, &[name.to_str().unwrap()]);
    }
    assert_eq!(std::fs::read(&plain).unwrap(), b"text");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk() {
    use std::os::unix::fs::FileTypeExt;
    let full = Path::new("/dev/full");
    for (case, outcome) in save(full) {
        refused(case, outcome, ErrorKind::Io, &["/dev/full"]);
    }
    let kind = std::fs::metadata(full).unwrap().file_type();
    assert!(kind.is_char_device(), "the device is still one");
    // The same through a link.
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(full, &link).unwrap();
    for (case, outcome) in save(&link) {
        refused(case, outcome, ErrorKind::Io, &["link"]);
    }
    assert_eq!(std::fs::read_link(&link).unwrap(), full);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_name_too_long_and_an_empty_name() {
    let folder = tempfile::tempdir().unwrap();
    for (case, outcome) in save(&folder.path().join("n".repeat(4000))) {
        refused(case, outcome, ErrorKind::Io, &["nnnn"]);
    }
    for (case, outcome) in save(Path::new("")) {
        assert!(outcome.is_err(), "{case}");
    }
    assert!(is_empty(folder.path()));
}

/// A failure after half of the bytes, as when the disk fills up or the process is told to stop.
#[test]
fn a_failure_in_the_middle_keeps_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, b"old").unwrap();
    let outcome = save_atomically(&path, |out| {
        out.write_all(&[0; 4 << 20]).unwrap();
        Err(omniid::Error::new(ErrorKind::Cancelled, "stopped"))
    });
    refused("stopped", outcome, ErrorKind::Cancelled, &["stopped"]);
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
