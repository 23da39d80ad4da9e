//! TIFF: strips or tiles that the directory places.

use super::{judge, Mended};
use crate::error::Result;
use crate::photo::recognise::tiff_layout;

pub(super) fn mend(bytes: &[u8]) -> Result<Option<Mended>> {
    let Some(layout) = tiff_layout(bytes) else {
        return Ok(None);
    };
    let file = bytes.len() as u64;
    let (mut whole, mut total, mut missing) = (0, 0, 0);
    for &(start, length) in &layout.parts {
        // A file that lacks little of its end is not half of what it was: a place far behind it is a damaged one, and
        // nothing is allocated for it.
        let Some(end) = start.checked_add(length).filter(|&end| end <= 2 * file) else {
            return Ok(None);
        };
        whole = whole.max(end);
        total += length;
        missing += end.saturating_sub(file.max(start));
    }
    if missing == 0 || total == 0 {
        return Ok(None);
    }
    let note = judge("TIFF", missing as f64 / total as f64, layout.rows)?;
    // What is missing of a compressed part cannot be filled up.
    if layout.compressed {
        return Ok(None);
    }
    let mut bytes = bytes.to_vec();
    bytes.resize(whole as usize, 128);
    Ok(Some(Mended {
        bytes,
        note: Some(note),
    }))
}
