//! Sizes of a face recognition network and how it wants its pixels.

use crate::error::{Error, Result};
use crate::face_embedding::FaceArchitecture;
use serde::{Deserialize, Serialize};

/// Side of the aligned crop that all these networks read, in pixels.
pub(super) const SIDE: usize = 112;

/// Side of the last feature map.
pub(super) const LAST_SIDE: usize = 7;

/// Largest width of a layer and of an embedding; far above every published network.
const MOST: usize = 1 << 13;

/// The order of a pixel's values in the network's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ChannelOrder {
    /// Red first.
    Rgb,
    /// Blue first.
    Bgr,
}

/// What a native checkpoint says about a face recognition network in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RecogniserConfig {
    /// The kind of network.
    pub architecture: FaceArchitecture,
    /// Channels of the stem and of each stage (IResNet, IR-SE50), or of each block (SFace).
    pub widths: Vec<usize>,
    /// Values of an embedding.
    pub dimension: usize,
    /// The order of a pixel's values.
    pub channel_order: ChannelOrder,
    /// What a pixel's value of 0 to 255 is multiplied with.
    pub pixel_scale: f32,
    /// What is added to it then.
    pub pixel_shift: f32,
    /// Name under which the original file is published; empty for a file that is not known.
    #[serde(default)]
    pub name: String,
    /// What the authors of the weights state about their use.
    #[serde(default)]
    pub licence: String,
    /// Fingerprint of the weights; empty in a file that was not written by OmniID.
    #[serde(default)]
    pub fingerprint: String,
}

impl RecogniserConfig {
    pub(super) fn new(architecture: FaceArchitecture, widths: Vec<usize>, dimension: usize) -> Self {
        Self {
            architecture,
            widths,
            dimension,
            channel_order: ChannelOrder::Rgb,
            pixel_scale: 1.0 / 127.5,
            pixel_shift: -1.0,
            name: String::new(),
            licence: String::new(),
            fingerprint: String::new(),
        }
    }

    /// Blocks of each stage of a residual network.
    pub(super) fn blocks(&self) -> Result<[usize; 4]> {
        match self.architecture {
            FaceArchitecture::IResNet { layers } => BLOCKS
                .into_iter()
                .find(|(known, _)| *known == layers)
                .map(|(_, blocks)| blocks)
                .ok_or_else(|| Error::format(format!("no IResNet has {layers} layers"))),
            FaceArchitecture::IrSe50 => Ok([3, 4, 14, 3]),
            FaceArchitecture::SFace => Err(Error::internal("SFace has no residual blocks")),
        }
    }

    /// # Errors
    /// [`Format`](crate::ErrorKind::Format) for sizes that no such network has.
    pub(super) fn check(&self) -> Result<()> {
        let count = match self.architecture {
            FaceArchitecture::SFace => 1 + STRIDES.len(),
            _ => 1 + self.blocks()?.len(),
        };
        if self.widths.len() != count {
            return Err(Error::format(format!(
                "face recogniser: {} has {count} widths, the configuration {}",
                self.architecture,
                self.widths.len()
            )));
        }
        let all = self.widths.iter().chain([&self.dimension]);
        if let Some(wrong) = all.into_iter().find(|&&width| width == 0 || width > MOST) {
            return Err(Error::format(format!(
                "face recogniser: a width of {wrong}, expected 1 to {MOST}"
            )));
        }
        if !self.pixel_scale.is_finite() || !self.pixel_shift.is_finite() || self.pixel_scale == 0.0 {
            return Err(Error::format(format!(
                "face recogniser: pixels cannot be multiplied with {} and added to {}",
                self.pixel_scale, self.pixel_shift
            )));
        }
        Ok(())
    }
}

/// Blocks of each stage of the IResNet with so many layers (`iresnet.py` of insightface).
pub(super) const BLOCKS: [(usize, [usize; 4]); 5] = [
    (18, [2, 2, 2, 2]),
    (34, [3, 4, 6, 3]),
    (50, [3, 4, 14, 3]),
    (100, [3, 13, 30, 3]),
    (200, [6, 26, 60, 6]),
];

/// Strides of the depthwise convolutions of SFace, block by block.
pub(super) const STRIDES: [usize; 13] = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1];
