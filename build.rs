//! Gives the shared library a SONAME that carries the ABI's major version, and keeps it loaded.
//!
//! cargo sets no SONAME on a cdylib. Without one, a host linked against the library records the path it was
//! linked with. Unloading a Rust library with thread-locals is undefined, hence `nodelete`.
//!
//! Finds the built-in weights, too.

/// Major version of the C ABI. Must equal `capi::version::ABI_MAJOR`; a test compares them.
const ABI_MAJOR: u32 = 0;

/// The built-in identity model.
const DEFAULT_MODEL: &str = "omniid-mini.safetensors";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    find_model();
    let target = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    match target.as_str() {
        "linux" | "android" | "freebsd" | "netbsd" | "openbsd" => {
            println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libomniid.so.{ABI_MAJOR}");
            println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
        }
        "macos" | "ios" => {
            println!("cargo:rustc-cdylib-link-arg=-Wl,-install_name,@rpath/libomniid.{ABI_MAJOR}.dylib");
        }
        _ => {}
    }
}

/// Hands the built-in model's path to the compiler: in the folder that `OMNIID_MODELS` names, else in `models`.
fn find_model() {
    println!("cargo:rerun-if-env-changed=OMNIID_MODELS");
    if std::env::var_os("CARGO_FEATURE_DEFAULT_MODEL").is_none() {
        return;
    }
    let root = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    let folder = std::env::var_os("OMNIID_MODELS").map_or_else(
        || std::path::Path::new(&root).join("models"),
        std::path::PathBuf::from,
    );
    let path = folder.join(DEFAULT_MODEL);
    // A path that is relative here is not so for the compiler.
    let path = path.canonicalize().unwrap_or(path);
    println!("cargo:rerun-if-changed={}", path.display());
    if !path.is_file() {
        println!(
            "cargo::error=the built-in identity model {} is not there. Check the repository out completely, set \
             OMNIID_MODELS to a folder with {DEFAULT_MODEL} in it, or build with --no-default-features",
            path.display()
        );
    }
    println!("cargo:rustc-env=OMNIID_DEFAULT_MODEL={}", path.display());
}
