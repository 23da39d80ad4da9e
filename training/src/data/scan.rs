//! What a folder of photos holds: photos, and everything else with the reason why it is none.

use omniid::photo::{recognise_file, PictureFormat};
use omniid::{Error, ErrorKind, Result};
use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Endings of the formats that are read.
pub const ENDINGS: [&str; 7] = ["jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff"];

/// Endings of pictures that are not read: they count as photos, so that each is reported with what to do.
const OTHER_PICTURES: [&str; 34] = [
    "jpe", "jfif", "heic", "heif", "hif", "heics", "avif", "avifs", "gif", "jxl", "jp2", "psd", "dng", "nef", "nrw",
    "cr2", "cr3", "crw", "arw", "srf", "sr2", "raf", "orf", "rw2", "pef", "srw", "x3f", "3fr", "fff", "iiq", "rwl",
    "mrw", "erf", "kdc",
];

/// Endings of videos.
const VIDEOS: [&str; 13] = [
    "mov", "mp4", "m4v", "avi", "mkv", "webm", "3gp", "3g2", "mts", "m2ts", "mpg", "mpeg", "wmv",
];

/// Folders that are one document to their user, with thumbnails inside that look like photos.
const LIBRARIES: [&str; 5] = ["photoslibrary", "photolibrary", "aplibrary", "lrdata", "lrlibrary"];

/// Names that systems and programs give to what is no photo of the user; compared without case.
const SYSTEM_NAMES: [&str; 20] = [
    "@eadir",
    "@tmp",
    "@recycle",
    "@recently-snapshot",
    "@__thumb",
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "recycler",
    "system volume information",
    "lost+found",
    "__macosx",
    "thumbs.db",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "desktop.ini",
    "icon\r",
    "network trash folder",
    "temporary items",
    "zbthumbnail.info",
];

/// Folders below a folder that are searched.
const DEPTH: usize = 64;

/// Whether a name is that of a hidden file or folder, of a system file, or of a folder of thumbnails: `.DS_Store`,
/// `._a.jpg`, `.thumbnails`, `@eaDir`, `Thumbs.db` and the like. They are nobody's photos.
pub fn is_system_entry(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with('.') || SYSTEM_NAMES.contains(&name.to_lowercase().as_str())
}

/// Why something in a folder is not used as a photo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoPhoto {
    /// A video.
    Video,
    /// A file of another kind.
    OtherFile,
    /// A pipe, a socket or a device.
    SpecialFile,
    /// A link to a folder: following it could go round in circles.
    LinkToFolder,
    /// A link to something that is not there.
    BrokenLink,
    /// The library of a photo manager, whose pictures are mostly thumbnails.
    Library,
    /// A folder or file that cannot be read, and the system's message.
    Unreadable(String),
    /// A folder too far down.
    TooDeep,
}

impl NoPhoto {
    /// A word for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::OtherFile => "other-file",
            Self::SpecialFile => "special-file",
            Self::LinkToFolder => "link-to-folder",
            Self::BrokenLink => "broken-link",
            Self::Library => "photo-library",
            Self::Unreadable(_) => "unreadable",
            Self::TooDeep => "too-deep",
        }
    }
}

impl std::fmt::Display for NoPhoto {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Video => "a video",
            Self::OtherFile => "no photo",
            Self::SpecialFile => "no file but a pipe, a socket or a device",
            Self::LinkToFolder => "a link to a folder, which is not followed",
            Self::BrokenLink => "a link to nothing",
            Self::Library => "the library of a photo program, which holds more thumbnails than photos",
            Self::Unreadable(message) => return write!(f, "unreadable: {message}"),
            Self::TooDeep => "too many folders deep",
        })
    }
}

/// Something in a folder that is not used as a photo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// The path, below the folder as it was named.
    pub path: PathBuf,
    /// Why.
    pub reason: NoPhoto,
}

/// What a folder holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scan {
    /// Photos, by name; also pictures in formats that cannot be read, whose decoding says so.
    pub photos: Vec<PathBuf>,
    /// Everything else, by name, but for system entries.
    pub passed_over: Vec<PassedOver>,
    /// Folders below that were not searched, as nobody asked for it.
    pub folders_below: usize,
    /// Hidden and system entries ([`is_system_entry`]). They are not looked into.
    pub system_entries: usize,
}

