//! What should be known about a photo although it was used.

use std::fmt;

/// A remark on a photo that was used. [`Display`](fmt::Display) gives the sentence that people read.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum PhotoNote {
    /// An aligned crop was asked for, and a face crop was made: only a box of the face was given.
    NoLandmarks,
    /// There are several faces, and one was taken by its size.
    SeveralFaces {
        /// Faces of useful size.
        found: usize,
        /// Rank in size of the one that was used; 0 is the largest.
        used: usize,
    },
}

impl fmt::Display for PhotoNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLandmarks => {
                f.write_str("aligned crop needs landmarks; only a box was given, so a face crop was made")
            }
            Self::SeveralFaces { found, used } => {
                write!(
                    f,
                    "{found} faces found, the one of rank {used} (0 is the largest) was used"
                )
            }
        }
    }
}
