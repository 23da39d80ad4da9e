//! The worker pool under every kernel, and what its threads need.

mod environment;
#[cfg(feature = "gradients")]
mod memory;
mod pool;
mod scoped;
mod scratch;

pub use environment::threads_asked_for;
#[cfg(feature = "gradients")]
pub use memory::keep_freed_memory;
pub use pool::ThreadPool;
#[cfg(any(feature = "gradients", test))]
pub(crate) use scoped::scoped;
pub(crate) use scratch::{with_scratch, with_shared_scratch};

/// Start of an output that the tasks of a run write disjoint parts of.
pub(crate) struct Target<T>(pub(crate) *mut T);
// SAFETY: the tasks write disjoint parts.
unsafe impl<T> Sync for Target<T> {}
