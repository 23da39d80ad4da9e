//! The C ABI as C sees it: the header in every language version, the exported names, programs in C.

#[path = "c_abi/abi_dump.rs"]
mod abi_dump;
#[path = "c_abi/combinations.rs"]
mod combinations;
#[path = "c_abi/compilers.rs"]
mod compilers;
#[path = "c_abi/exports.rs"]
mod exports;
#[path = "c_abi/graph.rs"]
mod graph;
#[path = "c_abi/hostile.rs"]
mod hostile;
#[path = "c_abi/null.rs"]
mod null;
#[path = "c_abi/programs.rs"]
mod programs;
#[path = "c_abi/residual.rs"]
mod residual;
#[path = "c_abi/structs.rs"]
mod structs;
#[path = "c_abi/support.rs"]
mod support;
#[path = "../../examples/untrained_adapters.rs"]
#[allow(dead_code)]
mod untrained_adapters;
#[path = "../../examples/untrained_model.rs"]
#[allow(dead_code, clippy::duplicate_mod)]
mod untrained_model;
