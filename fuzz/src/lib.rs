//! What the fuzz targets do with their bytes. libFuzzer drives these functions through the programs in `fuzz_targets/`;
//! `tests/replay.rs` feeds them the checked-in corpus.
//!
//! Every function takes any bytes. It may refuse them in whatever way the library has; it panics when the library breaks
//! a promise, and that is a finding.

pub mod capi_calls;
pub mod capi_structs;
pub mod checkpoint;
pub mod configs;
pub mod draft;
pub mod face_embeddings;
pub mod gguf;
pub mod graph_manifest;
pub mod icc;
pub mod identity;
pub mod identity_inject;
pub mod image;
pub mod jpeg;
pub mod lora;
pub mod masks;
pub mod mend;
pub mod model;
pub mod onnx;
pub mod pickle;
pub mod picture_headers;
pub mod structured;
pub mod training_config;

/// A target: its name, which is that of its program, its dictionary's and its corpus', and what it does with its bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 20] = [
    ("capi_calls", capi_calls::run),
    ("capi_structs", capi_structs::run),
    ("configs", configs::run),
    ("face_embeddings", face_embeddings::run),
    ("gguf", gguf::run),
    ("graph_manifest", graph_manifest::run),
    ("icc", icc::run),
    ("identity", identity::run),
    ("identity_inject", identity_inject::run),
    ("image", image::run),
    ("jpeg", jpeg::run),
    ("lora", lora::run),
    ("masks", masks::run),
    ("mend", mend::run),
    ("onnx", onnx::run),
    ("pickle", pickle::run),
    ("picture_headers", picture_headers::run),
    ("safetensors", checkpoint::run),
    ("structured", structured::run),
    ("training_config", training_config::run),
];

/// What a program does before its first input: one thread computes, so that executions are alike and none waits for
/// another.
pub fn set_up() {
    if std::env::var_os("OMNIID_THREADS").is_none() {
        std::env::set_var("OMNIID_THREADS", "1");
    }
}
