//! `include/omniid.h` is generated from `capi/src/`; this test fails when the two differ.
//!
//! `OMNIID_UPDATE_HEADER=1 cargo test -p omniid-capi --test header` writes the header anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The header's sections: files of `capi/src/`, in an order in which every type comes before its use.
const SECTIONS: [&str; 18] = [
    "version",
    "status",
    "log",
    "progress",
    "tensor",
    "host",
    "embedding_form",
    "engine",
    "photo",
    "identity",
    "encode",
    "conditioning",
    "conditioning_contents",
    "inject",
    "residual",
    "face_embedding",
    "graph",
    "graph_fill",
];

const OPENING: &str = "\
#ifndef OMNIID_H
#define OMNIID_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern \"C\" {
#endif
";

const CLOSING: &str = "
#ifdef __cplusplus
}
#endif

#endif
";

fn capi() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The `//!` lines of a file: the prose of the header and of its sections.
fn prose(source: &str) -> String {
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    lines.fold(String::from("/*\n"), |text, line| {
        text + format!(" *{line}").trim_end() + "\n"
    }) + " */\n"
}

/// The declarations of one section.
fn declarations(file: &Path) -> String {
    // cbindgen knows `#[export]` by what it stands for. A function with `#[no_mangle]` of its own would lack the guard
    // against panics: it does not get into the header, and `c_abi/exports.rs` finds it in the library.
    let source = read(file)
        .replace("#[no_mangle]", "")
        .replace("#[export]", "#[no_mangle]");
    let folder = tempfile::tempdir().expect("a folder for a copy");
    let copy = folder.path().join("section.rs");
    std::fs::write(&copy, source).expect("a copy can be written");
    let config = cbindgen::Config {
        language: cbindgen::Language::C,
        style: cbindgen::Style::Both,
        documentation_style: cbindgen::DocumentationStyle::Doxy,
        line_length: 110,
        tab_width: 2,
        usize_is_size_t: true,
        no_includes: true,
        // Types that only other sections use.
        export: cbindgen::ExportConfig {
            include: vec!["omniid_progress_fn".into(), "omniid_host_layer".into()],
            ..Default::default()
        },
        ..Default::default()
    };
    let mut bytes = Vec::new();
    let bindings = cbindgen::Builder::new().with_config(config).with_src(copy).generate();
    bindings
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()))
        .write(&mut bytes);
    let text = String::from_utf8(bytes).expect("cbindgen writes UTF-8");
    // Structs are used by their short names; the tag stays where they are defined.
    let lines = text.lines().map(|line| match line.starts_with("typedef struct ") {
        true => line.to_string(),
        false => line
            .replace("struct omniid_", "omniid_")
            .replace(" * # Safety", " * The caller's part:"),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Constants that are texts, which cbindgen leaves out.
fn texts(source: &str) -> String {
    let (mut result, mut comment) = (String::new(), String::new());
    for line in source.lines() {
        if let Some(text) = line.strip_prefix("///") {
            writeln!(comment, " *{text}").unwrap();
        } else {
            let constant = line
                .strip_prefix("pub const ")
                .and_then(|rest| rest.split_once(": &str = "));
            if let Some((name, value)) = constant {
                let value = value.trim_end_matches(';');
                write!(result, "\n/**\n{comment} */\n#define {name} {value}\n").unwrap();
            }
            comment.clear();
        }
    }
    result
}

/// One member of a generated struct: its initialiser comes from its type or from its comment.
fn initialiser(comment: &str, member: &str) -> String {
    if let Some((_, value)) = comment.split_once("_INIT sets ") {
        return value
            .split_whitespace()
            .next()
            .unwrap_or("")
            .trim_end_matches(',')
            .trim_end_matches('.')
            .to_string();
    }
    let is_pointer = member.contains('*') || member.contains("_fn ");
    if member.ends_with(']') {
        "{ 0 }".into()
    } else if is_pointer {
        "NULL".into()
    } else if member.starts_with("float ") || member.starts_with("double ") {
        "0.0f".into()
    } else {
        "0".into()
    }
}

/// A struct's macro, in lines that fit.
fn initialiser_macro(name: &str, values: impl Iterator<Item = String>) -> String {
    let mut lines = vec![format!("#define {}_INIT {{", name.to_uppercase())];
    for (index, value) in values.enumerate() {
        let separator = if index == 0 { "" } else { "," };
        let line = lines.last_mut().expect("there is a first line");
        if line.len() + value.len() > 108 {
            line.push_str(separator);
            lines.push(format!("  {value}"));
        } else {
            write!(line, "{separator} {value}").unwrap();
        }
    }
    lines.join(" \\\n") + " }\n"
}

/// Puts an `OMNIID_…_INIT` macro behind every struct that begins with its size.
fn with_init_macros(text: &str) -> String {
    let mut result = String::new();
    let (mut members, mut comment, mut sized) = (Vec::new(), String::new(), false);
    for line in text.lines() {
        writeln!(result, "{line}").unwrap();
        let trimmed = line.trim();
        if line.starts_with("typedef struct ") && line.ends_with('{') {
            (members, comment, sized) = (Vec::new(), String::new(), false);
        } else if trimmed.starts_with('*') || trimmed.starts_with("/*") {
            comment.push_str(trimmed.trim_end_matches("*/").trim_start_matches("*"));
        } else if let Some(name) = line.strip_prefix("} ").and_then(|rest| rest.strip_suffix(';')) {
            if sized {
                let values = std::iter::once(format!("sizeof({name})")).chain(members.drain(..).skip(1));
                writeln!(result, "\n/** Initialises an {name}. */").unwrap();
                result.push_str(&initialiser_macro(name, values));
            }
        } else if let Some(member) = line.strip_prefix("  ").and_then(|member| member.strip_suffix(';')) {
            sized |= members.is_empty() && member == "uint32_t struct_size";
            members.push(initialiser(&comment, member));
            comment.clear();
        }
    }
    result
}

fn generate() -> String {
    let mut header = prose(&read(&capi().join("lib.rs")));
    header.push_str(OPENING);
    for section in SECTIONS {
        let file = capi().join(section).with_extension("rs");
        header.push('\n');
        header.push_str(&prose(&read(&file)));
        header.push('\n');
        if section == "tensor" {
            header.push_str(&read(&capi().join("dlpack.h.in")));
            header.push('\n');
        }
        header.push_str(with_init_macros(&declarations(&file)).trim());
        header.push('\n');
        header.push_str(&texts(&read(&file)));
    }
    header.push_str(CLOSING);
    header
}

#[test]
fn checked_in_header_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../include/omniid.h");
    let generated = generate();
    if std::env::var_os("OMNIID_UPDATE_HEADER").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &generated).unwrap();
    }
    let checked_in = read(&path);
    let difference = generated
        .lines()
        .zip(checked_in.lines())
        .position(|(new, old)| new != old);
    assert!(
        generated == checked_in,
        "include/omniid.h differs from capi/src/ from line {} on; run \
         OMNIID_UPDATE_HEADER=1 cargo test --release -p omniid-capi --test header",
        difference.unwrap_or_else(|| generated.lines().count().min(checked_in.lines().count())) + 1
    );
}

