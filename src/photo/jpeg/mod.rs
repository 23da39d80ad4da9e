//! What the decoder of JPEG does not tell: whether all of the picture is there.
//!
//! Decoders fill what is missing with grey and call it a success. Here the data itself is looked through: every block
//! must be there, and the data must end with the last one. The end-of-image marker decides nothing.

mod bits;
mod frame;
mod scan;
mod walk;

use super::PhotoNote;
use crate::error::{Error, Result};

/// Share of a picture that may be missing at its end: the last rows, where faces seldom are.
const MAX_MISSING: f64 = 0.02;

/// What the data of a JPEG that can be used says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Completeness {
    /// The file has no end-of-image marker, which the decoder wants.
    pub lacks_end: bool,
    /// What should be known.
    pub note: Option<PhotoNote>,
}

/// Looks through the data of a JPEG. A coding that is not known here is left to the decoder to judge.
///
/// # Errors
/// [`Format`](crate::ErrorKind::Format) when the data ends early or breaks, with how much is missing.
pub(super) fn completeness(bytes: &[u8]) -> Result<Completeness> {
    let Some((walk, ..)) = walk::walk(bytes, |_| scan::Nothing) else {
        return Ok(Completeness::default());
    };
    judge(&walk)
}

fn judge(walk: &walk::Walk) -> Result<Completeness> {
    let missing = walk.missing as f32;
    let note = if walk.breaks || (walk.missing > MAX_MISSING && !walk.covered) {
        return Err(damaged(walk));
    } else if walk.missing > 0.0 && !walk.covered {
        Some(PhotoNote::Incomplete { missing })
    } else if walk.missing > 0.0 && (walk.short || !walk.ended) {
        Some(PhotoNote::LessDetail { missing })
    } else if walk.left_over > 0 {
        Some(PhotoNote::LeftOver { bytes: walk.left_over })
    } else {
        None
    };
    Ok(Completeness {
        lacks_end: !walk.ended,
        note,
    })
}

fn damaged(walk: &walk::Walk) -> Error {
    let again = "copy or download it again";
    let percent = (100.0 * walk.missing).round();
    let what = match (walk.breaks, percent >= 1.0) {
        (false, _) => format!("about {percent} % of the picture is missing"),
        (true, true) => format!("its data breaks, and about {percent} % of the picture is missing or wrong"),
        (true, false) => "its data breaks, and part of the picture is wrong".to_owned(),
    };
    Error::format(format!("JPEG is damaged: {what}; {again}"))
}
