//! The generators of heads.

use serde::{Deserialize, Serialize};

/// A generator of heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Artist-made morph targets with painted skins and hair (CC0).
    MakeHuman,
    /// Scan-derived shape modes with blendshapes (MIT, USC ICT).
    Ict,
}

impl Family {
    /// The name in data sets.
    pub fn name(self) -> &'static str {
        match self {
            Self::MakeHuman => "makehuman",
            Self::Ict => "ict",
        }
    }
}
