//! Photos from the command line: files, and folders of files.

use crate::failure::{Failure, Outcome};
use crate::input;
use crate::remedy;
use crate::signals;
use crate::wildcards::expand;
use omniid::checkpoint::check_file_name;
use omniid::face::PhotoReport;
use omniid::Error;
use omniid_training::data::scan::{NoPhoto, Scan, ENDINGS};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Photos, and what else was seen where they lie.
#[derive(Default)]
pub struct Found {
    pub photos: Vec<PathBuf>,
    pub passed_over: PassedOver,
}

/// What was seen in folders and is no photo.
#[derive(Debug, Default, Clone, Serialize)]
pub struct PassedOver {
    /// Files and folders, with the reasons.
    pub entries: Vec<Entry>,
    /// Folders below that were not searched.
    pub folders_below: usize,
    /// Hidden and system entries.
    pub system_entries: usize,
}

/// Something that is no photo.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    pub path: String,
    pub kind: &'static str,
    pub reason: String,
}

/// The photos that `paths` name, in that order; those of a folder by name. A file that is named is taken whatever it is
/// called.
///
/// With `recursive`, folders below a folder are searched too; links to folders are not followed.
pub fn collect(paths: &[PathBuf], recursive: bool) -> Outcome<Found> {
    let paths = &expand(paths);
    for path in paths.iter() {
        if !input::is_pipe(path) && input::named_face(path).is_none() {
            check_file_name(path)?;
            std::fs::metadata(path).map_err(|error| Error::io(path, error))?;
        }
    }
    collect_named(paths, recursive)
}

/// As [`collect`], also of files that are not there: for commands that report each and go on.
pub fn collect_named(paths: &[PathBuf], recursive: bool) -> Outcome<Found> {
    let mut all = Found::default();
    for path in expand(paths).iter() {
        if !path.is_dir() {
            all.photos.push(path.clone());
            continue;
        }
        let found = search(path, recursive)?;
        if found.photos.is_empty() {
            let failure = nothing_in(path, &found.passed_over);
            return Err(match recursive {
                true => failure,
                false => failure.with_remedy(remedy::RECURSIVE),
            });
        }
        all.append(found);
    }
    Ok(all)
}

/// The photos of a folder, perhaps none.
pub fn search(folder: &Path, recursive: bool) -> Outcome<Found> {
    let scan = Scan::of(folder, recursive, &mut signals::go_on)?;
    let entries = scan.passed_over.iter().map(|one| Entry {
        path: one.path.display().to_string(),
        kind: one.reason.kind(),
        reason: one.reason.to_string(),
    });
    Ok(Found {
        passed_over: PassedOver {
            entries: entries.collect(),
            folders_below: scan.folders_below,
            system_entries: scan.system_entries,
        },
        photos: scan.photos,
    })
}

fn nothing_in(folder: &Path, passed_over: &PassedOver) -> Failure {
    let mut text = format!("{} has no photos ({})", folder.display(), ENDINGS.join(", "));
    let seen = passed_over.lines();
    if !seen.is_empty() {
        text.push_str(&format!("; {}", seen.join("; ")));
    }
    Failure::usage(text)
}

/// What should be known about photos that were used, a line for each.
pub fn notes<'a>(reports: impl IntoIterator<Item = &'a PhotoReport>) -> Vec<String> {
    let noted = reports.into_iter().filter(|report| !report.notes.is_empty());
    noted
        .map(|report| format!("{}: {}", report.name, report.reason()))
        .collect()
}

impl Found {
    /// Adds what was found elsewhere.
    pub fn append(&mut self, other: Self) {
        self.photos.extend(other.photos);
        self.passed_over.append(other.passed_over);
    }
}

impl PassedOver {
    /// Adds what was seen elsewhere.
    pub fn append(&mut self, other: Self) {
        self.entries.extend(other.entries);
        self.folders_below += other.folders_below;
        self.system_entries += other.system_entries;
    }

    /// One line per thing with a reason of its own; files of other kinds, and folders below, together.
    pub fn lines(&self) -> Vec<String> {
        const NAMED: usize = 5;
        let is_other = |entry: &&Entry| entry.kind == NoPhoto::OtherFile.kind();
        let (others, own): (Vec<&Entry>, Vec<&Entry>) = self.entries.iter().partition(is_other);
        let mut lines: Vec<String> = own
            .iter()
            .map(|entry| format!("{}: {}", entry.path, entry.reason))
            .collect();
        if !others.is_empty() {
            let mut names: Vec<&str> = others.iter().take(NAMED).map(|entry| entry.path.as_str()).collect();
            if others.len() > NAMED {
                names.push("…");
            }
            lines.push(format!(
                "{}: {}",
                count(others.len(), "other file, no photo", "other files, no photos"),
                names.join(", ")
            ));
        }
        if self.folders_below > 0 {
            let folders = count(self.folders_below, "folder below", "folders below");
            lines.push(format!("{folders} not searched without --recursive"));
        }
        lines
    }

    /// Prints the lines to standard error, for commands whose standard output is a table or JSON.
    pub fn tell(&self) {
        for line in self.lines() {
            tell!("not used  {line}");
        }
    }
}

fn count(number: usize, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_sorted_and_everything_else_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("below")).unwrap();
        for name in ["b.JPG", "a.png", "notes.txt", "clip.mp4", "below/c.webp"] {
            std::fs::write(path(name), b"").unwrap();
        }
        let root = [folder.path().to_path_buf()];
        let found = collect(&root, false).unwrap();
        assert_eq!(found.photos, [path("a.png"), path("b.JPG")]);
        let lines = found.passed_over.lines();
        assert!(lines[0].contains("clip.mp4: a video"), "{lines:?}");
        assert!(lines[1].starts_with("1 other file, no photo: "), "{lines:?}");
        assert_eq!(lines[2], "1 folder below not searched without --recursive");
        let deep = collect(&root, true).unwrap();
        assert_eq!(deep.photos, [path("a.png"), path("b.JPG"), path("below/c.webp")]);
        // A file that is named is taken whatever it is called.
        assert_eq!(
            collect(&[path("notes.txt")], false).unwrap().photos,
            [path("notes.txt")]
        );
    }

    #[test]
    fn nothing_to_find_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let Err(Failure::Usage(error)) = collect(&[folder.path().to_path_buf()], false) else {
            panic!()
        };
        assert!(
            error.message().contains("has no photos") && error.message().contains("--recursive"),
            "{error}"
        );
        let missing = folder.path().join("nobody.jpg");
        let Err(Failure::Library(error)) = collect(&[missing], false) else {
            panic!()
        };
        assert!(error.message().contains("nobody.jpg"), "{error}");
    }
}
