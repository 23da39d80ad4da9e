//! Tensors that were not written to their end: nothing but zeros, or holes of zeros.
//!
//! Programs that download reserve the whole size first. When they stop, the rest of the file is zeros, or pieces in the
//! middle are. Nothing else notices: names and shapes are complete.

use super::entry::Entry;
use super::filling::{Filling, FEW};
use crate::error::{Error, Result};
use crate::remedy;

/// Zero bytes in one piece, from the middle of one row to that of another, that no training leaves behind.
const HOLE: usize = 4096;

/// Zeros in a tensor that has other values too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hole {
    /// First byte of the zeros, counted from the begin of the tensor.
    start: usize,
    end: usize,
}

/// Whether training would leave neither this tensor nor a large piece of it at zero: a matrix, or weights of more
/// dimensions. Biases, gates, scales and norms have one; queries of a resampler have a leading 1.
pub(super) fn is_matrix(entry: &Entry) -> bool {
    let real = entry.shape.iter().filter(|&&side| side > 1).count();
    real >= 2 && super::element::is_float(entry.dtype())
}

/// Bytes of a row: everything below the first dimension that is not 1.
fn row_bytes(entry: &Entry) -> usize {
    let rest = entry.shape.iter().skip_while(|&&side| side == 1).skip(1);
    rest.product::<usize>() * entry.element.size()
}

/// What is wrong with a tensor that was read whole; `may_be_constant` for one that a new network does not draw at random.
///
/// # Errors
/// `Format` for weights that were never written or are no numbers; `quoted` names the tensor.
pub(super) fn check(quoted: &str, entry: &Entry, filling: &Filling, may_be_constant: bool) -> Result<()> {
    if filling.not_finite() {
        return Err(not_finite_error(quoted));
    }
    if let Some(hole) = find_hole(entry, filling)? {
        return Err(hole_error(quoted, entry, hole));
    }
    if may_be_constant || !is_matrix(entry) || entry.count() < FEW {
        return Ok(());
    }
    match filling.constant(entry.element) {
        Some(value) => Err(constant_error(quoted, entry, value)),
        None => Ok(()),
    }
}

/// The first hole of a tensor, if `filling` gives reason to search.
///
/// Rows of zeros are no hole: some networks are padded to a width, or have units that were cut away. A hole begins or
/// ends anywhere.
fn find_hole(entry: &Entry, filling: &Filling) -> Result<Option<Hole>> {
    if !filling.suspicious() || !is_matrix(entry) {
        return Ok(None);
    }
    let bytes = {
        let mut bytes = Vec::new();
        entry.raw_blocks(&mut |block| {
            bytes.extend_from_slice(block);
            Ok(())
        })?;
        bytes
    };
    let row = row_bytes(entry).max(1);
    let mut at = 0;
    while at < bytes.len() {
        let start = at + bytes[at..].iter().take_while(|&&byte| byte != 0).count();
        let end = start + bytes[start..].iter().take_while(|&&byte| byte == 0).count();
        // The last byte of a value may be zero too; that is no matter for pieces of this length.
        let size = entry.element.size();
        let (from, to) = (start.next_multiple_of(size), end / size * size);
        if to.saturating_sub(from) >= HOLE && (from % row != 0 || to % row != 0) {
            return Ok(Some(Hole { start: from, end: to }));
        }
        at = end.max(start + 1);
    }
    Ok(None)
}

/// The error for a hole in the tensor that `quoted` names.
fn hole_error(quoted: &str, entry: &Entry, hole: Hole) -> Error {
    let place = match entry.place() {
        Some(begin) => format!("bytes {} to {} of the file", begin + hole.start, begin + hole.end),
        None => format!("bytes {} to {} of the tensor", hole.start, hole.end),
    };
    Error::format(format!(
        "tensor {quoted} has a hole: {place} are all zero, its other values are not: the file was not downloaded or \
         copied to its end"
    ))
    .with_remedy(remedy::DAMAGED_WEIGHTS)
}

