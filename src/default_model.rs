//! The identity model that comes with the library.
//!
//! Behind the feature `default-model`, which is on by default, the library holds a small trained model in itself:
//! `models/omniid-mini.safetensors`. `models/README.md` says what it is and what it is not.

use crate::engine::EngineOptions;
use crate::error::Result;

/// The content of the built-in native checkpoint.
///
/// # Errors
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) when the library was built without the feature
/// `default-model`.
pub fn default_model() -> Result<&'static [u8]> {
    #[cfg(feature = "default-model")]
    {
        Ok(include_bytes!("../models/omniid-mini.safetensors"))
    }
    #[cfg(not(feature = "default-model"))]
    {
        Err(crate::error::Error::unsupported(
            "no identity model was given, and this library was built without its own (feature `default-model`)",
        ))
    }
}

impl EngineOptions {
    /// The defaults for the built-in model, which brings its own face detector, adapter and host.
    ///
    /// # Errors
    /// As [`default_model`].
    pub fn built_in() -> Result<Self> {
        Ok(Self::new(default_model()?))
    }
}

#[cfg(all(test, feature = "default-model"))]
mod tests {
    use super::*;
    use crate::encoder::EncoderKind;
    use crate::engine::Engine;

    #[test]
    fn the_built_in_model_is_complete() {
        let engine = Engine::open(EngineOptions::built_in().unwrap()).unwrap();
        let info = engine.info();
        assert_eq!(info.kind, EncoderKind::OmniId);
        assert!(info.has_detector && info.has_adapter && engine.host().is_some());
    }
}
