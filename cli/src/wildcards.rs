//! Names with `*` and `?`. On Unix the shell puts the files in their place, on Windows every program does it itself.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// The paths, on Windows with the files that match in the place of names like `photos\*.jpg`, sorted. A name that
/// nothing matches stays, for the error that names it.
pub fn expand(paths: &[PathBuf]) -> Cow<'_, [PathBuf]> {
    // Elsewhere these characters may stand in the name of a file.
    if !cfg!(windows) {
        return Cow::Borrowed(paths);
    }
    paths.iter().flat_map(|path| matching(path)).collect()
}

/// The files and folders that a path with wildcards in its last part stands for; the path itself where there are none.
fn matching(path: &Path) -> Vec<PathBuf> {
    let itself = || vec![path.to_path_buf()];
    let Some(pattern) = path.file_name().and_then(|name| name.to_str()) else {
        return itself();
    };
    if !pattern.contains(['*', '?']) {
        return itself();
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let Ok(entries) = std::fs::read_dir(folder) else {
        return itself();
    };
    let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
    let names = entries.flatten().map(|entry| entry.file_name());
    let is_match = |name: &std::ffi::OsString| {
        let name: Vec<char> = name.to_string_lossy().to_lowercase().chars().collect();
        matches(&pattern, &name)
    };
    let mut found: Vec<PathBuf> = names.filter(is_match).map(|name| path.with_file_name(name)).collect();
    found.sort();
    if found.is_empty() {
        return itself();
    }
    found
}

/// Whether a name has the form of a pattern: `*` is any text, `?` any character.
fn matches(pattern: &[char], name: &[char]) -> bool {
    // The last star seen, and where the text behind the part that it stands for begins.
    let mut star: Option<(usize, usize)> = None;
    let (mut at, mut place) = (0, 0);
    while place < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, place));
                at += 1;
            }
            Some(sign) if *sign == '?' || *sign == name[place] => {
                at += 1;
                place += 1;
            }
            _ => match &mut star {
                Some((begin, from)) => {
                    *from += 1;
                    (at, place) = (*begin + 1, *from);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|sign| *sign == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        let fits = |pattern: &str, name: &str| {
            matches(&pattern.chars().collect::<Vec<_>>(), &name.chars().collect::<Vec<_>>())
        };
        for (pattern, name) in [
            ("*", "a.jpg"),
            ("*.jpg", "a.jpg"),
            ("a?.j*g", "aé.jpeg"),
            ("*a*b*", "xaybz"),
            ("**", ""),
            ("*.*", "a.b.c"),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*.jpg", "a.jpg.txt"),
            ("?", ""),
            ("a*b", "ab.c"),
            ("", "a"),
            ("*ab", "aab."),
        ] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn files_come_sorted_and_what_matches_nothing_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["b.jpg", "A.JPG", "c.png"] {
            std::fs::write(path(name), b"").unwrap();
        }
        assert_eq!(matching(&path("*.jpg")), [path("A.JPG"), path("b.jpg")]);
        for name in ["*.webp", "c.png", "no/*.jpg"] {
            assert_eq!(matching(&path(name)), [path(name)]);
        }
        let paths = [path("*.jpg")];
        assert_eq!(expand(&paths).len(), if cfg!(windows) { 2 } else { 1 });
    }
}
