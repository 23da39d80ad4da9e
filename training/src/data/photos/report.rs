//! What became of every photo.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Why a photo or a person was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropReason {
    /// The file cannot be read, is no picture, or is damaged.
    Unreadable,
    /// The detector found no face.
    NoFace,
    /// Several faces of similar size: it is not clear which one is meant.
    SeveralFaces,
    /// The face has too few pixels.
    TooSmall,
    /// The same file as another photo of the person.
    Duplicate,
    /// The same file lies in the folders of several people: it is not clear who it shows.
    TwoPeople,
    /// A file beside the folders of people.
    NoPerson,
    /// Too few usable photos of the person: its photos and the person are left out.
    TooFewPhotos,
    /// The person's folder holds no file.
    EmptyFolder,
}

impl DropReason {
    /// The reason in words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::NoFace => "no face",
            Self::SeveralFaces => "several faces",
            Self::TooSmall => "face too small",
            Self::Duplicate => "duplicate file",
            Self::TwoPeople => "same file at two people",
            Self::NoPerson => "file outside of a person's folder",
            Self::TooFewPhotos => "person with too few photos",
            Self::EmptyFolder => "empty folder",
        }
    }
}

/// A photo or a person that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Path below the root.
    pub path: String,
    /// The class of the reason.
    pub reason: DropReason,
    /// More about it, in words.
    pub detail: String,
}

/// What [`load_photos`](super::load_photos) kept and what it left out. The order is that of the paths.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PhotoReport {
    /// Folders of people.
    pub people_found: usize,
    /// People with enough usable photos.
    pub people_kept: usize,
    /// Files, pictures or not.
    pub files_found: usize,
    /// Photos in the set.
    pub photos_kept: usize,
    /// What was left out.
    pub dropped: Vec<Dropped>,
    /// True when the pictures come from the cache.
    #[serde(skip)]
    pub cached: bool,
}

impl PhotoReport {
    /// How often each reason occurs.
    pub fn counts(&self) -> BTreeMap<DropReason, usize> {
        let mut counts = BTreeMap::new();
        for dropped in &self.dropped {
            *counts.entry(dropped.reason).or_default() += 1;
        }
        counts
    }
}

/// A summary of two lines or so; [`PhotoReport::dropped`] has every file.
impl fmt::Display for PhotoReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} people and {} of {} files kept",
            self.people_kept, self.people_found, self.photos_kept, self.files_found
        )?;
        for (index, (reason, count)) in self.counts().into_iter().enumerate() {
            let mark = if index == 0 { "; left out: " } else { ", " };
            write!(f, "{mark}{count} × {}", reason.text())?;
        }
        Ok(())
    }
}