/// The error for weights that all have the same value.
fn constant_error(quoted: &str, entry: &Entry, value: f32) -> Error {
    let count = entry.count();
    let why = match value == 0.0 {
        true => "the file was not downloaded or copied to its end, or the model was never trained",
        false => "these are no trained weights",
    };
    Error::format(format!(
        "tensor {quoted}: all of its {count} weights are {value}: {why}"
    ))
    .with_remedy(remedy::DAMAGED_WEIGHTS)
}

/// The error for weights that are not numbers.
fn not_finite_error(quoted: &str) -> Error {
    Error::format(format!(
        "tensor {quoted} holds weights that are not finite: the file is damaged, or training or conversion went wrong"
    ))
    .with_remedy(remedy::DAMAGED_WEIGHTS)
}

/// Looks for holes in tensors that are not read yet, by samples: the begin, the end and places between of each matrix.
/// Gives the names of those that are zero as a whole, which is an error only when the zeros reach into a neighbour.
/// `quoted` turns names into those for messages.
pub(super) fn sample<'a>(
    tensors: impl Iterator<Item = (&'a str, &'a Entry)>,
    quoted: impl Fn(&str) -> String,
) -> Result<Vec<String>> {
    let mut matrices: Vec<(Option<usize>, &str, &Entry)> = tensors
        .filter(|(_, entry)| is_matrix(entry))
        .map(|(name, entry)| (entry.place(), name, entry))
        .collect();
    matrices.sort_by_key(|(place, _, _)| *place);
    let mut empty = Vec::with_capacity(matrices.len());
    for (_, name, entry) in &matrices {
        let filling = match probe(entry)? {
            true => fully(entry)?,
            false => {
                empty.push(false);
                continue;
            }
        };
        check(&quoted(name), entry, &filling, true)?;
        match filling.constant(entry.element) {
            Some(value) if value != 0.0 && entry.count() >= FEW => {
                return Err(constant_error(&quoted(name), entry, value))
            }
            value => empty.push(value == Some(0.0)),
        }
    }
    // Zeros that fill a tensor and go on in the next one, or begin in the one before, were not put there by training.
    for place in 0..matrices.len() {
        for (zero, other, from_end) in [(place, place + 1, false), (place + 1, place, true)] {
            let (Some(true), Some(false)) = (empty.get(zero), empty.get(other)) else {
                continue;
            };
            let (_, name, entry) = &matrices[other];
            if let Some(hole) = edge(entry, from_end)? {
                return Err(hole_error(&quoted(name), entry, hole));
            }
        }
    }
    let matrices = matrices.into_iter().zip(empty);
    Ok(matrices
        .filter(|(_, empty)| *empty)
        .map(|((_, name, _), _)| name.to_string())
        .collect())
}

/// Whether one of a few samples of a tensor is the same number throughout, or holds a value that is not finite.
fn probe(entry: &Entry) -> Result<bool> {
    const PLACES: usize = 5;
    const RUN: usize = 16;
    let count = entry.count();
    let last = count.saturating_sub(RUN);
    for place in 0..PLACES {
        let start = (last as u128 * place as u128 / (PLACES as u128 - 1)) as usize;
        let values = entry.run(start, RUN)?;
        if values.iter().all(|&value| value == values[0]) || values.iter().any(|value| !value.is_finite()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reads a tensor only to look at it.
fn fully(entry: &Entry) -> Result<Filling> {
    let mut filling = Filling::default();
    entry.raw_blocks(&mut |block| {
        filling.see(block, entry.element);
        Ok(())
    })?;
    Ok(filling)
}

/// Zeros at the begin or the end of a tensor that do not make whole rows.
fn edge(entry: &Entry, from_end: bool) -> Result<Option<Hole>> {
    let size = entry.element.size();
    let count = entry.count();
    let looked = count.min(1 << 16);
    let mut values = entry.run(if from_end { count - looked } else { 0 }, looked)?;
    if from_end {
        values.reverse();
    }
    let zeros = values.iter().take_while(|&&value| value == 0.0).count();
    if zeros < FEW || (zeros * size).is_multiple_of(row_bytes(entry).max(1)) {
        return Ok(None);
    }
    let (start, end) = match from_end {
        true => (count - zeros, count),
        false => (0, zeros),
    };
    Ok(Some(Hole {
        start: start * size,
        end: end * size,
    }))
}
