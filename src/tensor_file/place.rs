//! Where a file is to be: names and attributes that stand in the way on Windows.

use crate::error::{Error, ErrorKind, Result};
use crate::remedy;
use std::path::{Component, Path, Prefix};

/// Refuses names of files that Windows takes for something else.
///
/// There `CON`, `NUL`, `COM1` and their like are devices in every folder, with any ending: opening one waits for the
/// keyboard, or takes what is written and keeps nothing of it. `photo.png:1` is a second content of `photo.png`, which
/// no folder shows. On other systems these are names like any other.
///
/// # Errors
/// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) with the name.
pub fn check_file_name(path: &Path) -> Result<()> {
    check_own_name(path).map_err(|error| error.context(path.display()))
}

/// As [`check_file_name`], with a message that does not name the path.
pub(crate) fn check_own_name(path: &Path) -> Result<()> {
    // A path with the prefix \\?\ goes to the file system as it stands.
    let is_verbatim = matches!(path.components().next(), Some(Component::Prefix(first)) if first.kind().is_verbatim());
    match cfg!(windows) && !is_verbatim {
        true => refuse_windows_name(&path.to_string_lossy()),
        false => Ok(()),
    }
}

/// As [`check_file_name`], and refuses a file that is marked as read-only on Windows, where it is not replaced. On other
/// systems the folder's permissions decide who may replace a file.
///
/// # Errors
/// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) and [`Io`](crate::ErrorKind::Io).
pub fn check_output(path: &Path) -> Result<()> {
    check_file_name(path)?;
    let is_read_only = || std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().readonly());
    if cfg!(windows) && is_read_only() {
        let error = Error::new(ErrorKind::Io, format!("{}: the file is read-only", path.display()));
        return Err(error.with_remedy(remedy::READ_ONLY_FILE));
    }
    Ok(())
}

/// A path for messages: without the prefix that Windows puts before full paths.
pub(super) fn plain(path: &Path) -> String {
    let text = path.display().to_string();
    match path.components().next() {
        Some(Component::Prefix(first)) => match first.kind() {
            Prefix::VerbatimDisk(_) => text.trim_start_matches(r"\\?\").to_string(),
            Prefix::VerbatimUNC(..) => format!(r"\\{}", text.trim_start_matches(r"\\?\UNC\")),
            _ => text,
        },
        _ => text,
    }
}

fn refuse_windows_name(path: &str) -> Result<()> {
    let refused = |why: String| Err(Error::invalid(why).with_remedy(remedy::FILE_NAME));
    if path.starts_with(r"\\.\") || path.starts_with("//./") {
        return refused("is a device, expected the name of a file".into());
    }
    let has_drive = path.as_bytes().get(1) == Some(&b':') && path.as_bytes()[0].is_ascii_alphabetic();
    let rest = if has_drive { &path[2..] } else { path };
    for name in rest.split(['/', '\\']) {
        if is_device_name(name) {
            return refused(format!("{name} is the name of a device on Windows"));
        }
        if name.contains(':') {
            return refused(format!("the name {name} has a colon, which Windows keeps for drives"));
        }
    }
    Ok(())
}

/// Whether Windows has a device of this name. What follows the first dot or colon, and spaces before it, do not count.
fn is_device_name(name: &str) -> bool {
    const NAMES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];
    let stem = name.split(['.', ':']).next().unwrap_or_default().trim_end_matches(' ');
    if NAMES.iter().any(|device| stem.eq_ignore_ascii_case(device)) {
        return true;
    }
    let mut characters = stem.chars().rev();
    // Superscript digits count as well.
    let is_port = matches!(characters.next(), Some('0'..='9' | '¹' | '²' | '³'));
    let kind: String = characters.rev().collect();
    is_port && (kind.eq_ignore_ascii_case("COM") || kind.eq_ignore_ascii_case("LPT"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_windows_keeps_are_refused() {
        for path in [
            "CON",
            "nul",
            "Aux.png",
            r"C:\photos\prn.tar.gz",
            "photos/com1",
            r"photos\LPT9.omniid",
            "NUL .png",
            "com¹",
            "conin$",
            r"con\anna.png",
            "nul:",
            "anna.png:1",
            r"D:\anna: best.png",
            r"\\.\pipe\photos",
        ] {
            assert!(refuse_windows_name(path).is_err(), "{path}");
        }
        for path in [
            "anna.png",
            r"C:\photos\anna.png",
            "C:anna.png",
            r"\\server\photos\anna.png",
            "console.png",
            "com.png",
            "com10",
            "nulls",
            "aux-1.png",
            "photo.con",
            "",
            ".",
            r"..\..\x",
            "日本.png",
            "comé",
        ] {
            refuse_windows_name(path).unwrap();
        }
    }

    #[test]
    fn names_count_where_the_system_has_them() {
        let path = Path::new("nul.png");
        assert_eq!(check_file_name(path).is_err(), cfg!(windows));
        assert_eq!(check_output(path).is_err(), cfg!(windows));
        check_file_name(Path::new("anna.png")).unwrap();
    }

    #[test]
    fn files_marked_as_read_only_are_not_replaced_on_windows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old");
        std::fs::write(&path, b"old").unwrap();
        let mut permissions = std::fs::metadata(&path).unwrap().permissions();
        permissions.set_readonly(true);
        std::fs::set_permissions(&path, permissions.clone()).unwrap();
        let outcome = check_output(&path);
        assert_eq!(outcome.is_err(), cfg!(windows));
        #[cfg(windows)]
        {
            assert!(outcome.unwrap_err().message().contains("read-only"));
            // The folder could not be removed.
            #[allow(clippy::permissions_set_readonly_false)]
            permissions.set_readonly(false);
            std::fs::set_permissions(&path, permissions).unwrap();
        }
    }
}
