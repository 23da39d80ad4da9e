//! The published models, by the names that users know.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Writes the enum with one line per variant.
macro_rules! variants {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal, $title:literal;)*) => {
        /// A published identity model. Most are told apart by their tensors; where two share all tensors,
        /// [`EngineOptions::variant`](crate::engine::EngineOptions::variant) chooses. Its number is the one of the C ABI,
        /// where 0 means "not chosen".
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Variant {
            $($(#[$doc])* #[serde(rename = $name)] $variant = $number,)*
        }

        impl Variant {
            /// All variants.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name in options and files.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// What people call the model.
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),* }
            }
        }
    };
}

variants! {
    /// Base IP-Adapter.
    Base = 1, "base", "IP-Adapter";
    /// IP-Adapter Plus and Plus-Face.
    Plus = 2, "plus", "IP-Adapter Plus";
    /// IP-Adapter full-face.
    FullFace = 3, "full-face", "IP-Adapter full-face";
    /// IP-Adapter FaceID.
    FaceId = 4, "faceid", "IP-Adapter FaceID";
    /// IP-Adapter FaceID Plus, version 1.
    FaceIdPlus = 5, "faceid-plus", "IP-Adapter FaceID Plus";
    /// IP-Adapter FaceID Plus, version 2, with the shortcut.
    FaceIdPlusV2 = 6, "faceid-plus-v2", "IP-Adapter FaceID PlusV2";
    /// IP-Adapter FaceID Portrait.
    FaceIdPortrait = 7, "faceid-portrait", "IP-Adapter FaceID Portrait";
    /// IP-Adapter FaceID Portrait for SDXL, trained on raw embeddings.
    FaceIdPortraitUnnorm = 8, "faceid-portrait-unnorm", "IP-Adapter FaceID Portrait (unnorm)";
    /// InstantID's IP-Adapter.
    InstantId = 9, "instantid", "InstantID";
    /// PuLID for SDXL, version 1.
    PulidV1 = 10, "pulid-v1", "PuLID v1 for SDXL";
    /// PuLID for SDXL, version 1.1.
    PulidV11 = 11, "pulid-v1.1", "PuLID v1.1 for SDXL";
    /// PuLID for FLUX, 0.9.0 and 0.9.1.
    PulidFlux = 12, "pulid-flux", "PuLID for FLUX";
    /// InstantX's IP-Adapter for FLUX.
    InstantXFlux = 13, "instantx-flux", "InstantX FLUX IP-Adapter";
    /// InstantX's IP-Adapter for SD3.5 Large.
    InstantXSd35 = 14, "instantx-sd35", "InstantX SD3.5 IP-Adapter";
    /// WithAnyone for FLUX.
    WithAnyone = 15, "withanyone", "WithAnyone";
    /// XLabs' IP-Adapter for FLUX.
    XlabsFlux = 16, "xlabs-flux", "XLabs FLUX IP-Adapter";
}

impl Variant {
    /// The variant of a name, as options and files have it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for an unknown name; the message has all names.
    pub fn from_name(name: &str) -> Result<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|variant| variant.name() == name)
            .ok_or_else(|| {
                let known: Vec<&str> = Self::ALL.iter().map(|variant| variant.name()).collect();
                let known = known.join(", ");
                Error::invalid(format!("unknown model variant {name:?}, expected one of {known}"))
            })
    }

    /// The variant with a number of the C ABI.
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.iter().copied().find(|variant| *variant as i32 == number)
    }
}

/// What people call the model.
impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back() {
        for &variant in Variant::ALL {
            assert_eq!(Variant::from_name(variant.name()).unwrap(), variant);
            assert_eq!(Variant::from_number(variant as i32), Some(variant));
        }
        assert_eq!(Variant::from_number(0), None);
        let error = Variant::from_name("faceid-plusv2").unwrap_err();
        assert!(error.message().contains("faceid-plus-v2"), "{error}");
    }
}
