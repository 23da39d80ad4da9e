//! The library exports exactly what the header declares, under the right name of its own.

use crate::support::{has, library, prototypes, run, soname, stdout};
use std::collections::BTreeSet;
use std::process::Command;

#[test]
#[cfg(target_os = "linux")]
fn exports_are_the_header() {
    if !has("nm") {
        return;
    }
    let output = run(Command::new("nm")
        .args(["-D", "--defined-only"])
        .arg(library("libomniid.so")));
    let exported: BTreeSet<String> = stdout(&output)
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2))
        .map(str::to_string)
        .collect();
    let declared: BTreeSet<String> = prototypes().into_iter().map(|function| function.name).collect();
    assert!(
        declared.len() > 30,
        "only {} functions were found in the header",
        declared.len()
    );
    assert_eq!(exported, declared);
}

#[test]
#[cfg(target_os = "linux")]
fn library_has_a_name_with_the_abi_major_and_stays_loaded() {
    if !has("readelf") {
        return;
    }
    let text = stdout(&run(Command::new("readelf").arg("-d").arg(library("libomniid.so"))));
    assert!(text.contains(&format!("Library soname: [{}]", soname())), "{text}");
    assert!(text.contains("NODELETE"), "{text}");
}
