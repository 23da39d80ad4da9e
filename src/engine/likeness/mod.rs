//! Whether the photos of a set show one person, and which face of a group photo is that person's.
//!
//! Each photo gives a vector, as [`Engine::comparison_vector`](super::Engine::comparison_vector) does for an identity of
//! that photo alone. [`strangers`] compares the vectors of a set, [`faces`] chooses among those of a group photo,
//! [`calibration`] says from which similarity on, and [`judge`] makes them.

mod calibration;
mod faces;
mod judge;
mod strangers;
#[cfg(test)]
mod tests;

pub(super) use calibration::Calibration;
pub(super) use judge::{Judge, PhotoFaces};

use crate::face::PhotoReport;
use crate::photo::PhotoNote;

/// What the comparison says about one photo.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Verdict {
    similarity: f32,
    fits: bool,
    undecided: bool,
    threshold: f32,
    source: &'static str,
}

/// Compares photos with each other and with those of an identity, `known`. `None` for photos without a vector, and
/// where there is nothing to compare.
pub(super) fn verdicts(
    known: &[Vec<f32>],
    photos: &[Option<&[f32]>],
    calibration: &Calibration,
) -> Vec<Option<Verdict>> {
    let of_photos = photos.iter().flatten().copied();
    let all: Vec<&[f32]> = known.iter().map(Vec::as_slice).chain(of_photos).collect();
    let Some(compared) = strangers::compare(known.len(), &all, calibration) else {
        return vec![None; photos.len()];
    };
    let mut at = known.len();
    let mut next = || {
        at += 1;
        Verdict {
            similarity: compared.similarity[at - 1],
            fits: compared.fits[at - 1],
            undecided: compared.undecided,
            threshold: compared.threshold,
            source: calibration.source,
        }
    };
    photos.iter().map(|photo| photo.map(|_| next())).collect()
}

impl Verdict {
    /// Whether the photo is of somebody else for all that can be told.
    pub(super) fn is_stranger(&self) -> bool {
        !self.fits && !self.undecided
    }

    /// Writes the verdict into the report on the photo, whose face was chosen by likeness if there was a `choice`.
    pub(super) fn tell(&self, report: &mut PhotoReport, choice: bool) {
        report.similarity = Some(self.similarity);
        let (similarity, threshold) = (self.similarity, self.threshold);
        let source = self.source.to_string();
        if self.undecided {
            report.notes.push(PhotoNote::Undecided {
                similarity,
                threshold,
                source,
            });
        } else if !self.fits {
            report.notes.push(PhotoNote::Stranger {
                similarity,
                threshold,
                source,
            });
        } else if choice {
            for note in &mut report.notes {
                if let PhotoNote::SeveralFaces { found, used } = *note {
                    *note = PhotoNote::FittingFace {
                        found,
                        used,
                        similarity,
                    };
                }
            }
        }
    }
}
