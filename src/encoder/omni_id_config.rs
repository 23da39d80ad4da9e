//! Sizes of the native encoder.

use super::check::check_sizes;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// Sizes of an [`OmniId`](super::OmniId) encoder, as stored in a native checkpoint's metadata.
///
/// The default reads CLIP ViT-H/14 and gives 256 tokens of width 1280, as the paper states. The paper leaves depth
/// and heads open; depth 4 and 20 heads of 64 are those of IP-Adapter Plus, the nearest public precedent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OmniIdConfig {
    /// Number of learned queries, which is the number of tokens of an identity.
    pub queries: usize,
    /// Width inside the encoder.
    pub width: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Attention heads.
    pub heads: usize,
    /// Width of a head.
    pub head_width: usize,
    /// Width inside the feed-forward part, in multiples of `width`.
    pub feed_forward_multiplier: usize,
    /// Width of a feature token.
    pub feature_width: usize,
    /// Feature tokens of one photo as the image encoder gives them, class token included.
    pub feature_tokens: usize,
    /// Width of an identity token. `proj_out` exists exactly if it differs from `width`.
    pub token_width: usize,
    /// Whether keys carry a position code, the same for every photo.
    pub key_position: bool,
    /// Whether the class token is read besides the patch tokens.
    pub include_class_token: bool,
}

impl Default for OmniIdConfig {
    fn default() -> Self {
        Self {
            queries: 256,
            width: 1280,
            depth: 4,
            heads: 20,
            head_width: 64,
            feed_forward_multiplier: 4,
            feature_width: 1280,
            feature_tokens: 257,
            token_width: 1280,
            key_position: true,
            include_class_token: true,
        }
    }
}

impl OmniIdConfig {
    /// Width of queries, keys and values.
    pub fn inner_width(&self) -> usize {
        self.heads * self.head_width
    }

    /// Feature tokens of one photo that take part in attention.
    pub fn key_tokens(&self) -> usize {
        self.feature_tokens
            .saturating_sub(usize::from(!self.include_class_token))
    }

    /// Whether the encoder ends with `proj_out`.
    pub fn has_projection(&self) -> bool {
        self.token_width != self.width
    }

    /// Checks that the sizes make an encoder.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) naming the size that is wrong.
    pub fn validate(&self) -> Result<()> {
        check_sizes(
            "Omni-ID",
            &[
                ("queries", self.queries),
                ("width", self.width),
                ("depth", self.depth),
                ("heads", self.heads),
                ("head_width", self.head_width),
                ("feed_forward_multiplier", self.feed_forward_multiplier),
                ("feature_width", self.feature_width),
                ("feature_tokens", self.feature_tokens),
                ("token_width", self.token_width),
            ],
        )?;
        if self.key_tokens() == 0 {
            return Err(Error::format(
                "the Omni-ID encoder leaves out the class token of features that have no other token",
            ));
        }
        Ok(())
    }
}
