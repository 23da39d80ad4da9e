//! The GPU side: tensors and streams of a host, and the kernels that work on them directly.
//!
//! Models run through candle on a stream of their own. A host has its own streams and its own memory; this module
//! is everything in between:
//!
//! - [`HostStream`]: the host's stream in DLPack's numbering;
//! - `open`: a candle device whose work goes to one non-blocking stream;
//! - `Lease`: fences, by events, between that stream and the host's. No call waits for the whole device;
//! - `inject`: the identity's attention, added to the host's output in place, on the host's own stream;
//! - `import`, `copy_into` and `Export`: tensors in and out.
//!
//! candle never gets to own memory of the host. It would free it: `CudaSlice` has no borrowed form.
//!
//! Without the feature `cuda` only [`HostStream`] exists. How launches are divided is compiled into every test build,
//! so that its tests run without a CUDA toolkit.

#[cfg(feature = "cuda")]
mod compile;
#[cfg(feature = "cuda")]
mod device;
#[cfg(feature = "cuda")]
mod inject;
#[cfg(any(feature = "cuda", test))]
mod launch;
#[cfg(feature = "cuda")]
mod lease;
#[cfg(feature = "cuda")]
mod state;
mod stream;
#[cfg(feature = "cuda")]
mod transfer;

pub use stream::HostStream;

#[cfg(feature = "cuda")]
pub use device::{device_count, open, CurrentContext};
#[cfg(feature = "cuda")]
pub(crate) use inject::{inject, AttentionRow, QueryWeights};
#[cfg(feature = "cuda")]
pub(crate) use lease::Lease;
#[cfg(feature = "cuda")]
pub(crate) use state::DeviceState;
#[cfg(feature = "cuda")]
pub use transfer::{copy_into, import, Export};
