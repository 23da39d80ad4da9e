//! Any bytes as the content and the size of the C ABI's structs; pointers in them are NULL or valid.
#![no_main]

#[path = "../../capi/tests/c_abi/structs.rs"]
mod structs;
#[path = "../../examples/untrained_model.rs"]
#[allow(dead_code)]
mod untrained_model;

use libfuzzer_sys::fuzz_target;

thread_local! {
    static SESSION: structs::Session = {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("model.safetensors");
        untrained_model::write(&path).expect("a model");
        // The model is opened again and again: its folder must outlive this block.
        let _ = folder.keep();
        structs::Session::new(&path)
    };
}

fuzz_target!(|bytes: &[u8]| {
    SESSION.with(|session| {
        session.call(bytes);
    });
});
