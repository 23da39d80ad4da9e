//! The header compiles alone, in every version of C and C++, with every warning an error.

use crate::support::{has, read, root, run};
use std::path::Path;
use std::process::Command;

/// Ways in which a program may include the header.
const INCLUDES: [&str; 4] = [
    "#include <omniid.h>\n",
    "#include <omniid.h>\n#include <omniid.h>\n",
    "#include <dlpack.h>\n#include <omniid.h>\n",
    "#include <omniid.h>\n#include <dlpack.h>\n",
];

/// Every struct of the header, initialised, and the tensor types in both spellings.
fn program(include: &str) -> String {
    let header = read(root().join("include/omniid.h"));
    let mut text = format!("{include}int main(void) {{\n");
    for line in header.lines().filter_map(|line| line.strip_prefix("#define OMNIID_")) {
        if let Some((name, _)) = line.split_once("_INIT {") {
            let name = name.to_lowercase();
            let check = format!("if (v_{name}.struct_size != sizeof v_{name}) return 1;");
            text.push_str(&format!(
                "  omniid_{name} v_{name} = OMNIID_{}_INIT; {check}\n",
                name.to_uppercase()
            ));
        }
    }
    text.push_str("  omniid_tensor tensor;\n  omniid_managed_tensor *managed = NULL;\n");
    if include.contains("dlpack") {
        text.push_str("  DLTensor *other = (DLTensor *)&tensor;\n");
        text.push_str("  if (sizeof(DLManagedTensorVersioned) != sizeof *managed) return 1;\n");
        text.push_str("  other->ndim = 3;\n");
    } else {
        text.push_str("  tensor.ndim = 3;\n  tensor.device.device_type = OMNIID_DEVICE_TYPE_CPU;\n");
    }
    // Where dlpack.h came first they are one type, and no cast is needed.
    if include.starts_with("#include <dlpack.h>") {
        text.push_str("  const DLTensor *same = &tensor; if (same != other) return 1;\n");
    }
    text + "  return managed != NULL || tensor.ndim != 3 || omniid_abi_version() != OMNIID_ABI_VERSION;\n}\n"
}

fn compile(compiler: &str, standard: &str, extension: &str, extra: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    for (index, include) in INCLUDES.iter().enumerate() {
        let source = folder.path().join(format!("include{index}.{extension}"));
        std::fs::write(&source, program(include)).unwrap();
        let mut command = Command::new(compiler);
        command.args([
            &format!("-std={standard}"),
            "-Wall",
            "-Wextra",
            "-Wpedantic",
            "-Werror",
            "-fsyntax-only",
        ]);
        command
            .args(extra)
            .arg("-I")
            .arg(root().join("include"))
            .arg("-I")
            .arg(root().join("tests/c/dlpack"));
        run(command.arg(Path::new(&source)));
    }
}

#[test]
fn gcc_c() {
    if has("gcc") {
        ["c99", "c11", "c17", "c2x"]
            .iter()
            .for_each(|standard| compile("gcc", standard, "c", &[]));
    }
}

#[test]
fn gcc_cpp() {
    if has("g++") {
        for standard in ["c++11", "c++14", "c++17", "c++20", "c++2b"] {
            compile("g++", standard, "cpp", &[]);
        }
    }
}

#[test]
fn clang_c() {
    if has("clang") {
        ["c99", "c11", "c17", "c2x"]
            .iter()
            .for_each(|standard| compile("clang", standard, "c", &[]));
    }
}

#[test]
fn clang_cpp() {
    if has("clang++") {
        for standard in ["c++11", "c++14", "c++17", "c++20", "c++2b"] {
            compile("clang++", standard, "cpp", &[]);
        }
    }
}

/// Padding between fields would be memory that callers do not initialise.
#[test]
fn structs_have_no_padding() {
    if has("gcc") && cfg!(target_pointer_width = "64") {
        compile("gcc", "c11", "c", &["-Wpadded"]);
    }
}

/// Rust and C agree on the size of every struct.
#[test]
fn sizes_agree() {
    use omniid_capi::*;
    let sizes = [
        ("omniid_host_layer", size_of::<omniid_host_layer>()),
        ("omniid_engine_options", size_of::<omniid_engine_options>()),
        ("omniid_engine_info", size_of::<omniid_engine_info>()),
        ("omniid_photo", size_of::<omniid_photo>()),
        ("omniid_detect_options", size_of::<omniid_detect_options>()),
        ("omniid_face", size_of::<omniid_face>()),
        ("omniid_identity_info", size_of::<omniid_identity_info>()),
        ("omniid_encode_options", size_of::<omniid_encode_options>()),
        ("omniid_photo_report", size_of::<omniid_photo_report>()),
        ("omniid_conditioning_input", size_of::<omniid_conditioning_input>()),
        ("omniid_conditioning_options", size_of::<omniid_conditioning_options>()),
        ("omniid_inject_call", size_of::<omniid_inject_call>()),
        ("omniid_residual_call", size_of::<omniid_residual_call>()),
        ("omniid_embedding", size_of::<omniid_embedding>()),
        ("omniid_likeness", size_of::<omniid_likeness>()),
        ("omniid_graph_info", size_of::<omniid_graph_info>()),
        ("omniid_graph_layer", size_of::<omniid_graph_layer>()),
        ("omniid_graph_input", size_of::<omniid_graph_input>()),
        ("omniid_graph_call", size_of::<omniid_graph_call>()),
        ("omniid_graph_shape", size_of::<omniid_graph_shape>()),
        ("omniid_graph_buffer", size_of::<omniid_graph_buffer>()),
        ("omniid_tensor", size_of::<omniid_tensor>()),
        ("omniid_managed_tensor", size_of::<omniid_managed_tensor>()),
    ];
    let header = read(root().join("include/omniid.h"));
    let sized = header.lines().filter(|line| line.contains("_INIT {")).count();
    assert_eq!(sized + 2, sizes.len(), "a struct is missing from this list");
    if !has("gcc") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("sizes.c");
    let checks = sizes.map(|(name, size)| format!("_Static_assert(sizeof({name}) == {size}, \"{name}\");\n"));
    std::fs::write(&source, format!("#include <omniid.h>\n{}", checks.concat())).unwrap();
    run(Command::new("gcc")
        .args(["-std=c11", "-fsyntax-only", "-I"])
        .arg(root().join("include"))
        .arg(source));
}
