//! The files of a folder of people.

use crate::data::scan::{is_system_entry, NoPhoto};
use omniid::{Error, Result};
use std::path::{Path, PathBuf};

/// Folders within a person's folder that are followed.
const DEPTH: usize = 8;

/// A person's folder.
pub(super) struct PersonFolder {
    /// Name of the folder.
    pub name: String,
    /// Files below it, in the order of their paths.
    pub files: Vec<PathBuf>,
    /// Folders that could not be read, and pipes, sockets and devices, which could be waited for without end; and why.
    pub unreadable: Vec<(PathBuf, String)>,
}

/// What lies in the root: folders of people in the order of their names, and files that belong to nobody.
pub(super) struct Walk {
    pub people: Vec<PersonFolder>,
    pub strays: Vec<PathBuf>,
}

/// Lists everything below `root`. Hidden and system entries ([`is_system_entry`]) are passed over; links to folders are
/// not followed.
pub(super) fn walk(root: &Path) -> Result<Walk> {
    let mut walk = Walk {
        people: Vec::new(),
        strays: Vec::new(),
    };
    for path in entries(root).map_err(|error| Error::io(root, error))? {
        // A person's folder itself may be a link.
        if !path.is_dir() {
            walk.strays.push(path);
            continue;
        }
        let mut person = PersonFolder {
            name: name(&path),
            files: Vec::new(),
            unreadable: Vec::new(),
        };
        collect(&path, DEPTH, &mut person);
        walk.people.push(person);
    }
    Ok(walk)
}

fn collect(folder: &Path, depth: usize, person: &mut PersonFolder) {
    let entries = match entries(folder) {
        Ok(entries) => entries,
        Err(error) => {
            person.unreadable.push((folder.to_path_buf(), error.to_string()));
            return;
        }
    };
    for path in entries {
        if is_special(&path) {
            person.unreadable.push((path, NoPhoto::SpecialFile.to_string()));
        } else if !path.is_dir() {
            person.files.push(path);
        } else if depth > 0 && !path.is_symlink() {
            collect(&path, depth - 1, person);
        } else {
            person
                .unreadable
                .push((path, "a link to a folder, or a folder too deep".to_string()));
        }
    }
}

/// Whether a path is a pipe, a socket or a device. A link to nothing is left to those who open it.
fn is_special(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}

/// Entries that are not the system's, in the order of their names.
fn entries(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = std::fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    paths.retain(|path| !path.file_name().is_some_and(is_system_entry));
    paths.sort();
    Ok(paths)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    #[test]
    fn what_is_no_file_is_never_opened() {
        let folder = tempfile::tempdir().unwrap();
        let person = folder.path().join("anna");
        std::fs::create_dir_all(person.join("below")).unwrap();
        std::fs::write(person.join("a.jpg"), b"").unwrap();
        symlink("nothing", person.join("gone.jpg")).unwrap();
        symlink("/dev/zero", person.join("zero.jpg")).unwrap();
        // Sockets stand for pipes, which the standard library cannot make.
        let _sockets = ["s.jpg", "below/t.jpg"].map(|name| UnixListener::bind(person.join(name)).unwrap());
        let walk = walk(folder.path()).unwrap();
        let below = |path: &PathBuf| path.strip_prefix(&person).unwrap().display().to_string();
        let found = &walk.people[0];
        assert_eq!(found.files.iter().map(below).collect::<Vec<_>>(), ["a.jpg", "gone.jpg"]);
        let special: Vec<String> = found.unreadable.iter().map(|(path, _)| below(path)).collect();
        assert_eq!(special, ["below/t.jpg", "s.jpg", "zero.jpg"]);
        assert!(found.unreadable.iter().all(|(_, why)| why.contains("a pipe")));
    }
}
