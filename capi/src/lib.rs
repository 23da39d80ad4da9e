//! OmniID gives any diffusion runtime a person's identity: photos in, identity tokens out, injected as
//! cross-attention into the host's own layers.
//!
//! Errors. Every function that can fail returns an omniid_status and writes its results through its last parameters.
//! When the status is not OMNIID_STATUS_OK, omniid_last_error() gives the calling thread's message: what failed, the
//! value seen and what was expected. A failed call leaves its results untouched, except that places for handles and
//! owned tensors are set to NULL. No input makes the library abort, and no call unwinds. When the system has no more
//! memory, the process is aborted with the message "memory allocation of N bytes failed", and files keep what they hold.
//!
//! Threads. Engines, identities, conditionings and reports are immutable. A function that takes a pointer to const may
//! be called with the same handle from any number of threads at once. A handle may be freed on any thread, once no
//! other call uses it.
//!
//! Ownership. What a function hands out belongs to the caller, who frees it with the function named after its type;
//! freeing NULL does nothing. A handle does not depend on the handle that it was made from: an engine may be freed
//! before its identities. Strings reached through a handle live as long as the handle. What the caller passes is
//! borrowed for the duration of the call, callbacks and their user_data included; only the log callback is kept.
//!
//! Aliasing. Memory that a call writes must not overlap memory that the call reads, and no other thread may use it
//! during the call.
//!
//! Structs. Start every struct with its OMNIID_..._INIT macro; no other start is supported. The macro sets struct_size
//! and the default of every field. Most defaults are 0 or NULL. The others are omniid_engine_options.abi_version,
//! omniid_encode_options.crop_margin, omniid_conditioning_input.scale, omniid_inject_call.scale,
//! omniid_inject_call.stream, omniid_residual_call.scale, omniid_residual_call.stream and omniid_graph_call.scale: there
//! 0 has a meaning of its own or is refused, as the field's comment says.
//!
//! Compatibility. A program built with an older header works with a newer library of the same ABI major version:
//! fields that its structs lack count as 0, which is the default of every field that is added later. A program built
//! with a newer header works with an older library as long as it leaves the fields that the library does not know at
//! 0. All elements of an array of structs have the same struct_size. The numbers of statuses and enums never change.
//!
//! Strings are NUL-terminated UTF-8. Paths are in the system's own encoding on Unix and UTF-8 on Windows.
//!
//! Unloading. Do not unload the library (dlclose, FreeLibrary): it keeps worker threads and thread-local data.
#![allow(non_camel_case_types)]

mod conditioning;
mod conditioning_contents;
mod dlpack;
mod embedding_form;
mod encode;
mod engine;
mod face_embedding;
mod graph;
mod graph_fill;
mod host;
mod identity;
mod inject;
mod log;
mod photo;
mod pointer;
mod progress;
mod remedy;
mod residual;
mod status;
mod structs;
mod tensor;
mod version;

pub use self::conditioning::*;
pub use self::conditioning_contents::*;
pub use self::dlpack::*;
pub use self::embedding_form::*;
pub use self::encode::*;
pub use self::engine::*;
pub use self::face_embedding::*;
pub use self::graph::*;
pub use self::graph_fill::*;
pub use self::host::*;
pub use self::identity::*;
pub use self::inject::*;
pub use self::log::*;
pub use self::photo::*;
pub use self::progress::*;
pub use self::residual::*;
pub use self::status::*;
pub use self::tensor::*;
pub use self::version::*;
