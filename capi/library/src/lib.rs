//! libomniid: exports every function of [`omniid_capi`] and nothing else.
pub use omniid_capi::*;
