//! Any bytes as the content and the size of the C ABI's structs; pointers in them are NULL or valid.

#[path = "../../capi/tests/c_abi/structs.rs"]
mod structs;

use crate::model;
use std::cell::OnceCell;

thread_local! {
    static SESSION: OnceCell<structs::Session> = const { OnceCell::new() };
}

fn session() -> structs::Session {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("model.safetensors");
    std::fs::write(&path, model::checkpoint()).expect("a model");
    // The model is opened again and again: its folder must outlive this block.
    let _ = folder.keep();
    structs::Session::new(&path)
}

pub fn run(bytes: &[u8]) {
    SESSION.with(|opened| opened.get_or_init(session).call(bytes));
}
