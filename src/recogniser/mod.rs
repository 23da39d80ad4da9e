//! Face recognition networks of other projects: a photo's face to a face embedding.
//!
//! Adapters such as IP-Adapter FaceID, InstantID and PuLID take a face embedding: one vector per face, from a network
//! that was trained to tell people apart. A [`FaceEmbedding`] says which network it comes from and whether its length
//! was kept, since these adapters differ in both. [`FaceRecogniser`] computes it from the users' own files of these
//! networks; none is part of OmniID, and most may not be used commercially: see [`FaceNetwork::licence`].

mod config;
mod file;
mod licence;
mod mobile;
mod onnx;
mod recognise;
mod residual;
mod torch;

pub use crate::face_embedding::{EmbeddingForm, FaceArchitecture, FaceEmbedding, FaceNetwork};
pub use config::{ChannelOrder, RecogniserConfig};
pub use recognise::FaceRecogniser;
