//! Statistics of vectors and of scored pairs.

mod discriminant;
mod roc;
mod vectors;

pub use discriminant::Scatter;
pub use roc::{mean_estimate, Curve, Estimate, Pair, ScoredPairs, Verification};
pub use vectors::{mean, token_cosine};
