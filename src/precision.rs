//! The number types of weights, keys, values and files.

use crate::error::{Error, Result};
use candle_core::DType;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A number type of weights; all but [`Int8`](Self::Int8) are also number types of keys, values and files.
///
/// On the CPU activations are always f32; on a GPU they have the weights' type and softmax runs in f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits: weights give the results of the reference implementations within rounding, files are exact.
    #[default]
    F32,
    /// 16 bits, 11 of them significant: half the size, numbers up to 65504.
    F16,
    /// 16 bits, 8 of them significant: half the size, the range of f32, fastest where the processor has bf16
    /// instructions.
    Bf16,
    /// 8 bits, on the processor only: about a quarter of the size, and the fastest where the processor multiplies bytes
    /// (VNNI). The matrices in the blocks of the image encoder and of the Omni-ID encoder are bytes with a scale for each
    /// output; the rows that they multiply are rounded to bytes too, with a scale for each row. Sums are exact, results
    /// f32. The other weights of these encoders stay f32; everything else that has weights (an adapter, the built-in
    /// generator) is bf16. Tokens differ from those of f32 more than with bf16: see the table in the README.
    Int8,
}

impl Precision {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::Bf16, Self::Int8];

    /// Those of keys, values and files.
    pub const STORED: [Self; 3] = [Self::F32, Self::F16, Self::Bf16];

    /// `f32`, `f16`, `bf16` or `int8`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }

    /// The same type in candle's terms; for [`Int8`](Self::Int8) that of the weights that are no bytes: bf16.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::F16 => DType::F16,
            Self::Bf16 | Self::Int8 => DType::BF16,
        }
    }

    /// The same, when keys, values and files can have it.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for [`Int8`](Self::Int8).
    pub fn stored(self) -> Result<Self> {
        match self {
            Self::Int8 => Err(Error::invalid(
                "precision int8 is for the weights of an engine; keys, values and files are f32, f16 or bf16",
            )),
            other => Ok(other),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|precision| precision.name() == name)
            .ok_or_else(|| Error::invalid(format!("precision {name:?}, expected f32, f16, bf16 or int8")))
    }
}
