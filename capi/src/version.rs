//! Versions: of the release, and of the ABI, which decides which programs a library can serve.

use omniid_capi_export::export;
use std::ffi::{c_char, CStr};

/// Major version of the ABI, also in the library's SONAME. Programs built for another one cannot use the library.
pub const OMNIID_ABI_MAJOR: u32 = 1;

/// Minor version of the ABI. It grows with every release that adds functions or struct fields.
pub const OMNIID_ABI_MINOR: u32 = 2;

/// The ABI version as one number: `major << 16 | minor`.
pub const OMNIID_ABI_VERSION: u32 = (OMNIID_ABI_MAJOR << 16) | OMNIID_ABI_MINOR;

/// The release that this header belongs to.
pub const OMNIID_VERSION: &str = "0.2.0";

/// The release of the loaded library as NUL-terminated text.
const RELEASE: &[u8] = concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes();

/// The ABI version of the loaded library: `major << 16 | minor`.
///
/// A program that loads the library at run time should compare its upper half with `OMNIID_ABI_MAJOR`.
/// `omniid_engine_open` does so by itself.
#[export]
pub extern "C" fn omniid_abi_version() -> u32 {
    OMNIID_ABI_VERSION
}

/// The release of the loaded library, such as `0.2.0`. The string is static.
#[export]
pub extern "C" fn omniid_version() -> *const c_char {
    CStr::from_bytes_with_nul(RELEASE).unwrap_or(c"").as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_constant_is_the_release() {
        assert_eq!(OMNIID_VERSION, env!("CARGO_PKG_VERSION"));
        // SAFETY: the function returns static NUL-terminated text.
        assert_eq!(
            unsafe { CStr::from_ptr(omniid_version()) }.to_str().unwrap(),
            OMNIID_VERSION
        );
    }

    #[test]
    fn build_script_uses_the_same_abi_major() {
        let script = include_str!("../library/build.rs");
        assert!(script.contains(&format!("const ABI_MAJOR: u32 = {OMNIID_ABI_MAJOR};")));
        assert_eq!(omniid_abi_version() >> 16, OMNIID_ABI_MAJOR);
        assert_ne!(omniid_abi_version(), 0, "0 is how a forgotten version is recognised");
    }
}
