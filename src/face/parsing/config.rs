//! Sizes of a face parsing network.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Number of labels.
pub(super) const CLASSES: usize = 19;

/// Blocks of each stage of the ResNet-18.
pub(super) const BLOCKS: usize = 2;

/// Largest width of a layer; far above the published network.
const MOST: usize = 1 << 12;

/// What a native checkpoint says about a face parsing network in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ParserConfig {
    /// Channels of the four stages of the ResNet-18: 64, 128, 256, 512 in the published network. The stem has those of
    /// the first.
    pub widths: [usize; 4],
    /// Channels of the context path: 128.
    pub context: usize,
    /// Channels where both paths are joined: 256.
    pub fusion: usize,
    /// Channels before the labels: 256.
    pub hidden: usize,
}

impl ParserConfig {
    /// # Errors
    /// [`Format`](crate::ErrorKind::Format) for sizes that no such network has.
    pub(super) fn check(&self) -> Result<()> {
        let all = self.widths.iter().chain([&self.context, &self.fusion, &self.hidden]);
        if let Some(wrong) = all.into_iter().find(|&&width| width == 0 || width > MOST) {
            return Err(Error::format(format!(
                "face parser: a width of {wrong}, expected 1 to {MOST}"
            )));
        }
        if self.fusion < 4 {
            return Err(Error::format(format!(
                "face parser: {} channels where both paths are joined, expected 4 or more",
                self.fusion
            )));
        }
        Ok(())
    }
}
