//! Results to standard output, and files that must not be lost or half-written.

use crate::claim::Claim;
use crate::failure::{self, Failure, Outcome};
use crate::remedy;
use omniid::checkpoint::{check_file_name, check_output, save_bytes_atomically};
use omniid::Error;
use serde::Serialize;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Prints a text to standard output, with a line break at its end.
pub fn print(text: impl AsRef<str>) -> Outcome {
    failure::has_reported();
    let text = text.as_ref();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    print_bytes(format!("{text}{end}").as_bytes())
}

fn print_bytes(bytes: &[u8]) -> Outcome {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(Failure::Output)
}

/// Prints a value as indented JSON.
pub fn print_json(value: &impl Serialize) -> Outcome {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::Library(Error::internal(format!("JSON report: {error}"))))?;
    print(text)
}

/// Where a result goes: a file, which no other process writes meanwhile, or standard output.
pub struct Target {
    path: PathBuf,
    place: Place,
}

enum Place {
    StandardOutput,
    /// A device or pipe: nothing is replaced there.
    Device,
    File {
        _claim: Claim,
    },
}

impl Target {
    /// Checks, before the long work, that a file can be made: its folder exists and takes new files, nothing is in the
    /// way, and nobody else writes it. `-` is standard output, unless `json` goes there.
    pub fn new(path: &Path, force: bool, json: bool) -> Outcome<Self> {
        let place = if is_standard_output(path) {
            check_standard_output(json)?;
            Place::StandardOutput
        } else if is_device(path) {
            Place::Device
        } else {
            check_target(path, force)?;
            let _claim = Claim::file(path)?;
            // Who had it before may have made the file.
            check_target(path, force)?;
            Place::File { _claim }
        };
        Ok(Self {
            path: path.to_path_buf(),
            place,
        })
    }

    /// As [`Target::new`], of a file that is read, changed and replaced: waits while another process does so.
    pub fn in_place(path: &Path) -> Outcome<Self> {
        check_target(path, true)?;
        Ok(Self {
            path: path.to_path_buf(),
            place: Place::File {
                _claim: Claim::wait(path)?,
            },
        })
    }

    /// The file; `-` for standard output.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What to call it in reports.
    pub fn name(&self) -> String {
        match self.place {
            Place::StandardOutput => "standard output".to_string(),
            _ => self.path.display().to_string(),
        }
    }

    /// Writes the content, in one step.
    pub fn write(&self, bytes: &[u8]) -> Outcome {
        match self.place {
            Place::StandardOutput => print_bytes(bytes),
            Place::Device | Place::File { .. } => Ok(save_bytes_atomically(&self.path, bytes)?),
        }
    }

    /// Prints a report where the result does not go.
    pub fn report(&self, text: impl AsRef<str>) -> Outcome {
        match self.place {
            Place::StandardOutput => {
                tell!("{}", text.as_ref().strip_suffix('\n').unwrap_or(text.as_ref()));
                Ok(())
            }
            _ => print(text),
        }
    }
}

/// Whether a path names standard output.
fn is_standard_output(path: &Path) -> bool {
    ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"]
        .iter()
        .any(|name| path == Path::new(name))
}

/// Whether a path names a device or a pipe, standard output included.
pub fn is_device(path: &Path) -> bool {
    is_standard_output(path) || std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

fn check_standard_output(json: bool) -> Outcome {
    if json {
        return Err(Failure::usage(
            "standard output (-) cannot hold both the result and the report of --json",
        ));
    }
    if std::io::stdout().is_terminal() {
        return Err(Failure::usage(
            "standard output (-) is a terminal, expected a file or another program: the result is binary",
        ));
    }
    Ok(())
}

/// Refuses standard output for results that can only be files or folders.
pub fn no_standard_output(path: &Path) -> Outcome {
    match path == Path::new("-") {
        true => Err(Failure::usage(
            "- is standard output, expected a file or folder; ./- is one of this name",
        )),
        false => Ok(()),
    }
}

/// Checks that nothing is in the way of a file.
pub fn check_target(path: &Path, force: bool) -> Outcome {
    check_file_name(path)?;
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => Err(Failure::usage(format!(
            "{} is a folder, a file name is needed",
            path.display()
        ))),
        Ok(_) if !force => Err(Failure::usage(format!("{} exists already", path.display())).with_remedy(remedy::FORCE)),
        _ => Ok(check_output(path)?),
    }
}

/// As [`check_target`], for a file in a folder that may not be there yet; the folder is not made.
pub fn check_in_folder(folder: &Path, name: &str, force: bool) -> Outcome {
    no_standard_output(folder)?;
    match folder.is_dir() {
        true => check_target(&folder.join(name), force),
        false => Ok(()),
    }
}

/// Makes a folder with all folders above it, into which no other process writes meanwhile.
pub fn make_folder(path: &Path) -> Outcome<Claim> {
    no_standard_output(path)?;
    check_file_name(path)?;
    std::fs::create_dir_all(path).map_err(|error| Failure::Library(Error::io(path, error)))?;
    Claim::folder(path)
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
