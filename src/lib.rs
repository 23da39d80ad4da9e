//! OmniID gives any diffusion runtime a person's identity.
#![warn(missing_docs)]
#![deny(unsafe_op_in_unsafe_fn)]

pub mod adapter;
pub mod capi;
pub mod checkpoint;
pub mod conditioning;
pub mod convert;
#[cfg(any(feature = "cuda", test))]
pub mod cuda;
pub mod encoder;
pub mod engine;
pub mod error;
pub mod face;
pub mod host;
pub mod identity;
pub mod inject;
pub mod kernel;
pub mod limits;
pub mod nn;
pub mod photo;
pub mod progress;
pub mod vit;

pub use error::{Error, ErrorKind, Result};
pub use limits::Limits;
pub use photo::Photo;
