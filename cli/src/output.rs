//! Results to standard output, and files that must not be lost or half-written.

use crate::failure::{self, Failure, Outcome};
use crate::remedy;
use omniid::Error;
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Prints a text to standard output, with a line break at its end.
pub fn print(text: impl AsRef<str>) -> Outcome {
    failure::has_reported();
    let mut out = std::io::stdout().lock();
    let write = |out: &mut std::io::StdoutLock| {
        out.write_all(text.as_ref().as_bytes())?;
        if !text.as_ref().ends_with('\n') {
            out.write_all(b"\n")?;
        }
        out.flush()
    };
    write(&mut out).map_err(Failure::Output)
}

/// Prints a value as indented JSON.
pub fn print_json(value: &impl Serialize) -> Outcome {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::Library(Error::internal(format!("JSON report: {error}"))))?;
    print(text)
}

/// Checks, before the long work, that a file can be created: its folder exists and takes new files, and nothing
/// is in the way.
pub fn check_target(path: &Path, force: bool) -> Outcome {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => {
            return Err(Failure::usage(format!(
                "{} is a folder, a file name is needed",
                path.display()
            )));
        }
        Ok(_) if !force => {
            return Err(Failure::usage(format!("{} exists already", path.display())).with_remedy(remedy::FORCE));
        }
        _ => {}
    }
    let folder = folder_of(path);
    // The only reliable question is to create a file there.
    let probe = folder.join(format!(".omniid-probe-{}", std::process::id()));
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&probe)
        .map_err(|error| {
            Error::new(
                omniid::ErrorKind::Io,
                format!("cannot write to {}: {error}", folder.display()),
            )
        })?;
    std::fs::remove_file(&probe).map_err(|error| Error::io(&probe, error))?;
    Ok(())
}

/// As [`check_target`], for a file in a folder that may not be there yet; the folder is not made.
pub fn check_in_folder(folder: &Path, name: &str, force: bool) -> Outcome {
    match folder.is_dir() {
        true => check_target(&folder.join(name), force),
        false => Ok(()),
    }
}

/// The folder that a file lies in.
fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// Makes a folder with all folders above it.
pub fn make_folder(path: &Path) -> Outcome {
    std::fs::create_dir_all(path).map_err(|error| Failure::Library(Error::io(path, error)))
}

/// A readable size: `681.6 MB`.
pub fn bytes_text(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} bytes");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_for_people() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1000, "1.0 kB"),
            (999_960, "1.0 MB"),
            (681_574_400, "681.6 MB"),
        ] {
            assert_eq!(bytes_text(bytes), text);
        }
    }
}
