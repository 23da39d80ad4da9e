//! OmniID gives any diffusion runtime a person's identity: photos in, identity tokens out, injected into the host's
//! attention layers.
//!
//! [`engine::Engine`] is the whole way: it opens a checkpoint, encodes [`photo::Photo`]s to an [`identity::Identity`]
//! and conditions identities for a host. A [`conditioning::Conditioning`] then adds the identity's attention to the
//! host's layers in place, or hands out each layer's keys and values. The other modules are the parts, each usable on
//! its own. The package `omniid-capi` is the same in C. Modules that the documentation does not show are for OmniID's
//! own crates and may change at any time.
//!
//! Errors are values of [`Error`]; no input makes the library panic. Everything that is opened or made is immutable
//! and may be used from any number of threads at once.
#![warn(missing_docs, missing_debug_implementations)]
#![deny(unsafe_op_in_unsafe_fn)]

#[doc(hidden)]
pub mod adapter;
mod bicubic;
pub mod checkpoint;
pub mod conditioning;
pub mod convert;
mod convolution;
#[doc(hidden)]
pub mod cuda;
mod default_model;
#[doc(hidden)]
pub mod encoder;
pub mod engine;
pub mod face;
mod face_embedding;
pub mod graph;
pub mod host;
pub mod identity;
pub mod inject;
mod limits;
pub mod lora;
mod onnx;
pub mod photo;
mod precision;
mod progress;
pub mod recogniser;
#[doc(hidden)]
pub mod remedy;
mod setters;
mod tensor_file;
#[doc(hidden)]
pub mod vit;

pub use default_model::default_model;
pub use limits::Limits;
pub use omniid_kernels::{Error, ErrorKind, Remedy, Result};
pub use photo::Photo;
pub use precision::Precision;
pub use progress::{Progress, ProgressFn, Stage};

// Their types are in the signatures of this crate.
pub use {candle_core, candle_nn, image};

use omniid_kernels::error;

/// Everything that is opened or made may be used and sent between threads.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<engine::Engine>();
    shared::<engine::EngineOptions>();
    shared::<engine::EncodeOptions>();
    shared::<engine::Encoded>();
    shared::<engine::AttentionMaps>();
    shared::<checkpoint::Checkpoint>();
    shared::<checkpoint::UsageTracker>();
    shared::<conditioning::Conditioning>();
    shared::<conditioning::ConditioningOptions>();
    shared::<face::FaceDetector>();
    shared::<graph::Graph>();
    shared::<host::HostSpec>();
    shared::<identity::Identity>();
    shared::<photo::Photo<'_>>();
    shared::<recogniser::FaceEmbedding>();
    shared::<recogniser::FaceRecogniser>();
    shared::<Error>();
};

/// Compiles the Rust example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
