//! Faces: finding them, and cutting the photo so that the encoder sees the person.

mod geometry;

pub use geometry::{Face, FaceBox, Landmarks};
