//! BMP: rows of a fixed length, filled up to four bytes.

use super::{judge, little, Mended};
use crate::error::Result;

pub(super) fn mend(bytes: &[u8]) -> Result<Option<Mended>> {
    let Some((start, stride, rows, padding)) = layout(bytes) else {
        return Ok(None);
    };
    let Some(whole) = stride.checked_mul(rows).and_then(|pixels| pixels.checked_add(start)) else {
        return Ok(None);
    };
    if bytes.len() >= whole || bytes.len() < start {
        return Ok(None);
    }
    let missing = whole - bytes.len();
    let note = if missing <= padding {
        None
    } else {
        Some(judge("BMP", missing as f64 / (stride * rows) as f64, rows as u32)?)
    };
    let mut bytes = bytes.to_vec();
    bytes.resize(whole, 0);
    Ok(Some(Mended { bytes, note }))
}

/// Where the rows begin, bytes of a row, rows, and how many bytes fill up a row. `None` for compressed pictures.
fn layout(bytes: &[u8]) -> Option<(usize, usize, usize, usize)> {
    let start = little(bytes, 10)? as usize;
    let header = little(bytes, 14)?;
    if header < 40 {
        return None;
    }
    let width = little(bytes, 18)? as usize;
    let rows = little(bytes, 22)?.cast_signed().unsigned_abs() as usize;
    let bits = usize::from(u16::from_le_bytes(*bytes.get(28..)?.first_chunk()?));
    // Plain, with masks, with masks and alpha.
    if !matches!(little(bytes, 30)?, 0 | 3 | 6) || rows == 0 || width == 0 {
        return None;
    }
    let row = width.checked_mul(bits)?.div_ceil(8);
    let stride = row.next_multiple_of(4);
    Some((start, stride, rows, stride - row))
}