/// Names of the fields that an initialiser macro sets to something other than 0, as `struct.field`.
fn fields_with_other_defaults(header: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let header = header.replace(" \\\n ", "");
    for part in header.split("\ntypedef struct ").skip(1) {
        let Some((members, rest)) = part.split_once("\n} ") else {
            continue;
        };
        let Some((_, values)) = rest.lines().find_map(|line| line.split_once("_INIT { ")) else {
            continue;
        };
        let name = members.split_whitespace().next().unwrap();
        let members = members
            .lines()
            .filter_map(|line| line.strip_prefix("  ")?.strip_suffix(';'));
        let members = members.map(|member| member.rsplit(['*', ' ']).next().unwrap());
        let values = values.strip_suffix(" }").unwrap().split(", ");
        let zeros = ["0", "0.0f", "NULL", "{ 0 }"];
        let others = members.zip(values).skip(1).filter(|(_, value)| !zeros.contains(value));
        found.extend(others.map(|(member, _)| format!("{name}.{member}")));
    }
    found
}

#[test]
fn defaults_other_than_zero_are_listed() {
    let header = generate();
    let (_, prose) = header.split_once(" * Structs. ").expect("prose about structs");
    let (prose, _) = prose
        .split_once(" * Compatibility. ")
        .expect("prose about compatibility");
    let words = prose.split_whitespace().map(|word| word.trim_end_matches([',', ':']));
    let listed = words.filter(|word| word.starts_with("omniid_") && word.contains('.'));
    assert_eq!(
        listed.map(str::to_string).collect::<BTreeSet<_>>(),
        fields_with_other_defaults(&header)
    );
}

#[test]
fn every_section_is_in_the_header() {
    // What is not a section of the header, and why it is in capi/src.
    let inner = ["lib", "dlpack", "pointer", "remedy", "structs"];
    for entry in std::fs::read_dir(capi()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_string();
        if path.extension().is_some_and(|extension| extension == "rs") && !inner.contains(&name.as_str()) {
            assert!(
                SECTIONS.contains(&name.as_str()),
                "capi/src/{name}.rs is in no section of the header"
            );
        }
    }
}
