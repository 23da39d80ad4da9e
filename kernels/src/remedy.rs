//! What the reader of the kernels' messages can do; see [`Remedy`].

use crate::error::Remedy;

/// A tensor of a device where the call works on the CPU.
pub(crate) const COPY_TO_CPU: Remedy = Remedy::new("copy-to-cpu", "copy it there first");
