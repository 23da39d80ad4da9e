//! How an exported model compares identities.

use super::need;
use omniid::Result;
use serde::{Deserialize, Serialize};

/// Most values of an identity that directions are searched in: the search takes several matrices of this size squared.
const MOST_VALUES: usize = 16_384;

/// The directions in which an exported model compares identities, found at the end of a run by linear discriminant
/// analysis of the training people's tokens ([`similarity_projection`](crate::tokens::similarity_projection)).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimilarityConfig {
    /// Number of directions; 0 finds none, and tokens are compared as they are. Of fewer people there are fewer.
    pub directions: usize,
    /// How far the covariance of one person's pictures is shrunk towards equal variance in all directions, above 0 to
    /// 1: more for fewer people.
    pub shrinkage: f64,
}

impl Default for SimilarityConfig {
    fn default() -> Self {
        Self {
            directions: 0,
            shrinkage: 0.03,
        }
    }
}

impl SimilarityConfig {
    /// `values`: those of an identity, queries times token width.
    pub(super) fn validate(&self, values: usize) -> Result<()> {
        need(
            self.shrinkage > 0.0 && self.shrinkage <= 1.0,
            "shrinkage",
            self.shrinkage,
            "above 0 and at most 1",
        )?;
        let most = if values <= MOST_VALUES { values } else { 0 };
        need(
            self.directions <= most,
            "directions",
            self.directions,
            &format!("at most {most} for identities of {values} values"),
        )
    }
}