impl Scan {
    /// Searches a folder, with `recursive` also those below it. Links to folders are not followed, links to files are.
    ///
    /// A file is a photo when its content begins like a picture's or its name ends like one's. `go_on` is asked before
    /// every entry.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) when `folder` itself cannot be read, [`Cancelled`](ErrorKind::Cancelled) when `go_on`
    /// breaks.
    pub fn of(folder: &Path, recursive: bool, go_on: &mut dyn FnMut() -> ControlFlow<()>) -> Result<Self> {
        let mut scan = Self::default();
        let entries = entries(folder).map_err(|error| Error::io(folder, error))?;
        scan.search(entries, recursive.then_some(DEPTH), go_on)?;
        Ok(scan)
    }

    /// Adds another folder's content.
    pub fn append(&mut self, other: Self) {
        self.photos.extend(other.photos);
        self.passed_over.extend(other.passed_over);
        self.folders_below += other.folders_below;
        self.system_entries += other.system_entries;
    }

    /// `depth`: how many folders down may be searched; `None` searches none.
    fn search(
        &mut self,
        entries: Vec<PathBuf>,
        depth: Option<usize>,
        go_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<()> {
        for path in entries {
            if go_on().is_break() {
                return Err(Error::new(ErrorKind::Cancelled, "searching for photos: cancelled"));
            }
            if path.file_name().is_some_and(is_system_entry) {
                self.system_entries += 1;
                continue;
            }
            let passed_over = match std::fs::metadata(&path) {
                Ok(found) if found.is_dir() => match self.folder(&path, depth, go_on)? {
                    Some(reason) => reason,
                    None => continue,
                },
                Ok(found) if !found.is_file() => NoPhoto::SpecialFile,
                Ok(_) => match no_photo(&path) {
                    Some(reason) => reason,
                    None => {
                        self.photos.push(path);
                        continue;
                    }
                },
                Err(_) if path.is_symlink() => NoPhoto::BrokenLink,
                Err(error) => NoPhoto::Unreadable(error.to_string()),
            };
            self.passed_over.push(PassedOver {
                path,
                reason: passed_over,
            });
        }
        Ok(())
    }

    /// Searches a folder below, or says why not. `Ok(None)`: it was searched, or it is counted.
    fn folder(
        &mut self,
        path: &Path,
        depth: Option<usize>,
        go_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Option<NoPhoto>> {
        let found = match depth {
            _ if path.is_symlink() => Err(NoPhoto::LinkToFolder),
            _ if ends_with(path, &LIBRARIES) => Err(NoPhoto::Library),
            None => {
                self.folders_below += 1;
                return Ok(None);
            }
            Some(0) => Err(NoPhoto::TooDeep),
            Some(depth) => entries(path)
                .map(|entries| (entries, depth - 1))
                .map_err(|error| NoPhoto::Unreadable(error.to_string())),
        };
        match found {
            Ok((entries, depth)) => self.search(entries, Some(depth), go_on).map(|()| None),
            Err(reason) => Ok(Some(reason)),
        }
    }
}

/// Why a file is no photo; `None` for pictures, and for files that their name says are photos: their decoding tells what
/// is wrong with them.
fn no_photo(path: &Path) -> Option<NoPhoto> {
    use PictureFormat::*;
    let named = is_named_like_photo(path);
    match recognise_file(path) {
        Ok(Some(Video)) => Some(NoPhoto::Video),
        Ok(Some(
            Jpeg | Png | WebP | Tiff | Heic | Avif | JpegXl | Jpeg2000 | JpegXr | Gif | Photoshop | CameraRaw(_),
        )) => None,
        // Two letters are no evidence without a header behind them.
        Ok(Some(Bmp)) if std::fs::metadata(path).is_ok_and(|file| file.len() >= 54) => None,
        _ if named => None,
        _ if ends_with(path, &VIDEOS) => Some(NoPhoto::Video),
        Ok(_) => Some(NoPhoto::OtherFile),
        Err(error) => Some(NoPhoto::Unreadable(error.to_string())),
    }
}

/// Whether a file's name ends like that of a photo, of a format that is read or not.
pub fn is_named_like_photo(path: &Path) -> bool {
    ends_with(path, &ENDINGS) || ends_with(path, &OTHER_PICTURES)
}

/// Whether a name has one of these endings, whatever their case.
fn ends_with(path: &Path, endings: &[&str]) -> bool {
    path.extension()
        .and_then(OsStr::to_str)
        .is_some_and(|ending| endings.iter().any(|known| known.eq_ignore_ascii_case(ending)))
}

/// The entries of a folder by name.
fn entries(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = std::fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(folder: &Path, recursive: bool) -> Scan {
        Scan::of(folder, recursive, &mut || ControlFlow::Continue(())).unwrap()
    }

    fn names(root: &Path, paths: impl IntoIterator<Item = PathBuf>) -> Vec<String> {
        let below = |path: PathBuf| {
            path.strip_prefix(root)
                .unwrap()
                .display()
                .to_string()
                .replace('\\', "/")
        };
        paths.into_iter().map(below).collect()
    }

    #[test]
    fn system_names() {
        for name in [
            ".DS_Store",
            "._a.jpg",
            ".thumbnails",
            "@eaDir",
            "Thumbs.db",
            "$RECYCLE.BIN",
            "__MACOSX",
            ".git",
        ] {
            assert!(is_system_entry(OsStr::new(name)), "{name}");
        }
        for name in ["a.jpg", "thumbnails", "eaDir", "_a.jpg", "recycle"] {
            assert!(!is_system_entry(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn every_entry_is_a_photo_or_has_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let jpeg = [0xff, 0xd8, 0xff, 0xe0, 0, 16, b'J', b'F', b'I', b'F'];
        for below in ["@eaDir", ".thumbnails", "trip/deep", "Mine.photoslibrary/resources"] {
            std::fs::create_dir_all(root.join(below)).unwrap();
        }
        for (name, bytes) in [
            ("b.JPG", &b""[..]),
            ("a.png", b""),
            ("1.heic", b""),
            ("no ending", &jpeg),
            ("BMW.txt", b"BMW, red"),
            ("clip.MOV", b""),
            ("._a.jpg", b""),
            ("Thumbs.db", b""),
            ("@eaDir/a.jpg", &jpeg),
            (".thumbnails/a.jpg", &jpeg),
            ("trip/c.webp", b""),
            ("trip/deep/d.jpg", b""),
            ("Mine.photoslibrary/resources/t.jpg", &jpeg),
        ] {
            std::fs::write(root.join(name), bytes).unwrap();
        }
        let flat = scan(root, false);
        assert_eq!(names(root, flat.photos), ["1.heic", "a.png", "b.JPG", "no ending"]);
        assert_eq!((flat.folders_below, flat.system_entries), (1, 4));
        let reasons = flat.passed_over.iter().map(|one| one.reason.kind());
        assert_eq!(reasons.collect::<Vec<_>>(), ["other-file", "photo-library", "video"]);
        let deep = scan(root, true);
        assert_eq!(names(root, deep.photos)[4..], ["trip/c.webp", "trip/deep/d.jpg"]);
        assert_eq!((deep.folders_below, deep.system_entries), (0, 4));
        let cancelled = Scan::of(root, true, &mut || ControlFlow::Break(()));
        assert_eq!(cancelled.unwrap_err().kind(), ErrorKind::Cancelled);
    }

    #[cfg(unix)]
    #[test]
    fn links_and_pipes_are_said_and_not_followed() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::write(root.join("a.png"), b"").unwrap();
        symlink(root.join("a.png"), root.join("b.png")).unwrap();
        symlink(root, root.join("loop")).unwrap();
        symlink(root.join("gone.jpg"), root.join("c.jpg")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.join("s.jpg")).unwrap();
        let found = scan(root, true);
        assert_eq!(names(root, found.photos), ["a.png", "b.png"]);
        let reasons = found.passed_over.iter().map(|one| one.reason.kind());
        assert_eq!(
            reasons.collect::<Vec<_>>(),
            ["broken-link", "link-to-folder", "special-file"]
        );
    }
}
