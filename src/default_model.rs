//! The identity model that comes with the library.
//!
//! Behind the feature `default-model`, which is on by default, the library holds a small trained model in itself:
//! `models/omniid-mini.safetensors`. `models/README.md` says what it is and what it is not.
//! [`EngineOptions::built_in`](crate::engine::EngineOptions::built_in) opens it,
//! [`FaceDetector::built_in`](crate::face::FaceDetector::built_in) is its face detector.

use crate::error::Result;

/// The file. A static, because each crate that a function is inlined into would have a copy of a constant.
#[cfg(feature = "default-model")]
static MODEL: &[u8] = include_bytes!("../models/omniid-mini.safetensors");

/// The content of the built-in native checkpoint.
///
/// # Errors
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) when the library was built without the feature
/// `default-model`.
pub fn default_model() -> Result<&'static [u8]> {
    #[cfg(feature = "default-model")]
    {
        Ok(MODEL)
    }
    #[cfg(not(feature = "default-model"))]
    {
        Err(crate::error::Error::unsupported(
            "no identity model was given, and this library was built without its own (feature `default-model`)",
        ))
    }
}
