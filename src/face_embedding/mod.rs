//! Face embeddings and the networks that make them: what photos, encoders and recognisers have in common.

mod embedding;
mod network;

pub use embedding::{EmbeddingForm, FaceEmbedding};
#[allow(unused_imports)] // For the recogniser, which reads the networks.
pub(crate) use network::LAYERS;
pub use network::{FaceArchitecture, FaceNetwork};
