//! What is minimised, and the masked decoder.

use super::need;
use omniid::Result;
use serde::{Deserialize, Serialize};

/// What the masked decoder is told about a target besides the identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Nothing: only the visible patches.
    None,
    /// Three angles and the five points of an average head.
    Pose,
    /// Everything of `omniid_minihost::View`: pose, expression, gaze, light, background, glasses.
    #[default]
    View,
}

/// The Masked Transformer Decoder (paper section on few-to-many reconstruction; CrossMAE's decoder
/// without self-attention between masked patches).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MaskedConfig {
    /// Width of the decoder.
    pub width: usize,
    /// Blocks of cross-attention and feed-forward.
    pub depth: usize,
    /// Attention heads.
    pub heads: usize,
    /// Fraction of a target's patches that the decoder does not see.
    pub masked_fraction: f64,
    /// Fraction of a target's patches that are decoded in a step, drawn among the masked ones.
    pub decoded_fraction: f64,
    /// What the decoder is told about the target.
    pub condition: Condition,
    /// Probability that an identity token is hidden from the decoder.
    pub token_dropout: f64,
    /// Weight of a background pixel in the loss; a pixel of the head weighs 1.
    pub background_weight: f32,
    /// Parts that the people of a step are divided into. On the CPU parts are computed at the same time, on other
    /// devices one after the other, which takes less memory. Their mean is the step's loss but for rounding; a
    /// contrastive loss, which compares all people of a step, needs 1. Fewer parts are made where the data has fewer
    /// people than a step and they cannot be divided so.
    pub micro_batches: usize,
}

impl Default for MaskedConfig {
    fn default() -> Self {
        Self {
            width: 128,
            depth: 2,
            heads: 4,
            masked_fraction: 0.95,
            decoded_fraction: 0.25,
            condition: Condition::default(),
            token_dropout: 0.0,
            background_weight: 1.0,
            micro_batches: 1,
        }
    }
}

impl MaskedConfig {
    /// Whether the people of a step can be divided into the micro-batches.
    pub fn divides(&self, people: usize) -> bool {
        self.micro_batches > 0 && people.is_multiple_of(self.micro_batches) && people >= self.micro_batches
    }

    /// Visible patches of a target with `patches` patches.
    pub fn visible(&self, patches: usize) -> usize {
        (((1.0 - self.masked_fraction) * patches as f64).round() as usize).min(patches.saturating_sub(1))
    }

    /// Decoded patches of a target with `patches` patches.
    pub fn decoded(&self, patches: usize) -> usize {
        let masked = patches - self.visible(patches);
        ((self.decoded_fraction * patches as f64).round() as usize).clamp(1, masked.max(1))
    }

    pub(super) fn validate(&self, patches: usize) -> Result<()> {
        for (name, value) in [("width", self.width), ("depth", self.depth), ("heads", self.heads)] {
            need((1..=1 << 16).contains(&value), name, value, "1 to 65536")?;
        }
        need(
            self.width.is_multiple_of(self.heads),
            "width",
            self.width,
            "a multiple of heads",
        )?;
        need(
            self.masked_fraction > 0.0 && self.masked_fraction <= 1.0,
            "masked_fraction",
            self.masked_fraction,
            "above 0 and at most 1",
        )?;
        need(
            self.decoded_fraction > 0.0 && self.decoded_fraction <= 1.0,
            "decoded_fraction",
            self.decoded_fraction,
            "above 0 and at most 1",
        )?;
        need(
            self.decoded(patches) + self.visible(patches) <= patches,
            "masked_fraction",
            self.masked_fraction,
            "large enough to leave a patch to decode",
        )?;
        need(
            (0.0..1.0).contains(&self.token_dropout),
            "token_dropout",
            self.token_dropout,
            "at least 0 and below 1",
        )?;
        need(
            (0.0..=1.0).contains(&self.background_weight),
            "background_weight",
            self.background_weight,
            "0 to 1",
        )
    }
}

/// Weights of the losses. The paper trains with reconstruction alone; the others are for comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LossConfig {
    /// L1 of the masked decoder's patches.
    pub reconstruction: f64,
    /// InfoNCE between the pooled tokens of two disjoint photo sets of each person, against everybody in the step.
    pub contrastive: f64,
    /// Classification of the pooled tokens into the training people with an additive angular margin (ArcFace).
    pub classifier: f64,
    /// Width of the embedding that contrastive and classifier loss compare.
    pub embedding_width: usize,
    /// Temperature of the contrastive loss.
    pub temperature: f64,
    /// Angular margin of the classifier, radians.
    pub margin: f64,
    /// Scale of the classifier's cosines.
    pub scale: f64,
}

impl Default for LossConfig {
    fn default() -> Self {
        Self {
            reconstruction: 1.0,
            contrastive: 0.0,
            classifier: 0.0,
            embedding_width: 128,
            temperature: 0.1,
            margin: 0.3,
            scale: 16.0,
        }
    }
}

impl LossConfig {
    pub(super) fn validate(&self) -> Result<()> {
        for (name, value) in [
            ("reconstruction", self.reconstruction),
            ("contrastive", self.contrastive),
            ("classifier", self.classifier),
        ] {
            need(value >= 0.0 && value.is_finite(), name, value, "a weight of 0 or more")?;
        }
        need(
            self.reconstruction + self.contrastive + self.classifier > 0.0,
            "reconstruction",
            self.reconstruction,
            "above 0 unless another loss is",
        )?;
        need(
            self.embedding_width > 0,
            "embedding_width",
            self.embedding_width,
            "at least 1",
        )?;
        for (name, value) in [("temperature", self.temperature), ("scale", self.scale)] {
            need(value > 0.0 && value.is_finite(), name, value, "above 0")?;
        }
        need(
            (0.0..1.5).contains(&self.margin),
            "margin",
            self.margin,
            "at least 0 and below 1.5",
        )
    }
}
