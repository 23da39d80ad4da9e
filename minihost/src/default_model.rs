//! The host that comes with the library, for identities of the plugin's own model
//! ([`EngineOptions::built_in`](omniid::engine::EngineOptions::built_in)).
//!
//! Behind the feature `default-model`, which is on by default: `models/minihost-mini.safetensors`.

use crate::{Generator, Minihost};
use candle_core::{DType, Device};
use omniid::engine::{Engine, EngineOptions};
use omniid::Limits;
use omniid::Result;

/// The file. A static, because each crate that a function is inlined into would have a copy of a constant.
#[cfg(feature = "default-model")]
static MODEL: &[u8] = include_bytes!("../../models/minihost-mini.safetensors");

/// The content of the built-in host's file.
///
/// # Errors
/// [`Unsupported`](omniid::ErrorKind::Unsupported) when the library was built without the feature `default-model`.
pub fn default_model() -> Result<&'static [u8]> {
    #[cfg(feature = "default-model")]
    {
        Ok(MODEL)
    }
    #[cfg(not(feature = "default-model"))]
    {
        Err(omniid::Error::unsupported(
            "no minihost was given, and this library was built without its own (feature `default-model`)",
        ))
    }
}

impl Minihost {
    /// Opens the built-in host. `dtype` is the number type of the weights in memory.
    ///
    /// # Errors
    /// As [`default_model`].
    pub fn built_in(dtype: DType, device: &Device) -> Result<Self> {
        Self::open(default_model()?, dtype, device, &Limits::default())
    }
}

impl Generator {
    /// The built-in host with the built-in identity model, in f32 on the CPU.
    ///
    /// # Errors
    /// As [`default_model`].
    pub fn built_in() -> Result<Self> {
        let engine = Engine::open(EngineOptions::built_in()?)?;
        Self::new(Minihost::built_in(DType::F32, &Device::Cpu)?, engine)
    }
}

#[cfg(all(test, feature = "default-model"))]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_host_and_identity_model_belong_together() -> Result<()> {
        let generator = Generator::built_in()?;
        assert_eq!(
            generator.host().host().layers(),
            generator.engine().host().map(|host| host.layers()).unwrap_or_default()
        );
        Ok(())
    }
}
