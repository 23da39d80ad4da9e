//! Photos from the command line: files, and folders of files.

use crate::failure::{Failure, Outcome};
use crate::remedy;
use omniid::Error;
use std::path::{Path, PathBuf};

/// Endings of the formats that are read. Only folders are filtered by them: a file that is named is opened
/// whatever it is called.
const ENDINGS: [&str; 7] = ["jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff"];

/// Whether the name ends like a photo's.
pub fn looks_like_photo(path: &Path) -> bool {
    path.extension()
        .and_then(|ending| ending.to_str())
        .is_some_and(|ending| ENDINGS.iter().any(|known| known.eq_ignore_ascii_case(ending)))
}

/// Whether the file's content begins like a photo of a known format.
pub fn is_image(path: &Path) -> bool {
    use std::io::Read;
    let mut start = [0; 32];
    let Ok(mut file) = std::fs::File::open(path) else {
        return false;
    };
    file.read(&mut start)
        .is_ok_and(|count| image::guess_format(&start[..count]).is_ok())
}

/// The photos that `paths` name, in that order; those of a folder by name.
///
/// With `recursive`, folders below a folder are searched too; links to folders are not followed.
pub fn collect(paths: &[PathBuf], recursive: bool) -> Outcome<Vec<PathBuf>> {
    let mut photos = Vec::new();
    for path in paths {
        let found = std::fs::metadata(path).map_err(|error| Error::io(path, error))?;
        if !found.is_dir() {
            photos.push(path.clone());
            continue;
        }
        let before = photos.len();
        search(path, recursive, &mut photos)?;
        if photos.len() == before {
            let failure = Failure::usage(format!("{} has no photos ({})", path.display(), ENDINGS.join(", ")));
            return Err(match recursive {
                true => failure,
                false => failure.with_remedy(remedy::RECURSIVE),
            });
        }
    }
    Ok(photos)
}

fn search(folder: &Path, recursive: bool, photos: &mut Vec<PathBuf>) -> Outcome {
    let failed = |error| Failure::Library(Error::io(folder, error));
    let mut entries = std::fs::read_dir(folder)
        .map_err(failed)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        let path = entry.path();
        if entry.file_type().map_err(failed)?.is_dir() {
            if recursive {
                search(&path, recursive, photos)?;
            }
        } else if looks_like_photo(&path) {
            photos.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_sorted_and_filtered() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("below")).unwrap();
        for name in ["b.JPG", "a.png", "notes.txt", "below/c.webp"] {
            std::fs::write(path(name), b"").unwrap();
        }
        let root = [folder.path().to_path_buf()];
        assert_eq!(collect(&root, false).unwrap(), [path("a.png"), path("b.JPG")]);
        assert_eq!(
            collect(&root, true).unwrap(),
            [path("a.png"), path("b.JPG"), path("below/c.webp")]
        );
        // A file that is named is taken whatever it is called.
        assert_eq!(collect(&[path("notes.txt")], false).unwrap(), [path("notes.txt")]);
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
