//! Finds the built-in weights.

/// The built-in identity model.
const DEFAULT_MODEL: &str = "omniid-mini.safetensors";

/// Hands the built-in model's path to the compiler: in the folder that `OMNIID_MODELS` names, else in `models`.
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
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
