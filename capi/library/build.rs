//! Gives the shared library a SONAME that carries the ABI's major version, and keeps it loaded.
//!
//! cargo sets no SONAME on a cdylib. Without one, a host linked against the library records the path it was
//! linked with. Unloading a Rust library with thread-locals is undefined, hence `nodelete`.

/// Major version of the C ABI. Must equal `omniid_capi::OMNIID_ABI_MAJOR`; a test compares them.
const ABI_MAJOR: u32 = 1;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let target = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    match target.as_str() {
        "linux" | "android" | "freebsd" | "netbsd" | "openbsd" => {
            println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libomniid.so.{ABI_MAJOR}");
            println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
            // Devices whose memory has pages of 16 KB load nothing that is aligned to less. Linkers of the NDK before
            // release 28 align to 4 KB.
            if target == "android" {
                println!("cargo:rustc-cdylib-link-arg=-Wl,-z,max-page-size=16384");
            }
        }
        "macos" | "ios" => {
            println!("cargo:rustc-cdylib-link-arg=-Wl,-install_name,@rpath/libomniid.{ABI_MAJOR}.dylib");
        }
        _ => {}
    }
}
