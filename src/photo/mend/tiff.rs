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
        let Some(end) = start.checked_add(length) else {
            return Ok(None);
        };
        whole = whole.max(end);
        total = length.saturating_add(total);
        missing = end.saturating_sub(file.max(start)).saturating_add(missing);
    }
    if missing == 0 || total == 0 {
        return Ok(None);
    }
    let note = judge("TIFF", missing as f64 / total as f64, layout.rows)?;
    // What is missing of a compressed part cannot be filled up. A file that lacks little of its end is more than half of
    // what it was: a part far behind it has a damaged place, and nothing is allocated for it.
    if layout.compressed || whole > 2 * file {
        return Ok(None);
    }
    let mut bytes = bytes.to_vec();
    bytes.resize(whole as usize, 128);
    Ok(Some(Mended {
        bytes,
        note: Some(note),
    }))
}
