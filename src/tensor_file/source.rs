//! Where the content of a file comes from.

use bytes::Bytes;
use std::path::{Path, PathBuf};

/// Where the content of a file comes from: a path, or memory.
///
/// Everything that names a file or holds its bytes converts into it: paths and text, `Vec<u8>`, and slices that live
/// as long as the program. Cheap to clone; the bytes are shared, never copied.
#[derive(Debug, Clone)]
pub struct Source(pub(crate) Content);

#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// A file, or a folder with one. Weights are read when they are needed.
    Path(PathBuf),
    /// The whole content of a file.
    Bytes(Bytes),
}

impl Source {
    /// The file, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match &self.0 {
            Content::Path(path) => Some(path),
            Content::Bytes(_) => None,
        }
    }
}

impl From<PathBuf> for Source {
    fn from(path: PathBuf) -> Self {
        Self(Content::Path(path))
    }
}

impl From<&Path> for Source {
    fn from(path: &Path) -> Self {
        path.to_path_buf().into()
    }
}

impl From<&PathBuf> for Source {
    fn from(path: &PathBuf) -> Self {
        path.clone().into()
    }
}

impl From<String> for Source {
    fn from(path: String) -> Self {
        PathBuf::from(path).into()
    }
}

impl From<&str> for Source {
    fn from(path: &str) -> Self {
        PathBuf::from(path).into()
    }
}

impl From<Vec<u8>> for Source {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Content::Bytes(bytes.into()))
    }
}

impl From<&'static [u8]> for Source {
    fn from(bytes: &'static [u8]) -> Self {
        Self(Content::Bytes(Bytes::from_static(bytes)))
    }
}

impl From<&Source> for Source {
    fn from(source: &Source) -> Self {
        source.clone()
    }
}
