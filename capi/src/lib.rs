//! OmniID gives any diffusion runtime a person's identity: photos in, identity tokens out, injected as
//! cross-attention into the host's own layers.
//!
//! Error handling. Every function that can fail returns an omniid_status and writes results through its last
//! parameters. When the status is not OMNIID_STATUS_OK, omniid_last_error() gives the calling thread's message: what
//! failed, the value seen and what would be right. After a failure, results are untouched, except that places for
//! handles and owned tensors are set to NULL. No input, however wrong, makes the library abort, and no call unwinds.
//!
//! Thread safety. Engines, identities, conditionings and reports never change after they were made. A function that
//! takes a pointer to const may be called from any number of threads at once with the same handle. A handle may be
//! freed on any thread, once no other call uses it.
//!
//! Ownership. What a function hands out belongs to the caller and is freed with the function named after its type;
//! freeing NULL is fine. Handles made from another handle do not need it: an engine may be freed before its
//! identities. Texts reached through a handle live as long as that handle. Everything the caller passes is borrowed
//! for the duration of the call, callbacks and their user_data included; only the log callback is kept.
//!
//! Aliasing. Memory that a call writes must not overlap memory that the same call reads. It must not be used by
//! another thread during the call.
//!
//! Compatibility. Structs begin with struct_size. Initialise each with its OMNIID_..._INIT macro: programs built with
//! an older header keep working with a newer library, because fields that they do not have count as 0, and 0 always
//! means what older releases did. Programs built with a newer header work with an older library as long as they leave
//! the fields that it does not know at 0. In arrays of structs all elements have one struct_size. Numbers of enums
//! and statuses never change their meaning. Texts are NUL-terminated UTF-8; paths are in the system's own encoding on
//! Unix and UTF-8 on Windows.
//!
//! Unloading. Do not unload the library (dlclose, FreeLibrary): it keeps worker threads and thread-local data.
#![allow(non_camel_case_types)]

mod conditioning;
mod conditioning_contents;
#[cfg(feature = "cuda")]
mod cuda;
mod dlpack;
mod encode;
mod engine;
mod identity;
mod inject;
mod log;
mod photo;
mod pointer;
mod progress;
mod status;
mod structs;
mod tensor;
mod version;

pub use self::conditioning::*;
pub use self::conditioning_contents::*;
pub use self::dlpack::*;
pub use self::encode::*;
pub use self::engine::*;
pub use self::identity::*;
pub use self::inject::*;
pub use self::log::*;
pub use self::photo::*;
pub use self::progress::*;
pub use self::status::*;
pub use self::tensor::*;
pub use self::version::*;
