//! Checks that the encoders share.

use crate::error::{Error, Result};
use candle_core::Tensor;

/// Features of a batch must be `[batch, tokens, width]`.
pub(super) fn check_features(features: &Tensor, width: usize, encoder: &str) -> Result<()> {
    match *features.dims() {
        [batch, tokens, last] if batch > 0 && tokens > 0 && last == width => Ok(()),
        _ => Err(Error::mismatch(format!(
            "the {encoder} encoder takes features of shape [photos, tokens, {width}], got {:?}",
            features.dims()
        ))),
    }
}

/// Sizes from files must be positive and far from overflow.
pub(super) fn check_sizes(encoder: &str, sizes: &[(&str, usize)]) -> Result<()> {
    const MOST: usize = 1 << 20;
    for (name, size) in sizes {
        if *size == 0 || *size > MOST {
            return Err(Error::format(format!(
                "{name} of the {encoder} encoder is {size}; it must be 1 to {MOST}"
            )));
        }
    }
    Ok(())
}
