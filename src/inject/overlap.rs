//! Query and output must not share memory.

use crate::error::{Error, Result};
use std::ops::Range;

/// Checks that a query and an output do not overlap, for callers that make their views from raw addresses: byte
/// ranges from the first to behind the last element. Views of slices cannot overlap and need no check.
///
/// # Errors
/// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) when they share a byte, or could: ranges that interlock
/// without a common element are refused too. The output cannot be the query either, because the query would be
/// overwritten while later identities still need it.
pub fn check_disjoint(query: Range<usize>, output: Range<usize>) -> Result<()> {
    if query.start < output.end && output.start < query.end {
        return Err(Error::invalid(
            "query and output share memory; the output must be a tensor of its own, usually the layer's text attention",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_disjoint_and_overlaps_are_not() {
        assert!(check_disjoint(0..16, 16..32).is_ok() && check_disjoint(16..32, 0..16).is_ok());
        assert!(check_disjoint(0..16, 0..16).is_err() && check_disjoint(0..17, 16..32).is_err());
        assert!(check_disjoint(16..32, 0..17).is_err() && check_disjoint(0..64, 16..32).is_err());
    }
}
