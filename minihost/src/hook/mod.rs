//! Where the identity enters: a hook in every cross-attention layer of the UNet.
//!
//! A hook made for B pictures serves a pass of B rows, which all follow the identity, and a pass of 2·B rows for
//! guidance: the first half follows the identity, the second half sees what stands for "nobody".

mod adapter;
mod conditioning;

#[cfg(test)]
mod tests;

pub use adapter::AdapterHook;
pub use conditioning::ConditioningHook;

use candle_core::Tensor;
use omniid::{Error, Result};

/// Adds identities to a cross-attention layer's output.
pub trait IdentityHook {
    /// The layer's attention `output` `[batch, tokens, heads · head width]`, before its output projection, with the
    /// identity's attention added.
    ///
    /// `layer` is the place in [`UNet::host`](crate::UNet::host); `query` `[batch, tokens, heads · head width]` are the
    /// layer's queries, not scaled.
    ///
    /// # Errors
    /// [`Mismatch`](omniid::ErrorKind::Mismatch) when the batch is not the one that the hook was made for.
    fn apply(&self, layer: usize, query: &Tensor, output: Tensor) -> Result<Tensor>;
}

/// Whether a pass of `batch` rows is a guided one for `pictures` pictures.
fn is_guided(batch: usize, pictures: usize) -> Result<bool> {
    if batch == pictures {
        Ok(false)
    } else if batch == 2 * pictures {
        Ok(true)
    } else {
        Err(Error::mismatch(format!(
            "an identity hook for {pictures} pictures in a pass of {batch} rows; it takes {pictures}, or {} for guidance",
            2 * pictures
        )))
    }
}
