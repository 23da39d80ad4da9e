//! No exported function can unwind: each body is one call of the boundary.

use crate::support::{prototypes, read, root};
use std::collections::BTreeSet;

/// Helpers that are themselves one call of the boundary; checked below.
const HELPERS: [&str; 2] = ["get(", "hand_out("];
const BOUNDARIES: [&str; 2] = ["fallible(", "infallible("];

/// The first statement of a function's body, without comments and an `unsafe` block around it.
fn first_statement(function: &str) -> &str {
    let body = function.split_once(" {\n").expect("a function has a body").1;
    let lines = body
        .lines()
        .map(|line| line.trim().trim_start_matches("unsafe {").trim_start());
    let mut code = lines.filter(|line| !line.is_empty() && !line.starts_with("//"));
    code.next().unwrap_or("")
}

/// Source of every function that `marker` stands before, up to its closing brace, and what follows of the file.
fn functions<'a>(source: &'a str, marker: &'a str) -> impl Iterator<Item = &'a str> {
    source
        .split(marker)
        .skip(1)
        .map(|rest| rest.split("\n}\n").next().unwrap_or(rest))
}

#[test]
fn every_exported_function_goes_through_the_boundary() {
    let (mut names, mut guards) = (BTreeSet::new(), 0);
    for entry in std::fs::read_dir(root().join("capi/src")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let source = read(&path);
        guards += source.matches("catch_unwind(").count();
        for function in functions(&source, "#[no_mangle]\n") {
            let name = function.split("fn ").nth(1).unwrap().split('(').next().unwrap();
            let first = first_statement(function);
            let begins = |calls: &[&str]| calls.iter().any(|call| first.starts_with(call));
            assert!(
                begins(&BOUNDARIES) || begins(&HELPERS),
                "{name} begins with {first:?}"
            );
            assert!(function.contains("extern \"C\" fn "), "{name}");
            names.insert(name.to_string());
        }
        for helper in HELPERS {
            for function in functions(&source, &format!("unsafe fn {}", helper.trim_end_matches('('))) {
                if function.contains("-> omniid_status") {
                    assert!(
                        first_statement(function).starts_with("fallible("),
                        "{helper} in {}",
                        path.display()
                    );
                }
            }
        }
    }
    let declared: BTreeSet<String> = prototypes().into_iter().map(|function| function.name).collect();
    assert_eq!(names, declared);
    assert_eq!(guards, 1, "unwinding stops in one place");
}
