//! Face recognition networks of other projects: a photo's face to a face embedding.
//!
//! Adapters such as IP-Adapter FaceID, InstantID and PuLID take a face embedding: one vector per face, from a network
//! that was trained to tell people apart. A [`FaceEmbedding`] says which network it comes from and whether its length
//! was kept, since these adapters differ in both. The networks are the users' own files; none is part of OmniID.

pub use crate::face_embedding::{EmbeddingForm, FaceArchitecture, FaceEmbedding, FaceNetwork};
