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
    /// PuLID's crop keeps the background: there is neither a face parsing network nor a face mask to replace it.
    NoParsing,
    /// The photo lies on its side or its head, and was turned.
    Turned {
        /// By how many degrees clockwise: 90, 180 or 270.
        rotation: u32,
    },
    /// What was taken for a face may be none, or lie another way.
    DoubtfulFace {
        /// The detector's confidence, 0 to 1.
        score: f32,
    },
    /// The file ends before the picture does: its last rows are missing and are grey.
    Incomplete {
        /// Share of the picture that is missing, 0 to 1.
        missing: f32,
    },
    /// A progressive JPEG ends early: the whole picture is there, its finest detail is not.
    LessDetail {
        /// Share of the detail that is missing, 0 to 1.
        missing: f32,
    },
    /// The photo has a colour profile that cannot be used: its colours are taken as sRGB.
    ProfileIgnored {
        /// What is wrong with the profile.
        reason: String,
    },
    /// Data is left over when the picture is complete: part of it may be damaged.
    LeftOver {
        /// How many bytes.
        bytes: usize,
    },
    /// There are several faces, and the one was taken that looks like the other photos of the set.
    FittingFace {
        /// Faces of useful size.
        found: usize,
        /// Rank in size of the one that was used; 0 is the largest.
        used: usize,
        /// How alike it is to the other photos, −1 to 1.
        similarity: f32,
    },
    /// The photo looks like somebody else than the other photos of the set.
    Stranger {
        /// How alike it is to the others, −1 to 1.
        similarity: f32,
        /// The similarity from which on it would count as the same person.
        threshold: f32,
        /// How often the threshold errs, and on which data.
        source: String,
    },
    /// The photos of the set show more than one person, and none of them is in more than half of the photos.
    Undecided {
        /// How alike it is to the others, −1 to 1.
        similarity: f32,
        /// The similarity from which on it would count as the same person.
        threshold: f32,
        /// How often the threshold errs, and on which data.
        source: String,
    },
}

/// A share in percent, for messages; never 0 for something.
fn percent(share: f32) -> f32 {
    (100.0 * share).round().max(1.0)
}

impl fmt::Display for PhotoNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLandmarks => {
                f.write_str("aligned crop needs landmarks; only a box was given, so a face crop was made")
            }
            Self::NoParsing => {
                f.write_str("no face parsing network and no face mask: the background was kept, not replaced by white")
            }
            Self::Turned { rotation } => write!(f, "turned by {rotation} degrees clockwise to be upright"),
            Self::DoubtfulFace { score } => write!(f, "may be no upright face (score {score:.2})"),
            Self::Incomplete { missing } => {
                write!(f, "damaged: about {} % of the picture is missing", percent(*missing))
            }
            Self::LessDetail { missing } => {
                write!(
                    f,
                    "damaged: about {} % of the picture's detail is missing",
                    percent(*missing)
                )
            }
            Self::ProfileIgnored { reason } => {
                write!(f, "the colour profile cannot be used and is ignored ({reason})")
            }
            Self::LeftOver { bytes } => write!(
                f,
                "{bytes} bytes of the picture's data are left over: part of it may be damaged"
            ),
            Self::SeveralFaces { found, used } => {
                write!(
                    f,
                    "{found} faces found, the one of rank {used} (0 is the largest) was used"
                )
            }
            Self::FittingFace {
                found,
                used,
                similarity,
            } => write!(
                f,
                "{found} faces found, the one of rank {used} (0 is the largest) was used: it looks like the other \
                 photos (similarity {similarity:.2})"
            ),
            Self::Stranger {
                similarity,
                threshold,
                source,
            } => write!(
                f,
                "looks like somebody else (similarity {similarity:.2} to the others, the threshold is {threshold:.2}, \
                 {source})"
            ),
            Self::Undecided {
                similarity,
                threshold,
                source,
            } => write!(
                f,
                "looks like somebody else than the others, or they do: it cannot be told who is meant (similarity \
                 {similarity:.2} to the others, the threshold is {threshold:.2}, {source})"
            ),
        }
    }
}
