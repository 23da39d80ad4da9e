//! The ABI is the recorded one: functions with their parameters, struct layouts, constants.
//!
//! libabigail reads them from a library's debug information. Release builds of libomniid have line tables only, so a
//! stub library stands in, made of the header alone: that the real one exports the same functions, and that Rust and C
//! agree on the structs, other tests prove.
//!
//! `OMNIID_UPDATE_ABI=1 cargo test --release -p omniid-capi --test c_abi abi_dump` records the present ABI. Additions
//! raise `OMNIID_ABI_MINOR`; every other change raises `OMNIID_ABI_MAJOR`, which also names the record.

use crate::support::{has, prototypes, read, root, run, stdout};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Every function with an empty body, and every number as the size of an array, which libabigail compares.
fn stub() -> String {
    let mut text = String::from("#include <omniid.h>\n");
    let header = read(root().join("include/omniid.h"));
    for line in header.lines() {
        if let Some((name, value)) = line.strip_prefix("#define ").and_then(|rest| rest.split_once(' ')) {
            if value.bytes().all(|byte| byte.is_ascii_digit()) {
                writeln!(text, "char constant_{name}[1 + {name}];").unwrap();
            }
        }
    }
    for function in prototypes() {
        let parameters = function.parameters.iter().map(|(kind, name)| format!("{kind} {name}"));
        let parameters = match function.parameters.is_empty() {
            true => "void".to_string(),
            false => parameters.collect::<Vec<_>>().join(", "),
        };
        let body = if function.result == "void" { "" } else { "return 0;" };
        writeln!(text, "{} {}({parameters}) {{ {body} }}", function.result, function.name).unwrap();
    }
    text
}

/// libabigail's description of the stub, without the traces of this machine.
fn dump(folder: &Path) -> PathBuf {
    let (source, library, dump) = (folder.join("stub.c"), folder.join("stub.so"), folder.join("stub.abi"));
    std::fs::write(&source, stub()).unwrap();
    run(Command::new("gcc")
        .args(["-std=c11", "-g", "-w", "-shared", "-fPIC", "-I"])
        .arg(root().join("include"))
        .args(["stub.c", "-o"])
        .arg(&library)
        .current_dir(folder));
    run(Command::new("abidw")
        .args([
            "--no-corpus-path",
            "--no-comp-dir-path",
            "--no-show-locs",
            "--no-architecture",
        ])
        .args(["--no-elf-needed", "--type-id-style", "hash", "--out-file"])
        .arg(&dump)
        .arg(&library));
    dump
}

#[test]
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
fn abi_is_the_recorded_one() {
    if !has("gcc") || !has("abidw") || !has("abidiff") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let dump = dump(folder.path());
    let name = format!("libomniid.so.{}.abi", omniid_capi::OMNIID_ABI_MAJOR);
    let record = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c_abi").join(name);
    if std::env::var_os("OMNIID_UPDATE_ABI").is_some_and(|value| value == "1") {
        std::fs::copy(&dump, &record).unwrap();
    }
    let output = Command::new("abidiff")
        .args(["--harmless", "--no-architecture"])
        .args([&record, &dump])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "the ABI differs from {}; if that is meant, raise its version and run \
         OMNIID_UPDATE_ABI=1 cargo test --release -p omniid-capi --test c_abi abi_dump\n{}{}",
        record.display(),
        stdout(&output),
        String::from_utf8_lossy(&output.stderr)
    );
}
