//! Paths, commands and the header's functions.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

pub fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A built library: `libomniid.so` or `libomniid.a`. No test depends on their package, so cargo is asked for them.
pub fn library(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        // The whole workspace, as the tests are built: with one package alone its dependencies may have other features.
        cargo.args(["build", "--workspace", "--lib"]).current_dir(root());
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        run(&mut cargo);
        let test = std::env::current_exe().unwrap();
        test.parent().unwrap().parent().unwrap().to_path_buf()
    });
    folder.join(name)
}

/// Whether a tool can be started; the test is recorded as skipped when not.
pub fn has(tool: &str) -> bool {
    let package = match tool {
        "nm" | "readelf" => "binutils",
        "clang" | "clang++" => "clang",
        "abidw" | "abidiff" => "abigail-tools",
        other => other,
    };
    omniid_test_support::has_tool(tool, package)
}

pub fn c_compiler() -> String {
    std::env::var("CC").unwrap_or_else(|_| "cc".into())
}

/// Runs a command that must succeed.
pub fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A folder with a small model, the same for all tests of this process.
pub fn model() -> &'static Path {
    static FOLDER: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        crate::untrained_model::write(&path).unwrap();
        (folder, path)
    });
    path
}

/// A folder with small models of the kinds that `untrained_adapters` writes, the same for all tests of this process.
pub fn adapters() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        crate::untrained_adapters::write_all(folder.path()).unwrap();
        folder
    });
    folder.path()
}

/// A folder in which the shared library has the name that programs linked to it look for.
pub fn library_folder() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let library = library("libomniid.so");
        for name in ["libomniid.so".to_string(), soname()] {
            std::fs::copy(&library, folder.path().join(name)).unwrap();
        }
        folder
    });
    folder.path()
}

pub fn soname() -> String {
    format!("libomniid.so.{}", omniid_capi::OMNIID_ABI_MAJOR)
}

/// A function of the header.
pub struct Prototype {
    pub result: String,
    pub name: String,
    /// Type and name of each parameter.
    pub parameters: Vec<(String, String)>,
}

/// Every function that the header declares.
pub fn prototypes() -> Vec<Prototype> {
    let mut text = String::new();
    let mut rest: &str = &read(root().join("include/omniid.h")).replace("\\\n", " ");
    while let Some((before, after)) = rest.split_once("/*") {
        text.push_str(before);
        rest = after.split_once("*/").expect("comments end").1;
    }
    text.push_str(rest);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let text = lines.collect::<Vec<_>>().join(" ");
    text.split(';').filter_map(prototype).collect()
}

fn prototype(statement: &str) -> Option<Prototype> {
    let (head, parameters) = statement.trim().strip_suffix(')')?.split_once('(')?;
    if head.contains("typedef") || head.contains('}') || parameters.contains('(') {
        return None;
    }
    let head = head.rsplit('{').next()?.trim();
    let (result, name) = declaration(head);
    let parameters = parameters
        .split(',')
        .map(str::trim)
        .filter(|parameter| !["", "void"].contains(parameter));
    Some(Prototype {
        result,
        name,
        parameters: parameters.map(declaration).collect(),
    })
}

/// `const char *name` as (`const char *`, `name`).
fn declaration(text: &str) -> (String, String) {
    let start = text
        .rfind(|c: char| !(c.is_alphanumeric() || c == '_'))
        .map_or(0, |at| at + 1);
    let kind = text[..start].split_whitespace().collect::<Vec<_>>().join(" ");
    (kind, text[start..].to_string())
}
